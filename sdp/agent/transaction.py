"""Changes a copy's config.php under a running gateway: all of it takes effect, or none.

Snapshot, lint, patch in memory, write beside, compare again, rename, reload, wait for the new
generation, probe, read back. Whatever goes wrong after the rename puts the previous bytes back.
Somebody else's edit is never overwritten before it was kept.
"""

import asyncio
import dataclasses
from collections.abc import Callable, Mapping
from datetime import datetime

from sdp import durable
from sdp.agent import config_change, copy_folder, recipes
from sdp.agent.config_change import Planned
from sdp.agent.copy_folder import CopyFolder, Record, hashed
from sdp.agent.gateway_port import Gateway
from sdp.agent.php_config import KeyPattern
from sdp.protocol.frames import Failed, Outcome, Succeeded

RELOAD_SECONDS = 10.0
FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.2
BLIND_PAUSE = 0.8
"""Where no generation can be read: the longest that old workers were seen to answer, and more."""
PROBES = 3
SERVER_ERRORS = 500


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """The config files as they are, and as the agent last meant them.

    ``found`` is None for a file that somebody removed. ``notes`` say what was edited.
    """

    found: Mapping[str, bytes | None]
    ours: Mapping[str, bytes]
    notes: tuple[str, ...]


async def change(
    folder: CopyFolder,
    values: Mapping[str, str | None],
    gateway: Gateway | None,
    now: Callable[[], datetime],
) -> dict[str, Outcome]:
    """Set keys to URLs, None for what was committed; return each key's outcome."""
    record = await asyncio.to_thread(folder.record)
    if record is None:
        return dict.fromkeys(values, _missing(folder))
    outcomes: dict[str, Outcome] = {}
    urls = dict[str, str]()
    for key, url in values.items():
        told = record.defaults.get(key) if url is None else url
        if told is None:
            outcomes[key] = _no_default(key)
        else:
            urls[key] = told
    snapshot = await asyncio.to_thread(_snapshot, folder, record, now())
    if gateway is not None and (fault := await _lint(gateway, snapshot.ours)):
        return dict.fromkeys(values, fault)
    planned = await asyncio.to_thread(config_change.plan, snapshot.ours, urls, record.key)
    outcomes |= planned.refused
    done = await _Change(folder, record, snapshot, planned, gateway, now).run()
    return outcomes | dict.fromkeys(planned.routes, done)


@dataclasses.dataclass(frozen=True, slots=True)
class _Change:
    folder: CopyFolder
    record: Record
    snapshot: Snapshot
    planned: Planned
    gateway: Gateway | None
    now: Callable[[], datetime]

    async def run(self) -> Outcome:
        new = {k: v for k, v in self.planned.contents.items() if self.snapshot.found[k] != v}
        note = "; ".join(self.snapshot.notes)
        if not new and self.record.served is None:
            return Succeeded(note=note or "already so")
        if self.gateway is not None and (invalid := await _lint(self.gateway, new)):
            return invalid
        before = await self.gateway.answer() if self.gateway else 0
        record = await asyncio.to_thread(self._commit, new)
        if isinstance(record, Failed):
            return record
        fault = await self._reload(before) or await asyncio.to_thread(self._differs)
        if fault:
            return await self._put_back(record, new, fault)
        await asyncio.to_thread(self._verified, record)
        return Succeeded(note=note)

    def _commit(self, new: Mapping[str, bytes]) -> Record | Failed:
        """Replace the files; what they may hold from here on is on disk before they hold it."""
        served = self.record.served
        if served is None:
            live = config_change.live_map(self.snapshot.ours, KeyPattern(self.record.key))
            served = recipes.defaults_of(live)
        written = {
            name: (self.folder.keep(self.snapshot.ours[name]), self.folder.keep(content))
            for name, content in self.planned.contents.items()
        }
        record = self.record.model_copy(update={"written": written, "served": served})
        self.folder.save(record)
        for name, content in new.items():
            if not _replace(self.folder, name, content, self.snapshot.found[name]):
                return Failed(
                    reason="EditedMeanwhile",
                    message=f"somebody changed {name} while it was being patched",
                )
        return record

    async def _reload(self, before: int) -> str:
        """Return what went wrong, or nothing; a gateway that was down before is not blamed."""
        if self.gateway is None:
            return ""
        if fault := await _reload(self.gateway):
            return fault
        status = await _ask(self.gateway)
        broken = status == 0 or status >= SERVER_ERRORS
        was_well = 0 < before < SERVER_ERRORS
        return f"it answers {status or 'nothing'} since" if broken and was_well else ""

    def _differs(self) -> str:
        routes = copy_folder.routes_on_disk(self.folder, self.record)
        wrong = [key for key, url in self.planned.routes.items() if routes.get(key) != url]
        return f"read back, {', '.join(wrong)} differs" if wrong else ""

    def _verified(self, record: Record) -> None:
        written = {name: names[-1:] for name, names in record.written.items()}
        update = {"written": written, "served": None, "verified_at": self.now()}
        verified = record.model_copy(update=update)
        self.folder.save(verified)
        self.folder.forget(verified)

    async def _put_back(self, record: Record, new: Mapping[str, bytes], fault: str) -> Failed:
        back = await asyncio.to_thread(self._undo, record, new)
        again = await _reload(self.gateway) if self.gateway and back else ""
        said = "the previous config.php is back" if back else "somebody changed config.php since"
        if again:
            said += f", but the gateway did not take it: {again}"
        return Failed(
            reason="GatewayBroken",
            message=f"config.php was patched and the gateway failed: {fault}; {said}",
            fix="read the gateway container's log",
        )

    def _undo(self, record: Record, new: Mapping[str, bytes]) -> bool:
        """Only what the agent wrote is undone."""
        back = all(
            _replace(self.folder, name, self.snapshot.ours[name], content)
            for name, content in new.items()
        )
        if back:
            written = {name: names[:1] for name, names in record.written.items()}
            update = {"written": written, "served": self.record.served}
            self.folder.save(record.model_copy(update=update))
        return back


def _snapshot(folder: CopyFolder, record: Record, now: datetime) -> Snapshot:
    found = {name: folder.read(name) for name in record.written}
    ours: dict[str, bytes] = {}
    notes = list[str]()
    for name, content in found.items():
        if content is not None and hashed(content) in record.written[name]:
            ours[name] = content
            continue
        ours[name] = folder.kept(record.written[name][-1])
        if content is None:
            notes.append(f"{name} had been removed")
        else:
            kept = folder.keep_edited(name, content, now)
            notes.append(f"{name} had been edited by hand: kept as {kept.name}")
    return Snapshot(found, ours, tuple(notes))


def _replace(folder: CopyFolder, name: str, content: bytes, expected: bytes | None) -> bool:
    """Rename a new content into place, unless the file is not what is expected."""
    path = folder.file(name)
    if expected is None:
        durable.write(path, content)
        return True
    staged = durable.stage_beside(path, content)
    try:
        if folder.read(name) != expected:
            return False
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)
    durable.sync_folder(path.parent)
    return True


async def _lint(gateway: Gateway, contents: Mapping[str, bytes]) -> Failed | None:
    for name, content in contents.items():
        if fault := await gateway.lint(content):
            return Failed(
                reason="InvalidPhp",
                message=f"the gateway's PHP refuses {name}: {fault}",
                fix="correct it in the gateway's repository",
                terminal=True,
            )
    return None


async def _reload(gateway: Gateway) -> str:
    """Reload, and wait until the new generation serves: graceful's return alone is no proof."""
    generation = await gateway.generation()
    if fault := await gateway.graceful():
        return f"it refused to reload: {fault}"
    if generation is None:
        await asyncio.sleep(BLIND_PAUSE)
        return ""
    pause = FIRST_PAUSE
    try:
        async with asyncio.timeout(RELOAD_SECONDS):
            while (await gateway.generation() or 0) <= generation:
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
    except TimeoutError:
        return f"it did not reload within {RELOAD_SECONDS:g} s"
    return ""


async def _ask(gateway: Gateway) -> int:
    """Return the worst of several answers: each new connection may meet another worker.

    Silence is asked again: a gateway that is slow under load is not broken.
    """
    answers = [await gateway.answer() or await gateway.answer() for _ in range(PROBES)]
    return 0 if 0 in answers else max(answers)


def _missing(folder: CopyFolder) -> Failed:
    return Failed(reason="CopyMissing", message=f"there is no gateway copy in {folder.root}")


def _no_default(key: str) -> Failed:
    return Failed(
        reason="RouteRefused",
        message=f"config.php has no plain committed value of {key} to go back to",
        fix=f"make $config['{key}'] one plain string in the gateway's repository",
        terminal=True,
    )
