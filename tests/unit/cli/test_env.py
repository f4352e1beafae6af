"""The env commands in a person's clone: what they write, what they refuse, what they never show."""

import json
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from dulwich.repo import Repo
from typer.testing import CliRunner, Result

from sdp.cli import editor
from sdp.cli.main import app
from sdp.sops import document
from tests.fakes.control_plane import FakeControlPlane, served_in_thread
from tests.sops import ACHMAD, NODE, SARI, held, parsed
from tests.unit.agent.repositories import git
from tests.unit.config_repo import cloned, head, serve

CANARY = "canary-hunter2"
PLATFORM = f"""
platform: acme
nodes:
  - {{id: micro-92, ip_address: 10.0.0.92, type: MICRO, recipient: {NODE.public}}}
  - {{id: gateway-91, ip_address: 10.0.0.91, type: GATEWAY}}
services:
  account: {{repository: account, node: micro-92, image: runtime}}
gateway: {{repository: gw, node: gateway-91, image: gateway, mount: /var/www, config: config.php}}
recipients: {{achmad: {ACHMAD.public}}}
"""
QA = "environment: qa   # QA's own\n\nvariables:\n  MODE: qa   # as it is called\n"
Sdp = Callable[..., Result]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = cloned(serve(tmp_path))
    put(folder, {"platform.yaml": PLATFORM, "environments/qa.yaml": QA})
    return folder


def put(clone: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (clone / path).parent.mkdir(exist_ok=True)
        (clone / path).write_text(text)
    git(clone, "add", "--all")
    git(clone, "commit", "-qm", "By hand")
    git(clone, "push", "-q", "origin", "HEAD:main")


@pytest.fixture
def sdp(clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sdp:
    """Run sdp env as somebody: ``key`` is theirs; nobody else's keys are found."""
    monkeypatch.setattr(editor, "MEMORY", tmp_path / "memory")
    (tmp_path / "memory").mkdir()

    def run(*words: object, key: str = "", text: str | None = None, **more: str) -> Result:
        told = {"SDP_URL": "http://127.0.0.1:9", "SOPS_AGE_KEY": key, "HOME": str(tmp_path)}
        told |= {"XDG_CONFIG_HOME": "", "SOPS_AGE_KEY_FILE": ""} | more
        argv = ["env", *map(str, words)]
        argv += [] if words[0] in {"keygen", "list"} else ["-C", str(clone)]
        return CliRunner(env=told).invoke(app, argv, input=text)

    return run


def written(clone: Path, name: str = "qa") -> str:
    return git(clone.parent / "config.git", "show", f"main:environments/{name}.yaml") + "\n"


def values(clone: Path, name: str = "qa") -> dict[document.Loc, object]:
    return dict(document.open_file(parsed(written(clone, name)), held(NODE)).values)


def added(clone: Path) -> list[str]:
    """Return the lines that the last commit removed and added."""
    lines = git(clone.parent / "config.git", "show", "--format=", "-U0", "main").splitlines()
    return [line for line in lines if line[:1] in "+-" and line[:3] not in {"+++", "---"}]


def everything(clone: Path) -> bytes:
    """Return all that is in the config repo, its clone and what lies beside them."""
    files = [path for path in clone.parent.rglob("*") if path.is_file() and not path.is_symlink()]
    with Repo(str(clone)) as repo:
        objects = [repo.object_store[sha].as_raw_string() for sha in repo.object_store]
    return b"".join([*(path.read_bytes() for path in files), *objects])


def secret(sdp: Sdp, name: str = "DB_PASSWORD", value: str = CANARY, **more: str) -> Result:
    done = sdp("set-secret", "qa", name, "--stdin", text=f"{value}\n", **more)
    assert done.exit_code == 0, done.stderr
    assert value not in done.output
    return done


def test_a_variable_is_one_line_of_one_commit(clone, sdp):
    done = sdp("set", "QA", "LOG_LEVEL=debug", "-m", "To see more")
    assert done.exit_code == 0, done.stderr
    assert added(clone) == ["+  LOG_LEVEL: debug"]
    assert "Set LOG_LEVEL of environment QA" in done.stderr
    assert sdp("set", "qa", "MODE=b=c").exit_code == 0
    assert added(clone) == ["-  MODE: qa   # as it is called", "+  MODE: b=c  # as it is called"]


def test_numbers_are_written_as_the_texts_that_they_are(clone, sdp):
    assert sdp("set", "qa", "PORT_BASE=8080", "ON=true").exit_code == 0
    assert parsed(written(clone))["variables"]["PORT_BASE"] == "8080"


def test_a_new_environment_is_made_by_its_first_entry(clone, sdp):
    assert sdp("set", "pay", "MODE=pay").exit_code == 0
    assert written(clone, "pay") == "environment: pay\nvariables: {MODE: pay}\n"


def test_a_plain_file_is_set(clone, sdp, tmp_path):
    (tmp_path / "f.json").write_text('{"a": 1}\n')
    done = sdp("set", "qa", "--file", "/etc/app/f.json", "--from", tmp_path / "f.json")
    assert done.exit_code == 0, done.stderr
    assert parsed(written(clone))["files"] == {"/etc/app/f.json": '{"a": 1}\n'}


def test_a_first_secret_needs_no_key_and_is_for_nodes_and_people(clone, sdp):
    done = secret(sdp)
    assert "Set secret DB_PASSWORD of environment qa" in done.stderr
    assert values(clone) == {("secrets", "DB_PASSWORD"): CANARY}
    readers = [each["recipient"] for each in parsed(written(clone))["sops"]["age"]]
    assert readers == [NODE.public, ACHMAD.public]
    assert written(clone).startswith(QA.rstrip())
    assert CANARY.encode() not in everything(clone)


def test_a_further_secret_needs_a_key_and_names_who_has_one(clone, sdp):
    secret(sdp)
    before = head(clone)
    for key in ("", SARI.secret):
        done = sdp("set-secret", "qa", "TOKEN", "--stdin", text=CANARY, key=key)
        assert done.exit_code == 1
        assert "it is for micro-92, achmad" in done.stderr
        assert "--identity" in done.stderr
        assert CANARY not in done.output
    assert head(clone) == before
    secret(sdp, "TOKEN", "another-value", key=ACHMAD.secret)
    assert values(clone)["secrets", "TOKEN"] == "another-value"


def test_only_what_changed_is_encrypted_anew(clone, sdp):
    secret(sdp)
    secret(sdp, "TOKEN", "value-one", key=ACHMAD.secret)
    before = parsed(written(clone))
    secret(sdp, "TOKEN", "value-two", key=ACHMAD.secret)
    after = parsed(written(clone))
    assert before["secrets"]["DB_PASSWORD"] == after["secrets"]["DB_PASSWORD"]
    assert before["sops"]["age"] == after["sops"]["age"]


def test_a_secret_that_has_the_value_already_is_nothing_to_change(clone, sdp, tmp_path):
    (tmp_path / "key.pem").write_text(CANARY)
    file = ("set-secret", "qa", "--file", "/etc/key", "--from", tmp_path / "key.pem")
    secret(sdp)
    assert sdp(*file, key=ACHMAD.secret).exit_code == 0
    before = head(clone)
    done = secret(sdp, key=ACHMAD.secret)
    assert "nothing to change" in done.stderr
    done = sdp(*file, key=ACHMAD.secret)
    assert "nothing to change" in done.stderr
    assert head(clone) == before


def test_the_key_is_found_where_the_sops_tool_finds_it(clone, sdp, tmp_path):
    secret(sdp)
    keys = tmp_path / ".config" / "sops" / "age" / "keys.txt"
    keys.parent.mkdir(parents=True)
    keys.write_text(f"# mine\n{ACHMAD.secret}\n")
    secret(sdp, "ONE", "value-1")
    keys.rename(tmp_path / "elsewhere.txt")
    secret(sdp, "TWO", "value-2", SOPS_AGE_KEY_FILE=str(tmp_path / "elsewhere.txt"))
    done = sdp(
        "set-secret",
        "qa",
        "THREE",
        "--stdin",
        "--identity",
        tmp_path / "elsewhere.txt",
        text="value-3",
    )
    assert done.exit_code == 0, done.stderr
    assert len(values(clone)) == 4


def test_a_secret_file_is_encrypted(clone, sdp, tmp_path):
    (tmp_path / "key.pem").write_text(f"{CANARY}\nline\n")
    words = ("set-secret", "qa", "--file", "/etc/tls/key.pem", "--from", tmp_path / "key.pem")
    assert sdp(*words).exit_code == 0
    (tmp_path / "key.pem").unlink()
    assert values(clone) == {("files", "/etc/tls/key.pem"): f"{CANARY}\nline\n"}
    assert r"/etc/tls/key\.pem" in parsed(written(clone))["sops"]["encrypted_regex"]
    assert CANARY.encode() not in everything(clone)


@pytest.mark.parametrize("name", ["DB_PASSWORD", "TOKEN", "api_key", "TLS_PRIVATE_KEY_1"])
def test_a_variable_with_the_name_of_a_secret_is_set_and_warned_of(clone, sdp, name):
    done = sdp("set", "qa", f"{name}={CANARY}")
    assert done.exit_code == 0, done.stderr
    assert f"warning: {name} looks like a secret" in done.stderr
    assert f"sdp env set-secret qa {name}" in done.stderr
    assert CANARY not in done.stderr
    assert parsed(written(clone))["variables"][name] == CANARY


@pytest.mark.parametrize("name", ["TOKENS", "KEY", "API", "PRIVATE_KEYRING", "SECRETARY"])
def test_a_variable_with_another_name_is_not_warned_of(sdp, name):
    done = sdp("set", "qa", f"{name}=x")
    assert "warning" not in done.stderr


def test_a_variable_that_becomes_a_secret_moves(clone, sdp):
    done = secret(sdp, "MODE", "hidden-value")
    assert "git still holds the old value of MODE in plain text" in done.stderr
    found = parsed(written(clone))
    assert "variables" not in found
    assert set(found["secrets"]) == {"MODE"}


def test_a_secret_is_never_an_argument_nor_repeated(clone, sdp):
    before = head(clone)
    done = sdp("set-secret", "qa", f"DB_PASSWORD={CANARY}", "--stdin", text="")
    assert done.exit_code == 64
    assert CANARY not in done.output
    assert "change DB_PASSWORD" in done.stderr
    assert head(clone) == before


def test_a_secret_is_not_overwritten_in_plain_text(sdp):
    secret(sdp)
    done = sdp("set", "qa", "DB_PASSWORD=x", key=ACHMAD.secret)
    assert done.exit_code == 1
    assert "sdp env set-secret qa DB_PASSWORD" in done.stderr


def test_plain_values_need_no_key_though_there_are_secrets(clone, sdp):
    secret(sdp)
    assert sdp("set", "qa", "LOG_LEVEL=debug").exit_code == 0
    assert sdp("unset", "qa", "MODE").exit_code == 0
    assert parsed(written(clone))["variables"] == {"LOG_LEVEL": "debug"}
    assert values(clone)


def test_without_secrets_the_section_goes(clone, sdp):
    secret(sdp)
    done = sdp("unset", "qa", "DB_PASSWORD", key=ACHMAD.secret)
    assert done.exit_code == 0, done.stderr
    assert written(clone) == QA


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("unset", "qa", "NOPE"), "qa has no NOPE"),
        (("unset", "qb", "NOPE"), "unknown environment 'qb'; expected one of qa"),
        (("set", "qa", "A-B=x"), "expected a variable name"),
        (("set", "qa", "A"), "expected NAME=VALUE"),
        (("set", "qa"), "expected NAME=VALUE, or --file"),
        (("set", "qa", "--file", "etc/x", "--from", __file__), "/PATH/IN/CONTAINER"),
        (("set-secret", "qa"), "expected NAME, or --file"),
        (("set-secret", "qa", "A"), "--stdin"),
        (("rotate",), "or --all"),
        (("rotate", "--all"), "nothing is encrypted"),
    ],
)
def test_what_makes_no_sense_is_told_and_changes_nothing(clone, sdp, words, told):
    before = head(clone)
    done = sdp(*words)
    assert done.exit_code in {1, 64}
    assert told in " ".join(done.stderr.replace("│", " ").split())
    assert head(clone) == before


def test_nobody_to_encrypt_for_is_told_with_what_to_do(clone, sdp):
    bare = PLATFORM.replace(f", recipient: {NODE.public}", "").split("recipients:")[0]
    put(clone, {"platform.yaml": bare})
    done = sdp("set-secret", "qa", "A", "--stdin", text=CANARY)
    assert done.exit_code == 1
    assert "sdp env keygen" in done.stderr


def test_a_mistyped_public_key_is_told_and_changes_nothing(clone, sdp):
    wrong = NODE.public[:-1] + ("q" if NODE.public[-1] != "q" else "p")
    put(clone, {"platform.yaml": PLATFORM.replace(NODE.public, wrong)})
    before = head(clone)
    done = sdp("set-secret", "qa", "A", "--stdin", text=CANARY)
    assert done.exit_code == 1
    assert f"{wrong}, which is no age public key" in done.stderr
    assert head(clone) == before


def test_a_node_that_will_not_be_able_to_open_it_is_named(clone, sdp):
    put(clone, {"platform.yaml": PLATFORM.replace(f", recipient: {NODE.public}", "")})
    done = sdp("set-secret", "qa", "A", "--stdin", text="x")
    assert done.exit_code == 0, done.stderr
    assert "micro-92 has no recipient:" in done.stderr


def test_a_dry_run_shows_the_diff_and_changes_nothing(clone, sdp):
    before = head(clone)
    done = sdp("set-secret", "qa", "A", "--stdin", "--dry-run", text=CANARY)
    assert done.exit_code == 0, done.stderr
    assert "+  A: ENC[" in done.stdout
    assert CANARY not in done.output
    assert head(clone) == before


def test_people_are_shown_no_ciphertext_of_keys_and_programs_the_whole_diff(sdp):
    words = ("set-secret", "qa", "A", "--stdin", "--dry-run")
    read = sdp(*words, text=CANARY).stdout
    assert "~ sops: age's texts and MAC" in read
    assert "AGE ENCRYPTED FILE" not in read
    whole = json.loads(sdp(*words, "--json", text=CANARY).stdout)["diff"]
    assert "AGE ENCRYPTED FILE" in whole


def test_a_tampered_file_is_refused_by_every_writer(clone, sdp):
    secret(sdp)
    put(clone, {"environments/qa.yaml": written(clone).replace("data:", "data:AAAA", 1)})
    for words in (("set-secret", "qa", "A", "--stdin"), ("rotate", "qa"), ("edit", "qa")):
        done = sdp(*words, key=ACHMAD.secret, text="x")
        assert done.exit_code == 1
        assert "secrets.DB_PASSWORD: it is not what was encrypted here" in done.stderr


def test_rotation_takes_the_recipients_of_now_and_a_new_data_key(clone, sdp):
    secret(sdp)
    before = parsed(written(clone))
    platform = PLATFORM.replace(f"achmad: {ACHMAD.public}", f"sari: {SARI.public}")
    put(clone, {"platform.yaml": platform})
    assert sdp("rotate", "--all").exit_code == 1
    done = sdp("rotate", "--all", key=ACHMAD.secret)
    assert done.exit_code == 0, done.stderr
    after = parsed(written(clone))
    assert [each["recipient"] for each in after["sops"]["age"]] == [NODE.public, SARI.public]
    assert after["secrets"] != before["secrets"]
    assert values(clone) == {("secrets", "DB_PASSWORD"): CANARY}
    assert "Encrypt environments/qa.yaml anew" in done.stderr


def test_keygen_prints_the_public_key_and_keeps_the_other_private(sdp, tmp_path):
    path = tmp_path / "new" / "identity.txt"
    done = sdp("keygen", "-o", path)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("age1")
    assert "SECRET" not in done.output
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert f"# public key: {done.stdout.strip()}" in path.read_text()
    assert f"identity: {path}" in done.stderr
    other = json.loads(sdp("keygen", "-o", path.with_name("two.txt"), "--json").stdout)
    assert other["public"] in path.with_name("two.txt").read_text()
    again = sdp("keygen", "-o", path)
    assert (again.exit_code, "is there already" in again.stderr) == (1, True)


def test_keygen_without_a_file_is_a_persons_own_key(sdp, tmp_path):
    done = sdp("keygen")
    assert done.exit_code == 0, done.stderr
    path = tmp_path / ".config" / "sops" / "age" / "keys.txt"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.fixture
def typed(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Return an editor that runs a script on the file, and keeps a note of what it saw."""

    def make(script: str) -> dict[str, str]:
        path = tmp_path / "editor"
        path.write_text(
            f'#!/bin/sh\ncp "$1" {tmp_path}/seen\nstat -c "%a %n" "$1" "$(dirname "$1")" '
            f"> {tmp_path}/modes\n{script}\n"
        )
        path.chmod(0o755)
        return {"EDITOR": str(path), "VISUAL": ""}

    return make


def test_edit_shows_plain_text_and_encrypts_only_what_changed(clone, sdp, typed, tmp_path):
    secret(sdp)
    secret(sdp, "TOKEN", "it's: #1", key=ACHMAD.secret)
    before = parsed(written(clone))
    script = f'sed -i "s/{CANARY}/canary-new/; s/MODE: qa/MODE: other/" "$1"\n'
    script += 'printf "  ADDED: canary-added\\n" > "$1.x"; sed -i "/TOKEN/r $1.x" "$1"; rm "$1.x"'
    done = sdp("edit", "qa", key=ACHMAD.secret, **typed(script))
    assert done.exit_code == 0, done.stderr
    after = parsed(written(clone))
    assert after["secrets"]["TOKEN"] == before["secrets"]["TOKEN"]
    assert after["variables"] == {"MODE": "other"}
    assert values(clone) == {
        ("secrets", "DB_PASSWORD"): "canary-new",
        ("secrets", "TOKEN"): "it's: #1",
        ("secrets", "ADDED"): "canary-added",
    }
    assert "canary" not in done.output
    shown = (tmp_path / "seen").read_text()
    assert f"DB_PASSWORD: {CANARY}" in shown
    assert "sops:" not in shown
    modes = dict(reversed(line.split()) for line in (tmp_path / "modes").read_text().splitlines())
    assert sorted(modes.values()) == ["600", "700"]
    assert list((tmp_path / "memory").iterdir()) == []
    assert written(clone).startswith("environment: qa   # QA's own\n")


@pytest.mark.parametrize(
    "script",
    [
        "exit 1", "kill -9 $$", "exit 0", ': > "$1"', 'rm "$1"', 'rm "$1"; mkdir "$1"',
        """printf '\\377' > "$1\"""", """printf 'a\\0b' > "$1\"""", 'printf "environment: [" > "$1"',
    ],
)  # fmt: skip
def test_edit_that_comes_to_nothing_changes_nothing_and_leaves_nothing(
    clone, sdp, typed, tmp_path, script
):
    secret(sdp)
    before = head(clone)
    done = sdp("edit", "qa", key=ACHMAD.secret, **typed(script))
    assert done.exit_code == (0 if script == "exit 0" else 1), done.stderr
    assert script == "exit 0" or "fix:" in done.stderr
    assert head(clone) == before
    assert list((tmp_path / "memory").iterdir()) == []
    assert CANARY not in done.output


@pytest.mark.parametrize("command", ['"', "/nonexistent/editor", "/tmp"])
def test_an_editor_that_is_none_is_told(clone, sdp, command):
    before = head(clone)
    done = sdp("edit", "qa", EDITOR=command, VISUAL="")
    assert done.exit_code == 1
    assert "name your editor in VISUAL or EDITOR" in done.stderr
    assert head(clone) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_plain_copy_goes_when_the_command_is_told_to_end(number, tmp_path, monkeypatch):
    monkeypatch.setattr(editor, "MEMORY", tmp_path)

    def ended() -> None:
        with editor.private_folder() as folder:
            (folder / "qa.yaml").write_text(CANARY)
            os.kill(os.getpid(), number)

    with pytest.raises(SystemExit):
        ended()
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(number) is signal.SIG_DFL


def test_edit_needs_a_key_where_there_are_secrets(sdp, typed):
    secret(sdp)
    done = sdp("edit", "qa", **typed("exit 0"))
    assert done.exit_code == 1
    assert "it is for micro-92, achmad" in done.stderr


def test_edit_can_add_a_first_secret(clone, sdp, typed):
    script = f'printf "secrets:\\n  A: {CANARY}\\n" >> "$1"'
    done = sdp("edit", "qa", **typed(script))
    assert done.exit_code == 0, done.stderr
    assert values(clone) == {("secrets", "A"): CANARY}


def test_diff_compares_secrets_without_showing_them(clone, sdp):
    secret(sdp)
    secret(sdp, "SAME", "canary-same", key=ACHMAD.secret)
    put(clone, {"environments/pay.yaml": "environment: pay\nvariables: {MODE: pay, X: x}\n"})
    for name, value in (("DB_PASSWORD", "canary-other"), ("SAME", "canary-same")):
        done = sdp("set-secret", "pay", name, "--stdin", text=value, key=ACHMAD.secret)
        assert done.exit_code == 0, done.stderr
    done = sdp("diff", "qa", "pay", "--json", key=ACHMAD.secret)
    rows = [tuple(each.values()) for each in json.loads(done.stdout)]
    assert rows == [
        ("variable", "MODE", "qa", "pay"),
        ("variable", "X", "", "x"),
        ("secret", "DB_PASSWORD", "different", "different"),
    ]
    assert "canary" not in done.output
    blind = sdp("diff", "qa", "pay")
    assert "secrets are compared by name only" in blind.stderr
    assert "DB_PASSWORD" in blind.stdout
    assert "canary" not in blind.output


def test_list_shows_names(sdp):
    control = FakeControlPlane()
    with served_in_thread(control.ports) as url:
        done = sdp("list", SDP_URL=url)
    assert done.exit_code == 0, done.stderr
    assert "TOKEN" in done.stdout
    assert "ENC[" not in done.stdout


def test_outside_a_clone_it_says_what_to_do(tmp_path):
    (tmp_path / "empty").mkdir()
    done = CliRunner().invoke(app, ["env", "set", "qa", "A=b", "-C", str(tmp_path / "empty")])
    assert done.exit_code == 1
    assert "clone it" in done.stderr


def test_plain_secrets_are_sent_nowhere(clone):
    control = FakeControlPlane()
    (clone / "environments" / "qa.yaml").write_text(f"{QA}secrets:\n  A: {CANARY}\n")
    with served_in_thread(control.ports) as url:
        told = {"SDP_URL": url}
        done = CliRunner(env=told).invoke(app, ["plan", "-C", str(clone)])
        applied = CliRunner(env=told).invoke(app, ["apply", "--yes", "-C", str(clone)])
    assert control.plane.previewed == []
    for each in (done, applied):
        assert each.exit_code == 1
        assert "sdp env set-secret qa A" in each.stderr
        assert CANARY not in each.output
