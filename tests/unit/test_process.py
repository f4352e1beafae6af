"""What a process with secrets asks of the kernel."""

import subprocess  # noqa: TID251 -- it is asked of the whole process, for good
import sys

CHECK = """
import ctypes, resource
from sdp.process import keep_to_itself
keep_to_itself()
PR_GET_DUMPABLE = 3
print(ctypes.CDLL(None).prctl(PR_GET_DUMPABLE), resource.getrlimit(resource.RLIMIT_CORE))
"""


def test_it_leaves_no_core_dump_and_lets_nobody_read_its_memory():
    done = subprocess.run(
        [sys.executable, "-c", CHECK], capture_output=True, check=True, text=True
    )
    assert done.stdout == "0 (0, 0)\n"
