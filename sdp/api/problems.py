"""Errors as RFC 9457 problem documents, each with a ``fix``: one shape for every failure."""

import difflib
import http
from collections.abc import Mapping, Sequence
from typing import Self

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import Field
from starlette.exceptions import HTTPException

from sdp.api.views import ConflictView, View
from sdp.reconciler.journal import StoreUnavailable

MEDIA_TYPE = "application/problem+json"
NOT_LOGGED_IN = "urn:sdp:problem:not-logged-in"
FEW = 12
"""Names that are listed where none of them is near."""


class ProblemDocument(View):
    """Why a request was not done, and what to do about it (RFC 9457)."""

    type: str = Field(description="urn:sdp:problem: and a word; about:blank: the status says all.")
    title: str
    status: int
    detail: str
    fix: str
    conflict: ConflictView | None = Field(None, description="What others changed meanwhile.")


class ProblemError(Exception):
    """A request that can't be done; becomes a problem document."""

    def __init__(
        self,
        status: int,
        kind: str,
        title: str,
        detail: str,
        fix: str,
        *,
        conflict: ConflictView | None = None,
    ) -> None:
        super().__init__(detail)
        self.headers: Mapping[str, str] = {}
        self.document = ProblemDocument(
            type=f"urn:sdp:problem:{kind}",
            title=title,
            status=status,
            detail=detail,
            fix=fix,
            conflict=conflict,
        )

    def with_headers(self, **headers: str) -> Self:
        """Say it with headers; an underscore stands for a hyphen."""
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return self


def missing(kind: str, name: str, listing: str, known: Sequence[str] = ()) -> ProblemError:
    """Return the problem of a thing that is not there.

    Args:
        kind: what it would be, in a word.
        name: as it was asked for.
        listing: the command that shows those that there are.
        known: their names, where they are few enough to be searched for a likely one.
    """
    lowered = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), lowered, n=1)
    guess = f"did you mean {lowered[near[0]]}? " if near else ""
    if known and not near and len(known) <= FEW:
        guess = f"there are {', '.join(sorted(known))}; "
    return ProblemError(
        404,
        f"no-such-{kind}",
        f"No such {kind}",
        f"There is no {kind} {name!r}.",
        f"{guess}see them all: {listing}",
    )


def response(document: ProblemDocument, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return a problem document as a response."""
    return JSONResponse(
        document.model_dump(mode="json", exclude_none=True),
        status_code=document.status,
        headers=headers,
        media_type=MEDIA_TYPE,
    )


def unavailable(error: StoreUnavailable) -> ProblemError:
    """Return the problem of a store that can't be read or written now."""
    return ProblemError(503, "store", "Store unavailable", error.reason, error.fix)


def install(app: FastAPI) -> None:
    """Make every failure of the app a problem document."""
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(StoreUnavailable, _unavailable)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _bug)


async def _problem(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ProblemError)  # noqa: S101 -- registered for it
    request.state.problem = error  # for the gate, which records what is refused
    return response(error.document, error.headers)


async def _unavailable(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StoreUnavailable)  # noqa: S101 -- registered for it
    return response(unavailable(error).document)


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 -- registered for it
    answer = response(
        ProblemDocument(
            type="about:blank",
            title=http.HTTPStatus(error.status_code).phrase,
            status=error.status_code,
            detail=f"{request.method} {request.url.path}: {error.detail}",
            fix="Look at /openapi.json for what can be asked.",
        )
    )
    answer.headers.update(error.headers or {})
    return answer


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 -- registered for it
    faults = [
        f"{'.'.join(map(str, each['loc']))}: {each['msg'].removeprefix('Value error, ')}"
        for each in error.errors()
    ]
    return response(
        ProblemDocument(
            type="urn:sdp:problem:invalid-request",
            title="Invalid request",
            status=422,
            detail="; ".join(faults),
            fix="Correct what the detail names; /openapi.json has each request's form.",
        )
    )


async def _bug(_request: Request, error: Exception) -> JSONResponse:
    return response(
        ProblemDocument(
            type="urn:sdp:problem:bug",
            title="Internal error",
            status=500,
            detail=f"An error that should not be: {type(error).__name__}.",
            fix="Look at the control plane's log, and report what it says.",
        )
    )
