"""The table of quotas: how much of each is taken and by whom, and who waits. Pure."""

from sdp.api import node_views
from sdp.reconciler.draft import World
from sdp.reconciler.quota import Queued, Scope, Use


def quota_list(whole: World) -> node_views.QuotaList:
    """Return the quotas and the queue, as of one moment."""
    admission = whole.admission
    return node_views.QuotaList(
        quotas=tuple(_quota(scope, use) for scope, use in admission.uses.items()),
        queue=tuple(_queued(each) for each in admission.queue.values()),
    )


def _quota(scope: Scope, use: Use) -> node_views.QuotaView:
    return node_views.QuotaView(
        owner=scope.owner,
        running=use.used("running"),
        running_limit=use.limit("running"),
        memory=use.used("memory"),
        memory_limit=use.limit("memory"),
        over=use.over("running") or use.over("memory"),
        sandboxes=tuple(sorted(use.has)),
    )


def _queued(each: Queued) -> node_views.QueuedView:
    return node_views.QueuedView(
        number=each.number,
        sandbox=each.name,
        owner=each.owner,
        since=each.since,
        reason=each.note.reason,
        message=each.note.message,
        fix=each.note.fix,
    )
