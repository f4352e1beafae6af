"""Changes: edits of the config repo, committed in a person's name; or shown, and not made."""

from fastapi import APIRouter

from sdp.api import views
from sdp.api.ports import Changes, Ports
from sdp.api.problems import ProblemError
from sdp.api.requests import ChangeRequest
from sdp.api.sandboxes import MAX_BODY


def router(ports: Ports) -> APIRouter:
    """Return the route that writes."""
    routes = APIRouter(tags=["changes"])
    changes: Changes = ports.changes

    @routes.post("/changes", max_body_size=MAX_BODY)
    async def change(body: ChangeRequest) -> views.ChangeView:
        """Edit the config repo: one commit in the author's name, pushed without force.

        409 with ``conflict`` when others changed the same files since ``base``.
        """
        if bool(body.edits) == bool(body.revert):
            raise ProblemError(
                422,
                "invalid-request",
                "Invalid request",
                "A change has edits, or names a commit to revert.",
                "Give edits, or revert, and not both.",
            )
        return await changes.change(body)

    return routes
