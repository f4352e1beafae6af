"""Restart: once, of what runs, and seen by its effect like everything else."""

import asyncio
import dataclasses
import datetime
from pathlib import Path

from sdp.protocol.actions import Action, Restart
from sdp.protocol.frames import Failed, Outcome, Succeeded
from sdp.reconciler import observed as observation
from sdp.reconciler.admission import admission
from sdp.reconciler.quota import Place
from sdp.reconciler.refusal import Refusal
from sdp.reconciler.restart import Asked, ask, pending
from tests.builders import GATEWAY, MICRO, NOW, PLATFORM, Simulation, desired, sandbox
from tests.unit.reconciler.test_loop import platform

BOTH = "account: {branch: develop}, payment: {branch: develop}, user: {use_ocp: true}"
A = sandbox("QA-A", BOTH)


def converged() -> Simulation:
    made = Simulation(desired(A))
    made.converge()
    made.remember()
    return made


def asked(made: Simulation, service: str = "") -> Asked | Refusal:
    return ask(made.desired.sandboxes["qa-a"], service, made.world())


def restart(made: Simulation, service: str = "") -> None:
    answer = asked(made, service)
    assert isinstance(answer, Asked)
    made.restarts = answer.containers


def test_one_service_is_restarted_once_and_gated() -> None:
    made = converged()
    before = made.containers()
    restart(made, "account")
    assert made.kinds() == ["account restart"]
    cause = made.plans()["qa-a"].actions[0].cause
    assert str(cause) == "restart asked for"
    made.step()
    assert made.kinds() == ["account gate"]
    made.converge()
    after = made.containers()
    assert after.keys() == before.keys()
    account = before["sandbox-qa-a-account"]
    again = after["sandbox-qa-a-account"]
    assert (again.id, again.host_port, again.admitted) == (account.id, account.host_port, True)
    assert again.started_at != account.started_at
    assert pending(made.restarts, made.observed) == {}


def test_a_whole_sandbox_is_restarted_but_for_what_sleeps_or_is_elsewhere() -> None:
    made = converged()
    made.desired = desired(sandbox("QA-A", BOTH.replace("develop", "develop, suspended: true", 1)))
    made.converge()
    answer = asked(made)
    assert isinstance(answer, Asked)
    assert answer.services == ("gateway", "payment")
    restart(made)
    assert sorted(made.kinds()) == ["gateway restart", "payment restart"]
    made.converge()
    assert made.containers()["sandbox-qa-a-account"].state == "exited"


def test_a_container_that_is_seen_stopped_in_between_is_no_drift() -> None:
    made = converged()
    restart(made, "account")
    made.edit(MICRO, "sandbox-qa-a-account", state="exited", health="none")
    assert made.kinds() == ["account restart"]
    assert made.plans()["qa-a"].drifts == ()


def test_what_started_again_by_itself_is_not_restarted_again() -> None:
    made = converged()
    restart(made, "account")
    made.edit(MICRO, "sandbox-qa-a-account", started_at=NOW + datetime.timedelta(seconds=5))
    assert made.kinds() == []


def test_who_waits_for_more_memory_is_told_so_and_not_that_a_restart_is_asked_for() -> None:
    limited = "resources: {memory: 1GB}"
    made = Simulation(desired(sandbox("QA-A", BOTH, more=limited)))
    made.converge()
    wants = sandbox("QA-A", BOTH, more=limited.replace("1GB", "3GB"))
    meant = desired(wants, platform=f"{PLATFORM}quotas: {{memory: 2GB}}\n")
    places = {"qa-a": Place("", 1 << 30)}
    admitted = admission(meant, made.observed, places, NOW)
    whole = dataclasses.replace(made.world(), desired=meant, admission=admitted)
    refused = ask(meant.sandboxes["qa-a"], "account", whole)
    assert isinstance(refused, Refusal)
    assert refused.reason == "LargerThanQuota"
    assert refused.fix == admitted.queue["qa-a"].note.fix


def test_what_can_not_be_restarted_is_refused_with_a_fix() -> None:
    made = converged()
    refused = asked(made, "user")
    assert isinstance(refused, Refusal)
    assert (refused.reason, refused.fix) == ("NotRunning", "see: sdp status QA-A")
    made.observed = observation.silent(made.observed, GATEWAY)
    refused = asked(made)
    assert isinstance(refused, Refusal)
    assert refused.reason == "NodeSilent"
    assert isinstance(asked(made, "account"), Asked)
    made.desired = desired(sandbox("QA-A", BOTH, more="lifecycle: {suspended: true}"))
    refused = asked(made, "account")
    assert isinstance(refused, Refusal)
    assert (refused.reason, refused.fix) == ("Suspended", "wake it: sdp resume QA-A")


async def test_the_loop_serves_a_restart_once(tmp_path: Path) -> None:
    async with platform(tmp_path, a=A) as made:
        await made.synced("qa-a")
        made.nodes.performed.clear()
        first, second = (made.reconciler.restart("QA-A", each) for each in ("account", "payment"))
        assert not isinstance(first, Refusal)
        assert not isinstance(second, Refusal)
        assert first[1] == second[1]
        await made.journal.until(lambda: served(made.reconciler.status("qa-a"), first[1]))
        await made.synced("qa-a")
        done = [each for each in made.nodes.performed if isinstance(each, Restart)]
        assert len(done) == 2
        assert len(made.journal.of("RESTARTED")) == 2
        assert not made.journal.of("DRIFT")


def served(status: object, nonce: str) -> bool:
    return getattr(status, "served", "") == nonce


async def test_a_restart_is_no_word_to_try_again_what_failed(tmp_path: Path) -> None:
    def refuses(action: Action) -> Outcome:
        if action.kind == "build":
            return Failed(reason="BuildFailed", message="no", terminal=True)
        return Succeeded()

    async with platform(tmp_path, a=A) as made:
        await made.synced("qa-a")
        made.nodes.outcome = refuses
        made.config.sandboxes(a=sandbox("QA-A", BOTH.replace("develop", "feature/a", 1)))
        await made.journal.until(lambda: bool(made.journal.of("DEPLOY_FAILED")))
        made.nodes.performed.clear()
        answer = made.reconciler.restart("QA-A", "account")
        assert not isinstance(answer, Refusal)
        async with asyncio.timeout(3):
            await made.journal.until(lambda: bool(made.journal.of("RESTARTED")))
        assert [each.kind for each in made.nodes.performed if each.kind == "build"] == []
