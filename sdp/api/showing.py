"""The reconciler's values as the API's views. Renames and counts; decides nothing. Pure."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping

from sdp.api import usage, views
from sdp.reconciler import render, writer
from sdp.reconciler.cancel import Cancellation
from sdp.reconciler.desired import Address, Branch, Desired, DesiredSandbox, Ocp
from sdp.reconciler.dispatch import InFlight
from sdp.reconciler.draft import Hold, Plan, World
from sdp.reconciler.finding import Finding
from sdp.reconciler.garbage import Garbage
from sdp.reconciler.history import History
from sdp.reconciler.lifecycle import Lifecycle
from sdp.reconciler.routing import RouteProblem
from sdp.reconciler.status import Condition, SandboxStatus
from sdp.reconciler.sweep import unused_for
from sdp.reconciler.updates import Update
from sdp.spec.models import Platform
from sdp.spec.tree import Problem


def sandbox(
    status: SandboxStatus, desired: DesiredSandbox | None, plan: Plan, whole: World
) -> views.SandboxView:
    """Return a sandbox whole; ``desired`` is None while it goes."""
    counts = Counter(type(each.target) for each in desired.services.values()) if desired else {}
    return views.SandboxView(
        name=status.name,
        path=status.path,
        owner=status.owner,
        environment=status.environment,
        revision=status.revision,
        observed_generation=status.observed_generation,
        health=status.health,
        health_reason=status.health_reason,
        health_message=status.health_message,
        sync=status.sync,
        queued=status.queued,
        gateway_branch=desired.gateway.branch.name if desired else "",
        branches=counts.get(Branch, 0),
        ocp=counts.get(Ocp, 0),
        addresses=counts.get(Address, 0),
        url=status.url,
        lifecycle=_lifecycle(status.lifecycle),
        suspended=desired.suspended if desired else False,
        protect=desired.protect if desired else False,
        served=status.served,
        sync_since=status.sync_since,
        health_since=status.health_since,
        services=tuple(
            views.ServiceView(
                name=each.name,
                target=each.target,
                health=each.health,
                sync=each.sync,
                reason=each.reason,
                message=each.message,
                fix=each.fix,
                since=each.since,
                until=each.until,
                node=each.node,
                container=each.container,
                port=each.port,
                commit=each.commit,
                restarts=each.restarts,
                **usage.newest(status.name, each, whole.observed),
            )
            for each in status.services
        ),
        routes=tuple(
            views.RouteView(
                service=each.service,
                wanted=each.wanted,
                actual=each.actual,
                state=each.state,
                verified_at=each.verified_at,
                problem=_route_problem(each.problem),
            )
            for each in status.routes
        ),
        conditions=tuple(_condition(each, plan, whole.history) for each in status.conditions),
    )


def _lifecycle(made: Lifecycle) -> views.LifecycleView:
    return views.LifecycleView.model_validate(dataclasses.asdict(made))


def plan(
    plans: Mapping[str, Plan],
    whole: World,
    problems: tuple[Problem, ...] = (),
    title: str = "",
    waiting: Iterable[Hold] | None = None,
) -> views.PlanView:
    """Return plans, by lower-cased sandbox name, as one view.

    Args:
        plans: what is to be done.
        whole: the world that they were made from.
        problems: of the specs that they are about.
        title: first line of the text.
        waiting: what waits already; any other hold is a change, which waits. None: all of them.
    """
    shown = tuple(
        _plan(name, each, whole) for name, each in sorted(plans.items()) if not each.empty
    )
    total = render.summary(plans, whole)
    platform = whole.desired.platform
    return views.PlanView(
        revision=whole.desired.revision,
        instance=platform.platform if platform else "",
        changes=any(each.actions for each in shown) or _wait_anew(plans, waiting),
        summary=views.PlanSummary(
            add=total.add, change=total.change, destroy=total.destroy, held=total.held
        ),
        sandboxes=shown,
        problems=tuple(problem(each) for each in problems),
        text=render.text(plans, whole, title),
    )


def _wait_anew(plans: Mapping[str, Plan], waiting: Iterable[Hold] | None) -> bool:
    if waiting is None:
        return False
    known = {(hold.sandbox.lower(), hold.service, hold.reason) for hold in waiting}
    holds = (hold for plan in plans.values() for hold in plan.holds)
    return any((hold.sandbox.lower(), hold.service, hold.reason) not in known for hold in holds)


def problem(found: Problem) -> views.Problem:
    """Return a problem of a spec."""
    return views.Problem(
        path=found.path,
        line=found.line,
        column=found.column,
        message=found.message,
        severity=found.severity,
    )


def in_flight(flight: InFlight) -> views.ActionInFlight:
    """Return what a node is doing."""
    planned = flight.planned
    return views.ActionInFlight(
        id=flight.action_id,
        kind=planned.action.kind,
        node=planned.node,
        sandbox=planned.sandbox,
        service=planned.service,
        deployment=flight.deployment,
        deadline=flight.deadline,
    )


def cancelled(sandbox: str, made: Cancellation) -> views.Cancelled:
    """Return what a cancel ended."""
    return views.Cancelled(
        sandbox=sandbox,
        services=tuple(each.service for each in made.attempts),
        stopping=tuple(in_flight(each) for each in made.stopping),
        shared=tuple(in_flight(each) for each in made.shared),
    )


def updated(sandbox: str, made: Iterable[Update]) -> views.Updated:
    """Return what of a sandbox is updated."""
    services = tuple(
        views.UpdatedService(
            service=each.service, branch=each.branch, before=each.before, after=each.after
        )
        for each in made
    )
    return views.Updated(sandbox=sandbox, services=services)


def garbage(found: Garbage, platform: Platform | None) -> views.Garbage:
    """Return what nothing refers to, and when it goes."""
    grace = unused_for(platform)
    return views.Garbage(
        unused=tuple(
            views.UnusedRelease(
                node=each.node,
                repository=each.release.repository,
                commit=each.release.commit,
                recipe=each.release.recipe,
                bytes=each.release.bytes,
                since=each.since,
                goes_at=each.since + grace,
            )
            for each in found.unused
        ),
        doubts=tuple(views.Doubt.model_validate(dataclasses.asdict(e)) for e in found.doubts),
    )


def finding(found: Finding) -> views.Finding:
    """Return something that the doctor found."""
    return views.Finding(
        severity=found.severity,
        node=found.node,
        kind=found.kind,
        message=found.message,
        fix=found.fix,
    )


def change(made: writer.Landed | writer.Shown) -> views.ChangeView:
    """Return a change that was made, or only shown."""
    return views.ChangeView(
        commit=made.sha if isinstance(made, writer.Landed) else "",
        base=made.base,
        subject=made.changed.subject,
        paths=tuple(made.changed.files),
        diff=made.diff,
    )


def conflict(found: writer.Conflict) -> views.ConflictView:
    """Return what others did to the same files."""
    return views.ConflictView(
        base=found.base,
        tip=found.tip,
        paths=found.paths,
        commits=tuple(
            views.CommitView(sha=each.sha, author=each.author, at=each.at, subject=each.subject)
            for each in found.commits
        ),
        diff=found.diff,
    )


def named(desired: Desired, name: str) -> DesiredSandbox | None:
    """Return the desired sandbox of that name, in any case."""
    return desired.sandboxes.get(name.lower())


def _plan(name: str, made: Plan, whole: World) -> views.SandboxPlan:
    actions = tuple(
        views.ActionView(
            key=each.key,
            kind=each.action.kind,
            node=each.node,
            service=each.service,
            cause=str(each.cause),
            after=each.after,
        )
        for each in made.actions
    )
    holds = tuple(_hold(each) for each in made.holds)
    written = [*(each.sandbox for each in made.actions), *(each.sandbox for each in made.holds)]
    return views.SandboxPlan(
        sandbox=next(iter(written), name),
        leaving=name not in whole.desired.sandboxes,
        identity=render.identity(made),
        lines=render.lines(name, made, whole),
        actions=actions,
        holds=holds,
    )


def _route_problem(found: RouteProblem | None) -> views.RouteProblem | None:
    if found is None:
        return None
    return views.RouteProblem(
        kind=found.kind,
        where=found.where,
        message=found.message,
        fix=found.fix,
        blocking=found.blocking,
    )


def _hold(hold: Hold) -> views.Condition:
    return views.Condition(
        type="Failed" if hold.failed else "Held",
        service=hold.service,
        reason=hold.reason,
        message=hold.message,
        fix=hold.fix,
        failed=hold.failed,
        until=hold.until,
    )


def _condition(condition: Condition, made: Plan, history: History) -> views.Condition:
    bare = views.Condition(
        type=condition.type,
        reason=condition.reason,
        message=condition.message,
        fix=condition.fix,
        since=condition.since,
    )
    for hold in made.holds:
        words = f"{hold.service}: {hold.message}" if hold.service else hold.message
        if (hold.reason, words) == (condition.reason, condition.message):
            known = {"since": condition.since, "lines": _lines(hold, history)}
            return _hold(hold).model_copy(update=known)
    return bare


def _lines(hold: Hold, history: History) -> tuple[str, ...]:
    """Return the last lines of the failure that a hold is about."""
    if not hold.failed:
        return ()
    mine = (
        failure
        for (box, service, _), failure in history.failures.items()
        if (box.lower(), service) == (hold.sandbox.lower(), hold.service)
    )
    same = (each.lines for each in mine if each.message == hold.message)
    return next(same, ())
