"""Containers on a real engine: start, gate, admit, remove, and each way that a start fails."""

import socket
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sdp.agent import probe
from sdp.agent.containers import Containers, Place
from sdp.agent.dockerd import DockerEngine
from sdp.agent.engine import Draft, Mount
from sdp.agent.seals import Plaintext
from sdp.agent.strangers import Strangers
from sdp.protocol import actions
from sdp.protocol.actions import ContainerSpec, GoRecipe, Limits, Probe, StartService
from sdp.protocol.frames import Failed, Outcome, Succeeded
from tests.docker.test_engine import IMAGE, URL, sweep
from tests.testbed.engine import ensure_engine

pytestmark = [pytest.mark.docker, pytest.mark.timeout(60)]

SERVES = "#!/bin/sh\necho up\nexec /bin/busybox httpd -f -p 8080 -h /src\n"
CRASHES = "#!/bin/sh\necho broken\nexit 3\n"


class Lines:
    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []

    def lines(self, deployment: str, stage: str, lines: tuple[str, ...]) -> None:
        self.told += [(deployment, stage, line) for line in lines]


class World:
    def __init__(self, folder: Path) -> None:
        self.instance = f"test-{uuid.uuid4().hex[:10]}"
        self.engine = DockerEngine(URL, self.instance, "micro-92")
        self.lines = Lines()
        self.folder = folder
        place = Place("micro-92", self.instance, folder, folder, folder)
        self.containers = Containers(self.engine, place, self.lines, Strangers(self.engine))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.name = f"sandbox-{self.instance}-account"
        self.network = f"sandbox-{self.instance}"
        self.probe = Probe(path="/", deadline_seconds=5)
        self.opened = Plaintext()

    def spec(self, **changes: object) -> ContainerSpec:
        spec = ContainerSpec(
            name=self.name,
            image=IMAGE,
            sandbox="s",
            service="account",
            commit="c1",
            branch="main",
            hash="h1",
            peers="",
            generation="1",
            deployment="d",
            network=self.network,
            container_port=8080,
            host_port=self.port,
            environment={},
            files={},
            limits=Limits(memory_bytes=64 << 20),
            probe=self.probe,
        )
        return spec.model_copy(update=changes)

    async def start(self, script: str = SERVES, **changes: object) -> Outcome:
        (self.folder / "index.html").write_text("hello")
        program = self.folder / "app-account"
        program.write_text(script)
        program.chmod(0o755)
        recipe = GoRecipe(service="account", package=".", flags=(), environment={})
        action = StartService(container=self.spec(**changes), repository="account", recipe=recipe)
        return await self.containers.start_service(action, self.folder, self.opened)

    async def gate(self) -> Outcome:
        return await self.containers.gate(
            actions.Gate(sandbox="s", container=self.name, probe=self.probe)
        )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    await made.engine.create_network(made.network, "s")
    try:
        yield made
    finally:
        await sweep(made.engine)
        made.engine.close()


async def test_service_starts_is_admitted_and_leaves_with_its_lines(world: World) -> None:
    assert await world.start() == Succeeded()
    assert await world.start() == Succeeded()
    assert isinstance(await world.gate(), Succeeded)
    admit = actions.Admit(
        sandbox="s", container=world.name, network=world.network, alias="account"
    )
    assert await world.containers.admit(admit) == Succeeded()
    assert (await probe.ask(world.port, "/")).healthy
    seen = await world.engine.inspect(world.name)
    assert seen is not None
    assert "account" in seen.aliases[world.network]
    remove = actions.Remove(sandbox="s", container=world.name)
    assert await world.containers.remove(remove) == Succeeded()
    assert ("d", "stop container", "up") in world.lines.told
    assert await world.containers.remove(remove) == Succeeded(note="already gone")


async def test_a_restart_is_the_same_container_started_anew_and_once(world: World) -> None:
    assert await world.start() == Succeeded()
    before = await world.engine.inspect(world.name)
    assert before is not None
    restart = actions.Restart(sandbox="s", container=before.id, started_at=before.started_at)
    assert await world.containers.restart(restart) == Succeeded()
    after = await world.engine.inspect(world.name)
    assert after is not None
    assert (after.id, after.state) == (before.id, "running")
    assert after.started_at != before.started_at
    assert isinstance(await world.gate(), Succeeded)
    assert await world.containers.restart(restart) == Succeeded()
    assert await world.engine.inspect(world.name) == after
    await world.engine.remove(world.name)
    gone = await world.containers.restart(restart)
    assert isinstance(gone, Failed)
    assert gone.reason == "ContainerGone"


async def test_crash_fails_the_gate_at_once_with_its_lines(world: World) -> None:
    assert await world.start(CRASHES) == Succeeded()
    outcome = await world.gate()
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.terminal) == ("Crashed", True)
    assert "broken" in outcome.lines


async def test_taken_port_names_who_holds_it_and_leaves_nothing(world: World) -> None:
    with socket.socket() as holder:
        holder.bind(("0.0.0.0", world.port))
        holder.listen()
        outcome = await world.start()
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.terminal) == ("PortTaken", False)
    assert "pid" in outcome.message
    assert await world.engine.containers() == {}


async def test_port_of_somebody_elses_container_names_it_with_its_image(world: World) -> None:
    name, published = f"{world.instance}-web", f"{world.port}:80"
    engine = ensure_engine(world.folder)
    engine.docker("run", "-d", "--name", name, "-p", published, IMAGE, "sleep", "600")
    try:
        outcome = await world.start()
    finally:
        engine.docker("rm", "-f", name)
    assert isinstance(outcome, Failed)
    said = f"is taken by container {name} (image {IMAGE})"
    assert outcome.message == f"port {world.port} on micro-92 {said}"
    assert await world.start() == Succeeded()


async def test_port_of_another_instance_names_that(world: World) -> None:
    other = DockerEngine(URL, f"{world.instance}-other", "micro-92")
    try:
        draft = Draft(
            f"{world.name}-b", IMAGE, {}, world.network, ("sleep", "9"), ports={80: world.port}
        )
        await other.start(await other.create(draft))
        outcome = await world.start()
    finally:
        await sweep(other)
        other.close()
    assert isinstance(outcome, Failed)
    assert (
        f"container {world.name}-b of {world.instance}-other on node micro-92" in outcome.message
    )


async def test_missing_image_says_what_to_bring(world: World) -> None:
    outcome = await world.start(image="sdp-test/absent:1")
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.terminal) == ("ImageMissing", True)
    assert "docker save sdp-test/absent:1" in outcome.fix


async def test_other_hash_under_the_same_name_is_not_adopted(world: World) -> None:
    assert await world.start() == Succeeded()
    outcome = await world.start(hash="h2")
    assert isinstance(outcome, Failed)
    assert outcome.reason == "NameInUse"


async def test_what_was_opened_is_in_the_containers_environment_and_files(world: World) -> None:
    world.opened = Plaintext({"SECRET": "it's $HOME"}, {"/etc/tls/key.pem": "line\nline\n"})
    plain = {"MODE": "qa", "SECRET": "not this"}
    assert await world.start(environment=plain, files={"/etc/a": "a"}) == Succeeded()
    told = 'printf "%s|%s|" "$MODE" "$SECRET"; cat /etc/a /etc/tls/key.pem'
    argv = ("/bin/sh", "-c", told)
    assert await world.engine.execute(world.name, argv) == (0, b"qa|it's $HOME|aline\nline\n")
    seen = await world.engine.inspect(world.name)
    assert seen is not None
    assert "SECRET" not in str(seen.labels)
    assert "HOME" not in repr(seen)


async def test_a_container_that_was_only_created_gets_its_files_before_it_starts(
    world: World,
) -> None:
    world.opened = Plaintext({}, {"/etc/key": "k"})
    release = world.folder / "app-account"
    release.write_text(SERVES)
    release.chmod(0o755)
    half = Draft(
        name=world.name,
        image=IMAGE,
        labels={"sdp.hash": "h1", "sdp.sandbox": "s", "sdp.service": "account"},
        network=world.network,
        command=("/src/app-account",),
        mounts=(Mount(world.folder, "/src"),),
    )
    await world.engine.create(half)
    assert await world.start() == Succeeded()
    assert await world.engine.execute(world.name, ("/bin/cat", "/etc/key")) == (0, b"k")
