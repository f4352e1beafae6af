"""Facts of a node: what is there, what is missing, and nothing that changes all the time."""

import json
import tarfile
from pathlib import Path

import pytest

from sdp.agent import facts, runner
from sdp.agent.facts import Facts, disk
from sdp.agent.identity import IdentityFile
from sdp.protocol.report import Archive, Disk, EngineFacts, Keys, Tool
from sdp.sops import identities
from tests.fakes.engine import FakeEngine


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    (folder / "images").mkdir(parents=True)
    return folder


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds all programs of the node."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setattr(runner, "PATH", str(folder))
    return folder


def install(folder: Path, name: str, says: str) -> None:
    counted = folder / f"{name}.runs"
    program = folder / name
    program.write_text(f"#!/bin/sh\necho x >> {counted}\necho '{says}'\n")
    program.chmod(0o755)


async def test_tools_are_told_with_their_versions_and_asked_once(state, programs) -> None:
    install(programs, "git", "git version 2.39.5 (Debian)")
    facts = Facts(FakeEngine("mine"), state, state / "images", IdentityFile(None))
    for _ in range(3):
        found = await facts.look()
    assert found["tool/git"] == Tool(version="2.39.5")
    assert found["tool/go"] == Tool(version="")
    assert "tool/composer" not in found
    assert (programs / "git.runs").read_text().count("x") == 1


async def test_composer_is_looked_for_where_a_gateway_asks_for_it(state, programs) -> None:
    _ = programs
    release = state / "releases" / "api-gateway" / ("1" * 40) / "gateway-abc"
    release.mkdir(parents=True)
    (release / "composer.json").write_text("{}")
    found = await Facts(FakeEngine("mine"), state, state / "images", IdentityFile(None)).look()
    assert found["tool/composer"] == Tool(version="")


async def test_archives_are_told_with_the_images_that_they_hold(state) -> None:
    manifest = state / "manifest.json"
    manifest.write_text(json.dumps([{"RepoTags": ["carried:1"]}]))
    with tarfile.open(state / "images" / "a.tar", "w") as archive:
        archive.add(manifest, "manifest.json")
    (state / "images" / "broken.tar").write_bytes(b"no archive")
    found = await Facts(FakeEngine("mine"), state, state / "images", IdentityFile(None)).look()
    assert found["archive/a.tar"] == Archive(images=("carried:1",))
    assert found["archive/broken.tar"] == Archive(images=())


async def test_an_engine_that_is_down_is_told_as_it_was_last(state) -> None:
    engine = FakeEngine("mine")
    facts = Facts(engine, state, state / "images", IdentityFile(None))
    before = await facts.look()
    assert before["engine"] == EngineFacts(api="1.41", networks=31, strange=0)
    engine.down = True
    assert await facts.look() == before


async def test_what_did_not_change_is_told_the_same(state) -> None:
    facts = Facts(FakeEngine("mine"), state, state / "images", IdentityFile(None))
    assert await facts.look() == await facts.look()


def test_a_disk_that_is_gone_is_full_and_can_not_be_written_to(state) -> None:
    gone = disk(state / "absent")
    assert (gone.free, gone.writable) == (0, False)


def test_a_disk_is_told_in_whole_per_cent(state) -> None:
    found = disk(state)
    assert isinstance(found, Disk)
    assert 0 <= found.free <= 100
    assert 0 <= found.inodes <= 100
    assert found.free_bytes <= found.total_bytes
    assert found.writable


def test_what_is_left_is_told_in_steps_once_it_is_little(state, monkeypatch) -> None:
    assert disk(state).left_bytes is None
    monkeypatch.setattr(facts, "LITTLE_BYTES", 1 << 60)
    left = disk(state).left_bytes
    assert left is not None
    assert left % facts.STEP_BYTES == 0


async def test_keys_are_told_by_their_public_halves_alone(state) -> None:
    made = identities.generate()
    file = state / "age.key"
    facts = Facts(FakeEngine("mine"), state, state / "images", IdentityFile(file))
    missing = (await facts.look())["keys"]
    assert isinstance(missing, Keys)
    assert (missing.recipients, str(file) in missing.message) == ((), True)
    file.write_text(f"{made.secret}\n")
    file.chmod(0o644)
    assert (await facts.look())["keys"] == Keys(
        message=f"others can read its agent's identity {file} (mode 0644)",
        fix=f"chmod 600 {file}",
    )
    file.chmod(0o600)
    assert (await facts.look())["keys"] == Keys(recipients=(made.public,))
