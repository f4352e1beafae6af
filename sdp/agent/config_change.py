"""Plans a change of config.php: contents in, contents out. Pure; who writes them is elsewhere.

The gateway loads up to two files, the later over the earlier: each key is patched where it lives.
"""

import dataclasses
from collections.abc import Mapping

from sdp.agent import php_config
from sdp.agent.php_config import ConfigMap, KeyPattern, LiveMap, Patched, Refused
from sdp.protocol.frames import Failed


@dataclasses.dataclass(frozen=True, slots=True)
class Planned:
    """New contents by file, the keys that can't be had, and the map that results."""

    contents: Mapping[str, bytes]
    refused: Mapping[str, Failed]
    routes: Mapping[str, str]


def plan(contents: Mapping[str, bytes], values: Mapping[str, str], key: str) -> Planned:
    """Set each key to its URL; a key that can't be set keeps no other from it.

    ``contents`` are the config files in the order in which they are loaded.
    """
    pattern = KeyPattern(key)
    wanted, refused = dict(values), dict[str, Failed]()
    while True:
        told = _patch_all(contents, wanted, pattern)
        if not isinstance(told, Refused):
            return Planned(told, refused, {k: v for k, v in values.items() if k not in refused})
        blamed = {problem.key for problem in told.problems} & wanted.keys() or wanted.keys()
        for each in sorted(blamed):
            refused[each] = _failed(each, told)
            wanted.pop(each)


def live_map(contents: Mapping[str, bytes], pattern: KeyPattern) -> LiveMap:
    """Return what the gateway sees after loading all files."""
    maps = [php_config.read(content, pattern) for content in contents.values()]
    nothing = ConfigMap({}, ())
    return php_config.merge(maps[0] if len(maps) > 1 else nothing, maps[-1] if maps else nothing)


def _patch_all(
    contents: Mapping[str, bytes], values: Mapping[str, str], pattern: KeyPattern
) -> dict[str, bytes] | Refused:
    names = list(contents)
    live, shares = live_map(contents, pattern), {name: dict[str, str]() for name in names}
    for key, url in values.items():
        found = live.entries.get(key)
        in_base = found is not None and found.file == "base"
        shares[names[0] if in_base else names[-1]][key] = url
    patched = dict(contents)
    for name, share in shares.items():
        if share:
            told = php_config.patch(contents[name], share, pattern)
            if not isinstance(told, Patched):
                return told
            patched[name] = told.source
    return patched


def _failed(key: str, refused: Refused) -> Failed:
    told = [problem for problem in refused.problems if problem.key in {key, ""}]
    said = "; ".join(f"line {p.line}: {p.message}" for p in told or refused.problems)
    return Failed(
        reason="RouteRefused",
        message=f"{key} in config.php can't be changed: {said}",
        fix=f"make $config['{key}'] one plain string in the gateway's repository",
        terminal=True,
    )
