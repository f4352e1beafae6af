"""Access: what each route takes, in one table, which the gate asks on every request."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeAlias

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute, WebSocketRoute, compile_path

from sdp.api.problems import ProblemError
from sdp.spec.needs import least
from sdp.spec.roles import OWNERS, Permission, Person, may

WEBSOCKET: Final = "WEBSOCKET"

Takes: TypeAlias = Permission | Literal["PUBLIC"]

ACCESS: Final[Mapping[tuple[str, str], Takes]] = {
    ("GET", "/healthz"): "PUBLIC",
    ("GET", "/readyz"): "PUBLIC",
    ("GET", "/openapi.json"): "PUBLIC",
    # Signed with a secret of its own.
    ("POST", "/api/hooks/bitbucket"): "PUBLIC",
    # An agent proves who it is in its first frames.
    (WEBSOCKET, "/ws/agent"): "PUBLIC",
    ("POST", "/api/login"): "PUBLIC",
    ("POST", "/api/logout"): "view",
    ("GET", "/api/session"): "view",
    ("GET", "/api/sessions"): "administer",
    ("POST", "/api/sessions/revoke"): "administer",
    ("GET", "/api/sandboxes"): "view",
    ("GET", "/api/sandboxes/{name}"): "view",
    ("GET", "/api/sandboxes/{name}/plan"): "view",
    ("GET", "/api/sandboxes/{name}/routes"): "view",
    ("GET", "/api/sandboxes/{name}/usage"): "view",
    ("GET", "/api/sandboxes/{name}/history"): "view",
    ("GET", "/api/sandboxes/{name}/snapshots/{word}"): "view",
    ("GET", "/api/sandboxes/{name}/services/{service}/logs"): "view",
    ("GET", "/api/snapshots"): "view",
    ("GET", "/api/templates"): "view",
    ("GET", "/api/environments"): "view",
    ("GET", "/api/ports"): "view",
    ("GET", "/api/quotas"): "view",
    ("GET", "/api/repositories"): "view",
    ("GET", "/api/repositories/{name}/branches"): "view",
    ("GET", "/api/deployments"): "view",
    ("GET", "/api/deployments/{identifier}"): "view",
    ("GET", "/api/deployments/{identifier}/logs"): "view",
    ("GET", "/api/events"): "view",
    ("GET", "/api/actions"): "view",
    ("GET", "/api/nodes"): "view",
    ("GET", "/api/nodes/{name}"): "view",
    ("GET", "/api/doctor"): "view",
    ("GET", "/api/gc"): "view",
    # Everyone can see who did what.
    ("GET", "/api/audit"): "view",
    ("GET", "/api/audit/export"): "view",
    ("GET", "/api/audit/verify"): "view",
    ("POST", "/api/validate"): "view",
    ("POST", "/api/plan"): "view",
    ("POST", "/api/sandboxes/{name}/sync"): "deploy",
    ("POST", "/api/sandboxes/{name}/restart"): "deploy",
    ("POST", "/api/sandboxes/{name}/update"): "deploy",
    ("POST", "/api/sandboxes/{name}/cancel"): "deploy",
    # What a change takes depends on each of its edits, and on whose sandbox it is: Changes, who
    # know both, ask the same table of roles. So do the verbs that are changes.
    ("POST", "/api/changes"): "view",
    ("POST", "/api/sandboxes/{name}/suspend"): "view",
    ("POST", "/api/sandboxes/{name}/resume"): "view",
    ("POST", "/api/sandboxes/{name}/stop"): "view",
    ("POST", "/api/gc"): "administer",
    ("POST", "/api/nodes/{name}/enroll"): "administer",
    ("POST", "/api/nodes/{name}/revoke"): "administer",
}
"""(method, path) → the permission that it takes, of a sandbox's owner where it names one."""

_ROWS: Final = tuple(
    (method, path, compile_path(path)[0], takes) for (method, path), takes in ACCESS.items()
)


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """What a request is about, as far as the table knows.

    Attributes:
        route: its method, and the path as the table has it; "" of one that it does not have.
        takes: the permissions that it takes; none: it is public.
        sandbox: the name in its path, if it is about a sandbox.
    """

    route: str
    takes: frozenset[Permission]
    sandbox: str = ""


def asked(method: str, path: str) -> Asked:
    """Return what a request is about.

    What no row names takes a login: what is not there is told to those inside only. What two rows
    name would take what both take.
    """
    method = "GET" if method == "HEAD" else method
    rows = [
        (route, takes, found)
        for verb, route, pattern, takes in _ROWS
        if verb == method and (found := pattern.match(path))
    ]
    if not rows:
        return Asked("", frozenset({"view"}))
    route, _, found = rows[0]
    named = found["name"] if route.startswith("/api/sandboxes/{name}") else ""
    permissions = frozenset(takes for _, takes, _ in rows if takes != "PUBLIC")
    return Asked(f"{method} {route}", permissions, named)


def check(routes: Iterable[BaseRoute]) -> None:
    """Check that the table has every route.

    Raises:
        LookupError: it does not; nobody could say who may call that one.
    """
    for method, path in sorted(named(routes)):
        if (method, path) not in ACCESS:
            raise LookupError(f"sdp/api/access.py has no row for {method} {path}")


def named(routes: Iterable[BaseRoute]) -> set[tuple[str, str]]:
    """Return the methods and paths of routes."""
    found: set[tuple[str, str]] = set()
    for each in iter_route_contexts(list(routes)):
        if isinstance(each.original_route, WebSocketRoute):
            found.add((WEBSOCKET, str(each.path)))
        else:
            found |= {(method, str(each.path)) for method in (each.methods or {"*"}) - {"HEAD"}}
    return found


def judge(who: Person, what: Asked, owner: str) -> None:
    """Check that somebody may do what a route does.

    Args:
        who: the person.
        what: they ask for.
        owner: of the sandbox that it is about; "" for none.

    Raises:
        ProblemError: they may not; it says who could.
    """
    for permission in sorted(what.takes):
        if may(who, permission, owner):
            continue
        role = least(permission)
        others = f"; or {owner}, who owns it" if owner and permission in OWNERS else ""
        raise ProblemError(
            403,
            "forbidden",
            "Not allowed",
            f"{who.user} may not do that: it takes {permission!r}, which {role} has",
            f"ask somebody who is {role} to do it{others}; see roles in platform.yaml",
        )
