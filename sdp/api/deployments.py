"""Deployments: listed and shown; their logs are streams, in ``sdp.api.events``."""

from typing import Annotated

from fastapi import APIRouter, Query

from sdp.api import views
from sdp.api.ports import Ports
from sdp.api.problems import missing


def router(ports: Ports) -> APIRouter:
    """Return the routes about deployments."""
    routes = APIRouter(tags=["deployments"])
    journal = ports.journal

    @routes.get("/deployments")
    async def list_deployments(
        sandbox: str | None = None,
        service: str | None = None,
        status: views.DeploymentStatus | None = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        cursor: Annotated[str, Query(description="``following`` of the page before.")] = "",
    ) -> views.DeploymentPage:
        """List deployments, newest first."""
        return await journal.deployments(sandbox, service, status, limit, cursor)

    @routes.get("/deployments/{identifier}")
    async def show_deployment(identifier: str) -> views.DeploymentView:
        """Show one deployment with its stages."""
        if (found := await journal.deployment(identifier)) is None:
            raise missing("deployment", identifier, "sdp deployments")
        return found

    return routes
