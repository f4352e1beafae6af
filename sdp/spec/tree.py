"""What loading gives: files with positions, the tree of a commit, and problems. Values only."""

import dataclasses
import types
from collections.abc import Iterable, Mapping
from typing import Generic, Literal, TypeVar

from typing_extensions import override

from sdp.spec import yaml
from sdp.spec.models import Environment, Model, Platform, Sandbox, Template

S_co = TypeVar("S_co", bound=Model, covariant=True)

PLATFORM_PATH = "platform.yaml"


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Something wrong in a file; an error keeps the file from use, a warning does not."""

    path: str
    line: int
    column: int
    message: str
    severity: Literal["error", "warning"] = "error"

    @override
    def __str__(self) -> str:
        warning = "warning: " if self.severity == "warning" else ""
        return f"{self.path}:{self.line}:{self.column}: {warning}{self.message}"


@dataclasses.dataclass(frozen=True, slots=True)
class Blob:
    """One file of a commit: path from the root, the content's hash, the content."""

    path: str
    sha: str
    content: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class File(Generic[S_co]):
    """A spec, and where in which file each part of it stands."""

    path: str
    spec: S_co
    document: yaml.Document

    def position(self, loc: yaml.Loc) -> yaml.Position:
        """Return line and column of the value at a path of keys and indices, or of its parent."""
        return self.document.value_at(loc)

    def key_position(self, loc: yaml.Loc) -> yaml.Position:
        """Return line and column of the key of that value, or of its parent's."""
        return self.document.key_at(loc)

    def problem(self, loc: yaml.Loc, message: str) -> Problem:
        """Return an error at the value."""
        return Problem(self.path, *self.position(loc), message)

    def key_problem(self, loc: yaml.Loc, message: str) -> Problem:
        """Return an error at the key."""
        return Problem(self.path, *self.key_position(loc), message)


def _none() -> Mapping[str, str | None]:
    return types.MappingProxyType({})


@dataclasses.dataclass(frozen=True, slots=True)
class Tree:
    """All specs of a commit. Whatever did not load is named in ``unloaded`` and ``problems``.

    Attributes:
        sandboxes: by path; templates and environments are by name.
        unloaded: paths of spec files that do not load → the name they declare, if readable.
        problems: ordered by place.
    """

    platform: File[Platform] | None
    sandboxes: Mapping[str, File[Sandbox]]
    templates: Mapping[str, File[Template]]
    environments: Mapping[str, File[Environment]]
    problems: tuple[Problem, ...] = ()
    unloaded: Mapping[str, str | None] = dataclasses.field(default_factory=_none)

    @property
    def sandbox_paths(self) -> frozenset[str]:
        """Paths of all sandbox files of the commit, with those that do not load."""
        broken = (path for path in self.unloaded if path.startswith("sandboxes/"))
        return frozenset((*self.sandboxes, *broken))

    def errors(self, paths: Iterable[str]) -> tuple[Problem, ...]:
        """Return the errors in these files."""
        wanted = frozenset(paths)
        return tuple(
            problem
            for problem in self.problems
            if problem.severity == "error" and problem.path in wanted
        )
