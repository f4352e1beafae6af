"""The plan command: a working tree, a commit, or a merge, against what runs."""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal, NoReturn, TypeAlias, assert_never

import typer
from dulwich.errors import NotGitRepository
from dulwich.objectspec import parse_commit
from dulwich.repo import Repo

from sdp.api.views import PlanView, Problem
from sdp.cli import context as cli
from sdp.cli.client import Client
from sdp.cli.intended import (
    AllowDeletes,
    Excluded,
    Intended,
    Sandboxes,
    Services,
    ask,
    check_names,
    chosen,
    intended,
    on_disk,
)
from sdp.cli.markdown import code, page
from sdp.cli.publish import find_checkout
from sdp.cli.pull_request import PullRequest, asked, pull_request
from sdp.cli.saved import saved
from sdp.reconciler.objects import blobs
from sdp.spec.select import Selection
from sdp.spec.tree import Blob

CHANGES = 2

Form: TypeAlias = Literal["text", "markdown", "json"]

Directory = Annotated[
    Path,
    typer.Option(
        "--directory", "-C", exists=True, file_okay=False, help="The config repo's folder."
    ),
]


def plan(
    context: typer.Context,
    directory: Directory = Path(),
    ref: Annotated[
        str | None, typer.Option(help="A commit or branch instead of the working tree.")
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(help="What merging HEAD (or --ref) into this branch would do."),
    ] = None,
    sandbox: Sandboxes = None,
    service: Services = None,
    exclude: Excluded = None,
    allow_deletes: AllowDeletes = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Save the plan for sdp apply FILE.")
    ] = None,
    form: Annotated[
        Form, typer.Option("--format", help="For people, for a comment, or for programs.")
    ] = "text",
    *,
    as_json: cli.AsJson = False,
) -> None:
    """Show what applying the working tree would do to what runs. Changes nothing.

    Exit code 0: nothing to do; 2: there are changes, also such as would wait; 1: an error.

    Examples: `sdp plan`; `sdp plan --ref main`; `sdp plan --sandbox qa-login-error`;
    `sdp plan --exclude qa-refund/account`; `sdp plan -o today.plan && sdp apply today.plan`;
    `sdp plan --base main --format markdown` for a pull request's comment.
    """
    if output is not None and (ref or base):
        raise typer.BadParameter("only the plan of a working tree can be saved", param_hint="-o")
    selection = chosen(sandbox, service, exclude)
    form = "json" if as_json else form
    with cli.failures():
        client = cli.client(context)
        if base is not None:
            request = pull_request(directory, base, ref or "HEAD")
            check_names(client, selection, {**request.before, **request.after})
            made = asked(client, request, selection, allow_deletes)
            _show_merge(made, request, form)
        else:
            wish = _wish(client, directory, ref, selection)
            if not wish.files and not allow_deletes:
                refuse_nothing(directory)
            made = ask(client, wish.files, selection, allow_deletes)
            wish.tell()
            _print(made, form, f"SDP: {code(ref) if ref else 'the working tree'}")
            refuse_errors(made)
            if output is not None:
                kept = saved(client.url, directory, wish, made, allow_deletes)
                output.write_text(kept.model_dump_json(indent=2) + "\n", encoding="utf-8")
                cli.say(f"saved: sdp apply {output}")
    if made.changes:
        raise typer.Exit(CHANGES)


def _show_merge(made: PlanView, request: PullRequest, form: Form) -> None:
    """Show what merging would do; end with 1 where it would bring errors."""
    known = request.known(made.problems)
    _print(made, form, f"SDP: merging {code(request.head)} into {code(request.base)}", known)
    new = tuple(each for each in made.problems if each not in known)
    refuse_errors(made.model_copy(update={"problems": new}))


def _print(made: PlanView, form: Form, title: str, known: Collection[Problem] = ()) -> None:
    match form:
        case "text":
            show(made)
        case "markdown":
            typer.echo(page(made, title, known), nl=False)
        case "json":
            cli.print_json(made)
        case _:
            assert_never(form)


def _wish(client: Client, directory: Path, ref: str | None, selection: Selection) -> Intended:
    """Return the specs to plan: a commit's, or the working tree's with what is selected of it."""
    if ref is not None:
        wish = Intended({}, read_ref(directory, ref), selection)
    elif (tree := find_checkout(directory)) is not None and tree.head:
        return intended(client, tree, selection)
    else:
        wish = Intended({}, on_disk(directory), selection)
    check_names(client, selection, wish.files)
    return wish


def show(made: PlanView) -> None:
    """Print a plan for people; what is wrong with the specs goes to stderr."""
    for each in made.problems:
        severity = "warning: " if each.severity == "warning" else ""
        cli.say(f"{each.path}:{each.line}:{each.column}: {severity}{each.message}")
    if not made.changes and any(each.severity == "error" for each in made.problems):
        return  # what a broken spec would do is not known: nothing is not the word for it
    console = cli.out()
    colours = {"+": "green", "~": "yellow", "-": "red"}
    for line in made.text.splitlines():
        style = colours.get(line.lstrip()[:1]) if line.startswith(" ") else None
        console.print(line, style=style, markup=False, soft_wrap=True)


def refuse_errors(made: PlanView) -> None:
    """End with 1 where the specs have errors: what they would do is not known."""
    errors = sum(each.severity == "error" for each in made.problems)
    if errors:
        noun = "error" if errors == 1 else "errors"
        cli.fail(f"the specs have {errors} {noun}", "correct them: sdp validate")


def refuse_not_allowed(made: PlanView) -> None:
    """End with 1 where the person who asks may not commit all of it."""
    if made.refused:
        what = "; ".join(f"{each.path} takes {each.permission!r}" for each in made.refused)
        roles = " or ".join(sorted({each.role for each in made.refused}))
        cli.fail(
            f"you may not commit that: {what}",
            f"leave it out, or ask somebody who is {roles}: push a branch, and open a pull request",
        )


def refuse_nothing(directory: Path) -> NoReturn:
    """End with 1: there is nothing to plan."""
    cli.fail(f"no specs in {directory.resolve()}", "name the config repo's folder with -C")


def read_ref(directory: Path, ref: str) -> dict[str, str]:
    """Return the specs of a commit, from the repository alone."""
    try:
        found = blobs_at(directory, ref)
    except NotGitRepository:
        cli.fail(f"{directory.resolve()} is no git repository", "name it with -C")
    except (KeyError, ValueError):
        cli.fail(f"there is no commit {ref!r}", "name a branch, a tag or a commit")
    return {each.path: each.content.decode(errors="surrogateescape") for each in found}


def blobs_at(directory: Path, ref: str) -> list[Blob]:
    """Return the specs of a commit.

    Raises:
        NotGitRepository: the folder is none.
        KeyError: there is no such commit.
        ValueError: it is no commit's name.
    """
    with Repo(str(directory)) as repo:
        return list(blobs(repo, parse_commit(repo, ref)))
