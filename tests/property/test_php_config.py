"""Whatever the file is made of: a patch moves no other byte, and no value becomes code."""

from hypothesis import given
from hypothesis import strategies as st

from sdp.agent.php_config import KeyPattern, Literal, Patched, Refused, patch, read
from sdp.agent.php_config.strings import decode, encode
from sdp.agent.php_config.syntax import Php

PATTERN = KeyPattern("{service}_url")
MARK = b"\x00"

line_ends = st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n"])
noise = st.sampled_from(
    [
        b"// \xd5\xcb\xbb\xa7 $config['account_url'] = 'dead';",
        b'# it\'s "quoted" \xb7\\',
        b"/* $config['account_url'] = 'dead';\r\n <<<<<<< HEAD */",
        b"$config['name'] = '\xb7\xfe\xce\xf1\\'';",
        b'$config["note"] = "\\$config[\'account_url\'] = {$x} \\"";',
        b"$config['user_url'] = HOST . '/user';",
        b"$config['pay_url'] = \"http://pay?a='1'\";",
        b"$config['account_url'] = 'http://overwritten';",
        b"if (X) { $config['account_url'] = 'http://branch'; }",
        b"function f() { $config['account_url'] = 'http://local'; return 1; }",
        b"define('ACCOUNT_URL', 'http://constant');",
        b"$config['t'] = <<<'E'\n$config['account_url'] = 'dead';\nE;",
        b"$config['n'] = array('account_url' => 'nested', 1, [2]);",
        b"?>\n<b>$config['account_url'] = 'html';</b> <?php",
        b"$config = array_merge($config, ['user_url' => 'u']);",
        b"$config = ['base_url' => ''];",
        b"$x = [1, 2, 3];",
    ]
)
after = noise.filter(lambda piece: b"if (X)" not in piece and not piece.startswith(b"$config = ["))
live = st.sampled_from(
    [
        b"$config['account_url'] = \0;",
        b'$config["account_url"]=\0 ;',
        b"$config/**/['account_url'] /* = 'x' */ =\0 // y",
        b"$config = array_merge($config, array('account_url' => \0,));",
        b"$config = ['a' => 1, 'account_url' => \0];",
    ]
).map(lambda piece: piece + b"\n;" if piece.endswith(b"y") else piece)
literals = st.sampled_from([b"'http://old'", b'"http://old"', b"''", b'b"\\x41\\\\"', b"'\\''"])
hosts = st.from_regex(r"https?://[a-z0-9.-]{1,20}", fullmatch=True).filter(
    lambda url: url.partition("//")[2][0].isalnum()
)
printable = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=30)
urls = st.builds(str.__add__, hosts, printable)
hostile = st.one_of(
    st.text(max_size=40),
    st.builds(str.__add__, hosts, st.text(max_size=20)),
    st.builds(
        "http://h{}{}".format,
        st.sampled_from(
            ["'", '"', "\\", "\\'", '\\"', "{$x}", "${x}", "$x", "?>", "<?php", "\\\\"]
        ),
        st.sampled_from([";system('id');//", '.system("id")."', "'];", "\n", "\0", "*/", "<<<E"]),
    ),
)


@st.composite
def templates(draw: st.DrawFn) -> bytes:
    """A file whose live literal is marked with a NUL, which occurs nowhere else in it."""
    start = draw(st.sampled_from([b"<?php", b"\xef\xbb\xbf<?php", b" \r\n<?php"]))
    before = draw(st.lists(noise, max_size=5))
    rest = draw(st.lists(after.filter(lambda p: b"overwritten" not in p), max_size=5))
    pieces = [start, *before, draw(live), *rest]
    return b"".join(piece + draw(line_ends) for piece in pieces)


@given(templates(), literals, urls)
def test_patch_replaces_the_live_literal_and_no_other_byte(template, literal, url):
    result = patch(template.replace(MARK, literal), {"account_url": url}, PATTERN)
    assert isinstance(result, Patched)
    assert result.source == template.replace(MARK, encode(url, literal))
    entry = read(result.source, PATTERN).entries["account_url"]
    assert isinstance(entry, Literal)
    assert entry.value == url


@given(templates(), literals, urls)
def test_patching_back_gives_the_old_bytes(template, literal, url):
    old = template.replace(MARK, encode("http://first", literal))
    there = patch(old, {"account_url": url}, PATTERN)
    assert isinstance(there, Patched)
    assert patch(there.source, {"account_url": "http://first"}, PATTERN) == Patched(
        old, there.changed
    )


@given(templates(), literals, hostile)
def test_no_value_ever_becomes_code(template, literal, value):
    text = template.replace(MARK, literal)
    result = patch(text, {"account_url": value}, PATTERN)
    if isinstance(result, Refused):
        assert {problem.kind for problem in result.problems} == {"hostile"}
    else:
        assert shape(result.source) == shape(text)


@given(st.text(), st.sampled_from([b"'x'", b'"x"', b'b"x"', b"f()"]))
def test_encoded_text_decodes_to_itself(text, like):
    assert decode(encode(text, like)) == text


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_an_exception(data):
    read(b"<?php $config['a_url'] = '" + data, PATTERN)
    patch(b"<?php $config['a_url'] = 'x';" + data, {"a_url": "http://new"}, PATTERN)


@given(st.lists(st.one_of(noise, live, literals, st.sampled_from([b"(", b"}", b"$config", b"["]))))
def test_any_jumble_of_pieces_is_patched_exactly_or_refused(pieces):
    text = b"<?php " + b" ".join(pieces)
    patch(text, {"account_url": "http://new"}, PATTERN)
    patch(
        text,
        {"account_url": "http://new", "user_url": "http://new"},
        PATTERN,
        replace_expressions={"account_url", "user_url"},
    )


def shape(source: bytes) -> list[str]:
    return [kind for kind, _ in Php(source).tokens([])]
