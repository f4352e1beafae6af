"""Sandboxes' copies of the gateway: made from releases, routed, reported, removed.

Route requests that arrive together for one sandbox become one patch and one reload.
"""

import asyncio
import contextlib
import dataclasses
import errno
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Protocol

from sdp import durable
from sdp.agent import config_change, copy_folder, recipes, runner, transaction
from sdp.agent.copy_folder import RECORD, CopyFolder, Record
from sdp.agent.gateway_port import Gateways
from sdp.agent.recipes import Workshop
from sdp.agent.releases import MARKER
from sdp.agent.repositories import Journal
from sdp.agent.runner import Command, Finished
from sdp.protocol.actions import CopyGateway, Recipe, RemoveCopy, Route
from sdp.protocol.frames import Failed, Outcome, Succeeded
from sdp.protocol.report import ConfigProblem, Copy

STAGE = "git checkout"
COPY_SECONDS = 600.0


class Releases(Protocol):
    def path(self, repository: str, commit: str, recipe: Recipe) -> Path: ...
    def held(self, place: Path) -> contextlib.AbstractContextManager[bool]: ...


@dataclasses.dataclass(slots=True)
class _Asked:
    """A route that somebody waits for."""

    action: Route
    outcome: Outcome | None = None


@dataclasses.dataclass(slots=True)
class _Desk:
    """One sandbox's lock, and the routes asked for since it was last held."""

    lock: asyncio.Lock = dataclasses.field(default_factory=asyncio.Lock)
    asked: list[_Asked] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, slots=True)
class _Known:
    """A copy as last read, and the signs that its files had then."""

    signs: tuple[object, ...]
    copy: Copy


class Copies:
    """``state`` has ``copies/<sandbox>/<commit>/``, and access logs in ``access/<sandbox>/``.

    See ``copy_folder`` for what is in a copy.
    """

    def __init__(
        self,
        state: Path,
        releases: Releases,
        gateways: Gateways,
        journal: Journal,
        shop: Workshop,
        now: Callable[[], datetime],
    ) -> None:
        self._folder = state / "copies"
        self._access = state / "access"
        self._releases = releases
        self._gateways = gateways
        self._journal = journal
        self._shop = shop
        self._now = now
        self._desks: dict[str, _Desk] = {}
        self._known: dict[Path, _Known] = {}

    def sweep(self) -> None:
        """Remove what a crash left unfinished, or behind; once, before the first action."""
        for place in (self._folder, *self._folder.glob("*")):
            durable.sweep(place)
        for place in self._folder.glob("*/*"):
            CopyFolder(place).sweep()
        for place in self._folder.glob("*"):
            with contextlib.suppress(OSError):  # copies are there
                place.rmdir()
        for place in self._access.glob("*"):
            self._forget(place.name)

    async def copy(self, action: CopyGateway, deployment: str) -> Outcome:
        try:
            folder = copy_folder.folder_of(self._folder, action.sandbox, action.commit)
            release = self._releases.path(action.repository, action.commit, action.recipe)
        except ValueError as error:
            return _hostile(error)
        async with self._desk(action.sandbox).lock:
            if await asyncio.to_thread(folder.record) is not None:
                return Succeeded(note="already there")
            with self._releases.held(release) as there:
                if not (there and await asyncio.to_thread((release / MARKER).is_file)):
                    said = f"{action.repository} @ {action.commit[:7]}"
                    return Failed(
                        reason="ReleaseMissing", message=f"the release of {said} is not here"
                    )
                try:
                    outcome = await self._create(action, folder, release)
                except OSError as error:
                    outcome = _from_os(error)
        if isinstance(outcome, Failed):
            self._journal.lines(deployment, STAGE, (outcome.message,))
        return outcome

    async def route(self, action: Route) -> Outcome:
        """Change one key in all of the sandbox's copies; the one that serves reloads."""
        desk, mine = self._desk(action.sandbox), _Asked(action)
        desk.asked.append(mine)
        try:
            async with desk.lock:
                if mine.outcome is None:
                    await self._answer(action.sandbox, desk)
        finally:
            with contextlib.suppress(ValueError):
                desk.asked.remove(mine)
        return mine.outcome or Failed(reason="CopyMissing", message="nobody changed the route")

    async def learn(self, sandbox: str) -> None:
        """Ask the sandbox's running gateways in which environment they really run."""
        async with self._desk(sandbox).lock:
            for folder in await asyncio.to_thread(self._of, sandbox):
                gateway = await self._gateways.running(sandbox, folder.root.name)
                live = await gateway.environment() if gateway else ""
                record = await asyncio.to_thread(folder.record)
                if record is not None and live not in {"", record.environment}:
                    changed = record.model_copy(update={"environment": live})
                    await asyncio.to_thread(folder.save, changed)

    async def remove(self, action: RemoveCopy) -> Outcome:
        try:
            folder = copy_folder.folder_of(self._folder, action.sandbox, action.commit)
        except ValueError as error:
            return _hostile(error)
        async with self._desk(action.sandbox).lock:
            await asyncio.to_thread(_remove, folder.root)
            await asyncio.to_thread(self._forget, folder.root.parent.name)
        return Succeeded()

    def _forget(self, sandbox: str) -> None:
        """Remove the access log of a sandbox, by folder, that has no copy any more."""
        if not (self._folder / sandbox).is_dir():
            durable.remove(self._access / sandbox)

    def scan(self) -> dict[str, Copy]:
        """Return the copies on disk by ``<sandbox>/<commit>``; blocks shortly.

        Files are read again when a copy's signs on disk have changed.
        """
        known: dict[Path, _Known] = {}
        for path in durable.matching(self._folder, f"*/*/{RECORD}"):
            folder = CopyFolder(path.parent)
            record = folder.record()
            if record is None or path.parent.name != record.commit:
                continue
            signs, before = _signs(folder, record), self._known.get(path)
            if before is None or before.signs != signs:
                before = _Known(signs, _copy(folder, record, self._now()))
            known[path] = before
        self._known = known
        return {f"{each.copy.sandbox}/{each.copy.commit}": each.copy for each in known.values()}

    def _desk(self, sandbox: str) -> _Desk:
        return self._desks.setdefault(sandbox.lower(), _Desk())

    async def _answer(self, sandbox: str, desk: _Desk) -> None:
        """Answer all that was asked for; of two wishes for one key the later one counts."""
        batch = list(desk.asked)
        values = {asked.action.key: asked.action.url for asked in batch}
        try:
            outcomes = await self._change(sandbox, values)
        except OSError as error:
            outcomes = dict.fromkeys(values, _from_os(error))
        for asked in batch:
            asked.outcome = outcomes[asked.action.key]
            desk.asked.remove(asked)

    async def _change(self, sandbox: str, values: dict[str, str | None]) -> dict[str, Outcome]:
        missing = Failed(reason="CopyMissing", message=f"{sandbox} has no copy of the gateway")
        outcomes: dict[str, Outcome] = dict.fromkeys(values, missing)
        found = await asyncio.to_thread(self._of, sandbox)
        for number, folder in enumerate(found):
            gateway = await self._gateways.running(sandbox, folder.root.name)
            told = await transaction.change(folder, values, gateway, self._now)
            outcomes |= {k: v for k, v in told.items() if number == 0 or isinstance(v, Failed)}
        return outcomes

    def _of(self, sandbox: str) -> list[CopyFolder]:
        try:
            place = copy_folder.folder_of(self._folder, sandbox, "0" * 40).root.parent
        except ValueError:
            return []
        return [CopyFolder(path.parent) for path in durable.matching(place, f"*/{RECORD}")]

    async def _create(self, action: CopyGateway, folder: CopyFolder, release: Path) -> Outcome:
        half = CopyFolder(durable.temporary(folder.root))
        try:
            await asyncio.to_thread(half.root.mkdir, parents=True)
            copied = await self._run("cp", "-a", "--", str(release), str(half.tree))
            if copied:
                return copied
            failed = await asyncio.to_thread(_prepare, half, action)
            if failed:
                return failed
            await self._run("sync", "--file-system", str(half.root))
            await asyncio.to_thread(durable.remove, folder.root)  # without a record: nobody's
            await asyncio.to_thread(half.root.rename, folder.root)
            await asyncio.to_thread(durable.sync_folder, folder.root.parent)
        finally:
            await asyncio.to_thread(durable.remove, half.root)
        return Succeeded()

    async def _run(self, *argv: str) -> Failed | None:
        basics = runner.basics(self._shop.caches)
        ended = await runner.run(Command(argv, self._folder, basics, COPY_SECONDS))
        match ended:
            case Finished(returncode=0):
                return None
            case Finished(lines=lines):
                said = (lines or ("",))[-1]
                full = "No space left on device" in said
                return _disk_failed(said, full=full)
            case _:
                return _disk_failed(f"{argv[0]} did not end: {ended}", full=False)


def _prepare(half: CopyFolder, action: CopyGateway) -> Failed | None:
    """Patch a copy that nobody sees yet, and write its record."""
    (half.tree / MARKER).unlink(missing_ok=True)
    recipe = action.recipe
    live = recipes.read_routes(half.tree, recipe.config, recipe.key)
    if isinstance(live, Failed):
        return live
    files = recipes.config_files(recipe.config)
    contents = {name: content for name in files if (content := half.read(name)) is not None}
    planned = config_change.plan(contents, action.routes, recipe.key)
    if planned.refused:
        return next(iter(planned.refused.values()))
    for name, content in planned.contents.items():
        if content != contents[name]:
            path = half.file(name)
            durable.stage_beside(path, content).replace(path)
    record = Record(
        sandbox=action.sandbox,
        commit=action.commit,
        config=recipe.config,
        key=recipe.key,
        defaults=recipes.defaults_of(live),
        problems=recipes.told_problems(live, recipe.config),
        written={name: (half.keep(content),) for name, content in planned.contents.items()},
        served=None,
        verified_at=None,
    )
    half.save(record)
    return None


def _copy(folder: CopyFolder, record: Record, now: datetime) -> Copy:
    """Return a copy as read now; what waits for a reload is only verified as of before."""
    served = record.served
    return Copy(
        sandbox=record.sandbox,
        commit=record.commit,
        routes=dict(copy_folder.routes_on_disk(folder, record) if served is None else served),
        defaults=record.defaults,
        edited=copy_folder.edited(folder, record),
        problems=(*record.problems, *_elsewhere(record)),
        verified_at=now if served is None else record.verified_at,
    )


def _elsewhere(record: Record) -> Iterator[ConfigProblem]:
    """Yield the problem that the gateway reads another environment's config.php."""
    meant = recipes.environment_of(record.config)
    if meant and record.environment not in {"", meant}:
        yield ConfigProblem(
            kind="environment",
            key="",
            file=record.config,
            line=0,
            message=f"the gateway runs as {record.environment!r}, not {meant!r}, and does not "
            "read this file",
        )


def _signs(folder: CopyFolder, record: Record) -> tuple[object, ...]:
    """Return what changes when a config file, or the record, is written."""
    signs: list[object] = [record]
    for name in record.written:
        with contextlib.suppress(OSError):
            stat = folder.file(name).stat()
            signs.append((name, stat.st_mtime_ns, stat.st_ino, stat.st_size))
    return tuple(signs)


def _remove(root: Path) -> None:
    """Away at once, the files soon; an empty sandbox folder goes too."""
    if root.is_dir():
        doomed = durable.temporary(root)
        root.rename(doomed)
        durable.remove(doomed)
    with contextlib.suppress(OSError):  # other commits are there
        root.parent.rmdir()


def _hostile(error: ValueError) -> Failed:
    return Failed(reason="HostileName", message=str(error), terminal=True)


def _from_os(error: OSError) -> Failed:
    return _disk_failed(str(error), full=error.errno in {errno.ENOSPC, errno.EDQUOT})


def _disk_failed(said: str, *, full: bool) -> Failed:
    if full:
        return Failed(reason="DiskFull", message=said, fix=recipes.DISK_FULL_FIX)
    return Failed(reason="DiskError", message=said)
