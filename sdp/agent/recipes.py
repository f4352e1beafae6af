"""How a checkout becomes a release: go's build, or composer and the gateway's committed routes."""

import dataclasses
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from sdp.agent import go_words, php_config, runner
from sdp.agent.allowed import not_allowed
from sdp.agent.php_config import ConfigMap, KeyPattern, Literal, LiveMap
from sdp.agent.runner import Command, Finished, NotStarted, OutOfMemory, TimedOut
from sdp.protocol.actions import GatewayRecipe, GoRecipe
from sdp.protocol.frames import Failed
from sdp.protocol.report import ConfigProblem

GO_BUILD = "go build"
COMPOSER = "composer install"
DISK_FULL_FIX = "free space on the node's disk"

_SERVICE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_COMPILER = re.compile(r"\S+\.go:\d+(:\d+)?: ")
_DISK_FULL = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_ABSENT = re.compile(
    r"GOPROXY=off|missing go\.sum entry|no required module provides|inconsistent vendoring"
)
_LAST_LINES = 50

Tell: TypeAlias = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Workshop:
    """What builds may use: ``caches`` is their HOME, ``path`` where their programs are found.

    ``words`` are flags and variables that recipes may give to go beyond the harmless ones.
    """

    caches: Path
    timeout_seconds: float
    memory_bytes: int
    path: str = runner.PATH
    words: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class Made:
    """What is noted of a release beside its files."""

    toolchain: str
    defaults: Mapping[str, str]
    problems: tuple[ConfigProblem, ...]


async def build_go(tree: Path, recipe: GoRecipe, shop: Workshop, tell: Tell) -> Made | Failed:
    """Build ``app-<service>`` into the top of the tree."""
    package = _package(tree, recipe)
    if isinstance(package, Failed):
        return package
    if (hostile := go_words.hostile(recipe, shop.words)) is not None:
        key = "allow.go_flags" if hostile.startswith("-") else "allow.go_environment"
        fix = f"drop it from platform.yaml, or list it under {key} in the agent's file"
        return not_allowed(f"{hostile!r} is not given to go: it could run another program", fix)
    binary = f"app-{recipe.service}"
    # The state folder may lie inside somebody's checkout, which is not what is built.
    argv = ("go", "build", "-buildvcs=false", *recipe.flags, "-o", binary, "--", package)
    command = _command(argv, tree, shop, _go_environment(recipe, shop))
    ended = await runner.run(command, tell)
    if failed := _build_failed(ended, GO_BUILD, "Go"):
        return failed
    if not _is_file(tree / binary):
        fix = "name a main package in platform.yaml"
        return _refused(f"go build made no program: is {recipe.package} a main package?", fix)
    version = await runner.run(_command(("go", "version"), tree, shop, command.environment))
    toolchain = version.stdout.decode().strip() if isinstance(version, Finished) else ""
    return Made(toolchain, {}, ())


async def install_gateway(
    tree: Path, recipe: GatewayRecipe, shop: Workshop, tell: Tell
) -> Made | Failed:
    """Install what composer.json asks for, and read the committed routes."""
    argv = ("composer", "install", "--no-dev", "--no-interaction", "--no-scripts", "--no-plugins")
    environment = {
        **runner.basics(shop.caches, shop.path),
        "COMPOSER_HOME": str(shop.caches / "composer"),
        "COMPOSER_ALLOW_SUPERUSER": "1",  # neither scripts nor plugins run
    }
    if not _is_file(tree / "composer.json"):
        tell("composer install skipped: the repository has no composer.json")
    elif shutil.which("composer", path=shop.path) is None:
        tell("composer install skipped: this node has no composer; vendor/ is used as committed")
    else:
        ended = await runner.run(_command(argv, tree, shop, environment), tell)
        if failed := _build_failed(ended, COMPOSER, "composer"):
            return failed
    read = read_routes(tree, recipe.config, recipe.key)
    if isinstance(read, Failed):
        return read
    return Made("", defaults_of(read), told_problems(read, recipe.config))


def config_files(config: str) -> tuple[str, ...]:
    """Return what CodeIgniter loads: config/config.php first, then the environment's over it."""
    path = Path(config)
    if path.parent.parent.name == "config":
        return str(path.parent.parent / path.name), config
    return (config,)


def environment_of(config: str) -> str:
    """Return the environment that a config file is for, "" where its path names none."""
    return Path(config).parent.name if len(config_files(config)) > 1 else ""


def read_routes(tree: Path, config: str, key: str) -> LiveMap | Failed:
    """Read the live map of a tree."""
    try:
        pattern = KeyPattern(key)
    except ValueError as error:
        return _refused(str(error), "correct the gateway's key in platform.yaml")
    maps = []
    for name in config_files(config):
        path = (tree / name).resolve()
        if not path.is_relative_to(tree.resolve()):
            return _refused(f"{name} is outside of the repository")
        if path.is_file():
            maps.append(php_config.read(path.read_bytes(), pattern))
        elif name == config:
            fix = "correct the gateway's config in platform.yaml"
            return _refused(f"the repository has no {config} at this commit", fix)
        else:
            maps.append(ConfigMap({}, ()))
    base = maps[0] if len(maps) > 1 else ConfigMap({}, ())
    return php_config.merge(base, maps[-1])


def defaults_of(live: LiveMap) -> dict[str, str]:
    """Return the routes that are plain strings: key → URL."""
    return {
        key: found.entry.value
        for key, found in sorted(live.entries.items())
        if isinstance(found.entry, Literal)
    }


def told_problems(live: LiveMap, config: str) -> tuple[ConfigProblem, ...]:
    """Return the entries that can't be patched, or deserve a look."""
    files = config_files(config)
    return tuple(
        ConfigProblem(
            kind=found.kind,
            key=found.key,
            file=files[0 if each.file == "base" else -1],
            line=found.line,
            message=found.message,
        )
        for each in live.problems
        if (found := each.problem).kind != "hostile"
    )


def _package(tree: Path, recipe: GoRecipe) -> str | Failed:
    """Return the package as go's command line takes it."""
    root = tree.resolve()
    package = (root / recipe.package).resolve()
    if not _SERVICE.fullmatch(recipe.service) or not package.is_relative_to(root):
        return _refused(f"refused to build {recipe.service!r} from {recipe.package!r}")
    if not package.is_dir():
        message = f"the repository has no folder {recipe.package} at this commit"
        return _refused(message, "correct the build's package in platform.yaml")
    return f"./{package.relative_to(root)}"


def _is_file(path: Path) -> bool:
    return path.is_file()


def _go_environment(recipe: GoRecipe, shop: Workshop) -> dict[str, str]:
    environment = {
        **runner.basics(shop.caches, shop.path),
        **recipe.environment,
        "PATH": shop.path,
        "HOME": str(shop.caches),
        "GOCACHE": str(shop.caches / "go-build"),
        "GOPATH": str(shop.caches / "go"),
        "GOMODCACHE": str(shop.caches / "go" / "mod"),
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
    }
    if shop.memory_bytes:
        environment["GOMEMLIMIT"] = str(shop.memory_bytes // 2)
    return environment


def _command(
    argv: tuple[str, ...], tree: Path, shop: Workshop, environment: Mapping[str, str]
) -> Command:
    shop.caches.mkdir(parents=True, exist_ok=True)
    return Command(
        argv,
        tree,
        environment,
        shop.timeout_seconds,
        memory_bytes=shop.memory_bytes,
    )


def _build_failed(ended: runner.Ended, what: str, tool: str) -> Failed | None:
    match ended:
        case Finished(returncode=0):
            return None
        case Finished(returncode=code, lines=lines):
            return _complained(what, code, lines)
        case TimedOut(seconds=seconds, lines=lines):
            message = f"{what} did not end within {seconds:g} s"
            return Failed(reason="TimedOut", message=message, lines=lines[-_LAST_LINES:])
        case OutOfMemory(allowed_bytes=allowed, lines=lines):
            return Failed(
                reason="OutOfMemory",
                message=f"{what} took more than {allowed >> 20} MiB and was ended",
                fix="raise limits.build_memory in the agent's file",
                lines=lines[-_LAST_LINES:],
            )
        case NotStarted(message=message):
            return Failed(
                reason="ToolMissing",
                message=message,
                fix=f"install {tool} on the node, in one of the folders of {runner.PATH}",
                terminal=True,
            )


def _complained(what: str, code: int, lines: tuple[str, ...]) -> Failed:
    last = lines[-_LAST_LINES:]
    full = next((line for line in lines if _DISK_FULL.search(line)), "")
    if full:
        return Failed(reason="DiskFull", message=f"{what}: {full}", fix=DISK_FULL_FIX, lines=last)
    telling = [line for line in lines if _COMPILER.match(line.strip())]
    other = [line for line in lines if line.strip() and not line.startswith("#")]
    first = next(iter(telling or other), f"exit code {code}").strip()
    absent = any(_ABSENT.search(line) for line in lines)
    fix = "commit the dependencies: go mod vendor" if absent else "correct it and push a commit"
    return Failed(
        reason="BuildFailed", message=f"{what}: {first}", fix=fix, terminal=True, lines=last
    )


def _refused(message: str, fix: str = "correct it in platform.yaml") -> Failed:
    return Failed(reason="BuildFailed", message=message, fix=fix, terminal=True)
