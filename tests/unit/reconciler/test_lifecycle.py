"""Lifecycle: since when, by whom and why a sandbox sleeps is read from git, and read once."""

import asyncio
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdp.reconciler import lifecycle
from sdp.reconciler.commit import Committed, write
from sdp.reconciler.desired import desire
from sdp.reconciler.lifecycle import (
    NO_LIVES,
    WHOLE,
    LastChange,
    Life,
    Lifecycle,
    Lives,
    Moment,
    lives,
)
from sdp.reconciler.loop import Reconciler
from sdp.reconciler.revisions import files_at, moments
from sdp.reconciler.source import Source
from sdp.spec.load import tree_of
from tests.builders import NOW, PLATFORM, sandbox
from tests.fakes.journal import FakeJournal
from tests.fakes.remover import FakeRemover
from tests.unit.reconciler.test_loop import platform
from tests.unit.reconciler.test_source import bare

AWAKE = sandbox("QA-A", "account: {branch: develop}")
ASLEEP = sandbox("QA-A", "account: {branch: develop}", more="lifecycle: {suspended: true}")
ACHMAD, SARI = "Achmad <achmad@company.example>", "Sari <sari@company.example>"


class Past:
    """A config repo, and what was read of it."""

    def __init__(self, folder: Path) -> None:
        self.repo = bare(folder / "config")
        self.source = Source(str(self.repo), "main", folder)
        self.tip = ""
        self.visited = 0
        self.put("Describe the platform", **{"platform.yaml": PLATFORM})

    def put(self, message: str, author: str = ACHMAD, **files: str | None) -> str:
        changes = {
            path: text.encode() if text is not None else None for path, text in files.items()
        }
        made = write(self.repo, changes, message, author, self.tip)
        assert isinstance(made, Committed)
        self.tip = made.sha
        return made.sha

    def a(self, text: str | None, message: str = "Change it", author: str = ACHMAD) -> str:
        return self.put(message, author, **{"sandboxes/a.yaml": text})

    def lives(self, known: Lives = NO_LIVES) -> Lives:
        tree = tree_of(files_at(self.repo, self.tip))
        older = moments(self.repo, self.source.standing(self.tip))
        self.visited = 0
        return lives(desire(self.tip, tree, ()), known, tree, self._counted(older))

    def _counted(self, told: Iterator[Moment]) -> Iterator[Moment]:
        for each in told:
            self.visited += 1
            yield each

    def life(self) -> Life:
        return self.lives().of["qa-a"]


@pytest.fixture
def past(tmp_path: Path) -> Past:
    return Past(tmp_path)


def test_a_suspended_sandbox_says_since_when_by_whom_and_why(past: Past) -> None:
    past.a(AWAKE)
    asleep = past.a(ASLEEP, "Suspend QA-A\n\nwaiting for\nthe fix\n", SARI)
    past.a(f"{ASLEEP}owner: achmad\n", "Set its owner")
    life = past.life()
    assert life.began[WHOLE].sha == asleep
    desired = desire(past.tip, tree_of(files_at(past.repo, past.tip))).sandboxes["qa-a"]
    said = lifecycle.lifecycle(desired, life)
    assert (said.state, said.by, said.why) == ("SUSPENDED", "Sari", "waiting for the fix")
    assert said.since == life.began[WHOLE].at
    assert life.changed is not None
    assert life.changed.sha == past.tip


def test_an_active_one_is_so_since_it_came_to_be_or_was_resumed(past: Past) -> None:
    made = past.a(AWAKE)
    past.a(f"{AWAKE}owner: achmad\n")
    assert past.life().began[WHOLE].sha == made
    past.a(ASLEEP)
    woken = past.a(AWAKE)
    past.a(f"{AWAKE}owner: sari\n")
    assert past.life().began[WHOLE].sha == woken


def test_one_that_came_back_did_not_sleep_since_before(past: Past) -> None:
    past.a(ASLEEP)
    past.a(None)
    back = past.a(ASLEEP)
    assert past.life().began[WHOLE].sha == back


def test_what_a_template_says_counts(past: Past) -> None:
    template = "template: BASE\nlifecycle: {suspended: false}\n"
    past.put("Make it", **{"templates/base.yaml": template})
    made = past.a(f"{AWAKE}template: BASE\n")
    asleep = past.put("Sleep all", **{"templates/base.yaml": template.replace("false", "true")})
    past.put("Something else", **{"environments/qa.yaml": "environment: qa\n"})
    life = past.life()
    assert life.began[WHOLE].sha == asleep
    assert life.changed is not None
    assert life.changed.sha == made


def test_one_with_an_environment_has_a_past_too(past: Past) -> None:
    past.put("Make it", **{"environments/qa.yaml": "environment: qa\n"})
    past.a(f"{AWAKE}environment: qa\n")
    asleep = past.a(f"{ASLEEP}environment: qa\n")
    past.put("Change it", **{"environments/qa.yaml": "environment: qa\nvariables: {A: b}\n"})
    assert past.life().began[WHOLE].sha == asleep
    past.put("Make another", **{"environments/dev.yaml": "environment: dev\n"})
    past.a(f"{ASLEEP}environment: dev\n")
    past.put("Delete it", ACHMAD, **{"environments/qa.yaml": None})
    assert past.life().began[WHOLE].sha == asleep


def test_a_service_that_is_stopped_alone_has_its_own_commit(past: Past) -> None:
    made = past.a(AWAKE)
    stopped = past.a(sandbox("QA-A", "account: {branch: develop, suspended: true}"))
    past.a(sandbox("QA-A", "account: {branch: feature/a, suspended: true}"))
    began = past.life().began
    assert {key: each.sha for key, each in began.items()} == {WHOLE: made, "account": stopped}


def test_a_file_that_moves_takes_its_past_along(past: Past) -> None:
    past.a(AWAKE)
    asleep = past.a(ASLEEP)
    past.put("Move it", ACHMAD, **{"sandboxes/a.yaml": None, "sandboxes/b.yaml": ASLEEP})
    assert past.life().began[WHOLE].sha == asleep


def test_what_did_not_load_changed_nothing(past: Past) -> None:
    asleep = past.a(ASLEEP)
    past.a("sandbox: QA-A\nnonsense: true\n")
    past.a(ASLEEP)
    assert past.life().began[WHOLE].sha == asleep


def test_a_new_commit_costs_itself_only(past: Past) -> None:
    past.a(ASLEEP)
    for number in range(10):
        past.put(f"Change {number}", **{"sandboxes/b.yaml": sandbox(f"QA-B{number}")})
    known = past.lives()
    last = past.put("One more", **{"sandboxes/b.yaml": sandbox("QA-B9", more="owner: sari")})
    found = past.lives(known)
    assert past.visited == 2
    assert found.of["qa-a"] == known.of["qa-a"]
    told = found.of["qa-b9"]
    assert told.began == known.of["qa-b9"].began
    assert told.changed is not None
    assert told.changed.sha == last
    assert found == dataclasses.replace(past.lives(), seen=last)


def test_reasons_leave_out_what_only_programs_write() -> None:
    def why(message: str) -> str:
        return LastChange("0" * 40, NOW, "Achmad", message).why

    assert why("Suspend QA-A") == "Suspend QA-A"
    assert why("Suspend QA-A\n\n- Set a\n- Set b\n\nSDP-Allow-Deletes: 2\n") == "Suspend QA-A"
    assert why("Suspend QA-A\n\nNote: it waits\n\nCo-authored-by: S <s@c>\n") == "Note: it waits"


async def test_the_loop_tells_it_and_reads_it_anew_without_a_database(tmp_path: Path) -> None:
    async with platform(tmp_path, a=AWAKE) as made:
        await made.synced("qa-a")
        made.config.put("Suspend QA-A\n\nit waits", **{"sandboxes/a.yaml": ASLEEP})
        await made.journal.until(lambda: shown(made.reconciler).state == "SUSPENDED")
        told = shown(made.reconciler)
        assert (told.by, told.why) == ("A", "it waits")
    journal = FakeJournal()
    anew = Reconciler(Source(str(made.config.path), "main", tmp_path), journal)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(anew.run(FakeRemover()))
        await journal.until(lambda: shown(anew) == told)
        running.cancel()


def shown(reconciler: Reconciler) -> Lifecycle:
    status = reconciler.status("qa-a")
    return status.lifecycle if status else lifecycle.AWAKE
