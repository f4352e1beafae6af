"""Writer: a change of specs, landed on the config repo's branch as one commit.

What others committed meanwhile is kept: where they touched other files the change is made anew on
top, where they touched the same it is refused, and shown. Nothing is forced, and nothing is left
half done: the branch moves once, at the end. Blocks.
"""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, TypeAlias

from dulwich.refs import HEADREF, Ref
from dulwich.repo import Repo

from sdp.protocol.secret import Credentials
from sdp.reconciler.commit import Committed, Moved, Refused, Sign, Unchanged, make, say, swap
from sdp.reconciler.git import MOVED, RemoteFailed, fetch, forward, push
from sdp.reconciler.revisions import CommitSummary, between, contains, diff, files_at, named, past
from sdp.spec.change import CannotChangeError, Changed, Files, Past, change
from sdp.spec.edits import Write

TRIES: Final = 5

Edit: TypeAlias = Callable[[Files, Past], Changed]
"""Makes the change from the files of a commit; raises CannotChangeError."""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where a config repo is written.

    Attributes:
        repo: a repository, bare or not.
        branch: its name, without refs/heads/.
        remote: what is fetched and pushed, a remote's name or a URL; "" where there is none.
        tree: the repository has a working tree on that branch, which follows.
        sign: signs what is committed; None: nobody does.
        lent: with whose credentials it is fetched and pushed.
    """

    repo: Path
    branch: str
    remote: str = ""
    tree: bool = False
    sign: Sign | None = None
    lent: Credentials | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Landed:
    """The change is on the branch; ``left`` says why the working tree did not follow."""

    sha: str
    base: str
    changed: Changed
    diff: str
    left: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Conflict:
    """Others changed the same files since the base; ``diff`` shows what they did."""

    base: str
    tip: str
    paths: tuple[str, ...]
    commits: tuple[CommitSummary, ...]
    diff: str


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """What a change would be on top of a base: ``files`` are all of them afterwards."""

    base: str
    changed: Changed
    diff: str
    files: Files


@dataclasses.dataclass(frozen=True, slots=True)
class Unwritable:
    """The change can't be landed here now."""

    reason: str
    message: str
    fix: str


Outcome: TypeAlias = Landed | Conflict | Unchanged | Unwritable


def land(place: Place, edit: Edit, author: str, why: str = "", base: str = "") -> Outcome:
    """Make a change, commit it, and bring the branch to it.

    Args:
        place: where.
        edit: what; called again where the branch moves meanwhile.
        author: as ``Name <mail>``.
        why: the author's words; below the subject, which says what.
        base: the commit at which the author looked at the files; "" for now.

    Raises:
        CannotChangeError: the change itself can't be made.
    """
    for _ in range(TRIES):
        outcome = _once(place, edit, author, why, base)
        if not isinstance(outcome, _Again):
            return outcome
        base = base or outcome.base
    return Unwritable(
        MOVED, f"{place.branch} moved {TRIES} times meanwhile", "try again when it is quieter"
    )


def preview(place: Place, edit: Edit) -> Shown | Unwritable:
    """Return what a change would be now, and commit nothing.

    Raises:
        CannotChangeError: the change itself can't be made.
    """
    tip = current(place)
    if isinstance(tip, Unwritable):
        return tip
    files = files_at(place.repo, tip)
    changed = edit(files, lambda path: past(place.repo, tip, path))
    after = {path: text for path, text in {**files, **changed.files}.items() if text is not None}
    return Shown(tip, changed, diff(files, changed.files), after)


def current(place: Place) -> str | Unwritable:
    """Return where the branch is; of a remote's, after fetching it."""
    here = _tip(place)
    if not place.remote:
        return here
    fetched = fetch(place.repo, place.remote, place.branch, place.lent)
    if isinstance(fetched, RemoteFailed):
        return Unwritable(fetched.reason, fetched.message, fetched.fix)
    if place.tree and not contains(place.repo, fetched.sha, here):
        return Unwritable(
            "NotPushed",
            f"{place.branch} has commits that {place.remote} has not",
            f"push them first: sdp apply; or git pull --rebase {place.remote} {place.branch}",
        )
    return fetched.sha


def conflict(repo: Path, base: str, tip: str, mine: Iterable[str]) -> Conflict | None:
    """Return what others did to these files between a base and a tip, if anything.

    Args:
        repo: the repository, which has both.
        base: a commit; "" for none.
        tip: one that came after it.
        mine: the files' paths.
    """
    before, now = files_at(repo, base), files_at(repo, tip)
    paths = tuple(path for path in mine if before.get(path) != now.get(path))
    if not paths:
        return None
    theirs = {path: now.get(path) for path in paths}
    return Conflict(base, tip, paths, between(repo, base, tip, paths), diff(before, theirs))


def reverting(repo: Path, commit: str) -> Edit:
    """Return the change that undoes a commit; it takes nothing of what came later along.

    Args:
        repo: the repository.
        commit: its SHA, or the first digits of it.
    """

    def edit(files: Files, _: Past) -> Changed:
        sha, parent, subject = named(repo, commit)
        before, after = files_at(repo, parent), files_at(repo, sha)
        touched = [p for p in before.keys() | after.keys() if before.get(p) != after.get(p)]
        if not touched:
            raise CannotChangeError(
                f"{sha[:7]} changed no spec", "name the commit that changed what is to be undone"
            )
        later = sorted(path for path in touched if files.get(path) != after.get(path))
        if later:
            raise CannotChangeError(
                f"{', '.join(later)} changed again after {sha[:7]}",
                "revert the later commits first, newest first; or edit the files",
            )
        undone = [Write(path=path, text=before.get(path)) for path in sorted(touched)]
        made = change(files, undone)
        return Changed(made.files, f'Revert "{subject}"')

    return edit


@dataclasses.dataclass(frozen=True, slots=True)
class _Again:
    """The branch moved between looking and landing."""

    base: str


def _once(place: Place, edit: Edit, author: str, why: str, base: str) -> Outcome | _Again:
    tip = current(place)
    if isinstance(tip, Unwritable):
        return tip
    files = files_at(place.repo, tip)
    changed = edit(files, lambda path: past(place.repo, tip, path))
    if stands := _conflict(place, base, tip, changed) or _dirty(place, changed):
        return stands
    said = _message(changed, why)
    if changed.trailer and not changed.files:
        made: Committed | Unchanged | Refused = say(place.repo, said, author, tip, place.sign)
    else:
        made = make(place.repo, _encoded(changed), said, author, tip, place.sign)
    match made:
        case Unchanged():
            return made
        case Refused(path=path, reason=reason):
            return Unwritable("PathRefused", f"{path}: {reason}", "name another path")
        case Committed(sha=sha):
            landed = Landed(sha, tip, changed, diff(files, changed.files))
            return _publish(place, landed)


def _publish(place: Place, landed: Landed) -> Landed | Unwritable | _Again:
    if place.remote:
        pushed = push(place.repo, place.remote, place.branch, landed.sha, place.lent)
        if isinstance(pushed, RemoteFailed):
            if pushed.reason == MOVED:
                return _Again(landed.base)
            return Unwritable(pushed.reason, pushed.message, pushed.fix)
    if place.tree:
        left = forward(place.repo, landed.sha)
        if left and not place.remote:
            here = _tip(place)
            return _Again(landed.base) if here != landed.base else _unclean(left)
        return dataclasses.replace(landed, left=left)
    swapped = swap(
        place.repo, _ref(place), _tip(place) if place.remote else landed.base, landed.sha
    )
    if isinstance(swapped, Moved) and not place.remote:
        return _Again(landed.base)
    return landed


def _conflict(place: Place, base: str, tip: str, changed: Changed) -> Conflict | None:
    """Return what others did to the same files between the base and the tip."""
    if not base:
        return None
    base, _, _ = named(place.repo, base)
    return None if base == tip else conflict(place.repo, base, tip, changed.files)


def _dirty(place: Place, changed: Changed) -> Unwritable | None:
    """Return why a working tree can't follow: somebody's own edits of the same files."""
    if not place.tree:
        return None
    here = files_at(place.repo, _tip(place))
    for path in changed.files:
        file = place.repo / path
        held = file.read_bytes().decode(errors="surrogateescape") if file.is_file() else None
        if held != here.get(path):
            return _unclean(f"{path} has changes that are not committed")
    return None


def _unclean(why: str) -> Unwritable:
    return Unwritable(
        "NotClean", why, "commit them with sdp apply, or undo them: git restore FILE"
    )


def _tip(place: Place) -> str:
    with Repo(str(place.repo)) as opened:
        return (opened.refs.read_ref(Ref(_ref(place).encode())) or b"").decode()


def _ref(place: Place) -> str:
    return f"refs/heads/{place.branch}"


def _encoded(changed: Changed) -> dict[str, bytes | None]:
    return {
        path: None if text is None else text.encode(errors="surrogateescape")
        for path, text in changed.files.items()
    }


def _message(changed: Changed, why: str) -> str:
    """Return what and why: the subject, the author's words, and each edit where there are many."""
    parts = [changed.subject]
    if why:
        parts.append(why)
    if len(changed.lines) > 1:
        parts.append("\n".join(f"- {line}" for line in changed.lines))
    if changed.trailer:
        parts.append(changed.trailer)
    return "\n\n".join(parts) + "\n"


def place_of(
    repo: Path,
    branch: str,
    remote: str = "",
    sign: Sign | None = None,
    lent: Credentials | None = None,
) -> Place:
    """Return the place of a repository, with its working tree where that is on the branch."""
    with Repo(str(repo)) as opened:
        bare = opened.bare
        head = opened.refs.follow(HEADREF)[0][-1]
    tree = not bare and head == Ref(f"refs/heads/{branch}".encode())
    return Place(repo, branch, remote, tree, sign, lent)
