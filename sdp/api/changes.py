"""Changes: edits of the config repo, committed in a person's name; or shown, and not made."""

from fastapi import APIRouter

from sdp.api import views
from sdp.api.people import Asking
from sdp.api.ports import Changes, Ports
from sdp.api.problems import ProblemError
from sdp.api.requests import ChangeRequest
from sdp.api.sandboxes import MAX_BODY


def router(ports: Ports) -> APIRouter:
    """Return the route that writes."""
    routes = APIRouter(tags=["changes"])
    changes: Changes = ports.changes

    @routes.post("/changes", max_body_size=MAX_BODY)
    async def change(body: ChangeRequest, asking: Asking) -> views.ChangeView:
        """Edit the config repo: one commit in the caller's name, pushed without force.

        409 with ``conflict`` when others changed the same files since ``base``; 403 where the
        caller has no right to all of it.
        """
        if sum(map(bool, (body.edits, body.revert, body.approve))) != 1:
            raise ProblemError(
                422,
                "invalid-request",
                "Invalid request",
                "A change has edits, or names a commit to revert or to approve.",
                "Give edits, revert or approve, and one of them alone.",
            )
        return await changes.change(body, asking)

    return routes
