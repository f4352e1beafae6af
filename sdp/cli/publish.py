"""Commit and push what changed in a config repo's working tree."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import assert_never

from dulwich.errors import NotGitRepository
from dulwich.objects import ObjectID
from dulwich.refs import HEADREF
from dulwich.repo import Repo, get_user_identity

from sdp.api import showing
from sdp.cli import context as cli
from sdp.reconciler.commit import Committed, Moved, Outcome, Refused, Unchanged, commit, mark
from sdp.reconciler.git import RemoteAt, RemoteFailed, fetch, push
from sdp.reconciler.revisions import contains, parted
from sdp.reconciler.writer import conflict


@dataclasses.dataclass(frozen=True, slots=True)
class Checkout:
    """A working tree: its HEAD, its branch, and where that is pushed to; "" for none."""

    directory: Path
    head: str
    branch: str
    remote: str
    author: str

    def has(self, revision: str) -> bool:
        """Tell whether a commit is here; one that is not came after what was pushed."""
        with Repo(str(self.directory)) as repo:
            return ObjectID(revision.encode()) in repo.object_store


def checkout(directory: Path) -> Checkout:
    """Return the working tree that has this folder as its root, to commit in; else end with 1."""
    found = find_checkout(directory)
    if found is None:
        cli.fail(f"{directory.resolve()} is no git repository", "name its root with -C")
    if found.branch == HEADREF.decode():
        cli.fail(f"{directory.resolve()} is on no branch", "switch to one: git switch main")
    return found


def find_checkout(directory: Path) -> Checkout | None:
    """Return the working tree that has this folder as its root, if it is one."""
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
        return None
    return Checkout(directory, head.decode(), branch, remote, author)


def refuse_elsewhere(tree: Checkout, served: str, otherwise: str) -> None:
    """End with 1 where a clone is on another branch than the control plane serves.

    Args:
        tree: the clone.
        served: the control plane's branch; "" where it does not tell.
        otherwise: what to do who wants to stay on the clone's.
    """
    if served and served != tree.branch:
        cli.fail(
            f"this clone is on {tree.branch}, and the control plane serves {served}",
            f"git switch {served}; or {otherwise}",
        )


def refuse_behind(tree: Checkout, paths: Iterable[str]) -> None:
    """End with 1, and nothing changed, where the remote has commits that are not here.

    A remote that can't be asked is told by the push.

    Args:
        tree: the clone.
        paths: what is to be committed in it.
    """
    if not tree.remote:
        return
    fetched = fetch(tree.directory, tree.remote, tree.branch)
    if isinstance(fetched, RemoteFailed) or contains(tree.directory, tree.head, fetched.sha):
        return
    fix = (
        f"git pull --rebase --autostash {tree.remote} {tree.branch}, "
        "then look at the plan again: sdp plan"
    )
    base = parted(tree.directory, tree.head, fetched.sha)
    found = conflict(tree.directory, base, fetched.sha, paths)
    if found is not None:
        cli.say_conflict(showing.conflict(found))
        cli.fail(f"{', '.join(found.paths)} changed since {base[:7]}; above is how", fix)
    cli.fail(f"{tree.branch} of {tree.remote} has commits that are not here", fix)


def record(tree: Checkout, changes: Mapping[str, bytes | None], message: str) -> str:
    """Commit these contents and return the commit; without any, the message alone."""
    outcome: Outcome = (
        commit(tree.directory, changes, message, tree.author, tree.head)
        if changes
        else mark(tree.directory, message, tree.author, tree.head)
    )
    match outcome:
        case Committed(sha=sha):
            what = ", ".join(sorted(changes)) or message.strip().rpartition("\n")[2]
            cli.say(f"committed {sha[:7]} to {tree.branch}: {what}")
        case Unchanged(base=base):
            sha = base
        case Moved(fix=fix):
            cli.fail("somebody committed meanwhile", fix)
        case Refused(path=path, reason=reason):
            cli.fail(f"{path} can't be committed: {reason}", "mend that, and apply again")
        case _:
            assert_never(outcome)
    return sha


def publish(tree: Checkout, head: str) -> None:
    """Push the branch, where there is a remote."""
    if not tree.remote:
        return
    pushed = push(tree.directory, tree.remote, tree.branch)
    match pushed:
        case RemoteAt():
            cli.say(f"pushed {head[:7]} to {tree.remote} {tree.branch}")
        case RemoteFailed():
            cli.fail(pushed.message, pushed.fix)
        case _:
            assert_never(pushed)
