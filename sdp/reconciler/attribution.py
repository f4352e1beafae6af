"""Attribution: who is behind what is brought about. Pure.

A person is, from their commit until it is brought about; after that the platform itself is, which
follows branches, heals, and lets go what nobody uses.
"""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from sdp.reconciler.lifecycle import LastChange, Lives
from sdp.spec.models import Roles
from sdp.spec.roles import ITSELF, user_of

Attribution: TypeAlias = Mapping[str, str]
"""Lower-cased sandbox → the user whose change is being brought about; "" is nobody known."""


def attribute(
    known: Attribution, changed: Iterable[str], before: Lives, now: Lives, roles: Roles
) -> Attribution:
    """Return who is behind what, after a commit.

    Where a sandbox's own file did not change, it was what many share: then the newest commit's
    author is taken for it, and for those whose file is gone.

    Args:
        known: as of before.
        changed: the sandboxes that are not as they were, by lower-cased name.
        before: what git said of sandboxes before.
        now: what it says now.
        roles: which tell users by their mail.
    """
    made: dict[str, str] = {}
    for name in changed:
        earlier, life = before.of.get(name), now.of.get(name)
        own = life.changed if life else None
        if earlier is not None and earlier.changed == own:
            own = None
        made[name] = _user(own or now.newest, roles)
    return {**known, **made}


def behind(known: Attribution, sandbox: str) -> str:
    """Return who is behind what is being done for a sandbox."""
    return known.get(sandbox.lower(), ITSELF)


def _user(change: LastChange | None, roles: Roles) -> str:
    return user_of(change.author, change.mail, roles) if change else ""
