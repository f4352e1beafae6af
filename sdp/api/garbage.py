"""What nothing on the nodes refers to: listed, and removed now instead of after a while."""

from fastapi import APIRouter

from sdp.api import node_views
from sdp.api.audit import requested
from sdp.api.people import Asking
from sdp.api.ports import Ports


def router(ports: Ports) -> APIRouter:
    """Return the routes about what is cleaned up."""
    routes = APIRouter(tags=["nodes"])
    plane, audit = ports.plane, ports.audit

    @routes.get("/gc")
    async def list_garbage() -> node_views.Garbage:
        """List the releases that nothing refers to, and why nothing else is removed."""
        return plane.garbage()

    @routes.post("/gc", status_code=202)
    async def collect_garbage(asking: Asking) -> node_views.Garbage:
        """Have them removed now; what somebody wants again meanwhile stays."""
        found = plane.collect()
        await requested(audit, asking, "gc")
        return found

    return routes
