"""Edits of environment files with encrypted values: text in, text out. No files, no commits.

Values that stay the same keep their encrypted form, so that a commit shows what was changed. What
the sops section says of a file that the sops tool made is kept, until the file is rotated.
"""

import dataclasses
import datetime
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from sdp.sops import document, identities, metadata, values
from sdp.sops.document import Loc, Opened
from sdp.sops.form import ENCRYPTED, is_encrypted
from sdp.sops.identities import KEY_BYTES, Identities
from sdp.sops.metadata import SECTION, Metadata, Selector
from sdp.sops.problem import SopsError
from sdp.sops.values import NONCE_BYTES, Scalar
from sdp.spec import edit, yaml
from sdp.spec.edit import CannotEditError

ORDER = ("environment", "variables", "secrets", "files", SECTION)
"""The order in which an environment's keys are usually written."""
_COMMENT = re.compile(rf"#({ENCRYPTED.pattern})")

Place: TypeAlias = tuple[str, ...]
"""Path of keys, such as ``("secrets", "DB_PASSWORD")``."""


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """One entry of a file: its new content; None removes it. ``secret``: it is encrypted."""

    place: Place
    value: str | None = dataclasses.field(repr=False)
    secret: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Sealer:
    """With what files are opened and encrypted.

    Attributes:
        recipients: public keys, for files that are encrypted anew.
        held: the secret keys of who works here; None: there are none.
        now: the time that is noted.
        random: returns so many random bytes.
    """

    recipients: tuple[str, ...]
    held: Identities | None
    now: datetime.datetime
    random: Callable[[int], bytes]


def opened(text: str, held: Identities | None) -> Opened | None:
    """Return a file opened; None: it has no sops section.

    Raises:
        CannotEditError: it does not load.
        SopsError: it can't be opened.
    """
    whole = edit.document(text)
    if SECTION not in whole:
        return None
    if held is None:
        raise SopsError("NoIdentity", "there is no secret key here to open it with")
    return document.open_file(whole, held)


def changed(text: str, changes: Sequence[Change], sealer: Sealer) -> str:
    """Return a file with changes made; as it is where it says all of them already.

    Raises:
        CannotEditError: it does not load, or can't be edited by a program.
        SopsError: it must be opened for that, and can't be.
    """
    whole, unchanged = edit.document(text), text
    if SECTION in whole:
        for each in changes:
            _refuse_unselected(metadata.read(_section(whole)), each)
    file = opened(text, sealer.held) if _needs_key(whole, changes) else None
    key, section, plaintext = _state(file, changes, sealer)
    for each in changes:
        before = plaintext.pop(each.place, None)
        if each.value is None:
            text = edit.remove(text, each.place)
        elif not each.secret:
            text = edit.set_value(text, each.place, each.value, ORDER)
        else:
            if before != each.value:
                made = _encrypted(each.value, key, each.place, sealer)
                text = edit.set_value(text, each.place, made, ORDER)
            if each.value:
                plaintext[each.place] = each.value
    touched = section if text != unchanged else None
    return _resealed(text, key, touched, plaintext, sealer) if touched else text


def rotated(text: str, sealer: Sealer) -> str:
    """Return a file with a new data key, for the recipients of now, in the form of this tool.

    Raises:
        CannotEditError, SopsError: as ``changed``.
    """
    file = opened(text, sealer.held)
    if file is None:
        return text
    whole = edit.document(text)
    if others := metadata.other_keys(_section(whole)):
        found = ", ".join(others)
        raise SopsError("Unsupported", f"it is encrypted for {found} too, which would be lost")
    key = sealer.random(KEY_BYTES)
    for loc, value in file.values.items():
        made = _encrypted(value, key, document.keys(loc), sealer)
        text = edit.set_value(text, [str(each) for each in loc], made)
    text = _COMMENT.sub(lambda found: _comment(found[1], whole, file.key, key, sealer), text)
    return _resealed(text, key, _new_section(key, sealer), dict(file.values), sealer)


def plain(text: str, file: Opened | None) -> str:
    """Return a file as it is edited: values in plain text, and no sops section."""
    for loc, value in (file.values if file else {}).items():
        text = edit.set_value(text, [str(each) for each in loc], str(value))
    return edit.remove(text, (SECTION,))


def sealed_again(before: str, edited: str, file: Opened | None, sealer: Sealer) -> str:
    """Return what somebody made of ``plain(before, file)``, encrypted where it was, and secrets.

    Raises:
        CannotEditError: it does not load.
    """
    text = _kept(before, edited, file)
    known = file.values if file else {}
    places: dict[Place, str] = {
        document.keys(loc): value
        for loc, value in document.leaves(edit.document(edited))
        if isinstance(value, str) and (loc in known or loc[0] == "secrets")
    }
    changes = [Change(place, value, secret=True) for place, value in places.items()]
    key, section, _ = _state(file, changes, sealer)
    now = edit.document(text)
    for place, value in places.items():
        if not is_encrypted(_at(now, place)):
            text = edit.set_value(text, place, _encrypted(value, key, place, sealer))
    found: dict[Loc, Scalar] = {place: value for place, value in places.items() if value}
    if section is None:
        return text
    return _resealed(text, key, section, found, sealer)


def _needs_key(whole: Mapping[str, yaml.Value], changes: Sequence[Change]) -> bool:
    if SECTION not in whole:
        return False
    touched = any(each.secret or is_encrypted(_at(whole, each.place)) for each in changes)
    return touched or not metadata.read(_section(whole)).mac_only_encrypted


def _state(
    file: Opened | None, changes: Sequence[Change], sealer: Sealer
) -> tuple[bytes, Metadata | None, dict[Loc, Scalar]]:
    """Return data key, section and plain values to go on from; new ones for a first secret."""
    if file is not None:
        return file.key, file.metadata, dict(file.values)
    if not any(each.secret and each.value for each in changes):
        return b"", None, {}
    key = sealer.random(KEY_BYTES)
    return key, _new_section(key, sealer), {}


def _new_section(key: bytes, sealer: Sealer) -> Metadata:
    recipients = identities.sealed_for(key, sealer.recipients)
    return Metadata(recipients, "", "", metadata.selecting(()), mac_only_encrypted=True)


def _refuse_unselected(section: Metadata, each: Change) -> None:
    """Refuse what the sops tool would take for the opposite of what it is."""
    selector = section.selector
    if selector.ours:  # it is made to fit
        selector = metadata.selecting([each.place[-1]] if each.secret else ())
    if each.value is None or selector.selects(each.place) == each.secret:
        return
    is_not = "encrypts" if not each.secret else "does not encrypt"
    message = f"its {selector.kind}, {selector.pattern!r}, {is_not} {document.shown(each.place)}"
    raise SopsError("Unsupported", message)


def _resealed(
    text: str,
    key: bytes,
    section: Metadata,
    plaintext: Mapping[Loc, Scalar],
    sealer: Sealer,
) -> str:
    """Return the text with a section that fits it; without one where nothing is encrypted."""
    text = edit.remove(text, (SECTION,))
    whole = edit.document(text)
    found = [loc for loc, value in document.leaves(whole) if is_encrypted(value)]
    if not found:
        return text
    selector = section.selector
    if selector.ours:
        selector = _selector(found)
    stamp = sealer.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    digest = document.digest(whole, plaintext, only_encrypted=section.mac_only_encrypted)
    mac = document.mac(digest, stamp, key, sealer.random(NONCE_BYTES))
    made = dataclasses.replace(section, selector=selector, lastmodified=stamp, mac=mac)
    return _appended(text, whole, metadata.rendered(made))


def _selector(found: Sequence[Loc]) -> Selector:
    """Return the selector of these values.

    Raises:
        SopsError: they stand where an environment has no encrypted values.
    """
    strays = [document.shown(loc) for loc in found if loc[0] not in {"secrets", "files"}]
    if strays:
        message = f"{', '.join(strays)} is encrypted, which only secrets and files can be"
        raise SopsError("Unsupported", message)
    return metadata.selecting(str(loc[-1]) for loc in found if loc[0] == "files")


def _appended(text: str, whole: Mapping[str, yaml.Value], section: str) -> str:
    """Return the text with the section after a blank line, where that is no part of a value."""
    for start in (f"{text.rstrip()}\n\n", text if text.endswith("\n") else f"{text}\n"):
        read = dict(edit.document(start + section))
        read.pop(SECTION)
        if read == whole:
            return start + section
    raise CannotEditError("the sops section can't be put at the file's end")


def _encrypted(value: Scalar, key: bytes, keys: Sequence[str], sealer: Sealer) -> str:
    return values.encrypt(value, key, values.aad(keys), sealer.random(NONCE_BYTES))


def _comment(
    token: str, whole: Mapping[str, yaml.Value], old: bytes, new: bytes, sealer: Sealer
) -> str:
    """Return an encrypted comment under a new key; only its path opens it, so all are tried."""
    for path in _mappings(whole):
        try:
            content = values.opened(token, old, values.aad(path))
        except SopsError:
            continue
        nonce = sealer.random(NONCE_BYTES)
        return "#" + values.sealed(content, values.COMMENT, new, values.aad(path), nonce)
    return f"#{token}"


def _mappings(value: yaml.Value, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path] if isinstance(value, Mapping) else []
    for key, each in value.items() if isinstance(value, Mapping) else ():
        found += _mappings(each, (*path, key))
    return found


def _kept(before: str, edited: str, file: Opened | None) -> str:
    """Return the edited text with each untouched value in the encrypted form that it had."""
    text = before
    for loc, value in (file.values if file else {}).items():
        shown = edit.set_value(text, [str(each) for each in loc], str(value))
        here, there = _lines_that_differ(text, shown)
        text = shown
        if here and edited.count(there) == 1:
            edited = edited.replace(there, here)
    return edited


def _lines_that_differ(one: str, other: str) -> tuple[str, str]:
    """Return the run of whole lines in which two texts differ."""
    first, second = one.splitlines(keepends=True), other.splitlines(keepends=True)
    start = 0
    while start < min(len(first), len(second)) and first[start] == second[start]:
        start += 1
    end = 0
    while end < min(len(first), len(second)) - start and first[-1 - end] == second[-1 - end]:
        end += 1
    return "".join(first[start : len(first) - end]), "".join(second[start : len(second) - end])


def _section(whole: Mapping[str, yaml.Value]) -> Mapping[str, yaml.Value]:
    section = whole.get(SECTION)
    return section if isinstance(section, Mapping) else {}


def _at(whole: yaml.Value, place: Place) -> yaml.Value:
    for key in place:
        whole = whole.get(key) if isinstance(whole, Mapping) else None
    return whole
