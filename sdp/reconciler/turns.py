"""Turns: which parent of a merge the branch came by. Reads git, and keeps a small file.

Git does not say where a branch was before a merge: whoever makes one orders its parents, and could
put a past of their own making first. So the line goes by the parent that leads to where the branch
was seen last, and what was turned so is kept for the next start.
"""

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from dulwich.objects import Commit
from dulwich.repo import Repo
from pydantic import BaseModel, ConfigDict, ValidationError

from sdp import durable

_NAME: Final = "turns.json"
_PRIVATE: Final = 0o600


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    seen: str = ""
    turns: Mapping[str, str] = {}


class Turns:
    """Those of one branch. For one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _NAME
        self._kept = _read(self._path)

    @property
    def seen(self) -> str:
        """Where the branch was seen last; "" is nowhere."""
        return self._kept.seen

    def saw(self, revision: str) -> None:
        """Take in where the branch is."""
        if revision != self.seen:
            self._keep(self._kept.model_copy(update={"seen": revision}))

    def taken(self, repo: Repo, merge: Commit, parents: Iterable[Commit], usual: Commit) -> Commit:
        """Return the parent that a merge came after.

        Args:
            repo: the config repo.
            merge: a commit with several parents.
            parents: those that are there.
            usual: the one to take where none leads to where the branch was.
        """
        by_id = {each.id.decode(): each for each in parents}
        sha = merge.id.decode()
        if (known := by_id.get(self._kept.turns.get(sha, ""))) is not None:
            return known
        if not self.seen or _leads(repo, usual, self.seen):
            return usual
        through = next((e for e in by_id.values() if _leads(repo, e, self.seen)), None)
        if through is None:
            return usual
        turns = {**self._kept.turns, sha: through.id.decode()}
        self._keep(self._kept.model_copy(update={"turns": turns}))
        return through

    def _keep(self, kept: _Kept) -> None:
        self._kept = kept
        # A disk that is full must not stop the branch from being read.
        with contextlib.suppress(OSError):
            durable.write(self._path, kept.model_dump_json(indent=1).encode(), _PRIVATE)


def _leads(repo: Repo, start: Commit, end: str) -> bool:
    """Whether a commit is another one, or comes after it; times are claims, and not asked."""
    found, ahead = {start.id}, [start]
    while ahead:
        at = ahead.pop()
        if at.id.decode() == end:
            return True
        new = [e for e in at.parents if e not in found and e in repo.object_store]
        found.update(new)
        ahead += [each for e in new if isinstance(each := repo.object_store[e], Commit)]
    return False


def _read(path: Path) -> _Kept:
    try:
        return _Kept.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return _Kept()
