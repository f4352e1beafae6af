"""What the API takes and says about logins and sessions. Nobody's password is ever answered."""

import datetime
import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from sdp.api.sessions import Kind
from sdp.api.views import View
from sdp.spec.forms import UserName
from sdp.spec.models import Role
from sdp.spec.roles import ITSELF, Permission

_LONGEST = 1000
_TOKENS = re.compile(r"x-([a-z]+-)*token-auth|x-oauth-basic", re.IGNORECASE)
"""What Bitbucket Cloud takes in place of a user name beside a token, whose-ever it is."""


class LoginRequest(BaseModel):
    """Who somebody says to be, and what proves it."""

    model_config = ConfigDict(extra="forbid")
    username: UserName
    password: Annotated[
        SecretStr,
        Field(min_length=1, max_length=_LONGEST, description="Bitbucket's, or a token of it."),
    ]
    kind: Kind = Field("cookie", description="cookie: for the page; bearer: for programs.")

    @field_validator("username")
    @classmethod
    def _a_person(cls, name: str) -> str:
        if name.lower() == ITSELF:
            raise ValueError(f"{ITSELF} is the platform's own name")
        if _TOKENS.fullmatch(name):
            raise ValueError("that is the name of all tokens, not yours: give your user name")
        return name

    @field_validator("password")
    @classmethod
    def _one_line(cls, password: SecretStr) -> SecretStr:
        if not password.get_secret_value().isprintable():
            raise ValueError("a password is one line of printable characters")
        return password


class LogoutRequest(BaseModel):
    """Which sessions end."""

    model_config = ConfigDict(extra="forbid")
    everywhere: bool = Field(
        strict=True, default=False, description="All sessions of the user, not this one."
    )


class RevokeRequest(BaseModel):
    """Whose sessions end."""

    model_config = ConfigDict(extra="forbid")
    user: UserName


class Ended(View):
    """How many sessions ended."""

    sessions: int


class SessionView(View):
    """Who is logged in, and what they may do.

    Attributes:
        credentials: whether git can use what they logged in with; not after a restart.
        csrf: to be shown as X-CSRF-Token with a cookie; "" for a bearer token.
    """

    user: str
    role: Role
    permissions: tuple[Permission, ...]
    kind: Kind
    expires_at: datetime.datetime
    credentials: bool
    csrf: str = ""


class LoginView(SessionView):
    """A session that begins; ``token`` is a bearer's, "" for a cookie, which the answer sets."""

    token: str = Field("", repr=False)


class SessionSummary(View):
    """One of all sessions."""

    user: str
    kind: Kind
    created_at: datetime.datetime
    expires_at: datetime.datetime
