"""Commit and push what changed in a config repo's working tree."""

import dataclasses
from pathlib import Path
from typing import assert_never

from dulwich.errors import NotGitRepository
from dulwich.objects import ObjectID
from dulwich.refs import HEADREF
from dulwich.repo import Repo, get_user_identity

from sdp.cli import context as cli
from sdp.cli.plan import blobs_at
from sdp.cli.specs import read_folder
from sdp.reconciler.commit import (
    Committed,
    Moved,
    Refused,
    RemoteAt,
    RemoteFailed,
    Unchanged,
    commit,
    push,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Checkout:
    """A working tree: its HEAD, its branch, and where that is pushed to; "" for none."""

    directory: Path
    head: str
    branch: str
    remote: str
    author: str

    def changed(self) -> list[str]:
        """Return the paths of specs that differ from HEAD's."""
        here = {blob.path: blob.sha for blob in read_folder(self.directory)}
        there = (
            {blob.path: blob.sha for blob in blobs_at(self.directory, self.head)}
            if self.head
            else {}
        )
        return sorted(
            path for path in here.keys() | there.keys() if here.get(path) != there.get(path)
        )

    def has(self, revision: str) -> bool:
        """Tell whether a commit is here; one that is not came after what was pushed."""
        with Repo(str(self.directory)) as repo:
            return ObjectID(revision.encode()) in repo.object_store


def checkout(directory: Path) -> Checkout:
    """Return the working tree that has this folder as its root."""
    try:
        with Repo(str(directory)) as repo:
            ref = repo.refs.follow(HEADREF)[0][-1]
            head = repo.refs.read_ref(ref) or b""
            branch = ref.decode().removeprefix("refs/heads/")
            config = repo.get_config_stack()
            author = get_user_identity(config).decode()
            try:
                remote = config.get((b"branch", branch.encode()), b"remote").decode()
            except KeyError:
                sections = set(config.sections())
                remote = "origin" if (b"remote", b"origin") in sections else ""
    except NotGitRepository:
        cli.fail(f"{directory.resolve()} is no git repository", "name its root with -C")
    return Checkout(directory, head.decode(), branch, remote, author)


def publish(tree: Checkout, paths: list[str], message: str) -> str:
    """Commit these paths, push the branch where there is a remote, and return its commit."""
    head = _committed(tree, paths, message) if paths else tree.head
    if tree.remote:
        pushed = push(tree.directory, tree.remote, tree.branch)
        match pushed:
            case RemoteAt():
                cli.say(f"pushed {head[:7]} to {tree.remote} {tree.branch}")
            case RemoteFailed():
                cli.fail(pushed.message, pushed.fix)
            case _:
                assert_never(pushed)
    return head


def _committed(tree: Checkout, paths: list[str], message: str) -> str:
    outcome = commit(tree.directory, paths, message, tree.author, tree.head)
    match outcome:
        case Committed(sha=sha):
            cli.say(f"committed {sha[:7]} to {tree.branch}: {', '.join(paths)}")
        case Unchanged(base=base):
            sha = base
        case Moved(fix=fix):
            cli.fail("somebody committed meanwhile", fix)
        case Refused(path=path, reason=reason):
            cli.fail(f"{path} can't be committed: {reason}", "mend that, and apply again")
        case _:
            assert_never(outcome)
    return sha
