"""Texts and numbers as they travel: bounded, and what people read is inert. Pure.

The other side of a connection may be anybody. A name that could become part of a path or choose a
network is refused; what is only shown is cut and made harmless instead, for a refusal would come
again with every connection.
"""

import re
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, Field

LONGEST: Final = 1 << 20
"""Characters of the longest text in any frame: an encrypted environment file."""
LONGEST_LINE: Final = 64 << 10
"""Characters of the longest line; what comes after them is cut."""
LONGEST_MESSAGE: Final = 8 << 10
MOST_LINES: Final = 500
CUT: Final = " … [cut]"

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_SEQUENCE = re.compile(
    r"\x1b\[[0-9;:]*m"  # colours and weights, which stay
    r"|\x1b\[[0-?]*[ -/]*[@-~]?"
    r"|\x1b[]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"
    r"|\x1b[ -/]*[0-~]?"
)
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def inert(text: str) -> str:
    """Return text that moves no cursor and hides nothing; colours stay."""
    if text.isprintable():
        return text
    kept = _SEQUENCE.sub(lambda m: m[0] if _COLOUR.fullmatch(m[0]) else "", text)
    return _CONTROL.sub(lambda m: _picture(ord(m[0])), kept)


def _picture(code: int) -> str:
    if code == ord("\x7f"):
        return "\N{SYMBOL FOR DELETE}"
    if code < ord(" "):
        return chr(ord("\N{SYMBOL FOR NULL}") + code)
    return "\N{REPLACEMENT CHARACTER}"


def _line(text: str) -> str:
    bound = LONGEST_LINE + len(CUT)
    return inert(text if len(text) <= bound else text[:LONGEST_LINE] + CUT)


def _message(text: str) -> str:
    return inert(
        text if len(text) <= LONGEST_MESSAGE else text[: LONGEST_MESSAGE - len(CUT)] + CUT
    )


def _last(lines: tuple[str, ...]) -> tuple[str, ...]:
    return lines[-MOST_LINES:]


Line: TypeAlias = Annotated[str, AfterValidator(_line)]
"""A line that a program said."""
Message: TypeAlias = Annotated[str, AfterValidator(_message)]
"""What people are told."""
LastLines: TypeAlias = Annotated[tuple[Line, ...], AfterValidator(_last)]

Word: TypeAlias = Annotated[str, Field(max_length=400)]
"""An id, or a name that is looked up."""
_SANDBOX: Final = r"^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$"
SandboxName: TypeAlias = Annotated[str, Field(pattern=_SANDBOX)]
"""It becomes a folder's name."""
ContainerName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")]
_NETWORK: Final = r"^sandbox-[A-Za-z0-9][A-Za-z0-9_.-]{0,100}$"
NetworkName: TypeAlias = Annotated[str, Field(pattern=_NETWORK)]
"""A sandbox's: none of the engine's own, such as ``host``, and no container's."""
UrlPath: TypeAlias = Annotated[str, Field(pattern=r"^/[!-~]{0,2000}$")]

Count: TypeAlias = Annotated[int, Field(ge=0, lt=1 << 63)]
Seconds: TypeAlias = Annotated[float, Field(gt=0, le=1e11, allow_inf_nan=False)]
Port: TypeAlias = Annotated[int, Field(ge=0, lt=1 << 16)]


def names_sandbox(text: str) -> bool:
    """Whether a label can be a sandbox's name: somebody with the engine writes what they like."""
    return re.fullmatch(_SANDBOX, text) is not None


def names_network(text: str) -> bool:
    """Whether a network can be a sandbox's."""
    return re.fullmatch(_NETWORK, text) is not None
