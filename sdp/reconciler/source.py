"""Source: the config repo's branch, and the specs at a commit, from git's object store alone.

A local repository is watched by its refs; a remote one is mirrored by fetching. The working tree
is never read. What can't be read now is a value with a fix, and is looked at again. Trees are of
what counts at a commit (``authority``), which may be less than what was committed.
"""

import asyncio
import dataclasses
import itertools
import random
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from dulwich.errors import NotGitRepository
from dulwich.refs import Ref
from dulwich.repo import Repo
from watchfiles._rust_notify import RustNotify

from sdp.protocol.secret import Credentials
from sdp.reconciler import authority
from sdp.reconciler.authority import Blobs, Standing
from sdp.reconciler.desired import Revision
from sdp.reconciler.mirror import NO_CREDENTIAL, Mirror, Unavailable, is_remote, no_branch
from sdp.reconciler.objects import commit_of, contents, text_of
from sdp.reconciler.standings import Standings
from sdp.service_credential import ServiceCredential, Unusable
from sdp.spec.load import Cache, load, tree_of
from sdp.spec.tree import Blob, Tree

LOCAL_RECHECK: Final = 5.0
"""Seconds after which a local branch is looked at even if no file event came."""
REMOTE_POLL: Final = 30.0
"""Seconds between two fetches of a remote, give or take 10 %."""
MOST_ANCESTORS: Final = 200


@dataclasses.dataclass(frozen=True, slots=True)
class Head:
    """The branch as last seen: its commit, if any is known, and what is wrong, if anything is."""

    revision: str
    trouble: Unavailable | None = None


class Source:
    """One branch of the config repo."""

    def __init__(
        self,
        location: str,
        branch: str,
        data: Path,
        credential: ServiceCredential = NO_CREDENTIAL,
    ) -> None:
        """Take a path or a URL.

        Args:
            location: path of a repository, bare or not, or the URL of one.
            branch: its name, without refs/heads/.
            data: folder in which a remote's mirror is kept, and which way the branch came.
            credential: what a remote that asks for a password is read with.

        Raises:
            ValueError: the URL carries a password, which git would write to disk.
        """
        self.location = location
        self.branch = branch
        self._path = data / "config.git" if is_remote(location) else Path(location)
        self._mirror: Mirror | None = None
        if is_remote(location):
            self._mirror = Mirror(location, branch, self._path, credential)
        self._ref = Ref(b"refs/heads/" + branch.encode())
        self._cache = Cache()
        self._past: dict[str, tuple[Blob, ...]] = {}
        self._standings = Standings(data)
        self._reading = threading.Lock()
        self._look = threading.Event()

    @property
    def repository(self) -> Path:
        """The repository that is read: the one at a path, or the mirror of a remote."""
        return self._path

    def account(self) -> Credentials | Unusable | None:
        """Return what a remote is read with where nobody's own credentials are at hand."""
        return self._mirror.account() if self._mirror else None

    def refresh(self) -> None:
        """Look at the branch now."""
        self._look.set()

    async def revisions(self) -> AsyncGenerator[Head, None]:
        """Yield the branch's head now, and whenever it, or what is wrong, changes. Endless."""
        thread = ThreadPoolExecutor(1, "source")
        watcher: RustNotify | None = None
        last: Head | None = None
        try:
            while True:
                watcher = watcher or self._watcher()
                self._look.clear()
                head = await asyncio.wrap_future(thread.submit(self.head))
                if head.revision == "" and last is not None:
                    head = dataclasses.replace(head, revision=last.revision)
                if head != last:
                    last = head
                    yield head
                await asyncio.wrap_future(thread.submit(self._pause(watcher)))
        finally:
            self._look.set()
            if watcher is not None:
                # Last in the thread's queue, so that nobody is in the watcher when it closes.
                thread.submit(watcher.close)
            thread.shutdown(wait=False)

    def head(self) -> Head:
        """Look at the branch; of a remote, fetch it first. Blocks."""
        trouble = self._mirror.fetch() if self._mirror else None
        try:
            with Repo(str(self._path)) as repo:
                revision = repo.refs[self._ref].decode()
        except NotGitRepository:
            return Head("", trouble or self._no_repository())
        except KeyError:
            return Head("", trouble or no_branch(self.location, self.branch))
        except OSError as error:
            return Head("", trouble or self._unreadable(error))
        return Head(revision, trouble)

    def standing(self, revision: str) -> Standing:
        """Return what counts at a commit, and what waits for somebody's right. Blocks.

        Raises:
            KeyError: the repository has no such commit.
        """
        with self._reading, Repo(str(self._path)) as repo:
            return self._standings.at(repo, revision)

    def newest(self) -> Standing:
        """Return what counts where the branch is, as far as it was fetched. Blocks.

        Raises:
            NotGitRepository: there is none yet.
        """
        with self._reading, Repo(str(self._path)) as repo:
            tip = repo.refs.read_ref(self._ref)
            return self._standings.at(repo, tip.decode()) if tip else authority.NOTHING

    def text(self, blob: str) -> str:
        """Return a content by its id. Blocks."""
        with self._reading, Repo(str(self._path)) as repo:
            return text_of(repo, blob)

    def tree(self, revision: str) -> Tree:
        """Return the specs that count at a commit. Blocks.

        Raises:
            KeyError: the repository has no such commit.
        """
        with self._reading, Repo(str(self._path)) as repo:
            return self._tree(repo, self._standings.at(repo, revision).accepted)

    def read(self, files: Mapping[str, str]) -> Tree:
        """Return the specs in texts by path, with the past as the repository has it. Blocks."""
        try:
            repo = Repo(str(self._path))
        except (NotGitRepository, OSError):
            return tree_of(files)
        with self._reading, repo:
            return tree_of(files, past=lambda each: self._known(repo, each))

    def history(self, revision: str) -> Iterator[Revision]:
        """Yield a commit and its ancestors, newest first. Blocks.

        Raises:
            KeyError: the repository has no such commit.
        """
        return self._line(revision, 0)

    def ancestors(self, revision: str) -> Iterator[Revision]:
        """Yield older commits of the branch, newest first. Blocks.

        A shallow clone ends where it ends.
        """
        return self._line(revision, 1)

    def _line(self, revision: str, first: int) -> Iterator[Revision]:
        back = self.standing(revision).back()
        for judged, files in itertools.islice(back, first, MOST_ANCESTORS + 1):
            with self._reading, Repo(str(self._path)) as repo:
                message = commit_of(repo, judged.sha).message.decode(errors="replace")
                tree = self._tree(repo, files)
            yield Revision(judged.sha, tree, message if judged.heard else "")

    def _tree(self, repo: Repo, files: Blobs) -> Tree:
        past = lambda each: self._environments(repo, each)  # noqa: E731 -- of this repository
        tree = load(contents(repo, files), self._cache, past)
        self._past = {each: files for each, files in self._past.items() if each in tree.past}
        return tree

    def _environments(self, repo: Repo, revision: str) -> tuple[Blob, ...] | None:
        """Return the environment files of a commit, as far as they ever counted.

        Those that the last tree wants are held.
        """
        if (found := self._known(repo, revision)) is not None:
            self._past[revision] = found
        return found

    def _known(self, repo: Repo, revision: str) -> tuple[Blob, ...] | None:
        """Return the same, and hold nothing: maybe nothing was judged yet."""
        return self._past.get(revision) or self._standings.environments(repo, revision)

    def _pause(self, watcher: RustNotify | None) -> Callable[[], object]:
        """Return what to do in a thread until it is time to look again."""
        if self._mirror:
            spread = 1 + random.uniform(-0.1, 0.1)  # noqa: S311 -- spreads polls, keeps no secret
            return lambda: self._look.wait(REMOTE_POLL * spread)
        if watcher is None:
            return lambda: self._look.wait(LOCAL_RECHECK)
        return lambda: watcher.watch(50, 10, int(LOCAL_RECHECK * 1000), self._look)

    def _watcher(self) -> RustNotify | None:
        if self._mirror:
            return None
        try:
            with Repo(str(self._path)) as repo:
                refs = Path(repo.commondir()) / "refs"
            return RustNotify(
                [str(refs)],
                debug=False,
                force_polling=False,
                poll_delay_ms=300,
                recursive=True,
                ignore_permission_denied=True,
            )
        except (NotGitRepository, OSError):
            return None

    def _no_repository(self) -> Unavailable:
        return Unavailable(
            "ConfigRepoMissing",
            f"{self.location} is no git repository",
            f"make one: git init --bare {self.location}",
        )

    def _unreadable(self, error: OSError) -> Unavailable:
        return Unavailable(
            "ConfigRepoUnavailable",
            f"can't read {self.location}: {error}",
            "let the control plane's user read the repository",
        )
