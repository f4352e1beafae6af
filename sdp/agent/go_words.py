"""Which flags and variables of a recipe go's build may get: none that runs a program or leaves the tree.

``-toolexec``, ``-overlay``, a linker of one's own, CC or GOFLAGS would make of the right to change a
recipe the right to run anything as the agent. Pure.
"""

import re
from typing import Final

from sdp.protocol.actions import GoRecipe

_SWITCHES: Final = frozenset({"-a", "-asan", "-cover", "-msan", "-race", "-trimpath", "-v", "-x"})
_VALUED: Final = frozenset(
    {"-asmflags", "-buildmode", "-gcflags", "-installsuffix", "-ldflags", "-mod", "-p", "-tags"}
)
_TOOLS: Final = frozenset({"-asmflags", "-gcflags", "-ldflags"})
_HARMLESS: Final = re.compile(
    r"-([BCENSdeilmswv]|X|X=\S+|buildid=\S*|compressdwarf=\w+|trimpath=\S*|shared)"
)
"""What the compiler, the assembler and the linker may be told with a dash."""
_PATTERN: Final = re.compile(r"^['\"]?[^-\s=][^\s=]*=")
"""The packages that a tool's words are for, such as ``all=``."""
_VARIABLES: Final = re.compile(r"CGO_ENABLED|GO(386|AMD64|ARCH|ARM|ARM64|DEBUG|EXPERIMENT|GC|OS)")


def hostile(recipe: GoRecipe, allowed: frozenset[str] = frozenset()) -> str | None:
    """Return the first word that is not given to go; None where there is none.

    Args:
        recipe: what the control plane tells to build.
        allowed: words that this node takes whatever they do.
    """
    for name in recipe.environment:
        if not _VARIABLES.fullmatch(name) and name not in allowed:
            return name
    words = (word for word in recipe.flags if word not in allowed)
    for word in words:
        name, equals, value = word.replace("--", "-", 1).partition("=")
        if not equals and name in _VALUED:
            value = next(words, "")
        known = name in _VALUED or (name in _SWITCHES and value in {"", "true", "false"})
        if not known or (name in _TOOLS and not _harmless(value)):
            return word
    return None


def _harmless(value: str) -> bool:
    words = (word.strip("'\"") for word in _PATTERN.sub("", value, count=1).split())
    return all(_HARMLESS.fullmatch(word) for word in words if word.startswith("-"))
