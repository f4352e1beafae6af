"""What the store takes and gives: frozen values. Times are aware and in UTC."""

import datetime
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from sdp.protocol.frames import LogLines, StageEvent
from sdp.reconciler.history import Failure


def _utc(at: datetime.datetime) -> datetime.datetime:
    return at.astimezone(datetime.UTC)


Instant: TypeAlias = Annotated[AwareDatetime, AfterValidator(_utc)]
DeploymentStatus: TypeAlias = Literal["QUEUED", "RUNNING", "FAILED", "STOPPED"]
StageState: TypeAlias = Literal["started", "finished", "failed"]


class Value(BaseModel):
    """What all values share."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NewEvent(Value):
    """Something that happened and has no number yet. What does not apply is empty."""

    at: Instant
    kind: str
    sandbox: str = ""
    service: str = ""
    deployment: str = ""
    reason: str = ""
    message: str = ""
    data: dict[str, JsonValue] = Field(default_factory=dict)


class Event(NewEvent):
    """An entry of the journal; ``seq`` rises, and no number is ever used again."""

    seq: int


class Resync(Value):
    """The answer to a cursor that can't be continued: list everything again, then follow."""

    reason: str


class Stage(Value):
    """One stage of a deployment."""

    name: str
    state: StageState
    started_at: Instant | None = None
    finished_at: Instant | None = None
    note: str = ""


class Deployment(Value):
    """One service of one sandbox brought to one commit. ``lines`` are an error's last ones."""

    id: str = Field(pattern=r"^[a-z0-9-]{1,100}$")
    sandbox: str
    service: str
    node: str
    repository: str
    branch: str
    commit: str
    hash: str
    generation: str
    status: DeploymentStatus
    cause: str = ""
    reason: str = ""
    message: str = ""
    lines: tuple[str, ...] = ()
    created_at: Instant
    started_at: Instant | None = None
    finished_at: Instant | None = None
    stages: tuple[Stage, ...] = ()


class DeploymentPage(Value):
    """Deployments, newest first; ``following`` is the next page's cursor, empty at the end."""

    deployments: tuple[Deployment, ...]
    following: str = ""


class Cleared(Value):
    """A service has no failure of any version any more."""

    sandbox: str
    service: str


class Applied(Value):
    """The last hash at which a service converged."""

    sandbox: str
    service: str
    hash: str


Effect: TypeAlias = NewEvent | Deployment | StageEvent | LogLines | Failure | Cleared | Applied
"""What an agent's entry can change, besides being stored."""
