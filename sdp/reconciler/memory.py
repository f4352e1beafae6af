"""Memory: what the loop knows between two rounds, and how it follows from what it is told.

No I/O: the loop awaits, this computes; what must outlive the process the loop gives the journal.
"""

import collections
import dataclasses
import datetime
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from pydantic import JsonValue, TypeAdapter

from sdp.protocol.frames import Hello, Sample
from sdp.protocol.report import Delta, NodeReport
from sdp.reconciler import (
    attribution,
    cancel,
    deployments,
    desired,
    events,
    expiry,
    guard,
    quota,
    restart,
    steady,
)
from sdp.reconciler import observed as observation
from sdp.reconciler.admission import admission
from sdp.reconciler.attribution import Attribution
from sdp.reconciler.cancel import Cancellation
from sdp.reconciler.credentials import NO_LENDERS, Lenders
from sdp.reconciler.departure import Departure
from sdp.reconciler.deployments import Deployment, Key
from sdp.reconciler.desired import Desired, DesiredSandbox
from sdp.reconciler.diff import Obstacle, Unread, Version, diff
from sdp.reconciler.dispatch import InFlight, Wanted
from sdp.reconciler.draft import Hold, Plan, Planned, Restarts, World, world
from sdp.reconciler.drift import INTENT
from sdp.reconciler.events import Event
from sdp.reconciler.expiry import Ages
from sdp.reconciler.guard import Word
from sdp.reconciler.history import Attempt, Chosen, Failure, History
from sdp.reconciler.lifecycle import NO_LIVES, Lives
from sdp.reconciler.observed import Observed, Skew
from sdp.reconciler.plan import plan
from sdp.reconciler.ports import Lease, rebuild
from sdp.reconciler.quota import NO_QUOTAS, Admission
from sdp.reconciler.snapshots import Newest, Snapshot
from sdp.reconciler.status import SandboxStatus, status, turns_at
from sdp.reconciler.steady import Moved
from sdp.reconciler.updates import Look
from sdp.spec.models import Roles
from sdp.spec.tree import Problem, Tree

PATIENCE: Final = 20
"""How often an action may succeed without its effect being seen, before it is given up."""
_JSON: Final = TypeAdapter(SandboxStatus)


def causes(planned: Planned) -> Key:
    """Return the key of the deployment that an action is part of."""
    return planned.sandbox, planned.service, planned.version


class Memory:
    """All that plans and statuses are made from, as of now."""

    def __init__(self) -> None:
        self.desired: Desired = desired.NOTHING
        self.observed: Observed = observation.NOTHING
        self.trees: tuple[Tree, ...] = ()
        self.plans: dict[str, Plan] = {}
        self.statuses: dict[str, SandboxStatus] = {}
        self.deployments: dict[Key, Deployment] = {}
        self.lives = NO_LIVES
        self.lenders: Callable[[], Lenders] = lambda: NO_LENDERS
        self.restarts: Restarts = {}
        self.leases: dict[tuple[str, int], Lease] = {}
        self._saved_leases: dict[tuple[str, int], Lease] = {}
        self._applied: dict[tuple[str, str], str] = {}
        self._failures: dict[Key, Failure] = {}
        self._chosen: Chosen = {}
        self._served: dict[str, str] = {}
        self._synced_spec: dict[str, DesiredSandbox] = {}
        self._healing: set[str] = set()
        self._drifts: dict[str, frozenset[str]] = {}
        self._successes: dict[str, collections.Counter[str]] = {}
        self._departures: dict[str, Departure] = {}
        self._let_go: dict[str, set[str]] = {}
        self._too_many: frozenset[str] = frozenset()
        self._confirmed: set[str] = set()
        self._planned_at: datetime.datetime | None = None
        self._ages: Ages | None = None
        self.snapshots = Newest()
        self._admission: Admission = NO_QUOTAS
        self._moved: frozenset[str] = frozenset()
        self._behind: Attribution = {}

    # What is told.

    def remember(
        self, history: History, leases: Iterable[Lease], known: Iterable[Deployment]
    ) -> None:
        """Take what outlived the process."""
        self._applied = dict(history.applied)
        self._failures = dict(history.failures)
        self._chosen = history.chosen
        self.leases = {(lease.node, lease.port): lease for lease in leases}
        self._saved_leases = dict(self.leases)
        self.deployments = {each.key: each for each in known}

    def apply(
        self, trees: tuple[Tree, ...], new: Desired, now: datetime.datetime
    ) -> tuple[list[Event], frozenset[str]]:
        """Take a new revision; return what to tell, and which sandboxes changed.

        Args:
            trees: the revision's, and one that explains its platform where its own does not load.
            new: what it desires.
            now: when.
        """
        old = self.desired
        for name in new.sandboxes:
            self._departures.pop(name, None)
            self._confirmed.discard(name)
            for names in self._let_go.values():
                names.discard(name)
        changed = desired.differing(old, new)
        for name in changed:
            self._successes.pop(name, None)
        self.desired, self.trees = new, (*trees, *self.trees[:1])
        listed: list[JsonValue] = [*sorted(changed)]
        data: dict[str, JsonValue] = {"revision": new.revision, "changed": listed}
        applied = Event(now, "REVISION", message=new.revision, data=data)
        fresh = sorted({*new.problems} - {*old.problems})
        return [applied, *(_problem(each, now) for each in fresh)], changed

    def report(
        self,
        node: str,
        new: NodeReport,
        generation: int,
        hello: Hello | None,
        now: datetime.datetime,
    ) -> None:
        """Take a full report, and who gave it."""
        made = observation.report(self.observed, node, new, generation, now)
        if hello is not None:
            made = {**made, node: dataclasses.replace(made[node], version=hello.version)}
        self.observed = made

    def fold(self, node: str, delta: Delta, generation: int, now: datetime.datetime) -> None:
        """Take a change of a report."""
        self.observed = observation.fold(self.observed, node, delta, generation, now)

    def timed(self, node: str, skew: Skew) -> None:
        """Take how far a node's clock is from ours."""
        self.observed = observation.timed(self.observed, node, skew)

    def measured(
        self, node: str, samples: Iterable[Sample], now: datetime.datetime
    ) -> frozenset[str]:
        """Take what containers use; return whose health that may change."""
        self.observed, turned = observation.measured(self.observed, node, samples, now)
        return turned

    def silence(self, node: str) -> None:
        """Take it that a node is not heard any more."""
        self.observed = observation.silent(self.observed, node)

    def succeeded(self, planned: Planned) -> None:
        """Count that an action succeeded; its effect should take it out of the plan."""
        counter = self._successes.setdefault(planned.sandbox.lower(), collections.Counter())
        counter[planned.key] += 1

    def fail(self, failure: Failure) -> None:
        """Take a failure."""
        attempt = failure.attempt
        self._failures[attempt.sandbox, attempt.service, attempt.version] = failure

    def mend(self, sandbox: str, service: str) -> None:
        """Forget a service's failures."""
        about = (sandbox, service)
        self._failures = {k: each for k, each in self._failures.items() if k[:2] != about}

    def moved(self, names: Iterable[str]) -> Moved:
        """Return at which commits services of these sandboxes are now, where that is news."""
        return steady.moves(self.desired, names, self.observed, self._chosen)

    def choose(self, moved: Moved) -> None:
        """Take choices."""
        self._chosen = steady.choose(self._chosen, moved)

    def looked(self, looks: Iterable[Look]) -> dict[Look, datetime.datetime | None]:
        """Return when nodes last looked at origins."""
        found: dict[Look, datetime.datetime | None] = {}
        for each in looks:
            seen = self.observed.get(each.node)
            known = seen.report.repositories.get(each.repository) if seen else None
            found[each] = known.checked_at if known else None
        return found

    def confirm(self, name: str) -> None:
        """Take a person's word for a sandbox: it may be tried again or healed, or it may go."""
        self._successes.pop(name, None)
        if name in self.desired.sandboxes:
            self._healing.add(name)
        else:
            self._confirmed.add(name)

    def put(self, deployment: Deployment) -> None:
        """Take a deployment as it is now."""
        self.deployments[deployment.key] = deployment

    def met(self, departures: Mapping[str, Departure]) -> None:
        """Take what git says of sandboxes that nobody desires."""
        self._departures.update(departures)

    # What is asked.

    def every(self) -> frozenset[str]:
        """Return all sandboxes, desired, observed or shown, by lower-cased name."""
        seen = observation.sandboxes(self.observed)
        return frozenset(self.desired.sandboxes.keys() | seen | self.statuses.keys())

    def strangers(self) -> dict[str, Departure | None]:
        """Return the observed sandboxes that nobody desires, whose past must be looked at."""
        seen = observation.sandboxes(self.observed) - self.desired.sandboxes.keys()
        known = {name: self._departures.get(name) for name in sorted(seen)}
        revision = self.desired.revision
        return {name: each for name, each in known.items() if not each or each.seen != revision}

    def world(self, now: datetime.datetime, meant: Desired | None = None) -> World:
        """Return the world as of now, or as it would be with another intent."""
        history = History(dict(self._applied), dict(self._failures))
        leases = rebuild(self.leases, self.observed)
        chosen = self._chosen
        if meant is not None:  # before it counts, a branch that it names anew is at what runs
            moved = steady.moves(meant, meant.sandboxes, self.observed, chosen)
            chosen = steady.choose(chosen, moved)
        meant = meant or self.desired
        expiries = self._expiries(meant, now)
        meant = steady.steady(meant, self.observed, chosen)
        meant = expiry.asleep(meant, expiries, now)
        made = world(meant, self.observed, history, leases, now)
        return dataclasses.replace(
            made,
            expiries=expiries,
            healing=frozenset(self._healing),
            restarts=restart.pending(self.restarts, self.observed),
            lives=self.lives,
            lenders=self.lenders(),
            admission=admission(made.desired, self.observed, self._admission.places, now),
        )

    def _expiries(self, meant: Desired, now: datetime.datetime) -> expiry.Expiries:
        """Return until when sandboxes live; those meant to be otherwise than now are used now."""
        deployed: dict[str, datetime.datetime] = {}
        for each in self.deployments.values():
            name = each.sandbox.lower()
            deployed[name] = max(each.created_at, deployed.get(name, each.created_at))
        if meant.revision != self.desired.revision:
            deployed |= dict.fromkeys(desired.differing(self.desired, meant), now)
        return expiry.expiries(meant, self.observed, self.lives, deployed, now)

    def patience(self, now: datetime.datetime, most: float) -> float:
        """Return the seconds until something is due by itself."""
        due = [each.retry_at for each in self._failures.values() if each.retry_at is not None]
        since = self._planned_at or now
        turns = [at for made in self.statuses.values() if (at := turns_at(made))]
        due += [*expiry.turns(self._ages.found)] if self._ages else []
        waits = [(at - now).total_seconds() for at in due if at > since]
        waits += [(at - now).total_seconds() for at in turns]
        return max(0.05, min([most, *waits]))

    def turning(self, now: datetime.datetime) -> frozenset[str]:
        """Return the sandboxes whose health was to change by itself by now."""
        statuses = self.statuses.items()
        return frozenset(n for n, made in statuses if (at := turns_at(made)) and at <= now)

    def failing(self, name: str) -> list[tuple[str, str]]:
        """Return the services of a sandbox that have failures."""
        return sorted({key[:2] for key in self._failures if key[0].lower() == name})

    def failed_for(self, reason: str) -> frozenset[tuple[str, str]]:
        """Return the sandboxes' services that failed for a reason."""
        failures = self._failures.values()
        failed = (each.attempt for each in failures if each.reason == reason)
        return frozenset((each.sandbox, each.service) for each in failed)

    def cancelling(
        self, scope: cancel.Scope, flying: Collection[InFlight], whole: World
    ) -> Cancellation:
        """Return what cancelling comes to, by the plans as they are."""
        wanted = self.wanted(whole, [scope.sandbox.lower()])
        return cancel.cancel(scope, self.plans, flying, wanted, whole.history)

    def failure(self, attempt: Attempt) -> Failure | None:
        """Return the failure of the same version before."""
        return self._failures.get((attempt.sandbox, attempt.service, attempt.version))

    def waiting_for_ports(self) -> frozenset[str]:
        """Return the sandboxes that wait for a port that somebody has, by lower-cased name."""
        plans = self.plans.items()
        return frozenset(
            name for name, made in plans if any(h.reason == "PortConflict" for h in made.holds)
        )

    def planning(self, done: Planned) -> list[Planned]:
        """Return everyone's planned action of the same key; the one that was done, at least."""
        same = [e for each in self.plans.values() for e in each.actions if e.key == done.key]
        return same or [done]

    def sharing(self, done: Planned) -> frozenset[str]:
        """Return the sandboxes that an action's end matters to."""
        return frozenset(each.sandbox.lower() for each in (done, *self.planning(done)))

    def wanted(self, whole: World, names: Iterable[str]) -> Wanted:
        """Return which version of each service of these sandboxes is wanted."""
        wanted: dict[tuple[str, str], str | None] = {}
        for name in frozenset(names) & whole.desired.sandboxes.keys():
            sandbox = whole.desired.sandboxes[name]
            difference = diff(sandbox, whole.observed)
            for service in (difference.gateway, *difference.services):
                about = (sandbox.name, service.service)
                match service.wanted:
                    case Version(hash=version) if not sandbox.sleeps(service.service):
                        wanted[about] = version
                    case Obstacle() | Unread():
                        wanted[about] = None
                    case _:
                        continue
        return wanted

    def startable(self) -> list[Plan]:
        """Return the plans without those that do not converge; their keys still block others."""
        return [Plan() if self._stuck(name) else each for name, each in sorted(self.plans.items())]

    def shifted(self, whole: World) -> frozenset[str]:
        """Return the sandboxes that quotas, or time, tell something else than before."""
        aged = expiry.moved(self._ages, Ages(whole.expiries, whole.now))
        again = self._retried(self._planned_at or whole.now, whole.now)
        return self._moved | aged | again | quota.moved(self._admission, whole.admission)

    def _retried(self, since: datetime.datetime, now: datetime.datetime) -> frozenset[str]:
        """Return the sandboxes of which something may be tried again that might not before."""
        return frozenset(
            each.attempt.sandbox.lower()
            for each in self._failures.values()
            if each.retry_at is not None and since < each.retry_at <= now
        )

    def leases_changed(self) -> bool:
        """Whether the leases are others than at the last call."""
        changed = self.leases != self._saved_leases
        self._saved_leases = dict(self.leases)
        return changed

    # A round.

    def plan(self, names: Collection[str], whole: World) -> list[Event]:
        """Make the plans of these sandboxes; return what is new in them, and the drifts."""
        self._moved = self.shifted(whole) - set(names)
        ages, self._ages = self._ages, Ages(whole.expiries, whole.now)
        self._planned_at, self._admission = whole.now, whole.admission
        self.restarts = whole.restarts
        word = self._word(whole)
        held = guard.held_deletions(whole, word)
        self._too_many = frozenset(n for n, h in held.items() if h.reason == "MassDeletion")
        for commit, names_let_go in guard.allowed_by(whole, word).items():
            self._let_go.setdefault(commit, set()).update(names_let_go)
        happened = [
            events.of_turn(_shown(name, whole), turn, found, whole.now)
            for name, turn, found in expiry.turned(ages, self._ages)
        ]
        for name in sorted({*names, *held} & self.every()):
            before = self.plans.get(name, Plan())
            made = Plan(holds=(held[name],)) if name in held else plan(name, whole)
            taken = {(lease.node, lease.port): lease for lease in made.leases}
            whole = dataclasses.replace(whole, leases={**whole.leases, **taken})
            self.plans[name] = self._watched(name, made)
            if {each.key for each in made.actions} - {each.key for each in before.actions}:
                happened.append(events.of_plan(made, _shown(name, whole), whole.now))
            happened += self._drifted(name, whole)
        planned = [lease for each in self.plans.values() for lease in each.leases]
        self.leases = guard.kept_leases(whole.leases, planned, self.desired, self.observed)
        return happened

    def begin(
        self, names: Iterable[str], whole: World, new_id: Callable[[], str]
    ) -> list[Deployment]:
        """Return the deployments that the plans begin, and those that labels prove."""
        begun = deployments.adopted(whole, self.deployments, new_id)
        for name in names:
            if (meant := whole.desired.sandboxes.get(name)) and name in self.plans:
                difference = diff(meant, whole.observed)
                known = self.deployments
                begun += deployments.queued(self.plans[name], difference, whole, known, new_id)
        for each in begun:
            self.put(each)
        return begun

    def settle(self, name: str, whole: World) -> Sequence[Key]:
        """Return what newly converged of a sandbox: service and version."""
        meant, made = whole.desired.sandboxes.get(name), self.plans.get(name)
        if meant is None or made is None:
            return ()
        difference = diff(meant, whole.observed)
        done: list[Key] = []
        for service in deployments.converged(made, difference):
            assert service.current is not None  # noqa: S101 -- converged says so
            about = (meant.name, service.service)
            failing = about in self.failing(name)
            if self._applied.get(about) != service.current.hash or failing:
                self._applied[about] = service.current.hash
                done.append((*about, service.current.hash))
        # What runs elsewhere now is new, not drift, when it is to run here again.
        left = [each.service for each in difference.services if each.wanted is None]
        done += [(meant.name, each, "") for each in left if self._applied.get((meant.name, each))]
        if made.empty:
            self._healing.discard(name)
            done += self._in_sync(name, meant)
        else:
            done += self._moving(name, meant)
        self._applied.update({(sandbox, each): version for sandbox, each, version in done})
        return done

    def snapshot(self, name: str, whole: World) -> Snapshot | None:
        """Return the snapshot that is due of a sandbox, now that it is in sync."""
        meant, made = whole.desired.sandboxes.get(name), self.plans.get(name)
        if meant is None or made is None or not made.empty:
            return None
        return self.snapshots.due(diff(meant, whole.observed), whole.now)

    def _in_sync(self, name: str, meant: DesiredSandbox) -> list[Key]:
        """Return as what a sandbox is in sync, where that is news."""
        if desired.intent(self._synced_spec.get(name)) == desired.intent(meant):
            return []
        self._synced_spec[name] = meant
        about = (meant.name, INTENT)
        return (
            [(*about, meant.intent_digest)]
            if self._applied.get(about) != meant.intent_digest
            else []
        )

    def _moving(self, name: str, meant: DesiredSandbox) -> list[Key]:
        """Return that a sandbox is in sync as nothing, once it is to be something else.

        Else what was begun, and is wanted back as it was, would look like somebody's drift.
        """
        about = (meant.name, INTENT)
        if not self._applied.get(about) or self._applied[about] == meant.intent_digest:
            return []
        self._synced_spec.pop(name, None)
        return [(*about, "")]

    def end(self, name: str, whole: World) -> tuple[list[Deployment], list[Event]]:
        """Return the deployments of a sandbox that now run or are over, and what to tell."""
        meant, made = whole.desired.sandboxes.get(name), self.plans.get(name)
        known = {k: each for k, each in self.deployments.items() if k[0].lower() == name}
        if meant is None or made is None:
            here = name in observation.sandboxes(whole.observed)
            ended = [] if here else deployments.removed(name, known, whole.now)
        else:
            difference = diff(meant, whole.observed)
            ended = list(deployments.settled(made, difference, known, whole.now))
        for each in ended:
            self.put(each)
        happened = [_ended(each, self.whose(each), whole.now) for each in ended]
        if made is None or made.empty:
            self._behind = {k: each for k, each in self._behind.items() if k != name}
        return ended, happened

    def caused(self, changed: Iterable[str], before: Lives) -> None:
        """Take who made sandboxes other than they were, as of the lives before."""
        platform = self.desired.platform
        roles = platform.roles if platform else Roles()
        self._behind = attribution.attribute(self._behind, changed, before, self.lives, roles)

    def whose(self, about: Planned | Deployment) -> dict[str, JsonValue]:
        """Return who is behind what is done for a sandbox, and what it is about."""
        meant = self.desired.sandboxes.get(about.sandbox.lower())
        data: dict[str, JsonValue] = {
            "user": attribution.behind(self._behind, about.sandbox),
            "environment": meant.environment if meant else "",
        }
        if isinstance(about, Deployment):
            fields = (about.repository, about.branch, about.commit)
            data |= dict(zip(("repository", "branch", "commit"), fields, strict=True))
        return data

    def gone(self, name: str) -> bool:
        """Forget a sandbox that is neither desired nor observed; tell whether there was one."""
        if name in self.desired.sandboxes or name in observation.sandboxes(self.observed):
            return False
        self.plans.pop(name, None)
        self._departures.pop(name, None)
        self._confirmed.discard(name)
        self._healing.discard(name)
        self._synced_spec.pop(name, None)
        self._applied = {k: v for k, v in self._applied.items() if k[0].lower() != name}
        self._failures = {k: v for k, v in self._failures.items() if k[0].lower() != name}
        self._chosen = {k: v for k, v in self._chosen.items() if k[0].lower() != name}
        known = self.deployments.items()
        self.deployments = {k: each for k, each in known if k[0].lower() != name}
        return True

    def judge(
        self, names: Iterable[str], whole: World, busy: Collection[str], served: Mapping[str, str]
    ) -> list[Event]:
        """Make the statuses of these sandboxes; return those that changed, as events."""
        self._served.update(served)
        happened: list[Event] = []
        for name in sorted(names):
            before = self.statuses.get(name)
            if name not in self.plans:
                if self.statuses.pop(name, None) and before:
                    happened.append(Event(whole.now, "SANDBOX_REMOVED", before.name))
                continue
            made = status(name, whole, self.plans[name], busy, before, self._served.get(name, ""))
            self.statuses[name] = made
            if _news(made) != _news(before):
                data: dict[str, JsonValue] = _JSON.dump_python(made, mode="json")
                happened.append(Event(whole.now, "STATUS", made.name, data=data))
        return happened

    def guarded(self, plans: Mapping[str, Plan], whole: World, deletes: int) -> dict[str, Plan]:
        """Return plans with the deletions held that would be held.

        Args:
            plans: by lower-cased name.
            whole: what they were made from.
            deletes: how many sandboxes the commit that is thought of lets go.
        """
        held = guard.held_deletions(whole, self._word(whole, deletes))
        return {n: Plan(holds=(held[n],)) if n in held else made for n, made in plans.items()}

    def _word(self, whole: World, deletes: int = 0) -> Word:
        """Return people's word on those that leave; of those still desired, their spec's."""
        departures = dict(self._departures)
        for name in guard.leaving(whole):
            said = departures.get(name, Departure(""))
            if (still := self.desired.sandboxes.get(name)) is not None:
                said = Departure("", protected=still.protect)
            more = {"": deletes} if deletes else {}
            both = {**said.allowances, **more}
            departures[name] = dataclasses.replace(said, allowances=both)
        return Word(departures, self._too_many, self._confirmed, self._let_go)

    def _watched(self, name: str, made: Plan) -> Plan:
        """Return the plan, with a hold where its actions succeed again and again in vain."""
        counted = self._successes.get(name)
        if counted is None:
            return made
        keys = {each.key for each in made.actions}
        self._successes[name] = collections.Counter(
            {key: count for key, count in counted.items() if key in keys}
        )
        if not self._stuck(name):
            return made
        key = max(counted, key=lambda each: counted[each])
        label = next(each.sandbox for each in made.actions)
        message = f"{key} succeeded {PATIENCE} times, and its effect was never seen"
        fix = f"look at what undoes it, then sdp sync {label}"
        hold = Hold(label, "", "NotConverging", message, fix, failed=True)
        return dataclasses.replace(made, holds=(*made.holds, hold))

    def _stuck(self, name: str) -> bool:
        return any(count >= PATIENCE for count in self._successes.get(name, {}).values())

    def _drifted(self, name: str, whole: World) -> list[Event]:
        meant = whole.desired.sandboxes.get(name)
        if meant is None or meant.asleep:
            return []
        made, known = self.plans[name], self._drifts.get(name, frozenset())
        found = {each.key: each for each in made.drifts}
        self._drifts[name] = frozenset(found) | (known & {each.key for each in made.actions})
        new = [each for key, each in found.items() if key not in known]
        return [events.of_drift(each, meant.name, whole.now) for each in new]


def _news(made: SandboxStatus | None) -> SandboxStatus | None:
    """Return a status without what every look at an unchanged sandbox changes."""
    if made is None:
        return None
    routes = tuple(dataclasses.replace(each, verified_at=None) for each in made.routes)
    life = dataclasses.replace(made.lifecycle, used_at=None, expires_at=None, deletes_at=None)
    return dataclasses.replace(made, routes=routes, lifecycle=life)


def _shown(name: str, whole: World) -> str:
    meant = whole.desired.sandboxes.get(name)
    return meant.name if meant else name


def _problem(problem: Problem, now: datetime.datetime) -> Event:
    return Event(now, "SPEC_PROBLEM", reason=problem.severity, message=str(problem))


def _ended(deployment: Deployment, whose: dict[str, JsonValue], now: datetime.datetime) -> Event:
    kind = "DEPLOYED" if deployment.status == "RUNNING" else "DEPLOY_STOPPED"
    about = (deployment.sandbox, deployment.service, deployment.id)
    commit = f"{deployment.branch} @ {deployment.commit[:7]}".removeprefix(" @ ")
    return Event(now, kind, *about, deployment.reason, commit, whose)
