"""Rights: what a person may make of the files of the config repo's branch, as they count now.

Asked before anything is committed; ``authority`` judges what was. Both ask ``sdp.spec.needs``.
"""

import dataclasses
from collections.abc import Mapping

from dulwich.repo import Repo

from sdp.reconciler.authority import Standing
from sdp.reconciler.objects import contents, text_of
from sdp.reconciler.source import Source
from sdp.spec.change import Files
from sdp.spec.needs import Changes, Need, lacking, needs
from sdp.spec.roles import Person


@dataclasses.dataclass(frozen=True, slots=True)
class Approval:
    """What waits of a commit.

    Attributes:
        before: the files as they count now.
        files: what an approval makes count of it; None: the file goes.
        lacks: what the approver has no right to.
    """

    before: Files
    files: Mapping[str, str | None]
    lacks: tuple[Need, ...]


def counted(source: Source, files: Files) -> dict[str, str]:
    """Return files as they would count: what waits, and is as it was left, is as it was before.

    Args:
        source: of the branch that they are to be committed to.
        files: all specs of a tree, such as that of a clone.
    """
    standing = source.newest()
    before, left = _texts(source, standing), _left(source, standing)
    made = dict(files)
    for path in left:
        if files.get(path) == left[path]:
            made.pop(path, None)
            made |= {path: before[path]} if path in before else {}
    return made


def refused(source: Source, files: Files, who: Person) -> tuple[Need, ...]:
    """Return what somebody has no right to, of making these the files; as of ``counted``."""
    before, after = _texts(source, source.newest()), counted(source, files)
    changes = {path: after.get(path) for path in before.keys() | after.keys()}
    return _lacking(before, changes, who)


def refused_of(source: Source, changes: Changes, who: Person) -> tuple[Need, ...]:
    """Return what somebody has no right to, of changing these files alone."""
    return _lacking(_texts(source, source.newest()), changes, who)


def beneath(source: Source, files: Files, changes: Changes) -> tuple[str, ...]:
    """Return the files that changes stand in on top of what does not count, or not yet.

    Who makes such a change would answer for all of the file, and may not have seen it.

    Args:
        source: of the branch.
        files: those that the changes were made from.
        changes: what is to be committed.
    """
    before = _texts(source, source.newest())
    return tuple(
        path
        for path, text in changes.items()
        if text is not None and path in files and before.get(path) not in {files[path], text}
    )


def approval(source: Source, commit: str, who: Person) -> Approval:
    """Return what a person's approval of a commit, by its first digits, comes to."""
    standing = source.newest()
    before, left = _texts(source, standing), _left(source, standing)
    waits = (each for each in standing.withheld.values() if each.commit.startswith(commit))
    meant = {each.path: left[each.path] for each in waits}
    lacks = {path: lacking(who, each) for path, each in needs(before, meant).items()}
    files = {path: text for path, text in meant.items() if not lacks[path]}
    return Approval(before, files, tuple(each for some in lacks.values() for each in some))


def _lacking(before: Files, changes: Changes, who: Person) -> tuple[Need, ...]:
    differing = {path: text for path, text in changes.items() if before.get(path) != text}
    return lacking(who, (each for some in needs(before, differing).values() for each in some))


def _texts(source: Source, standing: Standing) -> dict[str, str]:
    """Return the files that count."""
    with Repo(str(source.repository)) as repo:
        return {
            blob.path: blob.content.decode(errors="surrogateescape")
            for blob in contents(repo, standing.accepted)
        }


def _left(source: Source, standing: Standing) -> dict[str, str | None]:
    """Return what the branch has of what waits; None: the file was removed."""
    with Repo(str(source.repository)) as repo:
        return {
            path: None if each.wanted is None else text_of(repo, each.wanted)
            for path, each in standing.withheld.items()
        }
