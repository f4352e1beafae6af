"""Guard: which deletions wait for a person, and which ports may be given back. Pure."""

import dataclasses
from collections.abc import Collection, Iterable, Mapping

from sdp.reconciler import observed as observation
from sdp.reconciler.departure import Departure, is_mass
from sdp.reconciler.desired import Branch, Desired
from sdp.reconciler.draft import Hold, World
from sdp.reconciler.observed import Observed
from sdp.reconciler.ports import Lease, Leases, pins, preempted, rebuild
from sdp.spec import names


@dataclasses.dataclass(frozen=True, slots=True)
class Word:
    """What is known of people's wishes about the sandboxes that nobody desires, by name.

    Attributes:
        departures: what git says of them.
        before: names that were held as too many at once; they stay held.
        confirmed: names that a person let go one by one.
        let_go: commit → the names that it has let go; they count, also once they are gone.
    """

    departures: Mapping[str, Departure]
    before: Collection[str] = ()
    confirmed: Collection[str] = ()
    let_go: Mapping[str, Collection[str]] = dataclasses.field(default_factory=dict)


def leaving(whole: World) -> frozenset[str]:
    """Return the sandboxes that are there and that nobody desires, by lower-cased name."""
    return observation.sandboxes(whole.observed) - whole.desired.sandboxes.keys()


def held_deletions(whole: World, word: Word) -> dict[str, Hold]:
    """Return why sandboxes that nobody desires any more stay, by lower-cased name.

    ``protect`` is lifted by nothing but the file. An emptied tree is an accident of the repository
    and not of one sandbox, so only a commit's own word lets its sandboxes go.
    """
    gone = leaving(whole)
    held = {name: _own_hold(name, whole, word) for name in gone}
    holds = {name: hold for name, hold in held.items() if hold is not None}
    allowed = frozenset(name for names in allowed_by(whole, word).values() for name in names)
    going = _asked(whole, word) - allowed
    if whole.desired.emptied:
        return holds | {name: _emptied(name, len(going), word) for name in going}
    by_emptying = frozenset(name for name in going if _departure(name, word).emptied)
    holds |= {name: _was_emptied(name, len(going)) for name in by_emptying}
    going -= by_emptying
    return holds | {name: _too_many(name, len(going), _every(whole), word) for name in going}


def _every(whole: World) -> int:
    return len(whole.desired.sandboxes) + len(leaving(whole))


def _own_hold(name: str, whole: World, word: Word) -> Hold | None:
    """Return why a sandbox stays whatever a commit lets go, if it does."""
    departure = _departure(name, word)
    if departure.protected:
        return _protected(name)
    return None if departure.explained or name in _confirmed(whole, word) else _unexplained(name)


def _confirmed(whole: World, word: Word) -> frozenset[str]:
    return frozenset(() if whole.desired.emptied else word.confirmed)


def _asked(whole: World, word: Word) -> frozenset[str]:
    """Return the sandboxes whose deletion is a question of how many go.

    Of what is committed, the commit that removed it says whether it left with too many: one that
    left alone goes on going, whatever leaves next. What is not committed yet is counted.
    """
    going = leaving(whole) - _confirmed(whole, word)
    going = frozenset(name for name in going if _own_hold(name, whole, word) is None)
    if whole.desired.emptied:
        return going
    said = {name: _departure(name, word) for name in going}
    fresh = frozenset(name for name in going if not said[name].seen)
    many = fresh if is_mass(len(fresh), _every(whole)) else frozenset[str]()
    left = frozenset(name for name in going if said[name].mass or said[name].emptied)
    return many | left | (going & frozenset(word.before))


def allowed_by(whole: World, word: Word) -> dict[str, frozenset[str]]:
    """Return which sandboxes each commit lets go.

    Where they are more than it says, only those that it has let go before.
    """
    asked: dict[str, set[str]] = {}
    most: dict[str, int] = {}
    for name in _asked(whole, word):
        for commit, number in _departure(name, word).allowances.items():
            asked.setdefault(commit, set()).add(name)
            most[commit] = number
    before = {commit: frozenset(word.let_go.get(commit, ())) for commit in asked}
    return {
        commit: frozenset(names) & before[commit]
        if len(names | before[commit]) > most[commit]
        else frozenset(names)
        for commit, names in asked.items()
    }


def _departure(name: str, word: Word) -> Departure:
    return word.departures.get(name, Departure(""))


def _protected(name: str) -> Hold:
    return Hold(
        name,
        "",
        "Protected",
        f"{name} was protected when its file was removed",
        f"to let it go, bring its file back: sdp revert COMMIT; then: sdp protect {name} --off, and "
        f"sdp delete {name}",
    )


def _unexplained(name: str) -> Hold:
    return Hold(
        name,
        "",
        "NotInHistory",
        f"{name} is there, and none of the last commits of the config repo tells of it, so nobody "
        "knows whether it was protected",
        f"let it go: sdp sync {name}; or bring its file back",
    )


def _too_many(name: str, number: int, every: int, word: Word) -> Hold:
    return Hold(
        name,
        "",
        "MassDeletion",
        f"{name} is one of {number} of {every} sandboxes that would go at once"
        + _too_few_allowed(name, number, word),
        f"let them go: sdp apply --allow-deletes {number}; or this one: sdp sync {name}; "
        "or bring its file back",
    )


def _emptied(name: str, number: int, word: Word) -> Hold:
    return Hold(
        name,
        "",
        "EmptyTree",
        f"the config repo has no platform.yaml and no sandbox left, and {name} would go with them"
        + _too_few_allowed(name, number, word),
        f"bring the files back: git revert; or let them go: sdp apply --allow-deletes {number}",
    )


def _was_emptied(name: str, number: int) -> Hold:
    return Hold(
        name,
        "",
        "EmptyTree",
        f"{name} left with a commit that emptied the config repo, and did not come back since",
        f"bring its file back; or let it go: sdp sync {name}; "
        f"or all of them: sdp apply --allow-deletes {number}",
    )


def _too_few_allowed(name: str, number: int, word: Word) -> str:
    allowances = _departure(name, word).allowances
    if not allowances:
        return ""
    commit, most = max(allowances.items(), key=lambda each: each[1])
    who = f"commit {commit[:7]}" if commit else "it"
    return f"; {who} allows {most}, {number} would go"


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
        and not preempted(lease, reserved)
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
