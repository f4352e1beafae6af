"""Reads of sandboxes, and waiting for what the journal says: list first, then follow."""

import time
from collections.abc import Callable, Collection, Generator
from typing import Final, TypeVar
from urllib.parse import quote, urlencode

from sdp.api.views import SandboxPage, SandboxSummary, SandboxView
from sdp.cli.client import Client, Message

LOOK_SECONDS: Final = 0.2

Item = TypeVar("Item")

_PAGE = "500"
_SERVES = frozenset({"Restarted", "MemoryHigh", "CpuHigh"})


def sandbox(client: Client, name: str) -> SandboxView:
    """Return one sandbox."""
    return client.get(f"/api/sandboxes/{quote(name, safe='')}", SandboxView)


def all_sandboxes(client: Client) -> list[SandboxSummary]:
    """Return all sandboxes, page by page."""
    found: list[SandboxSummary] = []
    cursor = ""
    while True:
        page = client.get("/api/sandboxes", SandboxPage, {"limit": _PAGE, "cursor": cursor})
        found += page.sandboxes
        cursor = page.following
        if not cursor:
            return found


def moment(client: Client) -> SandboxPage:
    """Return as of which config revision and journal entry the control plane answers now."""
    return client.get("/api/sandboxes", SandboxPage, {"limit": "1"})


def changes(
    client: Client, name: str | None = None, deadline: float | None = None
) -> Generator[Message | None, None, None]:
    """Yield None for what is now, then every event after that; ends at the deadline.

    Args:
        client: whom to ask.
        name: only this sandbox, as it is written.
        deadline: by ``time.monotonic``; None: never.
    """
    for message in beats(client, name, deadline):
        if message is None or message.event != "ping":
            yield message


def served(client: Client, name: str, nonce: str, deadline: float) -> bool:
    """Wait until a request is served, and the sandbox is as its spec wants it; or not in time.

    Args:
        client: whom to ask.
        name: the sandbox, as it is written.
        nonce: the request's.
        deadline: by ``time.monotonic``.
    """
    for _ in changes(client, name, deadline):
        found = sandbox(client, name)
        if found.served == nonce and converged(found):
            return True
    return False


def beats(
    client: Client, name: str | None = None, deadline: float | None = None
) -> Generator[Message | None, None, None]:
    """Yield as ``changes`` does, and every 15 seconds although nothing happened."""
    cursor = str(moment(client).seq)
    yield None
    query = f"?{urlencode({'sandbox': name})}" if name else ""
    yield from client.follow(f"/api/events{query}", cursor, deadline)


def converged(found: SandboxSummary) -> bool:
    """Whether a sandbox is as its spec wants it; a suspended or expired one sleeps as wanted.

    One that serves, but fell a while ago or is near a limit, has nothing more to wait for.
    """
    serves = found.health == "Degraded" and found.health_reason in _SERVES
    return found.sync == "Synced" and (
        serves or found.health in {"Healthy", "Suspended", "Expired"}
    )


def left_by(
    deadline: float, asked: Collection[Item], still: Callable[[Collection[Item]], list[Item]]
) -> list[Item]:
    """Wait until nothing is left of what was asked to end; return what is left by the deadline.

    Args:
        deadline: by ``time.monotonic``.
        asked: what is to end.
        still: returns which of these are still there.
    """
    left = list(asked)
    while left and (left := still(left)) and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
    return left
