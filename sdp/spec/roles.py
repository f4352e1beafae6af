"""Roles: who may do what, in one table that everything asks. Pure.

The API, the commands, the page and the loop, which judges commits by their authors, come here.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from sdp.spec.models import Role, Roles

Permission: TypeAlias = Literal[
    "view",
    "deploy",
    "delete sandboxes",
    "manage routes",
    "manage templates",
    "manage environments",
    "read secret names",
    "administer",
]

ITSELF: Final = "sdp"
"""The user name of the platform, for what no person did."""

_QA: Final[frozenset[Permission]] = frozenset({"view", "deploy", "manage routes"})
_BACKEND: Final[frozenset[Permission]] = _QA | {
    "delete sandboxes",
    "manage templates",
    "manage environments",
    "read secret names",
}
TABLE: Final[Mapping[Role, frozenset[Permission]]] = {
    "VIEWER": frozenset({"view"}),
    "QA": _QA,
    "BACKEND": _BACKEND,
    "ADMIN": _BACKEND | {"administer"},
}
"""What each role may do, from the least to the most."""

OWNERS: Final[frozenset[Permission]] = frozenset({"deploy", "delete sandboxes", "manage routes"})
"""What everybody may do with the sandboxes that they own."""

_ITS_OWN: Final[frozenset[Permission]] = frozenset({"view", "delete sandboxes"})
"""What the platform does by itself: it removes the files of sandboxes that nobody uses."""

_RANK: Final = tuple(TABLE)
_USER: Final = re.compile(r"[a-z0-9]([a-z0-9._+-]{0,98}[a-z0-9])?")
_LOGIN: Final = re.compile(r"[a-z0-9]([a-z0-9._@+-]{0,98}[a-z0-9])?")
"""What may stand before an address' last @: with another one, who logs in with an address."""


@dataclasses.dataclass(frozen=True, slots=True)
class Person:
    """Who asks: a name to log in with, and the role that it has; "" is nobody known."""

    user: str
    role: Role


def person(user: str, roles: Roles) -> Person:
    """Return a user with their role: their own, else their groups' highest, else the default.

    Args:
        user: a name to log in with, in any case.
        roles: the platform's.
    """
    return Person(user, _role(user.lower(), roles) if has_admin(roles) else "ADMIN")


def user_of(name: str, mail: str, roles: Roles) -> str:
    """Return whose commit it is: who has the address, or by its form could; "" is nobody known.

    A commit's author is what its maker claims, unless it is signed.

    Args:
        name: the author's, as git has it.
        mail: the author's address.
        roles: the platform's.
    """
    address = mail.lower()
    for user, each in roles.users.items():
        if address in _lowered(each.emails):
            return user
    local = address.rpartition("@")[0] or address
    listed = {user.lower() for user, each in roles.users.items() if each.emails}
    forms = ((_LOGIN, local), (_USER, name.lower()))
    likely = next((each for form, each in forms if form.fullmatch(each)), "")
    return "" if likely in listed else likely


def author(user: str, roles: Roles, instance: str) -> str:
    """Return a user as the author of a commit, ``Name <mail>``; ``user_of`` gives the user back.

    Args:
        user: a name to log in with.
        roles: the platform's.
        instance: the platform's name.
    """
    named = {name.lower(): each.emails for name, each in roles.users.items() if each.emails}
    return f"{user} <{next(iter(named.get(user.lower(), ())), f'{user}@{instance}')}>"


def may(who: Person, permission: Permission, owner: str = "") -> bool:
    """Whether somebody may do something.

    Args:
        who: the person.
        permission: what it takes.
        owner: of the sandbox that it is about, if it is about one.
    """
    if who.user.lower() == ITSELF:
        return permission in _ITS_OWN
    owns = bool(owner) and owner.lower() == who.user.lower() and permission in OWNERS
    return owns or permission in TABLE[who.role]


def has_admin(roles: Roles) -> bool:
    """Whether anybody is bound to ADMIN; somebody has to be able to bind the first one.

    The platform itself is nobody: whatever role it is given, it administers nothing.
    """
    named = {user.lower() for user in roles.users}
    named.update(*(_lowered(each.members) for each in roles.groups.values()))
    bound = any(_role(user, roles) == "ADMIN" for user in named - {ITSELF})
    return bound or roles.default == "ADMIN"


def _role(user: str, roles: Roles) -> Role:
    own = next((each.role for name, each in roles.users.items() if name.lower() == user), None)
    if own is not None:
        return own
    groups = [each.role for each in roles.groups.values() if user in _lowered(each.members)]
    return max(groups, key=_RANK.index, default=roles.default)


def _lowered(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(each.lower() for each in names)
