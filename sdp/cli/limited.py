"""How render shows what each container of a sandbox may take, and what says so."""

from collections.abc import Iterator, Mapping

from sdp.spec import limits
from sdp.spec.models import Platform
from sdp.spec.resolve import Resolved


def shown(resolved: Resolved, platform: Platform) -> str:
    """Return the limits as comments below a sandbox file, a line for each container."""
    rows = [
        (name, *(f"{kind} {each[kind]} ({each[f'{kind}_from']})" for kind in ("cpu", "memory")))
        for name, each in told(resolved, platform).items()
    ]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = [f"#   {row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}" for row in rows]
    return "\n".join(("# what its containers may take:", *lines, ""))


def told(resolved: Resolved, platform: Platform) -> dict[str, dict[str, str]]:
    """Return the limits of each container by its service, and where each comes from."""
    found = limits.limits(resolved.body, platform)
    return {name: dict(_amounts(each, resolved)) for name, each in found.items()}


def _amounts(limit: limits.Limit, resolved: Resolved) -> Iterator[tuple[str, str]]:
    amounts: Mapping[limits.Kind, limits.Amount] = {
        limits.CPU: limit.cpu,
        limits.MEMORY: limit.memory,
    }
    for kind, amount in amounts.items():
        yield kind.key, kind.shown(amount.value)
        yield f"{kind.key}_from", _origin(kind, amount, resolved)


def _origin(kind: limits.Kind, amount: limits.Amount, resolved: Resolved) -> str:
    if not amount.path:
        return "nothing limits it"
    if amount.path == limits.SHARE:
        ceiling = resolved.origins[f"resources.{kind.key}"]
        return f"its share of the ceiling, {ceiling}"
    if amount.path.startswith(limits.PLATFORM):
        return f"{amount.path.removeprefix(limits.PLATFORM)} in platform.yaml"
    return str(resolved.origins[amount.path])
