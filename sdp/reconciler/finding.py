"""What the doctor says, and what it looks at: one node, and what sandboxes want of it. Pure."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Final, Literal, TypeAlias

from sdp.protocol.report import Fact, NodeReport
from sdp.reconciler.desired import Branch, Desired, DesiredSandbox
from sdp.reconciler.draft import World
from sdp.reconciler.observed import ObservedNode
from sdp.spec import models, names

Severity: TypeAlias = Literal["error", "warning"]
Kind: TypeAlias = Literal[
    "agent",
    "clock",
    "disk",
    "engine",
    "image",
    "keys",
    "network",
    "port",
    "repository",
    "rights",
    "spec",
    "tool",
]

_NAMED: Final = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """Something that fails, or will; ``node`` is empty where it is about no single one."""

    severity: Severity
    node: str
    kind: Kind
    message: str
    fix: str


@dataclasses.dataclass(slots=True)
class Needs:
    """What sandboxes want of a node: each thing with who wants it.

    ``sealed`` are encrypted files by digest, with their paths.
    """

    images: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    branches: dict[tuple[str, str], list[str]] = dataclasses.field(default_factory=dict)
    repositories: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    sealed: dict[str, tuple[str, list[str]]] = dataclasses.field(default_factory=dict)
    sandboxes: set[str] = dataclasses.field(default_factory=set)
    builds: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Patient:
    """A node that speaks, and all that is looked at."""

    id: str
    seen: ObservedNode
    needs: Needs
    platform: models.Platform
    whole: World

    @property
    def report(self) -> NodeReport:
        return self.seen.report

    @property
    def facts(self) -> Mapping[str, Fact]:
        return self.seen.report.facts

    @property
    def strangers(self) -> Mapping[int, str]:
        """Return who listens on which port; not what our containers took since it was looked."""
        ours = {container.host_port for container in self.report.containers.values()}
        found = {int(port): each.owner for port, each in self.report.listeners.items()}
        return {port: owner for port, owner in found.items() if port not in ours}

    def error(self, kind: Kind, message: str, fix: str) -> Finding:
        return Finding("error", self.id, kind, message, fix)

    def warning(self, kind: Kind, message: str, fix: str) -> Finding:
        return Finding("warning", self.id, kind, message, fix)


def needs_of(node: str, desired: Desired) -> Needs:
    needs = Needs()
    for sandbox in desired.sandboxes.values():
        for service, spec, target in _run_on(node, sandbox):
            party = f"{sandbox.name}/{service}"
            needs.sandboxes.add(sandbox.name)
            needs.builds |= service != names.GATEWAY
            needs.images.setdefault(spec.image, []).append(party)
            needs.repositories.setdefault(spec.repository, []).append(party)
            if target.commit is None and target.stay is None:
                branch = (spec.repository, target.name)
                needs.branches.setdefault(branch, []).append(party)
        for wanted in sandbox.services.values():
            if wanted.node.id == node and isinstance(wanted.target, Branch):
                for file in wanted.sealed:
                    _, parties = needs.sealed.setdefault(file.digest, (file.path, []))
                    parties.append(f"{sandbox.name}/{wanted.name}")
    return needs


def _run_on(
    node: str, sandbox: DesiredSandbox
) -> Iterator[tuple[str, models.Service | models.Gateway, Branch]]:
    gateway = sandbox.gateway
    if gateway.node.id == node:
        yield names.GATEWAY, gateway.spec, gateway.branch
    for service in sandbox.services.values():
        if service.node.id == node and isinstance(service.target, Branch):
            yield service.name, service.spec, service.target


def who(parties: list[str]) -> str:
    """Return a few of those who want something, in words."""
    more = f" and {len(parties) - _NAMED} more" if len(parties) > _NAMED else ""
    return ", ".join(parties[:_NAMED]) + more


def planned(patient: Patient) -> list[models.Service | models.Gateway]:
    """Return what platform.yaml puts on a node, whether or not a sandbox wants it."""
    services = patient.platform.services.values()
    specs: list[models.Service | models.Gateway] = [*services, patient.platform.gateway]
    return [each for each in specs if each.node == patient.id]
