"""Names that users choose, and the names of containers and networks that follow from them."""

import re

SANDBOX = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,38}[A-Za-z0-9])?")
SERVICE = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
COMMIT = re.compile(r"[0-9a-f]{40}")

GATEWAY = "gateway"
"""The service name that stands for a sandbox's gateway; no service may take it."""

OURS = frozenset({"PORT", "SDP_SANDBOX", "SDP_GATEWAY_URL"})
"""Variables that the platform sets itself, whatever an environment says."""

MAX_BRANCH = 200
"""Bytes: a branch is a file's name in git, and those end at 255."""
_FORBIDDEN_IN_BRANCH = re.compile(r"[\x00-\x20~^:?*\[\\\x7f]|\.\.|@\{|//|/\.|\.lock(/|$)")


def sandbox(name: str) -> str:
    """Return the name unchanged.

    Raises:
        ValueError: it cannot become part of a DNS label and a container's name.
    """
    if not SANDBOX.fullmatch(name):
        raise ValueError(
            "expected 1 to 40 letters, digits and inner dashes, such as QA-LOGIN-ERROR"
        )
    return name


def service(name: str) -> str:
    """Return the name unchanged.

    Raises:
        ValueError: it cannot be a DNS name inside the sandbox, or is the gateway's.
    """
    if not SERVICE.fullmatch(name):
        raise ValueError("expected 1 to 40 lower-case letters, digits and inner dashes")
    if name == GATEWAY:
        raise ValueError("'gateway' is the sandbox's gateway, not a service")
    return name


def variable(name: str) -> str:
    """Return the name unchanged.

    Raises:
        ValueError: it is no name of an environment variable.
    """
    if not VARIABLE.fullmatch(name):
        raise ValueError("expected a variable name: letters, digits, _; no digit first")
    return name


def branch(name: str) -> str:
    """Return the name unchanged.

    The rules are those of git-check-ref-format(1), and no leading dash: a branch is data, never
    an option.

    Raises:
        ValueError: git would refuse the name, or could take it for an option.
    """
    outside = not 0 < len(name.encode(errors="surrogatepass")) <= MAX_BRANCH
    if outside or name.startswith(("-", "/", ".")) or name.endswith(("/", ".")):
        raise ValueError("expected a branch name, such as feature/login-error")
    if not name.isprintable():
        raise ValueError("expected a branch name whose every character can be seen")
    if name == "@" or _FORBIDDEN_IN_BRANCH.search(name):
        raise ValueError("expected a branch name that git accepts (git check-ref-format)")
    return name


def commit(sha: str) -> str:
    """Return the SHA unchanged.

    Raises:
        ValueError: it is not a whole commit SHA.
    """
    if not COMMIT.fullmatch(sha):
        raise ValueError("expected a whole commit: 40 hexadecimal digits")
    return sha


def beside(container_name: str, version: str) -> str:
    """Return the name that a container has while its predecessor has the right one."""
    return f"{container_name}-{version[:6]}"


def network(sandbox_name: str) -> str:
    """Return the name of a sandbox's Docker network."""
    return f"sandbox-{sandbox_name.lower()}"


def container(sandbox_name: str, service_name: str) -> str:
    """Return the name of the container of one service of a sandbox."""
    return f"sandbox-{sandbox_name.lower()}-{service_name}"


def peer_variable(service_name: str) -> str:
    """Return the environment variable that tells a service where another one is."""
    return service_name.upper().replace("-", "_") + "_URL"
