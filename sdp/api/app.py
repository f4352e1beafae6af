"""The app: every route under one roof. What it reads stands behind ports."""

from fastapi import APIRouter, FastAPI, Response
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from sdp.api import (
    access,
    agents,
    audit,
    changes,
    container_logs,
    deployments,
    enrolment,
    events,
    garbage,
    headers,
    history,
    hooks,
    inventory,
    life,
    login,
    nodes,
    problems,
    sandboxes,
)
from sdp.api.bounds import Bounds
from sdp.api.description import describe
from sdp.api.gate import Gate
from sdp.api.ports import Ports
from sdp.api.problems import ProblemDocument
from sdp.api.views import Readiness

VERSION = "0.1.0"
MAX_BODY = 1 << 20
"""Bytes of a body, where no route says that it takes more or less."""


class App(FastAPI):
    """FastAPI, whose every answer has the security headers: those of failures, too."""

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, headers.adding(scope, send))

    @override
    def openapi(self) -> dict[str, object]:
        self.openapi_schema = self.openapi_schema or describe(self)
        return self.openapi_schema


def create_app(ports: Ports) -> FastAPI:
    """Return the app over these ports.

    Raises:
        LookupError: nobody said who may call one of its routes.
    """
    app = App(
        title="SDP",
        version=VERSION,
        description="Sandboxes as the config repo wants them, as they are, and what differs.",
        # Their pages load scripts from the internet.
        docs_url=None,
        redoc_url=None,
        responses={
            "4XX": {"model": ProblemDocument, "description": "Why not, and what to do."},
            "5XX": {"model": ProblemDocument, "description": "Why not, and what to do."},
        },
    )
    problems.install(app)
    api = APIRouter(prefix="/api", max_body_size=MAX_BODY)
    sessions = agents.Sessions(ports)
    for part in (sandboxes, history, inventory, deployments, events, changes, life, hooks, login):
        api.include_router(part.router(ports))
    api.include_router(nodes.router(ports, sessions, VERSION))
    api.include_router(enrolment.router(ports, sessions))
    api.include_router(garbage.router(ports))
    api.include_router(audit.router(ports.audit))
    api.include_router(container_logs.router(ports.plane, sessions))
    app.include_router(api)
    app.include_router(agents.router(sessions))
    app.include_router(_probes(ports))
    access.check(app.routes)
    app.add_middleware(Gate, ports=ports)
    app.add_middleware(Bounds)
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
