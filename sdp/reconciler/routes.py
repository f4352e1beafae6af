"""Routes: where a sandbox's gateway leads, as it should be and as it was read back. Pure."""

import dataclasses
import datetime
from typing import Literal, TypeAlias

from sdp.reconciler.desired import Address, Branch, Ocp
from sdp.reconciler.diff import Difference, ServiceDifference
from sdp.reconciler.observed import Observed
from sdp.reconciler.rollout import routed
from sdp.reconciler.routing import RouteProblem, problem

RouteState: TypeAlias = Literal["Verified", "Drift", "Unverified"]


@dataclasses.dataclass(frozen=True, slots=True)
class RouteStatus:
    """One route of the gateway: what config.php should say, what it was read to say, and when.

    Attributes:
        problem: what is to be known of its entry, also where it is in nobody's way now.
    """

    service: str
    wanted: str
    actual: str
    verified_at: datetime.datetime | None
    state: RouteState
    problem: RouteProblem | None = None


def routes(difference: Difference, observed: Observed) -> tuple[RouteStatus, ...]:
    """Return a sandbox's routes; while the gateway's node is not known, none is verified."""
    node = observed.get(difference.gateway.node.id)
    known = node is not None and node.known
    found = (_route(service, difference) for service in difference.services)
    return tuple(
        route if known else dataclasses.replace(route, state="Unverified") for route in found
    )


def _route(service: ServiceDifference, difference: Difference) -> RouteStatus:
    key = difference.desired.gateway.spec.key.replace("{service}", service.service)
    copy = difference.serving_copy
    actual = copy.routes.get(key, "") if copy else ""
    wanted = _wanted_url(service, difference, copy.defaults.get(key, "") if copy else "")
    state: RouteState = "Verified" if wanted == actual else "Drift"
    found = problem(key, difference.desired.gateway.spec.config, copy) if copy else None
    doubtful = found is not None and found.blocking and state == "Verified"
    if copy is None or not wanted or doubtful:
        state = "Unverified"
    verified_at = copy.verified_at if copy else None
    return RouteStatus(service.service, wanted, actual, verified_at, state, found)


def _wanted_url(service: ServiceDifference, difference: Difference, default: str) -> str:
    match difference.desired.services[service.service].target:
        case Ocp():
            return default
        case Address(url):
            return url
        case Branch():
            stands = routed(difference, service)
            return f"http://{service.node.ip_address}:{stands.host_port}" if stands else ""
