"""Disk: when the disk of a node's state folder is too full to make anything new on it. Pure."""

from typing import Final

from sdp.protocol.report import Disk, NodeReport

LOW: Final = 5
"""Per cent of a disk; of a large one, ``LOW_BYTES`` are enough."""
LOW_BYTES: Final = 512 << 20
LOW_INODES: Final = 3


def shortage(report: NodeReport) -> str:
    """Return what a node's state folder lacks for anything new, in words; "" while it does not.

    What is not reported does not lack: builds fail by themselves where there is no room.
    """
    disk = report.facts.get("disk/state")
    if not isinstance(disk, Disk):
        return ""
    if not disk.writable:
        return f"{disk.path} can't be written to"
    least = min(LOW_BYTES, disk.total_bytes * LOW // 100)
    if disk.free_bytes < least:
        return f"{disk.path} has {megabytes(disk.free_bytes)} free, less than {megabytes(least)}"
    if disk.inodes < LOW_INODES:
        return f"{disk.path} has {disk.inodes} % of its inodes free"
    return ""


def megabytes(count: int) -> str:
    """Return an amount in words; more than nothing is at least 1MB."""
    return f"{-(-count // (1 << 20))}MB"
