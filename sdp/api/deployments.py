"""Deployments: listed and shown; their logs are streams, in ``sdp.api.events``."""

from typing import Annotated

from fastapi import APIRouter, Query

from sdp.api import views
from sdp.api.ports import Ports
from sdp.api.problems import missing


def router(ports: Ports) -> APIRouter:
    """Return the routes about deployments."""
    routes = APIRouter(tags=["deployments"])
    journal, plane = ports.journal, ports.plane

    @routes.get("/deployments")
    async def list_deployments(
        sandbox: str | None = None,
        service: str | None = None,
        status: views.DeploymentStatus | None = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        cursor: Annotated[str, Query(description="``following`` of the page before.")] = "",
    ) -> views.DeploymentPage:
        """List deployments, newest first; also of a sandbox that is gone."""
        if sandbox is None:
            return await journal.deployments(None, service, status, limit, cursor)
        known = plane.sandbox(sandbox)
        name = known.name if known else sandbox
        page = await journal.deployments(name, service, status, limit, cursor)
        if known is None and not (await journal.deployments(name, None, None, 1, "")).deployments:
            names = [each.name for each in plane.sandboxes()]
            raise missing("sandbox", sandbox, "sdp status", names)
        return page

    @routes.get("/actions")
    async def list_actions() -> tuple[views.ActionInFlight, ...]:
        """List what nodes were told to do and have not answered."""
        return tuple(plane.in_flight())

    @routes.get("/deployments/{identifier}")
    async def show_deployment(identifier: str) -> views.DeploymentView:
        """Show one deployment with its stages."""
        if (found := await journal.deployment(identifier)) is None:
            raise missing("deployment", identifier, "sdp deployments")
        return found

    return routes
