"""What the API answers about snapshots: what a sandbox ran, and how to come back to it."""

import datetime

from pydantic import Field

from sdp.api.views import CommitView, DeploymentPage, View
from sdp.spec.models import Pins


class PinChange(View):
    """What differs from the snapshot before, in words: a service, the gateway, an environment."""

    what: str
    before: str
    after: str


class SnapshotView(View):
    """What a sandbox ran, as it was remembered by itself.

    ``revision`` is the config commit that was applied, and ``commit`` says what that was, where
    the config repo has it; ``names`` are the named snapshots that pin the same; ``current``: it
    runs now.
    """

    number: int
    sandbox: str
    taken_at: datetime.datetime
    revision: str
    commit: CommitView | None = None
    changes: tuple[PinChange, ...] = ()
    names: tuple[str, ...] = ()
    current: bool = False
    pins: Pins


class HistoryView(DeploymentPage):
    """What a sandbox ran, newest first, and a page of its deployments."""

    snapshots: tuple[SnapshotView, ...] = ()


class NamedSnapshotView(View):
    """A snapshot that somebody took: a file of the config repo."""

    name: str
    path: str
    sandbox: str
    taken_at: str
    revision: str
    pins: Pins


class RollbackTarget(View):
    """What a sandbox would be brought back to: ``pins``, or else its file as it was, ``text``."""

    to: str = Field(description="What that is, in a word.")
    note: str = Field("", description="What to know of it.")
    pins: Pins | None = None
    text: str = ""
