"""Ports: pinned, given out, kept, given back; and whoever else has one is named."""

import contextlib
import json
import os
import socket
from typing import Any

import pytest
import yaml

from tests.e2e.scenarios import Scenario, body
from tests.testbed import images

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@contextlib.contextmanager
def neighbour(world, name: str):
    """A sandbox of somebody else."""
    other = Scenario(world, name)
    try:
        yield other
    finally:
        if (world.config / other.path).exists():
            other.remove()


@contextlib.contextmanager
def stranger(port: int):
    """A process of ours that is none of the platform's."""
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("0.0.0.0", port))
        made.listen()
        yield f"(pid {os.getpid()})"


@contextlib.contextmanager
def strange_container(world, port: int):
    """A container that somebody started by hand."""
    name = f"{world.instance}-stranger"
    words = ("run", "-d", "--name", name, "-p", f"{port}:80", images.RUNTIME, "sleep", "600")
    try:
        world.engine.docker(*words)
        yield f"container {name} (image {images.RUNTIME})"
    finally:
        world.engine.docker("rm", "-f", name)


@contextlib.contextmanager
def few_ports(world, first: int, last: int):
    """For a while, services are given these ports alone."""
    before = (world.config / "platform.yaml").read_text()
    spec = yaml.safe_load(before)
    spec["ports"]["services"] = {"first": first, "last": last}
    world.commit({"platform.yaml": yaml.safe_dump(spec, sort_keys=False)}, "Narrow the ports")
    try:
        yield
    finally:
        world.commit({"platform.yaml": before}, "Widen the ports again")


def told(scenario, *words: str) -> None:
    """A hold of the sandbox says all this."""
    scenario.world.until(
        lambda: all(word in scenario.conditions() for word in ("PortConflict", *words)),
        f"{scenario.name} is told of {words}",
    )


def table(world) -> Any:
    done = world.sdp("ports", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def ports_of(scenario) -> dict[str, int]:
    return {
        service["name"]: service["port"]
        for service in scenario.status()["services"]
        if service["port"]
    }


def lowest(world) -> int:
    """The port that the next service is given, when what other scenarios had is given back."""

    def nobody_has_any():
        now = table(world)
        return now["ports"] == [] == now["strangers"]

    world.until(nobody_has_any, "all ports are given back")
    ranges = {each["node"]: each for each in table(world)["ranges"]}
    return int(ranges["micro-92"]["lowest"])


def test_two_pins_of_one_port(scenario, world):
    port = world.ports.services[1] - 1
    pin = f"account: {{branch: feature/limits, port: {port}}}"
    scenario.commit(pin)
    scenario.answers("account", "feature/limits")
    scenario.synced()
    with neighbour(world, "AAA-PINS-TOO") as other:
        other.commit(pin)
        told(other, f"{scenario.name}/account", "sdp ports")
        uses = {e["sandbox"]: e["use"] for e in table(world)["ports"] if e["port"] == port}
        assert uses == {scenario.name: "running", other.name: "waits"}
        assert scenario.ask("account") == "feature/limits"
        scenario.commit("account: {branch: feature/limits}")
        other.answers("account", "feature/limits")
        other.synced()
        assert ports_of(other)["account"] == port
        scenario.answers("account", "feature/limits")
        assert ports_of(scenario)["account"] != port


def test_two_that_exchange_their_pins_serve_all_the_while(scenario, world):
    first, second = world.ports.services[1] - 4, world.ports.services[1] - 5
    pin = "account: {{branch: feature/limits, port: {}}}"
    with neighbour(world, "EXCHANGES-ITS-PIN") as other:
        scenario.commit(pin.format(first))
        other.commit(pin.format(second))
        for each in (scenario, other):
            each.answers("account", "feature/limits")
            each.synced()
        texts = {
            scenario.path: body(scenario.name, pin.format(second)),
            other.path: body(other.name, pin.format(first)),
        }
        world.commit(texts, "Exchange two pins")

        def exchanged() -> bool:
            assert scenario.ask("account") == other.ask("account") == "feature/limits"
            now = [ports_of(each).get("account") for each in (scenario, other)]
            return now == [second, first]

        world.until(exchanged, "each has the other's port, and serves all the while", 90)
        scenario.synced()
        other.synced()


def test_a_pin_comes_before_an_allocated_port_and_nobody_is_interrupted(scenario, world):
    scenario.commit("account: {branch: feature/login-error}")
    scenario.answers("account", "feature/login-error")
    scenario.synced()
    port = ports_of(scenario)["account"]
    with neighbour(world, "PINS-WHAT-IS-GIVEN") as other:
        other.commit(f"account: {{branch: feature/limits, port: {port}}}")

        def pinned_serves():
            assert scenario.ask("account") == "feature/login-error"
            return other.ask("account") == "feature/limits"

        world.until(pinned_serves, "the pin has its port, and the other serves all the while", 90)
        scenario.synced()
        assert ports_of(other)["account"] == port
        assert ports_of(scenario)["account"] != port
        assert scenario.drifts() == ""


def test_a_gateway_keeps_its_port_against_a_pin(scenario, world):
    scenario.commit("account: {use_ocp: true}")
    scenario.synced()
    port = ports_of(scenario)["gateway"]
    with neighbour(world, "PINS-A-GATEWAY") as other:
        body = f"sandbox: {other.name}\ngateway: {{branch: develop, port: {port}}}\n"
        world.commit({other.path: body}, "Pin the port of a gateway")
        told(other, f"{scenario.name}/gateway", str(port))
        free = world.ports.gateways[1]
        world.commit({other.path: body.replace(str(port), str(free))}, "Pin a free one")
        other.synced()
        assert other.status()["url"].endswith(f":{free}/erangel/")
    assert ports_of(scenario)["gateway"] == port


def test_an_allocated_port_stays_over_restarts_and_a_suspension(scenario, world):
    scenario.commit("account: {branch: feature/login-error}")
    scenario.answers("account", "feature/login-error")
    scenario.synced()
    before = ports_of(scenario)
    world.kill("control-plane")
    world.kill("micro-92")
    world.start_control_plane()
    world.start_agent("micro-92")
    scenario.synced()
    assert ports_of(scenario) == before
    awake = (world.config / scenario.path).read_text()
    world.commit({scenario.path: f"{awake}lifecycle: {{suspended: true}}\n"}, "Suspend it")
    world.until(lambda: scenario.status().get("health") == "Suspended", "it sleeps")
    world.until(lambda: scenario.container("account").endswith("false"), "it is stopped")
    with neighbour(world, "COMES-MEANWHILE") as other:
        other.commit("account: {branch: feature/login-error}")
        other.synced()
        assert ports_of(other)["account"] != before["account"]
        world.commit({scenario.path: awake}, "Resume it")
        scenario.answers("account", "feature/login-error")
        scenario.synced()
        assert ports_of(scenario) == before


def test_a_range_that_is_used_up(scenario, world):
    first = world.ports.services[0] + 150
    with few_ports(world, first, first), neighbour(world, "HAS-THE-LAST-ONE") as other:
        other.commit("account: {branch: feature/login-error}")
        other.synced()
        scenario.commit("account: {branch: feature/limits}")
        told(scenario, f"{first}-{first}", f"{other.name}/account", "widen ports:")
        (span,) = (each for each in table(world)["ranges"] if each["node"] == "micro-92")
        assert (span["free"], span["lowest"]) == (0, None)
        other.remove()
        scenario.answers("account", "feature/limits")
        scenario.synced()
        assert ports_of(scenario)["account"] == first


def waits_for_a_pinned_port(scenario, world, port: int, party) -> None:
    with party as name:
        scenario.commit(f"account: {{branch: feature/limits, port: {port}}}")
        told(scenario, f"port {port} of micro-92", name)
        assert name in world.sdp("ports", "--node", "micro-92").stdout
    scenario.answers("account", "feature/limits")
    scenario.synced()
    assert ports_of(scenario)["account"] == port


def test_a_process_on_a_pinned_port(scenario, world):
    port = world.ports.services[1] - 2
    waits_for_a_pinned_port(scenario, world, port, stranger(port))


def test_a_container_on_a_pinned_port(scenario, world):
    port = world.ports.services[1] - 3
    waits_for_a_pinned_port(scenario, world, port, strange_container(world, port))


def passes_over(scenario, port: int, party) -> None:
    """The agent may not have seen the party yet: then the start fails once, and goes elsewhere."""
    with party:
        scenario.commit("account: {branch: feature/limits}")
        scenario.answers("account", "feature/limits")
        scenario.synced()
        assert ports_of(scenario)["account"] > port


def test_a_process_on_the_lowest_free_port(scenario, world):
    port = lowest(world)
    passes_over(scenario, port, stranger(port))


def test_a_container_on_the_lowest_free_port(scenario, world):
    port = lowest(world)
    passes_over(scenario, port, strange_container(world, port))


def test_a_stranger_that_comes_while_a_sandbox_sleeps(scenario, world):
    scenario.commit("account: {branch: feature/limits}")
    scenario.synced()
    port = ports_of(scenario)["account"]
    awake = (world.config / scenario.path).read_text()
    world.commit({scenario.path: f"{awake}lifecycle: {{suspended: true}}\n"}, "Suspend it")
    world.until(lambda: scenario.container("account").endswith("false"), "it is stopped")
    with stranger(port):
        world.commit({scenario.path: awake}, "Resume it")
        scenario.answers("account", "feature/limits")
        scenario.synced()
        assert ports_of(scenario)["account"] != port
