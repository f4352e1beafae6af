"""All that a world leaves to be seen, by place: answers, commands, git's objects, the engine's."""

import re
import subprocess  # noqa: TID251 -- reads git's objects as they are
import urllib.error
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from demo.person import Person
from demo.world import World

_PARAMETER = re.compile(r"([a-z]+)/\{\w+\}")


def answers(person: Person, names: Mapping[str, str]) -> dict[str, bytes]:
    """Return what each GET of the OpenAPI document answers, streams up to where they are now.

    Args:
        person: who asks.
        names: what stands behind each part of a path that takes a name, such as ``sandboxes``.
    """
    document: Any = person.api("/openapi.json")
    told = {}
    for template, methods in document["paths"].items():
        if "get" not in methods:
            continue
        path = _PARAMETER.sub(lambda found: f"{found[1]}/{names[found[1]]}", template)
        asked = {each["name"] for each in methods["get"].get("parameters", [])}
        query = "?follow=false&last_event_id=0" if "follow" in asked else ""
        told[f"GET {template}"] = _answer(person, path + query)
    return told


def _answer(person: Person, path: str) -> bytes:
    try:
        with person.open(path) as answer:
            return f"{answer.headers}\n".encode() + answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return f"{error.headers}\n".encode() + error.read()


def commands(person: Person, *lines: str) -> dict[str, bytes]:
    """Return what commands print."""
    told = {}
    for line in lines:
        done = person.sdp(*line.split())
        told[f"sdp {line}"] = (done.stdout + done.stderr).encode()
    return told


def objects(root: Path) -> dict[str, bytes]:
    """Return the content of all objects of all git repositories below a folder: they are packed."""
    return {f"git {each.relative_to(root)}": _objects(each) for each in _repositories(root)}


def _repositories(root: Path) -> Iterator[Path]:
    for head in root.rglob("HEAD"):
        if (head.parent / "objects").is_dir():
            yield head.parent


def _objects(repository: Path) -> bytes:
    words = ["cat-file", "--batch-all-objects", "--batch"]
    argv = ["git", "--git-dir", str(repository), *words]
    return subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout


def engine(world: World) -> dict[str, bytes]:
    """Return what the engine tells and keeps of each container and network of a world."""
    label = f"label=sdp.instance={world.instance}"
    told = {}
    for one in world.engine.docker("ps", "-aq", "--no-trunc", "--filter", label).split():
        name = world.engine.docker("inspect", "-f", "{{.Name}}", one).strip().removeprefix("/")
        told[f"docker inspect {name}"] = world.engine.docker("inspect", one).encode()
        told[f"docker logs {name}"] = _logs(world, one)
        told |= _kept(world, one, name)
    for one in world.engine.docker("network", "ls", "-q", "--filter", label).split():
        told[f"docker network {one}"] = world.engine.docker("network", "inspect", one).encode()
    return told


def _logs(world: World, container: str) -> bytes:
    argv = ["docker", "-H", world.engine.host, "logs", container]
    done = subprocess.run(argv, capture_output=True, check=True, timeout=60)
    return done.stdout + done.stderr


def _kept(world: World, container: str, name: str) -> dict[str, bytes]:
    """Return the engine's files about a container, where they may be read."""
    root = Path(world.engine.docker("info", "-f", "{{.DockerRootDir}}").strip())
    folder = root / "containers" / container
    try:
        files = [each for each in folder.iterdir() if each.is_file()]
        return {f"engine {name} {each.name}": each.read_bytes() for each in files}
    except PermissionError:
        return {}


def new_files(folder: Path, since: float, world: World) -> dict[str, bytes]:
    """Return the files of a temporary folder that are newer; other runs' and the world's own not."""
    found = {}
    for path in folder.iterdir():
        if path.name.startswith("pytest-of-") or world.root.is_relative_to(path):
            continue
        for each in [path, *path.rglob("*")] if path.is_dir() else [path]:
            try:
                if each.is_file() and each.stat().st_mtime > since:
                    found[str(each)] = each.read_bytes()
            except OSError:  # gone, or another user's
                continue
    return found
