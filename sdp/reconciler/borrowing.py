"""Borrowing: whose credentials git operations for a sandbox may use, and what waits for whose. Pure.

They are of who caused the operation: whoever changed the sandbox last, else its owner. Only an
origin that asks for a password which its agent has not makes anything wait; what is fetched and
built already goes on.
"""

from collections.abc import Iterator

from sdp.protocol.report import Repository
from sdp.reconciler.credentials import Lenders, lent_by
from sdp.reconciler.desired import DesiredSandbox
from sdp.reconciler.diff import Obstacle, Version
from sdp.reconciler.draft import Draft, World
from sdp.reconciler.lifecycle import UNTOLD, Lives
from sdp.reconciler.observed import Observed
from sdp.reconciler.steady import followed
from sdp.reconciler.updates import Look
from sdp.spec.models import Roles
from sdp.spec.roles import user_of

WAITING = "WaitingForCredentials"


def borrowers(sandbox: DesiredSandbox, lives: Lives, roles: Roles) -> tuple[str, ...]:
    """Return who has caused what is done for a sandbox, lower-cased, those who count most first."""
    changed = lives.of.get(sandbox.name.lower(), UNTOLD).changed
    author = user_of(changed.author, changed.mail, roles) if changed else ""
    found = (each.lower() for each in (author, sandbox.owner) if each)
    return tuple(dict.fromkeys(found))


def lender(sandbox: str, repository: str, whole: World) -> str:
    """Return whose credentials serve a repository for a sandbox; "" for nobody's.

    Args:
        sandbox: in any case.
        repository: its name.
        whole: knows who is logged in.
    """
    desired, platform = whole.desired.sandboxes.get(sandbox.lower()), whole.desired.platform
    if desired is None or platform is None:
        return ""
    candidates = borrowers(desired, whole.lives, platform.roles)
    return lent_by(candidates, whole.lenders.of(repository))


def needs(node: str, repository: str, observed: Observed) -> Repository | None:
    """Return a repository whose origin asks for a password; None: it is not known to."""
    seen = observed.get(node)
    known = seen.report.repositories.get(repository) if seen and seen.connected else None
    return known if known and known.credentials else None


def looks(whole: World) -> Iterator[tuple[Look, str]]:
    """Yield the origins that can be looked at only with somebody's credentials, and whose."""
    seen: set[Look] = set()
    for name, sandbox in sorted(whole.desired.sandboxes.items()):
        for each in followed(sandbox):
            look = Look(each.node, each.repository)
            known = needs(each.node, each.repository, whole.observed)
            if look in seen or known is None or known.credentials != "wanted":
                continue
            if user := lender(name, each.repository, whole):
                seen.add(look)
                yield look, user


def waits_to_fetch(draft: Draft, service: str, node: str, version: Version) -> bool:
    """Say whose credentials a version waits for, where it has to be fetched with them."""
    seen = draft.world.observed[node].report
    known = seen.repositories.get(version.repository)
    if known is None or version.commit in known.present or version.release in seen.releases:
        return False
    return _waits(draft, service, node, version.repository, f"fetching {version.repository}")


def waits_to_look(draft: Draft, service: str, node: str, obstacle: Obstacle) -> bool:
    """Say whose credentials a look at the origin waits for, where that could tell what to run."""
    if not obstacle.repository:
        return False
    doing = f"looking at {obstacle.repository}"
    return _waits(draft, service, node, obstacle.repository, doing)


def _waits(draft: Draft, service: str, node: str, repository: str, doing: str) -> bool:
    whole = draft.world
    known = needs(node, repository, whole.observed)
    if known is None or known.credentials != "wanted":
        return False
    if lender(draft.sandbox, repository, whole):
        return False
    who = _awaited(draft.sandbox, whole.lenders, whole)
    log_in = f"sdp login --user {who}" if who else "name an owner of the sandbox, who logs in"
    refused = " (those at hand were refused)" if who in whole.lenders.live else ""
    draft.hold(
        service,
        WAITING,
        f"waiting for credentials of {who or 'somebody'}: {doing} needs them{refused}",
        f"{log_in}, or give the agent of {node} a service credential",
    )
    return True


def _awaited(sandbox: str, lenders: Lenders, whole: World) -> str:
    """Return whose login would help soonest: somebody's who is not logged in."""
    desired, platform = whole.desired.sandboxes[sandbox.lower()], whole.desired.platform
    assert platform is not None  # noqa: S101 -- nothing is desired without a platform
    found = borrowers(desired, whole.lives, platform.roles)
    away = (each for each in found if each not in lenders.live)
    return next(away, next(iter(found), ""))
