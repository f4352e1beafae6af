"""One sandbox as it is meant: the platform's defaults, its template and its own file, merged.

A layer above wins key by key, and ``null`` removes what a layer below gave. Each leaf of the
result knows its file and line. Pure; what the result needs from VMs is the planner's.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TypeAlias

import pydantic
from typing_extensions import override

from sdp.spec import explain, limits, names, yaml
from sdp.spec.models import TARGET_KEYS, Body, Model, Platform, Sandbox, ServiceTarget
from sdp.spec.tree import PLATFORM_PATH, File, Problem, Tree

MAX_CONTAINER_NAME = 63
"""A container's name is also its host name, and a DNS label has at most 63 characters."""


@dataclasses.dataclass(frozen=True, slots=True)
class Origin:
    """Where a leaf of a resolved sandbox was written."""

    path: str
    line: int
    column: int

    @override
    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclasses.dataclass(frozen=True, slots=True)
class Resolved:
    """A sandbox with nothing left to look up.

    Attributes:
        origins: by dotted path of a leaf, such as ``services.account.branch``.
    """

    name: str
    path: str
    template: str | None
    body: Body
    origins: Mapping[str, Origin]


@dataclasses.dataclass(frozen=True, slots=True)
class Unresolved:
    """A sandbox that cannot be resolved, and every reason."""

    problems: tuple[Problem, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class _Leaf:
    value: yaml.Value
    origin: Origin


_Layer: TypeAlias = "dict[str, _Leaf | _Layer]"


def resolve(path: str, tree: Tree) -> Resolved | Unresolved:
    """Return the sandbox of a file, or all that stands in its way.

    Args:
        path: one of ``tree.sandbox_paths``.
        tree: the commit that the file is part of.
    """
    file = tree.sandboxes.get(path)
    if file is None or tree.platform is None:
        platforms = [each for each in tree.unloaded if each.startswith("platform.")]
        return Unresolved(tree.errors((path, PLATFORM_PATH, *platforms)))
    if errors := tree.errors(_read_for(file, tree, tree.platform)):
        return Unresolved(errors)
    merged: _Layer = {}
    for layer in _layers(file, tree, tree.platform):
        merged = _merged(merged, layer)
    return _validated(file, tree, tree.platform, _cleaned(merged))


def problems(tree: Tree) -> tuple[Problem, ...]:
    """Return the tree's problems and those that only resolving its sandboxes shows, by place."""
    found = set(tree.problems)
    for path in tree.sandboxes:
        outcome = resolve(path, tree)
        if isinstance(outcome, Unresolved):
            found.update(outcome.problems)
    return tuple(sorted(found))


def _read_for(file: File[Sandbox], tree: Tree, platform: File[Platform]) -> Iterator[str]:
    """Yield the paths of the files that the sandbox is made of."""
    yield from (platform.path, file.path)
    bodies: list[Body] = [platform.spec.defaults, file.spec]
    template = tree.templates.get(file.spec.template or "")
    if template is not None:
        yield template.path
        bodies.append(template.spec)
    if tree.revision_for(file.spec) is not None:
        return
    for body in bodies:
        targets = [target for target in (body.services or {}).values() if target is not None]
        for name in (body.environment, *(target.environment for target in targets)):
            if name is not None and name in tree.environments:
                yield tree.environments[name].path


def _layers(file: File[Sandbox], tree: Tree, platform: File[Platform]) -> Iterator[_Layer]:
    yield _layer(platform, platform.spec.defaults, ("defaults",))
    template = tree.templates.get(file.spec.template or "")
    if template is not None:
        yield _layer(template, template.spec, ())
    yield _layer(file, file.spec, ())


def _layer(file: File[Model], body: Body, loc: yaml.Loc) -> _Layer:
    written = body.model_dump(exclude_unset=True, exclude={"sandbox", "template"})
    return _nodes(file, written, loc)


def _nodes(file: File[Model], written: Mapping[str, yaml.Value], loc: yaml.Loc) -> _Layer:
    layer: _Layer = {}
    for key, value in written.items():
        where = (*loc, key)
        if isinstance(value, Mapping):
            layer[key] = _nodes(file, value, where)
        else:
            layer[key] = _Leaf(value, Origin(file.path, *file.position(where)))
    return layer


def _merged(below: _Layer, above: _Layer) -> _Layer:
    result = _not_replaced(below, above)
    for key, node in above.items():
        under = result.get(key)
        if isinstance(under, dict) and isinstance(node, dict):
            result[key] = _merged(under, node)
        else:
            result[key] = node
    return result


def _not_replaced(below: _Layer, above: _Layer) -> _Layer:
    """Return what stays of a lower layer's mapping under the target that a higher one sets.

    A target of one kind takes the place of another kind. A branch drops a commit from below, which
    belonged to another branch; a commit alone keeps the branch that it is on.
    """
    chosen = {
        key
        for key in TARGET_KEYS
        if isinstance(leaf := above.get(key), _Leaf) and leaf.value not in (None, False)
    }
    if not chosen:
        return dict(below)
    kept = {"branch"} if "commit" in chosen else set()
    return {key: node for key, node in below.items() if key in kept or key not in TARGET_KEYS}


def _cleaned(layer: _Layer) -> _Layer:
    """Return the layer without what ``null`` removed; a service left without a word uses OCP."""
    body = _without_nulls(layer)
    services = body.get("services")
    if isinstance(services, dict):
        body["services"] = {name: target for name, target in services.items() if target}
    return body


def _without_nulls(layer: _Layer) -> _Layer:
    return {
        key: _without_nulls(node) if isinstance(node, dict) else node
        for key, node in layer.items()
        if isinstance(node, dict) or node.value is not None
    }


def _plain(layer: _Layer) -> dict[str, yaml.Value]:
    return {
        key: _plain(node) if isinstance(node, dict) else node.value for key, node in layer.items()
    }


def _origins(layer: _Layer, prefix: str = "") -> Iterator[tuple[str, Origin]]:
    for key, node in layer.items():
        if isinstance(node, dict):
            yield from _origins(node, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", node.origin


def _validated(
    file: File[Sandbox], tree: Tree, platform: File[Platform], merged: _Layer
) -> Resolved | Unresolved:
    origins = dict(_origins(merged))
    try:
        body = Body.model_validate(_plain(merged))
    except pydantic.ValidationError as error:
        details = error.errors(include_url=False)
        return Unresolved(
            tuple(
                _at(file, origins, ".".join(map(str, each["loc"])), explain.message(each, Body))
                for each in details
            )
        )
    resolved = Resolved(file.spec.sandbox, file.path, file.spec.template, body, origins)
    gone = _environments_gone(file, tree, resolved)
    found = tuple(sorted((*gone, *_unusable(file, platform, resolved))))
    return Unresolved(found) if found else resolved


def _at(file: File[Sandbox], origins: Mapping[str, Origin], path: str, message: str) -> Problem:
    """Return a problem at the leaf, or at the first leaf under that path, or at the name."""
    for leaf, origin in origins.items():
        if leaf == path or leaf.startswith(f"{path}."):
            return Problem(origin.path, origin.line, origin.column, message)
    return file.problem(("sandbox",), message)


def environments_named(body: Body) -> Iterator[tuple[str, str]]:
    """Yield the environments that a body names, each with the dotted path of where it does."""
    if body.environment is not None:
        yield "environment", body.environment
    for name, target in (body.services or {}).items():
        if target is not None and target.environment is not None:
            yield f"services.{name}.environment", target.environment


def _environments_gone(file: File[Sandbox], tree: Tree, resolved: Resolved) -> Iterator[Problem]:
    """Yield the environments that are not there at the commit as of which they are wanted."""
    revision = resolved.body.environment_revision
    known = tree.environments_at(revision)
    when = f"at {revision[:7]}" if revision else "now"
    for where, name in environments_named(resolved.body):
        if known is not None and name not in known:
            message = f"environment '{name}' is not there, or does not load, {when}"
            yield _at(file, resolved.origins, where, message)


def _unusable(
    file: File[Sandbox], platform: File[Platform], resolved: Resolved
) -> Iterator[Problem]:
    """Yield why a well-formed sandbox could never run."""
    gateway = resolved.body.gateway
    if gateway is None or (gateway.branch is None and gateway.commit is None):
        yield file.problem(
            ("sandbox",),
            "missing gateway: {branch: …}, here, in a template or in platform.yaml's defaults",
        )
    for name, target in (resolved.body.services or {}).items():
        yield from _unusable_target(file, resolved, name, target)
    yield from _ports_twice(file, platform, resolved)
    for fault in limits.faults(resolved.body, platform.spec):
        yield _at(file, resolved.origins, _nearest(file, resolved, fault), fault.message)


def _nearest(file: File[Sandbox], resolved: Resolved, fault: limits.Fault) -> str:
    """Return which leaf a fault is told at: the first in the sandbox's own file, if there is one."""
    leaves = [path for path in fault.paths if path in resolved.origins]
    own = (path for path in leaves if resolved.origins[path].path == file.path)
    return next(own, leaves[0])


def _unusable_target(
    file: File[Sandbox], resolved: Resolved, name: str, target: ServiceTarget | None
) -> Iterator[Problem]:
    where = f"services.{name}"
    if target is None or target.use_ocp or target.url is not None:
        return
    if target.branch is None and target.commit is None:
        message = f"service '{name}' has none of {', '.join(TARGET_KEYS)}"
        yield _at(file, resolved.origins, where, message)
    container = names.container(resolved.name, name)
    if len(container) > MAX_CONTAINER_NAME:
        yield file.problem(
            ("sandbox",),
            f"the container's name {container} has {len(container)} characters, expected at most "
            f"{MAX_CONTAINER_NAME}; shorten the sandbox's name",
        )


def _ports_twice(
    file: File[Sandbox], platform: File[Platform], resolved: Resolved
) -> Iterator[Problem]:
    """Yield the ports that one sandbox pins twice on a node; other sandboxes' are a hold."""
    gateway, services = resolved.body.gateway, resolved.body.services or {}
    pinned: list[tuple[str, str, int]] = []
    if gateway is not None and gateway.port is not None:
        pinned.append(("gateway", platform.spec.gateway.node, gateway.port))
    for name, target in services.items():
        runs_here = target is not None and not target.use_ocp and target.url is None
        if runs_here and target is not None and target.port is not None:
            pinned.append((f"services.{name}", platform.spec.services[name].node, target.port))
    first: dict[tuple[str, int], str] = {}
    for what, node, port in pinned:
        if (node, port) in first:
            message = f"port {port} of {node} is pinned by {first[node, port]} already"
            yield _at(file, resolved.origins, f"{what}.port", message)
        first.setdefault((node, port), what)
