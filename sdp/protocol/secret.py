"""A password or token in memory: it shows itself nowhere, and can be wiped."""

import dataclasses
from typing import NoReturn

from typing_extensions import override


class Secret:
    """A password or token. ``wipe`` overwrites what is held; copies that were revealed stay."""

    __slots__ = ("_held",)

    def __init__(self, text: str) -> None:
        self._held = bytearray(text.encode())

    def reveal(self) -> str:
        """Return it; "" once it is wiped."""
        return self._held.decode()

    def wipe(self) -> None:
        """Overwrite it."""
        self._held[:] = bytes(len(self._held))
        self._held.clear()

    @override
    def __repr__(self) -> str:
        return "Secret(***)"

    @override
    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise TypeError("a secret is not written anywhere")


@dataclasses.dataclass(frozen=True, slots=True)
class Credentials:
    """What somebody logs in with."""

    user: str
    secret: Secret
