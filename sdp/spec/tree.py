"""What loading gives: files with positions, the tree of a commit, and problems. Values only."""

import dataclasses
import types
from collections.abc import Iterable, Mapping
from typing import Final, Generic, Literal, Never, TypeVar

from typing_extensions import override

from sdp.spec import yaml
from sdp.spec.models import Body, Environment, Model, Platform, Sandbox, Snapshot, Template

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


_NONE: Final[Mapping[str, Never]] = types.MappingProxyType({})


@dataclasses.dataclass(frozen=True, slots=True)
class Tree:
    """All specs of a commit. Whatever did not load is named in ``unloaded`` and ``problems``.

    Attributes:
        sandboxes: by path; templates, environments and snapshots are by name.
        unloaded: paths of spec files that do not load → the name they declare, if readable.
        problems: ordered by place.
        past: commit → the sound environments that it had, by name; None where there is no such
            commit; without those that nobody could look up.
    """

    platform: File[Platform] | None
    sandboxes: Mapping[str, File[Sandbox]]
    templates: Mapping[str, File[Template]]
    environments: Mapping[str, File[Environment]]
    problems: tuple[Problem, ...] = ()
    unloaded: Mapping[str, str | None] = dataclasses.field(default_factory=lambda: _NONE)
    snapshots: Mapping[str, File[Snapshot]] = dataclasses.field(default_factory=lambda: _NONE)
    past: Mapping[str, Mapping[str, File[Environment]] | None] = dataclasses.field(
        default_factory=lambda: _NONE
    )

    @property
    def sandbox_paths(self) -> frozenset[str]:
        """Paths of all sandbox files of the commit, with those that do not load."""
        broken = (path for path in self.unloaded if path.startswith("sandboxes/"))
        return frozenset((*self.sandboxes, *broken))

    def environments_at(self, revision: str | None) -> Mapping[str, File[Environment]] | None:
        """Return the environments of a commit, by name; None: it was not, or is not there.

        Args:
            revision: commit of the config repo; None: this tree's own.
        """
        return self.environments if revision is None else self.past.get(revision)

    def revision_for(self, body: Body) -> str | None:
        """Return the commit whose environments a body takes, after all layers; None: this one."""
        layers: list[Body] = [body]
        if isinstance(body, Sandbox) and (file := self.templates.get(body.template or "")):
            layers.append(file.spec)
        if self.platform is not None:
            layers.append(self.platform.spec.defaults)
        said = (each for each in layers if "environment_revision" in each.model_fields_set)
        return next((each.environment_revision for each in said), None)

    def errors(self, paths: Iterable[str]) -> tuple[Problem, ...]:
        """Return the errors in these files."""
        wanted = frozenset(paths)
        return tuple(
            problem
            for problem in self.problems
            if problem.severity == "error" and problem.path in wanted
        )
