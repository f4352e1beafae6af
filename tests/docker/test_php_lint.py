"""What PHP itself says: patched files compile, and hold what was written into them."""

import json
import shutil
import subprocess  # noqa: TID251 - PHP itself is the judge here

import pytest

from sdp.agent.php_config import KeyPattern, Literal, Patched, patch, read
from tests.unit.agent.test_php_config import NEW, PATCHABLE, source

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(shutil.which("php") is None, reason="needs Debian's php-cli"),
]
PATTERN = KeyPattern("{service}_url")
PHP = ["php", "-n", "-d", "short_open_tag=0"]
# Runs the source as the framework would: $config as it stands when the file has run.
RUN = (
    "ob_start(); define('BASEPATH', '/'); define('X', false); $x = 'y'; $db = [];"
    " $config = ['n' => 0]; eval('?>' . stream_get_contents(STDIN)); ob_end_clean();"
    " echo json_encode($config['account_url']);"
)
VALUES = [
    NEW,
    "http://h/'quotes\"",
    "http://h/$a{$b}${c}",
    "http://h/back\\slash\\",
    "http://h/\\'\\\"",
    "https://[::1]:80/?>",
]
RUNNABLE = {
    name: text
    for name, text in PATCHABLE.items()
    if name not in {"include first", "other variables", "a function with its own"}
}
ESCAPES = [
    rb'"\x41\101\u{41}\n\t\\\"\$a\q"',
    rb"'a\'b\\c\n\q'",
    rb'"{\$a} $1 $ \{ \8 \400"',
    rb'"\u{e9}\v\e\f\r"',
]


def php(arguments: list[str], text: bytes) -> str:
    done = subprocess.run(
        [*PHP, *arguments], input=text, capture_output=True, timeout=4, check=False
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout.decode()


@pytest.mark.parametrize("template", PATCHABLE.values(), ids=PATCHABLE)
def test_php_compiles_the_patched_file(template):
    result = patch(source(template), {"account_url": NEW}, PATTERN)
    assert isinstance(result, Patched)
    php(["-l"], result.source)


@pytest.mark.parametrize("template", RUNNABLE.values(), ids=RUNNABLE)
@pytest.mark.parametrize("value", [VALUES[0], VALUES[4]])
def test_php_holds_the_new_value_when_the_patched_file_has_run(template, value):
    result = patch(source(template), {"account_url": value}, PATTERN)
    assert isinstance(result, Patched)
    assert json.loads(php(["-r", RUN], result.source)) == value


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("literal", [b"'x'", b'"x"'])
def test_php_reads_every_value_as_it_was_meant(literal, value):
    text = b"<?php $config['account_url'] = " + literal + b";"
    result = patch(text, {"account_url": value}, PATTERN)
    assert isinstance(result, Patched)
    assert json.loads(php(["-r", RUN], result.source)) == value


@pytest.mark.parametrize("literal", ESCAPES)
def test_escapes_are_decoded_as_php_decodes_them(literal):
    text = b"<?php $config['account_url'] = " + literal + b";"
    entry = read(text, PATTERN).entries["account_url"]
    assert isinstance(entry, Literal)
    assert json.loads(php(["-r", RUN], text)) == entry.value
