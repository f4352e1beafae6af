"""Webhooks: Bitbucket says that something was pushed, and origins are looked at at once.

A hint only: nothing of it is believed but that a look is worth while, and nothing else is touched.
It counts when it is signed with the secret that was given to Bitbucket and to the control plane.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping

from fastapi import APIRouter, Request, Response

from sdp.api.ports import Plane, Ports
from sdp.api.problems import ProblemError

MAX_BODY = 1 << 20
"""Bytes of the largest payload that is read."""
PING = "diagnostics:ping"
_FIX = "compare the webhook's secret in Bitbucket with the file of sdp serve --hook-secret-file"


def router(ports: Ports) -> APIRouter:
    """Return the webhook's route."""
    routes = APIRouter(tags=["hooks"])

    @routes.post("/hooks/bitbucket", status_code=202)
    async def bitbucket(request: Request, response: Response) -> dict[str, str]:
        """Take a push of Bitbucket Cloud, Server or Data Center; 202, whoever's it is.

        `X-Hub-Signature: sha256=…` is the HMAC of the body with the shared secret.
        """
        if not ports.hook_secret:
            raise _switched_off()
        body = await _body(request)
        signature = request.headers.get("x-hub-signature", "")
        ping = request.headers.get("x-event-key") == PING
        # Bitbucket Server does not sign a ping, which does nothing.
        if not (ping and not signature) and not signed(body, signature, ports.hook_secret):
            raise ProblemError(
                401, "bad-signature", "Bad signature", "The body is not signed as agreed.", _FIX
            )
        if ping:
            response.status_code = 200
            return {"status": "the webhook works"}
        _take(body, ports.plane)
        return {"status": "taken"}

    return routes


def signed(body: bytes, signature: str, secret: bytes) -> bool:
    """Whether a signature, as ``sha256=`` and hexadecimal digits, is the body's."""
    meant = f"sha256={hmac.new(secret, body, hashlib.sha256).hexdigest()}"
    return hmac.compare_digest(meant.encode(), signature.encode(errors="replace"))


def repositories(payload: Mapping[str, object]) -> frozenset[str]:
    """Return the names under which a payload's repository may be known here.

    Cloud says ``name`` and ``full_name`` (workspace/slug); Server and Data Center ``slug`` and
    ``name``: developer.atlassian.com, "Event payloads" of either.
    """
    told = payload.get("repository")
    if not isinstance(told, Mapping):
        return frozenset()
    said = [told.get(key) for key in ("slug", "name", "full_name")]
    return frozenset(each.rpartition("/")[2] for each in said if isinstance(each, str) and each)


def _take(body: bytes, plane: Plane) -> None:
    try:
        payload: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _no_payload() from error
    if not isinstance(payload, Mapping):
        raise _no_payload()
    if names := repositories(payload):
        plane.hint(names)


async def _body(request: Request) -> bytes:
    """Return the body, of which no more is read than may be."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise ProblemError(
                413,
                "too-large",
                "Too large",
                f"A payload has at most {MAX_BODY} bytes.",
                "Let the webhook tell of pushes alone.",
            )
    return bytes(body)


def _no_payload() -> ProblemError:
    return ProblemError(
        400,
        "bad-payload",
        "Bad payload",
        "The body is no JSON object.",
        "Let the webhook post JSON, as Bitbucket does by itself.",
    )


def _switched_off() -> ProblemError:
    return ProblemError(
        403,
        "no-hook-secret",
        "Webhooks are switched off",
        "This control plane has no secret to tell Bitbucket's posts from others.",
        "write one to a file that nobody else can read (openssl rand -hex 32 > FILE; chmod 600 "
        "FILE), start sdp serve with --hook-secret-file FILE, and give Bitbucket the same",
    )
