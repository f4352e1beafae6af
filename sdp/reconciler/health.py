"""Health: how well each service does, and the sandbox as a whole: why, and what to do. Pure.

Unknown beats green: what a silent node holds is never called healthy. Of several findings about
one service the worst is told.
"""

import dataclasses
import datetime
from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

from sdp.protocol.actions import Route
from sdp.protocol.report import Container
from sdp.reconciler import crashes
from sdp.reconciler.crashes import Crashes
from sdp.reconciler.desired import Branch, DesiredSandbox, Ocp, Target
from sdp.reconciler.diff import ServiceDifference
from sdp.reconciler.draft import Plan, World
from sdp.reconciler.lifecycle import UNTOLD, of_service, words
from sdp.reconciler.rollout import serving
from sdp.reconciler.routes import RouteStatus
from sdp.reconciler.usage import Usage
from sdp.spec import names

Health: TypeAlias = Literal[
    "Healthy", "Progressing", "Degraded", "Unhealthy", "Suspended", "Expired", "Unknown"
]
_FROM_WORST: tuple[Health, ...] = ("Unknown", "Unhealthy", "Degraded", "Progressing", "Healthy")


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """A health and its reason: a word that stays while the numbers in the message change.

    Attributes:
        until: when it changes by itself, if nothing else happens.
    """

    health: Health
    reason: str = ""
    message: str = ""
    fix: str = ""
    until: datetime.datetime | None = None


HEALTHY = Verdict("Healthy")


@dataclasses.dataclass(frozen=True, slots=True)
class _Case:
    """A service that runs here, and all that its health is judged by."""

    sandbox: str
    service: ServiceDifference
    plan: Plan
    whole: World
    route: RouteStatus | None

    @property
    def logs(self) -> str:
        return f"sdp logs {self.sandbox}/{self.service.service}"

    def crashes(self, container: Container) -> Crashes:
        seen = self.whole.observed[self.service.node.id]
        return seen.crashes.get(container.id, crashes.NONE)

    def usage(self, container: Container) -> Usage:
        seen = self.whole.observed[self.service.node.id]
        return seen.used.get(container.id, Usage())


def health(
    service: ServiceDifference,
    desired: DesiredSandbox,
    plan: Plan,
    whole: World,
    route: RouteStatus | None = None,
) -> Verdict:
    """Return the health of a service, or the gateway; of what is not run here, Unknown.

    Args:
        service: how it differs from what is wanted.
        desired: its sandbox.
        plan: its sandbox's.
        whole: everything as of now.
        route: where the gateway leads to it; None of the gateway itself.
    """
    target = target_of(service.service, desired)
    if not isinstance(target, Branch):
        elsewhere = "OCP" if isinstance(target, Ocp) else "another address"
        return Verdict("Unknown", "Elsewhere", f"{elsewhere} serves it")
    if not known(whole, service.node.id):
        return _unknown(service.node.id, whole)
    if desired.sleeps(service.service):
        return _asleep(desired, service.service, whole)
    case = _Case(desired.name, service, plan, whole, route)
    container = stands(service)
    if container is None:
        return _down(case)
    return min(_up(case, container), key=lambda each: _FROM_WORST.index(each.health))


def overall(services: Mapping[str, Verdict], desired: DesiredSandbox, whole: World) -> Verdict:
    """Return a sandbox's health: the worst that matters.

    What runs elsewhere does not matter, nor what sleeps alone.
    """
    if desired.asleep:
        return _asleep(desired, "", whole)
    run = {
        name: each
        for name, each in services.items()
        if isinstance(target_of(name, desired), Branch) and each.health != "Suspended"
    }
    found = {each.health for each in run.values()}
    worst = next(each for each in _FROM_WORST if each in found)
    mine = {name: each for name, each in run.items() if each.health == worst}
    if worst == "Unhealthy" and names.GATEWAY not in mine and found != {"Unhealthy"}:
        return _blaming("Degraded", mine)
    if worst == "Unhealthy" and names.GATEWAY in mine:
        mine = {names.GATEWAY: mine.pop(names.GATEWAY), **mine}
    return _blaming(worst, mine)


def _blaming(health: Health, services: Mapping[str, Verdict]) -> Verdict:
    """Return a health with the reason of the first of the services that it comes from."""
    name, first = next(iter(services.items()))
    if not first.reason:
        return Verdict(health)
    more = f" (and {len(services) - 1} more)" if len(services) > 1 else ""
    return Verdict(health, first.reason, f"{name}: {first.message}{more}", first.fix)


def _asleep(desired: DesiredSandbox, service: str, whole: World) -> Verdict:
    life = of_service(desired, service, whole.lives.of.get(desired.name.lower(), UNTOLD))
    if desired.expired is not None:
        message = f"expired {words(life)}"
        return Verdict("Expired", "Expired", message, f"wake it: sdp extend {desired.name}")
    alone = service if service and not desired.suspended else ""
    fix = f"wake it: sdp resume {desired.name}{f'/{alone}' if alone else ''}"
    return Verdict("Suspended", "Suspended", f"suspended {words(life)}".rstrip(), fix)


def target_of(service: str, desired: DesiredSandbox) -> Target:
    """Return where a service, or the gateway, is to come from."""
    if service == names.GATEWAY:
        return desired.gateway.branch
    return desired.services[service].target


def known(whole: World, node: str) -> bool:
    """Whether what a node reports may be believed."""
    seen = whole.observed.get(node)
    return seen is not None and seen.known


def stands(service: ServiceDifference) -> Container | None:
    """Return the container that answers now, of whichever version."""
    if service.service != names.GATEWAY:
        return serving(service)
    places = [place.container for place in service.others if place.node == service.node.id]
    mine = [service.current, *places] if service.current else places
    return next((c for c in mine if c.state == "running" and c.health == "healthy"), None)


def shown(service: ServiceDifference) -> Container | None:
    """Return the container that answers, or the one that comes nearest to it."""
    others = next((place.container for place in service.others), None)
    return stands(service) or service.current or others


def _unknown(node: str, whole: World) -> Verdict:
    seen = whole.observed.get(node)
    look = f"look at its agent: sdp nodes {node}"
    if seen is None:
        return Verdict("Unknown", "NodeSilent", f"node {node} has never reported", look)
    if not seen.connected:
        heard = f"last heard at {seen.heard_at:%H:%M:%S} UTC"
        return Verdict("Unknown", "NodeSilent", f"node {node} does not report; {heard}", look)
    said = f"the engine of {node} does not answer: {seen.report.engine.error}"
    fix = f"start the engine of {node}: systemctl start docker"
    return Verdict("Unknown", "EngineUnavailable", said, fix)


def _up(case: _Case, container: Container) -> Iterator[Verdict]:
    """Yield what is to be said of a service that answers."""
    yield HEALTHY
    yield from _restarted(case, container)
    if container is not case.service.current:
        failed = next(_failures(case), None)
        version = f"{container.commit[:7]} serves"
        if failed is None:
            yield Verdict("Progressing", "Updating", f"{version}: a newer version is on its way")
        else:
            yield Verdict("Degraded", failed.reason, f"{version}: {failed.message}", failed.fix)
    yield from _routed(case)
    yield from _strained(case, container)


def _restarted(case: _Case, container: Container) -> Iterator[Verdict]:
    """Yield what its restarts of late come to, although it is healthy now."""
    fell, now = case.crashes(container), case.whole.now
    if not (count := fell.recent(now)):
        return
    if count >= crashes.LOOP and now - fell.times[-1] < crashes.SETTLED:
        until = fell.times[-1] + crashes.SETTLED
        yield dataclasses.replace(_loop(case, container), until=until)
    message = f"restarted {_often(count)} in 10 minutes{_last(fell, container)}; healthy now"
    until = fell.times[-1] + crashes.WINDOW
    fix = _mend(case, oom_killed=fell.oom_killed)
    yield Verdict("Degraded", "Restarted", message, fix, until)


def _routed(case: _Case) -> Iterator[Verdict]:
    route = case.route
    if route is None:
        return
    found = route.problem
    if found is not None and found.blocking:
        yield Verdict("Degraded", "RouteNotPatchable", found.message, found.fix)
    elif route.state == "Drift":
        mine = (each for each in case.plan.actions if each.service == case.service.service)
        if any(isinstance(each.action, Route) for each in mine):
            yield Verdict("Progressing", "Routing", f"its route is led to {route.wanted}")
        else:
            said = f"its route leads to {route.actual or 'nobody knows where'}"
            fix = f"sdp sync {case.sandbox} leads it back"
            yield Verdict("Degraded", "RouteDrift", f"{said}, not to {route.wanted}", fix)


def _strained(case: _Case, container: Container) -> Iterator[Verdict]:
    service, limits = case.service.service, container.limits
    strains = case.usage(container).strains
    if (share := strains.get("memory")) is not None:
        said = f"uses {share} % of its memory limit of {_memory(limits.memory_bytes)}"
        fix = f"raise services.{service}.resources.memory, or see what grows: {case.logs}"
        yield Verdict("Degraded", "MemoryHigh", said, fix)
    if (share := strains.get("cpu")) is not None:
        said = f"used {share} % of its CPU limit of {limits.cpu_milli}m for a minute"
        fix = f"raise services.{service}.resources.cpu, or see what it does: {case.logs}"
        yield Verdict("Degraded", "CpuHigh", said, fix)


def _down(case: _Case) -> Verdict:
    """Return what is to be said of a service that does not answer."""
    candidates = [case.service.current] if case.service.current else []
    if not case.plan.actions:
        candidates += [place.container for place in case.service.others]
    stood = next((each for each in candidates if each.admitted), None)
    waits = case.sandbox.lower() in case.whole.admission.queue
    slept = waits and stood is not None and stood.state == "exited"  # it is not let up again yet
    if stood is not None and not slept and (verdict := _fell(case, stood)) is not None:
        return verdict
    if (failed := next(_failures(case), None)) is not None:
        return failed
    if case.plan.actions:
        return Verdict("Progressing", "Deploying", "it is being brought up")
    holds = case.plan.holds
    if held := next((h for h in holds if h.service in {"", case.service.service}), None):
        waits = held.reason == "Queued"  # for its turn: nothing is wrong with it
        health: Health = "Progressing" if waits else "Unhealthy"
        return Verdict(health, held.reason, held.message, held.fix)
    if stood is not None:
        return Verdict("Progressing", "Starting", f"{stood.name} is starting")
    return Verdict("Unhealthy", "NothingRuns", "nothing runs", f"sdp sync {case.sandbox}")


def _failures(case: _Case) -> Iterator[Verdict]:
    for hold in case.plan.holds:
        if hold.failed and hold.service == case.service.service:
            yield Verdict("Unhealthy", hold.reason, hold.message, hold.fix)


def _fell(case: _Case, container: Container) -> Verdict | None:
    """Return what is wrong with a container that served before; None while it is starting."""
    if case.crashes(container).recent(case.whole.now) >= crashes.LOOP:
        return _loop(case, container)
    if container.state in crashes.ENDED:
        fell = Crashes((), container.exit_code, container.oom_killed)
        reason = "OutOfMemory" if container.oom_killed else "Exited"
        again = "is started again" if container.state == "restarting" else f"is {container.state}"
        fix = _mend(case, oom_killed=container.oom_killed)
        return Verdict("Unhealthy", reason, f"{again}{_last(fell, container)}", fix)
    if container.state != "running":
        return Verdict("Unhealthy", "NotRunning", f"{container.name} is {container.state}")
    if container.health == "unhealthy":
        return Verdict("Unhealthy", "ProbeFailing", container.reason, f"read why: {case.logs}")
    return None


def _loop(case: _Case, container: Container) -> Verdict:
    fell = case.crashes(container)
    reason = "OutOfMemory" if fell.oom_killed else "CrashLoop"
    count = fell.recent(case.whole.now)
    message = f"restarted {_often(count)} in 10 minutes{_last(fell, container)}"
    return Verdict("Unhealthy", reason, message, _mend(case, oom_killed=fell.oom_killed))


def _last(fell: Crashes, container: Container) -> str:
    """Return how it ended the last time, in words that go on a sentence."""
    if fell.oom_killed:
        limit = container.limits.memory_bytes
        return f", killed for memory{f' at its limit of {_memory(limit)}' if limit else ''}"
    return "" if fell.exit_code is None else f", last exit code {fell.exit_code}"


def _mend(case: _Case, *, oom_killed: bool) -> str:
    if oom_killed:
        where = f"services.{case.service.service}.resources.memory"
        return f"raise {where}, or see what grows: {case.logs}"
    return f"read why: {case.logs}; then push a commit that stays up"


def _often(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _memory(amount: int) -> str:
    return f"{amount >> 20}MB"
