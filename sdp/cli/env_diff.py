"""How two environments differ; of secrets only whether, never by what value."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from sdp.cli import sealing
from sdp.sops.form import is_encrypted
from sdp.sops.identities import Identities
from sdp.sops.problem import SopsError
from sdp.spec import edit, yaml

Kind: TypeAlias = Literal["variable", "secret", "file"]

_KINDS: Mapping[str, Kind] = {"variables": "variable", "secrets": "secret", "files": "file"}
_HIDDEN: Mapping[bool | None, str] = {True: "same", False: "different", None: "set"}


class Row(BaseModel):
    """One entry in two environments; "" where one has it not. Values are a variable's only."""

    model_config = ConfigDict(frozen=True)
    kind: Kind
    name: str
    a: str
    b: str


def differences(one: str, other: str, mine: Identities | None) -> tuple[list[Row], str]:
    """Return what differs, or may, and why secrets could not be compared: "" when they were.

    Args:
        one: an environment file's text.
        other: another one's.
        mine: a person's keys.

    Raises:
        CannotEditError: a file does not load.
    """
    first, blind = _values(one, mine)
    second, also = _values(other, mine)
    rows = [
        _row(section, name, first.get((section, name)), second.get((section, name)))
        for section, name in sorted(first.keys() | second.keys(), key=_order)
    ]
    return [row for row in rows if row is not None], blind or also


def _order(place: tuple[str, str]) -> tuple[int, str]:
    return list(_KINDS).index(place[0]), place[1]


def _row(section: str, name: str, a: str | None, b: str | None) -> Row | None:
    if a == b and a is not None and not is_encrypted(a):
        return None
    if section == "variables":
        return Row(kind="variable", name=name, a=a or "", b=b or "")
    known = not (is_encrypted(a) or is_encrypted(b))
    word = _HIDDEN[a == b if known and a is not None and b is not None else None]
    shown = ["" if each is None else word for each in (a, b)]
    return Row(kind=_KINDS[section], name=name, a=shown[0], b=shown[1])


def _values(text: str, mine: Identities | None) -> tuple[dict[tuple[str, str], str], str]:
    """Return a file's values, decrypted where they can be, and why they could not be."""
    blind = ""
    try:
        opened = sealing.opened(text, mine)
    except SopsError as error:
        opened, blind = None, str(error)
    found: dict[tuple[str, str], str] = {}
    for section in _KINDS:
        for name, value in _entries(edit.document(text).get(section)).items():
            plain = opened.values.get((section, name), value) if opened else value
            found[section, name] = str(plain)
    return found, blind


def _entries(section: yaml.Value) -> Mapping[str, yaml.Value]:
    return section if isinstance(section, Mapping) else {}
