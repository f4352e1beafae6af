"""Snapshots: one for each state that a sandbox came to be in sync with, and what differs."""

import dataclasses
from pathlib import Path

from sdp.protocol.actions import Build
from sdp.reconciler.diff import diff
from sdp.reconciler.snapshots import Newest, Snapshot, changes, commits, pins_of
from sdp.spec import models
from tests.builders import NOW, Simulation, commit, desired, sandbox
from tests.unit.reconciler.test_loop import platform

ACCOUNT = "account: {branch: develop}, payment: {url: 'http://laptop:1'}"
QA = "environment: qa\nvariables: {MODE: qa}\n"


def converged(services: str = ACCOUNT, more: str = "", qa: str = QA) -> Simulation:
    text = sandbox("QA-A", services, more=more)
    made = Simulation(desired(text, files={"environments/qa.yaml": qa}))
    made.converge()
    return made


def due(newest: Newest, made: Simulation) -> Snapshot | None:
    return newest.due(diff(made.desired.sandboxes["qa-a"], made.observed), NOW)


def taken(newest: Newest, made: Simulation) -> Snapshot:
    found = due(newest, made)
    assert found is not None
    newest.kept(found)
    return found


def said(before: Snapshot, after: Snapshot) -> list[str]:
    return [f"{each.what} {each.before} → {each.after}" for each in changes(before, after)]


def test_a_snapshot_pins_commits_addresses_and_ocp_and_no_port():
    made = taken(Newest(), converged(more="environment: qa"))
    assert made.pins.model_dump(exclude_none=True) == {
        "gateway": {"branch": "develop", "commit": commit("api-gateway", "develop")},
        "services": {
            "account": {"branch": "develop", "commit": commit("account", "develop")},
            "payment": {"url": "http://laptop:1"},
            "user": {"use_ocp": True},
        },
        "environment": "qa",
        "environment_revision": made.revision,
    }
    assert (made.sandbox, made.number, made.taken_at) == ("qa-a", 1, NOW)


def test_the_same_state_is_taken_once_whatever_else_is_committed():
    newest, world = Newest(), converged(more="environment: qa")
    first = taken(newest, world)
    assert due(newest, world) is None
    assert due(newest, converged(more="environment: qa\nowner: sari")) is None
    again = Newest()
    again.remember([first])
    assert due(again, world) is None


def test_every_other_state_is_taken_and_says_what_differs():
    newest = Newest()
    first = taken(newest, converged(more="environment: qa"))
    second = taken(newest, converged("payment: {branch: feature/a}", more="environment: qa"))
    assert (first.number, second.number) == (1, 2)
    assert said(first, second) == [
        f"account develop @{commit('account', 'develop')[:7]} → OCP",
        f"payment http://laptop:1 → feature/a @{commit('payment', 'feature/a')[:7]}",
    ]


def test_a_new_commit_of_a_branch_is_told_by_its_digits():
    newest, world = Newest(), converged()
    first = taken(newest, world)
    pin = f"branch: develop, commit: {'f' * 40}"
    second = taken(newest, converged(ACCOUNT.replace("branch: develop", pin, 1)))
    assert said(first, second) == [f"account {commit('account', 'develop')[:7]} → fffffff"]


def test_a_changed_variable_is_another_state():
    newest = Newest()
    first = taken(newest, converged(more="environment: qa"))
    world = converged(more="environment: qa", qa=QA.replace("MODE: qa", "MODE: next"))
    world.desired = _at("d" * 40, world)
    second = taken(newest, world)
    assert said(first, second) == [f"variables, secrets or files {first.revision[:7]} → ddddddd"]


def _at(revision: str, made: Simulation):
    moved = {
        name: dataclasses.replace(each, revision=revision)
        for name, each in made.desired.sandboxes.items()
    }
    return dataclasses.replace(made.desired, revision=revision, sandboxes=moved)


def test_what_does_not_run_is_not_taken():
    world = converged()
    world.remove("micro-92", "sandbox-qa-a-account")
    assert due(Newest(), world) is None
    assert due(Newest(), converged(more="lifecycle: {suspended: true}")) is None


def test_of_what_was_stopped_alone_that_which_is_kept_is_taken():
    newest, world = Newest(), converged("account: {branch: develop}, payment: {branch: develop}")
    first = taken(newest, world)
    stopped = "account: {branch: feature/a, suspended: true}, payment: {branch: feature/a}"
    world.desired = desired(sandbox("QA-A", stopped))
    world.converge()
    old, new = (commit("payment", branch)[:7] for branch in ("develop", "feature/a"))
    moved = f"payment develop @{old} → feature/a @{new}"
    assert said(first, taken(newest, world)) == [moved]


def test_of_what_was_stopped_before_it_ever_ran_its_branch_is_taken():
    made = taken(Newest(), converged("account: {branch: develop, suspended: true}"))
    assert made.pins.services["account"].commit == commit("account", "develop")


def named(made: Snapshot) -> models.Snapshot:
    return models.Snapshot.model_validate(
        {
            "snapshot": "GOOD",
            "sandbox": "QA-A",
            "taken_at": "2026-03-04T12:00:00Z",
            "revision": made.revision,
            **made.pins.model_dump(exclude_none=True),
        }
    )


def test_a_named_snapshot_equals_the_one_it_was_made_of():
    made = taken(Newest(), converged(more="environment: qa"))
    assert pins_of(named(made)) == made.pins


def test_a_named_snapshot_says_which_commits_are_to_be_kept():
    world = converged()
    assert commits([named(taken(Newest(), world))], world.desired.platform) == {
        ("api-gateway", commit("api-gateway", "develop")),
        ("account", commit("account", "develop")),
    }


async def test_a_sandbox_in_sync_is_remembered_before_each_change(tmp_path: Path) -> None:
    text = sandbox("QA-A", "account: {branch: develop}")
    async with platform(tmp_path, a=text) as made:
        await made.synced("qa-a")
        made.config.sandboxes(a=text.replace("develop}\n", "feature/a}\n"))
        await made.synced("qa-a")
        kept = made.journal.snapshots
        assert [each.number for each in kept] == [1, 2]
        assert kept[-1].revision == made.config.tip


async def test_a_release_that_is_still_there_is_not_built_again(tmp_path: Path) -> None:
    text = sandbox("QA-A", "account: {branch: develop}")
    async with platform(tmp_path, a=text) as made:
        await made.synced("qa-a")
        made.config.sandboxes(
            a=text.replace("account: {branch: develop", "account: {branch: feature/a")
        )
        await made.synced("qa-a")
        made.nodes.performed.clear()
        pin = made.journal.snapshots[0].pins.services["account"]
        pinned = f"account: {{branch: develop, commit: {pin.commit}"
        made.config.sandboxes(a=text.replace("account: {branch: develop", pinned))
        await made.synced("qa-a")
        assert not [each for each in made.nodes.performed if isinstance(each, Build)]
        assert made.journal.snapshots[2].pins == made.journal.snapshots[0].pins
