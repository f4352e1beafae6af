"""The form of an encrypted value in a SOPS file. Pure; opens nothing."""

import re
from typing import Final

ENCRYPTED: Final = re.compile(
    r"ENC\[AES256_GCM,data:(?P<data>[A-Za-z0-9+/=]*),iv:(?P<iv>[A-Za-z0-9+/=]+)"
    r",tag:(?P<tag>[A-Za-z0-9+/=]+),type:(?P<type>[a-z]+)\]"
)
"""Base64 has no comma, so that hostile texts cost no more than their length."""


def is_encrypted(value: object) -> bool:
    """Tell whether a value is encrypted: sops writes nothing else in this form."""
    return isinstance(value, str) and ENCRYPTED.fullmatch(value) is not None
