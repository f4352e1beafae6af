"""Commits as writes: every command and the API edit YAML in the user's name, on real engines."""

import json

import pytest

from demo.world import git
from tests.e2e.scenarios import Scenario

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

TEMPLATE = """\
# What refund testers have in common.
template: {name}
gateway: {{branch: develop}}
services:
  account: {{branch: feature/login-error}}   # the fix
"""


@pytest.fixture
def template(world, scenario):
    """A template of its own, gone afterwards."""
    name = f"T-{scenario.name}"[:40].strip("-")
    path = f"templates/{name.lower()}.yaml"
    world.commit({path: TEMPLATE.format(name=name)}, f"Describe {name}")
    yield name
    scenario.remove()
    world.commit({path: None}, f"Drop {name}")


def sdp(world, *words: str, code: int = 0) -> str:
    done = world.sdp(*words)
    assert done.returncode == code, done.stdout + done.stderr
    return str(done.stdout + done.stderr)


def shown(world, path: str) -> str:
    return str(git("diff", "HEAD~1", "--", path, cwd=world.config))


def test_a_sandbox_from_a_template_with_one_command(scenario, world, template):
    words = ("new", scenario.name, "--template", template)
    planned = sdp(world, *words, "--dry-run")
    assert f"+template: {template}" in planned
    assert f"sandbox-{scenario.name.lower()}-account" in planned
    told = sdp(world, *words, "--set", "services.payment.branch=feature/refund", "--wait")
    assert "is applied" in told
    assert scenario.ask("account") == "feature/login-error"
    assert scenario.ask("payment") == "feature/refund"
    assert (world.config / scenario.path).read_text() == (
        f"sandbox: {scenario.name}\nowner: achmad\ntemplate: {template}\n"
        "services:\n  payment: {branch: feature/refund}\n"
    )
    rendered = sdp(world, "render", scenario.name)
    assert f"templates/{template.lower()}.yaml:5" in rendered


def test_a_template_that_changes_plans_and_moves_every_sandbox_that_uses_it(
    scenario, world, template
):
    sdp(world, "new", scenario.name, "-t", template, "--wait")
    edit = ("template", "set", template, "services.account.branch=feature/limits")
    assert scenario.name in sdp(world, *edit, "--dry-run")
    assert template in json.dumps(world.api("/api/templates"))
    sdp(world, *edit, "--wait")
    assert scenario.ask("account") == "feature/limits"
    path = f"templates/{template.lower()}.yaml"
    assert [line for line in shown(world, path).splitlines() if line[:1] in "+-"][2:] == [
        "-  account: {branch: feature/login-error}   # the fix",
        "+  account: {branch: feature/limits}        # the fix",
    ]
    sdp(world, "set", scenario.name, "services.account=null", "--wait")
    assert scenario.ask("account") == "ocp"


def test_a_template_edited_in_the_working_tree_plans_every_sandbox_that_uses_it(
    scenario, world, template
):
    sdp(world, "new", scenario.name, "-t", template, "--wait")
    path = world.config / "templates" / f"{template.lower()}.yaml"
    before = path.read_text()
    path.write_text(before.replace("feature/login-error", "feature/limits"))
    planned = sdp(world, "plan", code=2)
    assert f"sandbox {scenario.name}" in planned
    assert "feature/limits" in planned
    path.write_text(before)
    sdp(world, "plan", "--sandbox", scenario.name)


def test_the_api_makes_an_environment_a_sandbox_and_its_clone_in_one_commit(
    scenario, world, template
):
    name, copy = scenario.name, f"{scenario.name[:20]}-COPY".lower()
    made = {"kind": "environment", "name": name, "values": {"variables": {"MODE": "of-the-api"}}}
    edits = [
        {"edit": "create", **made},
        {"edit": "create", "name": name, "template": template, "values": {"environment": name}},
        {"edit": "clone", "source": name, "name": copy},
        {"edit": "set", "name": copy, "path": ["services", "account", "branch"],
         "value": "feature/limits"},
    ]  # fmt: skip
    told = world.api("/api/changes", {"edits": edits})
    git("pull", "--quiet", "origin", "main", cwd=world.config)
    other = Scenario(world, copy)
    paths = [f"environments/{name.lower()}.yaml", other.path, scenario.path]
    assert sorted(told["paths"]) == sorted(paths)
    try:
        scenario.answers("account", "feature/login-error")
        other.answers("account", "feature/limits")
        assert name in json.dumps(world.api("/api/environments"))
    finally:
        world.commit(dict.fromkeys(paths), "Remove what the API made")
    scenario.commit("account: {use_ocp: true}")  # the fixture removes it


def test_a_route_goes_to_ocp_and_back_and_the_table_proves_it(scenario, world):
    scenario.commit("account: {branch: feature/login-error}")
    scenario.answers("account", "feature/login-error")
    scenario.synced()
    sdp(world, "route", scenario.name, "account", "--to", "ocp", "--wait", "-m", "Compare.")
    assert scenario.ask("account") == "ocp"
    table = sdp(world, "route", scenario.name, "account")
    assert "Verified" in table
    assert str(world.ports.ocp) in table
    sdp(world, "route", scenario.name, "account", "--to", "sandbox", "--wait")
    assert scenario.ask("account") == "feature/login-error"
    log = git("log", "-2", "--format=%an: %s / %b", cwd=world.config)
    assert f"Route account of {scenario.name} to ocp / Compare." in log


def test_the_api_commits_in_the_users_name_and_a_revert_undoes_it(scenario, world):
    scenario.commit("account: {branch: feature/login-error}")
    scenario.answers("account", "feature/login-error")
    base = git("rev-parse", "HEAD", cwd=world.config).strip()
    edit = {
        "edit": "set",
        "name": scenario.name,
        "path": ["services", "account", "branch"],
        "value": "feature/limits",
    }
    made = world.api("/api/changes", {"edits": [edit], "base": base})
    scenario.answers("account", "feature/limits")
    git("pull", "--quiet", "origin", "main", cwd=world.config)
    assert git("log", "-1", "--format=%H", cwd=world.config).strip() == made["commit"]
    sdp(world, "revert", made["commit"][:9], "--wait")
    assert scenario.ask("account") == "feature/login-error"


def test_a_conflict_is_shown_and_nothing_is_overwritten(scenario, world):
    scenario.commit("account: {branch: feature/login-error}")
    scenario.synced()
    base = git("rev-parse", "HEAD", cwd=world.config).strip()
    world.api(
        "/api/changes",
        {
            "edits": [{"edit": "set", "name": scenario.name, "path": ["owner"], "value": "budi"}],
        },
    )
    path = world.config / scenario.path
    mine = path.read_text() + "owner: sari\n"
    path.write_text(mine)
    head = git("rev-parse", "HEAD", cwd=world.config)
    for words in (("set", scenario.name, "owner=dewi"), ("apply", "--yes")):
        refused = sdp(world, *words, code=1)
        for word in ("+owner: budi", f"{scenario.path} changed since", "git pull"):
            assert word in refused
        assert path.read_text() == mine
        assert git("rev-parse", "HEAD", cwd=world.config) == head
    git("fetch", "--quiet", "origin", cwd=world.config)
    assert "owner: budi" in git("show", f"origin/main:{scenario.path}", cwd=world.config)
    git("reset", "--quiet", "--hard", "origin/main", cwd=world.config)
    assert base != git("rev-parse", "HEAD", cwd=world.config).strip()
