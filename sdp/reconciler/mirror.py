"""Mirror: a remote config repo's branch, brought here by fetching it. Blocks; keeps no password."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from dulwich.client import HTTPUnauthorized, get_transport_and_path
from dulwich.config import ConfigDict
from dulwich.errors import GitProtocolError, HangupException, NotGitRepository
from dulwich.gc import maybe_auto_gc
from dulwich.objects import ObjectID
from dulwich.refs import Ref
from dulwich.repo import Repo
from urllib3.exceptions import HTTPError

from sdp.askpass import site_of
from sdp.protocol.secret import Credentials
from sdp.service_credential import ServiceCredential, Unusable

NO_CREDENTIAL: Final = ServiceCredential()
_FETCH_TIMEOUT = b"30"
_SCP_LIKE = re.compile(r"[\w.-]+@[\w.-]+:.+")


@dataclasses.dataclass(frozen=True, slots=True)
class Unavailable:
    """Why the branch can't be read now, and what to do about it."""

    reason: str
    message: str
    fix: str


class Mirror:
    """A bare repository with what was fetched last."""

    def __init__(
        self, location: str, branch: str, path: Path, credential: ServiceCredential
    ) -> None:
        """Take the remote's URL and branch, where the mirror is, and what the remote is read with.

        Raises:
            ValueError: the URL carries a password, which git would write to disk.
        """
        if has_credentials(location):
            raise ValueError(
                "the config repo's URL contains credentials: take them out of it, and give them "
                "with --config-credentials FILE"
            )
        self._location = location
        self._branch = branch
        self._path = path
        self._ref = Ref(b"refs/heads/" + branch.encode())
        self._credential = credential

    def account(self) -> Credentials | Unusable | None:
        """Return what the remote is read with where nobody's own credentials are at hand."""
        site = site_of(self._location)
        return self._credential.of(site) if site else None

    def fetch(self) -> Unavailable | None:
        """Bring the mirror to where the remote's branch is; return why that failed."""
        account = self.account()
        if isinstance(account, Unusable):
            return Unavailable("ConfigCredentialsUnusable", account.message, account.fix)
        try:
            with self._mirror() as mirror:
                return self._fetch_into(mirror, account)
        except HTTPUnauthorized:
            return self._refused(account)
        except (GitProtocolError, HangupException, NotGitRepository, HTTPError, OSError) as error:
            return Unavailable(
                "ConfigRepoUnavailable",
                f"can't fetch {self._location}: {str(error) or type(error).__name__}",
                f"check that this machine reaches {self._location} and may read it",
            )

    def _refused(self, account: Credentials | None) -> Unavailable:
        whose = f"does not take the credentials of {account.user}" if account else "asks for some"
        return Unavailable(
            "ConfigRepoRefused",
            f"can't fetch {self._location}: it {whose}",
            "give an account that may read it: sdp serve --config-credentials FILE",
        )

    def _fetch_into(self, mirror: Repo, account: Credentials | None) -> Unavailable | None:
        config = ConfigDict()
        config.set((b"http",), b"timeout", _FETCH_TIMEOUT)
        client, path = get_transport_and_path(
            self._location,
            config=config,
            quiet=True,
            username=account.user if account else None,
            password=account.secret.reveal() if account else None,
        )

        def wanted(refs: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:
            _ = depth
            tip = refs.get(self._ref)
            return [] if tip is None or tip in mirror.object_store else [tip]

        found = client.fetch(path, mirror, determine_wants=wanted)
        tip = found.refs.get(self._ref)
        if tip is None:
            return no_branch(self._location, self._branch)
        if mirror.refs.read_ref(self._ref) != tip:
            mirror.refs[self._ref] = tip
            maybe_auto_gc(mirror)
        return None

    def _mirror(self) -> Repo:
        if not (self._path / "objects").is_dir():
            return Repo.init_bare(str(self._path), mkdir=not self._path.is_dir())
        return Repo(str(self._path))


def no_branch(location: str, branch: str) -> Unavailable:
    """Return that a repository has no such branch."""
    return Unavailable(
        "ConfigBranchMissing",
        f"{location} has no branch {branch}",
        f"push a commit to {branch}, or serve another branch with --branch",
    )


def is_remote(location: str) -> bool:
    """Tell whether a config repo's location is a URL rather than a path."""
    return "://" in location or _SCP_LIKE.fullmatch(location) is not None


def has_credentials(url: str) -> bool:
    """Tell whether a URL carries a secret; ssh's user name alone is none."""
    parts = urlsplit(url)
    return bool(parts.password or (parts.username and parts.scheme in {"http", "https"}))
