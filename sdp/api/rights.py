"""Rights, as the API shows them: what a change takes, who has it, and what waits for somebody."""

import heapq
from collections.abc import Iterable, Sequence
from typing import Final

from sdp.api import views
from sdp.api.problems import ProblemError
from sdp.reconciler.authority import Withheld
from sdp.spec.needs import Need, least

MOST_SHOWN: Final = 500


def needs(found: Iterable[Need]) -> tuple[views.NeedView, ...]:
    """Return what changes take."""
    return tuple(
        views.NeedView(
            path=each.path,
            permission=each.permission,
            role=least(each.permission),
            sandbox=each.sandbox,
            owner=each.owner,
        )
        for each in found
    )


def withheld(found: Iterable[Withheld]) -> tuple[views.WithheldView, ...]:
    """Return what does not count as it was committed, by path; of very many, the first."""
    return tuple(
        views.WithheldView(
            path=each.path,
            commit=each.commit,
            user=each.user,
            since=each.at,
            reason=each.reason,
            message=each.message,
            fix=each.fix,
        )
        for each in heapq.nsmallest(MOST_SHOWN, found, key=lambda each: each.path)
    )


def told(plan: views.PlanView) -> views.PlanView:
    """Return a plan with its text saying what is not allowed, and what does not count."""
    parts = [plan.text]
    if plan.refused:
        lines = "".join(
            f"    {each.path}   takes {each.permission!r}, which {each.role} has\n"
            for each in plan.refused
        )
        parts.append(f"  Not allowed\n{lines}")
    if plan.withheld:
        lines = "".join(f"    {each.message}\n      fix: {each.fix}\n" for each in plan.withheld)
        parts.append(f"  Does not count\n{lines}")
    return plan.model_copy(update={"text": "\n".join(parts)})


def not_allowed(user: str, lacks: Sequence[Need]) -> ProblemError:
    """Return the problem of a change that somebody has no right to."""
    roles = sorted({least(each.permission) for each in lacks})
    owners = sorted({each.owner for each in lacks if each.owner})
    whom = f"; or {' or '.join(owners)}, who owns it" if owners else ""
    return ProblemError(
        403,
        "not-allowed",
        "Not allowed",
        f"{user or 'nobody known'} may not do that: {'; '.join(map(str, lacks))}",
        f"ask somebody who is {' or '.join(roles)} to do it{whom}; see roles in platform.yaml",
    )


def does_not_count(paths: Sequence[str]) -> ProblemError:
    """Return the problem of a change on top of what does not count."""
    return ProblemError(
        409,
        "does-not-count",
        "Does not count",
        f"What {', '.join(paths)} holds now does not count, or was pushed this moment; to change "
        "it would let all of it count.",
        "see what waits: sdp plan; then sdp revert COMMIT or sdp approve COMMIT, and try again",
    )
