"""The audit, as the API shows it: one frozen model per answer."""

import dataclasses
from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from sdp.reconciler.audit import Act, ActKind, ActStatus
from sdp.reconciler.chain import Entry, Verdict


class AuditView(BaseModel):
    """What all of them share."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ActView(AuditView):
    """What somebody did, or was kept from; what does not apply is empty."""

    seq: int = Field(description="Its number; numbers rise by one.")
    at: AwareDatetime
    kind: ActKind
    status: ActStatus
    user: str = Field(description="Who; sdp for what no person did, empty where nobody knows.")
    action: str = Field(description="What, in a few words.")
    address: str = Field("", description="Where a request came from.")
    repository: str = ""
    branch: str = ""
    commit: str = ""
    environment: str = ""
    sandbox: str = ""
    service: str = ""
    message: str = ""
    hash: str = Field(description="SHA-256 over the hash before and all of this.")

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """Return a row as the API shows it."""
        return cls(seq=entry.seq, hash=entry.hash, **dataclasses.asdict(entry.act))

    @property
    def entry(self) -> Entry:
        """The row that is shown."""
        return Entry(self.seq, Act(**self.model_dump(exclude={"seq", "hash"})), self.hash)


class ActPage(AuditView):
    """Acts, newest first."""

    acts: tuple[ActView, ...]
    following: str = Field("", description="Cursor of the next page; empty at the end.")


class AuditFinding(AuditView):
    """What is wrong with the audit, at which row."""

    seq: int
    message: str


class AuditVerdict(AuditView):
    """Whether the audit is as it was written."""

    ok: bool
    rows: int = Field(description="So many were looked at; after a broken one, no more are.")
    first: int = Field(description="Number of the first.")
    last: int = Field(description="Number of the last that is right.")
    hash: str = Field(description="Its hash: keep it elsewhere, and compare later.")
    findings: tuple[AuditFinding, ...] = ()

    @classmethod
    def of(cls, found: Verdict) -> Self:
        """Return a verdict as the API shows it."""
        return cls(
            ok=not found.findings,
            rows=found.rows,
            first=found.first,
            last=found.head.seq,
            hash=found.head.hash,
            findings=tuple(AuditFinding(seq=e.seq, message=e.message) for e in found.findings),
        )
