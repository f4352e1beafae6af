"""Select: a part of what a working tree changes, such as one sandbox or one service of it. Pure.

Templates, environments and the platform matter to more than one sandbox, so they are never part
of a part. What is not selected stays as the base has it.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from typing_extensions import override

from sdp.spec import edit, names, yaml
from sdp.spec.load import tree_of


class CannotSelectError(ValueError):
    """A part can't be taken out of what was changed; ``fix`` says what to do."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


@dataclasses.dataclass(frozen=True, slots=True)
class Selection:
    """Which sandboxes and services are meant; empty: all of them.

    Attributes:
        sandboxes: lower-cased names.
        services: names of services, ``gateway`` too; within the chosen sandboxes.
        excluded: what is not meant, lower-cased: ``name`` or ``name/service``.
    """

    sandboxes: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, sandboxes: Iterable[str], services: Iterable[str], excluded: Iterable[str]
    ) -> "Selection":
        """Return what people named, in any case."""
        named = (sandboxes, services, excluded)
        return cls(*(frozenset(each.lower() for each in those) for those in named))

    @property
    def whole(self) -> bool:
        """Whether nothing is left out."""
        return self == WHOLE

    def takes(self, sandbox: str) -> bool:
        """Whether a sandbox is meant, at least in part."""
        chosen = not self.sandboxes or sandbox.lower() in self.sandboxes
        return chosen and sandbox.lower() not in self.excluded

    def takes_service(self, sandbox: str, service: str) -> bool:
        """Whether a service of a sandbox is meant."""
        chosen = not self.services or service in self.services
        return (
            self.takes(sandbox) and chosen and f"{sandbox.lower()}/{service}" not in self.excluded
        )

    def partly(self, sandbox: str) -> bool:
        """Whether only some services of a sandbox are meant."""
        inside = any(each.startswith(f"{sandbox.lower()}/") for each in self.excluded)
        return self.takes(sandbox) and (bool(self.services) or inside)

    @override
    def __str__(self) -> str:
        chosen = [
            _words("sandbox", "sandboxes", self.sandboxes),
            _words("service", "services", self.services),
            f"without {', '.join(sorted(self.excluded))}" if self.excluded else "",
        ]
        return ", ".join(each for each in chosen if each)


WHOLE: Final = Selection()


@dataclasses.dataclass(frozen=True, slots=True)
class Selected:
    """The files with the selected changes alone, and the paths where something was left out."""

    files: Mapping[str, str]
    left_out: tuple[str, ...] = ()


def select(head: Mapping[str, str], working: Mapping[str, str], selection: Selection) -> Selected:
    """Return the head's specs with the selected changes of the working tree.

    Args:
        head: specs by path, as committed.
        working: as they are now.
        selection: what to take over.

    Raises:
        CannotSelectError: what is selected can't be told apart from what is not.
    """
    if selection.whole:
        return Selected(dict(working))
    declared = _declared(head), _declared(working)
    files, left_out = dict(head), list[str]()
    for path in changed(head, working):
        taken = head.get(path)
        about = {each[path] for each in declared if path in each}
        if about and all(map(selection.takes, about)):
            taken = _part(path, about, head.get(path), working.get(path), selection)
        elif any(map(selection.takes, about)):
            both = " and ".join(sorted(about))
            raise CannotSelectError(
                f"{path} is {both}, one before and one after the change",
                "select both, or neither",
            )
        if taken is None:
            files.pop(path, None)
        else:
            files[path] = taken
        if taken != working.get(path):
            left_out.append(path)
    return Selected(files, tuple(left_out))


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return the paths at which two trees differ, in order."""
    return sorted(p for p in before.keys() | after.keys() if before.get(p) != after.get(p))


def sandboxes(files: Mapping[str, str]) -> dict[str, str]:
    """Return the names of the sandboxes in files, as written, by lower-cased name."""
    return {name.lower(): name for name in _declared(files).values()}


def _declared(files: Mapping[str, str]) -> dict[str, str]:
    """Return the sandbox that each file declares, where that can be read."""
    tree = tree_of(files)
    broken = {path: name for path, name in tree.unloaded.items() if name is not None}
    found = {path: name for path, name in broken.items() if path.startswith("sandboxes/")}
    return found | {path: file.spec.sandbox for path, file in tree.sandboxes.items()}


def _part(
    path: str, about: set[str], before: str | None, after: str | None, selection: Selection
) -> str | None:
    """Return one file with the services that are meant, and otherwise as it was."""
    name = max(about)
    if not selection.partly(name):
        return after
    if after is None or before is None:
        what = "removed" if after is None else "new at this path"
        raise CannotSelectError(
            f"{path} is {what}, so {name} can't be taken service by service",
            f"take all of it: --sandbox {name}",
        )
    chosen = selection.services or _services(before) | _services(after)
    meant = [each for each in sorted(chosen) if selection.takes_service(name, each)]
    try:
        if selection.services:
            return _with(before, meant, after)
        return _with(after, sorted(chosen.difference(meant)), before)
    except edit.CannotEditError as error:
        raise CannotSelectError(
            f"{path} can't be taken service by service: {error}",
            f"take all of it: --sandbox {name}",
        ) from error


def _services(text: str) -> frozenset[str]:
    held = edit.document(text).get("services")
    return frozenset({*(held if isinstance(held, Mapping) else ()), names.GATEWAY})


def _with(text: str, services: Sequence[str], source: str) -> str:
    """Return a file with these services as another text of it says."""
    said = edit.document(source)
    for service in services:
        path = (service,) if service == names.GATEWAY else ("services", service)
        found = _held(said, path)
        text = edit.set_value(text, path, found[0]) if found else edit.remove(text, path)
    return text


def _held(value: yaml.Value, path: Sequence[str]) -> list[yaml.Value]:
    """Return the value at a path of keys, or nothing."""
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return []
        value = value[key]
    return [value]


def _words(noun: str, plural: str, named: frozenset[str]) -> str:
    return f"{noun if len(named) == 1 else plural} {', '.join(sorted(named))}" if named else ""
