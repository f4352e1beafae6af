"""The agent's own YAML file: who it is, what it may touch, and how much of the machine it takes."""

import re
import ssl
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from sdp.agent.allowed import FIRST_PORT, LAST_PORT

CONTROL_PLANE = "ws://127.0.0.1:3452/ws/agent"
DOCKER = "unix:///var/run/docker.sock"

_AMOUNT = re.compile(r"([1-9][0-9]{0,8})([KMG])i?B?")
_RANGE = re.compile(r"(\d{1,5})-(\d{1,5})")
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_LARGEST_FILE = 256 << 10


class ConfigError(Exception):
    """The file can't be used; the text names the file, and each problem with its line."""


def _bytes(value: object) -> object:
    if isinstance(value, str):
        match = _AMOUNT.fullmatch(value)
        if match is None:
            raise ValueError("expected an amount such as 512MB or 2GB")
        return int(match[1]) * _UNITS[match[2]]
    return value


def _ports(value: object) -> object:
    match = _RANGE.fullmatch(value) if isinstance(value, str) else None
    if match is None or not 0 < int(match[1]) <= int(match[2]) <= LAST_PORT:
        raise ValueError("expected a range of ports such as 8080-9999")
    return int(match[1]), int(match[2])


def _path(value: object) -> object:
    return Path(value) if isinstance(value, str) else value


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("expected an absolute path, such as /opt/sdp")
    return path


def _address(url: str) -> str:
    if not re.fullmatch(r"wss?://[^\s/@]+(/[^\s]*)?", url):
        raise ValueError(f"expected an address such as {CONTROL_PLANE}")
    return url


Bytes = Annotated[int, BeforeValidator(_bytes), Field(ge=0)]
Words = Annotated[
    frozenset[str],
    BeforeValidator(lambda told: frozenset(told) if isinstance(told, list) else told),
]
Ports = Annotated[tuple[int, int], BeforeValidator(_ports)]
AbsolutePath = Annotated[Path, BeforeValidator(_path), AfterValidator(_absolute)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]


class Model(BaseModel):
    """Strict, closed and frozen."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Limits(Model):
    """How much of the machine builds may take."""

    builds: int = Field(2, ge=1, le=64, description="Builds at the same time.")
    build_memory: Bytes = Field(2 << 30, description="Memory of one build: 2GB; 0: no bound.")
    build_timeout: float = Field(1800.0, gt=0, description="Seconds that one build may take.")


class Allow(Model):
    """What this agent does beyond what is harmless, whatever it is told."""

    images: Words | None = Field(
        None,
        description="Images that containers may be of, * is anything; else all that are there.",
    )
    ports: Ports = Field(
        (FIRST_PORT, LAST_PORT),
        description="Ports of the machine that containers may be published on: 8080-9999.",
    )
    go_flags: Words = Field(
        frozenset(), description="Flags that recipes may give to go build, as they stand there."
    )
    go_environment: Words = Field(
        frozenset(), description="Names of variables that recipes may set for go build."
    )


class AgentConfig(Model):
    """One agent, on one node, of one instance of the platform."""

    node: Name = Field(description="This node's id in platform.yaml.")
    instance: Name = Field(description="The platform's name; marks all that is created.")
    control_plane: Annotated[str, AfterValidator(_address)] = Field(
        CONTROL_PLANE, description="Where the control plane takes agents."
    )
    ca: AbsolutePath | None = Field(
        None, description="File with the certificates that vouch for wss://; else the system's."
    )
    state: AbsolutePath = Field(description="Folder of releases, copies, caches and the outbox.")
    docker: str = Field(DOCKER, description="The engine's address.")
    repositories: dict[Name, AbsolutePath] = Field(
        default_factory=dict, description="Name → path of a clone on this machine."
    )
    images: AbsolutePath | None = Field(
        None, description="Folder of *.tar from docker save; default: images in the state folder."
    )
    identity: AbsolutePath | None = Field(
        None, description="File with the secret age key that opens environments (sdp env keygen)."
    )
    credentials: AbsolutePath | None = Field(
        None,
        description="File with a read-only account for the origins: username and password, or those "
        "per host; used where no user's own are at hand.",
    )
    limits: Limits = Field(default_factory=Limits)
    allow: Allow = Field(default_factory=Allow)
    poll_seconds: float = Field(60.0, ge=1, description="Pause between looks at the origins.")

    @property
    def images_folder(self) -> Path:
        return self.images or self.state / "images"


def load(path: Path) -> AgentConfig:
    """Read the file.

    A repository that is no clone is no error here: it is reported as that repository's.

    Raises:
        ConfigError: it is not there, or does not say what it must.
    """
    try:
        text = path.read_bytes()[: _LARGEST_FILE + 1].decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    if len(text) > _LARGEST_FILE:
        raise ConfigError(f"{path}: more than {_LARGEST_FILE >> 10} KiB")
    try:
        root = yaml.compose(text, yaml.SafeLoader)
        data: object = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path}: {error}") from error
    doubled = list(_doubled(root)) if root else []
    if doubled:
        raise ConfigError(
            "\n".join(f"{path}:{line}: {key} is there twice" for line, key in doubled)
        )
    try:
        config = AgentConfig.model_validate(data)
    except ValidationError as error:
        raise ConfigError(_explain(path, root, error)) from error
    _check(path, config)
    return config


def _check(path: Path, config: AgentConfig) -> None:
    """Raise ConfigError where the machine has not what the file names."""
    if config.state.exists() and not config.state.is_dir():
        raise ConfigError(f"{path}: state: {config.state} is no folder")
    if config.images is not None and not config.images.is_dir():
        raise ConfigError(f"{path}: images: {config.images} is no folder")
    if config.ca is not None:
        try:
            ssl.create_default_context(cafile=config.ca)
        except (OSError, ssl.SSLError) as error:
            message = f"{path}: ca: {config.ca} holds no certificates: {error}"
            raise ConfigError(message) from error


def _doubled(node: yaml.Node) -> list[tuple[int, str]]:
    if not isinstance(node, yaml.MappingNode):
        return []
    found: list[tuple[int, str]] = []
    seen: set[str] = set()
    for key, value in node.value:
        if key.value in seen:
            found.append((key.start_mark.line + 1, key.value))
        seen.add(key.value)
        found += _doubled(value)
    return found


def _explain(path: Path, root: yaml.Node | None, error: ValidationError) -> str:
    lines = []
    for each in error.errors(include_url=False, include_context=False):
        where = ".".join(str(part) for part in each["loc"] if part != "[key]")
        message = each["msg"].removeprefix("Value error, ")
        lines.append(f"{path}:{_line(root, each['loc'])}: {where or 'the file'}: {message}")
    return "\n".join(lines)


def _line(root: yaml.Node | None, place: tuple[int | str, ...]) -> int:
    """Return the line of the deepest part of the place that the file has."""
    node, line = root, 1
    for part in place:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        found = next(((k, v) for k, v in pairs if k.value == part), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line
