"""Following branches: by itself or by hand, when a branch is gone, and as soon as Bitbucket says."""

import contextlib
import hashlib
import hmac
import json
import urllib.error
import urllib.request

import pytest
import yaml

from demo.company.build import GATEWAY as GATEWAY_REPOSITORY
from demo.company.git import git
from demo.world import MICRO

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def service(scenario, name: str) -> dict[str, str]:
    services = scenario.status().get("services", ())
    return next((each for each in services if each["name"] == name), {})


def delete_branch(world, repository: str, branch: str) -> None:
    git(world.company.origin(repository), "update-ref", "-d", f"refs/heads/{branch}")


def test_a_new_commit_waits_for_a_person_and_is_then_deployed(scenario, world):
    branch = "feature/by-hand"
    first = scenario.push("account", branch)
    scenario.commit(f"account: {{branch: {branch}, update: manual}}")
    scenario.answers("account", branch)
    scenario.synced()
    refused = world.sdp("update", f"{scenario.name}/account")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "nothing newer is there for account" in refused.stderr
    second = world.company.push_branch("account", branch, {"notes.txt": "more"}, "Note")
    scenario.sync()
    words = f"update available {first[:7]} → {second[:7]}"
    world.until(lambda: words in scenario.conditions(), "the update is told")
    scenario.synced()
    assert service(scenario, "account")["commit"] == first
    plan = world.sdp("plan", "--sandbox", scenario.name)
    assert (plan.returncode, words in plan.stdout) == (0, True), plan.stdout
    third = world.company.push_branch("account", branch, {"notes.txt": "most"}, "Note")
    done = world.sdp("update", f"{scenario.name}/account", "--wait")
    assert done.returncode == 0, done.stderr
    assert service(scenario, "account")["commit"] == third
    assert "UpdateAvailable" not in scenario.conditions()
    assert [each["service"] for each in scenario.events("UPDATE")] == ["account"]


def test_a_deleted_branch_deletes_nothing_and_heals_what_is_killed(scenario, world):
    branch = "feature/short-lived"
    commit = scenario.push("payment", branch)
    scenario.commit(f"payment: {{branch: {branch}}}")
    scenario.answers("payment", branch)
    scenario.synced()
    delete_branch(world, "payment", branch)
    scenario.sync()
    world.until(lambda: "BranchDeleted" in scenario.conditions(), "the deletion is told")
    scenario.synced()
    first = scenario.container("payment")
    world.engine.docker("rm", "-f", first.split()[0])
    world.until(lambda: scenario.container_is_new("payment", first), "it came back")
    scenario.synced()
    assert service(scenario, "payment")["commit"] == commit
    scenario.answers("payment", branch)
    scenario.push("payment", branch)
    scenario.sync()
    world.until(lambda: "BranchDeleted" not in scenario.conditions(), "the branch is back")
    scenario.synced()


@contextlib.contextmanager
def an_origin_is_away(world, repository: str):
    origin = world.company.origin(repository)
    away = origin.rename(origin.with_suffix(".away"))
    try:
        yield
    finally:
        away.rename(origin)


def test_an_origin_that_is_away_is_told_and_deletes_nothing(scenario, world):
    scenario.commit("user: {branch: feature/profile}")
    scenario.answers("user", "feature/profile")
    scenario.synced()
    before = scenario.container("user")
    with an_origin_is_away(world, "user"):
        scenario.sync()
        world.until(lambda: "RepositoryUnavailable" in scenario.conditions(), "it is told")
        scenario.synced()
        assert "BranchDeleted" not in scenario.conditions()
        assert scenario.container("user") == before
    scenario.sync()
    world.until(lambda: "RepositoryUnavailable" not in scenario.conditions(), "it is back")


@contextlib.contextmanager
def hooked(world):
    """For a while, agents look at origins once an hour, and Bitbucket's posts are taken."""
    secret = world.root / "hook-secret"
    secret.write_text("e2e-secret-of-some-length\n")
    secret.chmod(0o600)
    path = world.root / f"agent-{MICRO}.yaml"
    before = path.read_text()
    path.write_text(yaml.safe_dump({**yaml.safe_load(before), "poll_seconds": 3600.0}))
    world.kill(MICRO)
    world.kill("control-plane")
    world.start_control_plane("--hook-secret-file", str(secret))
    world.start_agent(MICRO)
    try:
        world.until(world.heard, "both agents are heard")
        yield secret.read_bytes().strip()
    finally:
        path.write_text(before)
        world.kill(MICRO)
        world.kill("control-plane")
        world.start_control_plane()
        world.start_agent(MICRO)
        world.until(world.heard, "both agents are heard")


def post(world, slug: str, secret: bytes) -> int:
    payload = {"eventKey": "repo:refs_changed", "repository": {"slug": slug, "name": slug}}
    body = json.dumps(payload).encode()
    signature = hmac.new(secret, body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-Hub-Signature": f"sha256={signature}"}
    url = f"{world.url}/api/hooks/bitbucket"
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, data=body, headers=headers), timeout=10
        ) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_webhook_makes_a_push_deploy_at_once_and_an_unsigned_one_does_nothing(scenario, world):
    scenario.commit("account: {branch: feature/limits}")
    scenario.answers("account", "feature/limits")
    scenario.synced()
    assert post(world, "account", b"anything") == 403
    with hooked(world) as secret:
        scenario.synced()
        looked = repository(world, "account")["checked_at"]
        commit = scenario.push("account", "feature/limits")
        assert post(world, "account", b"not the secret") == 401
        assert post(world, GATEWAY_REPOSITORY, secret) == 202
        assert repository(world, "account")["checked_at"] == looked
        assert post(world, "Account", secret) == 202
        world.until(lambda: service(scenario, "account").get("commit") == commit, "it deploys")
        scenario.synced()


def repository(world, name: str) -> dict[str, str]:
    found = world.api(f"/api/nodes/{MICRO}")["repositories"]
    return next(each for each in found if each["name"] == name)
