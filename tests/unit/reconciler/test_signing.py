"""The control plane's own key: made once, readable by nobody else, and known to git."""

import stat

import pytest

from sdp.reconciler import writer
from sdp.reconciler.commit import Committed, commit, mark, write
from sdp.reconciler.signing import UnusableKeyError, signer
from sdp.spec.change import CannotChangeError, Changed
from tests.unit.agent.repositories import git
from tests.unit.reconciler.test_source import bare


def test_a_key_is_made_once_and_only_we_can_read_it(tmp_path):
    first = signer(tmp_path)
    assert signer(tmp_path).public == first.public
    path = tmp_path / "trust" / "commit.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["commit.key"]
    assert "PRIVATE" not in repr(first)


def test_a_key_that_others_can_read_or_nobody_is_refused_with_a_fix(tmp_path):
    signer(tmp_path)
    path = tmp_path / "trust" / "commit.key"
    path.chmod(0o644)
    with pytest.raises(UnusableKeyError) as told:
        signer(tmp_path)
    assert told.value.fix == f"chmod 600 {path}"
    path.chmod(0o600)
    path.write_text("no key")
    with pytest.raises(UnusableKeyError, match="can't be read"):
        signer(tmp_path)
    assert path.read_text() == "no key"


def test_git_verifies_what_the_control_plane_commits(tmp_path):
    ours = signer(tmp_path / "data")
    repo = bare(tmp_path / "config")
    first = write(repo, {"README.md": b"x"}, "First", "Sari <sari@acme.example>", "")
    assert isinstance(first, Committed)
    place = writer.place_of(repo, "main", sign=ours.sign)
    allowed = tmp_path / "allowed"
    allowed.write_text(f"sdp {ours.public}\n")
    for said in (
        Changed({"a.txt": "ü\n"}, "Ändere a"),
        Changed({}, "Say it", (), "SDP-Approve: 1234567"),
    ):
        made = writer.land(place, lambda *_, said=said: said, "Budi <budi@acme.example>")
        assert isinstance(made, writer.Landed)
        git(repo, "-c", f"gpg.ssh.allowedSignersFile={allowed}", "verify-commit", made.sha)
    with pytest.raises(Exception, match="verify-commit"):
        git(repo, "-c", f"gpg.ssh.allowedSignersFile={allowed}", "verify-commit", first.sha)


@pytest.fixture
def clone(tmp_path):
    """A clone whose person lets git sign what they commit."""
    folder = tmp_path / "clone"
    git(tmp_path, "init", "-q", "-b", "main", "clone")
    signer(tmp_path / "theirs")
    key = tmp_path / "theirs" / "trust" / "commit.key"
    for name, value in {
        "gpg.format": "ssh",
        "user.signingkey": key,
        "commit.gpgsign": "true",
    }.items():
        git(folder, "config", name, str(value))
    return folder


def test_what_is_committed_in_a_clone_is_signed_where_git_would_sign(clone, tmp_path):
    author = "Sari <sari@acme.example>"
    first = commit(clone, {"a.txt": b"x"}, "Ändere a\n", author, "")
    assert isinstance(first, Committed)
    second = mark(clone, "Let 3 go\n\nSDP-Allow-Deletes: 3\n", author, first.sha)
    assert isinstance(second, Committed)
    (tmp_path / "allowed").write_text(f"sari {signer(tmp_path / 'theirs').public}\n")
    for each in (first, second):
        allowed = f"gpg.ssh.allowedSignersFile={tmp_path / 'allowed'}"
        git(clone, "-c", allowed, "verify-commit", each.sha)
    assert git(clone, "log", "--format=%an <%ae> %cn: %B") == (
        "Sari <sari@acme.example> Sari: Let 3 go\n\nSDP-Allow-Deletes: 3\n\n"
        "Sari <sari@acme.example> Sari: Ändere a"
    )
    assert git(clone, "show", "--name-only", "--format=", first.sha) == "a.txt"


def test_what_git_can_not_sign_is_not_committed(clone, tmp_path):
    (tmp_path / "theirs" / "trust" / "commit.key").unlink()
    with pytest.raises(CannotChangeError, match="git can't sign the commit") as told:
        commit(clone, {"a.txt": b"x"}, "Change a", "Sari <sari@acme.example>", "")
    assert "user.signingkey" in told.value.fix
    assert git(clone, "for-each-ref") == ""
