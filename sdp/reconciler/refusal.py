"""Refusal: why nothing is done of what a person asked, and what to do about it."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing is done; the reason is one word, such as NodeSilent."""

    reason: str
    message: str
    fix: str
