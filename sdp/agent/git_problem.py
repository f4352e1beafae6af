"""What can go wrong with git, as values: told from its standard error, with what to do about it."""

import dataclasses
import re
from typing import Literal, TypeAlias

from sdp.protocol.frames import Failed

Reason: TypeAlias = Literal[
    "AuthenticationFailed",
    "RepositoryMissing",
    "BranchMissing",
    "CommitMissing",
    "CloneMissing",
    "Unreachable",
    "HostKeyUnknown",
    "CertificateRefused",
    "TransportRefused",
    "PasswordInUrl",
    "HostileName",
    "EscapingSymlink",
    "FileMissing",
    "RefConflict",
    "TimedOut",
    "DiskFull",
    "GitMissing",
    "GitFailed",
    "CredentialsUnusable",
]

RETRYABLE: frozenset[Reason] = frozenset(
    {"Unreachable", "TimedOut", "DiskFull", "GitFailed", "CredentialsUnusable"}
)
"""What may be otherwise a moment later; anything else waits for a person."""

_FIX: dict[Reason, str] = {
    "AuthenticationFailed": "log in again with an account that may read it: sdp login",
    "RepositoryMissing": "check the clone's origin: git remote get-url origin",
    "BranchMissing": "push the branch, or name another one",
    "CommitMissing": "name a commit that is on a branch of the origin",
    "CloneMissing": "clone it there, or correct the path in the agent's file",
    "Unreachable": "check the network between this node and the origin",
    "HostKeyUnknown": "add the host's key to the agent's known_hosts",
    "CertificateRefused": "install the authority that signed the origin's certificate",
    "TransportRefused": "use an https, http, ssh, git or file address as origin",
    "PasswordInUrl": "take it out: git remote set-url origin URL",
    "HostileName": "give it a name that git accepts (git check-ref-format)",
    "EscapingSymlink": "make the link relative and inside the repository",
    "FileMissing": "check the path in platform.yaml",
    "DiskFull": "free space on the node's disk",
    "GitMissing": "install git on the node: apt install git",
}

# In this order: the later ones also appear beside the earlier ones, which say more.
_SIGNS: dict[Reason, str] = {
    "DiskFull": r"no space left on device|disk quota exceeded",
    "BranchMissing": r"couldn't find remote ref",
    "CommitMissing": r"not our ref|unadvertised object|did not send all necessary objects"
    r"|not a valid object name|bad object|not a tree object|unknown revision|not a tree",
    "RefConflict": r"cannot lock ref|refname conflict|some local refs could not be updated",
    "HostKeyUnknown": r"host key verification failed",
    "CertificateRefused": r"certificate (problem|verif)|unable to get local issuer",
    "AuthenticationFailed": r"authentication failed|could not read (username|password)"
    r"|permission denied|invalid (username|credentials)|returned error: 40[13]|access denied",
    "TransportRefused": r"transport '.*' not allowed|unable to find remote helper",
    "RepositoryMissing": r"does not appear to be a git repository|repository.*not found"
    r"|returned error: (404|30\d)|no such remote",
    "CloneMissing": r"not a git repository|cannot change to",
    "Unreachable": r"could not resolve|connect|timed out|unable to access"
    r"|returned error: 5\d\d|hung up|early eof|rpc failed|could not read from remote",
}


@dataclasses.dataclass(frozen=True, slots=True)
class GitProblem:
    """Why git could not do it; ``fix`` is an imperative sentence, or empty."""

    reason: Reason
    message: str
    fix: str
    lines: tuple[str, ...] = ()

    def failed(self) -> Failed:
        """Return it as an action's outcome."""
        return Failed(
            reason=self.reason,
            message=self.message,
            fix=self.fix,
            terminal=self.reason not in RETRYABLE,
            lines=self.lines,
        )


def problem(reason: Reason, message: str, lines: tuple[str, ...] = ()) -> GitProblem:
    """Return a problem with its usual remedy."""
    return GitProblem(reason, message, _FIX.get(reason, ""), lines)


def classify(what: str, lines: tuple[str, ...]) -> GitProblem:
    """Return what git's standard error means; ``what`` says what was tried."""
    text = "\n".join(lines).lower()
    found = (reason for reason, sign in _SIGNS.items() if re.search(sign, text))
    reason: Reason = next(found, "GitFailed")
    telling = [line for line in lines if line.startswith(("fatal:", "error:", "remote:"))]
    said = (telling or [*lines] or ["git said nothing"])[-1]
    return problem(reason, f"{what}: {said}", lines)
