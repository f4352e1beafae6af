"""The search for canaries finds them, wherever they were planted and however they are written."""

import base64
import json
import shlex
import sqlite3
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.testbed.canaries import Allowed, Found, Search, canary, forms, unexpected

CANARY = canary()
SEARCH = Search({"a password": CANARY, "a token": "aZ3_-aZ3_-aZ3_-aZ3", "a key": bytes(range(32))})


WRITTEN: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in hexadecimal": lambda text: text.encode().hex(),
    "in large hexadecimal": lambda text: text.encode().hex().upper(),
    "in JSON": json.dumps,
    "in YAML": lambda text: yaml.safe_dump({"password": text}),
    "as Python shows it": repr,
    "in a URL": lambda text: f"https://achmad:{urllib.parse.quote(text)}@bitbucket/account.git",
    "in a form": lambda text: urllib.parse.urlencode({"password": text}),
    "for a shell": shlex.quote,
}


@pytest.mark.parametrize("how", WRITTEN)
def test_a_canary_is_found_however_it_is_written(how: str) -> None:
    content = f"before {WRITTEN[how](CANARY)} after"
    assert SEARCH.within(content.encode()) == {"a password"}


@pytest.mark.parametrize("encode", [base64.standard_b64encode, base64.urlsafe_b64encode])
def test_a_canary_is_found_in_base64_wherever_in_something_longer_it_is(
    encode: Callable[[bytes], bytes],
) -> None:
    for before in range(4):
        for behind in range(4):
            content = encode(f"{'u' * before}:{CANARY}{'!' * behind}".encode())
            assert SEARCH.within(content) == {"a password"}


def test_each_canary_is_told_by_its_name() -> None:
    content = b"token=aZ3_-aZ3_-aZ3_-aZ3 key=" + base64.b64encode(b"header" + bytes(range(32)))
    assert SEARCH.within(content) == {"a token", "a key"}


def test_what_is_no_canary_is_not_found() -> None:
    other = canary()
    assert SEARCH.within(other.encode() + base64.b64encode(other.encode())) == frozenset()


def test_what_could_be_chance_is_no_canary() -> None:
    with pytest.raises(ValueError, match="twelve"):
        forms("short and %% odd")


def test_files_are_searched_whatever_they_are_and_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"\xff\x00" + CANARY.encode())
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "clean").write_text("nothing")
    (tmp_path / "deep" / "aZ3_-aZ3_-aZ3_-aZ3").touch()
    with sqlite3.connect(tmp_path / "sdp.db") as database:
        database.execute("create table sessions (token)")
        database.execute("insert into sessions values (?)", (CANARY,))
    database.close()
    assert SEARCH.below(tmp_path, "root") == {
        Found("a password", "root/log"),
        Found("a password", "root/sdp.db"),
        Found("a token", "root/deep/aZ3_-aZ3_-aZ3_-aZ3"),
    }


def test_only_what_is_named_may_be_where_it_is() -> None:
    allowed = [Allowed("a token", "root/home/*", "the keyring")]
    kept = Found("a token", "root/home/achmad/sessions.json")
    other = Found("a password", "root/home/achmad/sessions.json")
    elsewhere = Found("a token", "root/log")
    assert unexpected([elsewhere, kept, other], allowed) == [other, elsewhere]
