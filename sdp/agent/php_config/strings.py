"""PHP's quoted string literals, from their source bytes to a value and back.

Source of the rules: https://www.php.net/manual/en/language.types.string.php
"""

import re

_PLAIN = re.compile(rb"""[bB]?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""", re.DOTALL)
_OPENING = re.compile(rb"""[bB]?['"]""")
_INTERPOLATION = re.compile(rb"(?:[^\\]|\\.)*?(?:\$[A-Za-z_\x80-\xff{]|\{\$)", re.DOTALL)
_SINGLE_ESCAPE = re.compile(rb"\\([\\'])")
_DOUBLE_ESCAPE = re.compile(
    rb"\\(?:u\{([0-9A-Fa-f]+)\}|x([0-9A-Fa-f]{1,2})|([0-7]{1,3})|([nrtvef\\$\"]))"
)
_NAMED = {
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
    b"v": b"\v",
    b"e": b"\x1b",
    b"f": b"\f",
}
_LAST_CODE_POINT = 0x10FFFF


def decode(literal: bytes) -> str | None:
    """The value of one plain literal, quotes included; None if it is not one, or not UTF-8."""
    if not _PLAIN.fullmatch(literal):
        return None
    quote = literal[-1:]
    body = literal[literal.index(quote) + 1 : -1]
    if quote == b'"' and _INTERPOLATION.match(body):
        return None
    try:
        if quote == b"'":
            return _SINGLE_ESCAPE.sub(rb"\1", body).decode()
        return _DOUBLE_ESCAPE.sub(_unescape, body).decode()
    except UnicodeDecodeError:
        return None


def encode(value: str, like: bytes) -> bytes:
    """A literal that reads back as `value`, in the quotes (and `b` prefix) of `like`.

    `like` may be any right-hand side; what is no plain literal gets single quotes.
    """
    opening = _OPENING.match(like) if _PLAIN.fullmatch(like) else None
    prefix = opening[0] if opening else b"'"
    escaped = rb"[\\\"$]" if prefix.endswith(b'"') else rb"[\\']"
    return prefix + re.sub(escaped, rb"\\\g<0>", value.encode()) + prefix[-1:]


def _unescape(match: re.Match[bytes]) -> bytes:
    code_point, hexadecimal, octal, named = match.groups()
    if code_point is not None:
        return _utf8(int(code_point, 16))
    if hexadecimal is not None:
        return bytes([int(hexadecimal, 16)])
    if octal is not None:
        return bytes([int(octal, 8) & 0xFF])
    return _NAMED.get(named, named)


def _utf8(code_point: int) -> bytes:
    """PHP refuses to compile what is past the last code point; here it makes the value invalid."""
    if code_point > _LAST_CODE_POINT:
        return b"\xff"
    return chr(code_point).encode(errors="surrogatepass")
