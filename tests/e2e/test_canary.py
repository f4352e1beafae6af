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
import subprocess  # noqa: TID251 -- sends what Bitbucket sends
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from demo.world import GATEWAY, MICRO, REPOSITORY, ROBOT, USERS, World
from tests.e2e import evidence
from tests.e2e.scenarios import Scenario
from tests.e2e.worlds import new_world
from tests.testbed import gitserver
from tests.testbed.canaries import Allowed, Found, Search, canary, unexpected
from tests.testbed.sampler import sampling

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

NAME = "CANARY"
CONTAINER = "sandbox-canary-account"
ENVIRONMENT = "canaries"
PLANE = "control-plane"

ALLOWED = (
    Allowed("service *", "container-*/*.environ.*", "a service's own process has its variables"),
    Allowed("service variable", f"docker inspect {CONTAINER}", "its container was made with it"),
    Allowed("service variable", f"engine {CONTAINER} config.v2.json", "the engine starts it so"),
    Allowed("password of robot", "world/robot.yaml", "the service credential, in a file of 0600"),
    Allowed("secret of the webhook", "world/hook-secret", "where the control plane reads it"),
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
        for words, value in (
            (("set-secret", ENVIRONMENT, "DB_PASSWORD", "--stdin"), variable),
            (("set-secret", ENVIRONMENT, "--file", "/etc/app/secret", "--stdin"), file),
        ):
            done = self.world.sdp("env", *words, stdin=value)
            assert done.returncode == 0, done.stderr
        self.runs("feature/login-error")
        told = self.scenario.ask_environment("account", "DB_PASSWORD", "/etc/app/secret")
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
        self.world.until(lambda: word in self.scenario.conditions(), f"{word} is told", 60)

    def fails_to_fetch(self) -> None:
        """Bitbucket takes neither achmad's password any more, nor what the robot has."""
        world = self.world
        known = world.credentials.read_text()
        wrong = self.new("a wrong password of the robot")
        changed = {**world.passwords, "achmad": self.new("a new password of achmad")}
        gitserver.set_passwords(world.bitbucket, changed)
        world.credentials.write_text(yaml.safe_dump({"username": ROBOT, "password": wrong}))
        self.scenario.push("account", "feature/limits")
        self.scenario.sync()
        self.until_told("password")
        gitserver.set_passwords(world.bitbucket, world.passwords)
        world.credentials.write_text(known)

    def crashes(self) -> None:
        world = self.world
        self.scenario.push("account", "feature/killed-build")
        self.wants("feature/killed-build")
        kill(lambda argv: b"go\0build\0" in argv, world)
        kill(lambda argv: b"git-remote-http" in argv, world)
        world.kill(MICRO, signal.SIGABRT)
        world.kill(GATEWAY)
        world.kill(PLANE, signal.SIGABRT)
