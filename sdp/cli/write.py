"""What every writing command does with its edits: show them, or land them as one commit.

In a clone of the config repo the commit is made there and pushed; anywhere else the control plane
makes it. Either way nothing is forced, and a conflict is shown.
"""

import dataclasses
import functools
import inspect
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Concatenate, NoReturn, ParamSpec, TypeAlias, assert_never, cast

import typer
from dulwich.errors import NotGitRepository
from dulwich.repo import Repo

from sdp.api import showing
from sdp.api.views import ChangeView, PlanView
from sdp.cli import context as cli
from sdp.cli import intended, watch
from sdp.cli.client import Client, ClientError
from sdp.cli.fold import folded
from sdp.cli.follower import Follower
from sdp.cli.health import refuse_withheld
from sdp.cli.plan import show
from sdp.cli.publish import Checkout, checkout, refuse_elsewhere
from sdp.cli.whose import tell_author
from sdp.reconciler import objects, writer
from sdp.reconciler.commit import Unchanged
from sdp.reconciler.desired import desire, differing
from sdp.reconciler.revisions import files_at
from sdp.spec.change import CannotChangeError, Files, change
from sdp.spec.edits import AnyEdit
from sdp.spec.load import tree_of
from sdp.spec.select import WHOLE

P = ParamSpec("P")

_CONFIG_REPO = ("platform.yaml", "platform.yml", "sandboxes")
"""What tells a config repo from others: many a repository has templates/ and environments/."""

Ask: TypeAlias = Callable[[ChangeView], None]
"""Told what would be done; ends the command where a person says no."""


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What every writing command can be told; ``undo`` says what undoing would be."""

    directory: Path
    why: str
    dry_run: bool
    wait: bool
    timeout: float
    as_json: bool
    undo: str = "undo it"


def writing(  # type: ignore[explicit-any]  # typer reads the signature that is made here
    command: Callable[Concatenate[typer.Context, Options, P], None],
) -> Callable[..., None]:
    """Give a command the options of all writing commands, in place of its ``options``."""

    @functools.wraps(command)
    def told(*args: P.args, **kwargs: P.kwargs) -> None:
        given = {field: kwargs.pop(field) for field in _SHARED}
        options = Options(**given)  # type: ignore[arg-type]
        context = cast("typer.Context", kwargs.pop("context"))
        with cli.failures():
            command(context, options, *args, **kwargs)

    own = [
        each for name, each in inspect.signature(command).parameters.items() if name != "options"
    ]
    shared = inspect.signature(_shared).parameters.values()
    parameters = sorted([*own, *shared], key=lambda each: each.kind)
    told.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return told


def _shared(
    *,
    directory: Annotated[
        Path,
        typer.Option(
            "--directory", "-C", exists=True, file_okay=False, help="A clone of the config repo."
        ),
    ] = Path(),
    why: Annotated[
        str, typer.Option("--message", "-m", help="Why; the commit's subject says what.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the diff and the plan; commit nothing.")
    ] = False,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait", help="Follow until all that it changes is healthy; exit code 4: not in time."
        ),
    ] = False,
    timeout: cli.Timeout = 600,
    as_json: cli.AsJson = False,
) -> None:
    """Hold the options that ``writing`` adds."""


_SHARED = tuple(inspect.signature(_shared).parameters)


def write(
    context: typer.Context,
    options: Options,
    edits: Sequence[AnyEdit],
    ask: Ask | None = None,
) -> None:
    """Show the edits, or land them, as the options say.

    Args:
        context: of the command.
        options: its shared options.
        edits: what to do.
        ask: whom to ask first.
    """
    tree = clone_at(options.directory)
    if tree is None:
        _through(
            cli.client(context),
            options,
            {"edits": [e.model_dump(mode="json") for e in edits]},
            ask,
        )
    else:
        environments = objects.past_of(tree.directory)
        land(context, options, tree, lambda f, past: change(f, edits, past, environments), ask)


def revert(context: typer.Context, options: Options, commit: str) -> None:
    """Undo a commit, as the options say."""
    tree = clone_at(options.directory)
    if tree is None:
        _through(cli.client(context), options, {"revert": commit})
    else:
        land(context, options, tree, writer.reverting(tree.directory, commit))


def let_count(context: typer.Context, options: Options, commit: str) -> None:
    """Let count what waits of a commit, as the options say; the control plane knows what that is."""
    _through(cli.client(context), options, {"approve": commit})


def clone_at(directory: Path) -> Checkout | None:
    """Return the clone of a config repo that a folder is in; None where it is in none."""
    try:
        with Repo.discover(str(directory)) as repo:
            root = None if repo.bare else Path(repo.path)
    except NotGitRepository:
        return None
    if root is None or not any((root / each).exists() for each in _CONFIG_REPO):
        return None
    return checkout(root)


def land(
    context: typer.Context,
    options: Options,
    tree: Checkout,
    edit: writer.Edit,
    ask: Ask | None = None,
) -> None:
    """Make a change in a clone and push it, or show it, as the options say."""
    place = writer.place_of(tree.directory, tree.branch, tree.remote)
    try:
        if options.dry_run:
            shown, files = _previewed(place, edit)
            _show(options, shown.model_copy(update={"plan": _plan(context, files)}))
            return
        if options.wait:
            served = watch.moment(cli.client(context)).branch
            refuse_elsewhere(tree, served, "leave --wait out, and open a pull request")
        tell_author(cli.client(context).user, tree)
        if ask is not None:
            ask(_previewed(place, edit)[0])
        made = _landed(writer.land(place, edit, tree.author, options.why, tree.head))
    except CannotChangeError as error:
        cli.fail(str(error), error.fix)
    _told(options, made, tree)
    if options.wait and made.commit:
        before = files_at(tree.directory, made.base)
        after = files_at(tree.directory, made.commit)
        names = differing(desire("", tree_of(before)), desire("", tree_of(after)))
        _follow(cli.client(context), options, made, sorted(names), tree.has)


def _previewed(place: writer.Place, edit: writer.Edit) -> tuple[ChangeView, Files]:
    found = writer.preview(place, edit)
    if isinstance(found, writer.Unwritable):
        _refused(found)
    return showing.change(found), found.files


def _landed(outcome: writer.Outcome) -> ChangeView:
    if isinstance(outcome, Unchanged):
        return ChangeView(base=outcome.base, subject="")
    if not isinstance(outcome, writer.Landed):
        _refused(outcome)
    if outcome.left:
        cli.say(f"the working tree did not follow: {outcome.left}")
    return showing.change(outcome)


def _refused(outcome: writer.Conflict | writer.Unwritable) -> NoReturn:
    match outcome:
        case writer.Conflict():
            cli.say_conflict(showing.conflict(outcome))
            cli.fail(
                f"{', '.join(outcome.paths)} changed since {outcome.base[:7]}; above is how",
                "look at it, git pull, and give the command again",
            )
        case writer.Unwritable():
            cli.fail(outcome.message, outcome.fix)
        case _:
            assert_never(outcome)


def _through(
    client: Client,
    options: Options,
    what: dict[str, object],
    ask: Ask | None = None,
) -> None:
    """Let the control plane make the change."""
    body = {**what, "message": options.why}
    shown = client.post("/api/changes", ChangeView, {**body, "dry_run": True})
    if options.dry_run:
        _show(options, shown)
        return
    if ask is not None:
        ask(shown)
    made = client.post("/api/changes", ChangeView, body)
    _told(options, made, None)
    if options.wait and made.commit:
        names = [each.sandbox for each in shown.plan.sandboxes] if shown.plan else []
        _follow(client, options, made, names, lambda revision: revision == made.base)


def _plan(context: typer.Context, files: Files) -> PlanView | None:
    try:
        return intended.ask(cli.client(context), files, WHOLE)
    except ClientError as error:
        cli.say(f"no plan: {error}")
        return None


def _show(options: Options, shown: ChangeView) -> None:
    if options.as_json:
        cli.print_json(shown)
        return
    if not shown.paths:
        typer.echo("Nothing to change: the specs say so already.")
        return
    print_diff(shown.diff)
    if shown.plan is not None:
        typer.echo()
        show(shown.plan)


def print_diff(diff: str) -> None:
    """Print a diff for people, without what only programs read in it."""
    console = cli.out()
    colours = {"+": "green", "-": "red", "@": "cyan", "~": "bright_black"}
    for line in folded(diff):
        style = "bold" if line.startswith(("+++", "---")) else colours.get(line[:1])
        console.print(cli.inert(line), style=style, markup=False, soft_wrap=True)


def _told(options: Options, made: ChangeView, tree: Checkout | None) -> None:
    if options.as_json:
        cli.print_json(made)
    elif not made.commit:
        cli.say("nothing to change: the specs say so already")
    else:
        where = (
            f"{tree.branch}, pushed to {tree.remote}"
            if tree and tree.remote
            else "the config repo"
        )
        print_diff(made.diff)
        cli.say(f"committed {made.commit[:7]} to {where}: {made.subject}")
        cli.say(f"  {options.undo}: sdp revert {made.commit[:7]}")


def _follow(
    client: Client,
    options: Options,
    made: ChangeView,
    names: list[str],
    has: Callable[[str], bool],
) -> None:
    deadline = time.monotonic() + options.timeout
    if not Follower(client, made.commit, names, has, fresh=True).run(deadline):
        raise typer.Exit(cli.NOT_IN_TIME)
    refuse_withheld(client, made.commit)
    cli.say(f"{made.commit[:7]} is applied")
