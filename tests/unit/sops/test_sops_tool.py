"""Both ways with the sops tool itself: it opens and edits what is written here, and the reverse."""

import os
import subprocess  # noqa: TID251 -- the tool is a program
import sys
from pathlib import Path

import pytest

from sdp.cli import sealing
from sdp.cli.sealing import Change
from sdp.sops import document
from tests.sops import ACHMAD, NODE, SARI, environment, held, parsed, sealer, secret

SOPS = Path(sys.executable).parent / "sops"
SECRETS = {"DB_PASSWORD": "hunter2", "EMPTY": "", "QUOTED": "a 'b' \"c\" \\ #d", "UNICODE": "ä€😀"}
FILES = "variables:\n  MODE: qa   # plain\nfiles:\n  /etc/plain.json: |\n    {}\n"
ALL = """\
number: 1
half: 1.5
huge: 1.0e+23
yes: true
nothing: null
list: [1, two, {deep: 3}]
empty: ""
# said
text: hello
left_unencrypted: plain
"""


@pytest.fixture
def sops(tmp_path):
    """Return a run of the sops tool with ACHMAD's key; rules: a file name's part → options."""
    (tmp_path / "keys.txt").write_text(f"# of a test\n{ACHMAD.secret}\n")

    def run(*words: str, stdin: str | None = None) -> str:
        done = subprocess.run(
            [SOPS, *words],
            cwd=tmp_path,
            env={"SOPS_AGE_KEY_FILE": str(tmp_path / "keys.txt"), "PATH": os.environ["PATH"]},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def rules(folder: Path, more: str) -> None:
    (folder / ".sops.yaml").write_text(
        f"creation_rules:\n  - age: {ACHMAD.public}\n{more}", encoding="utf-8"
    )


def ours(tmp_path: Path) -> Path:
    text = environment("qa", FILES, **SECRETS)
    key = Change(("files", "/etc/tls/key (1).pem"), "line one\nline two\n", secret=True)
    path = tmp_path / "qa.yaml"
    path.write_text(sealing.changed(text, [key], sealer(ACHMAD)))
    return path


def values(text: str) -> dict[document.Loc, object]:
    return dict(document.open_file(parsed(text), held(ACHMAD)).values)


def test_the_tool_opens_what_is_written_here(sops, tmp_path):
    path = ours(tmp_path)
    read = parsed(sops("decrypt", str(path)))
    assert read["secrets"] == SECRETS
    assert read["files"] == {
        "/etc/plain.json": "{}\n",
        "/etc/tls/key (1).pem": "line one\nline two\n",
    }


def test_the_tool_opens_a_file_whose_plain_values_were_edited_by_hand(sops, tmp_path):
    path = ours(tmp_path)
    path.write_text(path.read_text().replace("MODE: qa", "MODE: other"))
    assert parsed(sops("decrypt", str(path)))["variables"] == {"MODE": "other"}


def test_the_tool_opens_what_was_rotated_here(sops, tmp_path):
    path = ours(tmp_path)
    before = path.read_text()
    path.write_text(sealing.rotated(before, sealer(ACHMAD, to=(ACHMAD, SARI))))
    assert parsed(sops("decrypt", str(path)))["secrets"] == SECRETS
    now = parsed(path.read_text())
    assert not set(map(str, now["secrets"].values())) & set(
        map(str, parsed(before)["secrets"].values())
    ) - {""}
    assert [each["recipient"] for each in now["sops"]["age"]] == [ACHMAD.public, SARI.public]


def test_what_the_tool_sets_in_our_file_is_read_here(sops, tmp_path):
    path = ours(tmp_path)
    sops("set", str(path), '["secrets"]["NEW"]', '"by the tool"')
    found = values(path.read_text())
    assert found["secrets", "NEW"] == "by the tool"
    assert found["secrets", "DB_PASSWORD"] == "hunter2"


def test_what_is_changed_here_after_the_tool_is_opened_by_it(sops, tmp_path):
    path = ours(tmp_path)
    sops("set", str(path), '["secrets"]["NEW"]', '"by the tool"')
    text = sealing.changed(path.read_text(), [secret("NEW", "here again")], sealer(ACHMAD))
    path.write_text(text)
    assert parsed(sops("decrypt", str(path)))["secrets"]["NEW"] == "here again"


@pytest.mark.parametrize(
    "more",
    [
        pytest.param("", id="all values, MAC of all"),
        pytest.param("    mac_only_encrypted: true\n", id="MAC of the encrypted"),
        pytest.param("    encrypted_regex: '^(text|list)$'\n", id="encrypted_regex"),
        pytest.param("    encrypted_suffix: t\n", id="encrypted_suffix"),
        pytest.param("    unencrypted_regex: ^h\n", id="unencrypted_regex"),
        pytest.param(
            "    unencrypted_regex: ^h\n    mac_only_encrypted: true\n", id="regex and MAC"
        ),
    ],
)
def test_what_the_tool_encrypts_is_read_here(sops, tmp_path, more):
    rules(tmp_path, more)
    (tmp_path / "all.yaml").write_text(ALL)
    whole = parsed(sops("encrypt", "all.yaml"))
    opened = document.open_file(whole, held(ACHMAD))
    meant = dict(document.leaves(parsed(ALL)))
    assert {**dict(document.leaves(whole)), **opened.values} == meant
    for loc, value in document.leaves(parsed(ALL)):
        selected = opened.metadata.selector.selects(document.keys(loc)) and value != ""
        assert (loc in opened.values) == selected, loc


def test_comments_that_the_tool_encrypted_survive_a_rotation(sops, tmp_path):
    rules(tmp_path, "    encrypted_regex: ^(secrets)$\n    mac_only_encrypted: true\n")
    (tmp_path / "qa.yaml").write_text("environment: qa\nsecrets:\n  # the old one\n  A: x\n")
    text = sops("encrypt", "qa.yaml")
    assert "the old one" not in text
    (tmp_path / "qa.yaml").write_text(sealing.rotated(text, sealer(ACHMAD)))
    assert "# the old one" in sops("decrypt", "qa.yaml")


def test_a_file_of_the_tool_is_brought_into_our_form_by_a_rotation(sops, tmp_path):
    rules(tmp_path, "    unencrypted_regex: ^(environment|variables)$\n")
    (tmp_path / "qa.yaml").write_text(
        "environment: qa\nvariables: {A: a}\nsecrets: {B: b}\nfiles: {/etc/x: y}\n"
    )
    text = sops("encrypt", "qa.yaml")
    section = parsed(sealing.rotated(text, sealer(ACHMAD)))["sops"]
    assert section["encrypted_regex"] == "^(secrets|/etc/x)$"
    assert section["mac_only_encrypted"] is True


def test_the_key_of_a_node_opens_what_is_encrypted_for_both():
    assert document.open_file(parsed(environment(A="x")), held(NODE)).values
