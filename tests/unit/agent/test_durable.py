"""Files and folders that go while they are looked at."""

import threading
from pathlib import Path

from sdp import durable


def test_a_folder_that_goes_while_it_is_looked_through_is_no_error(tmp_path: Path) -> None:
    stays = tmp_path / "stays" / "one" / "record"
    stays.parent.mkdir(parents=True)
    stays.touch()
    done = threading.Event()

    def come_and_go() -> None:
        while not done.is_set():
            for name in ("a", "b", "c"):
                (tmp_path / name / "inner").mkdir(parents=True)
            for name in ("a", "b", "c"):
                (tmp_path / name / "inner").rmdir()
                (tmp_path / name).rmdir()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(300):
            assert durable.matching(tmp_path, "*/*/record") == [stays]
    finally:
        done.set()
        thread.join()
