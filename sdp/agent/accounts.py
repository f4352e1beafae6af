"""With whose account an origin is read: a user's that was lent, else the node's own, else nobody's."""

import dataclasses
from typing import Final, Literal, TypeAlias

from sdp.agent.git import Clone
from sdp.agent.git_problem import GitProblem
from sdp.agent.lent import Lent, Opener
from sdp.askpass import Site, site_of
from sdp.protocol.secret import Credentials
from sdp.service_credential import ServiceCredential, Unusable

Needs: TypeAlias = Literal["", "served", "wanted"]
"""Whether an origin asks for a password; ``served``: the node has an account for it."""

_NONE: Final = ServiceCredential()


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """What there is to read one origin with; a GitProblem: something that can't be used.

    ``asks``: it is one that could ask for a password.
    """

    asks: bool
    own: Credentials | GitProblem | None
    lent: Credentials | GitProblem | None

    @property
    def chosen(self) -> Credentials | GitProblem | None:
        return self.lent or self.own

    def needs(self, found: object) -> Needs:
        """Return what a look at the origin tells of what it needs; ``found`` came of it."""
        if isinstance(self.own, Credentials):
            return "served"
        refused = isinstance(found, GitProblem) and found.reason == "AuthenticationFailed"
        return "wanted" if self.asks and (refused or self.lent or self.own) else ""

    def blamed(self, failed: GitProblem) -> GitProblem:
        """Return a refusal with whose credentials were refused, and who can mend that."""
        account = self.chosen
        if failed.reason != "AuthenticationFailed" or not isinstance(account, Credentials):
            return failed
        whose = f"the credentials of {account.user}"
        fix = f"log in again as {account.user}: sdp login"
        if not self.lent:
            whose = f"the service credential {account.user}"
            fix = "correct the file that credentials: in agent.yaml names"
        return dataclasses.replace(failed, message=f"{failed.message} (with {whose})", fix=fix)


class Accounts:
    """The node's own account, and the key to what is lent."""

    def __init__(self, opener: Opener, service: ServiceCredential = _NONE) -> None:
        self._opener = opener
        self._service = service

    async def at(self, clone: Clone, lent: Lent) -> Account:
        """Return what there is to read a clone's origin with."""
        origin = await clone.origin()
        if isinstance(origin, GitProblem):
            return Account(asks=False, own=origin, lent=None)
        site = site_of(origin)
        if site is None:
            return Account(asks=False, own=None, lent=None)
        return Account(asks=True, own=self._own(site), lent=self._opener.open(lent))

    def _own(self, site: Site) -> Credentials | GitProblem | None:
        found = self._service.of(site)
        if isinstance(found, Unusable):
            return GitProblem("CredentialsUnusable", found.message, found.fix)
        return found
