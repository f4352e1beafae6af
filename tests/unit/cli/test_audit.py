"""The audit command: who did what, to be read, followed, exported and checked."""

import dataclasses
import json
import time
from pathlib import Path

import pytest

from sdp.reconciler import chain
from sdp.reconciler.audit import Act
from tests.fakes.control_plane import NOW, FakeControlPlane

DEPLOYED = Act(
    NOW,
    "DEPLOYMENT",
    "done",
    "sari",
    "deployed",
    branch="feature/a",
    commit="1a2b3c4" + "0" * 33,
    sandbox="QA-ONE",
    service="account",
)
REFUSED = Act(
    NOW, "REFUSAL", "refused", "achmad\x1b[2J", "delete sandboxes", address="10.0.0.7", sandbox="X"
)


@pytest.fixture(autouse=True)
async def acts(control: FakeControlPlane) -> None:
    await control.audit.record([DEPLOYED, REFUSED])


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines()


def test_it_shows_the_newest_first_and_nothing_that_steers_the_terminal(run):
    done = run("audit")
    assert done.exit_code == 0
    _, first, second = done.stdout.splitlines()
    assert "achmad\ufffd[2J" in first
    assert first.rstrip().endswith("refused  X               from 10.0.0.7")
    assert second.split() == (
        [
            "2026-03-04",
            "12:00:00",
            "sari",
            "deployed",
            "done",
            "QA-ONE/account",
            "feature/a",
            "@1a2b3c4",
        ]
    )


def test_filters_are_asked_for(run, control):
    assert run("audit", "--user", "SARI", "--kind", "deployment", "--json").exit_code == 0
    found = json.loads(run("audit", "--user", "SARI", "--json").stdout)
    assert [each["seq"] for each in found] == [1]
    assert (control.audit.asked[0].user, control.audit.asked[0].kind) == ("SARI", "DEPLOYMENT")


async def test_more_than_a_page_is_asked_for_page_by_page(run, control):
    await control.audit.record([DEPLOYED] * 600)
    found = json.loads(run("audit", "-n", "550", "--json").stdout)
    assert [each["seq"] for each in found] == [*range(602, 52, -1)]
    assert len(control.audit.asked) == 2


def test_nothing_found_is_said(run):
    done = run("audit", "--user", "nobody")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "nothing was done" in done.stderr


class _EnoughError(Exception):
    """Whoever follows has seen enough."""


def test_following_prints_what_comes_once_the_newest_last(run, control, monkeypatch):
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) > 2:
            raise _EnoughError
        control.audit.kept.extend(chain.enchain(control.audit.kept[-1].head, [DEPLOYED]))

    monkeypatch.setattr(time, "sleep", wait)
    done = run("audit", "-f", "--json")
    assert isinstance(done.exception, _EnoughError)
    assert [json.loads(each)["seq"] for each in done.stdout.splitlines()] == [1, 2, 3, 4]


async def test_an_export_goes_on_after_what_is_in_the_file(run, control, tmp_path):
    file = tmp_path / "audit.jsonl"
    done = run("audit", "export", "-o", str(file))
    assert done.exit_code == 0, done.output
    last = control.audit.kept[-1]
    assert f"2 acts; the last is 2:{last.hash}" in done.stderr
    await control.audit.record([DEPLOYED])
    with file.open("a") as cut:
        cut.write('{"seq": 3, "at"')
    assert "1 acts" in run("audit", "export", "-o", str(file)).stderr
    assert [json.loads(each)["seq"] for each in lines(file)] == [1, 2, 3]
    assert "nothing new" in run("audit", "export", "-o", str(file)).stderr
    assert run("audit", "export").stdout.splitlines() == lines(file)


def test_a_whole_audit_verifies_on_the_server_and_as_a_file(run, control, tmp_path):
    file = tmp_path / "audit.jsonl"
    run("audit", "export", "-o", str(file))
    last = control.audit.kept[-1]
    for words in ((), ("--file", str(file)), ("--anchor", f"2:{last.hash}")):
        done = run("audit", "verify", *words)
        assert (done.exit_code, done.stderr) == (0, "")
        assert f"rows 1 to 2 were read; the last is 2:{last.hash}" in done.stdout


def test_a_part_verifies_and_says_what_it_is_not(run, tmp_path):
    file = tmp_path / "audit.jsonl"
    run("audit", "export", "--after", "1", "-o", str(file))
    done = run("audit", "verify", "--file", str(file))
    assert done.exit_code == 0
    assert "what was before row 2 is not in it" in done.stdout


def test_what_was_changed_is_named_with_its_row(run, control, tmp_path):
    file = tmp_path / "audit.jsonl"
    run("audit", "export", "-o", str(file))
    file.write_text(file.read_text().replace("sari", "budi"))
    first = control.audit.kept[0]
    forged = dataclasses.replace(first, act=dataclasses.replace(first.act, user="budi"))
    control.audit.kept[0] = forged
    for words in (("--file", str(file)), ()):
        done = run("audit", "verify", *words)
        assert done.exit_code == 1
        assert "row 1: it was changed, or the one before it was" in done.stderr
        assert "fix: " in done.stderr


@pytest.mark.parametrize("place", ["--file", "server"])
def test_another_chain_than_the_one_that_was_anchored_elsewhere_is_found(run, tmp_path, place):
    file = tmp_path / "audit.jsonl"
    run("audit", "export", "-o", str(file))
    words = ("--file", str(file)) if place == "--file" else ()
    done = run("audit", "verify", "--anchor", f"2:{'0' * 64}", *words)
    assert done.exit_code == 1
    assert "row 2: it is" in done.stderr
