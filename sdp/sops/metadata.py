"""The ``sops`` section of a file: for whom it is encrypted, which keys, and the MAC. Pure."""

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sdp.sops.problem import SopsError

SECTION: Final = "sops"
VERSION: Final = "3.9.0"
"""The first version of the format that knows ``mac_only_encrypted``."""
ALWAYS: Final = "secrets"
"""The key whose values are always encrypted in files that are written here."""

_OTHER_KEYS: Final = ("kms", "gcp_kms", "azure_kv", "hc_vault", "hckms", "pgp")
_UNKNOWN: Final = ("key_groups", "shamir_threshold")
_COMMENT_SELECTORS: Final = ("encrypted_comment_regex", "unencrypted_comment_regex")
_SELECTORS: Final = (
    "unencrypted_suffix",
    "encrypted_suffix",
    "unencrypted_regex",
    "encrypted_regex",
)
_SPECIAL: Final = re.compile(r"[\\.+*?()|\[\]{}^$]")


@dataclasses.dataclass(frozen=True, slots=True)
class Recipient:
    """Somebody who can open the file: a public key, and the data key encrypted for it."""

    recipient: str
    enc: str


@dataclasses.dataclass(frozen=True, slots=True)
class Selector:
    """Which values are to be encrypted: those with a key on their path that it matches."""

    kind: str = "unencrypted_suffix"
    pattern: str = "_unencrypted"

    def selects(self, path: Sequence[str]) -> bool:
        """Tell whether the value at a path of keys is to be encrypted.

        Raises:
            SopsError: the pattern is none that can be read here.
        """
        try:
            found = any(self._matches(key) for key in path)
        except re.error:
            raise SopsError("Unsupported", f"its {self.kind} can't be read") from None
        return found != self.kind.startswith("un")

    def _matches(self, key: str) -> bool:
        if self.kind.endswith("suffix"):
            return key.endswith(self.pattern)
        return re.search(self.pattern, key) is not None

    @property
    def ours(self) -> bool:
        """Whether it is as ``selecting`` makes it, so that it may be made anew."""
        return self.kind == "encrypted_regex" and self.pattern.startswith(f"^({ALWAYS}")


@dataclasses.dataclass(frozen=True, slots=True)
class Metadata:
    """A ``sops`` section."""

    age: tuple[Recipient, ...]
    lastmodified: str
    mac: str
    selector: Selector = Selector()
    mac_only_encrypted: bool = False
    version: str = VERSION


def selecting(paths: Iterable[str]) -> Selector:
    """Return the selector of ``secrets`` and of these keys, escaped as Go's QuoteMeta does."""
    escaped = [_SPECIAL.sub(r"\\\g<0>", path) for path in sorted(paths)]
    return Selector("encrypted_regex", f"^({'|'.join([ALWAYS, *escaped])})$")


def read(section: object) -> Metadata:
    """Return a section's contents.

    Raises:
        SopsError: it is none, or asks for what is not supported.
    """
    if not isinstance(section, Mapping):
        raise SopsError("Tampered", "its sops section is missing")
    if asked := [key for key in (*_UNKNOWN, *_COMMENT_SELECTORS) if section.get(key)]:
        raise SopsError("Unsupported", f"its sops section has {', '.join(asked)}")
    recipients = tuple(_recipients(section.get("age")))
    others = [key for key in _OTHER_KEYS if section.get(key)]
    if not recipients:
        found = f"only {', '.join(others)}" if others else "nobody"
        raise SopsError("Unsupported", f"it has no age recipients: it is encrypted for {found}")
    said = [key for key in _SELECTORS if section.get(key)]
    if len(said) > 1:
        raise SopsError("Unsupported", f"its sops section has {' and '.join(said)}")
    selector = Selector(said[0], str(section[said[0]])) if said else Selector()
    return Metadata(
        age=recipients,
        lastmodified=_text(section, "lastmodified"),
        mac=_text(section, "mac"),
        selector=selector,
        mac_only_encrypted=section.get("mac_only_encrypted") is True,
        version=_text(section, "version"),
    )


def other_keys(section: Mapping[str, object]) -> tuple[str, ...]:
    """Return the kinds of keys, beside age, that a section has: they can be read past."""
    return tuple(key for key in _OTHER_KEYS if section.get(key))


def rendered(metadata: Metadata) -> str:
    """Return the section as YAML, to stand at a file's end."""
    lines = [f"{SECTION}:", "  age:"]
    for each in metadata.age:
        lines += [f"    - recipient: {each.recipient}", "      enc: |"]
        lines += [f"        {line}" for line in each.enc.strip().splitlines()]
    lines += [
        f"  lastmodified: {json.dumps(metadata.lastmodified)}",
        f"  mac: {metadata.mac}",
        f"  {metadata.selector.kind}: {_quoted(metadata.selector.pattern)}",
    ]
    if metadata.mac_only_encrypted:
        lines.append("  mac_only_encrypted: true")
    return "\n".join([*lines, f"  version: {metadata.version}", ""])


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _text(section: Mapping[str, object], key: str) -> str:
    value = section.get(key)
    if not isinstance(value, str) or not value:
        raise SopsError("Tampered", f"its sops section has no {key}")
    return value


def _recipients(listed: object) -> Iterable[Recipient]:
    for each in listed if isinstance(listed, Sequence) and not isinstance(listed, str) else ():
        if not isinstance(each, Mapping):
            raise SopsError("Tampered", "its list of age recipients is none")
        yield Recipient(_text(each, "recipient"), _text(each, "enc"))
