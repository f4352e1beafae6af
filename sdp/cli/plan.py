"""The plan command: a working tree, or a commit, against what runs."""

from pathlib import Path
from typing import Annotated

import typer
from dulwich.errors import NotGitRepository
from dulwich.objectspec import parse_commit
from dulwich.repo import Repo
from pydantic import BaseModel, ConfigDict

from sdp.api.views import PlanView
from sdp.cli import context as cli
from sdp.cli.client import Client
from sdp.cli.specs import read_folder
from sdp.reconciler.source import blobs
from sdp.spec.tree import Blob

CHANGES = 2

Directory = Annotated[
    Path,
    typer.Option(
        "--directory", "-C", exists=True, file_okay=False, help="The config repo's folder."
    ),
]


class SavedPlan(BaseModel):
    """A plan on disk: what ``sdp apply FILE`` compares with a fresh one. Holds no secrets."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    directory: str
    sandbox: str | None
    plan: PlanView


def plan(
    context: typer.Context,
    directory: Directory = Path(),
    ref: Annotated[
        str | None, typer.Option(help="A commit or branch instead of the working tree.")
    ] = None,
    sandbox: cli.SandboxOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Save the plan for sdp apply FILE.")
    ] = None,
    *,
    as_json: cli.AsJson = False,
) -> None:
    """Show what applying the working tree would do to what runs. Changes nothing.

    Exit code 0: nothing to do; 2: there are changes; 1: an error.

    Examples: `sdp plan`; `sdp plan --ref main`; `sdp plan --sandbox qa-login-error`;
    `sdp plan -o today.plan && sdp apply today.plan`.
    """
    with cli.failures():
        client = cli.client(context)
        files = read_ref(directory, ref) if ref else read_tree(directory)
        made = ask(client, files, sandbox)
    if as_json:
        cli.print_json(made)
    else:
        show(made)
    refuse_errors(made)
    if output is not None:
        saved = SavedPlan(directory=str(directory.resolve()), sandbox=sandbox, plan=made)
        output.write_text(saved.model_dump_json(indent=2) + "\n", encoding="utf-8")
        cli.say(f"saved: sdp apply {output}")
    if made.changes:
        raise typer.Exit(CHANGES)


def ask(client: Client, files: dict[str, str], sandbox: str | None) -> PlanView:
    """Return the plan of these files against what runs."""
    return client.post("/api/plan", PlanView, {"files": files, "sandbox": sandbox})


def show(made: PlanView) -> None:
    """Print a plan for people; what is wrong with the specs goes to stderr."""
    for each in made.problems:
        severity = "warning: " if each.severity == "warning" else ""
        cli.say(f"{each.path}:{each.line}:{each.column}: {severity}{each.message}")
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


def read_tree(directory: Path) -> dict[str, str]:
    """Return the specs in a folder as they are on disk."""
    found = {blob.path: blob.content.decode(errors="replace") for blob in read_folder(directory)}
    if not found:
        cli.fail(f"no specs in {directory.resolve()}", "name the config repo's folder with -C")
    return found


def read_ref(directory: Path, ref: str) -> dict[str, str]:
    """Return the specs of a commit, from the repository alone."""
    try:
        found = blobs_at(directory, ref)
    except NotGitRepository:
        cli.fail(f"{directory.resolve()} is no git repository", "name it with -C")
    except (KeyError, ValueError):
        cli.fail(f"there is no commit {ref!r}", "name a branch, a tag or a commit")
    return {each.path: each.content.decode(errors="replace") for each in found}


def blobs_at(directory: Path, ref: str) -> list[Blob]:
    """Return the specs of a commit.

    Raises:
        NotGitRepository: the folder is none.
        KeyError: there is no such commit.
        ValueError: it is no commit's name.
    """
    with Repo(str(directory)) as repo:
        return list(blobs(repo, parse_commit(repo, ref)))
