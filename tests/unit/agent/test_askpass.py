"""A password reaches the origin that asks for it, and nothing else on the machine."""

import base64
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sdp import clock
from sdp.agent.accounts import Accounts
from sdp.agent.git import Clone
from sdp.agent.git_problem import GitProblem
from sdp.agent.lent import NOTHING, Lent, Opener
from sdp.agent.repositories import Repositories
from sdp.askpass import NO_WAY, lending, reply, site_of
from sdp.protocol import sealed
from sdp.protocol.actions import Fetch
from sdp.protocol.frames import Failed
from sdp.protocol.secret import Credentials, Secret
from sdp.service_credential import ServiceCredential, Unusable
from tests.unit.agent.repositories import git

PASSWORD = "hunter2 @:/ 'quoted' ünïcode"
SITE = site_of("https://git.company.com/team/account.git")
assert SITE is not None
SARI = Credentials("sari@company.com", Secret(PASSWORD))


class Host(BaseHTTPRequestHandler):
    """Asks for a password, notes what it gets, and is no git server."""

    def do_GET(self) -> None:
        assert isinstance(self.server, Asking)
        told = self.headers.get("Authorization", "")
        self.server.told.append(base64.b64decode(told.removeprefix("Basic ")).decode())
        if self.server.leads_to:
            self.send_response(302)
            self.send_header("Location", self.server.leads_to + self.path)
        else:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="Bitbucket"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Asking(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Host)
        self.told: list[str] = []
        self.leads_to = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def hosts():
    made = (Asking(), Asking())
    for each in made:
        threading.Thread(target=each.serve_forever, args=(0.01,)).start()
    yield made
    for each in made:
        each.shutdown()
        each.server_close()


def clone_of(url: str, tmp_path: Path) -> Clone:
    path = tmp_path / "clone"
    path.mkdir()
    git(path, "init", "--quiet")
    git(path, "remote", "add", "origin", url)
    return Clone(path, tmp_path)


async def test_what_is_lent_reaches_the_origin_whole_and_no_message(hosts, tmp_path):
    clone = clone_of(f"{hosts[0].url}/account.git", tmp_path)
    told = await clone.ls_remote(SARI)
    assert isinstance(told, GitProblem)
    assert told.reason == "AuthenticationFailed"
    assert hosts[0].told[-1] == f"sari@company.com:{PASSWORD}"
    assert "hunter2" not in repr(told)
    assert not any(b"hunter2" in f.read_bytes() for f in tmp_path.rglob("*") if f.is_file())


async def test_who_lends_is_the_user_where_the_address_names_another(hosts, tmp_path):
    url = hosts[0].url.replace("//", "//achmad@")
    await clone_of(f"{url}/account.git", tmp_path).ls_remote(SARI)
    assert hosts[0].told[-1] == f"sari@company.com:{PASSWORD}"


async def test_a_redirect_does_not_carry_the_answers_elsewhere(hosts, tmp_path):
    first, second = hosts
    first.leads_to = second.url
    told = await clone_of(f"{first.url}/account.git", tmp_path).ls_remote(SARI)
    assert isinstance(told, GitProblem)
    assert second.told == []


async def test_nothing_is_answered_where_nothing_is_lent(hosts, tmp_path):
    told = await clone_of(f"{hosts[0].url}/account.git", tmp_path).ls_remote()
    assert isinstance(told, GitProblem)
    assert told.reason == "AuthenticationFailed"
    assert hosts[0].told == [""]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Username for 'https://git.company.com': ", "sari@company.com"),
        ("Username for 'https://git.company.com:443': ", "sari@company.com"),
        ("Password for 'https://sari@company.com@git.company.com': ", PASSWORD),
        ("Password for 'https://sari%40company.com@git.company.com': ", PASSWORD),
        ("Password for 'https://achmad@git.company.com': ", None),
        ("Password for 'http://sari@company.com@git.company.com': ", None),
        ("Password for 'https://sari@company.com@git.company.com:8443': ", None),
        ("Password for 'https://sari@company.com@evil.com': ", None),
        ("Password for 'https://git.company.com@evil.com': ", None),
        ("Username for 'https://evil.com/https://git.company.com': ", None),
        ("Username for 'http://proxy:3128': ", None),
        ("Enter passphrase for key '/root/.ssh/id': ", None),
        ("", None),
    ],
)
def test_only_the_origin_itself_is_answered(question, answer):
    assert SITE is not None
    assert reply(question, SITE, SARI) == answer


def test_what_was_wiped_since_is_not_lent_and_hides_no_empty_text():
    secret = Secret(PASSWORD)
    secret.wipe()
    with lending("https://git.company.com/a.git", Credentials("sari", secret)) as way:
        assert way == NO_WAY


@pytest.mark.parametrize("url", ["ssh://git@host/x", "git@host:x", "/srv/x", "file:///x", "http:"])
def test_other_transports_ask_for_no_password(url):
    assert site_of(url) is None


def written(tmp_path: Path, text: str, mode: int = 0o600) -> ServiceCredential:
    path = tmp_path / "credentials.yaml"
    path.write_text(text)
    path.chmod(mode)
    return ServiceCredential(path)


def test_one_account_serves_every_host_and_one_per_host_its_own(tmp_path):
    assert SITE is not None
    found = written(tmp_path, "username: reader\npassword: p\n").of(SITE)
    assert isinstance(found, Credentials)
    assert (found.user, found.secret.reveal()) == ("reader", "p")
    per_host = written(tmp_path, "git.company.com: {username: bot, password: q}\n")
    found = per_host.of(SITE)
    assert isinstance(found, Credentials)
    assert found.user == "bot"
    other = site_of("https://elsewhere.com/x")
    assert other is not None
    assert per_host.of(other) is None
    assert ServiceCredential(None).of(SITE) is None


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        ("username: a\npassword: hunter2\n", 0o640, "mode 0640"),
        ("username: a\npassword: 12345\n", 0o600, "does not say"),
        ("username: hunter2\n", 0o600, "does not say"),
        ("git.company.com: hunter2\n", 0o600, "git.company.com in"),
        ("- hunter2\n", 0o600, "no mapping"),
        ("password: [hunter2\n", 0o600, "no YAML"),
    ],
)
def test_a_file_that_says_nothing_usable_says_so_without_what_it_says(tmp_path, text, mode, told):
    assert SITE is not None
    found = written(tmp_path, text, mode).of(SITE)
    assert isinstance(found, Unusable)
    assert told in found.message
    assert found.fix
    assert "hunter2" not in repr(found)
    assert "12345" not in repr(found)


def test_a_missing_file_says_so(tmp_path):
    assert SITE is not None
    found = ServiceCredential(tmp_path / "none").of(SITE)
    assert isinstance(found, Unusable)
    assert "No such file" in found.message


class Told:
    def started(self, *_: str) -> None: ...
    def finished(self, *_: str) -> None: ...
    def failed(self, *_: str) -> None: ...
    def lines(self, *_: object) -> None: ...


class Node:
    """An agent's repositories, with one whose origin asks for a password."""

    def __init__(self, host: Asking, tmp_path: Path, service: ServiceCredential) -> None:
        clone_of(f"{host.url}/account.git", tmp_path)
        paths = {"account": tmp_path / "clone"}
        self.opener = Opener()
        accounts = Accounts(self.opener, service)
        self.repositories = Repositories(paths, tmp_path, Told(), accounts)

    async def look(self, lent: Credentials | None = None):
        return (await self.repositories.look(("account",), self.lend(lent, "a look")))["account"]

    def lend(self, credentials: Credentials | None, purpose: str) -> Lent:
        if credentials is None:
            return NOTHING
        text = sealed.seal(credentials, self.opener.recipient, purpose, clock.now())
        return Lent(text, purpose)


async def test_a_repository_whose_origin_asks_wants_credentials_and_is_not_polled(hosts, tmp_path):
    node = Node(hosts[0], tmp_path, ServiceCredential(tmp_path / "later.yaml"))
    (tmp_path / "later.yaml").touch(0o600)
    (tmp_path / "later.yaml").write_text("other.com: {username: a, password: b}")
    told = await node.look()
    assert (told.credentials, told.error, told.checked_at) == ("wanted", "", None)
    assert await node.repositories.look(()) == {}
    (tmp_path / "later.yaml").write_text("username: reader\npassword: p")
    assert (await node.repositories.look(()))["account"].credentials == "served"


async def test_an_origin_that_is_away_still_wants_credentials(hosts, tmp_path):
    node = Node(hosts[0], tmp_path, ServiceCredential())
    assert (await node.look()).credentials == "wanted"
    git(tmp_path / "clone", "remote", "set-url", "origin", "http://127.0.0.1:1/account.git")
    told = await node.look()
    assert told.error
    assert told.credentials == "wanted"


async def test_refused_credentials_are_told_with_whose_they_are(hosts, tmp_path):
    node = Node(hosts[0], tmp_path, ServiceCredential())
    told = await node.look(SARI)
    assert (told.credentials, told.refused) == ("wanted", "sari@company.com")
    assert "with the credentials of sari@company.com" in told.error
    assert "sdp login" in told.error
    fetch = Fetch(repository="account", branch="main", commit="1" * 40)
    failed = await node.repositories.fetch(fetch, "d-1", node.lend(SARI, "a fetch"))
    assert isinstance(failed, Failed)
    assert failed.terminal
    assert "with the credentials of sari@company.com" in failed.message


async def test_a_users_own_come_before_the_service_credential(hosts, tmp_path):
    service = written(tmp_path, "username: reader\npassword: p\n")
    node = Node(hosts[0], tmp_path, service)
    told = await node.look()
    assert "with the service credential reader" in told.error
    assert hosts[0].told[-1] == "reader:p"
    assert (told.credentials, told.refused) == ("served", "")
    await node.look(SARI)
    assert hosts[0].told[-1].startswith("sari@company.com:")


async def test_an_unusable_service_credential_is_told_and_a_user_serves_instead(hosts, tmp_path):
    node = Node(hosts[0], tmp_path, written(tmp_path, "username: a\n"))
    told = await node.look()
    assert "does not say" in told.error
    assert told.credentials == "wanted"
    assert hosts[0].told == []
    assert (await node.look(SARI)).refused == "sari@company.com"
