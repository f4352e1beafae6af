"""People: they are who Bitbucket says, may do what their role says, and are out at once."""

import json
from http.client import HTTPResponse
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from demo.world import World

pytestmark = pytest.mark.e2e


def test_whom_bitbucket_knows_may_do_what_their_role_says_and_is_out_at_once(world):
    budi = world.as_user("budi")
    wrong = budi.sdp("login", "--user", "budi", "--password-stdin", stdin="not-budis")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "LOGIN FAILED" in wrong.stderr
    budi.log_in()
    assert "budi is VIEWER" in budi.sdp("whoami").stdout
    refused = budi.sdp("logout", "--user", "sari")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "budi may not do that: it takes 'administer', which ADMIN has" in refused.stderr
    with pytest.raises(HTTPError, match="403"):
        budi.api("/api/changes", {"edits": [{"edit": "create", "name": "BUDIS"}]})
    with budi.open("/api/events") as stream:
        stream.readline()
        assert world.sdp("logout", "--user", "budi").stdout == "1 session of budi ended\n"
        stream.read()  # to its end, which else is in no time that it would wait for
    assert "the session of budi" in budi.sdp("status").stderr
    told = json.loads(world.sdp("audit", "--user", "budi", "--json").stdout)
    acts = {(each["kind"], each["status"]) for each in told}
    assert acts >= {("LOGIN", "failed"), ("LOGIN", "done")}
    refusals = {each["action"] for each in told if each["kind"] == "REFUSAL"}
    assert refusals == {"POST /api/sessions/revoke", "POST /api/changes"}


def test_a_restart_keeps_people_logged_in_and_forgets_what_they_logged_in_with(world):
    def at_hand() -> bool:
        return bool(json.loads(world.sdp("whoami", "--json").stdout)["credentials"])

    world.achmad.log_in()
    assert at_hand()
    world.kill("control-plane")
    world.start_control_plane()
    world.until(world.heard, "both agents are heard", 60)
    assert not at_hand()
    world.achmad.log_in()
    assert at_hand()


def asked(world: World, path: str, body: object = None, **headers: str) -> HTTPResponse:
    """Ask as a browser does."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **headers}
    answer: HTTPResponse = urlopen(Request(f"{world.url}{path}", data, headers), timeout=10)
    return answer


def test_a_browser_carries_a_cookie_that_changes_nothing_for_other_pages(world, scenario):
    scenario.commit("account: {use_ocp: true}")
    scenario.synced()

    who = {"username": "achmad", "password": world.achmad.password, "kind": "cookie"}
    with asked(world, "/api/login", who) as answer:
        told = json.load(answer)
        cookie, _, rest = answer.headers["Set-Cookie"].partition("; ")
        policy = answer.headers["Content-Security-Policy"]
    assert told["token"] == ""
    assert {"HttpOnly", "SameSite=strict"} <= set(rest.split("; "))
    assert "default-src 'self'" in policy
    sync = f"/api/sandboxes/{scenario.name}/sync"
    for page in ({}, {"X-CSRF-Token": "a guess"}, {"Sec-Fetch-Site": "cross-site"}):
        with pytest.raises(HTTPError, match="403"):
            asked(world, sync, {}, Cookie=cookie, **page)
    assert asked(world, sync, {}, Cookie=cookie, **{"X-CSRF-Token": told["csrf"]}).status == 202
    with pytest.raises(HTTPError, match="401"):
        asked(world, "/api/session", Cookie="sdp-session=a-guess")


def test_a_viewer_may_do_with_their_own_sandbox_what_they_may_not_with_others(world, scenario):
    budi = world.as_user("budi")
    budi.log_in()
    own = "owner: {}\nsandbox: {}\ngateway: {{branch: develop}}\n"
    world.commit({scenario.path: own.format("sari", scenario.name)}, "Give sari a sandbox")
    scenario.synced()
    sync = f"/api/sandboxes/{scenario.name}/sync"
    with pytest.raises(HTTPError, match="403"):
        budi.api(sync, {})
    world.commit({scenario.path: own.format("Budi", scenario.name)}, "Give it to budi")
    world.until(lambda: scenario.status()["owner"] == "Budi", "budi owns it")
    with budi.open(sync, {}) as answer:
        assert answer.status == 202
