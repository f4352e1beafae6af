"""Edits as values: what the commands and ``POST /api/changes`` ask to be changed in the specs."""

from typing import Annotated, Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from sdp.spec.forms import Duration, Moment
from sdp.spec.models import Pins

Kind: TypeAlias = Literal["sandbox", "template", "environment", "snapshot"]


class Edit(BaseModel):
    """What all edits share: closed and frozen."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class About(Edit):
    """An edit of one spec, named as people name it: in any case."""

    kind: Kind = "sandbox"
    name: str


class Create(About):
    """Write a new spec; a sandbox may start from a template, and pin what a snapshot does."""

    edit: Literal["create"] = "create"
    template: str | None = None
    snapshot: str | None = None
    values: dict[str, JsonValue] = Field(default_factory=dict)


class Clone(About):
    """Write a new spec that says what another one says; a clone gets ports of its own."""

    edit: Literal["clone"] = "clone"
    source: str


class Set(About):
    """Set the value at a path of keys; ``text`` is read as the key's own type calls for."""

    edit: Literal["set"] = "set"
    path: tuple[str, ...] = Field(min_length=1)
    value: JsonValue = None
    text: str | None = None


class Unset(About):
    """Remove the key at a path; what the template or the defaults say counts again."""

    edit: Literal["unset"] = "unset"
    path: tuple[str, ...] = Field(min_length=1)


class Delete(About):
    """Remove a spec."""

    edit: Literal["delete"] = "delete"


class Route(Edit):
    """Make a service come from elsewhere: ``sandbox``, ``ocp``, or a URL.

    ``branch`` is what the sandbox runs; without one it is what it ran before.
    """

    edit: Literal["route"] = "route"
    sandbox: str
    service: str
    to: str
    branch: str | None = None


class Switch(Edit):
    """Turn on or off what a sandbox is meant to be; without a word where it is so already.

    Of a ``service``, ``suspended`` alone: its container stops, and is kept.
    """

    edit: Literal["switch"] = "switch"
    sandbox: str
    service: str = ""
    key: Literal["suspended", "protect"]
    on: bool


class Rollback(Edit):
    """Make a sandbox run what it ran; its owner, template, ports, limits and lifecycle stay.

    ``to`` says in a word what that is. Without ``pins`` the file is what it was: ``text``.
    """

    edit: Literal["rollback"] = "rollback"
    sandbox: str
    to: str
    pins: Pins | None = None
    text: str = ""


class Extend(Edit):
    """Keep a sandbox for longer than until ``ends``: when it would expire, or now.

    ``until`` says until when, ``by`` how much longer; without both it is by its expire_after.
    """

    edit: Literal["extend"] = "extend"
    sandbox: str
    ends: AwareDatetime
    by: Duration | None = None
    until: Moment | None = None


class Write(Edit):
    """Make a file's content this text; None removes it."""

    edit: Literal["write"] = "write"
    path: str
    text: str | None


AnyEdit: TypeAlias = Annotated[
    Create | Clone | Set | Unset | Delete | Route | Switch | Rollback | Extend | Write,
    Field(discriminator="edit"),
]
