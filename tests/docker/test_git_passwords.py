"""Real git, a real server that asks for a password: what is lent serves, and stays nowhere."""

import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdp import clock
from sdp.agent.accounts import Accounts
from sdp.agent.lent import Lent, Opener
from sdp.agent.login_desk import Checker
from sdp.agent.repositories import Repositories
from sdp.protocol import sealed
from sdp.protocol.actions import Fetch
from sdp.protocol.frames import CheckLogin, Failed, Succeeded
from sdp.protocol.secret import Credentials, Secret
from sdp.service_credential import ServiceCredential
from tests.testbed.gitserver import GitServer, git_server
from tests.unit.agent.repositories import Origin, git
from tests.unit.agent.test_releases import Told

pytestmark = [pytest.mark.docker, pytest.mark.timeout(60)]
CANARY = f"canary-{secrets.token_hex(8)}"
"""Others' processes on this machine have none."""
PASSWORD = f"{CANARY}'@:% "
SARI = Credentials("sari", Secret(PASSWORD))
WRONG = Credentials("sari", Secret(f"{CANARY}-wrong"))


class World:
    def __init__(self, server: GitServer, origin: Origin, tmp_path: Path) -> None:
        self.server = server
        self.origin = origin
        self.clone = origin.clone(tmp_path / "clone")
        git(self.clone, "remote", "set-url", "origin", f"{server.url}/account.git")
        self.file = tmp_path / "credentials.yaml"
        paths = {"account": self.clone}
        service = ServiceCredential(self.file)
        self.opener = Opener()
        accounts = Accounts(self.opener, service)
        self.repositories = Repositories(paths, tmp_path, Told(), accounts)
        self.checker = Checker(self.repositories, self.opener)

    def lend(self, credentials: Credentials, purpose: str = "this") -> Lent:
        text = sealed.seal(credentials, self.opener.recipient, purpose, clock.now())
        return Lent(text, purpose)

    async def check(self, credentials: Credentials, origin: str = "", seconds: float = 10) -> str:
        """Return what comes of a login, with an origin other than usual."""
        git(self.clone, "remote", "set-url", "origin", origin or f"{self.server.url}/account.git")
        text = self.lend(credentials, sealed.checking("r-1", "account")).text
        asked = CheckLogin(
            request="r-1", repository="account", credentials=text, timeout_seconds=seconds
        )
        told = await self.checker.check(asked)
        assert CANARY not in told.message
        return told.outcome

    def pushed(self) -> str:
        tip = self.origin.commit({"a": "1"}, "feature/login")
        bare = self.server.folder.parent / "repositories" / "account.git"
        git(self.origin.folder, "push", "--quiet", str(bare), "feature/login")
        return tip


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    origin = Origin(tmp_path / "origin")
    repositories = tmp_path / "repositories"
    repositories.mkdir()
    git(origin.folder, "clone", "--quiet", "--bare", ".", str(repositories / "account.git"))
    with git_server(repositories, {"sari": PASSWORD, "reader": "r"}, tmp_path / "git") as server:
        yield World(server, origin, tmp_path)


async def test_a_users_own_serve_a_look_and_a_fetch(world):
    tip = world.pushed()
    told = (await world.repositories.look(("account",), world.lend(SARI)))["account"]
    assert (told.error, told.credentials, told.branches["feature/login"]) == ("", "wanted", tip)
    fetch = Fetch(repository="account", branch="feature/login", commit=tip)
    assert await world.repositories.fetch(fetch, "d-1", world.lend(SARI)) == Succeeded()
    assert "sari POST /account.git/git-upload-pack" in world.server.access_log
    assert CANARY not in "".join(
        file.read_text(errors="replace") for file in world.clone.rglob("*") if file.is_file()
    )


async def test_the_service_credential_serves_where_nothing_is_lent(world):
    world.file.touch(0o600)
    world.file.write_text("username: reader\npassword: r\n")
    tip = world.pushed()
    told = (await world.repositories.look(()))["account"]
    assert (told.error, told.credentials, told.branches["feature/login"]) == ("", "served", tip)
    fetch = Fetch(repository="account", branch="feature/login", commit=tip)
    assert await world.repositories.fetch(fetch, "d-1") == Succeeded()
    assert "reader POST /account.git/git-upload-pack" in world.server.access_log


async def test_wrong_credentials_are_terminal_and_show_in_no_answer(world):
    tip = world.pushed()
    fetch = Fetch(repository="account", branch="feature/login", commit=tip)
    failed = await world.repositories.fetch(fetch, "d-1", world.lend(WRONG))
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.terminal) == ("AuthenticationFailed", True)
    assert CANARY not in repr(failed)


async def test_a_login_is_proven_by_an_origin_that_takes_it_and_refuses_others(world):
    assert await world.check(SARI) == "Proved"
    assert await world.check(WRONG) == "Wrong"
    assert await world.check(SARI, f"{world.server.failing}/account.git") == "Failed"
    hanging = f"{world.server.hanging}/account.git"
    assert await world.check(SARI, hanging, seconds=0.5) == "TimedOut"
    assert await world.check(SARI, f"file://{world.origin.folder}") == "Open"
    assert await world.check(SARI, f"{world.server.url}/none.git") == "NoRepository"
    world.server.stop()
    assert await world.check(SARI) == "Unreachable"


async def test_no_process_shows_what_is_lent(world):
    """Everything that /proc tells of this machine's processes while git runs."""
    seen: list[bytes] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    try:
                        seen.append((process / name).read_bytes())
                    except OSError:
                        continue

    watching = threading.Thread(target=watch)
    watching.start()
    await world.repositories.look(("account",), world.lend(SARI))
    done.set()
    watching.join()
    shown = b"\n".join(seen)
    assert b"SDP_ASKPASS" in shown
    assert CANARY.encode() not in shown
