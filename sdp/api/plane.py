"""The reconciler, as the API reads it: its values shown as views."""

import asyncio
import dataclasses
from collections.abc import Collection, Mapping, Sequence

from sdp.api import node_views, rights, showing, usage, views
from sdp.api.port_table import port_list
from sdp.api.problems import ProblemError
from sdp.api.quota_table import quota_list
from sdp.reconciler import doctor
from sdp.reconciler.draft import Plan, World
from sdp.reconciler.loop import Reconciler
from sdp.reconciler.observed import Observed
from sdp.reconciler.refusal import Refusal
from sdp.reconciler.status import SandboxStatus
from sdp.spec.models import Platform
from sdp.spec.resolve import problems
from sdp.spec.roles import Person
from sdp.spec.select import WHOLE, Selection
from sdp.spec.tree import Tree


class ReconcilerPlane:
    """The reconciler, as the API reads it."""

    def __init__(self, reconciler: Reconciler, signing_key: str = "") -> None:
        """Take the reconciler, and the public key of what the control plane commits."""
        self._reconciler = reconciler
        self.signing_key = signing_key

    @property
    def revision(self) -> str:
        return self._reconciler.revision

    @property
    def branch(self) -> str:
        return self._reconciler.branch

    @property
    def platform(self) -> Platform | None:
        return self._world.desired.platform

    @property
    def observed(self) -> Observed:
        return self._world.observed

    @property
    def _world(self) -> World:
        return self._reconciler.world()

    @property
    def tree(self) -> Tree | None:
        return self._reconciler.tree

    def ports(self) -> node_views.PortList:
        return port_list(self._world)

    def quotas(self) -> node_views.QuotaList:
        return quota_list(self._world)

    def sandboxes(self) -> Sequence[views.SandboxView]:
        whole = self._world
        return [self._shown(each, whole) for each in self._reconciler.statuses().values()]

    def sandbox(self, name: str) -> views.SandboxView | None:
        status = self._reconciler.status(name)
        return self._shown(status, self._world) if status else None

    def _shown(self, status: SandboxStatus, whole: World) -> views.SandboxView:
        desired = whole.desired.sandboxes.get(status.name.lower())
        plan = self._reconciler.plan_of(status.name) or Plan()
        return showing.sandbox(status, desired, plan, whole)

    def usage(self, name: str) -> views.UsageView | None:
        status = self._reconciler.status(name)
        return usage.series(status, self.observed) if status else None

    def plan_of(self, name: str) -> views.PlanView | None:
        plan = self._reconciler.plan_of(name)
        if plan is None:
            return None
        return self._served(showing.plan({name.lower(): plan}, self._world))

    def _served(self, made: views.PlanView) -> views.PlanView:
        return made.model_copy(update={"branch": self.branch})

    async def preview(
        self,
        files: Mapping[str, str],
        selection: Selection = WHOLE,
        deletes: int = 0,
        who: Person | None = None,
    ) -> views.PlanView:
        files, refused = await asyncio.to_thread(self._reconciler.permitted, files, who)
        tree = await asyncio.to_thread(self._reconciler.read, files)
        plans, whole = self._reconciler.preview(tree, selection, deletes)
        desired = dataclasses.replace(whole.desired, revision=self.revision)
        title = f"Against what runs (commit {self.revision[:7] or 'none'} is applied)"
        title += "" if selection.whole else f", partial: {selection}"
        whole = dataclasses.replace(whole, desired=desired)
        now = (self._reconciler.plan_of(name) or Plan() for name in plans)
        waiting = [hold for each in now for hold in each.holds]
        made = showing.plan(plans, whole, problems(tree), title, waiting)
        said = {"refused": rights.needs(refused), "withheld": self.withheld()}
        return self._served(rights.told(made.model_copy(update=said)))

    def withheld(self) -> tuple[views.WithheldView, ...]:
        return rights.withheld(self._world.desired.withheld.values())

    def sync(self, name: str) -> str:
        return self._reconciler.sync(name)

    def restart(self, name: str, service: str) -> views.RestartRequested:
        if name.lower() not in self._world.desired.sandboxes:
            fix = f"see what it waits for: sdp explain {name}"
            raise ProblemError(409, "leaving", "It goes", f"{name} is being removed", fix)
        made = self._reconciler.restart(name, service)
        if isinstance(made, Refusal):
            raise ProblemError(409, "not-restarted", made.reason, made.message, made.fix)
        asked, nonce = made
        return views.RestartRequested(sandbox=name, services=asked.services, nonce=nonce)

    async def cancel(self, name: str, service: str) -> views.Cancelled:
        return showing.cancelled(name, await self._reconciler.cancel(name, service))

    async def update(self, name: str, service: str) -> views.Updated:
        made = await self._reconciler.update(name, service)
        if isinstance(made, Refusal):
            raise ProblemError(409, "not-updated", made.reason, made.message, made.fix)
        return showing.updated(name, made)

    def hint(self, repositories: Collection[str]) -> None:
        self._reconciler.hint(repositories)

    def in_flight(self) -> Sequence[views.ActionInFlight]:
        return [showing.in_flight(each) for each in self._reconciler.flying()]

    def garbage(self) -> node_views.Garbage:
        return showing.garbage(self._reconciler.garbage(), self.platform)

    def collect(self) -> node_views.Garbage:
        return showing.garbage(self._reconciler.collect(), self.platform)

    def examine(self, version: str) -> Sequence[node_views.Finding]:
        examined = doctor.examine(self._world, version, self.signing_key)
        found = [showing.finding(each) for each in examined]
        if (trouble := self._reconciler.trouble) is not None:
            about = node_views.Finding(
                severity="error", node="", kind="spec", message=trouble.message, fix=trouble.fix
            )
            found.insert(0, about)
        return found

    def unready(self) -> Sequence[views.Condition]:
        found: list[views.Condition] = []
        if (trouble := self._reconciler.trouble) is not None:
            found.append(
                views.Condition(reason=trouble.reason, message=trouble.message, fix=trouble.fix)
            )
        if self.platform is None:
            found.append(
                views.Condition(
                    reason="NoPlatform",
                    message="no platform.yaml was loaded yet",
                    fix="commit a platform.yaml that sdp validate finds right",
                )
            )
        return found
