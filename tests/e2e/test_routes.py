"""Routes: wanted and actual side by side, and entries that can't be routed named with their line."""

import contextlib
import http.server
import json
import threading
from typing import Any

import pytest

from demo.company.build import SOURCES
from tests.e2e.scenarios import body

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

CONFIG = "application/config/production/config.php"
HARD = """<?php
$config['account_url'] = 'http://old.example/account';
$config['account_url'] = '{ocp}/account';
if (getenv('NOBODY_SETS_THIS') === FALSE) {{
    $config['payment_url'] = '{ocp}/payment';
}}
$config['user_url'] = '{ocp}' . '/user';
"""
BRANCH = "hard/entries"


@contextlib.contextmanager
def laptop(address: str):
    """A developer's own machine, which answers as a service of the company does."""

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps({"branch": "laptop"}).encode())

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer((address, 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://{address}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def routes(scenario) -> Any:
    shown = scenario.world.api(f"/api/sandboxes/{scenario.name}/routes")
    return {each["service"]: each for each in shown}


def test_a_route_to_a_laptop(scenario, world):
    with laptop(world.address) as url:
        scenario.commit(f"account: {{branch: feature/limits}}, user: {{url: '{url}'}}")
        scenario.answers("user", "laptop")
        scenario.synced()
        found = routes(scenario)
        assert (found["user"]["wanted"], found["user"]["actual"]) == (url, url)
        assert {each["state"] for each in found.values()} == {"Verified"}
        assert all(each["verified_at"] for each in found.values())
        said = world.sdp("status", scenario.name).stdout
        assert " s ago" in said
        scenario.commit("account: {branch: feature/limits}, user: {use_ocp: true}")
        scenario.answers("user", "ocp")


def test_entries_that_cannot_be_patched_are_told_and_the_others_are_routed(scenario, world):
    ocp = f"http://{world.address}:{world.ports.ocp}"
    files = {CONFIG: HARD.format(ocp=ocp)}
    commit = world.company.push_branch("api-gateway", BRANCH, files, "Make entries hard to patch")
    services = "account: {branch: feature/login-error}, payment: {branch: feature/refund}"
    text = body(scenario.name, services).replace("develop", BRANCH, 1)
    world.commit({scenario.path: text}, f"Change {scenario.name}")
    scenario.answers("account", "feature/login-error")
    world.until(lambda: "RouteNotPatchable" in scenario.conditions(), "the entry is told")
    for said in (f"{CONFIG}:5", "conditional", "outside of any condition", commit[:7]):
        assert said in scenario.conditions()
    assert scenario.ask("payment") == "ocp"  # left as it is
    world.until(lambda: routes(scenario)["account"]["state"] == "Verified", "it is read back")
    found = routes(scenario)
    problems = {name: each["problem"] for name, each in found.items()}
    assert {name: each["kind"] for name, each in problems.items()} == {
        "account": "duplicate",
        "payment": "conditional",
        "user": "not-literal",
    }
    assert {name: each["where"] for name, each in problems.items()} == {
        "account": f"{CONFIG}:2",
        "payment": f"{CONFIG}:5",
        "user": f"{CONFIG}:7",
    }
    assert found["payment"]["wanted"] != found["payment"]["actual"] == f"{ocp}/payment"
    for words in (("status",), ("explain",), ("route",)):
        said = world.sdp(*words, scenario.name).stdout
        for place in (f"{CONFIG}:2", f"{CONFIG}:5", f"{CONFIG}:7"):
            assert place in said
    scenario.commit("account: {branch: feature/login-error}, payment: {branch: feature/refund}")
    scenario.answers("payment", "feature/refund")
    scenario.synced()
    assert all(each["problem"] is None for each in routes(scenario).values())


def test_a_gateway_that_runs_in_another_environment_than_its_platform_says(scenario, world):
    rules = (SOURCES / "gateway" / ".htaccess").read_text()
    branch, wrong = "other/environment", f"{rules}SetEnv CI_ENV development\n"
    world.company.push_branch("api-gateway", branch, {".htaccess": wrong}, "Try something")
    text = body(scenario.name, "account: {branch: feature/login-error}")
    world.commit({scenario.path: text.replace("develop", branch, 1)}, f"Change {scenario.name}")
    said = ("RouteNotPatchable", "runs as 'development', not 'production'", "PassEnv CI_ENV")
    world.until(lambda: all(word in scenario.conditions() for word in said), "it is told")
    assert {each["problem"]["kind"] for each in routes(scenario).values()} == {"environment"}
    assert "Verified" not in {each["state"] for each in routes(scenario).values()}
    world.company.push_branch("api-gateway", branch, {".htaccess": rules}, "Leave it to Apache")
    scenario.sync()
    scenario.answers("account", "feature/login-error")
    scenario.synced()


def test_drift_of_a_route_shows_what_is_wanted_and_what_is(scenario, world):
    scenario.commit("account: {branch: feature/login-error}")
    scenario.answers("account", "feature/login-error")
    scenario.synced()
    wanted = routes(scenario)["account"]["wanted"]
    copies = world.root / "agents" / "gateway-186" / "copies" / scenario.name.lower()
    (config,) = copies.glob(f"*/tree/{CONFIG}")
    elsewhere = config.read_bytes().replace(wanted.encode(), b"http://127.0.0.1:9")
    world.kill("gateway-186")  # so that it is seen before it is healed, by one who knows the rest
    config.with_suffix(".mine").write_bytes(elsewhere)
    config.with_suffix(".mine").replace(config)
    world.start_agent("gateway-186")
    world.until(lambda: "edited by hand" in scenario.drifts(), "the drift is told", 30)
    scenario.answers("account", "feature/login-error", 30)
    scenario.synced()
    healed = routes(scenario)["account"]
    assert (healed["state"], healed["actual"]) == ("Verified", wanted)
    planned = scenario.events("PLANNED")
    causes = [each["cause"] for event in planned for each in event["data"]["actions"]]
    assert any(f"http://127.0.0.1:9 → {wanted}" in cause for cause in causes)
