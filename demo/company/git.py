"""Commits made out of files in memory, the same SHAs each time: dates and author are fixed."""

import dataclasses
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

AUTHOR: Final = "Achmad <achmad@company.example>"
FIRST_COMMIT: Final = 1_700_000_000  # seconds; a commit is a minute younger than its parent
ISOLATED: Final = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}


class GitError(Exception):
    """A git command failed; the message has its words."""


@dataclasses.dataclass(frozen=True, slots=True)
class Commit:
    """A commit to make at the tip of a branch, on top of `base` where that is another branch."""

    branch: str
    message: str
    files: Mapping[str, bytes]
    base: str | None = None


def git(repository: Path, *words: str | Path, stdin: bytes | None = None) -> str:
    """Run git in a repository and return its standard output, stripped."""
    done = subprocess.run(
        ["git", "-C", repository, *words],
        input=stdin,
        capture_output=True,
        env={**os.environ, **ISOLATED},
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        raise GitError(f"git {words[0]} in {repository}: {done.stderr.decode().strip()}")
    return done.stdout.decode().strip()


def init_bare(repository: Path) -> None:
    """Make a bare repository whose branch is develop."""
    repository.mkdir(parents=True)
    git(repository, "init", "--quiet", "--bare", "--initial-branch=develop")


def commit(repository: Path, commits: Sequence[Commit]) -> None:
    """Make the commits in order, in one go."""
    dates: dict[str, int] = {}
    stream = b""
    for new in commits:
        base = new.base or new.branch
        dates[new.branch] = dates[base] + 60 if base in dates else _next_date(repository, base)
        stream += _command(repository, new, base, dates[new.branch])
    git(repository, "fast-import", "--quiet", "--force", "--date-format=raw", stdin=stream)


def _command(repository: Path, new: Commit, base: str, date: int) -> bytes:
    message = f"{new.message}\n".encode()
    lines = [
        b"commit refs/heads/%s" % new.branch.encode(),
        b"committer %s %d +0000" % (AUTHOR.encode(), date),
        b"data %d\n%s" % (len(message), message),
    ]
    if _exists(repository, base):
        lines.append(b"from refs/heads/%s^0" % base.encode())
    elif new.base:
        lines.append(b"from refs/heads/%s" % base.encode())
    for path, content in sorted(new.files.items()):
        lines += [b"M 100644 inline %s" % path.encode(), b"data %d" % len(content), content]
    return b"\n".join([*lines, b""])


def _exists(repository: Path, branch: str) -> bool:
    return bool(git(repository, "for-each-ref", f"refs/heads/{branch}"))


def _next_date(repository: Path, branch: str) -> int:
    if not _exists(repository, branch):
        return FIRST_COMMIT
    return int(git(repository, "log", "-1", "--format=%ct", f"refs/heads/{branch}")) + 60
