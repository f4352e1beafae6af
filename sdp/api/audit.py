"""The audit over HTTP: who did what, filtered and paged; exported; verified; and told of requests."""

import datetime
import functools
import itertools
from collections.abc import AsyncGenerator
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime

from sdp import clock
from sdp.api.audit_views import ActPage, ActView, AuditVerdict
from sdp.api.people import Caller
from sdp.api.ports import Audit
from sdp.reconciler.audit import Act, ActKind, ActStatus, Auditor, Wanted
from sdp.reconciler.chain import Entry

_CHUNK: Final = 1_000
_NUMBER: Final = 10**15
_LONGEST: Final = 300

Text = Annotated[str, Query(max_length=_LONGEST)]


def router(audit: Audit) -> APIRouter:
    """Return the routes about who did what."""
    routes = APIRouter(tags=["audit"])

    @routes.get("/audit")
    async def list_acts(
        wanted: Annotated[Wanted, Depends(_wanted)],
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        cursor: Annotated[
            str, Query(pattern="^[0-9]{0,15}$", description="``following`` of the page before.")
        ] = "",
    ) -> ActPage:
        """List what was done, and what was refused, newest first."""
        page = await audit.page(wanted, limit, int(cursor or 0))
        acts = tuple(ActView.of(each) for each in page.entries)
        return ActPage(acts=acts, following=str(page.following or ""))

    @routes.get("/audit/verify")
    async def verify_audit() -> AuditVerdict:
        """Look through all of it: whether every row is as it was written, and none is missing."""
        return AuditVerdict.of(await audit.verify())

    @routes.get(
        "/audit/export",
        response_class=StreamingResponse,
        responses={200: {"content": {"application/jsonl": {}}, "description": "An act a line."}},
    )
    async def export_acts(
        after: Annotated[int, Query(ge=0, lt=_NUMBER, description="Number of the last one.")] = 0,
        since: Annotated[AwareDatetime | None, Query()] = None,
    ) -> StreamingResponse:
        """Stream acts as lines of JSON, oldest first, with their hashes; go on after any of them."""
        return StreamingResponse(_exported(audit, after, since), media_type="application/jsonl")

    return routes


async def requested(
    audit: Auditor, asking: Caller, action: str, sandbox: str = "", service: str = ""
) -> None:
    """Tell the audit of a request that was done, and left no commit."""
    await audit.record([act(asking, "REQUEST", "done", action, sandbox, service)])


def act(  # noqa: PLR0913, PLR0917 -- an act's fields
    asking: Caller,
    kind: ActKind,
    status: ActStatus,
    action: str,
    sandbox: str = "",
    service: str = "",
    message: str = "",
) -> Act:
    """Return what somebody who calls did, or was kept from, now."""
    return Act(
        at=clock.now(),
        kind=kind,
        status=status,
        user=asking.person.user,
        action=action,
        address=asking.address,
        sandbox=sandbox,
        service=service,
        message=message,
    )


def _wanted(  # noqa: PLR0913, PLR0917 -- a query's parameters
    user: Text = "",
    kind: ActKind | None = None,
    status: ActStatus | None = None,
    sandbox: Text = "",
    service: Text = "",
    repository: Text = "",
    branch: Text = "",
    environment: Text = "",
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    text: Annotated[str, Query(max_length=_LONGEST, description="Part of any field.")] = "",
) -> Wanted:
    return Wanted(
        user=user,
        kind=kind,
        status=status,
        sandbox=sandbox,
        service=service,
        repository=repository,
        branch=branch,
        environment=environment,
        since=since,
        until=until,
        text=text,
    )


async def _exported(
    audit: Audit, after: int, since: datetime.datetime | None
) -> AsyncGenerator[bytes, None]:
    """Yield lines up to where the audit is when its end is met."""
    while entries := await audit.after(after, _CHUNK):
        after = entries[-1].seq
        if since is not None:
            # From the first one on, all: a clock that was set back must leave no gap.
            entries = [*itertools.dropwhile(functools.partial(_is_before, since), entries)]
            since = None if entries else since
        yield b"".join(ActView.of(each).model_dump_json().encode() + b"\n" for each in entries)


def _is_before(at: datetime.datetime, entry: Entry) -> bool:
    return entry.act.at < at
