"""How long the state machines search: a short while in CI, or as long as ``make fuzz`` says."""

import os
import sys
import time

import hypothesis

FUZZ = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
EXAMPLES = int(os.environ.get("EXAMPLES", "100000"))

_COMMON = hypothesis.settings(
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],  # the cores are shared
)
SETTINGS = hypothesis.settings(_COMMON, max_examples=EXAMPLES if FUZZ else 50)
UNTIMED = hypothesis.settings(deadline=None)
"""For short searches: how long an example takes says nothing where the cores are shared."""
SECONDS = 0 if FUZZ else 60
"""How long a test may take; 0: as long as it takes."""


class Progress:
    """Says now and then how far the search is."""

    def __init__(self, every: float = 15.0) -> None:
        self._every = every
        self._started = self._said = time.monotonic()
        self.examples = 0

    def one_more(self) -> None:
        """Count an example."""
        self.examples += 1
        now = time.monotonic()
        if FUZZ and now - self._said > self._every:
            self._said = now
            rate = self.examples / (now - self._started)
            sys.stderr.write(f"{self.examples} examples, {rate:.1f}/s\n")
            sys.stderr.flush()
