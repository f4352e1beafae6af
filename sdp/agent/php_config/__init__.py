"""The gateway's config.php as data: read its map of URLs, and patch it byte by byte.

Bytes in, values out. The file is parsed, never executed, never decoded as a whole and never
re-printed; who reads, lints, writes and reloads it is the gateway's business, not this package's.

Keys are written the way PHP nests them: `$config['account_url']` is `account_url`, and
`$config['account']['url']` is `account[url]`; a `KeyPattern` is spelled the same way.
"""

from sdp.agent.php_config.model import (
    ConfigMap,
    Entry,
    FileProblem,
    KeyPattern,
    Literal,
    LiveEntry,
    LiveMap,
    NotLiteral,
    Patched,
    Problem,
    Refused,
)
from sdp.agent.php_config.patching import patch
from sdp.agent.php_config.reading import merge, read

__all__ = [
    "ConfigMap",
    "Entry",
    "FileProblem",
    "KeyPattern",
    "Literal",
    "LiveEntry",
    "LiveMap",
    "NotLiteral",
    "Patched",
    "Problem",
    "Refused",
    "merge",
    "patch",
    "read",
]
