"""Credentials that people lend this agent: opened when they are used, kept nowhere.

The key that they are sealed to is as old as the process, and on no disk: what somebody recorded of
the connection can't be opened once the agent has ended.
"""

import dataclasses

from sdp import clock
from sdp.agent.git_problem import GitProblem
from sdp.protocol import sealed
from sdp.protocol.secret import Credentials
from sdp.sops import identities


@dataclasses.dataclass(frozen=True, slots=True)
class Lent:
    """Sealed credentials as they came, "" for none, and what they came for."""

    text: str
    purpose: str


NOTHING = Lent("", "")


class Opener:
    """Opens what was sealed to this agent."""

    def __init__(self) -> None:
        self._identities = identities.read(identities.generate().secret)

    @property
    def recipient(self) -> str:
        """The public key to seal to."""
        return self._identities.public[0]

    def open(self, lent: Lent) -> Credentials | GitProblem | None:
        """Return whose credentials were lent; None: nobody's were."""
        if not lent.text:
            return None
        try:
            return sealed.unseal(lent.text, self._identities, lent.purpose, clock.now())
        except sealed.UnsealError as error:
            message = f"the credentials that came with this can't be used: {error}"
            fix = "look whether the clocks agree: sdp doctor; then try again: sdp sync"
            return GitProblem("CredentialsUnusable", message, fix)
