"""What a process of ours that holds secrets asks of the kernel: that nobody can look into it."""

import ctypes
import resource
from typing import Final

_PR_SET_DUMPABLE: Final = 4


def keep_to_itself() -> None:
    """Have no core dump written, and let no other process of this user read the memory.

    Linux: prctl(2), PR_SET_DUMPABLE. Elsewhere there is only no core dump.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
