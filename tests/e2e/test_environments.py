"""Variables, secrets and files arrive where they are used, and secrets nowhere else."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.world import GATEWAY, MICRO, World, git, recipient
from tests.e2e.scenarios import Scenario

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

CANARY = "canary-9f3c1e7-do-not-show"
SEEN = "plain-9f3c1e7-may-be-shown"
BOTH = "account: {{branch: develop}}, payment: {{branch: develop, environment: {0}-pay}}"


class Secretive:
    """A sandbox with environments of its own: one of the sandbox's, one of payment's."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.world: World = scenario.world
        self.qa = scenario.name.lower()
        self.pay = f"{self.qa}-pay"

    def env(self, *words: str, stdin: str = "") -> str:
        done = self.world.sdp("env", *words, stdin=stdin)
        assert done.returncode == 0, done.stdout + done.stderr
        assert CANARY not in done.stdout + done.stderr
        return done.stdout + done.stderr

    def secret(self, environment: str, name: str, value: str) -> None:
        self.env("set-secret", environment, name, "--stdin", stdin=value)

    def start(self) -> None:
        """Commit a sandbox whose services use both environments, and wait until it runs."""
        text = f"sandbox: {self.scenario.name}\nenvironment: {self.qa}\n"
        text += f"gateway: {{branch: develop}}\nservices: {{{BOTH.format(self.qa)}}}\n"
        self.world.commit({self.scenario.path: text}, f"Change {self.scenario.name}")
        self.scenario.answers("account", "develop")
        self.scenario.answers("payment", "develop")
        self.scenario.synced()

    def has(self, service: str, **meant: str) -> bool:
        return self.scenario.environment(service, *meant) == {
            k: hashed(v) for k, v in meant.items()
        }

    def remove(self) -> None:
        environments = [f"environments/{each}.yaml" for each in (self.qa, self.pay)]
        paths = [self.scenario.path, *environments]
        gone: dict[str, str | None] = {p: None for p in paths if (self.world.config / p).exists()}
        self.world.commit(gone, f"Remove {self.scenario.name}")

    def plan(self) -> int:
        return self.world.sdp("plan", "--sandbox", self.scenario.name).returncode


@pytest.fixture
def secretive(scenario: Scenario) -> Iterator[Secretive]:
    made = Secretive(scenario)
    made.env("set", made.qa, "MODE=qa", "LOG_LEVEL=debug")
    made.env("set", made.pay, "MODE=pay")
    yield made
    made.remove()


def hashed(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def test_variables_secrets_and_files_arrive_per_sandbox_and_per_service(
    secretive: Secretive, tmp_path: Path
) -> None:
    (tmp_path / "features.json").write_text('{"new_login": true}\n')
    (tmp_path / "key.pem").write_text(f"-----\n{CANARY}\n-----\n")
    qa, pay = secretive.qa, secretive.pay
    secretive.env(
        "set", qa, "--file", "/etc/app/features.json", "--from", str(tmp_path / "features.json")
    )
    secretive.env(
        "set-secret", qa, "--file", "/etc/tls/key.pem", "--from", str(tmp_path / "key.pem")
    )
    secretive.secret(qa, "DB_PASSWORD", CANARY)
    secretive.secret(qa, "SHARED", f"{CANARY}-qa")
    secretive.secret(pay, "SHARED", f"{CANARY}-pay")
    secretive.start()
    world = secretive.world
    ocp = f"http://{world.address}:{world.ports.ocp}/user"
    everywhere = {
        "DB_PASSWORD": CANARY,
        "LOG_LEVEL": "debug",
        "PORT": "8080",
        "SDP_SANDBOX": secretive.scenario.name,
        "USER_URL": ocp,
        "/etc/app/features.json": '{"new_login": true}\n',
        "/etc/tls/key.pem": f"-----\n{CANARY}\n-----\n",
    }
    account = {"MODE": "qa", "SHARED": f"{CANARY}-qa", "PAYMENT_URL": "http://payment:8080"}
    payment = {"MODE": "pay", "SHARED": f"{CANARY}-pay", "ACCOUNT_URL": "http://account:8080"}
    for service, meant in (("account", account), ("payment", payment)):
        whole = {**everywhere, **meant}
        assert secretive.scenario.environment(service, *whole) == {
            k: hashed(v) for k, v in whole.items()
        }
    assert secretive.plan() == 0


def test_a_changed_secret_redeploys_only_its_users_and_a_rotation_nobody(
    secretive: Secretive,
) -> None:
    secretive.secret(secretive.qa, "DB_PASSWORD", CANARY)
    secretive.secret(secretive.pay, "TOKEN", f"{CANARY}-1")
    secretive.start()
    scenario, world = secretive.scenario, secretive.world
    account, payment = scenario.container("account"), scenario.container("payment")
    secretive.secret(secretive.pay, "TOKEN", f"{CANARY}-2")
    world.until(lambda: secretive.has("payment", TOKEN=f"{CANARY}-2"), "the new token", 90)
    scenario.synced()
    assert scenario.container("account") == account
    assert scenario.container("payment") != payment
    payment = scenario.container("payment")
    secretive.env("rotate", secretive.qa, secretive.pay)
    committed = git("rev-parse", "HEAD", cwd=world.config).strip()
    world.until(
        lambda: (
            scenario.status()["observed_generation"] == committed
            and scenario.status()["sync"] == "Synced"
        ),
        "the rotation is seen",
    )
    assert secretive.plan() == 0
    assert (scenario.container("account"), scenario.container("payment")) == (account, payment)


def test_a_file_that_cannot_be_opened_is_held_says_why_and_heals(secretive: Secretive) -> None:
    secretive.secret(secretive.qa, "DB_PASSWORD", "value-0")
    secretive.start()
    scenario, world = secretive.scenario, secretive.world
    identity = world.identity(MICRO)
    kept = identity.with_suffix(".kept")

    def held(reason: str, *words: str) -> None:
        told = (reason, f"environments/{secretive.qa}.yaml can't be opened on {MICRO}", *words)
        world.until(lambda: all(w in scenario.conditions() for w in told), f"{reason} is told")
        assert scenario.ask("account") == "develop"  # what ran goes on

    def healed(value: str) -> None:
        world.until(lambda: secretive.has("account", DB_PASSWORD=value), "it heals", 90)
        scenario.synced()

    shutil.move(identity, kept)
    secretive.secret(secretive.qa, "DB_PASSWORD", "value-1")
    held("NoIdentity", str(identity))
    shutil.move(kept, identity)
    healed("value-1")

    identity.chmod(0o644)
    secretive.secret(secretive.qa, "DB_PASSWORD", "value-2")
    held("IdentityExposed", f"chmod 600 {identity}")
    identity.chmod(0o600)
    healed("value-2")

    shutil.move(identity, kept)
    other = recipient(identity)
    secretive.secret(secretive.qa, "DB_PASSWORD", "value-3")
    held("WrongKey", other, f"sdp env rotate {secretive.qa}")
    shutil.move(kept, identity)
    healed("value-3")

    path = f"environments/{secretive.qa}.yaml"
    sound = (world.config / path).read_text()
    world.commit({path: sound.replace("data:", "data:AAAA", 1)}, "Tamper")
    held("Tampered", "secrets.DB_PASSWORD")
    explained = world.sdp("explain", scenario.name)
    assert "Tampered" in explained.stdout
    world.commit({path: sound}, "Bring it back")
    healed("value-3")


def test_a_plain_secret_gets_no_further_than_validation(secretive: Secretive) -> None:
    secretive.start()
    world = secretive.world
    path = world.config / "environments" / f"{secretive.qa}.yaml"
    before = path.read_text()
    path.write_text(f"{before}secrets:\n  DB_PASSWORD: {CANARY}\n")
    for words in (("validate",), ("plan",), ("apply", "--yes")):
        done = world.sdp(*words)
        assert done.returncode == 1
        assert f"sdp env set-secret {secretive.qa} DB_PASSWORD" in done.stdout + done.stderr
        assert CANARY not in done.stdout + done.stderr
    path.write_text(before)


def test_a_secret_is_found_nowhere_but_in_its_container(secretive: Secretive) -> None:
    secretive.env("set", secretive.qa, f"SEEN={SEEN}")
    secretive.secret(secretive.qa, "DB_PASSWORD", CANARY)
    secretive.secret(secretive.pay, "TOKEN", f"{CANARY}-pay")
    secretive.start()
    scenario, world = secretive.scenario, secretive.world
    assert secretive.has("account", DB_PASSWORD=CANARY)
    secretive.secret(secretive.qa, "DB_PASSWORD", f"{CANARY}-changed")
    world.until(lambda: secretive.has("account", DB_PASSWORD=f"{CANARY}-changed"), "it is new")
    scenario.synced()
    name = f"sandbox-{secretive.qa}-account"
    for process in (MICRO, "control-plane"):  # after a crash, too
        world.kill(process)
    world.engine.docker("rm", "-f", name)
    world.start_control_plane()
    world.start_agent(MICRO)
    world.until(lambda: scenario.container("account").endswith("true"), "it is back", 90)
    scenario.synced()
    assert secretive.has("account", DB_PASSWORD=f"{CANARY}-changed")
    places = {**files(world), **answers(secretive), **processes(world)}
    labels = world.engine.docker("inspect", "-f", "{{json .Config.Labels}}", name)
    places |= {"labels": labels.encode(), "log": world.engine.docker("logs", name).encode()}
    places["git"] = git("log", "--all", "-p", "--format=%B", cwd=world.config).encode()
    assert any(SEEN.encode() in content for content in places.values())  # the search finds things
    assert [where for where, content in places.items() if CANARY.encode() in content] == []


def files(world: World) -> dict[str, bytes]:
    """Return all that is below the world's folder."""
    found = (path for path in world.root.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path): path.read_bytes() for path in found}


def answers(secretive: Secretive) -> dict[str, bytes]:
    """Return what the API and the commands say of a sandbox."""
    name = secretive.scenario.name
    told: dict[str, bytes] = {}
    deployments = secretive.world.api("/api/deployments")
    assert isinstance(deployments, dict)
    logs = [f"/api/deployments/{each['id']}/logs" for each in deployments["deployments"]]
    for path in (
        "/api/sandboxes",
        f"/api/sandboxes/{name}",
        f"/api/sandboxes/{name}/plan",
        f"/api/sandboxes/{name}/history",
        "/api/environments",
        "/api/nodes",
        "/api/deployments",
        "/api/events?follow=false&last_event_id=0",
        *(f"{each}?follow=false" for each in logs[:6]),
    ):
        with secretive.world.achmad.open(path) as answer:
            told[path] = answer.read()
    for words in (("plan",), ("plan", "--json"), ("status", name), ("explain", name)):
        done = secretive.world.sdp(*words)
        told[" ".join(words)] = (done.stdout + done.stderr).encode()
    assert json.loads(told["/api/environments"])
    return told


def processes(world: World) -> dict[str, bytes]:
    """Return the arguments and environments of this world's processes."""
    told: dict[str, bytes] = {}
    for name in (MICRO, GATEWAY, "control-plane"):
        for what in ("cmdline", "environ"):
            path = Path(f"/proc/{world.processes[name].pid}/{what}")
            told[f"{name} {what}"] = path.read_bytes()
    return told
