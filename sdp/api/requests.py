"""What the API is asked to change: one frozen model per request."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticSerializationError

from sdp.spec.edits import AnyEdit

MAX_EDITS = 1000
_SHA = r"^([0-9a-f]{7,40})?$"


class Reasoned(BaseModel):
    """Why a commit is asked for; its author is who is logged in."""

    model_config = ConfigDict(extra="forbid")
    message: str = Field("", max_length=10_000, description="Why.")

    @model_validator(mode="after")
    def _text(self) -> Self:
        """Refuse what JSON can escape and no file can hold, wherever it stands."""
        try:
            self.model_dump_json()
        except PydanticSerializationError as error:
            raise ValueError("found half of a character (a lone surrogate)") from error
        return self


class ChangeRequest(Reasoned):
    """Edits, or a commit to revert or to approve, and why."""

    edits: tuple[AnyEdit, ...] = Field((), max_length=MAX_EDITS)
    revert: str = Field("", pattern=_SHA, description="Undo this commit instead.")
    approve: str = Field(
        "", pattern=_SHA, description="Let count what waits of this commit instead."
    )
    base: str = Field(
        "", pattern=_SHA, description="Commit at which the author looked at the files."
    )
    dry_run: bool = Field(
        default=False, strict=True, description="Show the diff and the plan, and commit nothing."
    )


class ResumeRequest(Reasoned):
    """What to wake, and why."""

    service: str = Field("", description="This service alone.")


class StopRequest(Reasoned):
    """What to stop, and why."""

    service: str = Field(min_length=1, description="The service.")
