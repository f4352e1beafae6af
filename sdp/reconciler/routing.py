"""Routing: what stands in the way of a route in the gateway's config.php, in words. Pure.

What the file says of an entry is the agent's to find (``sdp.agent.php_config``); here it becomes
a problem of one route, with its place and its fix.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Final

from sdp.protocol.report import ConfigProblem, ConfigProblemKind, Copy, Release

_FIXES: Final[Mapping[ConfigProblemKind, str]] = {
    "environment": "let CI_ENV reach PHP: PassEnv CI_ENV in the image's Apache, and no other "
    "value in .htaccess",
    "conditional": "assign {entry} once, outside of any condition, in the gateway's branch",
    "not-literal": "make {entry} one string literal in the gateway's branch",
    "syntax": "correct {file} in the gateway's branch",
    "missing": "add {entry} = 'https://…'; in the gateway's branch",
    "duplicate": "remove this assignment of {entry}: the last one counts, and is patched",
    "wipes-base": "assign the entries one by one, in {file}",
}


@dataclasses.dataclass(frozen=True, slots=True)
class RouteProblem:
    """What a person should know of a route's entry.

    Attributes:
        where: file and line in the gateway's repository, such as ``config.php:12``.
        blocking: the entry is left as it is; else it is patched all the same.
    """

    kind: ConfigProblemKind
    where: str
    message: str
    fix: str
    blocking: bool


def problem(key: str, config: str, held: Copy | Release) -> RouteProblem | None:
    """Return what is wrong with a key's entry, the worst first; None where nothing is.

    Args:
        key: as config.php spells it, such as ``account_url``.
        config: the config file's path in the gateway's repository.
        held: what was found at a commit of it.
    """
    mine = [each for each in held.problems if each.key == key]
    whole = [each for each in held.problems if not each.key]
    blocking = (
        _first(whole, "environment")
        or _first(mine, "conditional", "not-literal")
        or _first(whole, "syntax")
    )
    if blocking is None and key not in held.defaults:
        blocking = _first(whole, "conditional", "not-literal") or ConfigProblem(
            kind="missing", key=key, file=config, line=0, message=f"it assigns no {key}"
        )
    found = blocking or _first(mine, "duplicate")
    if found is None:
        return None
    where = f"{found.file}:{found.line}" if found.line else found.file
    fix = _FIXES[found.kind].format(entry=f"$config['{key}']", file=found.file)
    message = f"{where}: {found.message}"
    return RouteProblem(found.kind, where, message, fix, blocking=found is blocking)


def patchable(keys: Mapping[str, str], config: str, held: Copy | Release) -> dict[str, str]:
    """Return the routes, key → URL, that can be written."""
    return {
        key: url
        for key, url in keys.items()
        if (found := problem(key, config, held)) is None or not found.blocking
    }


def _first(problems: Iterable[ConfigProblem], *kinds: str) -> ConfigProblem | None:
    return next((each for each in problems if each.kind in kinds), None)
