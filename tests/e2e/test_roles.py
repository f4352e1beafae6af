"""Rights: what somebody pushed without the right to it changes nothing that runs, and says so."""

import subprocess  # noqa: TID251 - plays ssh-keygen
from typing import Any
from urllib.error import HTTPError

import pytest

from demo.world import git
from tests.e2e.scenarios import Scenario, platform_says

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ROLES: dict[str, Any] = {
    "default": "VIEWER",
    "users": {
        "achmad": {"role": "ADMIN"},
        "sari": {"role": "QA"},
        "dewi": {"role": "VIEWER"},
    },
}
ELSEWHERE = "http://127.0.0.1:1/elsewhere"


def sdp(world, *words: str, code: int = 0) -> str:
    done = world.sdp(*words)
    assert done.returncode == code, done.stdout + done.stderr
    return str(done.stdout + done.stderr)


def pushed(world, user: str, path: str, text: str | None, *options: str) -> str:
    """Push a change of one file in somebody's name, as they could by hand."""
    file = world.config / path
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    author = f"{user} <{user}@company.example>"
    commit = ("commit", "--quiet", "-am", f"Push {path}", "--author", author)
    git(*options, *commit, cwd=world.config)
    git("push", "--quiet", "origin", "HEAD:main", cwd=world.config)
    return git("rev-parse", "HEAD", cwd=world.config).strip()


def route(scenario: Scenario) -> str:
    """Return where account comes from, as the sandbox's spec is understood."""
    services = scenario.status().get("services", ())
    return next((str(each["target"]) for each in services if each["name"] == "account"), "")


def waits(scenario: Scenario, reason: str, commit: str) -> None:
    scenario.world.until(
        lambda: reason in scenario.conditions() and commit[:7] in scenario.conditions(),
        f"{scenario.name} says that {commit[:7]} is {reason}",
    )


def test_a_template_that_a_tester_pushes_waits_until_somebody_approves_it(scenario, world):
    path = f"templates/{scenario.name.lower()}.yaml"
    template = f"template: {scenario.name}\ngateway: {{branch: develop}}\n"
    moved = f"{template}services: {{account: {{url: '{ELSEWHERE}'}}}}\n"
    spec = f"sandbox: {scenario.name}\ntemplate: {scenario.name}\n"
    with platform_says(world, lambda said: said.update(roles=ROLES)):
        world.commit({path: template, scenario.path: spec}, f"Add {scenario.name}")
        scenario.synced()
        before = scenario.container("gateway")
        sha = pushed(world, "sari", path, moved)
        world.until(lambda: sha[:7] in sdp(world, "status"), "status tells of it")
        assert f"fix: undo it: sdp revert {sha[:7]}" in sdp(world, "status")
        assert route(scenario) == "OCP"
        assert scenario.container("gateway") == before
        assert scenario.ask("account") == "ocp"
        sdp(world, "approve", sha[:9], "-m", "Agreed.")
        world.until(lambda: route(scenario) == ELSEWHERE, "it counts")
        assert "NotPermitted" not in sdp(world, "status")
        git("pull", "--quiet", "origin", "main", cwd=world.config)
        scenario.remove()
        world.commit({path: None}, f"Drop {scenario.name}")


def test_a_deletion_without_the_right_destroys_nothing_and_is_undone(scenario, world):
    with platform_says(world, lambda said: said.update(roles=ROLES)):
        scenario.commit("account: {use_ocp: true}")
        scenario.synced()
        before = scenario.container("gateway")
        sha = pushed(world, "dewi", scenario.path, None)
        waits(scenario, "NotPermitted", sha)
        assert "'delete sandboxes', which BACKEND has" in sdp(world, "explain", scenario.name)
        assert scenario.status()["sync"] == "Synced"
        assert scenario.container("gateway") == before
        sdp(world, "revert", sha[:9])
        world.until(lambda: "NotPermitted" not in scenario.conditions(), "nothing waits")
        assert scenario.container("gateway") == before


@pytest.fixture
def signing(world, tmp_path):
    """Achmad's key, with which git signs what he commits."""
    key = tmp_path / "key"
    words = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "achmad", "-f", str(key))
    subprocess.run(words, check=True)
    settings = {"gpg.format": "ssh", "user.signingkey": str(key), "commit.gpgsign": "true"}
    for name, value in settings.items():
        git("config", name, value, cwd=world.config)
    yield key.with_suffix(".pub").read_text().strip()
    for name in settings:
        git("config", "--unset", name, cwd=world.config)


def test_where_signatures_are_required_a_claim_changes_nothing(scenario, world, signing):
    ours = world.api("/api/doctor")["signing_key"]
    achmad = {"role": "ADMIN", "keys": [signing]}
    users = {**ROLES["users"], "achmad": achmad, "sdp": {"keys": [ours]}}
    roles = {**ROLES, "users": users, "require_signed_commits": True}
    with platform_says(world, lambda said: said.update(roles=roles)):
        scenario.commit("account: {use_ocp: true}")
        scenario.synced()
        text = (world.config / scenario.path).read_text()
        claimed = text.replace("use_ocp: true", f"url: '{ELSEWHERE}'")
        sha = pushed(world, "achmad", scenario.path, claimed, "-c", "commit.gpgsign=false")
        waits(scenario, "NotSigned", sha)
        assert route(scenario) == "OCP"
        edit = {"edit": "set", "name": scenario.name, "path": ["heal"], "value": "report"}
        with pytest.raises(HTTPError, match="409"):  # it would let the claim count along
            world.api("/api/changes", {"edits": [edit]})
        # The control plane has checked who asks, and signs.
        world.api("/api/changes", {"approve": sha})
        world.until(lambda: route(scenario) == ELSEWHERE, "the file counts as it is")
        assert "NotSigned" not in scenario.conditions()
        git("pull", "--quiet", "origin", "main", cwd=world.config)
