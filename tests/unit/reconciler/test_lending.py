"""The loop lends what people logged in with: for their own work, at once, and not what was refused."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from typing_extensions import override

from sdp.protocol.actions import Action, Fetch
from sdp.protocol.frames import Failed, Outcome, Succeeded
from sdp.protocol.report import Repository
from sdp.reconciler.credentials import Lender
from tests.builders import MICRO, NOW, sandbox
from tests.unit.reconciler.test_loop import Nodes, Platform

A = sandbox("QA-A", "account: {branch: develop}", more="owner: sari")
REFUSED = Failed(reason="AuthenticationFailed", message="not taken", fix="log in", terminal=True)


class Purse(Lender):
    """Lends in plain words, so that tests can read what was lent to whom for what."""

    def __init__(self, *users: str) -> None:
        self.users = set(users)

    @override
    def live(self) -> frozenset[str]:
        return frozenset(self.users)

    @override
    def sealed(self, user: str, recipient: str, purpose: str) -> str:
        assert recipient == f"key of {MICRO}"
        return f"{user} to {purpose}" if user in self.users else ""


class Made(Platform):
    """The origin of account asks for a password, and its agent has not looked yet."""

    def __init__(self, folder: Path, purse: Purse) -> None:
        super().__init__(folder, purse)
        self.purse = purse
        self.nodes: Nodes = _Asked(self.reconciler)
        self.unlooked()

    def unlooked(self) -> None:
        report = self.nodes.simulation.observed[MICRO].report
        known = report.repositories["account"].model_copy(
            update={"credentials": "wanted", "branches": {}, "checked_at": None}
        )
        repositories = {**report.repositories, "account": known}
        self.nodes.simulation.report(
            MICRO, report.model_copy(update={"repositories": repositories})
        )

    def serve(self) -> None:
        """Give the agent an account of its own, with which it has looked."""
        report = self.nodes.simulation.observed[MICRO].report
        known = report.repositories["account"].model_copy(
            update={"credentials": "served", "branches": {"develop": "a" * 40}, "checked_at": NOW}
        )
        repositories = {**report.repositories, "account": known}
        self.nodes.simulation.report(
            MICRO, report.model_copy(update={"repositories": repositories})
        )
        self.nodes.report(MICRO)

    def login(self, user: str) -> None:
        self.purse.users.add(user)
        self.reconciler.came(user)

    def logout(self, user: str) -> None:
        self.purse.users.discard(user)
        self.reconciler.went(user)

    async def held(self, reason: str) -> str:
        """Wait for a hold; return its message."""
        await self.journal.until(lambda: reason in self.reasons())
        return self.reasons()[reason]

    def conditions(self) -> str:
        status = self.reconciler.status("QA-A")
        return " ".join(each.message for each in status.conditions) if status else ""

    def reasons(self) -> dict[str, str]:
        made = self.reconciler.plan_of("QA-A")
        return {each.reason: each.message for each in made.holds} if made else {}


class _Asked(Nodes):
    """An origin that takes nobody's credentials but of ``takes``, as of the last lent."""

    takes = "sari"

    @override
    def _looked(self, known: Repository) -> Repository:
        if known.credentials != "wanted":
            return super()._looked(known)
        user = self.lent[-1][1].partition(" ")[0] if self.lent else ""
        if user != self.takes:
            return known.model_copy(update={"refused": user, "error": f"not taken of {user}"})
        branches = {"develop": "a" * 40}
        at = self.simulation.observed[MICRO].heard_at
        return known.model_copy(
            update={"branches": branches, "checked_at": at, "error": "", "refused": ""}
        )


@contextlib.asynccontextmanager
async def asking(folder: Path, *users: str) -> AsyncIterator[Made]:
    made = Made(folder, Purse(*users))
    made.config.sandboxes(a=A)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(made.reconciler.run(made.remover)),
            group.create_task(made.nodes.run()),
        ]
        await made.nodes.connect(MICRO)
        await made.nodes.connect("gateway-186")
        yield made
        for task in tasks:
            task.cancel()


async def test_it_waits_for_a_login_and_goes_on_at_once(tmp_path: Path) -> None:
    async with asking(tmp_path) as made:
        told = await made.held("WaitingForCredentials")
        assert told == "waiting for credentials of a: looking at account needs them"
        assert made.nodes.lent == []
        made.login("sari")
        await made.synced("qa-a")
        looked, fetched = made.nodes.lent
        assert looked == ("look", "sari to look at account")
        assert fetched[0] == "fetch"
        assert fetched[1].startswith("sari to perform ")
        assert fetched[1].endswith(" on account")


async def test_a_login_before_needs_no_wait(tmp_path: Path) -> None:
    async with asking(tmp_path, "sari") as made:
        made.reconciler.came("sari")
        await made.synced("qa-a")


async def test_what_is_refused_at_a_look_is_not_tried_again_before_a_new_login(
    tmp_path: Path,
) -> None:
    async with asking(tmp_path) as made:
        await made.held("WaitingForCredentials")
        made.login("a")
        assert await made.held("RepositoryUnavailable") == "not taken of a"
        made.reconciler.sync("QA-A")
        await made.journal.until(lambda: "account" not in str(made.nodes.refreshed[-1]))
        assert len(made.nodes.lent) == 1
        made.login("sari")
        await made.synced("qa-a")


async def test_a_fetch_that_is_refused_waits_for_a_new_login_which_mends_it(
    tmp_path: Path,
) -> None:
    def refuse(action: Action) -> Outcome:
        account = isinstance(action, Fetch) and action.repository == "account"
        return REFUSED if account and len(made.nodes.lent) < 3 else Succeeded()

    async with asking(tmp_path) as made:
        made.nodes.outcome = refuse
        await made.held("WaitingForCredentials")
        made.login("sari")
        await made.held("AuthenticationFailed")
        assert [kind for kind, _ in made.nodes.lent] == ["look", "fetch"]
        made.login("sari")
        await made.synced("qa-a")


async def test_what_is_refused_is_tried_again_with_what_else_there_is(tmp_path: Path) -> None:
    def refuse(action: Action) -> Outcome:
        if not isinstance(action, Fetch) or action.repository != "account":
            return Succeeded()
        tries.append(action)
        return REFUSED if len(tries) == 1 else Succeeded()

    tries: list[Action] = []
    async with asking(tmp_path, "sari") as made:
        made.nodes.outcome = refuse
        made.serve()
        made.reconciler.came("sari")
        await made.synced("qa-a")
        assert len(tries) == 2
        assert [kind for kind, _ in made.nodes.lent] == ["fetch"]


async def test_after_an_agent_began_anew_what_runs_goes_on_and_nobody_is_asked(
    tmp_path: Path,
) -> None:
    async with asking(tmp_path, "sari") as made:
        made.reconciler.came("sari")
        await made.synced("qa-a")
        made.logout("sari")
        made.nodes.performed.clear()
        made.unlooked()
        made.nodes.report(MICRO)
        await made.journal.until(lambda: "newer commits can't be seen" in made.conditions())
        assert made.is_synced("qa-a")
        assert made.nodes.performed == []
