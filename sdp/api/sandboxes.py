"""Sandboxes: listed, shown, planned, validated, synced, restarted, updated, cancelled."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from sdp.api import views
from sdp.api.audit import requested
from sdp.api.people import Asking
from sdp.api.ports import Journal, Plane, Ports
from sdp.api.problems import ProblemError, missing
from sdp.reconciler.audit import Auditor
from sdp.spec.load import tree_of
from sdp.spec.resolve import problems
from sdp.spec.select import Selection, sandboxes

MAX_BODY = 32 << 20
"""Bytes of the largest tree of specs that is taken."""


class Files(BaseModel):
    """Specs by their path in the config repo."""

    model_config = ConfigDict(extra="forbid")
    files: dict[str, str]


class PlanRequest(Files):
    """Specs, and what of their plan to show, if not all."""

    sandboxes: tuple[str, ...] = Field((), description="Show these alone; none: all.")
    services: tuple[str, ...] = Field((), description="Show these alone, of the sandboxes shown.")
    exclude: tuple[str, ...] = Field((), description="Leave these out: NAME or NAME/SERVICE.")
    allow_deletes: int = Field(
        0,
        ge=0,
        lt=10**6,
        strict=True,
        description="How many sandboxes the commit of this would let go.",
    )


class PartRequest(BaseModel):
    """What of a sandbox is meant."""

    model_config = ConfigDict(extra="forbid")
    service: str | None = Field(None, description="This service alone; gateway is one.")


def router(ports: Ports) -> APIRouter:
    """Return the routes about sandboxes."""
    routes = APIRouter(tags=["sandboxes"])
    _reading(routes, ports.plane, ports.journal)
    _checking(routes, ports.plane)
    _asking(routes, ports.plane, ports.audit)
    return routes


def _reading(routes: APIRouter, plane: Plane, journal: Journal) -> None:
    @routes.get("/sandboxes")
    async def list_sandboxes(
        q: Annotated[str, Query(description="Part of a name or owner, in any case.")] = "",
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        cursor: Annotated[str, Query(description="``following`` of the page before.")] = "",
    ) -> views.SandboxPage:
        """List sandboxes by name."""
        # Read before the sandboxes, so that whoever follows from here misses nothing.
        seq = await journal.latest()
        wanted = q.lower()
        found = sorted(
            (
                s
                for s in plane.sandboxes()
                if wanted in s.name.lower() or wanted in s.owner.lower()
            ),
            key=lambda each: each.name.lower(),
        )
        rest = [each for each in found if each.name.lower() > cursor]
        page = rest[:limit]
        return views.SandboxPage(
            sandboxes=tuple(_summary(each) for each in page),
            following=page[-1].name.lower() if len(rest) > limit else "",
            total=len(found),
            revision=plane.revision,
            branch=plane.branch,
            seq=seq,
            withheld=tuple(plane.withheld()),
        )

    @routes.get("/sandboxes/{name}")
    async def show_sandbox(name: str) -> views.SandboxView:
        """Show one sandbox with its services, routes and conditions."""
        return _known(plane, name)

    @routes.get("/sandboxes/{name}/plan")
    async def show_plan(name: str) -> views.PlanView:
        """Show what is being done about a sandbox, and what waits."""
        if (plan := plane.plan_of(name)) is None:
            raise missing("sandbox", name, "sdp status")
        return plan

    @routes.get("/sandboxes/{name}/routes")
    async def show_routes(name: str) -> tuple[views.RouteView, ...]:
        """Show where a sandbox's gateway routes to, wanted and actual."""
        return _known(plane, name).routes

    @routes.get("/sandboxes/{name}/usage")
    async def show_usage(name: str) -> views.UsageView:
        """Show the CPU and memory that a sandbox's containers used of late."""
        if (used := plane.usage(name)) is None:
            raise missing("sandbox", name, "sdp status")
        return used


def _checking(routes: APIRouter, plane: Plane) -> None:
    @routes.post("/validate", max_body_size=MAX_BODY)
    async def validate(body: Files) -> views.Validation:
        """Check a tree of specs."""
        found = await asyncio.to_thread(_problems, body.files)
        valid = all(each.severity != "error" for each in found)
        return views.Validation(valid=valid, problems=found)

    @routes.post("/plan", max_body_size=MAX_BODY)
    async def plan(body: PlanRequest, asking: Asking) -> views.PlanView:
        """Compare a tree of specs with what runs; say what of it the caller may not commit."""
        unknown = [each for each in body.sandboxes if plane.sandbox(each) is None]
        named = await asyncio.to_thread(sandboxes, body.files) if unknown else {}
        for each in unknown:
            if each.lower() not in named:
                raise missing("sandbox", each, "sdp status")
        selection = Selection.of(body.sandboxes, body.services, body.exclude)
        return await plane.preview(body.files, selection, body.allow_deletes, asking.person)


def _asking(routes: APIRouter, plane: Plane, audit: Auditor) -> None:
    @routes.post("/sandboxes/{name}/cancel")
    async def cancel(
        name: str, asking: Asking, body: PartRequest | None = None
    ) -> views.Cancelled:
        """End what is being brought about, and keep it so until a sync or another version."""
        part = _part(plane, name, body)
        made = await plane.cancel(*part)
        await requested(audit, asking, "cancel", *part)
        return made

    @routes.post("/sandboxes/{name}/restart", status_code=202)
    async def restart(
        name: str, asking: Asking, body: PartRequest | None = None
    ) -> views.RestartRequested:
        """Stop a sandbox's containers and start them again; 409 where it sleeps."""
        part = _part(plane, name, body)
        made = plane.restart(*part)
        await requested(audit, asking, "restart", *part)
        return made

    @routes.post("/sandboxes/{name}/update")
    async def update(name: str, asking: Asking, body: PartRequest | None = None) -> views.Updated:
        """Let in the newest commits of branches that are followed by hand; 409 where none is."""
        part = _part(plane, name, body)
        made = await plane.update(*part)
        await requested(audit, asking, "update", *part)
        return made

    @routes.post("/sandboxes/{name}/sync", status_code=202)
    async def sync(name: str, asking: Asking) -> views.SyncRequested:
        """Look at a sandbox afresh, and try again what failed; 409 where it has expired."""
        known = _known(plane, name)
        if known.lifecycle.state == "EXPIRED":
            fix = f"wake it: sdp extend {known.name}"
            raise ProblemError(409, "expired", "Can't sync", known.health_message, fix)
        made = views.SyncRequested(sandbox=known.name, nonce=plane.sync(known.name))
        await requested(audit, asking, "sync", known.name)
        return made


def _problems(files: dict[str, str]) -> tuple[views.Problem, ...]:
    return tuple(
        views.Problem(
            path=each.path,
            line=each.line,
            column=each.column,
            message=each.message,
            severity=each.severity,
        )
        for each in problems(tree_of(files))
    )


def _known(plane: Plane, name: str) -> views.SandboxView:
    if (known := plane.sandbox(name)) is None:
        raise missing("sandbox", name, "sdp status", [each.name for each in plane.sandboxes()])
    return known


def _part(plane: Plane, name: str, body: PartRequest | None) -> tuple[str, str]:
    """Return the sandbox as it is written, and its service that is meant; "" for all."""
    service = (body.service if body else None) or ""
    known = service_of(plane, name, service) if service else _known(plane, name)
    return known.name, service


def service_of(plane: Plane, name: str, service: str) -> views.SandboxView:
    """Return the sandbox that has a service; its gateway is one.

    Raises:
        ProblemError: there is no such sandbox, or it has no such service.
    """
    known = _known(plane, name)
    services = [each.name for each in known.services]
    if service not in services:
        raise missing("service", service, f"sdp status {known.name}", services)
    return known


def _summary(sandbox: views.SandboxView) -> views.SandboxSummary:
    fields = views.SandboxSummary.model_fields
    return views.SandboxSummary.model_validate({name: getattr(sandbox, name) for name in fields})
