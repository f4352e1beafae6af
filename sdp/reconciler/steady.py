"""Steady: which branches stay at a commit that no spec pins, and which commit that is. Pure.

A branch stays where a person lets newer commits in, where it was deleted, and where its origin
can't be looked at. It stays at the commit that was chosen last; what a person did not choose, the
containers' labels prove, so that a lost database moves nothing.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, TypeAlias

from sdp.protocol.report import Container, Repository
from sdp.reconciler import observed as observation
from sdp.reconciler.desired import Branch, Desired, DesiredSandbox, Stay
from sdp.reconciler.diff import rank
from sdp.reconciler.history import Choice, Chosen
from sdp.reconciler.observed import Observed
from sdp.spec import names

Moved: TypeAlias = Mapping[tuple[str, str], Choice | None]
"""Choices that are new; None: there is none any more."""


@dataclasses.dataclass(frozen=True, slots=True)
class Followed:
    """A service of a sandbox, or its gateway, that follows a branch of a repository on a node."""

    service: str
    branch: Branch
    repository: str
    node: str


@dataclasses.dataclass(frozen=True, slots=True)
class Note:
    """What a person should know of a branch that is followed; nothing waits for it."""

    kind: Literal["Notice", "Warning"]
    service: str
    reason: str
    message: str
    fix: str


def followed(sandbox: DesiredSandbox) -> Iterator[Followed]:
    """Yield what of a sandbox follows a branch, the gateway first."""
    gateway = sandbox.gateway
    if gateway.branch.commit is None:
        repository, node = gateway.spec.repository, gateway.node.id
        yield Followed(names.GATEWAY, gateway.branch, repository, node)
    for name, service in sandbox.services.items():
        if isinstance(service.target, Branch) and service.target.commit is None:
            yield Followed(name, service.target, service.spec.repository, service.node.id)


def steady(desired: Desired, observed: Observed, chosen: Chosen) -> Desired:
    """Return what is desired, with the branches marked that stay, and where.

    Args:
        desired: what the specs say.
        observed: knows the branches' tips.
        chosen: at which commits services are.
    """
    if not chosen:
        return desired
    stay = {
        key: changed
        for key, sandbox in desired.sandboxes.items()
        if (changed := _steady(sandbox, observed, chosen)) is not sandbox
    }
    if not stay:
        return desired
    return dataclasses.replace(desired, sandboxes={**desired.sandboxes, **stay})


def moves(desired: Desired, sandboxes: Iterable[str], observed: Observed, chosen: Chosen) -> Moved:
    """Return at which commits services are now, where that is news.

    By hand, what was chosen counts until another branch is named; else what was found healthy.

    Args:
        desired: what the specs say.
        sandboxes: those to look at, by lower-cased name.
        observed: shows what runs.
        chosen: at which commits services were.
    """
    found: dict[tuple[str, str], Choice | None] = {}
    for name in desired.sandboxes.keys() & frozenset(sandboxes):
        found |= _moved(desired.sandboxes[name], observed, chosen)
    return found


def choose(chosen: Chosen, moved: Moved) -> Chosen:
    """Return the choices with those that are new."""
    known = {**chosen, **moved}
    return {key: choice for key, choice in known.items() if choice is not None}


def _moved(sandbox: DesiredSandbox, observed: Observed, chosen: Chosen) -> Moved:
    known = {service: chosen.get((sandbox.name, service)) for service in _services(sandbox)}
    found: dict[str, Choice | None] = dict.fromkeys(known)
    for each in followed(sandbox):
        held = observation.held(observed, each.node, sandbox.name).containers
        mine = [c for c in held if (c.service, c.branch) == (each.service, each.branch.name)]
        found[each.service] = _choice(each.branch, mine, known[each.service])
    return {(sandbox.name, k): choice for k, choice in found.items() if choice != known[k]}


def _services(sandbox: DesiredSandbox) -> tuple[str, ...]:
    return (names.GATEWAY, *sandbox.services)


def notes(sandbox: DesiredSandbox, observed: Observed) -> Iterator[Note]:
    """Yield what a person should know of the branches that a sandbox follows."""
    for each in followed(sandbox):
        stay, known = each.branch.stay, _repository(each, observed)
        if stay is not None:
            yield from _notes(sandbox.name, each, stay)
        told = _untold(known) if known is not None else ""
        if known is not None and told and (stay or each.branch.name in known.branches):
            message = f"newer commits can't be seen: {told}"
            fix = f"mend {each.repository} on {each.node}"
            yield Note("Warning", each.service, "RepositoryUnavailable", message, fix)


def _untold(known: Repository) -> str:
    """Return why a repository's branches can't be seen, where that is so."""
    waits = "its origin asks for a password, and nobody who may is logged in"
    return known.error or (waits if known.unseen else "")


def words(before: str, after: str) -> str:
    """Return the words for a newer commit that waits."""
    return f"update available {before[:7]} → {after[:7]}"


def _choice(branch: Branch, mine: list[Container], known: Choice | None) -> Choice | None:
    proved = [each for each in mine if each.admitted]
    healthy = any(each.health == "healthy" for each in proved)
    if known is not None and known.branch == branch.name and (branch.manual or not healthy):
        return known
    best = min(proved, key=rank, default=None)
    return Choice(branch.name, best.commit) if best else None


def _steady(sandbox: DesiredSandbox, observed: Observed, chosen: Chosen) -> DesiredSandbox:
    stays: dict[str, Branch] = {}
    for each in followed(sandbox):
        known = chosen.get((sandbox.name, each.service))
        if known is not None and known.branch == each.branch.name:
            stay = _stay(each, known.commit, observed)
            if stay is not None:
                stays[each.service] = dataclasses.replace(each.branch, stay=stay)
    if not stays:
        return sandbox
    services = {
        name: dataclasses.replace(service, target=stays[name]) if name in stays else service
        for name, service in sandbox.services.items()
    }
    branch = stays.get(names.GATEWAY, sandbox.gateway.branch)
    gateway = dataclasses.replace(sandbox.gateway, branch=branch)
    return dataclasses.replace(sandbox, gateway=gateway, services=services)


def _repository(each: Followed, observed: Observed) -> Repository | None:
    seen = observed.get(each.node)
    return seen.report.repositories.get(each.repository) if seen else None


def _stay(each: Followed, commit: str, observed: Observed) -> Stay | None:
    known = _repository(each, observed)
    tip = known.branches.get(each.branch.name, "") if known else ""
    if known is not None and not tip and _looked(known):
        return Stay(commit, "deleted", "")
    if each.branch.manual:
        return Stay(commit, "manual", tip)
    if known is not None and not tip and _untold(known):
        return Stay(commit, "unseen", "")
    return None


def _looked(known: Repository) -> bool:
    """Whether the origin was seen; one without any branch is more likely the wrong one."""
    return not known.error and bool(known.branches)


def _notes(sandbox: str, each: Followed, stay: Stay) -> Iterator[Note]:
    name, at = each.branch.name, stay.commit[:7]
    if stay.why == "deleted":
        message = f"its branch {name} is gone from {each.repository}; it stays at {at}"
        key = each.service if each.service == names.GATEWAY else f"services.{each.service}"
        pin = f"sdp set {sandbox} {key}.commit={stay.commit}"
        fix = f"push {name} again, name another branch, or pin the commit: {pin}"
        yield Note("Warning", each.service, "BranchDeleted", message, fix)
    elif stay.why == "manual" and stay.tip not in {"", stay.commit}:
        message, fix = words(stay.commit, stay.tip), f"sdp update {sandbox}/{each.service}"
        yield Note("Notice", each.service, "UpdateAvailable", message, fix)
