"""Changes: what came of commits, as events: what of each counts, and what was refused. Pure."""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pydantic import JsonValue

from sdp.reconciler.authority import Blobs, Judged, Read, Standing, Withheld
from sdp.reconciler.events import Event
from sdp.sops.form import is_encrypted
from sdp.spec import yaml
from sdp.spec.edits import Kind
from sdp.spec.finding import declared

MOST_TOLD: Final = 100
"""Files of one commit that are refused, and told one by one."""
_NAMED: Final[Mapping[str, Kind]] = {"sandboxes": "sandbox", "environments": "environment"}


def told(
    standing: Standing, before: str, read: Read, branch: str, now: datetime.datetime
) -> list[Event]:
    """Return what came of the commits that nobody was told of yet, oldest first.

    Args:
        standing: as of the newest commit.
        before: the commit that was told last; where it is none of the branch's, the newest alone
            is told: what was before it is the past of another journal.
        read: reads contents.
        branch: of the config repo.
        now: when it is told.
    """
    fresh: list[tuple[Judged, Blobs]] = []
    for judged, files in standing.back():
        if judged.sha == before:
            break
        fresh.append((judged, files))
    else:
        del fresh[1:]
    return [
        event
        for judged, files in reversed(fresh)
        for event in _events(judged, files, read, branch, now)
    ]


def _events(
    judged: Judged, files: Blobs, read: Read, branch: str, now: datetime.datetime
) -> Iterator[Event]:
    whose: dict[str, JsonValue] = {"user": judged.user, "commit": judged.sha, "branch": branch}
    if judged.before:
        data = {**whose, **_about(judged, files, read)}
        message = f"{judged.sha[:7]} by {judged.user or 'nobody known'}"
        yield Event(now, "CHANGE", message=message, data=data)
    for each in judged.withheld[:MOST_TOLD]:
        sandbox = next((need.sandbox for need in each.needs if need.sandbox), "")
        yield Event(
            now,
            "CHANGE_REFUSED",
            sandbox,
            reason=each.reason,
            message=each.message,
            data={**whose, "path": each.path, "permission": _takes(each)},
        )
    if more := judged.withheld[MOST_TOLD:]:
        message = f"… and {len(more)} more files of {judged.sha[:7]}"
        yield Event(now, "CHANGE_REFUSED", reason=more[0].reason, message=message, data=whose)


def _takes(withheld: Withheld) -> str:
    return ", ".join(dict.fromkeys(need.permission for need in withheld.needs))


def _about(judged: Judged, files: Blobs, read: Read) -> dict[str, JsonValue]:
    """Return the paths that count otherwise, and the names of what is in them."""
    names: dict[str, set[str]] = {"sandboxes": set(), "environments": set(), "secrets": set()}
    for path, blob in judged.before.items():
        folder = path.partition("/")[0]
        if (kind := _NAMED.get(folder)) is None:
            continue
        texts = [read(each) for each in (blob, files.get(path)) if each is not None]
        mine = {name for text in texts if (name := declared(kind, text))}
        names[folder] |= mine
        if kind == "environment" and _differ([_sealed(text) for text in texts]):
            names["secrets"] |= mine
    listed: dict[str, JsonValue] = {key: [*sorted(each)] for key, each in names.items()}
    return {"paths": [*sorted(judged.before)], **listed}


def _differ(sealed: Sequence[Mapping[str, object]]) -> bool:
    """Whether encrypted values differ; of a file that came or went, whether it has any."""
    return bool(sealed[0]) if len(sealed) == 1 else sealed[0] != sealed[-1]


def _sealed(text: str) -> dict[str, object]:
    document, _ = yaml.parse(text.encode(errors="surrogatepass"))
    value = document.value if document else None
    sections = (
        [value.get(key) for key in ("secrets", "files")] if isinstance(value, Mapping) else []
    )
    return {
        f"{number}/{name}": each
        for number, section in enumerate(sections)
        if isinstance(section, Mapping)
        for name, each in section.items()
        if isinstance(each, str) and is_encrypted(each)
    }
