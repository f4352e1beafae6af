"""Who may be a node's agent: enrolled with a token, revoked, and what is wrong with that."""

import datetime
from collections.abc import Iterator
from typing import Annotated, Final, TypeAlias

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator

from sdp import clock
from sdp.api import greeting, node_views
from sdp.api.agents import Sessions
from sdp.api.audit import act
from sdp.api.people import Asking
from sdp.api.ports import Plane, Ports, Trust
from sdp.api.problems import missing
from sdp.spec import quantities

VALID: Final = "1h"
LONGEST: Final = datetime.timedelta(days=7)
NodeName: TypeAlias = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$")
]
"""Of a node that may have left platform.yaml: nothing else says what could be one."""


class EnrolRequest(BaseModel):
    """How long the token is to be good for."""

    model_config = ConfigDict(extra="forbid")
    valid: str = Field(VALID, max_length=20, description="A duration up to 7d.")

    @field_validator("valid")
    @classmethod
    def _short(cls, valid: str) -> str:
        if not datetime.timedelta() < quantities.duration(valid) <= LONGEST:
            raise ValueError("expected a duration up to 7d")
        return valid


def router(ports: Ports, sessions: Sessions) -> APIRouter:
    """Return the routes that give and take trust."""
    routes = APIRouter(tags=["nodes"])
    trust = ports.trust

    @routes.post("/nodes/{name}/enroll", status_code=201)
    async def enroll(
        name: str, body: EnrolRequest, asking: Asking, response: Response
    ) -> node_views.EnrolmentView:
        """Make a token with which the agent of a node is enrolled, once; it is shown only here."""
        _check(ports.plane, name)
        now, user = clock.now(), asking.person.user
        made = trust.invite(name, user, quantities.duration(body.valid), now)
        told = act(asking, "NODE", "done", "enrolment token made", message=name)
        await ports.audit.record([told])
        response.headers["Cache-Control"] = "no-store"
        return node_views.EnrolmentView(
            node=name, token=made.token.reveal(), until=made.until, replaces=made.replaces
        )

    @routes.post("/nodes/{name}/revoke")
    async def revoke(name: NodeName, asking: Asking) -> node_views.BeliefView:
        """Believe a node's agent no more: its session ends, and its key and tokens are void."""
        if trust.belief(name).state == "never enrolled":  # it may have left platform.yaml
            _check(ports.plane, name)
        now, user = clock.now(), asking.person.user
        belief = trust.revoke(name, user, now)
        sessions.end(name, f"{name} was revoked by {user or 'an administrator'}")
        await ports.audit.record([act(asking, "NODE", "done", "node revoked", message=name)])
        return node_views.BeliefView(node=name, state=belief.state, since=belief.since)

    return routes


def examine(plane: Plane, trust: Trust, sessions: Sessions) -> Iterator[node_views.Finding]:
    """Yield what is wrong with who is believed, and with their connections."""
    for node in plane.platform.nodes if plane.platform else ():
        if why := greeting.distrust(node.id, belief := trust.belief(node.id)):
            message, _, fix = why.partition(": ")
            revoked = belief.state == "revoked"
            yield node_views.Finding(
                severity="warning" if revoked else "error",
                node=node.id,
                kind="trust",
                message=message,
                fix=fix,
            )
    yield from sessions.examine()


def _check(plane: Plane, name: str) -> None:
    known = [each.id for each in plane.platform.nodes] if plane.platform else []
    if name not in known:
        raise missing("node", name, "sdp nodes", known)
