"""What this agent does whatever it is told: its own file's limits, looked at before each action. Pure.

A control plane that was taken over can ask for anything; what it gets is containers of images that
the node's owner allows, on their ports, and nothing of the machine inside them. What builds may
run is judged in ``go_words``, whose release and whose copy is mounted where their folders are known.
"""

import dataclasses
import fnmatch
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from sdp.agent.images import full_name
from sdp.protocol import actions
from sdp.protocol.actions import Action, ContainerSpec
from sdp.protocol.frames import Failed

NOT_ALLOWED: Final = "NotAllowed"
FIRST_PORT, LAST_PORT = 1024, 65535

_KERNEL: Final = (PurePosixPath("/proc"), PurePosixPath("/sys"), PurePosixPath("/dev"))
_SOCKETS: Final = ("docker.sock", "containerd.sock", "podman.sock")


@dataclasses.dataclass(frozen=True, slots=True)
class Allowed:
    """What the agent's own file allows.

    Attributes:
        images: patterns of images' names; None: whatever the node has, for nothing is pulled.
        first_port: the lowest port of the machine that a container may be published on.
        last_port: the highest.
    """

    images: frozenset[str] | None = None
    first_port: int = FIRST_PORT
    last_port: int = LAST_PORT


def refused(action: Action, allowed: Allowed) -> Failed | None:
    """Return why an action is not done here; None where it may be."""
    match action:
        case actions.StartService(container=container):
            return _refused(container, (), allowed)
        case actions.StartGateway(container=container, mount=mount, access_log=log):
            return _refused(container, (mount, log), allowed)
        case _:
            return None


def not_allowed(message: str, fix: str) -> Failed:
    """Return a refusal that only another spec, or the node's owner, can change."""
    return Failed(reason=NOT_ALLOWED, message=message, fix=fix, terminal=True)


def _refused(spec: ContainerSpec, mounts: tuple[str, ...], allowed: Allowed) -> Failed | None:
    return next(_refusals(spec, mounts, allowed), None)


def _refusals(spec: ContainerSpec, mounts: tuple[str, ...], allowed: Allowed) -> Iterator[Failed]:
    if not _is_allowed(spec.image, allowed.images):
        fix = "add a pattern for it to allow.images in the agent's file, or name another image"
        yield not_allowed(f"image {spec.image} is none that this agent may run", fix)
    first, last = allowed.first_port, allowed.last_port
    if spec.host_port and not first <= spec.host_port <= last:
        fix = f"take a port of {first}-{last}, or widen allow.ports in the agent's file"
        yield not_allowed(f"port {spec.host_port} is none that this agent may publish", fix)
    sealed = (path for each in spec.sealed for path in each.files)
    for path in (*mounts, *spec.files, *sealed):
        if why := _unsafe(path):
            fix = "name another path: no file of an agent allows this one"
            yield not_allowed(f"{path!r} {why}", fix)


def _is_allowed(image: str, patterns: frozenset[str] | None) -> bool:
    if patterns is None:
        return True
    names = {image, full_name(image)}
    return any(fnmatch.fnmatchcase(name, each) for name in names for each in patterns)


def _unsafe(text: str) -> str:
    """Return why nothing is put or mounted at a path in a container; empty where it may be."""
    path = PurePosixPath(text)
    if not text.startswith("/") or "\0" in text or {"..", "."} & set(text.split("/")):
        return "is no plain absolute path"
    plain = PurePosixPath("/", *path.parts[1:])
    if plain == PurePosixPath("/"):
        return "is the whole container"
    if any(plain == each or each in plain.parents for each in _KERNEL):
        return "belongs to the kernel"
    if plain.name in _SOCKETS:
        return "is where an engine listens"
    return ""
