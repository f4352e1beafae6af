"""Standings: what counts at commits of a repository, each judged on from the last ones."""

from pathlib import Path
from typing import Final

from dulwich.repo import Repo

from sdp.reconciler import authority
from sdp.reconciler.authority import Standing
from sdp.reconciler.line import line
from sdp.reconciler.objects import contents, environments, is_environment, text_of
from sdp.reconciler.turns import Turns
from sdp.spec.tree import Blob

MOST: Final = 8


class Standings:
    """The last standings that were asked for. For one thread at a time."""

    def __init__(self, data: Path) -> None:
        """Take the folder where it is kept which way the branch came."""
        self._kept: dict[str, Standing] = {}
        self._turns = Turns(data)

    def at(self, repo: Repo, revision: str) -> Standing:
        """Return what counts at a commit.

        Raises:
            KeyError: the repository has no such commit.
        """

        def read(blob: str) -> str:
            return text_of(repo, blob)

        start, pushed = line(repo, revision, self._kept.keys(), self._turns)
        made = self._kept.get(start)
        for each in pushed:
            made = authority.judge(made, each, read) if made else authority.begin(each, read)
        assert made is not None  # noqa: S101 -- a line has the commit that it is of
        self._kept.pop(revision, None)
        self._kept[revision] = made
        while len(self._kept) > MOST:
            del self._kept[next(iter(self._kept))]
        self._saw(revision)
        return made

    def _saw(self, revision: str) -> None:
        """Take in where the branch is, unless that is where it was before."""
        last = self._kept.get(self._turns.seen)
        if last is None or all(each.sha != revision for each in last.line):
            self._turns.saw(revision)

    def environments(self, repo: Repo, revision: str) -> tuple[Blob, ...] | None:
        """Return the environment files of a commit, as far as they counted there, or ever.

        None: there is no such commit.
        """
        found = environments(repo, revision)
        if found is None or not self._kept:
            return found
        newest = next(reversed(self._kept.values()))
        if (files := newest.at(revision)) is not None:
            return tuple(contents(repo, {p: b for p, b in files.items() if is_environment(p)}))
        return tuple(each for each in found if newest.ever(each.path, each.sha))
