"""Checks across files: names that repeat, and names that nothing answers to. Positions included.

Each file alone is already well-formed here. What follows only from a sandbox together with its
template and the defaults is checked by ``sdp.spec.resolve``.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from sdp.sops import metadata
from sdp.sops.form import is_encrypted
from sdp.sops.problem import SopsError
from sdp.spec import check_roles, explain, names, yaml
from sdp.spec.models import Body, Environment, Model, Platform, Snapshot
from sdp.spec.tree import PLATFORM_PATH, File, Problem, Tree

_UNSEEN: Final[Mapping[str, File[Environment]]] = {}


def repeated(kind: str, named: Sequence[tuple[str, File[Model]]]) -> Iterator[Problem]:
    """Yield, for each name that several files declare, a problem in each of them."""
    by_name: dict[str, list[File[Model]]] = {}
    for name, file in named:
        by_name.setdefault(name.lower(), []).append(file)
    for files in by_name.values():
        for file in files:
            others = ", ".join(other.path for other in files if other is not file)
            if others:
                yield file.problem((kind,), f"{_again(kind, file)} in {others} as well")


def across(tree: Tree) -> Iterator[Problem]:
    """Yield the problems that show only when files are seen together."""
    if tree.platform is None:
        if not any(path.startswith("platform.") for path in tree.unloaded):
            yield Problem(
                PLATFORM_PATH, 1, 1, "missing; expected the platform's nodes, services and gateway"
            )
    else:
        yield from _platform(tree.platform)
        yield from _body(tree, tree.platform, tree.platform.spec.defaults, ("defaults",))
    for file in tree.sandboxes.values():
        yield from _body(tree, file, file.spec, ())
        if file.spec.template is not None:
            known = tree.templates
            yield from _named(tree, file, ("template",), file.spec.template, known)
    for template in tree.templates.values():
        yield from _body(tree, template, template.spec, ())
    yield from _environments(tree)
    for snapshot in tree.snapshots.values():
        yield from _snapshot(tree, snapshot)


def _environments(tree: Tree) -> Iterator[Problem]:
    for file in tree.environments.values():
        yield from environment(file)
        if tree.platform is not None:
            yield from _readers(file, tree.platform.spec)


def _again(kind: str, file: File[Model]) -> str:
    name = getattr(file.spec, kind)
    return f"{kind} '{name}' is"


def _platform(file: File[Platform]) -> Iterator[Problem]:
    platform = file.spec
    first: dict[str, int] = {}
    for index, node in enumerate(platform.nodes):
        if node.id in first:
            line = file.position(("nodes", first[node.id], "id")).line
            message = f"found the node '{node.id}' again, first in line {line}"
            yield file.problem(("nodes", index, "id"), message)
        first.setdefault(node.id, index)
    for name, service in platform.services.items():
        yield from _node(file, ("services", name, "node"), service.node, "MICRO")
    yield from _node(file, ("gateway", "node"), platform.gateway.node, "GATEWAY")
    for index, name in enumerate(platform.roles.login_nodes):
        if name not in first:
            loc = ("roles", "login_nodes", index)
            yield file.problem(loc, explain.unknown(f"node '{name}'", name, first))
    yield from check_roles.roles(file)


def _node(file: File[Platform], loc: yaml.Loc, name: str, wanted: str) -> Iterator[Problem]:
    types = {node.id: node.type for node in file.spec.nodes}
    if name not in types:
        yield file.problem(loc, explain.unknown(f"node '{name}'", name, types))
    elif types[name] != wanted:
        yield file.problem(
            loc, f"node '{name}' is of type {types[name]}, expected a node of type {wanted}"
        )


def _body(tree: Tree, file: File[Model], body: Body, loc: yaml.Loc) -> Iterator[Problem]:
    yield from _no_commit(tree, file, body.environment_revision, loc)
    if tree.revision_for(body) is None:  # else only what a sandbox comes to says which are meant
        yield from _environments_of(tree, file, body, loc)
    if tree.platform is not None:
        known = tree.platform.spec.services
        for name in body.services or {}:
            if name not in known:
                yield file.key_problem(
                    (*loc, "services", name), explain.unknown(f"service '{name}'", name, known)
                )


def _no_commit(
    tree: Tree, file: File[Model], revision: str | None, loc: yaml.Loc
) -> Iterator[Problem]:
    if revision is not None and tree.past.get(revision, _UNSEEN) is None:
        message = f"the config repo has no commit {revision[:7]}"
        yield file.problem((*loc, "environment_revision"), message)


def _snapshot(tree: Tree, file: File[Snapshot]) -> Iterator[Problem]:
    """Yield why a sandbox could not be brought back to it: the world has moved on."""
    found = [*_no_commit(tree, file, file.spec.environment_revision, ())]
    known = tree.platform.spec.services if tree.platform else file.spec.services
    found += [
        file.key_problem(("services", name), explain.unknown(f"service '{name}'", name, known))
        for name in file.spec.services
        if name not in known
    ]
    yield from (dataclasses.replace(each, severity="warning") for each in found)


def _environments_of(
    tree: Tree, file: File[Model], body: Body, loc: yaml.Loc
) -> Iterator[Problem]:
    named = [((*loc, "environment"), body.environment)]
    for name, target in (body.services or {}).items():
        if target is not None:
            named.append(((*loc, "services", name, "environment"), target.environment))
    for where, environment in named:
        if environment is not None:
            yield from _named(tree, file, where, environment, tree.environments)


def _named(
    tree: Tree, file: File[Model], loc: yaml.Loc, name: str, known: Mapping[str, object]
) -> Iterator[Problem]:
    if name in known:
        return
    kind = str(loc[-1])
    broken = [path for path in tree.unloaded if path.startswith(f"{kind}s/")]
    same = [path for path in broken if tree.unloaded[path] == name]
    if same:
        yield file.problem(loc, f"{kind} '{name}' does not load: see {same[0]}")
        return
    nameless = [path for path in broken if tree.unloaded[path] is None]
    hint = f" ({', '.join(nameless)} cannot be read)" if nameless else ""
    yield file.problem(loc, explain.unknown(f"{kind} '{name}'", name, known) + hint)


def environment(file: File[Environment]) -> Iterator[Problem]:
    """Yield what is wrong with an environment by itself."""
    spec = file.spec
    for name, value in spec.secrets.items():
        if name in spec.variables:
            line = file.key_position(("variables", name)).line
            message = f"found '{name}' among secrets, and among variables in line {line}"
            yield file.key_problem(("secrets", name), message)
        if value and not is_encrypted(value):
            yield file.key_problem(
                ("secrets", name),
                f"secret '{name}' is in plain text; encrypt it: "
                f"sdp env set-secret {spec.environment} {name}; if it was ever pushed, change it",
            )
    for name, value in spec.variables.items():
        if is_encrypted(value):
            message = f"found an encrypted value among variables; move '{name}' to secrets"
            yield file.key_problem(("variables", name), message)
    yield from _ours(file)
    yield from _sealed(file)


def _ours(file: File[Environment]) -> Iterator[Problem]:
    """Yield what would have no effect, because the platform sets it."""
    for section in ("variables", "secrets"):
        for name in getattr(file.spec, section):
            if name in names.OURS:
                message = f"found '{name}' among {section}: the platform sets it itself"
                yield file.key_problem((section, name), message)


def _sealed(file: File[Environment]) -> Iterator[Problem]:
    """Yield why the encrypted values of a file can't be decrypted by anybody."""
    spec = file.spec
    encrypted = [("secrets", name) for name in spec.secrets if is_encrypted(spec.secrets[name])]
    encrypted += [("files", path) for path in spec.files if is_encrypted(spec.files[path])]
    if not encrypted:
        return
    if spec.sops is None:
        message = "the value is encrypted, and the file's sops section is missing"
        yield file.key_problem(encrypted[0], message)
        return
    try:
        metadata.read(_section(file))
    except SopsError as error:
        yield file.key_problem(("sops",), str(error))


def _readers(file: File[Environment], platform: Platform) -> Iterator[Problem]:
    """Yield the nodes that run services, and that an encrypted file is not encrypted for."""
    if file.spec.sops is None:
        return
    known = {each.recipient for each in file.spec.sops.age}
    missing = [
        node.id
        for node in platform.nodes
        if node.type == "MICRO" and node.recipient is not None and node.recipient not in known
    ]
    if missing:
        where = file.key_position(("sops",))
        message = (
            f"it is not encrypted for {', '.join(missing)}; "
            f"mend it: sdp env rotate {file.spec.environment}"
        )
        yield Problem(file.path, *where, message, "warning")


def _section(file: File[Environment]) -> object:
    whole = file.document.value
    return whole.get(metadata.SECTION) if isinstance(whole, Mapping) else None
