"""Who may call what: every route, for every role, of one's own sandboxes and of others'."""

import itertools

import pytest
from fastapi import APIRouter
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Message, Scope

from sdp.api import access
from sdp.api.app import create_app
from sdp.api.gate import Gate
from sdp.api.problems import ProblemError
from sdp.api.sessions import Session, hashed
from sdp.spec.models import Role
from sdp.spec.roles import Person
from tests.fakes.control_plane import FILES, FakeControlPlane, tree
from tests.fakes.people import BEGAN, FOR_EVER, FakePeople

ROLES: dict[str, Role] = {"ade": "ADMIN", "budi": "BACKEND", "citra": "QA", "dewi": "VIEWER"}
PUBLIC = {
    "GET /healthz",
    "GET /readyz",
    "GET /openapi.json",
    "POST /api/hooks/bitbucket",
    "POST /api/login",
}
ADMINISTER = {
    "POST /api/gc",
    "GET /api/sessions",
    "POST /api/sessions/revoke",
    "POST /api/nodes/{name}/enroll",
    "POST /api/nodes/{name}/revoke",
}
DEPLOY = {
    f"POST /api/sandboxes/{{name}}/{verb}" for verb in ("sync", "restart", "update", "cancel")
}
EVERY = sorted(f"{method} {path}" for method, path in access.ACCESS if method != access.WEBSOCKET)


@pytest.fixture
def control() -> FakeControlPlane:
    users = "".join(f"    {user}: {{role: {role}}}\n" for user, role in ROLES.items())
    platform = FILES["platform.yaml"] + "roles:\n  default: VIEWER\n  users:\n" + users
    made = FakeControlPlane(
        people=FakePeople([Session(hashed(u), u, "bearer", BEGAN, FOR_EVER) for u in ROLES])
    )
    made.plane.specs = tree({**FILES, "platform.yaml": platform})
    return made


def own(control: FakeControlPlane, user: str) -> None:
    known = control.plane.known["qa-one"]
    control.plane.known["qa-one"] = known.model_copy(update={"owner": user})


async def answer(control: FakeControlPlane, route: str, token: str = "") -> int:
    """Return the status with which the gate lets a request pass (200) or not."""
    method, _, path = route.partition(" ")
    for name in ("name", "service", "identifier", "word"):
        path = path.replace(f"{{{name}}}", "QA-ONE")
    said: list[Message] = []

    async def send(message: Message) -> None:
        said.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope: Scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(b"authorization", f"Bearer {token}".encode())] if token else [],
        "query_string": b"",
        "scheme": "http",
        "client": ("10.0.0.7", 4711),
        "server": ("sdp", 80),
    }
    await Gate(PlainTextResponse("in"), control.ports)(scope, receive, send)
    return int(said[0]["status"])


def allowed(route: str, role: Role, *, owns: bool) -> bool:
    if route in ADMINISTER:
        return role == "ADMIN"
    if route in DEPLOY:
        return role != "VIEWER" or owns
    return True


@pytest.mark.parametrize("route", EVERY)
async def test_every_route_is_open_to_whom_the_table_says_and_to_nobody_else(control, route):
    public = route in PUBLIC
    assert await answer(control, route) == (200 if public else 401)
    assert await answer(control, route, "forged") == (200 if public else 401)
    for (user, role), owns in itertools.product(ROLES.items(), (True, False)):
        own(control, user if owns else "somebody")
        wanted = 200 if public or allowed(route, role, owns=owns) else 403
        assert await answer(control, route, user) == wanted, (role, owns)


def test_every_route_has_a_row_and_every_row_a_route_that_is_tested():
    routes = access.named(create_app(FakeControlPlane().ports).routes)
    assert routes == set(access.ACCESS)
    assert {*PUBLIC, *ADMINISTER, *DEPLOY} <= set(EVERY)


def test_an_app_with_a_route_that_has_no_row_cannot_be_made():
    app = create_app(FakeControlPlane().ports)
    more = APIRouter(prefix="/api")
    more.add_api_route("/new", lambda: None, methods=["DELETE"])
    app.include_router(more)
    with pytest.raises(LookupError, match="no row for DELETE /api/new"):
        access.check(app.routes)


async def test_what_no_row_names_takes_a_login(control):
    for route in ("GET /api/nowhere", "DELETE /api/sandboxes/{name}", "OPTIONS /api/gc"):
        assert await answer(control, route) == 401
        assert await answer(control, route, "dewi") == 200


async def test_a_role_that_is_taken_away_counts_at_once(control):
    assert await answer(control, "POST /api/gc", "ade") == 200
    text = "roles:\n  users:\n    budi: {role: ADMIN}\n"
    files = {**FILES, "platform.yaml": FILES["platform.yaml"] + text}
    control.plane.specs = tree(files)
    assert await answer(control, "POST /api/gc", "ade") == 403
    assert await answer(control, "POST /api/gc", "budi") == 200


async def test_before_a_platform_is_loaded_nobody_may_change_anything(control):
    control.plane.specs = None
    assert await answer(control, "GET /api/sandboxes", "ade") == 200
    assert await answer(control, "POST /api/gc", "ade") == 403


async def test_a_refusal_is_told_to_the_audit_with_who_and_what(control):
    await answer(control, "POST /api/sandboxes/{name}/restart", "dewi")
    (act,) = control.audit.acts
    assert (act.kind, act.status, act.user) == ("REFUSAL", "refused", "dewi")
    assert (act.action, act.sandbox) == ("POST /api/sandboxes/{name}/restart", "QA-ONE")
    assert (act.address, "deploy" in act.message) == ("10.0.0.7", True)


def test_where_a_refusal_cannot_be_recorded_the_store_is_named_and_nothing_done(control):
    control.audit.is_full = True
    client = TestClient(create_app(control.ports))
    refused = client.post("/api/gc", headers={"Authorization": "Bearer dewi"})
    assert (refused.status_code, refused.json()["fix"]) == (503, "free space")


async def test_who_is_nobody_does_not_fill_the_audit(control):
    assert await answer(control, "POST /api/gc", "forged") == 401
    assert not control.audit.acts


def test_a_refusal_names_the_permission_the_role_and_who_could():
    what = access.asked("POST", "/api/sandboxes/QA-ONE/restart")
    with pytest.raises(ProblemError) as caught:
        access.judge(Person("dewi", "VIEWER"), what, "sari")
    document = caught.value.document
    assert document.detail == "dewi may not do that: it takes 'deploy', which QA has"
    assert document.fix.startswith("ask somebody who is QA to do it; or sari, who owns it;")
