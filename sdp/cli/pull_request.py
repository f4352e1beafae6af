"""Pull requests: what a branch would do once it is merged, without merging it."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

from dulwich.errors import NotGitRepository
from dulwich.graph import find_merge_base
from dulwich.objects import ObjectID
from dulwich.objectspec import parse_commit
from dulwich.repo import Repo

from sdp.api.views import PlanView, Problem
from sdp.cli import context as cli
from sdp.cli import watch
from sdp.cli.client import Client
from sdp.cli.intended import ask, touched
from sdp.reconciler.revisions import files_at
from sdp.spec import resolve, select
from sdp.spec.finding import Files
from sdp.spec.load import tree_of
from sdp.spec.select import Selection


@dataclasses.dataclass(frozen=True, slots=True)
class PullRequest:
    """The specs of a branch, and what merging another into it would make of them.

    Attributes:
        base: the branch that is merged into, as it was named.
        head: what is merged.
        before: the specs at the base's tip.
        after: with what the head changed since the two parted.
    """

    base: str
    head: str
    before: Files
    after: Files

    @property
    def paths(self) -> list[str]:
        """Paths of the specs that merging changes."""
        return select.changed(self.before, self.after)

    def sandboxes(self, selection: Selection) -> list[str]:
        """Return the sandboxes that merging defines otherwise, as far as they are meant."""
        return [name for name in touched(self.before, self.after) if selection.takes(name)]

    def known(self, problems: Iterable[Problem]) -> frozenset[Problem]:
        """Return those of these problems that are there without merging, too."""
        before = {(each.path, each.message) for each in resolve.problems(tree_of(self.before))}
        return frozenset(each for each in problems if (each.path, each.message) in before)

    def ordered(self, problems: Iterable[Problem]) -> tuple[Problem, ...]:
        """Return problems with those in changed files first."""
        changed = frozenset(self.paths)
        return tuple(sorted(problems, key=lambda p: (p.path not in changed, p.path, p.line)))


def pull_request(directory: Path, base: str, head: str) -> PullRequest:
    """Return what merging would make of the specs; end with 1 where both changed a file."""
    try:
        with Repo(str(directory)) as repo:
            tip, ours = _commit(repo, base), _commit(repo, head)
            try:
                parted = find_merge_base(repo, [ObjectID(tip.encode()), ObjectID(ours.encode())])
            except KeyError:
                parted = []
    except NotGitRepository:
        cli.fail(f"{directory.resolve()} is no git repository", "name its root with -C")
    if not parted:
        cli.fail(
            f"{base} and {head} have no commit in common here",
            "fetch more of their history: git fetch --unshallow; in a Bitbucket pipeline, "
            "clone: {depth: full}",
        )
    old, theirs, mine = (files_at(directory, each) for each in (parted[0].decode(), tip, ours))
    after, conflicts = _merged(old, theirs, mine)
    if conflicts:
        cli.fail(
            f"{base} and {head} both changed {', '.join(conflicts)}",
            f"git merge {base}, decide for one of them, and push",
        )
    return PullRequest(base, head, theirs, after)


def asked(
    client: Client, request: PullRequest, selection: Selection, allow_deletes: int
) -> PlanView:
    """Return the plan of the sandboxes that merging defines otherwise."""
    sandboxes = _known(client, request, request.sandboxes(selection))
    narrowed = dataclasses.replace(
        selection, sandboxes=frozenset(each.lower() for each in sandboxes)
    )
    made = ask(client, request.after, narrowed, allow_deletes)
    made = made.model_copy(update={"problems": request.ordered(made.problems)})
    if sandboxes:
        return made
    nothing = {"changes": False, "sandboxes": (), "summary": type(made.summary)()}
    text = f"Nothing to do: {request.head} defines no sandbox otherwise than {request.base}.\n"
    return made.model_copy(update={**nothing, "text": text})


def _known(client: Client, request: PullRequest, names: Sequence[str]) -> list[str]:
    """Return the sandboxes without those that go and were never there."""
    stay = select.sandboxes(request.after)
    if all(name.lower() in stay for name in names):
        return list(names)
    there = {each.name.lower() for each in watch.all_sandboxes(client)} | stay.keys()
    return [name for name in names if name.lower() in there]


def _commit(repo: Repo, name: str) -> str:
    """Return the commit of a branch, here or at origin; end with 1 where there is none."""
    found = _found(repo, name) or _found(repo, f"origin/{name}")
    if found is None:
        cli.fail(f"there is no commit {name!r} here", f"fetch it: git fetch origin {name}")
    return found


def _found(repo: Repo, name: str) -> str | None:
    try:
        return parse_commit(repo, name).id.decode()
    except (KeyError, ValueError):
        return None


def _merged(old: Files, theirs: Files, mine: Files) -> tuple[Files, list[str]]:
    """Return the merge of two trees, file by file, and the paths that both changed."""
    merged = dict(theirs)
    conflicts: list[str] = []
    for path in select.changed(old, mine):
        if theirs.get(path) not in {old.get(path), mine.get(path)}:
            conflicts.append(path)
        elif path in mine:
            merged[path] = mine[path]
        else:
            merged.pop(path, None)
    return merged, conflicts
