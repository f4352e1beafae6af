"""What is believed survives restarts and lost databases; tokens are good once, and not for long."""

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sdp.api import ports
from sdp.protocol import handshake
from sdp.protocol.handshake import Token, Transcript
from sdp.protocol.secret import Secret
from sdp.trust.belief import Belief, NotEnrolledError, TrustError
from sdp.trust.folder import Trust
from tests.fakes.trust import FakeTrust, nonce

NOW = datetime.datetime(2026, 3, 4, 12, 0, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)
KEY = handshake.public(Ed25519PrivateKey.generate())
NODE = "micro-93"

Open = Callable[[], ports.Trust]


@pytest.fixture(params=["memory", "folder"])
def trust(request: pytest.FixtureRequest, tmp_path: Path) -> ports.Trust:
    return FakeTrust() if request.param == "memory" else Trust.open(tmp_path)


def said(trust: ports.Trust, node: str = NODE) -> Transcript:
    return Transcript("{}", node, "acme", nonce(), nonce(), trust.epoch, trust.key)


def enrol(
    trust: ports.Trust, token: Token, now: datetime.datetime = NOW, key: str = KEY
) -> tuple[str, Transcript]:
    transcript = said(trust)
    shown = handshake.proof(handshake.digest(token.secret), transcript, "agent")
    return trust.enrol(transcript, key, shown, now), transcript


def test_a_token_enrols_its_node_and_both_know_it(trust):
    assert trust.belief(NODE) == Belief()
    invited = trust.invite(NODE, "achmad", HOUR, NOW)
    assert (invited.token.node, invited.token.server_key) == (NODE, trust.key)
    assert not invited.replaces
    proof, transcript = enrol(trust, invited.token)
    known = handshake.digest(invited.token.secret)
    assert handshake.proves(proof, known, transcript, "control plane")
    assert trust.belief(NODE) == Belief("enrolled", KEY, NOW, "achmad")


def test_a_token_is_good_once(trust):
    token = trust.invite(NODE, "achmad", HOUR, NOW).token
    enrol(trust, token)
    with pytest.raises(NotEnrolledError, match="used already"):
        enrol(trust, token, key=nonce())
    assert trust.belief(NODE).key == KEY


def test_a_token_is_good_until_its_time_is_over(trust):
    token = trust.invite(NODE, "achmad", HOUR, NOW).token
    with pytest.raises(NotEnrolledError, match="was good until"):
        enrol(trust, token, NOW + HOUR)
    assert trust.belief(NODE).state == "never enrolled"


def test_a_wrong_token_enrols_nobody_and_keeps_nobody_from_being_enrolled(trust):
    right = trust.invite(NODE, "achmad", HOUR, NOW).token
    wrong = Token(NODE, Secret(nonce()), trust.key)
    for _ in range(10):
        with pytest.raises(NotEnrolledError, match="not the token"):
            enrol(trust, wrong)
    enrol(trust, right)
    assert trust.belief(NODE).state == "enrolled"


def test_a_new_token_voids_the_one_before(trust):
    before = trust.invite(NODE, "achmad", HOUR, NOW).token
    trust.invite(NODE, "achmad", HOUR, NOW)
    with pytest.raises(NotEnrolledError, match="not the token"):
        enrol(trust, before)


def test_to_enrol_again_replaces_the_key_when_the_token_is_used(trust):
    enrol(trust, trust.invite(NODE, "achmad", HOUR, NOW).token)
    again = trust.invite(NODE, "sari", HOUR, NOW)
    assert again.replaces
    assert trust.belief(NODE).key == KEY
    other = nonce()
    enrol(trust, again.token, key=other)
    assert trust.belief(NODE) == Belief("enrolled", other, NOW, "sari")


def test_who_is_revoked_stays_so_and_open_tokens_go_with_it(trust):
    enrol(trust, trust.invite(NODE, "achmad", HOUR, NOW).token)
    token = trust.invite(NODE, "achmad", HOUR, NOW).token
    assert trust.revoke(NODE, "sari", NOW) == Belief("revoked", KEY, NOW, "sari")
    assert trust.revoke(NODE, "budi", NOW + HOUR).by == "sari"
    with pytest.raises(NotEnrolledError):
        enrol(trust, token)
    enrol(trust, trust.invite(NODE, "achmad", HOUR, NOW).token)
    assert trust.belief(NODE).state == "enrolled"


def test_keys_and_standings_are_there_after_a_restart_and_starts_are_counted(tmp_path):
    first = Trust.open(tmp_path)
    first.begin()
    enrol(first, first.invite(NODE, "achmad", HOUR, NOW).token)
    second = Trust.open(tmp_path)
    assert (second.epoch, second.key) == (0, first.key)
    second.begin()
    assert (first.epoch, second.epoch) == (1, 2)
    assert second.belief(NODE) == first.belief(NODE)


def test_a_token_made_beside_a_running_control_plane_is_taken_by_it(tmp_path):
    running = Trust.open(tmp_path)
    token = Trust.open(tmp_path).invite(NODE, "root", HOUR, NOW).token
    enrol(running, token)
    assert running.belief(NODE).by == "root"


def test_the_secret_of_a_token_is_on_no_disk(tmp_path):
    token = Trust.open(tmp_path).invite(NODE, "achmad", HOUR, NOW).token
    files = [each for each in tmp_path.rglob("*") if each.is_file()]
    assert files
    assert not any(token.secret.reveal() in each.read_text() for each in files)


def test_everything_in_the_folder_is_private(tmp_path):
    trust = Trust.open(tmp_path)
    trust.begin()
    enrol(trust, trust.invite(NODE, "achmad", HOUR, NOW).token)
    trust.invite(NODE, "achmad", HOUR, NOW)
    for each in (tmp_path / "trust", *(tmp_path / "trust").rglob("*")):
        assert each.stat().st_mode & 0o077 == 0, each


def test_a_key_that_others_can_read_is_refused_with_the_fix(tmp_path):
    Trust.open(tmp_path)
    (tmp_path / "trust/key").chmod(0o640)
    with pytest.raises(TrustError) as refused:
        Trust.open(tmp_path)
    assert refused.value.fix.startswith("chmod")


@pytest.mark.parametrize("damaged", ["key", "epoch"])
def test_a_damaged_file_is_told_and_not_replaced(tmp_path, damaged):
    trust = Trust.open(tmp_path)
    trust.begin()
    path = tmp_path / "trust" / damaged
    path.write_text("half")
    with pytest.raises(TrustError, match=damaged):
        Trust.open(tmp_path).begin()
    assert path.read_text() == "half"


@pytest.mark.parametrize("node", ["../key", "", "a/b", ".x", "a\x00", "x" * 64])
def test_a_name_that_is_none_reaches_no_file(tmp_path, node):
    trust = Trust.open(tmp_path)
    with pytest.raises(TrustError):
        trust.belief(node)
    with pytest.raises(TrustError):
        trust.invite(node, "achmad", HOUR, NOW)
