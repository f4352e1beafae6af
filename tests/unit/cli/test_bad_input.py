"""Bad input for every command: a clear error on stderr, its exit code, and nothing changed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperCommand, TyperGroup
from typer.testing import CliRunner

from sdp.cli.main import app
from tests.fakes.control_plane import PINS, FakeControlPlane, sandbox, served_in_thread, snapshot
from tests.unit.agent.repositories import git
from tests.unit.config_repo import cloned, head, serve

BAD = (
    ("init", ["init", "CLONE"], 1, "is there and not empty"),
    ("validate", ["validate", "nowhere"], 64, "does not exist"),
    ("render", ["render", "NOBODY", "-C", "CLONE"], 1, "unknown sandbox"),
    ("plan", ["plan", "-C", "CLONE", "--ref", "nope"], 1, "there is no commit 'nope'"),
    ("plan", ["plan", "-C", "CLONE", "--ref", "main", "-o", "x"], 64, "working tree can be saved"),
    ("apply", ["apply", "nowhere.plan"], 64, "does not exist"),
    ("apply", ["apply", "-C", "CLONE", "--timeout", "soon"], 64, "--timeout"),
    ("apply", ["apply", "CLONE/platform.yaml"], 1, "no saved plan"),
    ("status", ["status", "NOBODY"], 1, "no sandbox"),
    ("explain", ["explain", "NOBODY"], 1, "no sandbox"),
    ("events", ["events", "--nope"], 64, "No such option"),
    ("logs", ["logs", "NOBODY/account"], 1, "no sandbox"),
    ("logs", ["logs", "QA-ONE/account", "--since", "soon"], 64, "--since"),
    ("deployments", ["deployments", "--status", "nope"], 64, "--status"),
    ("deployments", ["deployments", "--limit", "0"], 64, "--limit"),
    ("nodes show", ["nodes", "nowhere"], 1, "nowhere"),
    ("nodes show", ["nodes", "show", "enroll"], 1, "enroll"),
    ("nodes enroll", ["nodes", "enroll", "nowhere"], 1, "no node 'nowhere'"),
    ("nodes enroll", ["nodes", "enroll", "micro-92", "--valid", "9d"], 1, "up to 7d"),
    ("nodes enroll", ["nodes", "enroll", "micro-92", "--data-dir", "nope"], 64, "does not exist"),
    ("nodes revoke", ["nodes", "revoke", "nowhere", "--yes"], 1, "no node 'nowhere'"),
    ("nodes revoke", ["nodes", "revoke", "micro-92"], 1, "nobody is there to answer"),
    ("ports", ["ports", "--node", "nowhere"], 1, "nowhere"),
    ("quotas", ["quotas", "--nope"], 64, "No such option"),
    ("doctor", ["doctor", "--nope"], 64, "No such option"),
    ("audit", ["audit", "--kind", "nope"], 64, "--kind"),
    ("audit", ["audit", "--since", "soon"], 64, "--since"),
    ("audit", ["audit", "-n", "0"], 64, "-n"),
    ("audit", ["audit", "--user", "sari", "verify"], 64, "audit verify takes no --user"),
    ("audit export", ["audit", "export", "--since", "soon"], 64, "--since"),
    ("audit export", ["audit", "export", "-o", "CLONE/platform.yaml"], 1, "is no act"),
    ("audit verify", ["audit", "verify", "--file", "nowhere"], 64, "does not exist"),
    ("audit verify", ["audit", "verify", "--file", "CLONE/platform.yaml"], 1, "platform.yaml:1"),
    ("audit verify", ["audit", "verify", "--anchor", "x"], 64, "expected NUMBER:HASH"),
    ("sync", ["sync", "NOBODY"], 1, "no sandbox"),
    ("sync", ["sync", "QA-ONE", "--timeout", "soon"], 64, "--timeout"),
    ("restart", ["restart", "NOBODY"], 1, "no sandbox"),
    ("restart", ["restart", "QA-ONE/nobody"], 1, "no service"),
    ("restart", ["restart", "QA-ONE", "--timeout", "soon"], 64, "--timeout"),
    ("cancel", ["cancel", "NOBODY"], 1, "no sandbox"),
    ("cancel", ["cancel", "QA-ONE", "--timeout", "soon"], 64, "--timeout"),
    ("update", ["update", "NOBODY"], 1, "no sandbox"),
    ("update", ["update", "QA-ONE/nobody"], 1, "no service"),
    ("update", ["update", "QA-ONE", "--timeout", "soon"], 64, "--timeout"),
    ("gc", ["gc"], 1, "nobody is there to answer"),
    ("gc", ["gc", "--yes", "--timeout", "soon"], 64, "--timeout"),
    ("login", ["login", "--user", "achmad"], 1, "nobody is there to ask for the password"),
    ("login", ["login", "--user", "achmad", "--password-stdin"], 1, "no password on stdin"),
    ("login", ["--server", "http://sdp.invalid", "login"], 1, "over plain http"),
    ("logout", ["logout", "--user", "a b"], 1, "a user name"),
    ("whoami", ["whoami", "--nope"], 64, "No such option"),
    ("schema", ["schema", "nope"], 64, "nope"),
    ("serve", ["serve", "--config-repo", "x", "--data-dir", "d", "--port", "70000"], 64, "--port"),
    ("serve", ["serve", "--config-repo", "x", "--data-dir", "d", "--hook-secret-file",
               "CLONE/platform.yaml"], 1, "others can read"),
    ("serve", ["serve", "--config-repo", "x", "--data-dir", "d", "--tls-cert",
               "CLONE/platform.yaml"], 64, "--tls-key"),
    ("serve", ["serve", "--config-repo", "https://git.invalid/x", "--data-dir", "d",
               "--config-credentials", "CLONE/platform.yaml"], 1, "others can read"),
    ("serve", ["serve", "--config-repo", "x", "--data-dir", "d",
               "--config-credentials", "CLONE/platform.yaml"], 1, "takes no password"),
    ("agent", ["agent", "--config", "nowhere.yaml"], 64, "does not exist"),
    ("new", ["new", "QA-ONE", "-C", "CLONE"], 1, "QA-ONE is there already"),
    ("new", ["new", "QA-TWO", "--set", "owner", "-C", "CLONE"], 64, "expected KEY=VALUE"),
    ("set", ["set", "QA-ONE", "owner=", "-C", "CLONE"], 1, "found ''"),
    ("set", ["set", "QA-ONE", "sandbox=QA-TWO", "-C", "CLONE"], 1, "can't be changed"),
    ("set", ["set", "QA-ONE", f"environment_revision={'d' * 40}", "-C", "CLONE"], 1, "no commit"),
    ("clone", ["clone", "NOBODY", "QA-TWO", "-C", "CLONE"], 1, "unknown sandbox"),
    ("delete", ["delete", "QA-ONE", "-C", "CLONE"], 1, "nobody is there to answer"),
    ("route", ["route", "QA-ONE", "nobody", "--to", "ocp", "-C", "CLONE"], 1, "unknown service"),
    ("suspend", ["suspend", "NOBODY", "-C", "CLONE"], 1, "unknown sandbox"),
    ("suspend", ["suspend", "QA-ONE", "--wait", "--timeout", "soon", "-C", "CLONE"], 64, "--timeout"),
    ("suspend", ["suspend", "QA-ONE/account", "-C", "CLONE"], 1, "sdp stop QA-ONE/account"),
    ("resume", ["resume", "QA-ONE/nobody", "-C", "CLONE"], 1, "unknown service"),
    ("stop", ["stop", "QA-ONE", "-C", "CLONE"], 1, "sdp suspend QA-ONE"),
    ("stop", ["stop", "QA-ONE/gateway", "-C", "CLONE"], 1, "sdp suspend QA-ONE"),
    ("stop", ["stop", "QA-ONE/payment", "-C", "CLONE"], 1, "OCP serves it"),
    ("protect", ["protect", "NOBODY", "-C", "CLONE"], 1, "unknown sandbox"),
    ("extend", ["extend", "NOBODY", "-C", "CLONE"], 1, "unknown sandbox"),
    ("extend", ["extend", "QA-ONE", "-C", "CLONE"], 1, "QA-ONE never expires"),
    ("extend", ["extend", "QA-ONE", "--by", "soon", "-C", "CLONE"], 64, "expected a duration"),
    ("extend", ["extend", "QA-ONE", "--until", "2026-02-30"], 64, "there is no 2026-02-30"),
    ("extend", ["extend", "QA-ONE", "--by", "7d", "--until", "2026-12-24"], 64, "one of them"),
    ("approve", ["approve", "nope"], 64, "7 digits"),
    ("revert", ["revert", "nope", "-C", "CLONE"], 1, "there is no commit"),
    ("new", ["new", "QA-TWO", "--snapshot", "NONE", "-C", "CLONE"], 1, "unknown snapshot"),
    ("history", ["history", "NOBODY"], 1, "no sandbox"),
    ("history", ["history", "QA-ONE", "-n", "0"], 64, "-n"),
    ("snapshot", ["snapshot", "NOBODY", "GOOD", "-C", "CLONE"], 1, "no sandbox"),
    ("snapshot", ["snapshot", "QA-ONE", "-C", "CLONE"], 64, "expected SANDBOX NAME"),
    ("snapshot", ["snapshot", "QA-ONE", "not good", "-C", "CLONE"], 1, "found 'not good'"),
    ("snapshot", ["snapshot", "QA-OLD", "GOOD", "-C", "CLONE"], 1, "QA-OLD is Applying"),
    ("snapshot", ["snapshot", "--delete", "NONE", "-y", "-C", "CLONE"], 1, "unknown snapshot"),
    ("rollback", ["rollback", "QA-ONE", "-C", "CLONE"], 64, "--to"),
    ("rollback", ["rollback", "NOBODY", "--to", "#1", "-C", "CLONE"], 1, "no sandbox"),
    ("rollback", ["rollback", "QA-ONE", "--to", "NONE", "-C", "CLONE"], 1, "no snapshot 'NONE'"),
    ("rollback", ["rollback", "QA-ONE", "--to", "#1", "-C", "CLONE"], 1, "nobody is there to"),
    ("rollback", ["rollback", "QA-ONE", "--to", "#2", "-C", "CLONE"], 1, "unknown service 'gone'"),
    ("template list", ["template", "list", "--nope"], 64, "No such option"),
    ("template new", ["template", "new", "BASE", "-C", "CLONE"], 1, "BASE is there already"),
    ("template set", ["template", "set", "NONE", "owner=x", "-C", "CLONE"], 1, "unknown template"),
    ("template delete", ["template", "delete", "NONE", "-y", "-C", "CLONE"], 1, "unknown template"),
    ("env list", ["env", "list", "--nope"], 64, "No such option"),
    ("env set", ["env", "set", "qa", "A-B=x", "-C", "CLONE"], 64, "expected a variable name"),
    ("env unset", ["env", "unset", "qa", "NOPE", "-C", "CLONE"], 1, "qa has no NOPE"),
    ("env set-secret", ["env", "set-secret", "qa", "A", "-C", "CLONE"], 1, "--stdin"),
    ("env edit", ["env", "edit", "nope", "-C", "CLONE"], 1, "unknown environment"),
    ("env diff", ["env", "diff", "qa", "nope", "-C", "CLONE"], 1, "unknown environment"),
    ("env keygen", ["env", "keygen", "-o", "CLONE/platform.yaml"], 1, "is there already"),
    ("env rotate", ["env", "rotate", "nope", "-C", "CLONE"], 1, "names nobody to encrypt for"),
)  # fmt: skip
SILENT = {"schema", "serve", "agent", "audit export"}
"""Commands without ``--json``: what they print is JSON, or nothing."""


def commands() -> dict[str, TyperCommand | TyperGroup]:
    """Return every command, by its words; a group that does something by itself is one."""

    def below(group: object, *words: str) -> Iterator[tuple[str, TyperCommand | TyperGroup]]:
        if not isinstance(group, TyperGroup):
            assert isinstance(group, TyperCommand)
            yield " ".join(words), group
            return
        if group.invoke_without_command:
            yield " ".join(words), group
        for name, each in group.commands.items():
            yield from below(each, *words, name)

    return dict(below(typer.main.get_command(app)))


def files(folder: Path) -> dict[str, bytes]:
    found = (each for each in folder.rglob("*") if each.is_file() and ".git" not in each.parts)
    return {str(each): each.read_bytes() for each in found}


def past() -> FakeControlPlane:
    """Return a control plane whose sandboxes have run what they do not run now."""
    control = FakeControlPlane()
    control.plane.known["qa-old"] = sandbox("QA-OLD", sync="Applying")
    gone = PINS.model_copy(update={"services": {"gone": PINS.services["account"]}})
    control.past.kept += [
        snapshot(2, pins=gone), snapshot(3, sandbox="QA-OLD", current=False)
    ]  # fmt: skip
    return control


def test_every_command_is_given_bad_input_here():
    assert {name for name, *_ in BAD} == commands().keys()


@pytest.mark.parametrize(("words", "code", "why"), [each[1:] for each in BAD])
def test_bad_input_is_told_on_stderr_and_changes_nothing(tmp_path, monkeypatch, words, code, why):
    clone = cloned(serve(tmp_path))
    monkeypatch.chdir(tmp_path)
    before = (head(tmp_path / "config.git"), head(clone), files(tmp_path))
    control = past()
    with served_in_thread(control.ports) as url:
        argv = [word.replace("CLONE", str(clone)) for word in words]
        done = CliRunner(env={"SDP_URL": url, "TERMINAL_WIDTH": "200"}).invoke(app, argv)
    assert (done.exit_code, done.stdout) == (code, ""), done.output
    said = " ".join(done.stderr.replace("│", " ").split())
    assert why in said
    assert code == 64 or ("error: " in said and "fix: " in said), said
    assert (head(tmp_path / "config.git"), head(clone), files(tmp_path)) == before
    assert git(clone, "status", "--porcelain") == ""
    assert (control.plane.asked, control.changes.asked) == ([], [])


@pytest.mark.parametrize("name", commands())
def test_every_command_has_an_example_its_exit_codes_and_json(name):
    command = commands()[name]
    assert "Example" in str(command.help)
    assert "Exit codes: 0 done; 1 an error" in str(command.epilog)
    options = {option for each in command.params for option in each.opts}
    assert ("--json" in options) == (name not in SILENT)
