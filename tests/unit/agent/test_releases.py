"""Releases are whole or absent, made once, and say why when they can't be made."""

import asyncio
import json
from pathlib import Path

import pytest

from sdp.agent.recipes import Workshop
from sdp.agent.releases import MARKER, Releases
from sdp.agent.repositories import Repositories
from sdp.protocol.actions import Build, GatewayRecipe, GoRecipe, Recipe, RemoveRelease
from sdp.protocol.frames import Failed, Succeeded
from sdp.protocol.identity import recipe_key, release_key
from tests.unit.agent.repositories import Origin

CONFIG = "application/config/production/config.php"
GO = GoRecipe(service="account", package=".", flags=(), environment={"CGO_ENABLED": "0"})
GATEWAY = GatewayRecipe(config=CONFIG, key="{service}_url", branch="develop")


def removal(commit: str) -> RemoveRelease:
    return RemoveRelease(repository="r", commit=commit, recipe=recipe_key(GO))


async def nobody() -> set[Path]:
    return set()


class Told:
    """A journal in memory; ``spoken`` is set by the first line."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.said: list[tuple[str, str, str]] = []
        self.spoken = asyncio.Event()

    def started(self, deployment: str, stage: str) -> None:
        self.stages.append(f"{deployment} {stage} started")

    def finished(self, deployment: str, stage: str, note: str = "") -> None:
        self.stages.append(f"{deployment} {stage} finished {note}".rstrip())

    def failed(self, deployment: str, stage: str, note: str) -> None:
        self.stages.append(f"{deployment} {stage} failed: {note}")

    def lines(self, deployment: str, stage: str, lines: tuple[str, ...]) -> None:
        self.said += [(deployment, stage, line) for line in lines]
        self.spoken.set()


class World:
    """A node whose ``go`` is a shell script of the test's: it runs in the tree."""

    def __init__(self, tmp: Path) -> None:
        self.tmp = tmp
        self.state = tmp / "state"
        self.told = Told()
        self.origin = Origin(tmp / "origin")
        self.tools = tmp / "bin"
        self.tools.mkdir()
        self.path = f"{self.tools}:/usr/bin:/bin"
        self.go('[ "$1" = build ] && echo built > app-account || echo go version 1')

    def go(self, script: str) -> None:
        (self.tools / "go").write_text(f"#!/bin/sh\n{script}\n")
        (self.tools / "go").chmod(0o755)

    def agent(self) -> Releases:
        clone = self.tmp / "clone"
        if not clone.exists():
            self.origin.clone(clone)
        repositories = Repositories({"r": clone}, self.state, self.told)
        shop = Workshop(self.state / "caches", 4, 0, self.path)
        releases = Releases(self.state, repositories, self.told, shop, 2)
        releases.sweep()
        return releases

    def build(self, commit: str, recipe: Recipe = GO) -> Build:
        return Build(repository="r", commit=commit, recipe=recipe)

    def leftovers(self) -> list[Path]:
        return [p for p in self.state.glob("releases/*/*/*") if not (p / MARKER).is_file()]


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


async def test_release_is_built_told_and_scanned(world):
    releases, first = world.agent(), world.origin.first
    assert await releases.build(world.build(first), "d1") == Succeeded()
    place = releases.path("r", first, GO)
    assert (place / "app-account").read_text() == "built\n"
    assert (place / "README").read_text() == "first\n"
    assert world.told.stages == [
        "d1 git checkout started",
        "d1 git checkout finished",
        "d1 go build started",
        "d1 go build finished",
    ]
    assert list(releases.scan()) == [release_key("r", first, GO)]
    assert world.agent().scan() == releases.scan()


async def test_second_request_builds_nothing(world):
    releases, first = world.agent(), world.origin.first
    await releases.build(world.build(first), "d1")
    world.go("exit 1")
    assert await releases.build(world.build(first), "d2") == Succeeded()


async def test_requests_at_once_share_one_build_and_its_failure(world):
    world.go(f"echo x >> {world.tmp}/runs; echo ./main.go:1:2: broken; exit 1")
    releases, action = world.agent(), world.build(world.origin.first)
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(releases.build(action, f"d{n}")) for n in range(3)]
    assert {task.result().kind for task in asked} == {"failed"}
    assert (world.tmp / "runs").read_text() == "x\n"


async def test_compile_failure_is_terminal_and_tells_the_first_compiler_line(world):
    world.go("echo '# acme/account'; echo './main.go:7:2: undefined: x' >&2; exit 2")
    outcome = await world.agent().build(world.build(world.origin.first), "d1")
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.terminal) == ("BuildFailed", True)
    assert "./main.go:7:2: undefined: x" in outcome.message
    assert set(outcome.lines) == {"# acme/account", "./main.go:7:2: undefined: x"}
    assert world.told.stages[-1].startswith("d1 go build failed: ")
    assert world.leftovers() == []


async def test_missing_go_names_the_tool_and_the_fix(world):
    world.path = str(world.tmp / "empty") + ":/nowhere"
    outcome = await world.agent().build(world.build(world.origin.first), "d1")
    assert isinstance(outcome, Failed)
    assert outcome.reason == "ToolMissing"
    assert outcome.terminal
    assert "install Go" in outcome.fix


async def test_full_disk_is_retryable(world):
    world.go("echo 'write app: no space left on device'; exit 1")
    outcome = await world.agent().build(world.build(world.origin.first), "d1")
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.terminal) == ("DiskFull", False)
    assert outcome.fix


async def test_unvendored_dependency_is_told_with_its_remedy(world):
    world.go("echo 'main.go:3:8: module lookup disabled by GOPROXY=off'; exit 1")
    outcome = await world.agent().build(world.build(world.origin.first), "d1")
    assert isinstance(outcome, Failed)
    assert "go mod vendor" in outcome.fix


async def test_cancelled_build_leaves_no_release(world):
    world.go("echo begun; sleep 60")
    releases = world.agent()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(releases.build(world.build(world.origin.first), "d1"))
        await world.told.spoken.wait()
        task.cancel()
    assert releases.scan() == {}
    assert world.leftovers() == []
    world.go("echo built > app-account")
    assert await releases.build(world.build(world.origin.first), "d2") == Succeeded()


async def test_what_a_crash_left_is_swept_and_is_no_release(world):
    releases, first = world.agent(), world.origin.first
    place = releases.path("r", first, GO)
    for half in (place.with_name(".sdp-tmp-1"), place):
        half.mkdir(parents=True)
        (half / "file").write_text("x")
    again = world.agent()
    assert not place.with_name(".sdp-tmp-1").exists()
    assert again.scan() == {}
    assert await again.build(world.build(first), "d1") == Succeeded()
    assert not (place / "file").exists()


async def test_same_commit_by_another_recipe_is_another_release(world):
    other = GO.model_copy(update={"flags": ("-race",)})
    releases, first = world.agent(), world.origin.first
    await releases.build(world.build(first), "d1")
    await releases.build(world.build(first, other), "d2")
    assert set(releases.scan()) == {release_key("r", first, GO), release_key("r", first, other)}


async def test_removed_release_is_gone_and_others_stay(world):
    other = GO.model_copy(update={"flags": ("-race",)})
    releases, first = world.agent(), world.origin.first
    await releases.build(world.build(first), "d1")
    await releases.build(world.build(first, other), "d2")
    assert await releases.remove(removal(first), nobody) == Succeeded()
    hostile = RemoveRelease(repository="..", commit="..", recipe="..")
    assert await releases.remove(hostile, nobody) == Succeeded(note="already gone")
    assert list(releases.scan()) == [release_key("r", first, other)]
    assert world.leftovers() == []


async def test_a_release_that_a_container_has_is_not_removed(world):
    releases, first = world.agent(), world.origin.first
    await releases.build(world.build(first), "d1")
    place = releases.path("r", first, GO)

    async def mounted() -> set[Path]:
        return {place.resolve()}

    refused = await releases.remove(removal(first), mounted)
    assert isinstance(refused, Failed)
    assert refused.reason == "ReleaseInUse"
    assert (place / "app-account").is_file()


async def test_a_release_that_is_about_to_be_used_is_not_removed(world):
    releases, first = world.agent(), world.origin.first
    await releases.build(world.build(first), "d1")
    with releases.held(releases.path("r", first, GO)) as there:
        assert there
        assert isinstance(await releases.remove(removal(first), nobody), Failed)
    assert await releases.remove(removal(first), nobody) == Succeeded()


async def test_nobody_begins_to_use_what_is_being_removed(world):
    releases, first = world.agent(), world.origin.first
    await releases.build(world.build(first), "d1")

    async def somebody_comes() -> set[Path]:
        with releases.held(releases.path("r", first, GO)) as there:
            assert not there
        return set()

    assert await releases.remove(removal(first), somebody_comes) == Succeeded()


async def test_what_a_release_takes_on_the_disk_is_told(world):
    world.go('[ "$1" = build ] && head -c 100000 /dev/zero > app-account || echo go version 1')
    releases, first = world.agent(), world.origin.first
    await releases.build(world.build(first), "d1")
    (release,) = releases.scan().values()
    assert release.bytes >= 100_000


async def test_empty_folders_of_commits_go_at_start(world):
    releases, first = world.agent(), world.origin.first
    await releases.build(world.build(first), "d1")
    await releases.remove(removal(first), nobody)
    world.agent()
    assert list((world.state / "releases" / "r").iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [
        {"repository": "../r"},
        {"commit": "main"},
        {"recipe": GO.model_copy(update={"service": "../x"})},
        {"recipe": GO.model_copy(update={"package": "../.."})},
        {"recipe": GO.model_copy(update={"package": "none"})},
        {"repository": "unknown"},
    ],
)
async def test_hostile_or_wrong_names_are_refused_for_good(world, change):
    action = world.build(world.origin.first).model_copy(update=change)
    outcome = await world.agent().build(action, "d1")
    assert isinstance(outcome, Failed)
    assert outcome.terminal
    assert world.leftovers() == []


async def test_gateway_release_holds_the_committed_routes_of_both_files(world):
    commit = world.origin.commit(
        {
            "application/config/config.php": "<?php $config['a_url'] = 'http://base';"
            "$config['b_url'] = 'http://base-b';",
            CONFIG: "<?php $config['a_url'] = 'http://ocp-a'; $config['c_url'] = getenv('C');",
        },
        "develop",
    )
    releases = world.agent()
    assert await releases.build(world.build(commit, GATEWAY), "d1") == Succeeded()
    (release,) = releases.scan().values()
    assert release.defaults == {"a_url": "http://ocp-a", "b_url": "http://base-b"}
    assert [(each.kind, each.key) for each in release.problems] == [("not-literal", "c_url")]
    assert any("composer install skipped" in line for _, _, line in world.told.said)
    noted = json.loads((world.state / ".sdp" / "ocp-defaults.json").read_text())
    assert noted["r"]["develop"] == {"commit": commit, "defaults": release.defaults}


async def test_gateway_without_its_config_is_refused(world):
    outcome = await world.agent().build(world.build(world.origin.first, GATEWAY), "d1")
    assert isinstance(outcome, Failed)
    assert outcome.terminal
    assert CONFIG in outcome.message


def test_a_gateways_branch_is_not_part_of_its_recipe():
    assert recipe_key(GATEWAY) == recipe_key(GATEWAY.model_copy(update={"branch": "other"}))
    assert recipe_key(GATEWAY) != recipe_key(GATEWAY.model_copy(update={"key": "{service}"}))
