"""Why an encrypted file can't be used, by name. Messages tell names and places, never values."""

from typing import Literal, TypeAlias

Reason: TypeAlias = Literal["NoIdentity", "WrongKey", "Tampered", "Unsupported"]


class SopsError(Exception):
    """The file can't be opened or written; the reason says which kind of fix there is.

    NoIdentity: there is no usable secret key. WrongKey: the file is not encrypted for it.
    Tampered: somebody changed the file without the key. Unsupported: it asks for what age
    recipients alone can't do.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason
