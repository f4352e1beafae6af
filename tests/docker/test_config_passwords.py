"""A config repo behind a password: read with the service credential, written with who changes it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sdp.protocol.secret import Credentials, Secret
from sdp.reconciler import writer
from sdp.reconciler.source import Source
from sdp.reconciler.writer import Landed, Unwritable, place_of
from sdp.service_credential import ServiceCredential
from sdp.spec.change import Changed
from tests.testbed.gitserver import GitServer, git_server
from tests.unit.agent.repositories import Origin, git

pytestmark = [pytest.mark.docker, pytest.mark.timeout(60)]
SARI = Credentials("sari", Secret("canary-s"))


class World:
    def __init__(self, server: GitServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.url = f"{server.url}/config.git"
        self.file = folder / "credentials.yaml"
        self.file.touch(0o600)
        self.file.write_text("username: reader\npassword: canary-r\n")

    def source(self, file: Path | None = None) -> Source:
        return Source(self.url, "main", self.folder, ServiceCredential(file))

    def land(self, source: Source, lent: Credentials | None) -> object:
        place = place_of(source.repository, "main", self.url, lent=lent)
        changed = Changed({"README": "second\n"}, "Change")
        return writer.land(place, lambda *_: changed, "Sari <s@company.example>")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    origin = Origin(tmp_path / "origin")
    repositories = tmp_path / "repositories"
    repositories.mkdir()
    bare = repositories / "config.git"
    git(origin.folder, "clone", "--quiet", "--bare", ".", str(bare))
    git(bare, "config", "http.receivepack", "true")
    users = {"sari": "canary-s", "reader": "canary-r"}
    with git_server(repositories, users, tmp_path / "git") as server:
        yield World(server, tmp_path)


def test_it_is_read_with_the_service_credential_and_pushed_with_the_committers(world):
    source = world.source(world.file)
    head = source.head()
    assert (head.trouble, len(head.revision)) == (None, 40)
    landed = world.land(source, SARI)
    assert isinstance(landed, Landed), landed
    assert source.head().revision == landed.sha
    log = world.server.access_log
    assert "reader POST /config.git/git-upload-pack" in log
    assert "sari POST /config.git/git-receive-pack" in log
    kept = (each for each in source.repository.rglob("*") if each.is_file())
    assert not any(b"canary" in each.read_bytes() for each in kept)


def test_without_a_credential_it_says_what_to_give(world):
    trouble = world.source().head().trouble
    assert trouble is not None
    assert (trouble.reason, "asks for some" in trouble.message) == ("ConfigRepoRefused", True)
    assert "--config-credentials" in trouble.fix


def test_credentials_that_others_can_read_are_not_used(world):
    world.file.chmod(0o644)
    trouble = world.source(world.file).head().trouble
    assert trouble is not None
    assert trouble.reason == "ConfigCredentialsUnusable"
    assert trouble.fix == f"chmod 600 {world.file}"


@pytest.mark.parametrize(
    ("lent", "told"),
    [
        (Credentials("sari", Secret("canary-wrong")), "does not take the credentials of sari"),
        (None, "asks for a password, and none is at hand"),
    ],
)
def test_a_write_that_is_refused_says_whose_and_changes_nothing(world, lent, told):
    source = world.source(world.file)
    before = source.head().revision
    outcome = world.land(source, lent)
    assert isinstance(outcome, Unwritable)
    assert told in outcome.message
    assert "sdp login" in outcome.fix
    assert "canary" not in repr(outcome)
    assert source.head().revision == before
