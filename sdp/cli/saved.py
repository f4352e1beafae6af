"""Saved plans: what a person looked at, and whether it is still what would happen.

A saved plan is bound to what it touches: the files that it commits, and the sandboxes that they
are about. What happens elsewhere does not make it stale. Holds no contents and no secrets.
"""

import difflib
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from sdp.api.views import PlanView, SandboxPlan
from sdp.cli import context as cli
from sdp.cli.intended import Intended, touched
from sdp.spec.select import Selection

FORMAT: Final = 2
STALE: Final = 3
_TOO_LONG: Final = 400


class _Saved(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SavedFile(_Saved):
    """Hashes of a file's text, as it would be committed and as it is; "" where there is none."""

    text: str
    head: str


class SavedSandbox(_Saved):
    """What was to be done about a sandbox; ``definition`` is "" where it was to go."""

    definition: str
    identity: str
    lines: list[str]


class _Head(BaseModel):
    """What every version of the format says first."""

    format: int = 1


class SavedPlan(_Saved):
    """A plan on disk."""

    format: int
    server: str
    instance: str
    directory: str
    sandboxes_only: list[str]
    services_only: list[str]
    excluded: list[str]
    allow_deletes: int
    files: dict[str, SavedFile]
    sandboxes: dict[str, SavedSandbox]

    @property
    def selection(self) -> Selection:
        """What of the working tree it is about."""
        return Selection.of(self.sandboxes_only, self.services_only, self.excluded)


def saved(
    server: str, directory: Path, wish: Intended, made: PlanView, allow_deletes: int
) -> SavedPlan:
    """Return what of a plan is saved."""
    chosen = wish.selection
    return SavedPlan(
        format=FORMAT,
        server=server,
        instance=made.instance,
        directory=str(directory.resolve()),
        sandboxes_only=sorted(chosen.sandboxes),
        services_only=sorted(chosen.services),
        excluded=sorted(chosen.excluded),
        allow_deletes=allow_deletes,
        files=_files(wish),
        sandboxes=_sandboxes(wish, made, allow_deletes),
    )


def read(path: Path, server: str) -> SavedPlan:
    """Return a saved plan; end with 1 where it is none, or of elsewhere."""
    again = f"save one: sdp plan -o {path}"
    try:
        content = path.read_bytes()
        written = _Head.model_validate_json(content).format
        if written != FORMAT:
            cli.fail(
                f"{path} was saved by another version of sdp: it has format {written}, and this "
                f"version reads {FORMAT}",
                again,
            )
        found = SavedPlan.model_validate_json(content)
    except (OSError, ValidationError):
        cli.fail(f"{path} is no saved plan of this sdp", again)
    if found.server != server:
        cli.fail(
            f"{path} was saved against the control plane at {found.server}, and this is {server}",
            f"sdp --server {found.server} apply {path}; or {again}",
        )
    return found


def restricted(before: SavedPlan, wish: Intended) -> Intended:
    """Return what would be committed, without what was changed since elsewhere."""
    meant = {p: wish.files[p] for p in before.files if p in wish.files}
    rest = {path: text for path, text in wish.head.items() if path not in before.files}
    left_out = {*wish.left_out, *(path for path in wish.paths if path not in before.files)}
    return Intended(wish.head, {**rest, **meant}, wish.selection, tuple(sorted(left_out)))


def refuse_stale(before: SavedPlan, wish: Intended, made: PlanView) -> None:
    """End with 3, naming all that changed, where a saved plan is not what would happen now."""
    if before.instance != made.instance:
        cli.fail(
            f"the plan was saved for the platform {before.instance!r}, and this control plane "
            f"serves {made.instance!r}",
            "name the control plane with --server, or plan again: sdp plan",
        )
    changed = [*_changed_files(before, wish), *_changed_sandboxes(before, wish, made)]
    if not changed:
        return
    for line in changed:
        cli.say(cli.inert(line)[:_TOO_LONG])
    cli.fail(
        "the saved plan is stale: above is what changed since; nothing was committed",
        "plan again: sdp plan",
        STALE,
    )


def _changed_files(before: SavedPlan, wish: Intended) -> Iterator[str]:
    for path, then in sorted(before.files.items()):
        if _hash(wish.head.get(path)) != then.head:
            yield f"{path}: it was committed to"
        if (now := _hash(wish.files.get(path))) != then.text:
            yield f"{path}: it was {'edited' if now else 'removed'} in the working tree"


def _changed_sandboxes(before: SavedPlan, wish: Intended, made: PlanView) -> Iterator[str]:
    now = _sandboxes(wish, made, before.allow_deletes)
    for name in sorted(before.sandboxes.keys() | now.keys()):
        old, new = before.sandboxes.get(name), now.get(name)
        if old is None:
            yield f"sandbox {name}: the plan was not about it, and it would change now"
        elif new is None:
            yield f"sandbox {name}: the plan is not about it any more"
        elif (old.definition, old.identity) != (new.definition, new.identity):
            yield f"sandbox {name}:"
            yield from _differing(old, new)


def _differing(old: SavedSandbox, new: SavedSandbox) -> Iterator[str]:
    lines = [
        line
        for line in difflib.unified_diff(old.lines, new.lines, n=0, lineterm="")
        if not line.startswith(("---", "+++", "@@"))
    ]
    words = {"-": "was", "+": "now"}
    yield from (f"  {words[line[0]]}: {line[1:].strip()}" for line in lines)
    if not lines and old.definition != new.definition:
        yield f"  its definition changed: {old.definition or 'none'} → {new.definition or 'none'}"
    elif not lines:
        yield f"  versions or ports changed: {old.identity or 'nothing'} → {new.identity}"


def _files(wish: Intended) -> dict[str, SavedFile]:
    return {
        path: SavedFile(text=_hash(wish.files.get(path)), head=_hash(wish.head.get(path)))
        for path in wish.paths
    }


def _sandboxes(wish: Intended, made: PlanView, allow_deletes: int) -> dict[str, SavedSandbox]:
    plans = {each.sandbox.lower(): each for each in made.sandboxes}
    about = touched(wish.head, wish.files)
    if allow_deletes:
        about |= _leaving(about, plans)
    return {
        name: _sandbox(definition, plans.get(name.lower())) for name, definition in about.items()
    }


def _leaving(about: Mapping[str, str], plans: Mapping[str, SandboxPlan]) -> dict[str, str]:
    """Return the sandboxes that nobody desires and that are to go, or wait to."""
    known = {name.lower() for name in about}
    return {
        each.sandbox: ""
        for name, each in plans.items()
        if name not in known and each.leaving and each.actions
    }


def _sandbox(definition: str, plan: SandboxPlan | None) -> SavedSandbox:
    if plan is None:
        return SavedSandbox(definition=definition, identity="", lines=[])
    held = [f"held: {each.service} {each.reason}".replace("  ", " ") for each in plan.holds]
    return SavedSandbox(definition=definition, identity=plan.identity, lines=[*plan.lines, *held])


def _hash(text: str | None) -> str:
    if text is None:
        return ""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
