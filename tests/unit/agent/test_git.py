"""The clone is fetched into and read from; its own files, index and branches stay as they are."""

from pathlib import Path

import pytest

from sdp.agent.git import Clone
from sdp.agent.git_problem import GitProblem, classify
from tests.unit.agent.repositories import Origin, git


class World:
    def __init__(self, tmp: Path) -> None:
        self.tmp = tmp
        self.origin = Origin(tmp / "origin")
        self.path = self.origin.clone(tmp / "clone")
        self.clone = Clone(self.path, tmp)

    def untouched(self) -> tuple[str, str, str]:
        """Return what somebody who works in the clone sees of it."""
        return (
            git(self.path, "status", "--porcelain=v2", "--branch", "--untracked-files=all"),
            git(self.path, "for-each-ref", "refs/heads"),
            (self.path / ".git" / "index").read_bytes().hex(),
        )


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def reason(outcome: object) -> str:
    assert isinstance(outcome, GitProblem), outcome
    return outcome.reason


async def test_ls_remote_tells_the_origins_branches(world):
    tip = world.origin.commit({"a": "1"}, "feature/login")
    assert await world.clone.ls_remote() == {"main": world.origin.first, "feature/login": tip}


async def test_fetch_brings_a_commit_and_touches_nothing_of_the_clone(world):
    tip = world.origin.commit({"a": "1"}, "feature/login")
    (world.path / "README").write_text("somebody's work")
    before = world.untouched()
    assert not await world.clone.has(tip)
    assert await world.clone.fetch("feature/login", tip) is None
    assert tip in await world.clone.present()
    assert world.untouched() == before


async def test_fetched_commit_is_present_even_when_the_branch_moved_on(world):
    older = world.origin.commit({"a": "1"}, "feature")
    world.origin.commit({"a": "2"}, "feature")
    assert await world.clone.fetch("feature", older) is None
    assert older in await world.clone.present()


async def test_commit_that_left_its_branch_is_fetched_by_itself(world):
    lost = world.origin.commit({"a": "1"}, "feature")
    git(world.origin.folder, "tag", "keeps-it")
    git(world.origin.folder, "reset", "--quiet", "--hard", world.origin.first)
    assert await world.clone.fetch("feature", lost) is None
    assert lost in await world.clone.present()


async def test_branch_that_takes_the_place_of_a_folder_of_branches_is_fetched(world):
    first = world.origin.commit({"a": "1"}, "feature/x")
    assert await world.clone.fetch("feature/x", first) is None
    git(world.origin.folder, "checkout", "--quiet", "main")
    git(world.origin.folder, "branch", "-D", "feature/x")
    second = world.origin.commit({"a": "2"}, "feature")
    assert await world.clone.fetch("feature", second) is None
    assert second in await world.clone.present()


async def test_a_present_commit_needs_no_origin(world):
    world.origin.folder.rename(world.tmp / "gone")
    assert await world.clone.fetch("main", world.origin.first) is None


async def test_missing_branch_and_commit_say_so(world):
    failed = await world.clone.fetch("no-such", "0" * 40)
    assert reason(failed) == "BranchMissing"
    assert isinstance(failed, GitProblem)
    assert "no-such" in failed.message
    assert failed.fix
    assert failed.failed().terminal


async def test_missing_origin_is_a_problem_of_the_repository(world):
    world.origin.folder.rename(world.tmp / "gone")
    assert reason(await world.clone.ls_remote()) == "RepositoryMissing"


async def test_missing_clone_is_told(tmp_path):
    (tmp_path / "plain").mkdir()
    assert reason(await Clone(tmp_path / "none", tmp_path).ls_remote()) == "CloneMissing"
    assert reason(await Clone(tmp_path / "plain", tmp_path).present()) == "CloneMissing"


@pytest.mark.parametrize(
    "branch",
    [
        "--upload-pack=touch x",
        "-c",
        "x:refs/heads/main",
        "a..b",
        "a b",
        "",
        "x\ny",
        "a\0b",
        "+main",
        "main:",
    ],
)
async def test_hostile_branch_is_data_or_refused(world, branch):
    before = world.untouched()
    absent = "1" * 40
    assert reason(await world.clone.fetch(branch, absent)) in {"HostileName", "BranchMissing"}
    assert world.untouched() == before
    assert not (world.path / "x").exists()


@pytest.mark.parametrize("commit", ["main", "--help", "HEAD", "0" * 39, "../" * 20])
async def test_only_whole_commits_are_taken(world, commit):
    target = world.tmp / "tree"
    assert reason(await world.clone.fetch("main", commit)) == "HostileName"
    assert reason(await world.clone.checkout(commit, target)) == "HostileName"
    assert reason(await world.clone.show(commit, "README")) == "HostileName"
    assert not target.exists()


async def test_origin_with_a_password_is_refused_without_showing_it(world):
    git(world.path, "remote", "set-url", "origin", "https://u:hunter2@host/x.git")
    failed = await world.clone.ls_remote()
    assert reason(failed) == "PasswordInUrl"
    assert "hunter2" not in repr(failed)


async def test_ext_transport_never_runs(world):
    git(world.path, "remote", "set-url", "origin", f"ext::touch {world.tmp / 'ran'}")
    assert reason(await world.clone.ls_remote()) == "TransportRefused"
    assert not (world.tmp / "ran").exists()


async def test_checkout_writes_files_modes_and_links_elsewhere(world):
    folder = world.origin.folder
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "sub").mkdir()
    (folder / "sub" / "link").symlink_to("../run.sh")
    tip = world.origin.record()
    assert await world.clone.fetch("main", tip) is None
    before = world.untouched()
    target = world.tmp / "releases" / "tree"
    assert await world.clone.checkout(tip, target) is None
    assert (target / "run.sh").stat().st_mode & 0o111
    assert (target / "sub" / "link").readlink() == Path("../run.sh")
    assert not (target / ".git").exists()
    assert [p.name for p in target.parent.iterdir()] == ["tree"]
    assert world.untouched() == before


@pytest.mark.parametrize(
    "links",
    [
        {"out": "/etc/passwd"},
        {"out": "../../x"},
        {"deep/er/up": "../..", "out": "deep/er/up/../.."},
    ],
)
async def test_links_that_escape_are_refused_and_leave_nothing(world, links):
    for name, to in links.items():
        path = world.origin.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(to)
    tip = world.origin.record()
    assert await world.clone.fetch("main", tip) is None
    target = world.tmp / "tree"
    assert reason(await world.clone.checkout(tip, target)) == "EscapingSymlink"
    assert not target.exists()


async def test_show_reads_a_file_at_a_commit(world):
    first = world.origin.first
    assert await world.clone.show(first, "README") == b"first\n"
    assert reason(await world.clone.show(first, "none")) == "FileMissing"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("fatal: Authentication failed for 'https://h/r.git/'", "AuthenticationFailed"),
        (
            "fatal: could not read Username for 'https://h': terminal prompts disabled",
            "AuthenticationFailed",
        ),
        ("git@h: Permission denied (publickey).\nfatal: Could not read from remote", "AuthenticationFailed"),
        ("fatal: unable to access 'https://h/': Could not resolve host: h", "Unreachable"),
        ("fatal: unable to access 'https://h/': The requested URL returned error: 502", "Unreachable"),
        ("fatal: unable to access 'https://h/': The requested URL returned error: 403", "AuthenticationFailed"),
        ("fatal: repository 'https://h/r.git/' not found", "RepositoryMissing"),
        ("fatal: write error: No space left on device", "DiskFull"),
        ("fatal: unable to access: SSL certificate problem: self-signed", "CertificateRefused"),
        ("something else", "GitFailed"),
    ],
)  # fmt: skip
def test_what_git_says_is_told_by_its_reason(said, meant):
    assert classify("fetching x", tuple(said.splitlines())).reason == meant
