"""Logging in and out: who proves who they are gets a session, and nothing secret is answered."""

import dataclasses
import datetime
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from sdp.api.app import create_app
from sdp.api.attempts import IN_FLIGHT, PER_ADDRESS, PER_USER, Attempts
from sdp.api.gate import COOKIE
from sdp.api.people import NotProved
from sdp.api.problems import ProblemError
from sdp.api.sessions import LASTS, csrf, hashed
from tests.fakes.control_plane import FILES, FakeControlPlane, tree
from tests.fakes.people import FakePeople

RIGHT = {"username": "achmad", "password": "secret"}


@pytest.fixture
def control() -> FakeControlPlane:
    return FakeControlPlane(people=FakePeople(live=()))


def login(client: TestClient, **more: str) -> httpx2.Response:
    return client.post("/api/login", json={**RIGHT, **more})


def bearer(client: TestClient) -> dict[str, str]:
    return {"Authorization": f"Bearer {login(client, kind='bearer').json()['token']}"}


def acts(control: FakeControlPlane) -> list[tuple[str, str, str]]:
    return [(each.kind, each.status, each.user) for each in control.audit.acts]


def test_a_program_gets_a_token_of_which_a_hash_is_kept(control, client):
    told = login(client, kind="bearer").json()
    assert (told["user"], told["role"], told["csrf"]) == ("achmad", "ADMIN", "")
    assert len(told["token"]) == 43
    (row,) = control.people.store.rows.values()
    assert (row.hash, row.kind) == (hashed(told["token"]), "bearer")
    assert row.expires_at - row.created_at == LASTS == datetime.timedelta(hours=12)
    assert told["token"] not in repr(row)
    assert client.get("/api/session", headers=bearer(client)).json()["user"] == "achmad"
    assert acts(control)[0] == ("LOGIN", "done", "achmad")


def test_a_page_gets_a_cookie_that_no_script_reads_and_no_other_site_sends(client):
    answer = login(client)
    told, cookie = answer.json(), answer.headers["set-cookie"]
    assert told["token"] == ""
    said = {each.strip().lower() for each in cookie.split(";")[1:]}
    assert said == {"httponly", "samesite=strict", "path=/", "max-age=43200"}
    assert told["csrf"] == csrf(client.cookies[COOKIE])
    assert client.get("/api/session").json()["csrf"] == told["csrf"]


def test_by_https_the_cookie_goes_by_https_only(control):
    client = TestClient(create_app(control.ports), base_url="https://sdp")
    answer = login(client)
    assert "secure" in answer.headers["set-cookie"].lower()
    assert answer.headers["strict-transport-security"]


@pytest.mark.parametrize("username", ["achmad", "nobody"])
def test_who_is_wrong_is_told_the_same_whether_the_user_exists(control, client, username):
    answer = login(client, username=username, password="wrong")
    document = answer.json()
    assert (answer.status_code, document["title"]) == (401, "LOGIN FAILED")
    assert username not in answer.text
    assert not control.people.store.rows
    assert acts(control) == [("LOGIN", "failed", username)]


def test_why_nobody_can_tell_is_answered_as_the_agent_says_it(control, client):
    control.people.prover.outcome = NotProved(503, "agent-offline", "T", "micro-92 is away", "F")
    answer = login(client)
    assert (answer.status_code, answer.json()["detail"]) == (503, "micro-92 is away")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {**RIGHT, "username": "-x"},
        {**RIGHT, "username": "SDP"},
        {**RIGHT, "username": "x-token-auth"},
        {**RIGHT, "username": "X-Bitbucket-API-token-auth"},
        {**RIGHT, "username": "a\nb"},
        {**RIGHT, "password": ""},
        {**RIGHT, "password": "canary\nquit=1"},
        {**RIGHT, "password": "canary" * 200},
        {**RIGHT, "kind": "canary"},
        {**RIGHT, "more": "canary"},
    ],
)
def test_what_is_no_login_asks_no_agent_and_is_not_echoed(control, client, body):
    answer = client.post("/api/login", json=body)
    assert answer.status_code == 422
    assert "canary" not in answer.text
    assert not control.people.prover.asked


def test_a_password_that_is_not_kept_is_wiped(control, client):
    login(client, password="wrong")
    control.people.prover.outcome = None
    control.people.store.is_full = True
    assert login(client).status_code == 503
    assert [each.reveal() for each in control.people.prover.shown] == ["", ""]


def test_a_login_that_cannot_be_recorded_leaves_no_session_and_no_credentials(control, client):
    control.audit.is_full = True
    assert login(client).status_code == 503
    assert not control.people.keeper.held
    assert not control.people.store.rows
    assert all(each.reveal() == "" for each in control.people.prover.shown)


def test_below_a_proxys_path_the_cookie_goes_to_that_path_alone(control):
    app = create_app(control.ports)
    client = TestClient(app, root_path="/sdp", base_url="http://testserver")
    answer = client.post("/sdp/api/login", json=RIGHT)
    assert "Path=/sdp;" in answer.headers["set-cookie"]
    assert answer.headers["cache-control"] == "no-store"
    assert client.get("/sdp/api/session").json()["user"] == "achmad"
    assert client.get("/sdp/api/sandboxes/QA-ONE").status_code == 200


def test_a_body_that_is_no_login_is_not_even_read(client):
    answer = client.post("/api/login", json={**RIGHT, "password": "x" * (17 << 10)})
    assert answer.status_code == 413


def test_too_many_attempts_as_a_user_are_refused_without_asking_an_agent(control, client):
    for _ in range(PER_USER):
        assert login(client, password="wrong").status_code == 401
    answer = login(client)
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 300
    assert login(client, username="ACHMAD").status_code == 429
    assert login(client, username="sari").status_code == 401
    assert len(control.people.prover.asked) == PER_USER + 1
    assert acts(control).count(("LOGIN", "refused", "achmad")) == 1


def test_who_logs_in_rightly_has_all_attempts_again(client):
    for _ in range(3):
        for _ in range(PER_USER - 1):
            assert login(client, password="wrong").status_code == 401
        assert login(client).status_code == 200


def refused(attempts: Attempts, user: str, address: str) -> str:
    try:
        with attempts.made(user, address):
            return ""
    except ProblemError as error:
        return error.document.detail


def test_too_many_attempts_from_an_address_are_refused_whoever_is_named():
    attempts = Attempts()
    assert not any(refused(attempts, f"user-{n}", "10.0.0.7") for n in range(PER_ADDRESS))
    assert "from 10.0.0.7" in refused(attempts, "another", "10.0.0.7")
    assert not refused(attempts, "another", "10.0.0.8")


def test_many_may_log_in_rightly_from_one_address():
    attempts = Attempts()
    for number in range(PER_ADDRESS + 1):
        assert not refused(attempts, f"user-{number}", "10.0.0.7")
        attempts.succeeded(f"user-{number}", "10.0.0.7")


def test_attempts_in_flight_count_at_once_and_are_bounded_in_all():
    attempts = Attempts()

    def nested(left: int) -> str:
        with attempts.made(f"user-{left}", f"10.0.0.{left}"):
            return nested(left - 1) if left else refused(attempts, "one-more", "10.0.1.1")

    assert "at this moment" in nested(IN_FLIGHT - 1)
    assert not refused(attempts, "one-more", "10.0.1.1")


def test_a_cookie_changes_something_only_with_the_token_that_our_page_reads(control, client):
    shown = login(client).json()["csrf"]
    sync = "/api/sandboxes/QA-ONE/sync"
    assert client.get("/api/sandboxes").status_code == 200
    assert client.post(sync).json()["type"] == "urn:sdp:problem:csrf"
    assert client.post(sync, headers={"X-CSRF-Token": "0" * 64}).status_code == 403
    assert client.post(sync, headers={"X-CSRF-Token": "ÿ".encode()}).status_code == 403
    assert client.post(sync, headers={"X-CSRF-Token": shown}).status_code == 202
    assert control.plane.asked == ["QA-ONE"]
    assert acts(control)[1] == ("REFUSAL", "refused", "achmad")


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_what_a_browser_sends_for_another_page_is_refused_also_a_login(client, site):
    shown = login(client).json()["csrf"]
    headers = {"Sec-Fetch-Site": site, "X-CSRF-Token": shown}
    for path in ("/api/sandboxes/QA-ONE/sync", "/api/login"):
        answer = client.post(path, headers=headers, json=RIGHT)
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:sdp:problem:cross-site")
    headers["Sec-Fetch-Site"] = "same-origin"
    assert client.post("/api/sandboxes/QA-ONE/sync", headers=headers).status_code == 202


def test_a_bearer_counts_before_a_cookie_and_needs_no_token_of_the_page(client):
    headers = bearer(client)
    login(client)
    assert client.post("/api/sandboxes/QA-ONE/sync", headers=headers).status_code == 202
    for forged in ("Bearer forged", "Bearer", "bearer  "):
        assert client.get("/api/session", headers={"Authorization": forged}).status_code == 401


def test_a_token_counts_only_in_the_way_that_it_was_given_for(client):
    headers = bearer(client)
    token = headers["Authorization"].removeprefix("Bearer ")
    client.cookies.set(COOKIE, token)
    assert client.get("/api/session").status_code == 401
    client.cookies.clear()
    login(client)
    cookie = {"Authorization": f"Bearer {client.cookies[COOKIE]}"}
    assert client.get("/api/session", headers=cookie).status_code == 401


def test_who_is_not_logged_in_is_told_how(client):
    answer = client.get("/api/sandboxes")
    assert (answer.status_code, answer.json()["fix"]) == (401, "sdp login")
    assert answer.headers["www-authenticate"] == 'Bearer realm="sdp"'


def test_logout_ends_this_session_and_wipes_its_credentials(control, client):
    first, second = bearer(client), bearer(client)
    held = [secret for _, secret in control.people.keeper.held.values()]
    assert client.post("/api/logout", headers=first).json() == {"sessions": 1}
    assert client.get("/api/session", headers=first).status_code == 401
    assert client.get("/api/session", headers=second).status_code == 200
    assert [each.reveal() for each in held] == ["", "secret"]
    assert len(control.people.store.rows) == 1
    assert acts(control)[-1] == ("LOGOUT", "done", "achmad")


def test_logout_everywhere_ends_all_of_the_users_sessions_and_no_other(control, client):
    control.people.prover.passwords["sari"] = "secret"
    first, second = bearer(client), bearer(client)
    other = login(client, username="sari", kind="bearer").json()["token"]
    answer = client.post("/api/logout", headers=first, json={"everywhere": True})
    assert answer.json() == {"sessions": 2}
    assert client.get("/api/session", headers=second).status_code == 401
    sari = {"Authorization": f"Bearer {other}"}
    assert client.get("/api/session", headers=sari).json()["user"] == "sari"


def test_an_admin_sees_who_is_logged_in_and_ends_it(control, client):
    control.people.prover.passwords["Sari"] = "secret"
    admin = bearer(client)
    sari = {
        "Authorization": f"Bearer {login(client, username='Sari', kind='bearer').json()['token']}"
    }
    users = [each["user"] for each in client.get("/api/sessions", headers=admin).json()]
    assert users == ["achmad", "Sari"]
    ended = client.post("/api/sessions/revoke", headers=admin, json={"user": "sari"})
    assert ended.json() == {"sessions": 1}
    assert client.get("/api/session", headers=sari).status_code == 401


def test_whoami_says_the_role_the_permissions_and_whether_git_can_use_the_credentials(
    control, client
):
    text = "roles:\n  users:\n    root: {role: ADMIN}\n    achmad: {role: QA}\n"
    control.plane.specs = tree({**FILES, "platform.yaml": FILES["platform.yaml"] + text})
    headers = bearer(client)
    told: dict[str, Any] = client.get("/api/session", headers=headers).json()
    assert (told["role"], told["credentials"]) == ("QA", True)
    assert told["permissions"] == ["deploy", "manage routes", "view"]
    control.people.keeper.held.clear()  # as a restart does
    assert client.get("/api/session", headers=headers).json()["credentials"] is False


def test_who_may_not_read_names_of_secrets_is_told_that_there_are_hidden_ones(control, client):
    headers = bearer(client)
    (shown,) = client.get("/api/environments", headers=headers).json()
    assert (shown["secrets"], shown["secrets_hidden"]) == (["TOKEN"], False)
    text = "roles:\n  default: QA\n  users: {root: {role: ADMIN}}\n"
    control.plane.specs = tree({**FILES, "platform.yaml": FILES["platform.yaml"] + text})
    (hidden,) = client.get("/api/environments", headers=headers).json()
    assert (hidden["secrets"], hidden["secrets_hidden"]) == ([], True)
    assert hidden["variables"] == ["MODE"]


def test_every_answer_has_the_security_headers_also_of_what_fails(control, client):
    broken = dataclasses.replace(control.ports.people, prover=None)
    app = create_app(dataclasses.replace(control.ports, people=broken))
    failing = TestClient(app, raise_server_exceptions=False)
    for answer in (client.get("/healthz"), client.get("/nowhere"), login(failing)):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "strict-transport-security" not in answer.headers
    assert answer.status_code == 500
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_no_page_loads_scripts_from_the_internet(client, path):
    assert client.get(path, headers=bearer(client)).status_code == 404


def test_nobody_keeps_a_user_out_who_has_logged_in_from_elsewhere():
    attempts = Attempts()
    with attempts.made("Achmad", "10.0.0.1"):
        attempts.succeeded("Achmad", "10.0.0.1")
    for _ in range(PER_USER):
        with attempts.made("achmad", "10.6.6.6"):
            pass
    with pytest.raises(ProblemError), attempts.made("achmad", "10.6.6.6"):
        pass
    for _ in range(PER_USER):
        with attempts.made("achmad", "10.0.0.1"):
            pass
    with pytest.raises(ProblemError), attempts.made("achmad", "10.0.0.1"):
        pass
