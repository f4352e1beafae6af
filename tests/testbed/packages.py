"""Debian packages that the testbed needs: what is missing is installed as root, else named."""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from tests.testbed.process import TestbedError, run

WAIT: Final = "-oDPkg::Lock::Timeout=300"  # another process may be installing too
POLICY: Final = Path("/usr/sbin/policy-rc.d")

ENGINE: Final = {
    "docker": ("docker.io", "the docker command"),
    "dockerd": ("docker.io", "the Docker engine"),
    "containerd": ("containerd", "the engine's container supervisor"),
    "runc": ("runc", "starts the engine's containers"),
    "iptables": ("iptables", "the engine's published ports"),
    "ip": ("iproute2", "the engine's bridges"),
    "ps": ("procps", "docker top"),
}
IMAGES: Final = {
    "mmdebstrap": ("mmdebstrap", "makes the gateway image's file system"),
    "busybox": ("busybox-static", "the shell of the runtime image"),
    "git": ("git", "the company's repositories"),
}
COMPANY: Final = {
    "git": ("git", "the company's repositories"),
    "go": ("golang-go", "builds the company's services"),
    "php": ("php-cli", "lints the gateway's config.php"),
}
GIT_SERVER: Final = {
    "git": ("git", "the company's repositories"),
    "apache2": ("apache2", "the Git server that asks for a password"),
    "htpasswd": ("apache2-utils", "the Git server's passwords"),
}


def ensure(commands: Mapping[str, tuple[str, str]]) -> None:
    """Install the packages of the commands that are absent.

    Args:
        commands: command → (Debian package, what it is for).

    Raises:
        TestbedError: something is missing and cannot be installed; the message names each.
    """
    missing = {command: why for command, why in commands.items() if not _present(command)}
    if not missing:
        return
    lines = [
        f"{command} is missing ({why}): {package}" for command, (package, why) in missing.items()
    ]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise TestbedError(
            "\n".join([*lines, "not root on Debian, so cannot install: bring these"])
        )
    for line in lines:
        print(f"{line}, installing", file=sys.stderr)
    _install(sorted({package for package, _ in missing.values()}))
    if absent := [command for command in missing if not _present(command)]:
        raise TestbedError(f"still missing after the installation: {', '.join(absent)}")


def _present(command: str) -> bool:
    return shutil.which(command, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is not None


def _install(packages: list[str]) -> None:
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    with contextlib.suppress(TestbedError):  # one stale third-party list must not stop us
        run(["apt-get", "update", "-q"], timeout=300, env=quiet)
    with _nothing_started():
        run(
            ["apt-get", "install", "-y", "-q", "--no-install-recommends", WAIT, *packages],
            timeout=900,
            env=quiet,
        )


@contextlib.contextmanager
def _nothing_started() -> Iterator[None]:
    """Keep packages from starting their services (a web server on port 80) while installing."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()
