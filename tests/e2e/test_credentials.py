"""Passwords pass through: proven by Bitbucket, lent to who caused the work, gone with the session."""

import contextlib
from collections.abc import Iterator

import pytest

from demo.company.git import git
from demo.person import Person
from demo.world import GATEWAY, MICRO, World
from tests.e2e.scenarios import agent_says, body

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def commit_as(world: World, who: str, path: str, text: str) -> None:
    """Commit and push a file as somebody's own work."""
    (world.config / path).write_text(text)
    author = ("-c", f"user.name={who.title()}", "-c", f"user.email={who}@company.example")
    git(world.config, "add", "--all")
    git(world.config, *author, "commit", "--quiet", "-m", f"By {who}")
    git(world.config, "push", "--quiet", "origin", "HEAD:main")


def fetched_by(world: World, repository: str) -> set[str]:
    """Return who has fetched from a repository, and not only looked at it."""
    lines = world.bitbucket.access_log.splitlines()
    asks = f"POST /{repository}.git/git-upload-pack"
    return {line.split()[0].strip('"') for line in lines if asks in line}


def test_a_fetch_waits_for_who_caused_it_and_uses_their_credentials(scenario, world):
    sari, branch = world.as_user("sari"), "feature/needs-sari"
    with agent_says(world, "credentials", None):
        scenario.push("account", branch)
        text = body(scenario.name, f"account: {{branch: {branch}}}")
        commit_as(world, "sari", scenario.path, text)
        told = "waiting for credentials of sari: looking at account needs them"
        world.until(lambda: told in scenario.conditions(), "it waits for sari")
        explained = world.sdp("explain", scenario.name)
        assert told in explained.stdout
        assert "sdp login --user sari" in explained.stdout
        before = fetched_by(world, "account")
        assert "sari" not in before
        sari.log_in()
        scenario.answers("account", branch)
        scenario.synced()
        assert fetched_by(world, "account") - before == {"sari"}
        ended = sari.sdp("logout")
        assert ended.returncode == 0, ended.stderr
        scenario.push("account", "feature/after-logout")
        text = body(scenario.name, "account: {branch: feature/after-logout}")
        commit_as(world, "sari", scenario.path, text)
        world.until(lambda: "waiting for credentials of sari" in scenario.conditions(), "again")
        assert scenario.ask("account") == branch
    # With its service credential the agent needs nobody.
    scenario.answers("account", "feature/after-logout")
    assert "robot" in fetched_by(world, "account")


@contextlib.contextmanager
def origins(world: World, address: str) -> Iterator[None]:
    """For a while, the clones fetch from elsewhere."""
    world.company.set_origins(address)
    try:
        yield
    finally:
        world.company.set_origins(world.bitbucket.url)


def kill(world: World, node: str) -> None:
    """Let an agent be gone, and the control plane know it."""
    world.kill(node)
    world.until(lambda: node not in connected(world), f"{node} is missed", 30)


def connected(world: World) -> set[str]:
    nodes = world.api("/api/nodes")
    assert isinstance(nodes, list)
    return {node["id"] for node in nodes if node["connected"]}


def refused(person: Person, password: str = "") -> str:
    """Try to log in; return why that was refused."""
    words = ("login", "--user", person.user, "--password-stdin")
    done = person.sdp(*words, stdin=password or person.password)
    assert done.returncode != 0, done.stdout
    assert (done.stdout, person.token) == ("", "")
    assert person.password not in done.stderr
    return done.stderr


def test_each_end_of_a_login_has_its_own_words_and_no_session(world):
    budi = world.as_user("budi")
    budi.sdp("logout")  # another scenario's session
    assert "LOGIN FAILED" in refused(budi, "not-the-password")
    with origins(world, world.bitbucket.failing):
        assert "gave no answer to go by" in refused(budi)
    with origins(world, world.bitbucket.hanging):
        assert "did not answer in 10 s" in refused(budi)
    with origins(world, f"file://{world.company.origins}"):
        assert "No repository's origin tells users from strangers" in refused(budi)
    world.bitbucket.stop()
    try:
        assert "does not reach the origin of api-gateway" in refused(budi)
    finally:
        world.bitbucket.start()
    kill(world, GATEWAY)
    try:
        budi.log_in()  # another agent proves it as well
        assert "uses your credentials" in budi.sdp("whoami").stdout
        assert budi.sdp("logout").returncode == 0
        kill(world, MICRO)
        assert "No agent is connected" in refused(budi)
        world.start_agent(MICRO)
    finally:
        world.start_agent(GATEWAY)
    world.until(world.heard, "both agents are heard", 30)
