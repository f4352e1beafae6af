"""A whole file: each way to change it without the key is noticed, and the wrong key is named."""

import re

import pytest

from sdp.cli import sealing
from sdp.sops import document, identities, metadata
from sdp.sops.problem import SopsError
from tests.sops import ACHMAD, NODE, SARI, environment, held, parsed, sealer, secret

FILE = environment("qa", "variables: {MODE: qa}\n", A="first", B="second", C="")
TOKENS = re.findall(r"ENC\[[^\]]*\]", FILE)


def opened(text: str, *keys: identities.NewIdentity) -> dict[document.Loc, object]:
    return dict(document.open_file(parsed(text), held(*keys)).values)


def reason(text: str, *keys: identities.NewIdentity) -> str:
    with pytest.raises(SopsError) as caught:
        opened(text, *keys)
    assert not re.search("first|second", str(caught.value))
    return caught.value.reason


@pytest.mark.parametrize("key", [ACHMAD, NODE])
def test_each_recipient_opens_the_file(key):
    assert opened(FILE, key) == {("secrets", "A"): "first", ("secrets", "B"): "second"}


def test_who_is_no_recipient_is_told_for_whom_it_is():
    with pytest.raises(SopsError, match=f"for {ACHMAD.public}, {NODE.public}, not for") as caught:
        opened(FILE, SARI)
    assert caught.value.reason == "WrongKey"


def test_one_of_several_identities_is_enough():
    assert opened(FILE, SARI, NODE)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda t: t.replace(TOKENS[0], TOKENS[1]), id="a value for another"),
        pytest.param(lambda t: re.sub(r"\n  A: .*", "", t), id="a value removed"),
        pytest.param(lambda t: t.replace("  A:", "  Z:"), id="a key renamed"),
        pytest.param(lambda t: re.sub(r"(\n  A: .*)(\n  B: .*)", r"\2\1", t), id="order"),
        pytest.param(lambda t: t.replace("09:00:00Z", "09:00:01Z"), id="time"),
        pytest.param(lambda t: t.replace(TOKENS[-1], TOKENS[0]), id="another MAC"),
        pytest.param(lambda t: re.sub(r"\n  mac: .*", "", t), id="no MAC"),
        pytest.param(lambda t: re.sub(r"\n  mac_only.*", "", t), id="MAC of all values"),
        pytest.param(lambda t: t.replace("type:str", "type:int", 1), id="type"),
        pytest.param(lambda t: t.replace("secrets:", "files:", 1), id="another section"),
        pytest.param(lambda t: t.split("\nsops:")[0], id="no section"),
    ],
)
def test_a_changed_file_is_tampered_with(change):
    changed = change(FILE)
    assert changed != FILE
    assert reason(changed, NODE) == "Tampered"


def test_a_changed_data_key_is_tampered_with_by_name():
    enc = FILE.partition(NODE.public)[2].splitlines()[5].strip()
    broken = FILE.replace(enc, enc[:-2] + ("AA" if enc[-2:] != "AA" else "BB"))
    assert reason(broken, NODE) == "Tampered"


def test_plain_values_may_be_edited_by_hand():
    assert opened(FILE.replace("MODE: qa", "MODE: other, NEW: x"), NODE)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"pgp": [{"fp": "x"}]}, "only pgp"),
        ({"kms": [{"arn": "x"}], "age": []}, "only kms"),
        ({"key_groups": [{"age": []}]}, "key_groups"),
        ({"shamir_threshold": 2, "age": [{"recipient": "a", "enc": "b"}]}, "shamir_threshold"),
        ({"age": [{"recipient": "a", "enc": "b"}], "encrypted_comment_regex": "x"}, "comment"),
        (
            {
                "age": [{"recipient": "a", "enc": "b"}],
                "encrypted_regex": "x",
                "encrypted_suffix": "y",
            },
            "encrypted_suffix and encrypted_regex",
        ),
    ],
)
def test_what_age_alone_cannot_do_is_named(section, words):
    with pytest.raises(SopsError, match=words) as caught:
        metadata.read(section)
    assert caught.value.reason == "Unsupported"


@pytest.mark.parametrize(
    ("kind", "pattern", "path", "selects"),
    [
        ("encrypted_regex", "^(secrets)$", ("secrets", "A"), True),
        ("encrypted_regex", "^(secrets)$", ("variables", "A"), False),
        ("encrypted_regex", "ecre", ("secrets", "A"), True),
        ("encrypted_suffix", "_enc", ("a_enc", "b"), True),
        ("unencrypted_suffix", "_plain", ("a_plain", "b"), False),
        ("unencrypted_suffix", "_plain", ("a", "b"), True),
        ("unencrypted_regex", "^env", ("environment",), False),
    ],
)
def test_a_selector_looks_at_every_key_of_a_path(kind, pattern, path, selects):
    assert metadata.Selector(kind, pattern).selects(path) is selects


def test_paths_of_files_are_selected_literally():
    selector = metadata.selecting(["/etc/a.b+c"])
    assert selector.pattern == r"^(secrets|/etc/a\.b\+c)$"
    assert selector.selects(("files", "/etc/a.b+c"))
    assert not selector.selects(("files", "/etc/aXb+c"))


def test_nothing_shows_a_secret_key():
    made = held(NODE)
    assert NODE.secret not in f"{made!r} {NODE!r} {sealer(NODE)!r} {secret('A', 'first')!r}"
    assert "first" not in repr(secret("A", "first"))
    assert "first" not in repr(document.open_file(parsed(FILE), made))
    assert sealing.opened(FILE, made) is not None


@pytest.mark.parametrize("text", ["", "# only a comment\n", "AGE-PLUGIN-X-1\n", "hunter2\n"])
def test_a_key_file_without_a_key_is_told_without_its_content(text):
    with pytest.raises(SopsError) as caught:
        identities.read(text)
    assert caught.value.reason == "NoIdentity"
    assert "hunter2" not in str(caught.value)


def test_a_key_file_of_the_sops_tool_is_read():
    text = f"# created: today\n# public key: {NODE.public}\n{NODE.secret}\n\n{SARI.secret}\n"
    assert identities.read(text).public == (NODE.public, SARI.public)
