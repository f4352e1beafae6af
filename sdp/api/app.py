"""The app: every route under one roof. What it reads stands behind ports."""

from fastapi import APIRouter, FastAPI, Response

from sdp.api import (
    agents,
    audit,
    changes,
    container_logs,
    deployments,
    events,
    garbage,
    history,
    hooks,
    inventory,
    life,
    nodes,
    problems,
    sandboxes,
)
from sdp.api.ports import Ports
from sdp.api.problems import ProblemDocument
from sdp.api.views import Readiness

VERSION = "0.1.0"


def create_app(ports: Ports) -> FastAPI:
    """Return the app over these ports."""
    app = FastAPI(
        title="SDP",
        version=VERSION,
        description="Sandboxes as the config repo wants them, as they are, and what differs.",
    )
    problems.install(app)
    api = APIRouter(
        prefix="/api",
        responses={
            "4XX": {"model": ProblemDocument, "description": "Why not, and what to do."},
            "5XX": {"model": ProblemDocument, "description": "Why not, and what to do."},
        },
    )
    sessions = agents.Sessions(ports)
    for part in (sandboxes, history, inventory, deployments, events, changes, life, hooks):
        api.include_router(part.router(ports))
    api.include_router(garbage.router(ports))
    api.include_router(audit.router(ports.audit))
    api.include_router(nodes.router(ports.plane, VERSION))
    api.include_router(container_logs.router(ports.plane, sessions))
    app.include_router(api)
    app.include_router(agents.router(sessions))
    app.include_router(_probes(ports))
    return app


def _probes(ports: Ports) -> APIRouter:
    routes = APIRouter(tags=["probes"])

    @routes.get("/healthz")
    async def alive() -> dict[str, str]:
        """Answer: the process lives."""
        return {"status": "alive"}

    @routes.get("/readyz", responses={503: {"model": Readiness}})
    async def ready(response: Response) -> Readiness:
        """Answer whether it works; if not, with 503 and why."""
        reasons = tuple(ports.plane.unready())
        response.status_code = 503 if reasons else 200
        return Readiness(ready=not reasons, reasons=reasons)

    return routes
