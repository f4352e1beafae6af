"""History: what a sandbox ran, and what it can be brought back to."""

from typing import Annotated

from fastapi import APIRouter, Query

from sdp.api.ports import Ports
from sdp.api.problems import missing
from sdp.api.snapshot_views import HistoryView, NamedSnapshotView, RollbackTarget


def router(ports: Ports) -> APIRouter:
    """Return the routes about the past."""
    routes = APIRouter(tags=["history"])
    plane, journal, past = ports.plane, ports.journal, ports.past

    @routes.get("/sandboxes/{name}/history")
    async def show_history(
        name: str, limit: Annotated[int, Query(ge=1, le=500)] = 50, cursor: str = ""
    ) -> HistoryView:
        """Show what a sandbox ran and its deployments, newest first; also of one that is gone.

        Of snapshots there is one page, with the first of the deployments.
        """
        known = plane.sandbox(name)
        written = known.name if known else name
        page = await journal.deployments(written, None, None, limit, cursor)
        snapshots = () if cursor else (await past.snapshots(written))[:limit]
        return HistoryView(
            deployments=page.deployments, following=page.following, snapshots=tuple(snapshots)
        )

    @routes.get("/sandboxes/{name}/snapshots/{word}")
    async def show_target(name: str, word: str) -> RollbackTarget:
        """Show what a sandbox would be brought back to: a named snapshot, a number, a commit."""
        if (known := plane.sandbox(name)) is None:
            raise missing("sandbox", name, "sdp status", [e.name for e in plane.sandboxes()])
        return await past.target(known.name, word)

    @routes.get("/snapshots")
    async def list_snapshots(sandbox: str | None = None) -> tuple[NamedSnapshotView, ...]:
        """List the named snapshots, all or one sandbox's, by name."""
        return tuple(past.named(sandbox))

    return routes
