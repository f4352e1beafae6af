"""How sandboxes live: suspended, resumed, stopped. Each is one commit in a person's name."""

from fastapi import APIRouter

from sdp.api import views
from sdp.api.ports import Changes, Ports
from sdp.api.requests import ChangeRequest, ResumeRequest, Signed, StopRequest
from sdp.spec.edits import Switch


def router(ports: Ports) -> APIRouter:
    """Return the routes that put to sleep and wake."""
    routes = APIRouter(tags=["life"])
    changes = ports.changes

    @routes.post("/sandboxes/{name}/suspend")
    async def suspend(name: str, body: Signed) -> views.ChangeView:
        """Stop all of a sandbox's containers, and keep them; no commit where it sleeps already."""
        return await _switched(changes, name, body, "", on=True)

    @routes.post("/sandboxes/{name}/resume")
    async def resume(name: str, body: ResumeRequest) -> views.ChangeView:
        """Wake a sandbox, or one service that was stopped; no commit where it is awake."""
        return await _switched(changes, name, body, body.service, on=False)

    @routes.post("/sandboxes/{name}/stop")
    async def stop(name: str, body: StopRequest) -> views.ChangeView:
        """Stop one service's container, and keep it."""
        return await _switched(changes, name, body, body.service, on=True)

    return routes


async def _switched(
    changes: Changes, name: str, body: Signed, service: str, *, on: bool
) -> views.ChangeView:
    edit = Switch(sandbox=name, service=service, key="suspended", on=on)
    asked = ChangeRequest(edits=(edit,), author=body.author, message=body.message)
    return await changes.change(asked)
