"""Immutable releases: one commit built by one recipe, made once and never changed afterwards.

A release comes into being beside its place and is renamed into it, so that a crash leaves either
nothing or a temporary folder, which is swept at start. Its marker says what it is.
"""

import asyncio
import contextlib
import dataclasses
import errno
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from pathlib import Path
from typing import TypeAlias, assert_never

from pydantic import ValidationError

from sdp import durable
from sdp.agent import recipes, runner
from sdp.agent.git_problem import GitProblem
from sdp.agent.recipes import COMPOSER, GO_BUILD, Made, Workshop
from sdp.agent.repositories import Journal, Repositories
from sdp.agent.runner import Command
from sdp.agent.uses import Uses
from sdp.protocol.actions import Build, GatewayRecipe, GoRecipe, Recipe, RemoveRelease, Value
from sdp.protocol.frames import Failed, Outcome, Succeeded
from sdp.protocol.identity import recipe_key
from sdp.protocol.report import Release

MARKER = ".sdp-release.json"
CHECKOUT = "git checkout"
SYNC_SECONDS = 120.0

_COMMIT = re.compile(r"[0-9a-f]{40}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


Mounted: TypeAlias = Callable[[], Awaitable[Collection[Path]]]
"""Returns the folders of this machine that containers have, with links followed."""


class Marker(Value):
    """What a release says of itself."""

    release: Release
    toolchain: str


@dataclasses.dataclass(slots=True)
class _Job:
    """A release in the making, and what all who asked for it meanwhile will be told."""

    lock: asyncio.Lock = dataclasses.field(default_factory=asyncio.Lock)
    waiting: int = 0
    outcome: Outcome | None = None


class Releases:
    def __init__(
        self,
        state: Path,
        repositories: Repositories,
        journal: Journal,
        shop: Workshop,
        at_once: int,
    ) -> None:
        self._root = state / "releases"
        self._notes = state / ".sdp" / "ocp-defaults.json"
        self._repositories = repositories
        self._journal = journal
        self._shop = shop
        self._builds = asyncio.Semaphore(at_once)
        self._jobs: dict[Path, _Job] = {}
        self._known: dict[Path, Release] = {}
        self._uses = Uses()

    def sweep(self) -> None:
        """Remove what a crash left unfinished, and empty folders; once, before the first build."""
        folders = (self._root, *self._root.glob("*"), *self._root.glob("*/*"))
        for folder in (*folders, self._notes.parent):
            durable.sweep(folder)
        for commit in self._root.glob("*/*"):
            with contextlib.suppress(OSError):  # releases are there
                commit.rmdir()

    def path(self, repository: str, commit: str, recipe: Recipe) -> Path:
        """Return where a release is, or would be."""
        if not (_NAME.fullmatch(repository) and _COMMIT.fullmatch(commit)):
            raise ValueError(f"no release can be of {repository!r} at {commit!r}")
        return self._root / repository / commit / recipe_key(recipe)

    async def build(self, action: Build, deployment: str) -> Outcome:
        try:
            place = self.path(action.repository, action.commit, action.recipe)
        except ValueError as error:
            return Failed(reason="HostileName", message=str(error), terminal=True)
        async with self._job(place) as job:
            if job.outcome is None:
                job.outcome = await self._ensure(action, place, deployment)
            return job.outcome

    def scan(self) -> dict[str, Release]:
        """Return the releases on disk by ``<repository>/<commit>/<recipe>``; blocks shortly."""
        known: dict[Path, Release] = {}
        for path in durable.matching(self._root, f"*/*/*/{MARKER}"):
            found = self._known.get(path) or _read(path)
            if found is not None and _names(path) == (
                found.repository,
                found.commit,
                found.recipe,
            ):
                known[path] = found
        self._known = known
        return {"/".join(_names(path)): release for path, release in known.items()}

    def held(self, place: Path) -> contextlib.AbstractContextManager[bool]:
        """Keep a release from being removed meanwhile; False: it is being removed."""
        return self._uses.held(place)

    async def remove(self, action: RemoveRelease, mounted: Mounted) -> Outcome:
        """Remove a release that nobody uses; it is gone at once, its files soon.

        Args:
            action: which one.
            mounted: asks the engine, once nobody can begin to use it any more.
        """
        names = (action.repository, action.commit, action.recipe)
        place = self._root.joinpath(*names)
        if "/".join(names) not in await asyncio.to_thread(self.scan):
            return Succeeded(note="already gone")
        try:
            with self._uses.going(place) as free:
                if not free or await asyncio.to_thread(place.resolve) in await mounted():
                    return _in_use(names)
                doomed = durable.temporary(place)
                await asyncio.to_thread(place.rename, doomed)
            await asyncio.to_thread(durable.remove, doomed)
        except OSError as error:
            return _from_os(error)
        return Succeeded()

    @contextlib.asynccontextmanager
    async def _job(self, place: Path) -> AsyncIterator[_Job]:
        job = self._jobs.setdefault(place, _Job())
        job.waiting += 1
        try:
            async with job.lock:
                yield job
        finally:
            job.waiting -= 1
            if not job.waiting:
                del self._jobs[place]

    async def _ensure(self, action: Build, place: Path, deployment: str) -> Outcome:
        try:
            made = await asyncio.to_thread(_read, place / MARKER)
            if made is None:
                async with self._builds:
                    told = await self._make(action, place, deployment)
                if isinstance(told, Failed):
                    return told
                made = told
            if isinstance(action.recipe, GatewayRecipe):
                await asyncio.to_thread(self._note, made, action.recipe.branch)
        except OSError as error:
            return _from_os(error)
        return Succeeded()

    async def _make(self, action: Build, place: Path, deployment: str) -> Release | Failed:
        half = durable.temporary(place)
        try:
            if failed := await self._checkout(action, half, deployment):
                return failed
            made = await self._run(action.recipe, half, deployment)
            if isinstance(made, Failed):
                return made
            release = Release(
                repository=action.repository,
                commit=action.commit,
                recipe=recipe_key(action.recipe),
                defaults=dict(made.defaults),
                problems=made.problems,
                bytes=await asyncio.to_thread(durable.size, half),
            )
            marker = Marker(release=release, toolchain=made.toolchain)
            await self._finish(half, place, marker)
            return release
        finally:
            await asyncio.to_thread(durable.remove, half)

    async def _checkout(self, action: Build, half: Path, deployment: str) -> Failed | None:
        async with self._stage(deployment, CHECKOUT) as stage:
            clone = self._repositories.clone(action.repository)
            if not isinstance(clone, GitProblem):
                clone = await clone.checkout(action.commit, half) or clone
            if isinstance(clone, GitProblem):
                stage.failed = clone.failed()
        return stage.failed

    async def _run(self, recipe: Recipe, tree: Path, deployment: str) -> Made | Failed:
        def tell(line: str) -> None:
            self._journal.lines(deployment, name, (line,))

        match recipe:
            case GoRecipe():
                name = GO_BUILD
                async with self._stage(deployment, name) as stage:
                    made = stage.note(await recipes.build_go(tree, recipe, self._shop, tell))
            case GatewayRecipe():
                name = COMPOSER
                async with self._stage(deployment, name) as stage:
                    made = stage.note(
                        await recipes.install_gateway(tree, recipe, self._shop, tell)
                    )
            case _:
                assert_never(recipe)
        return made

    async def _finish(self, half: Path, place: Path, marker: Marker) -> None:
        """The files are on the disk before the marker is, and the marker before the name."""
        command = Command(
            ("sync", "--file-system", "."), half, runner.basics(self._shop.caches), SYNC_SECONDS
        )
        await runner.run(command)
        content = marker.model_dump_json(indent=1).encode()
        await asyncio.to_thread(durable.write, half / MARKER, content)
        await asyncio.to_thread(durable.remove, place)  # without a marker: nobody's
        await asyncio.to_thread(half.rename, place)
        await asyncio.to_thread(durable.sync_folder, place.parent)

    def _note(self, release: Release, branch: str) -> None:
        """Keep OCP's addresses of a branch where people and tools find them."""
        try:
            noted = json.loads(self._notes.read_bytes())
        except (OSError, ValueError):
            noted = {}
        noted = noted if isinstance(noted, dict) else {}
        entry = {"commit": release.commit, "defaults": release.defaults}
        branches = noted.get(release.repository)
        branches = branches if isinstance(branches, dict) else {}
        noted[release.repository] = {**branches, branch: entry}
        content = json.dumps(noted, indent=1, sort_keys=True).encode()
        durable.write(self._notes, content)

    @contextlib.asynccontextmanager
    async def _stage(self, deployment: str, name: str) -> AsyncIterator["_Stage"]:
        self._journal.started(deployment, name)
        stage = _Stage()
        try:
            yield stage
        except BaseException as error:
            cancelled = isinstance(error, asyncio.CancelledError)
            self._journal.failed(deployment, name, "cancelled" if cancelled else str(error))
            raise
        if stage.failed:
            self._journal.failed(deployment, name, stage.failed.message)
        else:
            self._journal.finished(deployment, name)


@dataclasses.dataclass(slots=True)
class _Stage:
    failed: Failed | None = None

    def note(self, made: Made | Failed) -> Made | Failed:
        self.failed = made if isinstance(made, Failed) else None
        return made


def _names(marker: Path) -> tuple[str, ...]:
    return marker.parts[-4:-1]


def _read(marker: Path) -> Release | None:
    """A release whose marker can't be read is none: it is built again."""
    try:
        return Marker.model_validate_json(marker.read_bytes()).release
    except (OSError, ValidationError):
        return None


def _in_use(names: tuple[str, str, str]) -> Failed:
    repository, commit, _ = names
    return Failed(
        reason="ReleaseInUse",
        message=f"{repository} @ {commit[:7]} is used by a container, or by one that begins",
        fix="nothing needs to be done: it goes when nothing uses it any more",
    )


def _from_os(error: OSError) -> Failed:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Failed(reason="DiskFull", message=str(error), fix=recipes.DISK_FULL_FIX)
    return Failed(reason="DiskError", message=str(error))
