"""Following branches in the loop: what a person lets in, what a webhook hints at, what lasts."""

import contextlib
from pathlib import Path

from sdp.protocol.frames import Failed, Succeeded
from sdp.reconciler.refusal import Refusal
from sdp.reconciler.updates import Update
from tests.builders import MICRO, PLATFORM, commit, sandbox
from tests.unit.reconciler.test_loop import Platform, platform

MANUAL = sandbox("QA-A", "account: {branch: feature/a, update: manual}")
AUTO = sandbox("QA-A", "account: {branch: feature/a}")
TIP, NEWER = commit("account", "feature/a"), "f" * 40


def at(made: Platform) -> str:
    """Return the commit of account, or those of a version and its successor."""
    found = made.nodes.simulation.containers().values()
    return " ".join(each.commit for each in found if each.service == "account")


async def test_an_update_looks_at_the_origins_first_and_lets_in_what_it_finds(tmp_path: Path):
    async with platform(tmp_path, a=MANUAL) as made:
        await made.synced("qa-a")
        made.nodes.pushed = {"feature/a": NEWER}
        updated = await made.reconciler.update("qa-a")
        assert updated == (Update("QA-A", "account", "feature/a", TIP, NEWER),)
        await made.journal.until(lambda: at(made) == NEWER and made.is_synced("qa-a"))
        told = [(e.sandbox, e.service, e.message) for e in made.journal.of("UPDATE")]
        assert told == [("QA-A", "account", f"feature/a {TIP[:7]} → {NEWER[:7]}")]
        again = await made.reconciler.update("qa-a")
        assert isinstance(again, Refusal)


async def test_what_was_let_in_is_known_after_a_restart_and_what_is_gone_is_forgotten(
    tmp_path: Path,
):
    async with platform(tmp_path, a=MANUAL) as made:
        await made.synced("qa-a")
        made.nodes.pushed = {"feature/a": NEWER}
        await made.reconciler.update("qa-a")
        chosen = (await made.journal.history()).chosen
        assert chosen["QA-A", "account"].commit == NEWER
        made.config.sandboxes(a=None)
        await made.journal.until(lambda: "SANDBOX_REMOVED" in made.journal.kinds())
        assert (await made.journal.history()).chosen == {}


async def test_an_update_tries_again_what_failed_before(tmp_path: Path):
    async with platform(tmp_path, a=MANUAL) as made:
        await made.synced("qa-a")
        broken = Failed(reason="BuildFailed", message="it broke", terminal=True)
        made.nodes.outcome = lambda each: broken if each.kind == "build" else Succeeded()
        made.nodes.pushed = {"feature/a": NEWER}
        await made.reconciler.update("qa-a")
        await made.journal.until(lambda: "DEPLOY_FAILED" in made.journal.kinds())
        assert at(made) == TIP
        made.nodes.outcome = lambda _: Succeeded()
        made.nodes.pushed = {"feature/a": "e" * 40}
        assert not isinstance(await made.reconciler.update("qa-a", "account"), Refusal)
        await made.journal.until(lambda: at(made) == "e" * 40)


async def test_a_silent_node_is_not_waited_for(tmp_path: Path):
    async with platform(tmp_path, a=MANUAL) as made:
        await made.synced("qa-a")
        await made.reconciler.disconnected(MICRO, made.nodes.sends[MICRO])
        refused = await made.reconciler.update("qa-a")
        assert isinstance(refused, Refusal)
        assert refused.reason == "NodeSilent"


async def test_a_hint_makes_a_new_commit_deploy_and_a_burst_is_one_look(tmp_path: Path):
    async with platform(tmp_path, a=AUTO) as made:
        await made.synced("qa-a")
        made.nodes.pushed = {"feature/a": NEWER}
        made.nodes.refreshed.clear()
        for _ in range(100):
            made.reconciler.hint({"Account", "nobody"})
        await made.journal.until(lambda: at(made) == NEWER)
        assert made.nodes.refreshed == [("account",)]


async def test_a_hint_at_the_config_repo_makes_its_commit_apply(tmp_path: Path):
    async with platform(tmp_path) as made:
        made.reconciler.hint({"CONFIG"})
        made.config.put(**{"platform.yaml": PLATFORM, "sandboxes/a.yaml": AUTO})
        made.reconciler.hint({"config"})
        await made.synced("qa-a")
        with contextlib.suppress(ValueError):
            made.nodes.refreshed.remove(("account",))  # its own commit's
        assert ("account",) not in made.nodes.refreshed
