"""Checks of platform.yaml's roles: what is no error, and hardly meant."""

from collections.abc import Iterator, Sequence

from sdp.spec import yaml
from sdp.spec.models import Platform
from sdp.spec.tree import File, Problem


def roles(file: File[Platform]) -> Iterator[Problem]:
    """Yield warnings about names that are the same in another case, and keys that are missing."""
    said = file.spec.roles
    yield from _again(file, ("roles", "users"), [*said.users])
    for name, group in said.groups.items():
        yield from _again(file, ("roles", "groups", name, "members"), group.members)
    if said.require_signed_commits and not any(each.keys for each in said.users.values()):
        where = file.key_position(("roles", "require_signed_commits"))
        message = (
            "signatures are required, and no user has keys: no commit counts any more; "
            "list them: users: {NAME: {keys: [ssh-ed25519 AAAA…]}}"
        )
        yield Problem(file.path, *where, message, "warning")


def _again(file: File[Platform], loc: yaml.Loc, names: Sequence[str]) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        before = first.setdefault(name.lower(), index)
        if before != index:
            listed = loc[-1] == "members"
            key = (*loc, index) if listed else (*loc, name)
            where = file.position(key) if listed else file.key_position(key)
            message = (
                f"found '{name}' after '{names[before]}': users' names are the same in any case"
            )
            yield Problem(file.path, *where, message, "warning")
