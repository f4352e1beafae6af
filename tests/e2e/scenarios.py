"""A sandbox of a scenario: what it commits, and what is seen of it from outside."""

from typing import Any


def body(name: str, services: str) -> str:
    return f"sandbox: {name}\ngateway: {{branch: develop}}\nservices: {{{services}}}\n"


class Scenario:
    """A sandbox of its own in the shared world."""

    def __init__(self, world, name: str) -> None:
        self.world = world
        self.name = name
        self.path = f"sandboxes/{name.lower()}.yaml"

    def commit(self, services: str) -> None:
        self.world.commit({self.path: body(self.name, services)}, f"Change {self.name}")

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
