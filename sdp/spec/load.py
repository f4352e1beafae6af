"""The files of a commit, read into specs: all problems at once, each with its place.

Never raises on what people wrote. Checks across files are in ``sdp.spec.check``; what a sandbox
becomes with its template and the platform's defaults is ``sdp.spec.resolve``'s.
"""

import dataclasses
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

import pydantic

from sdp.spec import check, explain, yaml
from sdp.spec.models import Body, Environment, Model, Platform, Sandbox, Snapshot, Template
from sdp.spec.tree import Blob, File, Problem, Tree

__all__ = ["Blob", "Cache", "File", "Past", "Problem", "Tree", "is_spec", "load", "tree_of"]

Kind: TypeAlias = (
    type[Platform] | type[Sandbox] | type[Template] | type[Environment] | type[Snapshot]
)
Past: TypeAlias = Callable[[str], Iterable[Blob] | None]
"""A commit → the environment files that it has; None: there is no such commit."""

FOLDERS: Final[Mapping[str, Kind]] = types.MappingProxyType(
    {
        "sandboxes": Sandbox,
        "templates": Template,
        "environments": Environment,
        "snapshots": Snapshot,
    }
)
_ENDINGS = (".yaml", ".yml")
_EXAMPLES: Mapping[Kind, str] = types.MappingProxyType(
    {
        Platform: "platform: my-company",
        Sandbox: "sandbox: QA-LOGIN-ERROR",
        Template: "template: QA-DEFAULT",
        Environment: "environment: qa",
        Snapshot: "snapshot: BEFORE-DEMO",
    }
)


@dataclasses.dataclass(frozen=True, slots=True)
class _Parsed:
    """What one content is as one kind of spec, wherever the file stands."""

    spec: Model | None
    document: yaml.Document | None
    faults: tuple[yaml.Fault, ...]
    name: str | None


class Cache:
    """Parsed contents by kind and hash; keeps those of the latest load."""

    def __init__(self) -> None:
        self._parsed: Mapping[tuple[Kind, str], _Parsed] = {}

    def get(self, kind: Kind, sha: str) -> _Parsed | None:
        """Return what was parsed of that content before."""
        return self._parsed.get((kind, sha))

    def replace(self, parsed: Mapping[tuple[Kind, str], _Parsed]) -> None:
        """Keep these, forget the others."""
        self._parsed = parsed


def is_spec(path: str) -> bool:
    """Tell whether a path of the config repo is read at all."""
    return _kind(path) is not None


def load(blobs: Iterable[Blob], cache: Cache | None = None, past: Past | None = None) -> Tree:
    """Return the specs in these files; files that are no specs are ignored.

    Args:
        blobs: files of one commit or folder, in any order; equal hashes mean equal contents.
        cache: spares parsing contents that the previous load had.
        past: looks up the environments that specs want as they stood at a commit; None: nobody
            can, and nothing is said of them.
    """
    reader = _Reader(cache)
    tree = reader.tree(blobs)
    if past is not None:
        found = {revision: past(revision) for revision in _revisions(tree)}
        sound = {r: None if b is None else _sound(reader.tree(b), r) for r, b in found.items()}
        tree = dataclasses.replace(tree, past=sound)
    if cache is not None:
        cache.replace(reader.parsed)
    problems = (*tree.problems, *check.across(tree))
    return dataclasses.replace(tree, problems=tuple(sorted(frozenset(problems))))


def tree_of(
    files: Mapping[str, str], cache: Cache | None = None, past: Past | None = None
) -> Tree:
    """Return the specs in texts by path; their own text stands for their hash.

    A text may hold what no UTF-8 does, as of bytes or JSON escapes that are none: it does not
    load, as such bytes do not.
    """
    blobs = (Blob(path, text, text.encode(errors="surrogatepass")) for path, text in files.items())
    return load(blobs, cache, past)


class _Reader:
    """Reads files into specs, each content once."""

    def __init__(self, cache: Cache | None) -> None:
        self.parsed: dict[tuple[Kind, str], _Parsed] = {}
        self._cache = cache

    def tree(self, blobs: Iterable[Blob]) -> Tree:
        """Return the specs in these files, each checked alone."""
        read: list[tuple[str, _Parsed]] = []
        for blob in sorted(blobs, key=lambda each: each.path):
            if (kind := _kind(blob.path)) is None:
                continue
            key = (kind, blob.sha)
            known = self.parsed.get(key) or (self._cache and self._cache.get(kind, blob.sha))
            self.parsed[key] = known or _parse(kind, blob.content)
            read.append((blob.path, self.parsed[key]))
        return _tree(read)


def _revisions(tree: Tree) -> frozenset[str]:
    """Return the commits whose environments are wanted."""
    bodies: list[Body] = [file.spec for file in tree.sandboxes.values()]
    bodies += [file.spec for file in tree.templates.values()]
    bodies += [tree.platform.spec.defaults] if tree.platform else []
    wanted = [each.environment_revision for each in bodies]
    wanted += [file.spec.environment_revision for file in tree.snapshots.values()]
    return frozenset(each for each in wanted if each is not None)


def _sound(tree: Tree, revision: str) -> Mapping[str, File[Environment]]:
    """Return the environments of a commit that may be used, by name, called by where they are."""
    found = [
        *tree.problems,
        *(p for f in tree.environments.values() for p in check.environment(f)),
    ]
    wrong = {each.path for each in found if each.severity == "error"}
    return {
        name: dataclasses.replace(file, path=f"{file.path} at {revision[:7]}")
        for name, file in tree.environments.items()
        if file.path not in wrong
    }


def _kind(path: str) -> Kind | None:
    *folders, name = path.split("/")
    if name.startswith(".") or not name.endswith(_ENDINGS) or not path.isprintable():
        return None  # what can't be shown as it is can't be judged by who looks at it
    if not folders:
        return Platform if name.rpartition(".")[0] == "platform" else None
    return FOLDERS.get(folders[0])


def _parse(kind: Kind, content: bytes) -> _Parsed:
    document, faults = yaml.parse(content)
    if document is None:
        return _Parsed(None, None, faults, None)
    value = document.value
    if not isinstance(value, dict):
        found = "an empty file" if value is None else explain.shown(value)
        fault = yaml.Fault(
            document.value_at(()), f"found {found}, expected keys such as {_EXAMPLES[kind]}"
        )
        return _Parsed(None, document, (*faults, fault), None)
    declared = value.get(kind.__name__.lower())
    name = declared if isinstance(declared, str) else None
    try:
        spec = kind.model_validate(value)
    except pydantic.ValidationError as error:
        more = explain.faults(error, document, kind)
        return _Parsed(None, document, (*faults, *more), name)
    return _Parsed(None if faults else spec, document, faults, name)


def _tree(read: Iterable[tuple[str, _Parsed]]) -> Tree:
    platforms: list[File[Platform]] = []
    sandboxes: list[File[Sandbox]] = []
    templates: list[File[Template]] = []
    environments: list[File[Environment]] = []
    snapshots: list[File[Snapshot]] = []
    unloaded: dict[str, str | None] = {}
    problems: list[Problem] = []
    for path, parsed in read:
        problems += [Problem(path, *fault.position, fault.message) for fault in parsed.faults]
        match parsed.spec, parsed.document:
            case Platform() as spec, yaml.Document() as document:
                platforms.append(File(path, spec, document))
            case Sandbox() as spec, yaml.Document() as document:
                sandboxes.append(File(path, spec, document))
            case Template() as spec, yaml.Document() as document:
                templates.append(File(path, spec, document))
            case Environment() as spec, yaml.Document() as document:
                environments.append(File(path, spec, document))
            case Snapshot() as spec, yaml.Document() as document:
                snapshots.append(File(path, spec, document))
            case _:
                unloaded[path] = parsed.name
    problems += check.repeated("platform", [("", file) for file in platforms])
    problems += check.repeated("sandbox", [(file.spec.sandbox, file) for file in sandboxes])
    problems += check.repeated("template", [(file.spec.template, file) for file in templates])
    problems += check.repeated(
        "environment", [(file.spec.environment, file) for file in environments]
    )
    problems += check.repeated("snapshot", [(file.spec.snapshot, file) for file in snapshots])
    return Tree(
        platforms[0] if platforms else None,
        {file.path: file for file in sandboxes},
        {file.spec.template: file for file in reversed(templates)},
        {file.spec.environment: file for file in reversed(environments)},
        tuple(problems),
        unloaded,
        {file.spec.snapshot: file for file in reversed(snapshots)},
    )
