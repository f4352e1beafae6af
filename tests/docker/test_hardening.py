"""What a container can't do, whatever runs in it; on a real engine, from outside and from inside."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sdp.agent.apache import CAPABILITIES
from sdp.agent.dockerd import PIDS
from sdp.agent.engine import EngineError
from sdp.protocol import actions
from sdp.protocol.frames import Succeeded
from tests.docker.test_containers import World as Services
from tests.docker.test_engine import sweep
from tests.testbed.engine import Engine, ensure_engine
from tests.testbed.images import GATEWAY, ensure_image

pytestmark = [pytest.mark.docker, pytest.mark.timeout(90)]

SOCKETS = "ls /var/run/docker.sock /run/docker.sock"
WITHOUT_END = "while :; do sleep 60 >/dev/null 2>&1 & done"
FIRST = "/proc/1/status"
COMMIT = "c" * 40


class World(Services):
    """A sandbox's service or gateway, and the docker command to look at it with."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.cli: Engine = ensure_engine(folder / "engine")

    async def start_gateway(self) -> None:
        ensure_image(self.cli, GATEWAY)
        (self.folder / "s" / COMMIT / "tree").mkdir(parents=True)
        action = actions.StartGateway(
            container=self.spec(
                image=GATEWAY, service="gateway", commit=COMMIT, container_port=80
            ),
            mount="/var/www/html/erangel-ocean",
            access_log="/var/log/sdp",
        )
        assert await self.containers.start_gateway(action) == Succeeded()

    def inspect(self) -> dict[str, object]:
        told: list[dict[str, object]] = json.loads(self.cli.docker("inspect", self.name))
        return told[0]

    async def inside(self, script: str) -> tuple[int, str]:
        argv = ("/bin/sh", "-c", script)
        code, said = await self.engine.execute(self.name, argv)
        return code, said.decode(errors="replace")

    async def capabilities(self) -> int:
        """Return what the first process could ever have, one bit each."""
        _, said = await self.inside(f"grep CapBnd: {FIRST}")
        return int(said.split()[1], 16)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    await made.engine.create_network(made.network, "s")
    try:
        yield made
    finally:
        await sweep(made.engine)
        made.engine.close()


def assert_confined(inspected: dict[str, object], keep: tuple[str, ...]) -> None:
    config = inspected["HostConfig"]
    assert isinstance(config, dict)
    assert config["SecurityOpt"] == ["no-new-privileges"]
    assert config["CapDrop"] == ["ALL"]
    assert config["CapAdd"] == (list(keep) or None)
    assert config["PidsLimit"] == PIDS
    assert config["Privileged"] is False
    assert config["Devices"] in ([], None)
    assert (config["PidMode"], config["UTSMode"], config["UsernsMode"]) == ("", "", "")
    assert config["IpcMode"] == "private"
    assert config["NetworkMode"] not in {"host", "default"}
    assert config["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}
    mounts = inspected["Mounts"]
    assert isinstance(mounts, list)
    assert not [each for each in mounts if "docker" in each["Source"].rpartition("/")[2]]


async def test_a_service_has_no_capability_and_nothing_of_the_host(world: World) -> None:
    assert await world.start() == Succeeded()
    inspected = world.inspect()
    assert_confined(inspected, ())
    mounts = inspected["Mounts"]
    assert isinstance(mounts, list)
    assert [(each["Destination"], each["RW"]) for each in mounts] == [("/src", False)]
    assert await world.capabilities() == 0
    code, said = await world.inside("echo x > /src/index.html")
    assert code != 0
    assert "Read-only" in said
    assert (await world.inside(SOCKETS))[0] != 0


async def test_a_gateway_has_the_capabilities_that_apache_needs_and_no_other(world: World) -> None:
    await world.start_gateway()
    inspected = world.inspect()
    assert_confined(inspected, CAPABILITIES)
    mounts = inspected["Mounts"]
    assert isinstance(mounts, list)
    writable = {each["Destination"]: each["RW"] for each in mounts}
    assert writable == {"/var/www/html/erangel-ocean": False, "/var/log/sdp": True}
    assert (await world.capabilities()).bit_count() == len(CAPABILITIES)
    code, said = await world.inside("touch /var/www/html/erangel-ocean/x")
    assert code != 0
    assert "Read-only" in said
    assert (await world.inside(SOCKETS))[0] != 0


async def test_a_setuid_program_gains_nothing(world: World) -> None:
    await world.start_gateway()
    assert (await world.inside("cp /usr/bin/id /tmp/id; chmod 4755 /tmp/id"))[0] == 0
    said = world.cli.docker("exec", "-u", "www-data", world.name, "/tmp/id")
    assert "www-data" in said
    assert "euid=0" not in said
    assert (await world.inside(f"grep NoNewPrivs: {FIRST}"))[1].split() == ["NoNewPrivs:", "1"]


async def test_a_fork_bomb_ends_at_the_bound_and_the_container_can_be_removed(
    world: World,
) -> None:
    assert await world.start() == Succeeded()
    code, _ = await world.inside(WITHOUT_END)  # no end but the one that it can fork no more
    assert code != 0
    assert (
        await world.containers.remove(actions.Remove(sandbox="s", container=world.name))
        == Succeeded()
    )


async def test_a_file_is_placed_in_the_container_whatever_links_are_there(world: World) -> None:
    assert await world.start() == Succeeded()
    assert (await world.inside("ln -s / /root-link; ln -s /../../.. /up"))[0] == 0
    name = f"placed-{world.instance}"
    for path in (f"/root-link/tmp/{name}", f"/up/tmp/{name}-2", f"/../../tmp/{name}-3"):
        with contextlib.suppress(EngineError):  # or it is refused
            await world.engine.put(world.name, {path: "x"})
    assert not any(Path(f"/tmp/{name}{more}").exists() for more in ("", "-2", "-3"))  # noqa: ASYNC240
    assert (await world.inside(f"cat /tmp/{name}"))[1] == "x"


async def test_no_file_is_placed_over_the_release(world: World) -> None:
    assert await world.start() == Succeeded()
    with pytest.raises(EngineError):
        await world.engine.put(world.name, {"/src/index.html": "changed"})
    assert (world.folder / "index.html").read_text() == "hello"
