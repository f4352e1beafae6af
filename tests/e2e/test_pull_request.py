"""A pull request shows what merging it would do, and merging does that."""

import contextlib

import pytest

from demo.world import git
from tests.e2e.scenarios import Scenario, body

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@contextlib.contextmanager
def branch(world, name):
    """A branch of the config repo, checked out; main is checked out again afterwards."""
    git("checkout", "--quiet", "-b", name, cwd=world.config)
    try:
        yield
    finally:
        git("checkout", "--quiet", "--force", "main", cwd=world.config)
        git("branch", "--quiet", "-D", name, cwd=world.config)


def commit(scenario: Scenario, services: str) -> None:
    scenario.write(body(scenario.name, services))
    git("commit", "--quiet", "-am", f"Change {scenario.name}", cwd=scenario.world.config)


def test_the_comment_says_what_merging_then_does(scenario, world):
    scenario.commit("account: {branch: feature/login-error}")
    scenario.answers("account", "feature/login-error")
    scenario.synced()
    with branch(world, "try-limits"):
        commit(scenario, "account: {branch: feature/limits}")
        done = world.sdp("plan", "--base", "main", "--format", "markdown")
        assert done.returncode == 2, done.stdout + done.stderr
        assert done.stdout.startswith("### SDP: merging `HEAD` into `main`\n")
        assert f"#### `{scenario.name}`\n\n```diff\n" in done.stdout
        assert "feature/limits" in done.stdout
        assert done.stdout.count("#### ") == 1
        assert scenario.ask("account") == "feature/login-error"
        git("checkout", "--quiet", "main", cwd=world.config)
        git("merge", "--quiet", "try-limits", cwd=world.config)
    git("push", "--quiet", "origin", "HEAD:main", cwd=world.config)
    scenario.answers("account", "feature/limits")
    scenario.synced()


def test_a_conflict_and_a_mistake_end_with_1_and_their_places(scenario, world):
    scenario.commit("account: {use_ocp: true}")
    scenario.synced()
    with branch(world, "mistaken"):
        text = f"sandbox: {scenario.name}\nservices:\n  acount: {{branch: develop}}\n"
        scenario.write(text)
        git("commit", "--quiet", "-am", "Mistype", cwd=world.config)
        done = world.sdp("plan", "--base", "main", "--format", "markdown")
        assert done.returncode == 1, done.stdout + done.stderr
        assert f"{scenario.path}:3:3: error: " in done.stdout
        assert "did you mean 'account'?" in done.stdout
        git("checkout", "--quiet", "main", cwd=world.config)
        scenario.commit("payment: {use_ocp: true}")
        git("checkout", "--quiet", "mistaken", cwd=world.config)
        done = world.sdp("plan", "--base", "main", "--format", "markdown")
        assert (done.returncode, done.stdout) == (1, ""), done.stderr
        assert f"main and HEAD both changed {scenario.path}" in done.stderr
