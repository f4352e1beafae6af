"""Commands about specs in a folder: validate, render, schema. No control plane is asked."""

import dataclasses
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer
from dulwich.errors import NotGitRepository
from dulwich.repo import Repo
from rich.cells import cell_len

from sdp.cli import context as cli
from sdp.cli import limited
from sdp.reconciler import objects
from sdp.spec import reference, yaml
from sdp.spec.explain import unknown
from sdp.spec.load import FOLDERS, Past, is_spec, load
from sdp.spec.models import Platform
from sdp.spec.resolve import Resolved, Unresolved, problems, resolve
from sdp.spec.schema import KINDS
from sdp.spec.schema import schema as schema_of
from sdp.spec.tree import Blob, Problem, Tree
from sdp.spec.writing import scalar

MAX_NESTED_FOLDERS = 8

_Directory = Annotated[
    Path,
    typer.Argument(exists=True, file_okay=False, help="The config repo's folder."),
]
_DirectoryOption = Annotated[
    Path,
    typer.Option(
        "--directory", "-C", exists=True, file_okay=False, help="The config repo's folder."
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
_Kind = Literal["platform", "sandbox", "template", "environment", "snapshot"]


def read_folder(directory: Path) -> list[Blob]:
    """Return the specs in a folder as they are on disk, with the hashes that git would give.

    Symbolic links are not followed: git keeps a link, not what it leads to.
    """
    found = [path for path in directory.glob("*") if is_spec(path.name)]
    for folder in FOLDERS:
        for depth in range(MAX_NESTED_FOLDERS):
            found += directory.glob(f"{folder}/{'*/' * depth}*")
    return [_blob(directory, path) for path in sorted(found) if _is_regular(directory, path)]


def past_of(directory: Path) -> Past | None:
    """Return who looks up environments of the past; None where a folder is in no repository."""
    try:
        with Repo.discover(str(directory)) as repo:
            return objects.past_of(Path(repo.path))
    except NotGitRepository:
        return None


def validate(directory: _Directory = Path(), *, as_json: _Json = False) -> None:
    """Check all specs of a folder, and show every problem with its place.

    Exit code 0: no errors (warnings are shown); 1: errors.

    Examples: `sdp validate` here; `sdp validate ~/config --json` for programs.
    """
    blobs = read_folder(directory)
    found = problems(load(blobs, past=past_of(directory)))
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(each) for each in found], indent=2))
    else:
        _print_problems(found, blobs, to_stderr=False)
        typer.echo(summary(len(blobs), found))
    if any(each.severity == "error" for each in found):
        raise typer.Exit(1)


def render(
    sandbox: Annotated[str, typer.Argument(help="The sandbox's name, or its file.")],
    directory: _DirectoryOption = Path(),
    *,
    as_json: _Json = False,
) -> None:
    """Show a sandbox with its template and the platform's defaults, and where each part is from.

    The output is a sandbox file itself, without a template; comments below it tell the limits of
    its containers.

    Examples: `sdp render QA-LIMITS`; `sdp render sandboxes/qa-limits.yaml --json`.
    """
    blobs = read_folder(directory)
    tree = load(blobs, past=past_of(directory))
    path = _path_of(sandbox, tree)
    if path is None:
        known = [file.spec.sandbox for file in tree.sandboxes.values()]
        message = unknown(f"sandbox '{sandbox}'", sandbox, known)
        cli.fail(message, "name one of the folder's sandboxes, or another folder with -C")
    match resolve(path, tree):
        case Unresolved(problems=found):
            _print_problems(found, blobs, to_stderr=True)
            raise typer.Exit(1)
        case Resolved() as resolved:
            assert tree.platform is not None  # noqa: S101 -- nothing is resolved without
            platform = tree.platform.spec
            text = rendered(resolved) + limited.shown(resolved, platform)
            typer.echo(_as_json(resolved, platform) if as_json else text, nl=as_json)


def schema(
    kind: Annotated[_Kind | None, typer.Argument(help="Which kind of spec.")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All kinds, into --output.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the schemas.")
    ] = None,
    page: Annotated[
        bool, typer.Option("--reference", help="Print the reference page instead.")
    ] = False,
    directory: _DirectoryOption = Path(),
) -> None:
    """Print the JSON Schema of a kind of spec, for editors.

    Examples: `sdp schema sandbox`; `sdp schema --all -o .schemas`;
    `sdp schema --reference > docs/reference/spec.md`.

    With yaml-language-server, put this in a sandbox's first line:
    `# yaml-language-server: $schema=../.schemas/sandbox.schema.json`
    """
    if page:
        examples = {each.path: each.content.decode() for each in read_folder(directory)}
        typer.echo(reference.page(examples), nl=False)
    elif every and output is not None:
        output.mkdir(parents=True, exist_ok=True)
        for each in KINDS:
            target = output / f"{each}.schema.json"
            target.write_text(_schema_text(each), encoding="utf-8")
            typer.echo(target)
    elif kind is not None and not every:
        typer.echo(_schema_text(kind), nl=False)
    else:
        raise typer.BadParameter(f"expected one of {', '.join(KINDS)}, or --all -o FOLDER")


def summary(files: int, found: Iterable[Problem]) -> str:
    """Return the last line of a validation, such as ``4 files, no problems``."""
    severities = [each.severity for each in found]
    counts = [(severities.count(each), each) for each in ("error", "warning")]
    told = [_counted(number, noun) for number, noun in counts if number]
    return ", ".join([_counted(files, "file"), *(told or ["no problems"])])


def rendered(resolved: Resolved) -> str:
    """Return a resolved sandbox as a sandbox file, each leaf with its origin as a comment."""
    header = f"from {resolved.path}"
    if resolved.template is not None:
        header += f" and template {resolved.template}"
    body = resolved.body.model_dump(exclude_unset=True, exclude_none=True)
    rows = [(f"sandbox: {scalar(resolved.name)}", ""), *_rows(body, resolved)]
    width = max(cell_len(text) for text, _ in rows)
    lines = [
        f"{text}{' ' * (width - cell_len(text))}  # {origin}" if origin else text
        for text, origin in rows
    ]
    return "\n".join((f"# {header}", *lines, ""))


def _blob(directory: Path, path: Path) -> Blob:
    content = path.read_bytes()
    header = f"blob {len(content)}\0".encode()
    sha = hashlib.sha1(header + content, usedforsecurity=False).hexdigest()
    return Blob(path.relative_to(directory).as_posix(), sha, content)


def _is_regular(directory: Path, path: Path) -> bool:
    inside = path.relative_to(directory)
    links = (directory.joinpath(*inside.parts[: end + 1]) for end in range(len(inside.parts)))
    return is_spec(inside.as_posix()) and path.is_file() and not any(map(Path.is_symlink, links))


def _path_of(sandbox: str, tree: Tree) -> str | None:
    if sandbox in tree.sandbox_paths:
        return sandbox
    names = {file.spec.sandbox.lower(): path for path, file in tree.sandboxes.items()}
    broken = {name.lower(): path for path, name in tree.unloaded.items() if name is not None}
    sandboxes = {name: path for name, path in broken.items() if path in tree.sandbox_paths}
    return {**sandboxes, **names}.get(sandbox.lower())


def _print_problems(found: Iterable[Problem], blobs: Iterable[Blob], *, to_stderr: bool) -> None:
    contents = {blob.path: blob.content for blob in blobs}
    on_terminal = (sys.stderr if to_stderr else sys.stdout).isatty()
    for each in found:
        typer.echo(str(each), err=to_stderr)
        if on_terminal and (excerpt := pointed_at(each, contents)):
            typer.echo(excerpt, err=to_stderr)


def pointed_at(problem: Problem, contents: Mapping[str, bytes]) -> str:
    """Return the problem's line of source with a caret below its column, or nothing."""
    if problem.path.startswith("environments/"):
        return ""  # the line may hold a secret
    source = yaml.lines(contents.get(problem.path, b"").decode(errors="replace"))
    if not 0 < problem.line <= len(source) or not source[problem.line - 1].strip():
        return ""
    line = "".join(each if each.isprintable() else " " for each in source[problem.line - 1])
    indent = " " * cell_len(line[: problem.column - 1])
    return f"    {line}\n    {indent}^"


def _rows(
    body: Mapping[str, yaml.Value], resolved: Resolved, prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, str]]:
    for key, value in body.items():
        text = f"{'  ' * depth}{scalar(key)}:"
        if isinstance(value, Mapping) and value:
            yield text, ""
            yield from _rows(value, resolved, f"{prefix}{key}.", depth + 1)
        elif isinstance(value, Mapping):
            yield f"{text} {{}}", ""
        else:
            yield f"{text} {scalar(value)}", str(resolved.origins.get(f"{prefix}{key}", ""))


def _as_json(resolved: Resolved, platform: Platform) -> str:
    body = resolved.body.model_dump(exclude_unset=True, exclude_none=True)
    origins = {key: dataclasses.asdict(origin) for key, origin in resolved.origins.items()}
    return json.dumps(
        {
            "sandbox": resolved.name,
            "path": resolved.path,
            "template": resolved.template,
            "body": body,
            "origins": origins,
            "limits": limited.told(resolved, platform),
        },
        indent=2,
    )


def _schema_text(kind: str) -> str:
    return json.dumps(schema_of(kind), indent=2, ensure_ascii=False) + "\n"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
