"""Use of sandboxes: read from real log files, which hostile clients and rotation write."""

import datetime
import os
from pathlib import Path

import pytest

from sdp.agent import access_log, activity
from sdp.agent.activity import AccessLogs
from sdp.protocol.report import Activity

NOW = datetime.datetime(2026, 11, 25, 12, 0, tzinfo=datetime.UTC)
SECOND = datetime.timedelta(seconds=1)
APP = "Dalvik/2.1 (Linux; Android 14)"


def at(minute: int) -> datetime.datetime:
    """A moment of the hour before NOW."""
    return NOW - datetime.timedelta(minutes=60 - minute)


def line(
    minute: int, agent: str = APP, request: str = "GET /erangel/x HTTP/1.1", zone: str = "+0000"
) -> str:
    told = f"{at(minute):%d/%b/%Y:%H:%M:%S} {zone}"
    return f'10.0.0.7 - - [{told}] "{request}" 200 12 "-" "{agent}"\n'


class Node:
    """An agent's state folder, and a clock that is put by hand."""

    def __init__(self, root: Path) -> None:
        self.access = root / "access"
        self.record = root / "activity.json"
        self.log = self.access / "qa-one" / "access.log"
        self.log.parent.mkdir(parents=True)
        self.now = NOW
        self.logs = self.restarted()

    def restarted(self) -> AccessLogs:
        return AccessLogs(self.access, self.record, lambda: self.now)

    def says(self, *lines: str) -> None:
        with self.log.open("a") as file:
            file.writelines(lines)

    def look(self, after: float = 0) -> Activity:
        self.now += datetime.timedelta(seconds=after)
        return self.logs.look()["qa-one"]

    def last(self, after: float = 61) -> datetime.datetime | None:
        return self.look(after).last_request_at


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_the_last_request_is_told_and_since_when_the_record_goes(node) -> None:
    node.says(line(1), line(9), line(5))
    assert node.look() == Activity(last_request_at=at(9), since=NOW)


@pytest.mark.parametrize(
    "agent",
    [
        "sdp-probe",
        "sdp-probe-environment",
        "Apache/2.4.62 (Debian) (internal dummy connection)",
    ],
)
def test_what_the_platform_and_the_server_ask_themselves_is_no_use(node, agent) -> None:
    node.says(line(7), line(9, agent))
    assert node.last() == at(7)


def test_an_agent_that_only_mentions_probes_is_use(node) -> None:
    node.says(line(7, "curl (not sdp-probe)"))
    assert node.last() == at(7)


def test_a_connection_without_a_request_is_no_use(node) -> None:
    node.says(line(7, "-", request="-"))
    assert node.last() is None


def test_a_line_that_names_no_agent_counts(node) -> None:
    node.says(f'10.0.0.7 - - [{at(7):%d/%b/%Y:%H:%M:%S} +0000] "GET / HTTP/1.1" 200 12\n')
    assert node.last() == at(7)


def test_a_line_of_a_virtual_host_and_of_another_zone_is_read(node) -> None:
    node.says("gateway:80 " + line(7, zone="+0130"))
    assert node.last() == at(7) - datetime.timedelta(minutes=90)


@pytest.mark.parametrize(
    "hostile",
    [
        b"\x00\xff\xfe no log\n",
        b'x - - [31/Feb/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "a"\n',
        b'x - - [01/Foo/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "a"\n',
        b'x - - [01/Jan/0001:00:00:00 +9999] "GET / HTTP/1.1" 200 1 "-" "a"\n',
        b'x - - [25/Nov/2026:10:59:00 +0000] "' + b'\\"' * 100_000,
        b"[" * 3_000_000 + b"\n",
    ],
    ids=["bytes", "day", "month", "zone", "quotes", "huge"],
)
def test_a_hostile_line_hides_nothing_and_breaks_nothing(node, hostile) -> None:
    node.says(line(7))
    with node.log.open("ab") as file:
        file.write(hostile + b"\n")
    node.says(line(8))
    assert node.last() == at(8)


def test_a_request_cannot_pass_for_a_probe_by_its_path_or_referer(node) -> None:
    node.says(line(7, request=r"GET /\" 200 1 \"-\" \"sdp-probe HTTP/1.1"))
    assert node.last() == at(7)


def test_a_line_that_is_being_written_counts_when_it_is_whole(node) -> None:
    whole = line(9)
    node.says(line(3), whole[:60])
    assert node.last() == at(3)
    node.says(whole[60:])
    assert node.last() == at(9)


def test_what_was_read_is_not_read_again(node, monkeypatch) -> None:
    read: list[bytes] = []
    real = access_log.last_use

    def counted(lines):
        kept = [each for each in lines if each]
        read.extend(kept)
        return real(kept)

    monkeypatch.setattr(access_log, "last_use", counted)
    node.says(line(1))
    node.look()
    node.says(line(2))
    node.look()
    node.look()
    assert len(read) == 2


def test_rotation_loses_no_request(node) -> None:
    node.says(line(1))
    node.look()
    node.says(line(8))
    node.log.rename(node.log.with_name("access.log.1"))
    node.says(line(4))
    assert node.last() == at(8)


@pytest.mark.parametrize(
    "name", ["access.log.1", "access_log-20261124", "other_vhosts_access.log"]
)
def test_logs_of_other_names_count_too(node, name) -> None:
    node.says(line(1))
    node.log.with_name(name).write_text(line(8))
    assert node.last() == at(8)


def test_of_a_huge_log_the_end_is_read(node, monkeypatch) -> None:
    monkeypatch.setattr(activity, "MOST_BYTES", 300)
    node.says(line(50), *[line(2)] * 100, line(3))
    assert node.last() == at(3)


def test_a_log_that_was_emptied_is_read_from_its_start(node) -> None:
    node.says(line(1), line(2))
    node.look()
    os.truncate(node.log, 0)
    node.says(line(3))
    assert node.last() == at(3)


def test_a_large_log_is_emptied_and_its_writer_goes_on(node, monkeypatch) -> None:
    monkeypatch.setattr(activity, "LARGE", 200)
    with node.log.open("a") as apache:
        apache.writelines([line(1), line(2), line(3)])
        apache.flush()
        assert node.last() == at(3)
        assert node.log.stat().st_size == 0
        apache.write(line(4))
    assert node.last() == at(4)
    node.logs = node.restarted()
    assert node.last() == at(4)


def test_what_is_not_a_log_of_requests_is_left_alone(node, monkeypatch) -> None:
    monkeypatch.setattr(activity, "LARGE", 1)
    secret = node.record.with_name("secret")
    secret.write_text(line(9))
    (node.log.parent / "access.log").symlink_to(secret)
    (node.log.parent / "error.log").write_text(line(9))
    (node.log.parent / "access.log.2.gz").write_text(line(9))
    os.mkfifo(node.log.parent / "access.log.3")
    assert "writes no access log" in node.look().error
    assert secret.read_text() == line(9)


def test_a_sandbox_without_a_log_is_told_as_not_known_and_no_more_often(node) -> None:
    told = node.look()
    assert (told.last_request_at, told.since) == (None, NOW)
    assert "writes no access log" in told.error
    assert node.look(3600) == told


def test_a_log_that_is_written_again_is_known_at_once(node) -> None:
    node.look()
    node.says(line(9))
    assert node.look() == Activity(last_request_at=at(9), since=NOW)


def test_where_requests_may_be_missing_the_record_begins_anew(node) -> None:
    node.says(line(9))
    used = node.look()
    node.log.unlink()
    lost = node.look(3600)
    assert lost == used.model_copy(update={"error": lost.error})
    assert "writes no access log" in lost.error
    node.says("")
    assert node.look(5) == Activity(last_request_at=None, since=node.now - SECOND * 5)


def test_a_disk_that_takes_nothing_leaves_use_unknown_and_then_begins_anew(node) -> None:
    node.says(line(9))
    node.look()
    node.record.unlink()
    node.record.mkdir()
    lost = node.look(61)
    assert f"{node.record} can't be written: Is a directory" in lost.error
    assert node.look(5) == lost
    node.logs = node.restarted()
    assert node.look().error == lost.error
    node.record.rmdir()
    assert node.look(5) == Activity(last_request_at=None, since=node.now - SECOND * 5)


def test_a_large_log_is_kept_until_what_it_says_is_written_down(node, monkeypatch) -> None:
    monkeypatch.setattr(activity, "LARGE", 1)
    node.says(line(9))
    node.record.mkdir()
    assert node.look().error
    assert node.log.stat().st_size
    node.record.rmdir()
    node.look()
    assert not node.log.stat().st_size


def test_a_folder_that_cannot_be_read_concerns_its_sandbox_alone(node, monkeypatch) -> None:
    node.says(line(9))
    (node.access / "qa-two").mkdir()
    real = os.scandir

    def refusing(path):
        if Path(path).name == "qa-two":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing)
    found = node.logs.look()
    assert found["qa-one"].last_request_at == at(9)
    assert "can't be read: Permission denied" in found["qa-two"].error


def test_traffic_is_news_once_a_minute_and_the_last_request_is_told_in_the_end(node) -> None:
    node.says(line(1))
    first = node.look()
    for minute in range(2, 8):
        node.says(line(minute))
        assert node.look(5) == first
    assert node.look(60).last_request_at == at(7)


def test_the_first_request_is_news_at_once(node) -> None:
    node.says("")
    assert node.look().last_request_at is None
    node.says(line(9))
    assert node.look(1).last_request_at == at(9)


def test_what_is_known_outlives_the_agent_and_the_log(node) -> None:
    node.says(line(9))
    before = node.look()
    node.log.write_text("")
    node.now += datetime.timedelta(days=1)
    node.logs = node.restarted()
    assert node.look() == before


def test_what_is_known_is_written_down_once_a_minute(node) -> None:
    node.says(line(1))
    node.look()
    written = node.record.stat().st_ino
    node.says(line(2))
    node.look(5)
    assert node.record.stat().st_ino == written
    node.look(60)
    assert node.record.stat().st_ino != written


def test_a_record_that_is_lost_begins_anew_and_later(node) -> None:
    node.says(line(9))
    node.look()
    node.record.write_text("{broken")
    node.now += datetime.timedelta(days=1)
    node.logs = node.restarted()
    assert node.look() == Activity(last_request_at=at(9), since=node.now)


def test_a_request_of_a_clock_that_was_put_back_is_not_in_the_future(node) -> None:
    node.says(line(60 + 24 * 60))
    assert node.look().last_request_at == NOW
    assert node.last() == NOW


def test_a_sandbox_that_is_gone_is_forgotten(node) -> None:
    node.says(line(9))
    node.look()
    node.log.unlink()
    node.log.parent.rmdir()
    assert node.logs.look() == {}
    node.log.parent.mkdir()
    assert node.look(3600).since == node.now


async def test_it_tells_until_it_is_cancelled_whatever_fails(node, monkeypatch) -> None:
    monkeypatch.setattr(activity, "LOOK_SECONDS", 0.0)
    node.says(line(9))
    looks = 0
    real = node.logs.look

    def failing() -> dict[str, Activity]:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise OSError(5, "Input/output error")
        return real()  # type: ignore[no-any-return]

    monkeypatch.setattr(node.logs, "look", failing)

    class EnoughError(Exception):
        """It has told something."""

    def used(told) -> None:
        assert told["qa-one"].last_request_at == at(9)
        raise EnoughError

    with pytest.raises(EnoughError):
        await node.logs.run(used)
    assert looks == 2
