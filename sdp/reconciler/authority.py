"""Authority: what counts of what was committed. Pure.

Each commit, from the past to the head, is judged by the roles that were in force before it: what
its author has no right to change keeps the content that counts, and waits. So rights are judged
from git alone; nothing that is stored decides. A commit's author is a claim, unless it is signed.
"""

import dataclasses
import datetime
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, TypeAlias, assert_never

from typing_extensions import override

from sdp.spec import trailers
from sdp.spec.load import tree_of
from sdp.spec.models import Roles
from sdp.spec.needs import Need, lacking, least, may_anyway, needs
from sdp.spec.roles import ITSELF, Person, may, person, user_of
from sdp.spec.sshsig import verifies

Blobs: TypeAlias = Mapping[str, str]
"""Path of a spec → id of its content."""

Read: TypeAlias = Callable[[str], str]
"""Id of a content → its text."""

Reason: TypeAlias = Literal["NotPermitted", "NotSigned"]


@dataclasses.dataclass(frozen=True, slots=True)
class Pushed:
    """A commit, as git has it.

    Attributes:
        name: the author's.
        mail: the author's address.
        changes: path → id of the content, of the specs that it changed; None: it removed the file.
        signature: armored; empty where there is none.
        payload: what is signed.
    """

    sha: str
    at: datetime.datetime
    name: str
    mail: str
    message: str
    changes: Mapping[str, str | None]
    signature: bytes = b""
    payload: bytes = b""


@dataclasses.dataclass(frozen=True, slots=True)
class Withheld:
    """A file that does not count as it was committed; what did before, still does.

    Attributes:
        user: whose commit it is, as far as its author tells; "" is nobody known.
        wanted: id of the content that was committed; None: the file was removed.
        needs: what it takes, and its author has not; of what is only not signed, all.
    """

    path: str
    commit: str
    user: str
    at: datetime.datetime
    reason: Reason
    needs: tuple[Need, ...]
    wanted: str | None

    @property
    def message(self) -> str:
        """What waits, and why."""
        what = "the change" if self.wanted is not None else "the removal"
        whose = f"{what} of {self.path} by {self.user or 'nobody known'} in {self.commit[:7]}"
        match self.reason:
            case "NotPermitted":
                takes = ", ".join(
                    f"{e.permission!r}, which {least(e.permission)} has" for e in self.needs
                )
                return f"{whose} does not count: it takes {takes}"
            case "NotSigned":
                return f"{whose} does not count: it is not signed by a key of theirs"
            case _:
                assert_never(self.reason)

    @property
    def fix(self) -> str:
        """What to do, in an imperative sentence."""
        commit = self.commit[:7]
        return f"undo it: sdp revert {commit}; or let who may change it say: sdp approve {commit}"

    def about(self, sandbox: str, path: str) -> bool:
        """Whether it is about a sandbox, by its name and its file."""
        return self.path == path or any(
            each.sandbox.lower() == sandbox.lower() for each in self.needs
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Judged:
    """What came of a commit.

    Attributes:
        user: whose it is; "" is nobody known.
        before: path → id of the content that counted before, of what counts otherwise since.
        withheld: what of it does not count.
        heard: its author may say how many sandboxes may go.
    """

    sha: str
    user: str
    at: datetime.datetime
    before: Mapping[str, str | None]
    withheld: tuple[Withheld, ...]
    heard: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """What counts at a commit.

    Attributes:
        seen: the commit.
        accepted: the files that count.
        withheld: by path, what of the commit's files does not.
        instance: the name of the last platform that counted and loaded.
        roles: what that one said.
        line: all commits that were judged, oldest first.
    """

    seen: str
    accepted: Blobs
    withheld: Mapping[str, Withheld]
    instance: str
    roles: Roles
    line: tuple[Judged, ...]

    def back(self) -> Iterator[tuple[Judged, Blobs]]:
        """Yield the commits, newest first, with what counted at each; the same, where the same."""
        files = self.accepted
        for each in reversed(self.line):
            yield each, files
            if each.before:
                files = _with(files, each.before)

    def at(self, commit: str) -> Blobs | None:
        """Return what counted at a commit; None: it was not judged."""
        return next((files for each, files in self.back() if each.sha == commit), None)

    def ever(self, path: str, blob: str) -> bool:
        """Whether a file with this content counted, now or at any time."""
        return self.accepted.get(path) == blob or any(
            each.before.get(path) == blob for each in self.line
        )


NOTHING = Standing("", types.MappingProxyType({}), types.MappingProxyType({}), "sdp", Roles(), ())


def begin(oldest: Pushed, read: Read) -> Standing:
    """Return what counts at the oldest commit that is known: all of it; there is none to ask."""
    files = {path: blob for path, blob in oldest.changes.items() if blob is not None}
    instance, roles = _platform(files, read) or (NOTHING.instance, NOTHING.roles)
    user = user_of(oldest.name, oldest.mail, roles)
    first = Judged(oldest.sha, user, oldest.at, dict.fromkeys(files), (), heard=True)
    return Standing(oldest.sha, files, {}, instance, roles, (first,))


def judge(before: Standing, commit: Pushed, read: Read) -> Standing:
    """Return what counts after one more commit.

    Args:
        before: what counted before.
        commit: the next one.
        read: reads contents.
    """
    author = _Author(before, commit, read)
    withheld = author.withheld(_news(before.accepted, commit.changes))
    approved = author.approved()
    taken = {path: blob for path, blob in commit.changes.items() if path not in withheld}
    taken |= approved
    accepted = _with(before.accepted, taken)
    waiting = {p: each for p, each in before.withheld.items() if p not in taken} | withheld
    changed = _news(before.accepted, taken)
    said = (before.instance, before.roles)
    if any("/" not in path for path in changed):
        said = _platform(accepted, read) or said
    judged = Judged(
        commit.sha,
        author.person.user,
        commit.at,
        {path: before.accepted.get(path) for path in changed},
        tuple(withheld.values()),
        heard=author.signed and may(author.person, "delete sandboxes"),
    )
    return Standing(
        commit.sha,
        accepted if changed else before.accepted,
        waiting,
        *said,
        (*before.line, judged),
    )


class _Author:
    """Who made a commit, and what they may do where it is made."""

    def __init__(self, before: Standing, commit: Pushed, read: Read) -> None:
        roles = before.roles
        user = user_of(commit.name, commit.mail, roles)
        self.person: Person = person(user, roles)
        self.signed = _is_signed(commit, user, roles)
        self._before = before
        self._commit = commit
        self._read = read

    def withheld(self, changes: Mapping[str, str | None]) -> dict[str, Withheld]:
        """Return what of some changes does not count, by path."""
        if self.signed:
            reason: Reason = "NotPermitted"
            wanted = self._lacking(changes)
        else:
            reason, wanted = "NotSigned", self._needs(changes)
        made = self._commit
        return {
            path: Withheld(path, made.sha, self.person.user, made.at, reason, each, changes[path])
            for path, each in wanted.items()
        }

    def approved(self) -> dict[str, str | None]:
        """Return what waited until now, and counts by this commit's word."""
        words = trailers.approved(self._commit.message)
        if not words or not self.signed:
            return {}
        meant = {
            path: each.wanted
            for path, each in self._before.withheld.items()
            if each.commit.startswith(words) and path not in self._commit.changes
        }
        lacks = self._lacking(meant)
        return {path: blob for path, blob in meant.items() if path not in lacks}

    def _lacking(self, changes: Mapping[str, str | None]) -> dict[str, tuple[Need, ...]]:
        if all(may_anyway(self.person, path) for path in changes):
            return {}
        found = self._needs(changes).items()
        return {path: lack for path, each in found if (lack := lacking(self.person, each))}

    def _needs(self, changes: Mapping[str, str | None]) -> dict[str, tuple[Need, ...]]:
        texts = {p: None if blob is None else self._read(blob) for p, blob in changes.items()}
        return needs(_Texts(self._before.accepted, self._read), texts)


class _Texts(Mapping[str, str]):
    """Files by path, each read when it is asked for."""

    def __init__(self, files: Blobs, read: Read) -> None:
        self._files = files
        self._read = read

    @override
    def __getitem__(self, path: str) -> str:
        return self._read(self._files[path])

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    @override
    def __len__(self) -> int:
        return len(self._files)


def _is_signed(commit: Pushed, user: str, roles: Roles) -> bool:
    """Whether a commit's author is proven, as far as that is asked for.

    The platform signs for those whose right it has checked; in its own name it speaks signed, as
    soon as its key is listed.
    """
    listed = {name.lower(): each.keys for name, each in roles.users.items()}
    ours = listed.get(ITSELF, ())
    if not (roles.require_signed_commits or (ours and user.lower() == ITSELF)):
        return True
    return verifies(commit.signature, commit.payload, (*listed.get(user.lower(), ()), *ours))


def _platform(files: Blobs, read: Read) -> tuple[str, Roles] | None:
    """Return a platform's name and roles; None where there is none that loads."""
    found = tree_of({path: read(blob) for path, blob in files.items() if "/" not in path}).platform
    return (found.spec.platform, found.spec.roles) if found else None


def _news(before: Blobs, changes: Mapping[str, str | None]) -> dict[str, str | None]:
    return {path: blob for path, blob in changes.items() if before.get(path) != blob}


def _with(files: Blobs, changes: Mapping[str, str | None]) -> dict[str, str]:
    merged = {**files, **changes}
    return {path: blob for path, blob in merged.items() if blob is not None}
