"""Queue: what a sandbox that waits for a quota, or is over one, is told. Words only."""

from sdp.reconciler.quota import Kind, Note, Scope, Use
from sdp.spec.limits import MEMORY

NAMED = 5
"""So many of those who have a quota are named."""


def full(  # noqa: PLR0913 -- the parts of one sentence
    scope: Scope, kind: Kind, use: Use, wants: int, *, before: str, number: int, of: int
) -> Note:
    """Return why a sandbox waits for a place, or for more memory.

    Args:
        scope: whose quota.
        kind: of what.
        use: how much of it is taken, and by whom.
        wants: the bytes that it asks for.
        before: who waits first; "" where that is itself.
        number: its own number in the queue.
        of: how many wait.
    """
    asks = f", and it asks for {MEMORY.shown(wants)}" if kind == "memory" else ""
    behind = f"; {before} waits before it" if before else ""
    message = f"{_taken(scope, kind, use)}{asks}{behind}; it is number {number} of {of} that wait"
    return Note("Queued", message, _fix(scope, kind, use))


def too_large(scope: Scope, use: Use, wants: int) -> Note:
    """Return why a sandbox never fits."""
    said = f"it asks for {MEMORY.shown(wants)}, and {_quota(scope, 'memory', use)}"
    fix = f"lower its resources: {{memory: …}}, or raise {scope.path('memory')} in platform.yaml"
    return Note("LargerThanQuota", f"{said} in all: it never fits", fix)


def unlimited(scope: Scope) -> Note:
    """Return why a sandbox whose memory nothing limits can't be counted."""
    return Note(
        "NoMemoryLimit",
        f"{scope.path('memory')} is set, and nothing says how much memory it may take",
        "give it resources: {memory: 1GB}; or all of them, in platform.yaml's defaults",
    )


def unheard(node: str) -> Note:
    """Return that nobody knows yet whether a sandbox has a place already."""
    return Note(
        "Queued",
        f"node {node} has not reported yet, so it is not known whether it runs already",
        f"start its agent: sdp agent --config agent.yaml on {node}",
    )


def over(scope: Scope, kind: Kind, use: Use) -> Note:
    """Return that more is taken than there may be."""
    message = f"{_taken(scope, kind, use)}: nothing is stopped for that, and nobody is let in"
    return Note("OverQuota", message, _fix(scope, kind, use))


def _taken(scope: Scope, kind: Kind, use: Use) -> str:
    names = sorted(use.has)
    who = f"{scope.owner or 'nobody'} has" if scope.owner is not None else "there are"
    if kind == "running":
        taken = f"{who} {len(names)} running"
        listed = names
    else:
        taken = f"{MEMORY.shown(use.used(kind)) if names else 'nothing'} of it is taken"
        listed = [f"{name} {MEMORY.shown(use.has[name])}" for name in names]
    told = ", ".join(listed[:NAMED])
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{_quota(scope, kind, use)}, and {taken}" + (f" ({told}{more})" if told else "")


def _quota(scope: Scope, kind: Kind, use: Use) -> str:
    limit = use.limit(kind) or 0
    return f"{scope.path(kind)} is {limit if kind == 'running' else MEMORY.shown(limit)}"


def _fix(scope: Scope, kind: Kind, use: Use) -> str:
    raised = f"raise {scope.path(kind)} in platform.yaml"
    some = min(use.has, default="")
    return f"suspend or delete one: sdp suspend {some}; or {raised}" if some else raised
