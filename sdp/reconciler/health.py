"""Health: how well each service does, and the sandbox as a whole, with the reason. Pure.

Unknown beats green: what a silent node holds is never called healthy.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from sdp.protocol.report import Container
from sdp.reconciler.desired import Branch, DesiredSandbox, Ocp, Target
from sdp.reconciler.diff import ServiceDifference
from sdp.reconciler.draft import Plan, World
from sdp.reconciler.rollout import serving
from sdp.spec import names

Health: TypeAlias = Literal[
    "Healthy", "Progressing", "Degraded", "Unhealthy", "Suspended", "Expired", "Unknown"
]


def health(
    service: ServiceDifference, desired: DesiredSandbox, plan: Plan, whole: World
) -> tuple[Health, str]:
    """Return the health of a service, or the gateway, and why; of what is not run here, Unknown."""
    target = target_of(service.service, desired)
    if not isinstance(target, Branch):
        elsewhere = "OCP" if isinstance(target, Ocp) else "another address"
        return "Unknown", f"{elsewhere} serves it"
    if not known(whole, service.node.id):
        return "Unknown", f"node {service.node.id} does not report"
    if desired.suspended:
        return "Suspended", "lifecycle.suspended is true"
    return _running(service, plan)


def overall(services: Mapping[str, Health], desired: DesiredSandbox) -> Health:
    """Return the worst health that matters: what runs elsewhere does not."""
    run = {
        name: each
        for name, each in services.items()
        if isinstance(target_of(name, desired), Branch)
    }
    found = set(run.values())
    if "Unknown" in found:
        return "Unknown"
    if run[names.GATEWAY] == "Unhealthy" or found == {"Unhealthy"}:
        return "Unhealthy"
    if found & {"Unhealthy", "Degraded"}:
        return "Degraded"
    return "Progressing" if "Progressing" in found else "Healthy"


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


def _running(service: ServiceDifference, plan: Plan) -> tuple[Health, str]:
    answers, current = stands(service), service.current
    failed = next((h for h in plan.holds if h.service == service.service and h.failed), None)
    if answers is not None and answers is current:
        return "Healthy", ""
    if answers is not None:
        why = failed.message if failed else "a newer version is on its way"
        return "Degraded" if failed else "Progressing", f"{answers.commit[:7]} serves: {why}"
    if failed is not None:
        return "Unhealthy", failed.message
    if current is not None and current.admitted and current.health != "starting":
        return "Unhealthy", current.reason or f"{current.name} is {current.state}"
    if plan.actions:
        return "Progressing", "it is being brought up"
    held = next((h for h in plan.holds if h.service in {"", service.service}), None)
    return "Unhealthy", held.message if held else "nothing runs"
