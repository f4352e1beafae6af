"""How sandboxes live: suspended, resumed, stopped. Each is one commit in a person's name."""

from fastapi import APIRouter

from sdp.api import views
from sdp.api.people import Asking, Caller
from sdp.api.ports import Changes, Ports
from sdp.api.requests import ChangeRequest, Reasoned, ResumeRequest, StopRequest
from sdp.spec.edits import Switch


def router(ports: Ports) -> APIRouter:
    """Return the routes that put to sleep and wake."""
    routes = APIRouter(tags=["life"])
    changes = ports.changes

    @routes.post("/sandboxes/{name}/suspend")
    async def suspend(name: str, body: Reasoned, asking: Asking) -> views.ChangeView:
        """Stop all of a sandbox's containers, and keep them; no commit where it sleeps already."""
        return await _switched(changes, asking, body, _switch(name, "", on=True))

    @routes.post("/sandboxes/{name}/resume")
    async def resume(name: str, body: ResumeRequest, asking: Asking) -> views.ChangeView:
        """Wake a sandbox, or one service that was stopped; no commit where it is awake."""
        return await _switched(changes, asking, body, _switch(name, body.service, on=False))

    @routes.post("/sandboxes/{name}/stop")
    async def stop(name: str, body: StopRequest, asking: Asking) -> views.ChangeView:
        """Stop one service's container, and keep it."""
        return await _switched(changes, asking, body, _switch(name, body.service, on=True))

    return routes


def _switch(name: str, service: str, *, on: bool) -> Switch:
    return Switch(sandbox=name, service=service, key="suspended", on=on)


async def _switched(
    changes: Changes, asking: Caller, body: Reasoned, edit: Switch
) -> views.ChangeView:
    return await changes.change(ChangeRequest(edits=(edit,), message=body.message), asking)
