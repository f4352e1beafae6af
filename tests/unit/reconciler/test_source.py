"""Source: what the branch is, told at once, and read from commits alone."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dulwich.refs import HEADREF, Ref
from dulwich.repo import Repo

from sdp.reconciler.commit import Committed, write
from sdp.reconciler.source import Head, Source
from tests.builders import PLATFORM, sandbox

MAIN = Ref(b"refs/heads/main")
ACHMAD = "Achmad <achmad@company.example>"


def bare(path: Path) -> Path:
    path.mkdir(parents=True)
    with Repo.init_bare(path) as repo:
        repo.refs.set_symbolic_ref(HEADREF, MAIN)
    return path


def put(repo: Path, base: str, **files: str) -> str:
    changes = {name.replace("__", "/") + ".yaml": text.encode() for name, text in files.items()}
    outcome = write(repo, changes, "change", ACHMAD, base)
    assert isinstance(outcome, Committed)
    return outcome.sha


@contextlib.asynccontextmanager
async def following(source: Source) -> AsyncIterator[asyncio.Queue[Head]]:
    heads: asyncio.Queue[Head] = asyncio.Queue()

    async def follow() -> None:
        async with contextlib.aclosing(source.revisions()) as revisions:
            async for head in revisions:
                heads.put_nowait(head)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(follow())
        yield heads
        task.cancel()


async def test_a_commit_is_told_before_the_slow_recheck(tmp_path: Path) -> None:
    repo = bare(tmp_path / "config")
    first = put(repo, "", platform=PLATFORM)
    async with following(Source(str(repo), "main", tmp_path)) as heads, asyncio.timeout(3):
        assert await heads.get() == Head(first)
        second = put(repo, first, sandboxes__a=sandbox("QA-A"))
        assert await heads.get() == Head(second)


async def test_a_missing_repository_is_a_condition_with_a_fix_and_heals(tmp_path: Path) -> None:
    source = Source(str(tmp_path / "config"), "main", tmp_path)
    async with following(source) as heads, asyncio.timeout(3):
        missing = await heads.get()
        assert missing.trouble is not None
        assert missing.trouble.reason == "ConfigRepoMissing"
        assert "git init --bare" in missing.trouble.fix
        repo = bare(tmp_path / "config")
        source.refresh()
        missing = await heads.get()
        assert missing.trouble is not None
        assert missing.trouble.reason == "ConfigBranchMissing"
        first = put(repo, "", platform=PLATFORM)
        source.refresh()
        assert await heads.get() == Head(first)


async def test_a_deleted_branch_keeps_its_last_revision(tmp_path: Path) -> None:
    repo = bare(tmp_path / "config")
    first = put(repo, "", platform=PLATFORM)
    async with following(Source(str(repo), "main", tmp_path)) as heads, asyncio.timeout(3):
        await heads.get()
        with Repo(str(repo)) as opened:
            del opened.refs[MAIN]
        head = await heads.get()
        assert head.revision == first
        assert head.trouble is not None


def test_the_tree_is_the_commits_and_never_the_working_trees(tmp_path: Path) -> None:
    repo = tmp_path / "config"
    repo.mkdir()
    with Repo.init(repo) as opened:
        opened.refs.set_symbolic_ref(HEADREF, MAIN)
    first = put(repo, "", platform=PLATFORM, sandboxes__a=sandbox("QA-A"))
    (repo / "sandboxes").mkdir()
    (repo / "sandboxes" / "b.yaml").write_text(sandbox("QA-B"))
    tree = Source(str(repo), "main", tmp_path).tree(first)
    assert tree.platform is not None
    assert sorted(tree.sandboxes) == ["sandboxes/a.yaml"]


def test_only_specs_are_read(tmp_path: Path) -> None:
    repo = bare(tmp_path / "config")
    changes = {
        "platform.yaml": PLATFORM.encode(),
        "docs/platform.yaml": b"[",
        "sandboxes/.a.yaml.swp": b"[",
        "sandboxes/team/a.yaml": sandbox("QA-A").encode(),
    }
    outcome = write(repo, changes, "change", ACHMAD, "")
    assert isinstance(outcome, Committed)
    tree = Source(str(repo), "main", tmp_path).tree(outcome.sha)
    assert sorted(tree.sandboxes) == ["sandboxes/team/a.yaml"]
    assert not tree.problems


def test_ancestors_are_newest_first(tmp_path: Path) -> None:
    repo = bare(tmp_path / "config")
    first = put(repo, "", platform=PLATFORM)
    second = put(repo, first, sandboxes__a=sandbox("QA-A"))
    third = put(repo, second, sandboxes__b=sandbox("QA-B"))
    source = Source(str(repo), "main", tmp_path)
    past = list(source.ancestors(third))
    assert [older.sha for older in past] == [second, first]
    assert [len(older.tree.sandboxes) for older in past] == [1, 0]
    assert [each.sha for each in source.history(third)] == [third, second, first]
    assert {each.message for each in past} == {"change"}


def test_a_remote_is_mirrored_and_outlives_its_loss(tmp_path: Path) -> None:
    repo = bare(tmp_path / "config")
    first = put(repo, "", platform=PLATFORM)
    source = Source(f"file://{repo}", "main", tmp_path / "data")
    (tmp_path / "data").mkdir()
    assert source.head() == Head(first)
    second = put(repo, first, sandboxes__a=sandbox("QA-A"))
    assert source.head() == Head(second)
    assert len(source.tree(second).sandboxes) == 1
    repo.rename(tmp_path / "away")
    lost = source.head()
    assert lost.revision == second
    assert lost.trouble is not None
    assert lost.trouble.reason == "ConfigRepoUnavailable"


@pytest.mark.parametrize(
    "url", ["https://achmad:secret@bitbucket.example/c.git", "https://token@bitbucket.example/c"]
)
def test_a_url_with_credentials_is_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(ValueError, match="credentials") as refused:
        Source(url, "main", Path("/nowhere"))
    assert "secret" not in str(refused.value)


def test_an_ssh_user_is_no_credential(tmp_path: Path) -> None:
    Source("ssh://git@bitbucket.example/config.git", "main", tmp_path)
    Source("git@bitbucket.example:company/config.git", "main", tmp_path)


async def test_environments_are_read_as_they_stood_at_a_commit(tmp_path: Path) -> None:
    repo = bare(tmp_path / "config")
    said = "environment: qa\nvariables: {{MODE: {}}}\n"
    first = put(repo, "", platform=PLATFORM, environments__qa=said.format("old"))
    second = put(repo, first, environments__qa=said.format("new"))
    source, tip = Source(str(repo), "main", tmp_path), second
    for revision, mode in ((first, "old"), (second, "new")):
        more = f"environment: qa\nenvironment_revision: {revision}"
        tip = put(repo, tip, sandboxes__a=sandbox("QA-A", more=more))
        tree = source.tree(tip)
        past = tree.environments_at(revision)
        assert past is not None
        assert (past["qa"].spec.variables["MODE"], past["qa"].path) == (
            mode,
            f"environments/qa.yaml at {revision[:7]}",
        )
    files = {"platform.yaml": PLATFORM, "sandboxes/a.yaml": sandbox("QA-A", more=more)}
    assert source.read(files).past == tree.past


async def test_a_commit_whose_environments_are_wanted_and_is_not_there_has_its_place(
    tmp_path: Path,
) -> None:
    repo = bare(tmp_path / "config")
    more = f"environment_revision: {'d' * 40}"
    tip = put(repo, "", platform=PLATFORM, sandboxes__a=sandbox("QA-A", more=more))
    tree = Source(str(repo), "main", tmp_path).tree(tip)
    assert [str(each) for each in tree.problems] == [
        "sandboxes/a.yaml:4:23: the config repo has no commit ddddddd"
    ]
