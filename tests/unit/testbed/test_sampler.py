"""The sampler sees what a process was started with, however short it lives."""

import subprocess  # noqa: TID251 -- the processes that are to be seen
import sys
from pathlib import Path

from tests.testbed.canaries import Search, canary
from tests.testbed.sampler import Sampler

CANARY = canary()
SEARCH = Search({"a password": CANARY})


def test_arguments_and_environments_are_seen(tmp_path: Path) -> None:
    sampler = Sampler(tmp_path)
    argv = [sys.executable, "-c", "input()"]
    pipe = subprocess.PIPE
    with (
        subprocess.Popen([*argv, CANARY], stdin=pipe) as in_argv,
        subprocess.Popen(argv, env={"PASSWORD": CANARY}, stdin=pipe) as in_environment,
    ):
        sampler.sweep()
        for each in (in_argv, in_environment):
            each.communicate(b"\n")
    found = SEARCH.below(tmp_path, "samples")
    assert {each.place.rpartition(".")[0] for each in found} == {
        f"samples/host/{in_argv.pid}.cmdline",
        f"samples/host/{in_environment.pid}.environ",
    }
    assert {each.canary for each in found} == {"a password"}
