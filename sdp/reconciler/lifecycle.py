"""Lifecycle: whether a sandbox is awake, since when, by whom and why. Pure.

Intent lives in git alone, so git is asked: a walk back through the commits until each sandbox's
last change, and the beginning of what it is now, were met. A walk ends where the one before began,
so a new commit costs itself only; and it needs no database.
"""

import dataclasses
import datetime
import re
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, Literal, TypeAlias

from typing_extensions import override

from sdp.reconciler.desired import Desired, DesiredSandbox
from sdp.spec.load import Blob, load
from sdp.spec.models import Body
from sdp.spec.resolve import Resolved, resolve
from sdp.spec.roles import ITSELF
from sdp.spec.tree import Tree

State: TypeAlias = Literal["ACTIVE", "SUSPENDED", "EXPIRED"]

WHOLE: Final = ""
"""In place of a service's name: the sandbox itself."""

_NO_WHY: Final = re.compile(r"- .*|(SDP-[\w-]+|[\w-]+-by|Change-Id):\s.*", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class LastChange:
    """A commit that changed something: when it was made, and who wrote what about it.

    ``author`` is a name as people read it, ``mail`` what goes with it.
    """

    sha: str
    at: datetime.datetime
    author: str
    message: str
    mail: str = ""

    @property
    def why(self) -> str:
        """Return the author's words on one line: below the subject, or where nothing is, that."""
        subject, *paragraphs = re.split(r"\n[ \t]*\n", self.message.strip())
        said = (each for each in paragraphs if not _made_up(each))
        return " ".join(next(said, subject).split())


@dataclasses.dataclass(frozen=True, slots=True)
class Moment:
    """A commit, and the specs that it holds: path → id of the blob, which ``read`` reads.

    ``root``: it is the first commit of all.
    """

    change: LastChange
    files: Mapping[str, str]
    read: Callable[[str], bytes]
    root: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Life:
    """What git says of a sandbox that is desired.

    Attributes:
        changed: the commit that last changed its file; None: longer ago than was looked.
        began: service, or ``WHOLE`` → the commit since which it is suspended, or is not; of
            services only those that are suspended.
    """

    changed: LastChange | None = None
    began: Mapping[str, LastChange] = dataclasses.field(
        default_factory=lambda: types.MappingProxyType({})
    )


UNTOLD: Final = Life()
"""Of a sandbox whose past was not looked at."""


@dataclasses.dataclass(frozen=True, slots=True)
class Lives:
    """What git says of all sandboxes, by lower-cased name, as of the revision ``seen``.

    ``newest`` is the commit of that revision.
    """

    seen: str = ""
    of: Mapping[str, Life] = dataclasses.field(default_factory=lambda: types.MappingProxyType({}))
    newest: LastChange | None = None


NO_LIVES: Final = Lives()


@dataclasses.dataclass(frozen=True, slots=True)
class Lifecycle:
    """Whether a sandbox, or a service of it, is awake; ``since`` is None where nobody knows.

    Of a sandbox that expires: when it was last used, when it sleeps and when it goes, unless it
    is used again.
    """

    state: State
    since: datetime.datetime | None = None
    by: str = ""
    why: str = ""
    used_at: datetime.datetime | None = None
    expires_at: datetime.datetime | None = None
    deletes_at: datetime.datetime | None = None


AWAKE: Final = Lifecycle("ACTIVE")


def lifecycle(desired: DesiredSandbox, life: Life) -> Lifecycle:
    """Return how a sandbox lives; one that is suspended does not expire.

    Args:
        desired: the sandbox.
        life: what git says of it.
    """
    if (expired := desired.expired) is not None:
        unused = f"not used since {expired.used_at:%Y-%m-%d %H:%M} UTC"
        return Lifecycle("EXPIRED", expired.since, ITSELF, unused)
    return _lifecycle("SUSPENDED" if desired.suspended else "ACTIVE", life.began.get(WHOLE))


def of_service(desired: DesiredSandbox, service: str, life: Life) -> Lifecycle:
    """Return how one service of a sandbox lives, or its gateway."""
    if desired.asleep or not desired.sleeps(service):
        return lifecycle(desired, life)
    return _lifecycle("SUSPENDED", life.began.get(service))


def words(made: Lifecycle) -> str:
    """Return a lifecycle as people read it, but for its state: since when, by whom, why."""
    since = f"since {made.since:%Y-%m-%d %H:%M} UTC" if made.since else ""
    by = f"by {made.by}" if made.by else ""
    said = " ".join(each for each in (since, by) if each)
    return f"{said}: {made.why}" if made.why else said


def lives(desired: Desired, known: Lives, tree: Tree, moments: Iterable[Moment]) -> Lives:
    """Return what git says of the sandboxes that are desired.

    Args:
        desired: as of the newest moment.
        known: what was found before.
        tree: the specs of the newest moment.
        moments: newest first, by first parents; read only as far as needed.
    """
    walk = _Walk(desired, tree)
    for moment in moments:
        walk.visit(moment)
        if moment.change.sha == known.seen:
            walk.join(known)
        if not walk.rest:
            break
    return walk.ended()


def _lifecycle(state: State, began: LastChange | None) -> Lifecycle:
    if began is None:
        return Lifecycle(state)
    return Lifecycle(state, began.at, began.author, began.why)


def _made_up(paragraph: str) -> bool:
    """Whether a paragraph of a message is a list of edits, or trailers."""
    return all(_NO_WHY.fullmatch(line) for line in paragraph.strip().splitlines())


def _asleep(sandbox: DesiredSandbox) -> frozenset[str]:
    services = [name for name, each in sandbox.services.items() if each.suspended]
    return frozenset([*services, WHOLE] if sandbox.suspended else services)


class _Walk:
    """A walk back through the past; ``rest`` is of whom not everything was met yet, and what."""

    def __init__(self, desired: Desired, tree: Tree) -> None:
        self._seen = desired.revision
        self._now = {name: _asleep(each) for name, each in desired.sandboxes.items()}
        self._paths = {name: each.path for name, each in desired.sandboxes.items()}
        self.rest = {name: {WHOLE, *now} for name, now in self._now.items()}
        self._changed: dict[str, LastChange] = {}
        self._began: dict[str, dict[str, LastChange]] = {name: {} for name in self.rest}
        self._later: Moment | None = None
        self._newest: LastChange | None = None
        self._tree: Tree = _Specs(tree.platform, tree.sandboxes, tree.templates, {})

    def visit(self, moment: Moment) -> None:
        """Take the next older commit: what differs from the later one, the later one made so."""
        later, self._later = self._later, moment
        self._newest = self._newest or moment.change
        if later is None or later.files is moment.files:
            return
        differing = {path for path, _ in later.files.items() ^ moment.files.items()}
        self._tree = _older(self._tree, moment, differing)
        moved = {
            each.spec.sandbox.lower(): path
            for path, each in self._tree.sandboxes.items()
            if path in differing
        }
        shared = any(not path.startswith("sandboxes/") for path in differing)
        for name in [each for each in self.rest if shared or self._paths[each] in differing]:
            if self._paths[name] in differing:
                self._changed.setdefault(name, later.change)
                self._paths[name] = moved.get(name, self._paths[name])
            self._compare(name, moment, later.change)

    def _compare(self, name: str, moment: Moment, change: LastChange) -> None:
        """Take what a change made of a sandbox, whose file is known as of before."""
        if self._paths[name] not in moment.files:  # it came to be
            self._settle(name, self.rest[name], change)
            return
        resolved = resolve(self._paths[name], self._tree)
        if isinstance(resolved, Resolved):  # what can't be read changed nothing
            others = _suspended(resolved.body) ^ self._now[name]
            self._settle(name, self.rest[name] & others, change)

    def _settle(self, name: str, keys: Iterable[str], change: LastChange) -> None:
        told = dict.fromkeys(keys, change)
        self._began[name].update(told)
        self.rest[name] -= told.keys()
        if not self.rest[name] and name in self._changed:
            del self.rest[name]

    def join(self, known: Lives) -> None:
        """Take what was found before of what did not change since."""
        for name in [each for each in self.rest if each in known.of]:
            before = known.of[name]
            told = {key: before.began[key] for key in self.rest[name] & before.began.keys()}
            self._began[name].update(told)
            if name not in self._changed and before.changed is not None:
                self._changed[name] = before.changed
            del self.rest[name]

    def ended(self) -> Lives:
        """Return what was found; the first commit of all made the rest."""
        if self._later is not None and self._later.root:
            for name in tuple(self.rest):
                self._changed.setdefault(name, self._later.change)
                self._settle(name, self.rest[name], self._later.change)
        found = {n: Life(self._changed.get(n), began) for n, began in self._began.items()}
        return Lives(self._seen, found, self._newest)


class _Specs(Tree):
    """Specs of the past, without environments: which of them there were does not matter here."""

    __slots__ = ()

    @override
    def environments_at(self, revision: str | None) -> None:
        return None


def _older(tree: Tree, moment: Moment, differing: Collection[str]) -> Tree:
    """Return what says how sandboxes lived at a moment, as far as it loads, of a later tree."""
    part = load(
        Blob(path, moment.files[path], moment.read(moment.files[path]))
        for path in differing
        if path in moment.files
    )
    kept = tree.platform if tree.platform and tree.platform.path not in differing else None
    sandboxes = {path: each for path, each in tree.sandboxes.items() if path not in differing}
    templates = {n: each for n, each in tree.templates.items() if each.path not in differing}
    return _Specs(
        part.platform or kept,
        {**sandboxes, **part.sandboxes},
        {**templates, **part.templates},
        {},
    )


def _suspended(body: Body) -> frozenset[str]:
    asleep = [
        name
        for name, each in (body.services or {}).items()
        if each is not None and each.suspended and (each.branch or each.commit)
    ]
    whole = body.lifecycle is not None and body.lifecycle.suspended
    return frozenset([*asleep, WHOLE] if whole else asleep)
