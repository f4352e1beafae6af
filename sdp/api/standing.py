"""Which container a service's log is read from, or why there is none to read."""

import dataclasses
from collections.abc import AsyncGenerator
from typing import Protocol

from sdp.api.ports import Plane
from sdp.api.views import SandboxView
from sdp.protocol import frames
from sdp.protocol.report import Container


class Nodes(Protocol):
    """The agents' sessions, as far as logs need them."""

    def reads_logs(self, node: str) -> bool | None:
        """Whether a node's agent can read logs; None: it is silent."""
        ...

    def log(
        self, node: str, container: str, since: str, tail: int | None, *, follow: bool
    ) -> AsyncGenerator[frames.LogPart | frames.LogEnd, None]:
        """Yield a log's parts; a LogEnd is the last, where the node does not fall silent first."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """The container that a service's log is read from."""

    node: str
    container: Container


@dataclasses.dataclass(frozen=True, slots=True)
class Absent:
    """Why there is nothing to read; ``final``: waiting does not change that."""

    kind: str
    reason: str
    fix: str
    final: bool = False


def standing(plane: Plane, nodes: Nodes, sandbox: str, service: str) -> Standing | Absent:
    """Return the container that serves, or the one that comes nearest to it; or why there is none."""
    known = plane.sandbox(sandbox)
    shown = (
        next((each for each in known.services if each.name == service), None) if known else None
    )
    if known is None and not plane.revision:
        return Absent("starting", "the control plane has just started", "try again in a moment")
    if known is None or shown is None:
        return Absent("no-such-sandbox", f"{sandbox} is gone", "see: sdp status", final=True)
    what = f"{service} of {sandbox}"
    if not shown.node:
        fix = f"give it a branch to run it here: sdp explain {sandbox}"
        return Absent("elsewhere", f"{what} does not run here: {shown.target}", fix, final=True)
    if (unreadable := _unreadable(plane, nodes, shown.node)) is not None:
        return unreadable
    report = plane.observed[shown.node].report
    for container in report.containers.values():
        if (container.name, container.sandbox) == (shown.container, known.name):
            return Standing(shown.node, container)
    fix = f"see why: sdp explain {sandbox}; or its build: sdp logs {sandbox}/{service} --build"
    why = f": {shown.message}" if shown.message else ""
    return Absent("no-container", f"{what} has no container{why}", fix)


def _unreadable(plane: Plane, nodes: Nodes, node: str) -> Absent | None:
    """Return why nothing of a node can be read now."""
    seen, reads = plane.observed.get(node), nodes.reads_logs(node)
    if seen is None or not seen.connected or reads is None:
        return silent(node)
    if not reads:
        reason = f"the agent of {node} is of an older sdp, and can't read logs"
        return Absent("agent-too-old", reason, f"update sdp on {node}")
    if error := seen.report.engine.error:
        reason = f"the engine of {node} does not answer: {error}"
        return Absent("engine-down", reason, f"start it on {node}: systemctl start docker")
    return None


def silent(node: str) -> Absent:
    """Return that a node says nothing."""
    return Absent("node-silent", f"node {node} is silent", f"look at its agent: sdp nodes {node}")


def over(plane: Plane, sandbox: str, container: Container) -> Absent:
    """Return that the container that was read has ended, and whether one comes after it."""
    known = plane.sandbox(sandbox)
    asleep = known is not None and container.service in _asleep(known)
    reason = f"{container.name} is {container.state}"
    return Absent("ended", f"{reason}: it sleeps" if asleep else reason, "", asleep)


def _asleep(sandbox: SandboxView) -> list[str]:
    return [each.name for each in sandbox.services if each.health in {"Suspended", "Expired"}]
