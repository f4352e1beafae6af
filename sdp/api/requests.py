"""What the API is asked to change: one frozen model per request."""

import re
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticSerializationError

from sdp.spec.edits import AnyEdit

MAX_EDITS = 1000
_AUTHOR = re.compile(r"[^<>\x00-\x1f]{1,100} <[^<>\s]{1,200}>")
_SHA = r"^([0-9a-f]{7,40})?$"


class Signed(BaseModel):
    """Who asks for a commit, and why."""

    model_config = ConfigDict(extra="forbid")
    author: str = Field(description="Who: Name <mail>.")
    message: str = Field("", max_length=10_000, description="Why.")

    @field_validator("author")
    @classmethod
    def _named(cls, author: str) -> str:
        if not _AUTHOR.fullmatch(author):
            raise ValueError("expected Name <mail>")
        return author

    @model_validator(mode="after")
    def _text(self) -> Self:
        """Refuse what JSON can escape and no file can hold, wherever it stands."""
        try:
            self.model_dump_json()
        except PydanticSerializationError as error:
            raise ValueError("found half of a character (a lone surrogate)") from error
        return self


class ChangeRequest(Signed):
    """Edits, or a commit to revert; who asks for it, and why."""

    edits: tuple[AnyEdit, ...] = Field((), max_length=MAX_EDITS)
    revert: str = Field("", pattern=_SHA, description="Undo this commit instead.")
    base: str = Field(
        "", pattern=_SHA, description="Commit at which the author looked at the files."
    )
    dry_run: bool = Field(
        default=False, strict=True, description="Show the diff and the plan, and commit nothing."
    )


class ResumeRequest(Signed):
    """Who wakes what, and why."""

    service: str = Field("", description="This service alone.")


class StopRequest(Signed):
    """Who stops what, and why."""

    service: str = Field(min_length=1, description="The service.")
