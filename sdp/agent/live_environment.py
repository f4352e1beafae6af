"""Which CodeIgniter environment a gateway really runs in, asked of its own mod_php.

``CI_ENV`` in the container's environment proves nothing: Apache passes it on or not, and an
.htaccess may say otherwise. So each gateway is born with two files beside its tree that answer
one user agent, on the container's own loopback, with what the request really saw. An image that
is not Apache with mod_php ignores them, and nothing is known of it.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

AGENT: Final = "sdp-probe-environment"
MARK: Final = "sdp-environment="

_SCRIPT: Final = "/usr/local/lib/sdp/environment.php"
_SITE: Final = "/etc/apache2/conf-enabled/zz-sdp-environment.conf"

FILES: Final[Mapping[str, str]] = {
    _SITE: f"""\
# SDP asks which environment this gateway runs in; nobody else is answered.
<IfModule php_module>
    <If "%{{HTTP_USER_AGENT}} == '{AGENT}' && -R '127.0.0.0/8'">
        php_admin_value auto_prepend_file {_SCRIPT}
    </If>
</IfModule>
<IfModule php7_module>
    <If "%{{HTTP_USER_AGENT}} == '{AGENT}' && -R '127.0.0.0/8'">
        php_admin_value auto_prepend_file {_SCRIPT}
    </If>
</IfModule>
""",
    _SCRIPT: f"""\
<?php
ob_start();
register_shutdown_function(function () {{
    while (ob_get_level() > 0) {{
        ob_end_clean();
    }}
    if (!headers_sent()) {{
        header_remove();
    }}
    $told = isset($_SERVER['CI_ENV']) ? $_SERVER['CI_ENV'] : '';
    echo "\\n{MARK}", rawurlencode(defined('ENVIRONMENT') ? ENVIRONMENT : $told), "\\n";
}});
""",
}
"""Path in a gateway's container → content."""

_QUESTION: Final = (
    "$how = stream_context_create(['http' => ['ignore_errors' => true, 'timeout' => 5]]); "
    "echo @file_get_contents('http://127.0.0.1' . $argv[1], false, $how);"
)
ASK: Final = (
    "php",
    "-d",
    f"user_agent={AGENT}",
    "-r",
    _QUESTION,
    "--",
)
"""The question as a command in the container; the health path comes last."""


def told(output: str) -> str:
    """Return the environment that an answer names, "" where it names none."""
    marked = [line for line in output.splitlines() if line.startswith(MARK)]
    return unquote(marked[-1].removeprefix(MARK).strip()) if marked else ""
