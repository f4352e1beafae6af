"""Login, logout, whoami: a session in a file that nobody else can read, and nothing in argv."""

import datetime
import json
import os
import pty
import subprocess  # noqa: TID251 -- a terminal of its own
import sys
from collections.abc import Callable, Iterator

import pytest
from typer.testing import CliRunner, Result

from sdp import clock
from sdp.cli import keyring
from sdp.cli.client import ClientError, find_trust
from sdp.cli.keyring import Kept, KeyringError
from sdp.cli.main import app
from tests.fakes.control_plane import FILES, FakeControlPlane, served_in_thread, tree
from tests.fakes.people import FakePeople

Run = Callable[..., Result]
IN = ("login", "--user", "achmad", "--password-stdin")
HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def control() -> FakeControlPlane:
    return FakeControlPlane(people=FakePeople(live=()))


@pytest.fixture
def url(control: FakeControlPlane) -> Iterator[str]:
    with served_in_thread(control.ports) as found:
        yield found


@pytest.fixture
def run(url: str) -> Run:
    def run(*words: str, text: str | None = None, server: str = url) -> Result:
        return CliRunner(env={"SDP_URL": server}).invoke(app, list(words), input=text)

    return run


def kept(url: str) -> Kept:
    found = keyring.of(url)
    assert found
    return found


def test_a_login_is_kept_where_nobody_else_can_read_it_and_used_from_then_on(run, url):
    assert run("status").exit_code == 1
    done = run(*IN, text="secret\n")
    assert done.exit_code == 0, done.output
    assert f"achmad is logged in at {url} as ADMIN, until " in done.stdout
    assert keyring.path().stat().st_mode & 0o777 == 0o600
    assert keyring.path().parent.stat().st_mode & 0o777 == 0o700
    assert kept(url).token not in done.output + repr(kept(url))
    assert run("status").exit_code == 0
    told = run("whoami")
    assert "achmad is ADMIN" in told.stdout
    assert "git    uses your credentials" in told.stdout


def test_what_a_program_is_told_has_no_token(run):
    done = run(*IN, "--json", text="secret\n")
    told = json.loads(done.stdout)
    assert told.keys() >= {"user", "role", "permissions", "expires_at", "credentials"}
    assert "token" not in told
    assert json.loads(run("whoami", "--json").stdout)["user"] == "achmad"


def test_a_wrong_password_is_told_and_nothing_is_kept(run):
    done = run(*IN, text="wrong\n")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "error: LOGIN FAILED: Bitbucket does not take them." in done.stderr
    assert "fix: try again" in done.stderr
    assert "wrong" not in done.output
    assert not keyring.path().exists()


def test_who_never_logged_in_is_told_how(run, url):
    done = run("status")
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"error: nobody is logged in at {url}" in done.stderr
    assert "fix: sdp login" in done.stderr


@pytest.mark.parametrize(("left", "said"), [(HOUR, "was ended"), (-HOUR, "ended at ")])
def test_who_was_logged_in_is_told_that_and_when_it_ended(run, url, left, said):
    keyring.keep(url, Kept(user="achmad", token="gone", expires_at=clock.now() + left))
    for word in ("status", "events"):
        done = run(word)
        assert done.exit_code == 1
        assert f"the session of achmad at {url} {said}" in done.stderr


def test_logout_ends_the_session_there_and_forgets_it_here(control, run, url):
    run(*IN, text="secret\n")
    done = run("logout")
    assert (done.exit_code, done.stdout) == (0, "1 session ended\n")
    assert keyring.of(url) is None
    assert not control.people.sessions.all()
    assert run("logout").stdout == "0 sessions ended\n"


def test_logout_everywhere_and_of_somebody_else(control, run):
    control.people.prover.passwords["sari"] = "secret"
    run("login", "--user", "sari", "--password-stdin", text="secret\n")
    run(*IN, text="secret\n")
    run(*IN, text="secret\n")
    assert run("logout", "--user", "SARI").stdout == "1 session of SARI ended\n"
    assert run("logout", "--everywhere").stdout == "2 sessions ended\n"
    assert not control.people.sessions.all()


def test_a_session_is_forgotten_here_also_when_the_control_plane_is_away(run):
    away = "http://127.0.0.1:1"
    keyring.keep(away, Kept(user="achmad", token="t", expires_at=clock.now() + HOUR))
    done = run("logout", server=away)
    assert done.exit_code == 1
    assert "no control plane at" in done.stderr
    assert keyring.of(away) is None


def test_a_token_goes_to_the_control_plane_that_gave_it_and_to_no_other(run):
    run(*IN, text="secret\n")
    with served_in_thread(FakeControlPlane(people=FakePeople(live=())).ports) as other:
        assert "nobody is logged in at" in run("status", server=other).stderr
    assert run("status").exit_code == 0


def test_a_keyring_that_others_can_read_is_refused_with_the_fix(run):
    run(*IN, text="secret\n")
    keyring.path().chmod(0o640)
    done = run("status")
    assert done.exit_code == 1
    assert "others can read" in done.stderr
    assert f"fix: chmod 600 {keyring.path()}" in done.stderr


def test_a_keyring_that_is_none_is_refused_with_the_fix():
    keyring.path().parent.mkdir(parents=True)
    keyring.path().write_text("{")
    keyring.path().chmod(0o600)
    with pytest.raises(KeyringError, match="no file of sessions") as caught:
        keyring.of("http://x")
    assert "rm " in caught.value.fix


def test_the_sessions_of_other_control_planes_stay():
    one = Kept(user="a", token="t", expires_at=clock.now() + HOUR)
    keyring.keep("http://one", one)
    keyring.keep("http://two", one)
    keyring.forget("http://one")
    keyring.forget("http://never")
    assert keyring.of("http://one") is None
    assert keyring.of("http://two") == one


def test_a_password_goes_over_plain_http_to_another_machine_only_by_agreement(run):
    for words in (("login",), IN):
        done = run(*words, server="http://sdp.invalid:3452", text="secret\n")
        assert done.exit_code == 1
        assert "would go to sdp.invalid over plain http" in done.stderr
    agreed = run(*IN, "--insecure", server="http://127.0.0.2:1", text="secret\n")
    assert "no control plane at" in agreed.stderr


@pytest.mark.timeout(30)  # a process of its own, on a machine that may be busy
def test_a_password_that_is_typed_is_not_shown(url):
    terminal, theirs = pty.openpty()
    words = [sys.executable, "-c", "from sdp.cli.main import main; main()", "login"]
    environment = {**os.environ, "SDP_URL": url}
    with subprocess.Popen(
        words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    ) as process:
        os.close(theirs)
        said = typed(terminal, b"user name: ", b"achmad\n")
        said += typed(terminal, b"Password of achmad: ", b"secret\n")
        said += typed(terminal, b"is logged in", b"")
        assert process.wait() == 0
    os.close(terminal)
    assert b"secret" not in said


def typed(terminal: int, prompt: bytes, answer: bytes) -> bytes:
    """Type an answer when a prompt is there; return what was said until then."""
    said = b""
    while prompt not in said:
        said += os.read(terminal, 1000)
    os.write(terminal, answer)
    return said


def test_whose_credentials_a_restart_lost_are_told_to_log_in(control, run):
    run(*IN, text="secret\n")
    control.people.keeper.held.clear()
    assert "has none of yours: the control plane restarted" in run("whoami").stdout


def test_who_may_not_is_told_what_it_takes_and_who_could(control, run):
    control.people.prover.passwords["dewi"] = "secret"
    run("login", "--user", "dewi", "--password-stdin", text="secret\n")
    text = "roles:\n  default: VIEWER\n  users: {root: {role: ADMIN}}\n"
    control.plane.specs = tree({**FILES, "platform.yaml": FILES["platform.yaml"] + text})
    done = run("sync", "QA-ONE")
    assert done.exit_code == 1
    assert "dewi may not do that: it takes 'deploy', which QA has" in done.stderr
    assert "fix: ask QA or BACKEND or ADMIN to do it, or achmad, who owns QA-ONE" in done.stderr
    assert control.plane.asked == []
    listed = run("env", "list").stdout
    assert "hidden" in listed
    assert "TOKEN" not in listed


def test_a_ca_that_is_none_is_told_with_where_to_name_one(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    config = tmp_path / "sdp" / "config.yaml"
    config.parent.mkdir()
    config.write_text(f"ca: {tmp_path / 'ca.pem'}\n")
    assert find_trust("http://sdp") is True
    for content in (None, "rubbish"):
        if content:
            (tmp_path / "ca.pem").write_text(content)
        with pytest.raises(ClientError, match="can't be used") as caught:
            find_trust("https://sdp")
        assert f"as ca: in {config}" in caught.value.fix
