"""Hints: which origins are worth a look because somebody says that something was pushed. Pure.

A hint proves nothing: whatever it names, only origins that the platform has are looked at.
"""

from collections.abc import Collection, Mapping

from sdp.spec.models import Gateway, Platform, Service


def repositories(platform: Platform, names: Collection[str]) -> Mapping[str, tuple[str, ...]]:
    """Return the platform's repositories of these names, by the node that has them.

    Args:
        platform: what there is.
        names: in any case, such as a Git server says them.
    """
    wanted = {name.lower() for name in names}
    users: list[Gateway | Service] = [platform.gateway, *platform.services.values()]
    found: dict[str, set[str]] = {}
    for each in users:
        if each.repository.lower() in wanted:
            found.setdefault(each.node, set()).add(each.repository)
    return {node: tuple(sorted(mine)) for node, mine in sorted(found.items())}


def is_named(location: str, names: Collection[str]) -> bool:
    """Whether the repository at a path or URL has one of these names, in any case."""
    last = location.rstrip("/").rpartition("/")[2].rpartition(":")[2]
    return last.removesuffix(".git").lower() in {name.lower() for name in names}
