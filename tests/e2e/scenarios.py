"""A sandbox of a scenario: what it commits, and what is seen of it from outside."""

import contextlib
import json
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from demo.company.build import SOURCES, identity


def body(name: str, services: str) -> str:
    return f"sandbox: {name}\ngateway: {{branch: develop}}\nservices: {{{services}}}\n"


@contextlib.contextmanager
def platform_says(world, edit: Callable[[Any], None]) -> Iterator[None]:
    """For a while, the platform is another one."""
    before = (world.config / "platform.yaml").read_text()
    spec = yaml.safe_load(before)
    edit(spec)
    world.commit({"platform.yaml": yaml.safe_dump(spec, sort_keys=False)}, "Try the platform")
    try:
        yield
    finally:
        world.commit({"platform.yaml": before}, "Take the platform as it was")


def restart_agent(world) -> None:
    """Let the micro node's agent read its file again."""
    world.kill("micro-92")
    world.until(lambda: not world.heard(), "the agent is missed", 30)
    world.start_agent("micro-92")
    world.until(world.heard, "both agents are heard", 30)


@contextlib.contextmanager
def agent_says(world, key: str, value: object) -> Iterator[None]:
    """For a while, the micro node's agent has another file."""
    file = world.root / "agent-micro-92.yaml"
    before = file.read_text()
    file.write_text(yaml.safe_dump({**yaml.safe_load(before), key: value}))
    restart_agent(world)
    try:
        yield
    finally:
        file.write_text(before)
        restart_agent(world)


class Scenario:
    """A sandbox of its own in the shared world."""

    def __init__(self, world, name: str) -> None:
        self.world = world
        self.name = name
        self.path = f"sandboxes/{name.lower()}.yaml"

    def commit(self, services: str) -> None:
        self.world.commit({self.path: body(self.name, services)}, f"Change {self.name}")

    def write(self, text: str) -> None:
        """Edit the file in the working tree, and commit nothing."""
        (self.world.config / self.path).write_text(text)

    def remove(self) -> None:
        self.world.commit({self.path: None}, f"Remove {self.name}")

    def status(self) -> Any:
        try:
            return self.world.api(f"/api/sandboxes/{self.name}")
        except OSError:
            return {}

    def conditions(self) -> str:
        return str(self.status().get("conditions", ""))

    def ask(self, service: str) -> str:
        url = self.status().get("url") or ""
        port = url.rpartition(":")[2].partition("/")[0]
        return str(self.world.ask(int(port), f"{service}/hello").get("branch", "")) if port else ""

    def visit(self, service: str, page: str) -> None:
        """Ask a service for a page, which it notes in its log."""
        port = self.status()["url"].rpartition(":")[2].partition("/")[0]
        assert self.world.ask(int(port), f"{service}/{page}")

    def environment(self, service: str, *names: str) -> dict[str, str]:
        """Return the hashes that a service tells of its variables, and of its files."""
        port = int(self.status()["url"].rpartition(":")[2].partition("/")[0])
        asked = [("file" if name.startswith("/") else "variable", name) for name in names]
        query = urllib.parse.urlencode(asked)
        return dict(self.world.ask(port, f"{service}/environment?{query}"))

    def answers(self, service: str, branch: str, seconds: float = 90) -> None:
        self.world.until(
            lambda: self.ask(service) == branch, f"{self.name}/{service} answers {branch}", seconds
        )

    def synced(self, seconds: float = 90) -> None:
        def holds() -> bool:
            status = self.status()
            return (status.get("sync"), status.get("health")) == ("Synced", "Healthy")

        self.world.until(holds, f"{self.name} is Synced and Healthy", seconds)

    def container(self, service: str) -> str:
        name = f"sandbox-{self.name.lower()}-{service}"
        form = "{{.Id}} {{.State.Running}}"
        try:
            return str(self.world.engine.docker("inspect", "-f", form, name)).strip()
        except Exception:  # noqa: BLE001 -- whatever docker says, it is not there
            return ""

    def container_is_new(self, service: str, before: str) -> bool:
        now = self.container(service)
        return now.endswith("true") and now != before

    def push(self, service: str, branch: str) -> str:
        """Push a commit that no other scenario has: it has to be fetched and built."""
        said = identity(service, branch).decode() + f"\n// for {self.name}\n"
        files = {"identity.go": said}
        return str(self.world.company.push_branch(service, branch, files, f"For {self.name}"))

    def break_down(self, branch: str, kind: str) -> None:
        """Push a branch of account that can't serve, for this scenario alone to mend."""
        sources = (SOURCES / "branches" / kind).iterdir()
        files = {each.name: each.read_bytes() for each in sources}
        files["identity.go"] = identity("account", branch)
        self.world.company.push_branch("account", branch, files, f"Begin {branch}")

    def mend(self, service: str, branch: str) -> None:
        """Push what makes a broken branch serve again."""
        sound = (SOURCES / "service" / "health.go").read_bytes()
        self.world.company.push_branch(service, branch, {"health.go": sound}, "Mend it")

    def sync(self) -> None:
        done = self.world.sdp("sync", self.name)
        assert done.returncode == 0, done.stdout + done.stderr

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Return what the journal tells of one kind about this sandbox, oldest first."""
        return [event for event in self.journal() if event.get("kind") == kind]

    def journal(self) -> list[dict[str, Any]]:
        """Return all that the journal tells of this sandbox, oldest first."""
        with self.world.achmad.open("/api/events?follow=false&last_event_id=0") as answer:
            lines = answer.read().decode().splitlines()
        told = [json.loads(line.removeprefix("data: ")) for line in lines if line[:5] == "data:"]
        return [event for event in told if event.get("sandbox") == self.name]

    def drifts(self) -> str:
        return "\n".join(event["message"] for event in self.events("DRIFT"))
