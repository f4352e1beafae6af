"""Reading, patching and merging config.php: every form that was found in real ones."""

import pytest

from sdp.agent.php_config import (
    ConfigMap,
    KeyPattern,
    Literal,
    NotLiteral,
    Patched,
    Problem,
    Refused,
    merge,
    patch,
    read,
)

PATTERN = KeyPattern("{service}_url")
OLD = "https://account-dev.company.com"
NEW = "http://172.18.136.92:9001"

# Sources whose `account_url` is OLD when the file has run, and may be patched.
PATCHABLE = {
    "single quotes": b"<?php\n$config['account_url'] = '%s';\n",
    "double quotes": b'<?php\n$config["account_url"] = "%s";\n',
    "binary prefix": b"<?php\n$config['account_url'] = b'%s';\n",
    "crlf": b"<?php\r\n// map\r\n$config['account_url'] = '%s';\r\n",
    "mixed line ends": b"<?php\r\n// a\n$x = 1;\r$config['account_url'] = '%s';\n\r\n",
    "lone cr ends a comment": b"<?php\r// not me\r$config['account_url'] = '%s';\r",
    "bom": b"\xef\xbb\xbf<?php\n$config['account_url'] = '%s';\n",
    "gbk comment": b"<?php\n// \xd5\xcb\xbb\xa7\\\n$config['account_url'] = '%s'; # \xb7\xfe\n",
    "gbk value next to it": b"<?php\n$config['n'] = '\xb7\xfe\xce\xf1';\n"
    b"$config['account_url'] = '%s';\n",
    "space before the tag": b" \n<?php\n$config['account_url'] = '%s';\n",
    "closing tag and html": b"<?php $config['account_url'] = '%s' ?>\n<b>hi</b>\n",
    "framework guard": b"<?php defined('BASEPATH') OR exit('No direct script access allowed');\n"
    b"$config['account_url'] = '%s';\n",
    "old framework guard": b"<?php if (!defined('BASEPATH')) exit('No');\n"
    b"$config['account_url'] = '%s';\n",
    "commented-out twin": b"<?php\n$config['account_url'] = '%s';\n"
    b"// $config['account_url'] = 'http://dead';\n# $config['account_url'] = 'http://dead';\n",
    "map in a block comment": b"<?php\n$config['account_url'] = '%s';\n"
    b"/*\n$config['account_url'] = 'http://dead';\n$config['user_url'] = 'x';\n*/\n",
    "assignment in a string": b"<?php\n$config['account_url'] = '%s';\n"
    b"$x = \"\\$config['account_url'] = 'dead';\";\n",
    "duplicate": b"<?php\n$config['account_url'] = 'http://old';\n$config['account_url'] = '%s';\n",
    "branch overwritten later": b"<?php\nif (X) { $config['account_url'] = 'http://a'; }\n"
    b"$config['account_url'] = '%s';\n",
    "include first": b"<?php\nrequire 'urls.php';\n$config['account_url'] = '%s';\n",
    "array()": b"<?php\n$config = array(\n  'n' => 1,\n  'account_url' => '%s', // x\n);\n",
    "[]": b"<?php\n$config = ['account_url' => '%s', 'n' => [1, 2]];\n",
    "array_merge": b"<?php\n$config = array_merge($config, ['account_url' => '%s']);\n",
    "chained": b"<?php\n$first = $config['account_url'] = '%s';\n",
    "comments inside": b"<?php\n$config/*a*/[ 'account_url' /*b*/] /*c*/ = /*d*/ '%s' /*e*/;\n",
    "a function with its own": b"<?php\n$config['account_url'] = '%s';\n"
    b"function f() { $config['account_url'] = 'x'; include 'y.php'; return 1; }\n",
    "self-reference elsewhere": b"<?php\n$config['account_url'] = '%s';\n"
    b"$config['login_url'] = $config['account_url'] . '/login';\n",
    "other variables": b"<?php\n$config['account_url'] = '%s';\n$db['account_url'] = 'x';\n"
    b"$this->config['account_url'] = 'y';\n",
    "append": b"<?php\n$config['account_url'] = '%s';\n$config['hooks'][] = 'x';\n$config[] = 1;\n",
}

# Sources that must be refused, with the kind of problem and the line that it names.
REFUSED = {
    "conflict markers": (
        (
            b"<?php\n<<<<<<< HEAD\n$config['account_url'] = 'a';\n=======\n"
            b"$config['account_url'] = 'b';\n>>>>>>> feature/x\n"
        ),
        "syntax",
        2,
    ),
    "unclosed brace": (b"<?php\nif (X) {\n$config['account_url'] = 'a';\n", "syntax", 2),
    "missing semicolon": (
        b"<?php\n$config['account_url'] = 'a'\n$config['user_url'] = 'b';\n",
        "syntax",
        2,
    ),
    "no-break space": (b"<?php\n$config['account_url']\xc2\xa0= 'a';\n", "syntax", 2),
    "short tag": (b"<?\n$config['account_url'] = 'a';\n", "syntax", 1),
    "if": (b"<?php\nif (X) {\n  $config['account_url'] = 'a';\n}\n", "conditional", 3),
    "if after": (
        b"<?php\n$config['account_url'] = 'a';\nif (X) $config['account_url'] = 'b';\n",
        "conditional",
        3,
    ),
    "if with colons": (
        (
            b"<?php\nif (X):\n$config['account_url'] = 'a';\nelse:\n$config['account_url'] = 'b';\n"
            b"endif;\n"
        ),
        "conditional",
        3,
    ),
    "switch": (
        (
            b"<?php\nswitch (ENVIRONMENT) {\ncase 'production':\n  $config['account_url'] = 'a';\n"
            b"  break;\ndefault:\n  $config['account_url'] = 'b';\n}\n"
        ),
        "conditional",
        4,
    ),
    "function": (
        b"<?php\nfunction f() {\n  $config['account_url'] = 'a';\n}\n",
        "conditional",
        3,
    ),
    "and": (b"<?php\nX and $config['account_url'] = 'a';\n", "conditional", 2),
    "ternary assignment": (
        b"<?php\nX ? ($config['account_url'] = 'a') : 0;\n",
        "conditional",
        2,
    ),
    "map in a branch": (
        b"<?php\n$config['account_url'] = 'a';\nif (X) { $config = []; }\n",
        "conditional",
        3,
    ),
    "after return": (b"<?php\nreturn;\n$config['account_url'] = 'a';\n", "conditional", 3),
    "after conditional return": (
        b"<?php\nif (X) { return; }\n$config['account_url'] = 'a';\n",
        "conditional",
        3,
    ),
    "after exit": (b"<?php\nexit;\n$config['account_url'] = 'a';\n", "conditional", 3),
    "after halt": (
        b"<?php\n__halt_compiler();\n$config['account_url'] = 'a';\n",
        "conditional",
        3,
    ),
    "computed key after": (
        (
            b"<?php\n$config['account_url'] = 'a';\n"
            b"foreach ($s as $n) { $config[$n . '_url'] = 'b'; }\n"
        ),
        "conditional",
        3,
    ),
    "foreach by reference": (
        b"<?php\n$config['account_url'] = 'a';\nforeach ($config as &$v) { $v = 'b'; }\n",
        "conditional",
        3,
    ),
    "include after": (
        b"<?php\n$config['account_url'] = 'a';\ninclude 'local.php';\n",
        "conditional",
        3,
    ),
    "extract after": (b"<?php\n$config['account_url'] = 'a';\nextract($x);\n", "conditional", 3),
    "variable variable": (
        b"<?php\n$config['account_url'] = 'a';\n$$x = [];\n",
        "conditional",
        3,
    ),
    "map from elsewhere": (
        b"<?php\n$config['account_url'] = 'a';\n$config = array_merge($config, $urls);\n",
        "conditional",
        3,
    ),
    "unset": (
        b"<?php\n$config['account_url'] = 'a';\nunset($config['account_url']);\n",
        "conditional",
        3,
    ),
    "appended to": (
        b"<?php\n$config['account_url'] = 'a';\n$config['account_url'] .= '/v2';\n",
        "conditional",
        3,
    ),
    "union": (b"<?php\n$config += ['account_url' => 'a'];\n", "conditional", 2),
    "reference": (b"<?php\n$config['account_url'] = &$x;\n", "conditional", 2),
    "destructured": (b"<?php\n[$config['account_url']] = ['a'];\n", "conditional", 2),
    "element of it": (
        b"<?php\n$config['account_url'] = 'a';\n$config['account_url'][0] = 'b';\n",
        "conditional",
        3,
    ),
    "concatenation": (b"<?php\n$config['account_url'] = HOST . '/a';\n", "not-literal", 2),
    "getenv": (b"<?php\n$config['account_url'] = getenv('A') ?: 'a';\n", "not-literal", 2),
    "call": (b"<?php\n$config['account_url'] = env('A', 'a');\n", "not-literal", 2),
    "array": (b"<?php\n$config['account_url'] = ['a', 'b'];\n", "not-literal", 2),
    "self-reference": (
        b"<?php\n$config['account_url'] = $config['host'] . 'a';\n",
        "not-literal",
        2,
    ),
    "constant": (
        b"<?php\ndefine('ACCOUNT_URL', 'a');\n$config['account_url'] = ACCOUNT_URL;\n",
        "not-literal",
        3,
    ),
    "interpolation": (b'<?php\n$config["account_url"] = "http://$host/";\n', "not-literal", 2),
    "braced interpolation": (b'<?php\n$config["account_url"] = "{$a}";\n', "not-literal", 2),
    "heredoc": (b"<?php\n$config['account_url'] = <<<E\na\nE;\n", "not-literal", 2),
    "nowdoc": (b"<?php\n$config['account_url'] = <<<'E'\na\nE;\n", "not-literal", 2),
    "gbk in the value": (b"<?php\n$config['account_url'] = '\xb7\xfe';\n", "not-literal", 2),
    "only a define": (b"<?php\ndefine('ACCOUNT_URL', 'http://a');\n", "not-literal", 2),
    "only a const": (b"<?php\nconst ACCOUNT_URL = 'http://a';\n", "not-literal", 2),
    "only in a loop": (
        b"<?php\nforeach ($s as $n) { $config[$n . '_url'] = 'b'; }\n",
        "missing",
        1,
    ),
    "only a comment": (b"<?php\n// $config['account_url'] = 'a';\n", "missing", 1),
    "wiped": (
        b"<?php\n$config['account_url'] = 'a';\n$config = ['x_url' => 'b'];\n",
        "missing",
        1,
    ),
    "other spelling": (b"<?php\n$config['ACCOUNT_URL'] = 'a';\n", "missing", 1),
    "html": (b"<html>$config['account_url'] = 'a';</html>\n", "missing", 1),
    "comment that ends php": (b"<?php // x ?>\n$config['account_url'] = 'a';\n", "missing", 1),
}


def source(template: bytes, url: str = OLD) -> bytes:
    return template.replace(b"%s", url.encode())


def entry(config: ConfigMap, key: str = "account_url") -> Literal:
    found = config.entries[key]
    assert isinstance(found, Literal)
    return found


def problems(config: ConfigMap) -> list[tuple[str, str, int]]:
    return [(problem.kind, problem.key, problem.line) for problem in config.problems]


@pytest.mark.parametrize("template", PATCHABLE.values(), ids=PATCHABLE)
def test_live_assignment_is_found_at_its_exact_bytes(template):
    text = source(template)
    found = entry(read(text, PATTERN))
    assert found.value == OLD
    assert text[found.start : found.end].lstrip(b"b")[1:-1] == OLD.encode()


@pytest.mark.parametrize("template", PATCHABLE.values(), ids=PATCHABLE)
def test_patch_changes_the_literal_and_no_other_byte(template):
    assert patch(source(template), {"account_url": NEW}, PATTERN) == Patched(
        source(template, NEW), ("account_url",)
    )


@pytest.mark.parametrize(("text", "kind", "line"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_patched_safely_is_refused_with_its_line(text, kind, line):
    result = patch(text, {"account_url": NEW}, PATTERN)
    assert isinstance(result, Refused)
    assert (kind, line) in [(problem.kind, problem.line) for problem in result.problems]


def test_value_already_there_changes_nothing():
    text = source(PATCHABLE["crlf"])
    assert patch(text, {"account_url": OLD}, PATTERN) == Patched(text, ())


def test_all_keys_or_none():
    text = b"<?php\n$config['a_url'] = 'x';\n$config['b_url'] = f();\n"
    result = patch(text, {"a_url": NEW, "b_url": NEW}, PATTERN)
    assert result == Refused((Problem("not-literal", "b_url", 3, 20, "a call of f()"),))


def test_several_keys_are_patched_at_once():
    text = b"<?php\n$config['b_url'] = 'x';\n$config['a_url'] = \"y\";\n"
    assert patch(text, {"a_url": NEW, "b_url": OLD}, PATTERN) == Patched(
        f"<?php\n$config['b_url'] = '{OLD}';\n$config['a_url'] = \"{NEW}\";\n".encode(),
        ("a_url", "b_url"),
    )


@pytest.mark.parametrize(
    "expression",
    ["getenv('A') ?: 'x'", "A . '/x'", '"http://$host/"', "['a', 'b']", "<<<E\nx\nE", "ACCOUNT"],
)
def test_allowed_expression_is_replaced_whole(expression):
    text = f"<?php\n$config['account_url'] = {expression} /* why */;\n$x = 1;\n".encode()
    result = patch(text, {"account_url": NEW}, PATTERN, replace_expressions={"account_url"})
    expected = f"<?php\n$config['account_url'] = '{NEW}' /* why */;\n$x = 1;\n".encode()
    assert result == Patched(expected, ("account_url",))


def test_expression_that_assigns_another_key_is_refused_even_when_allowed():
    text = b"<?php\n$config['a_url'] = $config['b_url'] = 'x';\n"
    result = patch(text, {"a_url": NEW}, PATTERN, replace_expressions={"a_url"})
    assert isinstance(result, Refused)
    assert "also assigns b_url" in result.problems[0].message


def test_conditional_entry_is_refused_even_when_expressions_are_allowed():
    text, _, _ = REFUSED["if"]
    assert isinstance(
        patch(text, {"account_url": NEW}, PATTERN, replace_expressions={"account_url"}), Refused
    )


@pytest.mark.parametrize(
    "value",
    [
        "",
        "ftp://x",
        "javascript:x",
        "http://",
        "http:// x",
        "http://a b",
        "http://a\n",
        "http://a\0",
        "http://a\x7f",
        "http://é",
        "http://a\u2028",
        "'; system('id'); //",
        "HTTP://a",
        "http://" + "a" * 2048,
    ],
)
def test_hostile_value_is_refused(value):
    result = patch(source(PATCHABLE["crlf"]), {"account_url": value}, PATTERN)
    assert isinstance(result, Refused)
    assert [problem.kind for problem in result.problems] == ["hostile"]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (rb"'a\'b\\c\n'", r"a'b\c\n"),
        (rb'"\x41\101\u{41}\n\t\\\"\$a\q"', 'AAA\n\t\\"$a\\q'),
        (b'"a$ $1 {x}"', "a$ $1 {x}"),
        (rb'"{\$a}"', "{$a}"),
        (b"''", ""),
        (b'B"\xc3\xa9"', "é"),
        (b"'a\r\nb'", "a\r\nb"),
    ],
)
def test_escapes_are_read_as_php_reads_them(written, value):
    assert entry(read(b"<?php $config['account_url'] = " + written + b";", PATTERN)).value == value


@pytest.mark.parametrize(
    ("quoted", "expected"),
    [(b"'x'", rb"""'http://h/\'"$a\\{$b}'"""), (b'"x"', rb'''"http://h/'\"\$a\\{\$b}"''')],
)
def test_quotes_of_the_file_are_kept_and_the_value_is_escaped_for_them(quoted, expected):
    value = """http://h/'"$a\\{$b}"""
    result = patch(
        b"<?php $config['account_url'] = " + quoted + b";", {"account_url": value}, PATTERN
    )
    assert result == Patched(
        b"<?php $config['account_url'] = " + expected + b";", ("account_url",)
    )


def test_duplicate_is_reported_where_it_is_dead():
    config = read(source(PATCHABLE["duplicate"]), PATTERN)
    assert problems(config) == [("duplicate", "account_url", 2)]
    assert config.problems[0].message == "overwritten on line 3"


def test_lines_and_columns_count_every_kind_of_line_end():
    found = entry(read(b"<?php\r\n\r\n  $config['account_url'] = 'x';", PATTERN))
    assert (found.line, found.column) == (3, 28)
    found = entry(read(b"<?php\r\r$config['account_url'] = 'x';", PATTERN))
    assert (found.line, found.column) == (3, 26)


def test_password_in_an_expression_is_not_repeated_in_problems():
    config = read(b"<?php\n$config['a_url'] = 'http://u:hunter2@' . HOST;\n", PATTERN)
    assert "hunter2" not in repr(config)


def test_nested_keys_are_found_by_a_nested_pattern():
    nested = KeyPattern("{service}[url]")
    text = (
        b"<?php\n$config['account']['url'] = 'x';\n"
        b"$config['user'] = ['url' => 'y', 'timeout' => 3];\n"
        b"$config = array_merge($config, ['pay' => array('url' => 'z')]);\n"
    )
    config = read(text, nested)
    assert {key: entry(config, key).value for key in config.entries} == {
        "account[url]": "x",
        "user[url]": "y",
        "pay[url]": "z",
    }
    result = patch(text, {"user[url]": NEW}, nested)
    assert result == Patched(text.replace(b"'y'", f"'{NEW}'".encode()), ("user[url]",))


def test_assigning_the_parent_drops_the_nested_keys():
    text = b"<?php\n$config['a']['url'] = 'x';\n$config['a'] = ['host' => 'y'];\n"
    config = read(text, KeyPattern("{service}[url]"))
    assert config.entries == {}
    assert problems(config) == [("duplicate", "a[url]", 2)]


def test_keys_without_url_are_found_by_their_own_pattern():
    config = read(b"<?php\n$config['api_account'] = 'x';\n", KeyPattern("api_{service}"))
    assert entry(config, "api_account").value == "x"


def test_pattern_maps_services_to_keys_and_back():
    assert PATTERN.key("account") == "account_url"
    assert PATTERN.service("account_url") == "account"
    assert PATTERN.service("index_page") is None
    with pytest.raises(ValueError, match="once"):
        KeyPattern("account_url")


def test_environment_wins_over_base_and_each_key_names_its_file():
    base = read(b"<?php\n$config['a_url'] = 'base';\n$config['b_url'] = f();\n", PATTERN)
    environment = read(b"<?php\n$config['b_url'] = 'env';\n", PATTERN)
    live = merge(base, environment)
    assert {key: found.file for key, found in live.entries.items()} == {
        "a_url": "base",
        "b_url": "environment",
    }
    assert live.problems == ()


def test_whole_assignment_in_the_environment_wipes_the_base():
    base = read(b"<?php\n$config['a_url'] = 'base';\n", PATTERN)
    environment = read(b"<?php\n$config = array('b_url' => 'env');\n", PATTERN)
    live = merge(base, environment)
    assert list(live.entries) == ["b_url"]
    assert [found.problem.kind for found in live.problems] == ["wipes-base"]


def test_problem_of_the_base_stays_while_the_environment_is_unsure():
    base = read(b"<?php\n$config['a_url'] = f();\n", PATTERN)
    environment = read(b"<?php\nif (X) $config['a_url'] = 'x';\n", PATTERN)
    assert [(found.file, found.problem.kind) for found in merge(base, environment).problems] == [
        ("base", "not-literal"),
        ("environment", "conditional"),
    ]


def test_one_of_five_thousand_lines_is_patched_and_no_other():
    lines = [
        b"$config['s%d_url'] = 'http://s%d.dev'; // \xb4\xfa\r\n" % (n, n) for n in range(5000)
    ]
    text = b"<?php\r\n" + b"".join(lines)
    patched = patch(text, {"s4999_url": NEW}, PATTERN)
    assert isinstance(patched, Patched)
    assert patched.source == text.replace(b"'http://s4999.dev'", f"'{NEW}'".encode())


def test_deeply_nested_expression_is_no_recursion_error():
    text = b"<?php\n$config['a_url'] = " + b" . ".join([b"'x'"] * 5000) + b";\n"
    assert isinstance(read(text, PATTERN).entries["a_url"], NotLiteral)
