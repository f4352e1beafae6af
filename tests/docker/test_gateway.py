"""A real Apache with mod_php: routes flip under load, edits are healed, broken files are refused."""

import asyncio
import contextlib
import os
import re
import socket
import uuid
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from sdp import clock
from sdp.agent import live_environment
from sdp.agent.apache import CAPABILITIES, ApacheGateways
from sdp.agent.dockerd import DockerEngine
from sdp.agent.engine import PORT, PROBE, Draft, Mount
from sdp.agent.gateway import Copies
from sdp.agent.recipes import Workshop
from sdp.agent.releases import MARKER
from sdp.protocol.actions import CopyGateway, GatewayRecipe, Probe, Recipe, Route
from sdp.protocol.frames import Failed, Outcome, Succeeded
from tests.testbed.engine import ensure_engine
from tests.testbed.images import GATEWAY, ensure_image
from tests.unit.agent.test_releases import Told

pytestmark = [pytest.mark.docker, pytest.mark.timeout(90)]

URL = os.environ.get("SDP_TEST_ENGINE", "unix:///var/run/docker.sock")
COMMIT = "c" * 40
FILE = "application/config/production/config.php"
RECIPE = GatewayRecipe(config=FILE, key="{service}_url", branch="develop")
COMMITTED = "<?php\n$config['account_url'] = 'http://ocp/account';\n"
TWICE = (
    f"{COMMITTED}if (getenv('OLD')) {{ $config['user_url'] = 'http://old'; }}\n"
    "$config['account_url'] = 'http://ocp/account';\n"
)
INDEX = f"<?php $config = []; require __DIR__ . '/{FILE}'; echo $config['account_url'], ';end';"


class World:
    """A sandbox's gateway, started from a copy; answers its account route in plain text."""

    def __init__(self, engine: DockerEngine, folder: Path, committed: str) -> None:
        self.engine = engine
        self.folder = folder
        self.release = folder / "release"
        self.sandbox = f"t{uuid.uuid4().hex[:8]}"
        self.port = free_port()
        self.access = folder / "access" / self.sandbox
        self.access.mkdir(parents=True)
        for name, text in ((FILE, committed), ("index.php", INDEX), (MARKER, "{}")):
            (self.release / name).parent.mkdir(parents=True, exist_ok=True)
            (self.release / name).write_text(text)
        shop = Workshop(folder / "caches", 10, 0)
        gateways = ApacheGateways(engine)
        self.copies = Copies(folder, self, gateways, Told(), shop, clock.now)

    def path(self, repository: str, commit: str, recipe: Recipe) -> Path:
        assert (repository, commit, recipe.kind) == ("gw", COMMIT, "gateway")
        return self.release

    def held(self, place: Path) -> contextlib.AbstractContextManager[bool]:
        return contextlib.nullcontext(enter_result=place == self.release)

    @property
    def root(self) -> Path:
        return self.folder / "copies" / self.sandbox / COMMIT

    @property
    def file(self) -> Path:
        return self.root / "tree" / FILE

    async def start(self, more: Mapping[str, str] | None = None) -> None:
        """Start it; ``more``: files that it is born with."""
        action = CopyGateway(
            sandbox=self.sandbox, repository="gw", commit=COMMIT, recipe=RECIPE, routes={}
        )
        assert await self.copies.copy(action, "d1") == Succeeded()
        await self.engine.create_network(self.sandbox, self.sandbox)
        probe = Probe(path="/erangel/index.php", deadline_seconds=20)
        draft = Draft(
            name=f"sandbox-{self.sandbox}-gateway",
            image=GATEWAY,
            labels={
                "sdp.sandbox": self.sandbox,
                "sdp.service": "gateway",
                "sdp.commit": COMMIT,
                PORT: str(self.port),
                PROBE: probe.model_dump_json(),
            },
            network=self.sandbox,
            environment={"CI_ENV": "production"},
            mounts=(
                Mount(self.root / "tree", "/var/www/html/erangel-ocean"),
                Mount(self.access, "/var/log/sdp", read_only=False),
            ),
            ports={80: self.port},
            keep=CAPABILITIES,
        )
        created = await self.engine.create(draft)
        await self.engine.put(created, {**live_environment.FILES, **(more or {})})
        await self.engine.start(created)
        async with asyncio.timeout(20):
            while await self.get() != "http://ocp/account;end":  # noqa: ASYNC110 - Apache tells nobody
                await asyncio.sleep(0.05)

    async def end(self) -> None:
        for key, item in (await self.engine.containers()).items():
            if self.sandbox in item.name:
                await self.engine.remove(key)
        await self.engine.remove_network(self.sandbox)

    async def get(self, ask: str = "GET /erangel/index.php HTTP/1.0\r\nHost: x\r\n\r\n") -> str:
        """Return the body of a 200 over a connection of its own, else what went wrong."""
        try:
            async with asyncio.timeout(5):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                with contextlib.closing(writer):
                    writer.write(ask.encode())
                    answer = (await reader.read()).decode()
        except (OSError, TimeoutError) as error:
            return f"failed: {error!r}"
        head, _, body = answer.partition("\r\n\r\n")
        return body if re.match(r"HTTP/1\.[01] 200 ", head) else f"failed: {head[:60]!r}"

    async def route(self, url: str | None) -> Outcome:
        return await self.copies.route(
            Route(sandbox=self.sandbox, service="account", key="account_url", url=url)
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def committed() -> str:
    """What the gateway's repository has as its config.php."""
    return COMMITTED


@pytest.fixture
async def world(tmp_path: Path, committed: str) -> AsyncIterator[World]:
    if URL.startswith("unix:///var/run/"):
        ensure_image(ensure_engine(tmp_path / "engine"), GATEWAY)
    engine = DockerEngine(URL, f"test-{uuid.uuid4().hex[:8]}", "gateway-186")
    world = World(engine, tmp_path, committed)
    try:
        await world.start()
        yield world
    finally:
        await world.end()
        engine.close()


async def test_route_is_visible_when_its_outcome_is_there(world: World) -> None:
    for url in ("http://vm:9001", "http://vm:9002", None):
        assert await world.route(url) == Succeeded()
        assert await world.get() == f"{url or 'http://ocp/account'};end"


async def test_hand_edit_is_kept_and_healed(world: World) -> None:
    edit = b"<?php $config['account_url'] = 'http://mine';"
    world.file.with_suffix(".mine").write_bytes(edit)
    world.file.with_suffix(".mine").replace(world.file)
    assert next(iter(world.copies.scan().values())).edited
    outcome = await world.route("http://vm:9001")
    assert isinstance(outcome, Succeeded)
    (kept,) = world.root.glob("edited-*.php")
    assert kept.read_bytes() == edit
    assert await world.get() == "http://vm:9001;end"
    assert not next(iter(world.copies.scan().values())).edited


@pytest.mark.parametrize("committed", [TWICE])
async def test_of_several_assignments_the_one_that_php_takes_is_patched(world: World) -> None:
    (found,) = world.copies.scan().values()
    assert [(each.kind, each.key, each.file, each.line) for each in found.problems] == [
        ("duplicate", "account_url", FILE, 2),
        ("conditional", "user_url", FILE, 3),
    ]
    assert await world.route("http://vm:9001") == Succeeded()
    assert await world.get() == "http://vm:9001;end"
    before, _, after = TWICE.rpartition("http://ocp/account")
    assert world.file.read_text() == f"{before}http://vm:9001{after}"


ENVIRONMENT = "<?php define('ENVIRONMENT', $_SERVER['CI_ENV'] ?? 'development'); ?>"


@pytest.mark.parametrize(
    ("htaccess", "live"), [("", "production"), ("SetEnv CI_ENV development", "development")]
)
async def test_environment_is_the_one_that_requests_really_see(
    world: World, htaccess: str, live: str
) -> None:
    tree = world.root / "tree"
    (tree / "index.php").write_text(ENVIRONMENT + INDEX)
    (tree / ".htaccess").write_text(f"{htaccess}\n")
    gateway = await ApacheGateways(world.engine).running(world.sandbox, COMMIT)
    assert gateway is not None
    assert await gateway.environment() == live
    assert await world.get() == "http://ocp/account;end"  # nobody else notices
    await world.copies.learn(world.sandbox)
    (found,) = world.copies.scan().values()
    told = [each.message for each in found.problems if each.kind == "environment"]
    assert len(told) == (live != "production")


async def test_environment_is_told_to_the_containers_own_loopback_only(world: World) -> None:
    ask = f"GET /erangel/index.php HTTP/1.0\r\nUser-Agent: {live_environment.AGENT}\r\n\r\n"
    assert live_environment.MARK not in await world.get(ask)


async def test_file_that_real_php_refuses_is_not_touched(world: World) -> None:
    """A parser that knows all versions takes it; the gateway's PHP 8 does not."""
    fatal = COMMITTED + "function f($a, $a) {}\n"
    gateway = await ApacheGateways(world.engine).running(world.sandbox, COMMIT)
    assert gateway is not None
    said = await gateway.lint(fatal.encode())
    assert said is not None
    assert "Redefinition of parameter" in said
    assert await gateway.lint(COMMITTED.encode()) is None
    generation = await gateway.generation()
    assert isinstance(generation, int)


async def test_gateway_that_breaks_on_a_route_gets_its_file_back(world: World) -> None:
    index = world.root / "tree" / "index.php"
    index.write_text(
        INDEX + " if (strpos($config['account_url'], 'bad')) http_response_code(500);"
    )
    outcome = await world.route("http://bad:9001")
    assert isinstance(outcome, Failed)
    assert outcome.reason == "GatewayBroken"
    assert await world.get() == "http://ocp/account;end"
    assert world.file.read_text() == COMMITTED


async def test_no_request_fails_or_is_stale_while_routes_flip_under_load(world: World) -> None:
    urls = [f"http://vm:{9001 + number}" for number in range(6)]
    allowed = {"http://ocp/account;end", *(f"{url};end" for url in urls)}
    answers: list[str] = []
    done = asyncio.Event()

    async def load() -> None:
        while not done.is_set():
            answers.append(await world.get())

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(load())
        for url in urls:
            assert await world.route(url) == Succeeded()
            assert [await world.get() for _ in range(5)] == [f"{url};end"] * 5
        done.set()
    assert len(answers) > 100
    assert [answer for answer in answers if answer not in allowed] == []
