"""Changes of config.php take effect whole or not at all, and nobody's edit is lost."""

import asyncio
import contextlib
import datetime
from pathlib import Path

import pytest

from sdp.agent.gateway import Copies
from sdp.agent.recipes import Workshop
from sdp.agent.releases import MARKER
from sdp.protocol.actions import CopyGateway, GatewayRecipe, Recipe, RemoveCopy, Route
from sdp.protocol.frames import Failed, Outcome, Succeeded
from tests.unit.agent.test_releases import Told

COMMIT = "a" * 40
FILE = "application/config/production/config.php"
BASE = "application/config/config.php"
RECIPE = GatewayRecipe(config=FILE, key="{service}_url", branch="develop")
COMMITTED = (
    b"\xef\xbb\xbf<?php\r\n$config['a_url'] = 'http://ocp/a';\r\n"
    b"$config['b_url'] = \"http://ocp/b\";\n$config['c_url'] = getenv('C');\n"
)
NOW = datetime.datetime(2026, 5, 1, tzinfo=datetime.UTC)


class FakeGateway:
    """Serves the file that it read at its last reload; ``sick`` contents make it answer 500."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.number = 1
        self.reloads = 0
        self.loaded = file.read_bytes()
        self.sick: bytes | None = None
        self.down = False
        self.silent = 0
        """How many answers stay out after a reload."""
        self.live = "production"
        self.invalid: bytes | None = None
        self.before_reload: asyncio.Event | None = None
        self.asked = asyncio.Event()

    async def lint(self, source: bytes) -> str | None:
        return "syntax error" if self.invalid and self.invalid in source else None

    async def graceful(self) -> str | None:
        self.asked.set()
        if self.before_reload is not None:
            await self.before_reload.wait()
        self.reloads += 1
        self.number += 1
        self.loaded = self.file.read_bytes()
        return None

    async def generation(self) -> int | None:
        return self.number

    async def environment(self) -> str:
        return self.live

    async def answer(self) -> int:
        if self.reloads and self.silent:
            self.silent -= 1
            return 0
        if self.down or (self.sick is not None and self.sick in self.loaded):
            return 500
        return 200


class World:
    def __init__(self, tmp: Path) -> None:
        self.tmp = tmp
        self.release = tmp / "release"
        for name, content in ((FILE, COMMITTED), ("index.php", b"<?php"), (MARKER, b"{}")):
            (self.release / name).parent.mkdir(parents=True, exist_ok=True)
            (self.release / name).write_bytes(content)
        self.gateway: FakeGateway | None = None
        self.going: Path | None = None
        self.copies = self.agent()

    def agent(self) -> Copies:
        shop = Workshop(self.tmp / "caches", 5, 0)
        copies = Copies(self.tmp, self, self, Told(), shop, lambda: NOW)
        copies.sweep()
        return copies

    def path(self, repository: str, commit: str, recipe: Recipe) -> Path:
        assert (repository, recipe.kind) == ("gw", "gateway")
        return self.release if commit == COMMIT else self.tmp / commit

    def held(self, place: Path) -> contextlib.AbstractContextManager[bool]:
        return contextlib.nullcontext(enter_result=place != self.going)

    async def running(self, sandbox: str, commit: str) -> FakeGateway | None:
        assert (sandbox.lower(), commit) == ("qa", COMMIT)
        return self.gateway

    @property
    def root(self) -> Path:
        return self.tmp / "copies" / "qa" / COMMIT

    @property
    def file(self) -> Path:
        return self.root / "tree" / FILE

    async def create(self, **routes: str) -> Outcome:
        outcome = await self.copies.copy(copy(routes), "d1")
        if isinstance(outcome, Succeeded):
            self.gateway = FakeGateway(self.file)
        return outcome

    async def route(self, key: str, url: str | None) -> Outcome:
        return await self.copies.route(
            Route(sandbox="QA", service=key.removesuffix("_url"), key=key, url=url)
        )

    @property
    def running_gateway(self) -> FakeGateway:
        assert self.gateway is not None
        return self.gateway

    def edit(self, content: bytes) -> None:
        self.file.with_suffix(".new").write_bytes(content)
        self.file.with_suffix(".new").replace(self.file)


def copy(routes: dict[str, str], **changes: str) -> CopyGateway:
    action = CopyGateway(
        sandbox="QA", repository="gw", commit=COMMIT, recipe=RECIPE, routes=routes
    )
    return action.model_copy(update=changes)


def reason(outcome: Outcome) -> str:
    assert isinstance(outcome, Failed), outcome
    return outcome.reason


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


async def test_copy_is_patched_before_anybody_sees_it_and_the_release_stays(world):
    assert await world.create(a_url="http://vm:9001") == Succeeded()
    assert world.file.read_bytes() == COMMITTED.replace(b"http://ocp/a", b"http://vm:9001")
    assert (world.release / FILE).read_bytes() == COMMITTED
    assert not (world.root / "tree" / MARKER).exists()
    (found,) = world.copies.scan().values()
    assert found.routes == {"a_url": "http://vm:9001", "b_url": "http://ocp/b"}
    assert found.defaults == {"a_url": "http://ocp/a", "b_url": "http://ocp/b"}
    assert not found.edited
    assert [(each.kind, each.key, each.file, each.line) for each in found.problems] == [
        ("not-literal", "c_url", FILE, 4)
    ]
    assert list(world.agent().scan()) == [f"QA/{COMMIT}"]


async def test_copy_that_exists_is_left_as_it_is(world):
    await world.create(a_url="http://vm:9001")
    assert await world.copies.copy(copy({}), "d2") == Succeeded(note="already there")
    assert b"http://vm:9001" in world.file.read_bytes()


async def test_copy_without_its_release_or_with_a_refused_route_leaves_nothing(world):
    outcome = await world.copies.copy(copy({}, commit="b" * 40), "d1")
    assert reason(outcome) == "ReleaseMissing"
    assert reason(await world.create(c_url="http://vm:9001")) == "RouteRefused"
    assert world.copies.scan() == {}
    assert list(world.tmp.glob("copies/*/*")) == []


@pytest.mark.parametrize("change", [{"sandbox": "../x"}, {"sandbox": "a/b"}, {"commit": "../.."}])
async def test_hostile_names_never_become_paths(world, change):
    assert reason(await world.copies.copy(copy({}, **change), "d1")) == "HostileName"
    removal = RemoveCopy(sandbox="qa", commit=COMMIT).model_copy(update=change)
    assert reason(await world.copies.remove(removal)) == "HostileName"


async def test_route_is_patched_reloaded_and_verified(world):
    await world.create()
    inode = world.file.stat().st_ino
    assert await world.route("a_url", "http://vm:9001") == Succeeded()
    assert world.running_gateway.loaded == COMMITTED.replace(b"http://ocp/a", b"http://vm:9001")
    assert world.running_gateway.reloads == 1
    assert world.file.stat().st_ino != inode
    (found,) = world.copies.scan().values()
    assert found.routes["a_url"] == "http://vm:9001"
    assert found.verified_at == NOW


async def test_route_back_to_ocp_restores_the_committed_bytes(world):
    await world.create(a_url="http://vm:9001", b_url="http://vm:9002")
    await world.route("a_url", None)
    await world.route("b_url", None)
    assert world.file.read_bytes() == COMMITTED


async def test_route_that_is_so_already_reloads_nothing(world):
    await world.create(a_url="http://vm:9001")
    assert await world.route("a_url", "http://vm:9001") == Succeeded(note="already so")
    assert world.running_gateway.reloads == 0


async def test_mode_of_the_file_is_kept_and_nothing_is_left_beside_it(world):
    (world.release / FILE).chmod(0o640)
    await world.create()
    await world.route("a_url", "http://vm:9001")
    assert world.file.stat().st_mode & 0o777 == 0o640
    assert [p.name for p in world.file.parent.iterdir()] == ["config.php"]


async def test_each_write_has_a_later_mtime_even_within_a_second(world):
    await world.create()
    times = [int(world.file.stat().st_mtime)]
    for port in (1, 2, 3):
        await world.route("a_url", f"http://vm:{port}")
        times.append(int(world.file.stat().st_mtime))
    assert times == sorted(set(times))


async def test_routes_that_arrive_together_are_one_reload_with_an_outcome_each(world):
    await world.create()
    world.running_gateway.before_reload = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(world.route("a_url", "http://vm:1"))
        await asyncio.sleep(0)
        asked = [
            group.create_task(world.route("a_url", "http://vm:2")),
            group.create_task(world.route("b_url", "http://vm:3")),
            group.create_task(world.route("c_url", "http://vm:4")),
            group.create_task(world.route("d_url", "http://vm:5")),
        ]
        await asyncio.sleep(0)
        world.running_gateway.before_reload.set()
    assert first.result() == Succeeded()
    assert [task.result().kind for task in asked] == ["succeeded", "succeeded", "failed", "failed"]
    assert world.running_gateway.reloads <= 2
    (found,) = world.copies.scan().values()
    assert found.routes == {"a_url": "http://vm:2", "b_url": "http://vm:3"}


async def test_a_gateway_that_breaks_gets_its_previous_bytes_back(world):
    await world.create()
    world.running_gateway.sick = b"vm:9001"
    outcome = await world.route("a_url", "http://vm:9001")
    assert reason(outcome) == "GatewayBroken"
    assert "500" in outcome.message
    assert world.file.read_bytes() == world.running_gateway.loaded == COMMITTED
    (found,) = world.copies.scan().values()
    assert (found.routes["a_url"], found.edited) == ("http://ocp/a", False)


@pytest.mark.parametrize(("silent", "told"), [(1, ""), (100, "GatewayBroken")])
async def test_a_gateway_is_broken_when_it_stays_silent_and_not_when_it_is_slow_once(
    world, silent, told
):
    await world.create()
    world.running_gateway.silent = silent
    outcome = await world.route("a_url", "http://vm:9001")
    assert (reason(outcome) if told else outcome) == (told or Succeeded())


async def test_a_gateway_that_was_down_before_is_not_blamed_on_the_route(world):
    await world.create()
    world.running_gateway.down = True
    assert await world.route("a_url", "http://vm:9001") == Succeeded()


async def test_file_that_the_gateways_php_refuses_is_not_touched(world):
    await world.create()
    world.running_gateway.invalid = b"ocp/b"
    assert reason(await world.route("a_url", "http://vm:9001")) == "InvalidPhp"
    assert world.file.read_bytes() == COMMITTED
    assert world.running_gateway.reloads == 0


async def test_patch_that_the_gateways_php_refuses_is_never_written(world):
    await world.create()
    world.running_gateway.invalid = b"vm:9001"
    assert reason(await world.route("a_url", "http://vm:9001")) == "InvalidPhp"
    assert world.file.read_bytes() == COMMITTED


@pytest.mark.parametrize(
    "content", [b"<?php $config['a_url'] = 'http://mine';", b"<?php broken(", b""]
)
async def test_hand_edit_is_reported_kept_and_healed(world, content):
    await world.create(b_url="http://vm:2")
    world.edit(content)
    (found,) = world.copies.scan().values()
    assert found.edited
    outcome = await world.route("a_url", "http://vm:9001")
    assert isinstance(outcome, Succeeded)
    (kept,) = world.root.glob("edited-*.php")
    assert kept.read_bytes() == content
    assert kept.name in outcome.note
    (healed,) = world.copies.scan().values()
    assert not healed.edited
    assert healed.routes == {"a_url": "http://vm:9001", "b_url": "http://vm:2"}


async def test_a_gateway_in_another_environment_is_told_and_known_after_a_restart(world):
    await world.create()
    await world.copies.learn("QA")
    (found,) = world.copies.scan().values()
    assert "environment" not in {each.kind for each in found.problems}
    world.running_gateway.live = "development"
    await world.copies.learn("QA")
    (found,) = world.agent().scan().values()
    (told,) = (each for each in found.problems if each.kind == "environment")
    assert (told.key, told.file) == ("", FILE)
    assert "runs as 'development', not 'production'" in told.message
    world.running_gateway.live = ""  # who can't tell now takes nothing back
    await world.copies.learn("QA")
    assert told in next(iter(world.copies.scan().values())).problems


async def test_removed_file_is_written_again(world):
    await world.create()
    world.file.unlink()
    assert next(iter(world.copies.scan().values())).edited
    assert isinstance(await world.route("a_url", None), Succeeded)
    assert world.file.read_bytes() == COMMITTED


async def test_undo_leaves_what_somebody_wrote_meanwhile(world):
    await world.create()
    gateway = world.running_gateway
    gateway.sick = b"vm:9001"
    gateway.before_reload = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(world.route("a_url", "http://vm:9001"))
        await world.running_gateway.asked.wait()
        world.edit(b"<?php // mine, vm:9001")
        gateway.before_reload.set()
    assert reason(task.result()) == "GatewayBroken"
    assert world.file.read_bytes() == b"<?php // mine, vm:9001"
    assert next(iter(world.copies.scan().values())).edited


async def test_change_that_was_interrupted_before_its_reload_is_not_reported_as_served(world):
    await world.create()
    world.running_gateway.before_reload = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(world.route("a_url", "http://vm:9001"))
        await world.running_gateway.asked.wait()
        task.cancel()
    (found,) = world.agent().scan().values()
    assert (found.routes["a_url"], found.edited) == ("http://ocp/a", False)
    world.running_gateway.before_reload.set()
    assert await world.route("a_url", "http://vm:9001") == Succeeded()
    assert b"vm:9001" in world.running_gateway.loaded
    (found,) = world.copies.scan().values()
    assert found.routes["a_url"] == "http://vm:9001"


async def test_key_that_lives_in_the_base_file_is_patched_there(world):
    (world.release / BASE).write_bytes(b"<?php $config['z_url'] = 'http://base/z';")
    assert await world.create(z_url="http://vm:9") == Succeeded()
    assert await world.route("z_url", "http://vm:10") == Succeeded()
    assert world.file.read_bytes() == COMMITTED
    base = world.root / "tree" / BASE
    assert base.read_bytes() == b"<?php $config['z_url'] = 'http://vm:10';"


async def test_without_a_running_gateway_the_file_is_patched_for_its_start(world):
    await world.create()
    world.gateway = None
    assert await world.route("a_url", "http://vm:9001") == Succeeded()
    assert next(iter(world.copies.scan().values())).routes["a_url"] == "http://vm:9001"


async def test_removed_copy_is_gone_with_its_empty_folder(world):
    await world.create()
    removal = RemoveCopy(sandbox="QA", commit=COMMIT)
    assert await world.copies.remove(removal) == Succeeded()
    assert await world.copies.remove(removal) == Succeeded()
    assert world.copies.scan() == {}
    assert list((world.tmp / "copies").iterdir()) == []
    assert reason(await world.route("a_url", None)) == "CopyMissing"


async def test_the_access_log_goes_with_the_last_copy(world):
    access = world.tmp / "access" / "qa"
    access.mkdir(parents=True)
    (access / "access.log").write_text("GET /")
    await world.create()
    other = world.tmp / "copies" / "qa" / ("f" * 40)
    other.mkdir()
    await world.copies.remove(RemoveCopy(sandbox="QA", commit=COMMIT))
    assert access.is_dir()
    await world.copies.remove(RemoveCopy(sandbox="QA", commit="f" * 40))
    assert not access.exists()


async def test_what_a_sandbox_that_is_gone_left_behind_goes_at_start(world):
    await world.create()
    for name in ("qa", "gone"):
        (world.tmp / "access" / name).mkdir(parents=True)
    (world.tmp / "copies" / "empty").mkdir()
    world.agent()
    assert [each.name for each in (world.tmp / "access").iterdir()] == ["qa"]
    assert [each.name for each in (world.tmp / "copies").iterdir()] == ["qa"]


async def test_what_a_crash_left_beside_a_written_file_is_swept_and_the_file_stays(world):
    await world.create()
    left = [folder / ".sdp-tmp-1" for folder in (world.file.parent, world.root / "kept")]
    for file in left:
        file.write_bytes(b"half")
    world.agent()
    assert [file.exists() for file in (*left, world.file)] == [False, False, True]


async def test_no_copy_is_made_of_a_release_that_is_being_removed(world):
    world.going = world.release
    assert reason(await world.create()) == "ReleaseMissing"


async def test_half_a_copy_is_swept_and_made_anew(world):
    (world.root / "tree").mkdir(parents=True)
    half = world.root.with_name(".sdp-tmp-1")
    half.mkdir()
    world.copies = world.agent()
    assert not half.exists()
    assert await world.create() == Succeeded()
    assert world.file.read_bytes() == COMMITTED


async def test_config_that_links_out_of_the_copy_is_refused(world):
    outside = world.tmp / "outside.php"
    outside.write_bytes(COMMITTED)
    (world.release / FILE).unlink()
    (world.release / FILE).symlink_to(outside)
    assert isinstance(await world.create(a_url="http://vm:1"), Failed)
    assert outside.read_bytes() == COMMITTED
