"""Secrets that are driven through a whole run, crashes included, are found only where they belong.

Not searched is the memory of what runs. A service that prints its own secret is not saved from
that: a container's last lines are kept, as it wrote them.
"""

import contextlib
import hashlib
import hmac
import json
import os
import re
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.world import GATEWAY, MICRO, REPOSITORY, ROBOT, USERS, World
from tests.e2e import evidence
from tests.e2e.scenarios import Scenario
from tests.e2e.worlds import new_world
from tests.testbed import gitserver
from tests.testbed.canaries import Allowed, Search, canary, unexpected
from tests.testbed.sampler import sampling

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

NAME = "CANARY"
CONTAINER = "sandbox-canary-account"
ENVIRONMENT = "canaries"
PLANE = "control-plane"

KEYS = {
    "achmad.txt": r"AGE-SECRET-KEY-\w+",
    "identity-micro-92.txt": r"AGE-SECRET-KEY-\w+",
    "data/trust/key": r".+",
    "data/trust/commit.key": r"(?<=\n).{64}(?=\n.*\n-----END)",
    "agents/micro-92/trust/identity.json": r'(?<="key":")[^"]+',
    "agents/gateway-186/trust/identity.json": r'(?<="key":")[^"]+',
}
"""Files with keys, of people, agents and the control plane: what of each is the secret."""
ALLOWED = (
    Allowed("service variable", "process/container-*.environ.*", "a process has its variables"),
    Allowed("service variable", f"docker inspect {CONTAINER}", "its container was made with it"),
    Allowed("service variable", f"engine {CONTAINER} config.v2.json", "the engine starts it so"),
    Allowed("password of robot", "world/robot.yaml", "the service credential, in a file of 0600"),
    Allowed("secret of the webhook", "world/hook-secret", "where the control plane reads it"),
    *(Allowed(f"key in {path}", f"world/{path}", "where a key is kept") for path in KEYS),
)
"""All places where a secret may be. Each has to be seen, or the search does not search."""


class Run:
    """One run through all that has to do with secrets; keeps them by name."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.scenario = Scenario(world, NAME)
        self.secrets: dict[str, str | bytes] = {
            f"password of {name}": text for name, text in world.passwords.items()
        }

    def new(self, name: str) -> str:
        """Return a new secret."""
        made = canary()
        self.secrets[name] = made
        return made

    def logs_in(self) -> None:
        self.world.as_user("sari").log_in()
        wrong = self.new("a wrong password")
        done = self.world.sdp("login", "--user", "budi", "--password-stdin", stdin=wrong)
        assert done.returncode == 1
        assert "LOGIN FAILED" in done.stderr

    def deploys(self) -> None:
        """Run a service with a secret variable and a secret file."""
        variable, file = self.new("service variable"), self.new("service file")
        content = self.world.root.parent / "content"
        content.write_text(file)
        for words, value in (
            (("DB_PASSWORD", "--stdin"), variable),
            (("--file", "/etc/app/secret", "--from", str(content)), ""),
        ):
            done = self.world.sdp("env", "set-secret", ENVIRONMENT, *words, stdin=value)
            assert done.returncode == 0, done.stderr
        self.runs("feature/login-error")
        told = self.scenario.environment("account", "DB_PASSWORD", "/etc/app/secret")
        assert told == {
            "DB_PASSWORD": hashlib.sha256(variable.encode()).hexdigest(),
            "/etc/app/secret": hashlib.sha256(file.encode()).hexdigest(),
        }
        self.routes("ocp")
        self.routes("sandbox")

    def runs(self, branch: str) -> None:
        self.wants(branch)
        self.scenario.answers("account", branch)
        self.scenario.synced()

    def wants(self, branch: str) -> None:
        said = f"account: {{branch: {branch}, environment: {ENVIRONMENT}}}"
        self.scenario.commit(said)

    def routes(self, target: str) -> None:
        done = self.world.sdp("route", NAME, "account", "--to", target, "--wait")
        assert done.returncode == 0, done.stderr

    def fails_to_deploy(self) -> None:
        for branch, told in (("broken/compile", "undefined"), ("broken/crash", "LEDGER_DSN")):
            self.wants(branch)
            self.until_told(told)

    def until_told(self, word: str) -> None:
        self.world.until(lambda: word in self.scenario.conditions(), f"{word} is told", 90)

    def fails_to_fetch(self) -> None:
        """Bitbucket takes neither achmad's password any more, nor what the robot has."""
        world = self.world
        known = world.credentials.read_text()
        wrong = self.new("a wrong password of the robot")
        changed = {**world.passwords, "achmad": self.new("a new password of achmad")}
        gitserver.set_passwords(world.bitbucket, changed)
        world.credentials.write_text(yaml.safe_dump({"username": ROBOT, "password": wrong}))
        self.scenario.push("account", "feature/limits")
        self.wants("feature/limits")
        self.scenario.sync()
        world.until(self.refused, "Bitbucket refuses", 90)
        gitserver.set_passwords(world.bitbucket, world.passwords)
        world.credentials.write_text(known)

    def refused(self) -> bool:
        lines = self.world.bitbucket.access_log.splitlines()
        users = {line.split()[0] for line in lines if line.endswith(" 401")}
        return bool({ROBOT, "achmad"} & users)

    def crashes(self) -> None:
        """Each process falls: git, a build, both agents and the control plane."""
        world = self.world
        self.scenario.push("account", "feature/killed")
        self.wants("feature/killed")
        kill(world, b"go\0build\0")
        world.company.set_origins(world.bitbucket.hanging)
        self.scenario.sync()
        kill(world, b"git-remote-http")
        self.falls(MICRO, signal.SIGABRT)
        self.falls(GATEWAY, signal.SIGKILL)
        self.falls(PLANE, signal.SIGABRT)
        world.company.set_origins(world.bitbucket.url)
        file = world.root / "hook-secret"
        file.touch(0o600)
        file.write_text(self.new("secret of the webhook"))
        world.start_control_plane("--hook-secret-file", str(file))
        for node in (MICRO, GATEWAY):
            world.start_agent(node)
        world.until(world.heard, "both agents are heard", 30)
        self.scenario.sync()
        self.scenario.answers("account", "feature/killed")
        self.scenario.synced()

    def falls(self, name: str, number: signal.Signals) -> None:
        """A process ends as a crash does, and writes no core."""
        process = self.world.processes.pop(name)
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        assert re.search(r"Max core file size +0 +0 ", limits), name
        process.send_signal(number)
        process.wait()

    def hears_of_a_push(self) -> None:
        """Bitbucket posts, signed with the secret, and others with another."""
        secret = str(self.secrets["secret of the webhook"])
        wrong = self.new("a wrong secret of the webhook")
        assert [self.posts(secret.strip()), self.posts(wrong)] == [202, 401]

    def posts(self, secret: str) -> int:
        repository = {"slug": "account", "name": "account"}
        body = json.dumps({"eventKey": "repo:refs_changed", "repository": repository}).encode()
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Hub-Signature": f"sha256={signature}"}
        url = f"{self.world.url}/api/hooks/bitbucket"
        request = urllib.request.Request(url, data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def answers(self) -> dict[str, bytes]:
        """Return all that the control plane tells an ADMIN, and what its commands print."""
        achmad = self.world.achmad
        listed: Any = self.world.api("/api/deployments")
        names = {
            "sandboxes": NAME,
            "services": "account",
            "snapshots": "1",
            "repositories": "account",
            "nodes": MICRO,
        }
        told: dict[str, bytes] = {}
        for each in listed["deployments"]:
            more = evidence.answers(achmad, {**names, "deployments": each["id"]})
            told |= {f"{place} ({each['id']})": content for place, content in more.items()}
        self.wants_nothing_yet()
        lines = (
            "plan", "plan --json", f"plan -o {self.world.root / 'plan.saved'}", "status",
            f"status {NAME}", f"explain {NAME}", "events", "deployments", f"history {NAME}",
            f"logs {NAME}/account", "nodes", "doctor", "env list", f"render {NAME}", "whoami",
            "audit", "audit export", "audit verify",
        )  # fmt: skip
        return told | evidence.commands(achmad, *lines)

    def wants_nothing_yet(self) -> None:
        """Change the working tree, so that there is something to plan."""
        path = self.world.config / self.scenario.path
        path.write_text(path.read_text().replace("feature/killed", "develop"))

    def logs_out(self) -> None:
        for name in ("achmad", "sari"):
            person = self.world.as_user(name)
            self.secrets[f"session of {name}"] = person.token
            assert person.sdp("logout").returncode == 0
            assert person.sdp("whoami").returncode == 1

    def remembers_keys(self) -> None:
        """Keep the keys that were made in the run: they are secrets like any other."""
        for node, token in self.world.enrolments.items():
            self.secrets[f"enrolment of {node}"] = token.split(".")[2]
        for path, pattern in KEYS.items():
            found = re.search(pattern, (self.world.root / path).read_text())
            assert found, path
            self.secrets[f"key in {path}"] = found[0]

    def gateway_process(self) -> str:
        """Return the samples of the gateway's container, which has nothing of its services."""
        inspected = self.world.engine.docker("inspect", "-f", "{{.Id}}", "sandbox-canary-gateway")
        return f"process/container-{inspected[:12]}/"


def kill(world: World, word: bytes) -> None:
    """Kill the next process of a world with this in its arguments."""

    def killed() -> bool:
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it ended meanwhile
                ours = (process / "cwd").readlink().is_relative_to(world.root)
                if ours and word in (process / "cmdline").read_bytes():
                    os.kill(int(process.name), signal.SIGKILL)
                    return True
        return False

    deadline = time.monotonic() + 30
    while not killed():  # without a pause: a build may be short
        assert time.monotonic() < deadline, word


def test_secrets_are_found_only_where_they_belong(tmp_path: Path) -> None:
    began = tmp_path.stat().st_mtime
    passwords = {name: canary() for name in (*USERS, ROBOT)}
    with sampling(tmp_path / "sampler") as samples:
        with new_world(tmp_path / "world", passwords) as world:
            run = Run(world)
            run.logs_in()
            run.deploys()
            run.fails_to_deploy()
            run.fails_to_fetch()
            run.crashes()
            run.hears_of_a_push()
            places = run.answers()
            run.logs_out()
            run.remembers_keys()
            gateway = run.gateway_process()
            places |= evidence.engine(world) | evidence.objects(world.root)
            for folder in ("/tmp", "/var/tmp", "/dev/shm", REPOSITORY):
                places |= evidence.new_files(Path(folder), began, world)
        search = Search(run.secrets)
        found = search.among(places)
        found |= search.below(world.root, "world") | search.below(samples, "process")
    assert unexpected(found, ALLOWED) == []
    assert [rule for rule in ALLOWED if not any(rule.covers(each) for each in found)] == []
    assert [each for each in found if each.place.startswith(gateway)] == []
    assert [each for each in REPOSITORY.glob("core*") if each.stat().st_mtime > began] == []
