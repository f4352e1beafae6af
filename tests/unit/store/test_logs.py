"""A log's obligations: every line once, in order, whatever tears the file."""

import asyncio
import datetime
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdp.store.logfile import Batch, LogFile, Mark
from sdp.store.logs import Logs

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
TEXTS = st.lists(st.text(st.characters(), max_size=20), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXTS, max_size=12), st.integers(0, 2_000), TEXTS, st.integers(0, 60))
def test_a_torn_tail_loses_whole_batches_and_a_replay_brings_each_back_once(
    batches, torn, more, after
):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "d.log"
        batches = [*batches, more]
        file = LogFile(path)
        for seq, batch in enumerate(batches, 1):
            file.append(Batch("s", NOW, batch), Mark("n/o", seq))
        whole = path.read_bytes()
        path.write_bytes(whole[: max(0, len(whole) - torn)])
        again = LogFile(path)
        for seq, batch in enumerate(batches, 1):
            again.append(Batch("s", NOW, batch), Mark("n/o", seq))
        assert path.read_bytes() == whole
        wanted = [text for batch in batches for text in batch]
        found = again.read(after, 7)
        assert [line.text for line in found] == wanted[after : after + 7]
        assert [line.seq for line in found] == list(range(after + 1, after + 1 + len(found)))


def test_a_cursor_finds_its_place_in_a_long_log(tmp_path):
    file = LogFile(tmp_path / "d.log")
    for n in range(3_000):
        file.append(Batch("s", NOW, ["x" * 60, str(n)]))
    for known in (file, LogFile(tmp_path / "d.log")):
        for after in (0, 1, 1_999, 3_001, 5_999, 6_000):
            assert [line.seq for line in known.read(after, 2)] == list(
                range(after + 1, min(after + 3, 6_001))
            )


def test_a_log_is_capped_with_one_line_that_says_so(tmp_path):
    file = LogFile(tmp_path / "d.log", max_bytes=500)
    for _ in range(20):
        file.append(Batch("s", NOW, ["x" * 50]))
    LogFile(tmp_path / "d.log", max_bytes=500).append(Batch("s", NOW, ["y"]))
    *kept, last = file.read(0, 100)
    assert "capped" in last.text
    assert {line.text for line in kept} == {"x" * 50}


async def test_followers_get_every_line_and_end_when_it_is_finished(tmp_path):
    async with Logs.open(tmp_path) as logs:
        seen: list[str] = []

        async def follow() -> None:
            async for lines in logs.follow("d-1", 0):
                seen.extend(line.text for line in lines)

        async with asyncio.TaskGroup() as group:
            group.create_task(follow())
            for n in range(50):
                await logs.append("d-1", "s", NOW, [str(n)])
            logs.finish("d-1")
        assert seen == [str(n) for n in range(50)]
        assert [line.text for line in await logs.tail("d-1", 2)] == ["48", "49"]


@pytest.mark.parametrize("name", ["", "..", "a/b", "../x", "A", "a\n", "a" * 101])
async def test_an_id_that_could_leave_the_folder_is_refused(tmp_path, name):
    async with Logs.open(tmp_path) as logs:
        with pytest.raises(ValueError, match="no deployment"):
            await logs.append(name, "s", NOW, ["x"])
