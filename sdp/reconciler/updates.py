"""Updates: which newer commits a person's word lets in, and why there are none. Pure."""

import dataclasses
from collections.abc import Collection, Iterable

from sdp.reconciler.desired import Branch, Desired, DesiredSandbox
from sdp.reconciler.draft import World
from sdp.reconciler.history import Choice
from sdp.reconciler.observed import Observed
from sdp.reconciler.refusal import Refusal
from sdp.reconciler.steady import Followed, Moved, followed
from sdp.spec import names


@dataclasses.dataclass(frozen=True, slots=True)
class Update:
    """A service, or the gateway, goes from one commit of its branch to the newest."""

    sandbox: str
    service: str
    branch: str
    before: str
    after: str


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """A repository's origin, as a node is asked to look at it."""

    node: str
    repository: str


def looks(desired: Desired, name: str, service: str) -> frozenset[Look]:
    """Return the origins that tell what is new for a sandbox, or for one service of it."""
    sandbox = desired.sandboxes.get(name.lower())
    manual = _manual(sandbox, service) if sandbox else []
    return frozenset(Look(each.node, each.repository) for each in manual)


def updates(
    whole: World, name: str, service: str, unseen: Collection[Look]
) -> tuple[Update, ...] | Refusal:
    """Return what would be updated; never nothing.

    Args:
        whole: everything as of now.
        name: a sandbox, in any case.
        service: one of its services, or its gateway; "" means all.
        unseen: the origins that were not looked at afresh, though that was asked for.
    """
    sandbox = whole.desired.sandboxes.get(name.lower())
    if sandbox is None:
        return Refusal("Leaving", f"{name} has left the config repo", f"see sdp explain {name}")
    manual = _manual(sandbox, service)
    if not manual:
        return _nothing_manual(sandbox, service)
    for each in manual:
        if refusal := _blind(each, whole.observed, unseen):
            return refusal
    found = [
        Update(sandbox.name, each.service, each.branch.name, stay.commit, stay.tip)
        for each in manual
        if (stay := each.branch.stay) and stay.tip not in {"", stay.commit}
    ]
    return tuple(found) or _nothing_new(sandbox, manual)


def choices(made: Iterable[Update]) -> Moved:
    """Return the choices that updates are."""
    return {(each.sandbox, each.service): Choice(each.branch, each.after) for each in made}


def _manual(sandbox: DesiredSandbox, service: str) -> list[Followed]:
    mine = (each for each in followed(sandbox) if service in {"", each.service})
    return [each for each in mine if each.branch.manual]


def _nothing_manual(sandbox: DesiredSandbox, service: str) -> Refusal:
    pinned = [(name, branch) for name, branch in _branches(sandbox, service) if branch.commit]
    if pinned and all(branch.manual for _, branch in pinned):
        return _pinned(sandbox.name, *pinned[0])
    what = f"{service} of {sandbox.name}" if service else f"nothing of {sandbox.name}"
    how = "follows no branch by hand" if service else "follows a branch by hand"
    one = service not in {"", names.GATEWAY}
    key = f"services.{service}.update" if one else f"{service}.update".removeprefix(".")
    return Refusal(
        "NothingManual",
        f"{what} {how}: newer commits are deployed by themselves, or are of no use to it",
        f"to let them wait for a person: sdp set {sandbox.name} {key}=manual",
    )


def _branches(sandbox: DesiredSandbox, service: str) -> list[tuple[str, Branch]]:
    """Return what a sandbox runs itself: the gateway and services, or one of them."""
    targets = {names.GATEWAY: sandbox.gateway.branch}
    targets |= {n: e.target for n, e in sandbox.services.items() if isinstance(e.target, Branch)}
    return [(name, branch) for name, branch in targets.items() if service in {"", name}]


def _pinned(sandbox: str, service: str, branch: Branch) -> Refusal:
    at, newer = (branch.commit or "")[:7], f", whatever is newer on {branch.name}"
    key = service if service == names.GATEWAY else f"services.{service}"
    return Refusal(
        "NothingManual",
        f"{service} of {sandbox} is pinned at {at}{newer if branch.name else ''}",
        "undo the rollback: sdp revert COMMIT; or let it alone follow its branch again: "
        f"sdp set {sandbox} --unset {key}.commit",
    )


def _blind(each: Followed, observed: Observed, unseen: Collection[Look]) -> Refusal | None:
    """Return why nobody can tell what is new, where that is so."""
    seen = observed.get(each.node)
    if seen is None or not seen.connected:
        message = f"node {each.node} does not report, so nobody knows what is new"
        return Refusal("NodeSilent", message, f"look at its agent: sdp nodes {each.node}")
    known = seen.report.repositories.get(each.repository)
    if known is not None and known.error:
        fix = f"mend {each.repository} on {each.node}"
        return Refusal("RepositoryUnavailable", f"{each.repository}: {known.error}", fix)
    if Look(each.node, each.repository) in unseen and known and known.credentials == "wanted":
        message = f"the origin of {each.repository} asks for a password, and none was at hand"
        return Refusal("WaitingForCredentials", message, "log in: sdp login; then try again")
    if Look(each.node, each.repository) in unseen:
        message = f"{each.node} has not looked at the origin of {each.repository} in time"
        return Refusal("NotLooked", message, f"try again; see sdp nodes {each.node}")
    return None


def _nothing_new(sandbox: DesiredSandbox, manual: Collection[Followed]) -> Refusal:
    told = ", ".join(f"{each.service} ({_at(each)})" for each in manual)
    return Refusal(
        "NothingNew",
        f"nothing newer is there for {told}",
        f"push a commit first; see where it is: sdp status {sandbox.name}",
    )


def _at(each: Followed) -> str:
    stay = each.branch.stay
    if stay is None:
        return f"{each.branch.name}, not deployed yet"
    gone = "deleted branch " if stay.why == "deleted" else ""
    return f"{gone}{each.branch.name} @ {stay.commit[:7]}"
