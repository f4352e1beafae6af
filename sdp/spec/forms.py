"""The forms of single values: words for people, a check, and a pattern for editors. No structure."""

import dataclasses
import re
from collections.abc import Callable
from typing import Annotated

from pydantic import (
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from sdp.spec import names, quantities


@dataclasses.dataclass(frozen=True)
class Form:
    """What a text must look like: in words for people, checked, and as a pattern for editors."""

    words: str
    check: Callable[[str], object]
    pattern: str

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "pattern": self.pattern}

    def _checked(self, text: str) -> str:
        self.check(text)
        return text


def _form(words: str, pattern: str, expected: str) -> Form:
    """Return the form of texts that match the pattern whole."""

    def check(text: str) -> None:
        if re.fullmatch(pattern, text) is None:
            raise ValueError(f"expected {expected}")

    return Form(words, check, f"^({pattern})$")


def _cpu_text(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("expected cores such as 1, 0.5 or 500m")  # noqa: TRY004 - pydantic's way
    return str(value) if isinstance(value, int | float) else value


def _url(text: str) -> None:
    if len(text) > MAX_URL or _HTTP_URL.fullmatch(text) is None:
        raise ValueError("expected an address such as http://10.0.0.7:8080")
    if "@" in text.split("//", 1)[-1].split("/", 1)[0]:
        raise ValueError("expected a URL without user name or password")


def _relative(path: str) -> None:
    if not path or path.startswith("/") or ".." in path.split("/") or "\x00" in path:
        raise ValueError("expected a relative path without '..'")


def _file(path: str) -> None:
    """Refuse what a container's own file system would not take as a file that one meant."""
    parts = path.split("/")[1:]
    if not path.startswith("/") or not path.isprintable() or len(path.encode()) > MAX_PATH:
        raise ValueError("expected an absolute path, such as /etc/x")
    if any(part in {"", ".", ".."} or len(part.encode()) > MAX_NAME for part in parts):
        raise ValueError("expected a path without '..', '.' or an empty part")
    if parts[0] in RESERVED:
        raise ValueError(f"/{parts[0]} is not the container's own to write")


def _value(text: str) -> None:
    if "\0" in text:
        raise ValueError("found a NUL character, which no environment variable can hold")
    if len(text.encode()) > MAX_VALUE:
        raise ValueError(f"expected at most {MAX_VALUE} bytes; put it into a file")


MAX_URL = 2000
MAX_PATH = 1000
MAX_NAME = 255
MAX_VALUE = 120_000
"""Bytes of a variable: Linux takes 128 KiB with its name (MAX_ARG_STRLEN, execve(2))."""
RESERVED = frozenset({"dev", "proc", "src", "sys"})
"""Of the kernel, or the release: mounted over what is there."""
_HTTP_URL = re.compile(r"https?://[A-Za-z0-9._~:/?#@!&()*+,;=%\[\]-]+")

SandboxName = Annotated[
    str, Form("sandbox name", names.sandbox, "^[A-Za-z0-9]([A-Za-z0-9-]{0,38}[A-Za-z0-9])?$")
]
ServiceName = Annotated[
    str, Form("service name", names.service, "^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$")
]
VariableName = Annotated[
    str, Form("variable name", names.variable, "^[A-Za-z_][A-Za-z0-9_]{0,127}$")
]
Branch = Annotated[str, Form("branch name", names.branch, "^[^-/. ][^ ~^:?*]*$")]
Commit = Annotated[str, Form("commit, 40 digits", names.commit, "^[0-9a-f]{40}$")]
Cpu = Annotated[
    str,
    Form("number of cores", quantities.cpu, ""),
    BeforeValidator(_cpu_text),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": r"^([1-9][0-9]{0,5}m|[0-9]{1,3}(\.[0-9]{1,3})?)$"},
            ]
        }
    ),
]
Memory = Annotated[str, Form("amount of memory", quantities.memory, "^[1-9][0-9]{0,8}[KMG]i?B?$")]
Duration = Annotated[str, Form("duration", quantities.duration, "^[1-9][0-9]{0,5}[smhd]$")]
Moment = Annotated[
    str,
    Form(
        "date, or time with zone",
        quantities.moment,
        r"^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d))?$",
    ),
]
Port = Annotated[int, Field(ge=1, le=65535)]
HttpUrl = Annotated[str, Form("http or https address", _url, f"^{_HTTP_URL.pattern}$")]
RelativePath = Annotated[str, Form("relative path", _relative, "^[^/]")]
AbsolutePath = Annotated[
    str, _form("absolute path", r"/[^\x00]*", "an absolute path, such as /etc/x")
]
ContainerFile = Annotated[str, Form("path of a file", _file, "^/[^/]")]
VariableValue = Annotated[str, Form("value of a variable", _value, "")]
PlainLine = Annotated[
    str, _form("plain text", r"[^\x00-\x1f\x7f]{0,100}", "up to 100 characters in one line")
]
UrlPath = Annotated[str, _form("URL path", r"/[!-~]*", "a URL path, such as /healthz")]
UrlFolder = Annotated[
    str, _form("URL path", r"/([A-Za-z0-9._/-]*/)?", "a URL path that ends with /, such as /api/")
]
Identifier = Annotated[
    str,
    _form(
        "name",
        r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?",
        "1 to 64 letters, digits and inner . _ -",
    ),
]
Address = Annotated[
    str, _form("IP address or host name", "[A-Za-z0-9.:-]+", "an IP address or a host name")
]
UserName = Annotated[
    str,
    _form(
        "user name",
        r"[A-Za-z0-9]([A-Za-z0-9._@+-]{0,98}[A-Za-z0-9])?",
        "a user name: 1 to 100 letters, digits and inner . _ @ + -",
    ),
]
Mail = Annotated[str, _form("mail address", r"[^\s<>@]{1,64}@[^\s<>@]{1,190}", "a mail address")]
SigningKey = Annotated[
    str,
    _form(
        "public SSH key",
        r"ssh-ed25519 [A-Za-z0-9+/=]{68}( [^\n]{0,100})?",
        "a public SSH key: ssh-ed25519 AAAA… (ssh-keygen -t ed25519)",
    ),
]
AgeRecipient = Annotated[
    str, _form("age public key", "age1[a-z0-9]{58}", "an age public key: age1… (sdp env keygen)")
]
KeyPattern = Annotated[
    str, _form("text with {service}", r".*\{service\}.*", "a text that contains {service}")
]
Image = Annotated[
    str,
    _form(
        "image",
        r"[a-z0-9][a-z0-9._/-]{0,200}(:[A-Za-z0-9._-]{1,128})?",
        "an image such as alpine:3.20",
    ),
]
