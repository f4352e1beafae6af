"""Room: nothing new is made on a node whose disk is low; what is built goes on starting. Pure."""

from sdp.reconciler.diff import Version
from sdp.reconciler.disk import shortage
from sdp.reconciler.draft import Draft


def no_room(draft: Draft, service: str, node: str, version: Version) -> bool:
    """Say that a version has to wait for room, where that is so."""
    seen = draft.world.observed[node].report
    lacking = shortage(seen)
    if lacking:
        count = len(seen.releases)
        takes = f"{count} release takes" if count == 1 else f"{count} releases take"
        draft.hold(
            service,
            "DiskLow",
            f"{version.commit[:7]} waits for room on {node}: {lacking}, where {takes} a part",
            f"free space on {node}, or move the agent's state folder to a larger disk; what "
            "nothing refers to goes by itself: sdp gc --dry-run",
        )
    return bool(lacking)
