"""Needs: what it takes to change files of the config repo. Pure; ``roles`` says who has it.

The same for a change through the control plane, for a commit that was pushed, and for a plan.
"""

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from typing_extensions import override

from sdp.spec import yaml
from sdp.spec.load import is_spec
from sdp.spec.roles import OWNERS, TABLE, Permission, Person, may

Changes: TypeAlias = Mapping[str, str | None]
"""Path → new content, of what differs; None removes the file."""

_KEPT: Final = 1024
_ROUTES: Final = frozenset({"use_ocp", "url"})
_RUNS: Final = frozenset({"branch", "commit"})
_WHOLE_FOLDERS: Final[Mapping[str, Permission]] = {
    "templates": "manage templates",
    "environments": "manage environments",
}


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Need:
    """What a change of one file takes; whose sandbox it is about, as it was before the change."""

    path: str
    permission: Permission
    sandbox: str = ""
    owner: str = ""

    @override
    def __str__(self) -> str:
        """Return it as people read it."""
        return f"{self.path} takes {self.permission!r}, which {least(self.permission)} has"


def needs(before: Mapping[str, str], after: Changes) -> dict[str, tuple[Need, ...]]:
    """Return what a change takes, by path; what is no spec takes nothing.

    Args:
        before: all specs as they count, by path; read only as far as needed.
        after: what differs.
    """
    moved = _moved(before, after)
    return {
        path: tuple(_needs(path, before, text, moved))
        for path, text in sorted(after.items())
        if is_spec(path)
    }


def lacking(who: Person, wanted: Iterable[Need]) -> tuple[Need, ...]:
    """Return what somebody has no right to."""
    return tuple(each for each in wanted if not may(who, each.permission, each.owner))


def may_anyway(who: Person, path: str) -> bool:
    """Whether somebody may change a file whatever is in it; spares reading it."""
    return all(may(who, each) for each in _most(path))


def least(permission: Permission) -> str:
    """Return the role, the least of them, that has a permission."""
    return next(role for role, has in TABLE.items() if permission in has)


def _most(path: str) -> frozenset[Permission]:
    folder, below, _ = path.partition("/")
    if not below:
        return frozenset({"administer"})
    return frozenset({_WHOLE_FOLDERS[folder]}) if folder in _WHOLE_FOLDERS else OWNERS


def _needs(
    path: str, before: Mapping[str, str], new: str | None, moved: Mapping[str, str]
) -> Iterator[Need]:
    folder, below, _ = path.partition("/")
    old = before.get(path)
    if not below:
        yield Need(path, "administer")
    elif folder in _WHOLE_FOLDERS:
        yield Need(path, _WHOLE_FOLDERS[folder])
    elif folder == "snapshots":
        yield from _snapshot(path, before, (old, new))
    else:
        yield from _sandbox(path, before, new, moved)


def _sandbox(
    path: str, before: Mapping[str, str], new: str | None, moved: Mapping[str, str]
) -> Iterator[Need]:
    old = before.get(path)
    name, said = _name(old), _name(new)
    if origin := moved.get(name.lower() if new is None else said.lower() if old is None else ""):
        yield from _kept(path, before, before.get(origin), new)
    elif old is None:
        yield Need(path, "deploy", said)
    elif new is None:
        yield Need(path, "delete sandboxes", name, _owner(old, before))
    elif name and said and name.lower() != said.lower():
        yield Need(path, "delete sandboxes", name, _owner(old, before))
        yield Need(path, "deploy", said)
    else:
        yield from _kept(path, before, old, new)


def _kept(
    path: str, before: Mapping[str, str], old: str | None, new: str | None
) -> Iterator[Need]:
    """Yield what it takes to change a sandbox that stays.

    Who owns it may delete it, so to give it an owner takes what deleting does.
    """
    name, owner = _name(old), _owner(old, before)
    was, will = _value(old or ""), _value(new or "")
    yield Need(path, "manage routes" if _only_routes(was, will) else "deploy", name, owner)
    if will and _owner(new, before).lower() != owner.lower():
        yield Need(path, "delete sandboxes", name, owner)


def _moved(before: Mapping[str, str], after: Changes) -> dict[str, str]:
    """Return the sandboxes whose file has another path now: lower-cased name → path before."""
    mine = {path: text for path, text in after.items() if path.startswith("sandboxes/")}
    gone = {_name(before.get(path)).lower(): path for path, text in mine.items() if text is None}
    new = {_name(text).lower() for path, text in mine.items() if text and path not in before}
    return {name: path for name, path in gone.items() if name and name in new}


def _snapshot(path: str, before: Mapping[str, str], texts: Iterable[str | None]) -> Iterator[Need]:
    names = {str(_value(text).get("sandbox", "")) for text in texts if text is not None}
    for name in sorted(names):
        owner = next(
            (
                _owner(text, before)
                for other in before
                if other.startswith("sandboxes/")
                and _name(text := before[other]).lower() == name.lower()
            ),
            "",
        )
        yield Need(path, "deploy", name, owner)


def _name(text: str | None) -> str:
    """Return the name that a sandbox's file declares; "" where it can't be read."""
    name = _value(text).get("sandbox") if text is not None else None
    return name if isinstance(name, str) else ""


def _owner(text: str | None, before: Mapping[str, str]) -> str:
    """Return who owns the sandbox of a file: by itself, its template or the defaults."""
    said = _value(text) if text is not None else {}
    layers = [said]
    if "owner" not in said and isinstance(named := said.get("template"), str):
        layers += [
            found
            for path in before
            if path.startswith("templates/")
            and (found := _value(before[path])).get("template") == named
        ][:1]
    if all("owner" not in each for each in layers):
        platforms = (path for path in before if "/" not in path and is_spec(path))
        defaults = (_value(before[path]).get("defaults") for path in platforms)
        layers += [each for each in defaults if isinstance(each, Mapping)][:1]
    owner = next((each["owner"] for each in layers if "owner" in each), "")
    return owner if isinstance(owner, str) else ""


def _only_routes(old: Mapping[str, yaml.Value], new: Mapping[str, yaml.Value]) -> bool:
    """Whether all that differs is that services come from OCP, or from an address."""
    rest = [{k: v for k, v in each.items() if k != "services"} for each in (old, new)]
    before, after = old.get("services") or {}, new.get("services") or {}
    if rest[0] != rest[1] or not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return False
    names = before.keys() | after.keys()
    differing = [name for name in names if before.get(name) != after.get(name)]
    return bool(differing) and all(
        _is_route(before.get(name), after.get(name)) for name in differing
    )


def _is_route(old: yaml.Value, new: yaml.Value) -> bool:
    old = {} if old is None else old
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return False
    targets = _ROUTES | _RUNS
    same = [{k: v for k, v in each.items() if k not in targets} for each in (old, new)]
    return same[0] == same[1] and bool(_ROUTES & new.keys()) and not _RUNS & new.keys()


@functools.lru_cache(_KEPT)
def _value(text: str) -> Mapping[str, yaml.Value]:
    """Return the keys of a file, as far as it can be read at all."""
    document, _ = yaml.parse(text.encode(errors="surrogatepass"))
    return document.value if document and isinstance(document.value, Mapping) else {}
