"""Testers' apps: requests over fresh connections through a sandbox's gateway, and what became of them."""

import contextlib
import dataclasses
import http.client
import json
import threading
import time
from collections.abc import Iterator

ENOUGH = 500
"""Requests that are made at least, after which a load may end."""
MOST = 6000
PAUSE = 0.01
"""Seconds between two requests of one app."""


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Asked:
    """One request: when it began and ended, and who answered; or what went wrong."""

    began: float
    ended: float
    answer: str
    fault: str = ""


@dataclasses.dataclass
class Load:
    """What was asked so far, in no order."""

    asked: list[Asked] = dataclasses.field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """What went wrong, as far as something did."""
        return [each.fault for each in sorted(self.asked) if each.fault]

    def answers(self) -> list[str]:
        """Return who answered, in the order in which that changed, by when requests began."""
        told = [each.answer for each in sorted(self.asked) if not each.fault]
        return [each for i, each in enumerate(told) if i == 0 or told[i - 1] != each]

    def assert_flips_once(self, old: str, new: str) -> None:
        """Whoever asked after anybody had been answered by the new one was answered by it."""
        assert {*self.answers()} == {old, new}
        first = min(each.ended for each in self.asked if each.answer == new)
        late = [each for each in self.asked if each.began > first and each.answer != new]
        assert late == [], f"{len(late)} of {len(self.asked)} went back: {late[:3]}"


@contextlib.contextmanager
def load(port: int, *paths: str, apps: int = 4) -> Iterator[Load]:
    """Ask for these pages until the block is through, and enough was asked for.

    Each page has apps of its own, which ask one request after the other.
    """
    made, through = Load(), threading.Event()

    def ask(path: str) -> None:
        while len(made.asked) < MOST and not (through.is_set() and len(made.asked) >= ENOUGH):
            made.asked.append(_asked(port, path))
            through.wait(PAUSE)

    threads = [threading.Thread(target=ask, args=(path,)) for path in paths for _ in range(apps)]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        through.set()
        for thread in threads:
            thread.join()


def _asked(port: int, path: str) -> Asked:
    began = time.monotonic()
    answer, fault = "", ""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", f"/erangel/{path}", headers={"Connection": "close"})
        response = connection.getresponse()
        said = response.read().decode(errors="replace")
        if response.status == http.client.OK:
            answer = str(json.loads(said).get("branch", ""))
        else:
            fault = f"{response.status} {said.strip()}"
    except (OSError, http.client.HTTPException, ValueError) as error:
        fault = f"{type(error).__name__}: {error}"
    finally:
        connection.close()
    return Asked(began, time.monotonic(), answer, fault)
