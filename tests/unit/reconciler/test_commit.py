"""Commit: what was meant, on the base that was looked at, and by nobody's force."""

import subprocess  # noqa: TID251 -- asks git what it makes of the index
from pathlib import Path

import pytest
from dulwich.objects import Commit, ObjectID
from dulwich.porcelain import clone
from dulwich.refs import HEADREF, Ref
from dulwich.repo import Repo

from sdp.reconciler.commit import Committed, Moved, Refused, Unchanged, commit, mark, write
from sdp.reconciler.git import RemoteAt, RemoteFailed, fetch, push

MAIN = Ref(b"refs/heads/main")
SARI = "Sari <sari@company.example>"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    path = tmp_path / "config"
    path.mkdir()
    with Repo.init(path) as opened:
        opened.refs.set_symbolic_ref(HEADREF, MAIN)
    return path


def committed(outcome: object) -> str:
    assert isinstance(outcome, Committed)
    return outcome.sha


def files(repo: Path, sha: str) -> dict[str, bytes]:
    with Repo(str(repo)) as opened:
        made = opened[ObjectID(sha.encode())]
        assert isinstance(made, Commit)
        entries = opened.object_store.iter_tree_contents(made.tree)
        return {
            (each.path or b"").decode(): opened[each.sha].as_raw_string()
            for each in entries
            if each.sha
        }


def status(repo: Path) -> list[str]:
    """Return what git says differs between HEAD, index and files."""
    command = ("git", "-C", str(repo), "status", "--porcelain", "--untracked-files=all")
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def test_only_the_named_paths_are_committed(repo: Path) -> None:
    (repo / "sandboxes").mkdir()
    (repo / "sandboxes/a.yaml").write_text("sandbox: A\n")
    (repo / "sandboxes/b.yaml").write_text("sandbox: B\n")
    first = committed(commit(repo, {"sandboxes/a.yaml": b"sandbox: A\n"}, "Add A", SARI, ""))
    assert files(repo, first) == {"sandboxes/a.yaml": b"sandbox: A\n"}
    assert status(repo) == ["?? sandboxes/b.yaml"]


def test_a_file_that_is_gone_is_removed(repo: Path) -> None:
    first = committed(write(repo, {"a.yaml": b"a", "b.yaml": b"b"}, "Add", SARI, ""))
    (repo / "b.yaml").write_bytes(b"b")
    second = committed(commit(repo, {"a.yaml": None}, "Remove", SARI, first))
    assert files(repo, second) == {"b.yaml": b"b"}


def test_a_part_of_a_file_is_committed_and_the_rest_stays_a_change(repo: Path) -> None:
    (repo / "a.yaml").write_bytes(b"one\ntwo\n")
    first = committed(commit(repo, {"a.yaml": b"one\n"}, "Half of it", SARI, ""))
    assert files(repo, first) == {"a.yaml": b"one\n"}
    assert (repo / "a.yaml").read_bytes() == b"one\ntwo\n"
    assert status(repo) == [" M a.yaml"]


def test_an_edit_in_the_second_of_the_commit_before_stays_a_change(repo: Path) -> None:
    first = committed(commit(repo, {"a.yaml": b"1", "b.yaml": b"1"}, "Add", SARI, ""))
    (repo / "a.yaml").write_bytes(b"1")
    (repo / "b.yaml").write_bytes(b"1")
    status(repo)
    (repo / "b.yaml").write_bytes(b"2")
    committed(commit(repo, {"a.yaml": b"3"}, "Change", SARI, first))
    assert status(repo) == [" M a.yaml", " M b.yaml"]


def test_a_file_removed_in_the_working_tree_is_removed_from_the_index(repo: Path) -> None:
    (repo / "a.yaml").write_bytes(b"a")
    first = committed(commit(repo, {"a.yaml": b"a"}, "Add", SARI, ""))
    (repo / "a.yaml").unlink()
    committed(commit(repo, {"a.yaml": None}, "Remove", SARI, first))
    assert status(repo) == []


def test_a_message_alone_is_a_commit_of_the_same_files(repo: Path) -> None:
    first = committed(write(repo, {"a.yaml": b"1"}, "Add", SARI, ""))
    second = committed(mark(repo, "Say something", SARI, first))
    assert second != first
    assert files(repo, second) == files(repo, first)
    assert mark(repo, "Again", SARI, first) == Moved(first, second)


def test_a_moved_base_is_refused_and_named(repo: Path) -> None:
    first = committed(write(repo, {"a.yaml": b"1"}, "Add", SARI, ""))
    second = committed(write(repo, {"a.yaml": b"2"}, "Change", SARI, first))
    assert write(repo, {"a.yaml": b"3"}, "Change", SARI, first) == Moved(first, second)
    assert files(repo, second) == {"a.yaml": b"2"}


def test_what_changes_nothing_makes_no_commit(repo: Path) -> None:
    first = committed(write(repo, {"a.yaml": b"1"}, "Add", SARI, ""))
    assert write(repo, {"a.yaml": b"1", "gone.yaml": None}, "Same", SARI, first) == Unchanged(
        first
    )


@pytest.mark.parametrize("path", ["../x", "/etc/x", ".git/config", "a/../../x", "a//b", ""])
def test_a_path_outside_is_refused(repo: Path, path: str) -> None:
    assert isinstance(write(repo, {path: b""}, "Escape", SARI, ""), Refused)
    assert isinstance(commit(repo, {path: b""}, "Escape", SARI, ""), Refused)


def test_a_symbolic_link_is_not_followed(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (repo / "a.yaml").symlink_to(tmp_path / "secret")
    assert isinstance(commit(repo, {"a.yaml": b"x"}, "Leak", SARI, ""), Refused)


@pytest.mark.timeout(30)
def test_a_push_never_forces(repo: Path, tmp_path: Path) -> None:
    first = committed(write(repo, {"a.yaml": b"1"}, "Add", SARI, ""))
    clone(str(repo), str(tmp_path / "served"), bare=True).close()
    clone(str(repo), str(tmp_path / "other")).close()
    served = str(tmp_path / "served")
    second = committed(write(repo, {"a.yaml": b"2"}, "Change", SARI, first))
    assert push(repo, served, "main") == RemoteAt(second)
    committed(write(tmp_path / "other", {"a.yaml": b"3"}, "Else", SARI, first))
    failed = push(tmp_path / "other", served, "main")
    assert isinstance(failed, RemoteFailed)
    assert failed.reason == "BaseMoved"
    assert "pull --rebase" in failed.fix
    with Repo(served) as opened:
        assert opened.refs[MAIN].decode() == second


def test_a_push_to_nowhere_says_why(repo: Path, tmp_path: Path) -> None:
    committed(write(repo, {"a.yaml": b"1"}, "Add", SARI, ""))
    failed = push(repo, str(tmp_path / "nowhere"), "main")
    assert isinstance(failed, RemoteFailed)
    assert failed.message


def test_without_git_it_is_said_that_git_is_missing(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed(commit(repo, {"a.yaml": b"1"}, "one", SARI, ""))
    monkeypatch.setenv("PATH", str(tmp_path))
    for failed in (push(repo, "origin", "main"), fetch(repo, "origin", "main")):
        assert isinstance(failed, RemoteFailed)
        assert "git is missing" in failed.message
