"""Desired: what a commit of the config repo says should exist, one frozen value per sandbox.

A sandbox whose file does not load, or does not resolve, stays at the last revision at which it
did; a file that does not load is never taken for a deletion.
"""

import dataclasses
import datetime
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, TypeAlias

from pydantic import TypeAdapter
from pydantic.main import IncEx

from sdp.protocol.actions import Limits, Probe, SealedFile
from sdp.protocol.identity import digest
from sdp.reconciler import environments
from sdp.reconciler.authority import Withheld
from sdp.spec import limits, models, names, quantities
from sdp.spec.resolve import Resolved, environments_named, resolve
from sdp.spec.tree import File, Problem, Tree


@dataclasses.dataclass(frozen=True, slots=True)
class Stay:
    """The commit that a branch stands for although no spec pins it, and why.

    Attributes:
        why: newer ones wait for a person (manual), or the branch was deleted, or its origin can't
            be looked at (unseen).
        tip: the newest commit, where it is known.
    """

    commit: str
    why: Literal["manual", "deleted", "unseen"]
    tip: str


@dataclasses.dataclass(frozen=True, slots=True)
class Branch:
    """The sandbox runs it itself: the branch's tip, or one commit of it.

    Attributes:
        manual: a newer commit waits until a person asks for it.
        stay: set by ``steady`` alone.
    """

    name: str
    commit: str | None
    manual: bool = False
    stay: Stay | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Ocp:
    """The shared OCP environment serves it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """Something at this URL serves it."""

    url: str


Target: TypeAlias = Branch | Ocp | Address


@dataclasses.dataclass(frozen=True, slots=True)
class DesiredService:
    """One service of a sandbox.

    ``sealed`` are environment files that its node must open; ``suspended``: it is stopped alone;
    ``environment`` names the one that it has for itself, if any.
    """

    name: str
    target: Target
    spec: models.Service
    node: models.Node
    port: int | None
    variables: Mapping[str, str]
    files: Mapping[str, str]
    sealed: tuple[SealedFile, ...]
    limits: Limits
    probe: Probe
    suspended: bool = False
    environment: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class DesiredGateway:
    """A sandbox's own gateway."""

    branch: Branch
    spec: models.Gateway
    node: models.Node
    port: int | None
    limits: Limits
    probe: Probe


@dataclasses.dataclass(frozen=True, slots=True)
class Expired:
    """Since when a sandbox sleeps because nobody used it, and when it was used last."""

    since: datetime.datetime
    used_at: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class DesiredSandbox:
    """A sandbox, whole.

    Attributes:
        revision: the config commit it was taken from; older than the newest one while the file
            has ``problems``.
        environment_revision: the config commit whose environments it takes; "" for its own.
        services: every service of the platform, by name.
        keep_until: it does not expire before, however long nobody used it.
        expired: it sleeps because nobody used it; no spec says so, the world does.
    """

    name: str
    path: str
    revision: str
    instance: str
    owner: str
    environment: str
    gateway: DesiredGateway
    services: Mapping[str, DesiredService]
    ceiling: Limits
    suspended: bool
    protect: bool
    heal: models.Heal = "auto"
    environment_revision: str = ""
    problems: tuple[Problem, ...] = ()
    expire_after: datetime.timedelta | None = None
    delete_after: datetime.timedelta | None = None
    keep_until: datetime.datetime | None = None
    expired: Expired | None = None

    @property
    def asleep(self) -> bool:
        """Whether all of it is stopped and kept: a person said so, or nobody used it."""
        return self.suspended or self.expired is not None

    def sleeps(self, service: str) -> bool:
        """Whether a service, or the gateway, is stopped and kept: alone, or with all of it."""
        alone = self.services.get(service)
        return self.asleep or (alone is not None and alone.suspended)

    @property
    def intent_digest(self) -> str:
        """Return 12 digits that change with what should run, and how.

        They do not with where that was said, who owns it, and what may be done to it; nor with
        what is encrypted, whose values only versions know.
        """
        return digest(_JSON.dump_python(self, mode="json", exclude=_UNTOLD))

    @property
    def definition_digest(self) -> str:
        """Return 12 digits that change with anything that is said of it, wherever it is said."""
        return digest(_JSON.dump_python(self, mode="json", exclude={*_SAID, "expired"}))


_JSON = TypeAdapter(DesiredSandbox)
_SAID = {"path", "revision", "problems"}
_FOLLOWING = {"manual", "stay"}
_KEPT = {"protect", "expire_after", "delete_after", "keep_until"}
_NOT_RUN = {"owner", "environment", "environment_revision", "ceiling", "heal", *_KEPT}
_UNTOLD: Mapping[str, IncEx | bool] = {
    **dict.fromkeys(_SAID | _NOT_RUN, True),
    "expired": {"since", "used_at"},  # whether alone: what wakes was wanted, and is no drift
    "gateway": {"branch": _FOLLOWING},
    "services": {"__all__": {"sealed": True, "environment": True, "target": _FOLLOWING}},
}


@dataclasses.dataclass(frozen=True, slots=True)
class Desired:
    """All that should exist at a revision.

    Attributes:
        sandboxes: by lower-cased name.
        unreadable: sandbox files that no revision explains; while there are any, nothing that is
            missing from ``sandboxes`` may be taken for deleted.
        withheld: files that do not count as they were committed; by path.
        emptied: neither a platform nor a sandbox of this revision could be read: more likely an
            accident than the wish to delete everything.
    """

    revision: str
    platform: models.Platform | None
    sandboxes: Mapping[str, DesiredSandbox]
    problems: tuple[Problem, ...] = ()
    unreadable: tuple[str, ...] = ()
    emptied: bool = False
    withheld: Mapping[str, Withheld] = dataclasses.field(
        default_factory=lambda: types.MappingProxyType({})
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Revision:
    """A commit of the config repo: its specs, and its message."""

    sha: str
    tree: Tree
    message: str = ""


NOTHING = Desired("", None, types.MappingProxyType({}))


def desire(revision: str, tree: Tree, ancestors: Iterable[Revision] = ()) -> Desired:
    """Return what the tree of a revision says should exist.

    Args:
        revision: commit SHA of the config repo.
        tree: its specs.
        ancestors: older revisions, newest first; read only as far as needed.
    """
    past = _Past(ancestors)
    emptied = is_empty(tree)
    if tree.platform is None:
        tree = _with_past_platform(tree, past)
    if tree.platform is None:
        return Desired(revision, None, {}, tree.problems, tuple(sorted(tree.sandbox_paths)))
    sandboxes: dict[str, DesiredSandbox] = {}
    unreadable: list[str] = []
    for path in sorted(tree.sandbox_paths):
        sandbox = _sandbox(path, revision, tree) or _last_good(path, tree, past)
        if sandbox is None:
            unreadable.append(path)
        else:
            sandboxes.setdefault(sandbox.name.lower(), sandbox)
    return Desired(
        revision, tree.platform.spec, sandboxes, tree.problems, tuple(unreadable), emptied
    )


def is_empty(tree: Tree) -> bool:
    """Whether neither a platform nor a sandbox of a tree can be read."""
    return tree.platform is None and not tree.sandboxes


def differing(old: Desired, new: Desired) -> frozenset[str]:
    """Return the sandboxes that are meant to be otherwise, come, or go, by lower-cased name."""
    return frozenset(
        name
        for name in old.sandboxes.keys() | new.sandboxes.keys()
        if intent(old.sandboxes.get(name)) != intent(new.sandboxes.get(name))
    )


def intent(sandbox: DesiredSandbox | None) -> DesiredSandbox | None:
    """Return what a sandbox should be, without where and when that was said."""
    return sandbox and dataclasses.replace(sandbox, path="", revision="", problems=())


class _Past:
    """Older revisions, read lazily and at most once."""

    def __init__(self, ancestors: Iterable[Revision]) -> None:
        self._rest = iter(ancestors)
        self._read: list[Revision] = []

    def __iter__(self) -> Iterator[Revision]:
        yield from self._read
        for each in self._rest:
            self._read.append(each)
            yield each


def _with_past_platform(tree: Tree, past: _Past) -> Tree:
    for older in past:
        if older.tree.platform is not None:
            return dataclasses.replace(tree, platform=older.tree.platform)
    return tree


def _last_good(path: str, tree: Tree, past: _Past) -> DesiredSandbox | None:
    """Return the sandbox of a broken file as it was when the file, or its name, last held good."""
    declared = tree.unloaded.get(path)
    problems = tree.errors([path]) or _problems(path, tree)
    for older in past:
        for candidate in (path, _path_of(declared, older.tree)):
            if candidate is not None and (sandbox := _sandbox(candidate, older.sha, older.tree)):
                return dataclasses.replace(sandbox, path=path, problems=problems)
    return None


def _path_of(name: str | None, tree: Tree) -> str | None:
    if name is None:
        return None
    named = (p for p, file in tree.sandboxes.items() if file.spec.sandbox.lower() == name.lower())
    return next(named, None)


def _problems(path: str, tree: Tree) -> tuple[Problem, ...]:
    resolved = resolve(path, tree) if path in tree.sandboxes else None
    return () if resolved is None or isinstance(resolved, Resolved) else resolved.problems


def _sandbox(path: str, revision: str, tree: Tree) -> DesiredSandbox | None:
    if path not in tree.sandboxes or tree.platform is None or tree.errors([path]):
        return None
    resolved = resolve(path, tree)
    if not isinstance(resolved, Resolved):
        return None
    platform, body = tree.platform.spec, resolved.body
    lifecycle = body.lifecycle or models.Lifecycle()
    files = _named(body, tree)
    sealed = {name: environments.sealed(file) for name, file in files.items()}
    limited = limits.limits(body, platform)
    return DesiredSandbox(
        name=resolved.name,
        path=path,
        revision=revision,
        instance=platform.platform,
        owner=body.owner or "",
        environment=body.environment or "",
        gateway=_gateway(body, platform, limited),
        services={
            name: _service(name, body, platform, files, sealed, limited)
            for name in sorted(platform.services)
        },
        ceiling=Limits(
            cpu_milli=limits.CPU.said(body.resources),
            memory_bytes=limits.MEMORY.said(body.resources),
        ),
        suspended=bool(lifecycle.suspended),
        protect=bool(lifecycle.protect),
        heal=body.heal or "auto",
        environment_revision=body.environment_revision or "",
        expire_after=_duration(lifecycle.expire_after),
        delete_after=_duration(lifecycle.delete_after),
        keep_until=quantities.moment(lifecycle.keep_until) if lifecycle.keep_until else None,
    )


def _duration(text: str | None) -> datetime.timedelta | None:
    return quantities.duration(text) if text else None


def _gateway(
    body: models.Body, platform: models.Platform, limited: Mapping[str, limits.Limit]
) -> DesiredGateway:
    target, spec = body.gateway or models.GatewayTarget(), platform.gateway
    return DesiredGateway(
        branch=Branch(target.branch or "develop", target.commit, _manual(target, body)),
        spec=spec,
        node=_node(spec.node, platform),
        port=target.port,
        limits=_limits(limited[names.GATEWAY]),
        probe=_probe(spec.health),
    )


def _named(body: models.Body, tree: Tree) -> dict[str, File[models.Environment]]:
    """Return the environment files that a sandbox names, by name.

    None of them where a commit is named that nobody could look up.
    """
    known = tree.environments_at(body.environment_revision)
    named = environments_named(body)
    return {} if known is None else {name: known[name] for _, name in named}


def _service(
    name: str,
    body: models.Body,
    platform: models.Platform,
    files: Mapping[str, File[models.Environment]],
    sealed: Mapping[str, SealedFile | None],
    limited: Mapping[str, limits.Limit],
) -> DesiredService:
    spec = platform.services[name]
    said = (body.services or {}).get(name) or models.ServiceTarget()
    named = [each for each in (body.environment, said.environment) if each is not None]
    layers = [files[each] for each in named if each in files]
    given = environments.injected(layers, sealed)
    target = _target(said, body)
    return DesiredService(
        name=name,
        target=target,
        spec=spec,
        node=_node(spec.node, platform),
        port=said.port,
        variables=given.variables,
        files=given.files,
        sealed=given.sealed,
        limits=_limits(limited.get(name)),
        probe=_probe(spec.health, said.health),
        suspended=bool(said.suspended) and isinstance(target, Branch),
        environment=said.environment or "",
    )


def _target(said: models.ServiceTarget, body: models.Body) -> Target:
    if said.branch is not None or said.commit is not None:
        return Branch(said.branch or "", said.commit, _manual(said, body))
    if said.url is not None:
        return Address(said.url)
    return Ocp()


def _manual(said: models.ServiceTarget | models.GatewayTarget, body: models.Body) -> bool:
    return (said.update or body.update) == "manual"


def _node(node_id: str, platform: models.Platform) -> models.Node:
    return next(node for node in platform.nodes if node.id == node_id)


def _limits(found: limits.Limit | None) -> Limits:
    if found is None:  # it does not run here
        return Limits()
    return Limits(cpu_milli=found.cpu.value, memory_bytes=found.memory.value)


def _probe(health: models.Health, over: models.Health | None = None) -> Probe:
    """Return the probe of a health check, with what a sandbox says in place of it, key by key."""
    said = over.model_dump(exclude_unset=True) if over else {}
    merged = health.model_copy(update=said)
    return Probe(
        path=merged.path,
        deadline_seconds=quantities.duration(merged.deadline).total_seconds(),
    )
