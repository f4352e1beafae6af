"""Guard: which deletions wait for a person, and which ports may be given back. Pure."""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from sdp.reconciler import observed as observation
from sdp.reconciler.desired import Branch, Desired, desire
from sdp.reconciler.draft import Hold, World
from sdp.reconciler.observed import Observed
from sdp.reconciler.ports import Lease, Leases, outbid, pins, rebuild
from sdp.spec import names
from sdp.spec.tree import Tree

FEW: Final = 2
"""So many sandboxes may go at once whatever their share."""
SHARE: Final = 0.3
"""A larger share of all sandboxes does not go without a person's word."""


def held_deletions(
    whole: World, protected: Collection[str], before: Collection[str], confirmed: Collection[str]
) -> dict[str, Hold]:
    """Return why sandboxes that nobody desires any more stay, by lower-cased name.

    Args:
        whole: desired and observed.
        protected: names whose last spec said ``protect: true``.
        before: names that were held as too many at once; they stay held.
        confirmed: names that a person let go.
    """
    leaving = observation.sandboxes(whole.observed) - whole.desired.sandboxes.keys()
    holds = {
        name: Hold(
            name,
            "",
            "Protected",
            f"{name} was protected when its file was removed",
            "bring the file back with lifecycle.protect: false, then remove it again",
        )
        for name in leaving & frozenset(protected)
    }
    going = leaving - holds.keys() - frozenset(confirmed)
    every = len(whole.desired.sandboxes) + len(leaving)
    if not (len(going) > FEW and len(going) > SHARE * every):
        going &= frozenset(before)
    for name in going:
        holds[name] = Hold(
            name,
            "",
            "MassDeletion",
            f"{name} is one of {len(going)} of {every} sandboxes that would go at once",
            f"let it go: sdp sync {name}; or bring its file back",
        )
    return holds


def was_protected(name: str, ancestors: Iterable[tuple[str, Tree]]) -> bool:
    """Tell whether a sandbox's last spec before it was removed said ``protect: true``."""
    for revision, tree in ancestors:
        if any(file.spec.sandbox.lower() == name for file in tree.sandboxes.values()):
            last = desire(revision, tree).sandboxes.get(name)
            return last is not None and last.protect
    return False


def kept_leases(
    leases: Leases, planned: Iterable[Lease], desired: Desired, observed: Observed
) -> dict[tuple[str, int], Lease]:
    """Return the leases that still stand: proved by a container, planned, or held by intent.

    A gateway keeps its port as long as its sandbox is desired; a service that runs in a sandbox
    keeps the ports of its versions until a container or a plan takes their place, or somebody
    pins them.
    """
    taken = {(lease.node, lease.port): lease for lease in planned}
    proved = rebuild({}, observed)
    reserved = pins(desired)
    replaced = {_party(lease) for lease in (*taken.values(), *proved.values())}
    kept = {
        place: lease
        for place, lease in leases.items()
        if _intended(lease, desired)
        and _party(lease) not in replaced
        and not outbid(lease, reserved)
    }
    return dict(sorted({**kept, **proved, **taken}.items()))


def _party(lease: Lease) -> tuple[str, str, str]:
    return lease.node, lease.sandbox, lease.service


def _intended(lease: Lease, desired: Desired) -> bool:
    sandbox = desired.sandboxes.get(lease.sandbox.lower())
    if sandbox is None:
        return desired.platform is None or bool(desired.unreadable)
    if lease.service == names.GATEWAY:
        return True
    service = sandbox.services.get(lease.service)
    return service is not None and isinstance(service.target, Branch)


def repositories(desired: Desired, changed: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """Return which repositories sandboxes are made from, by the node that has them."""
    found: dict[str, set[str]] = {}
    for name in changed:
        if (sandbox := desired.sandboxes.get(name)) is None:
            continue
        found.setdefault(sandbox.gateway.node.id, set()).add(sandbox.gateway.spec.repository)
        for service in sandbox.services.values():
            if isinstance(service.target, Branch):
                found.setdefault(service.node.id, set()).add(service.spec.repository)
    return {node: tuple(sorted(each)) for node, each in sorted(found.items())}
