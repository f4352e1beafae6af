"""The init command: a config repo to serve, and a clone of it to work in.

Both are made beside their places and moved there whole: what fails leaves nothing behind.
"""

import dataclasses
import importlib.resources
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer
from dulwich.config import StackedConfig
from dulwich.refs import Ref
from dulwich.repo import Repo, get_user_identity
from pydantic import TypeAdapter, ValidationError

from sdp.cli import context as cli
from sdp.reconciler.git import RemoteAt, RemoteFailed, push
from sdp.spec.forms import Identifier

BRANCH: Final = "main"
HOOKS: Final = "hooks"
SUBJECT: Final = "Begin the sandboxes of {}"
_NAME: Final[TypeAdapter[str]] = TypeAdapter(Identifier)
_PLATFORM = "{{platform}}"


@dataclasses.dataclass(frozen=True, slots=True)
class Places:
    """Where the two repositories are to be, absolute."""

    clone: Path
    bare: Path


@dataclasses.dataclass(frozen=True, slots=True)
class Made:
    """A config repo that was made, and what to do with it."""

    directory: str
    bare: str
    platform: str
    revision: str
    serve: str
    agent: str


def init(
    directory: Annotated[Path, typer.Argument(help="Folder to work in; new, or empty.")],
    bare: Annotated[
        Path | None, typer.Option(help="The repository to serve; default: DIRECTORY.git.")
    ] = None,
    platform: Annotated[
        str | None, typer.Option(help="The platform's name; default: the folder's.")
    ] = None,
    *,
    as_json: cli.AsJson = False,
) -> None:
    """Start a config repo: a bare repository to serve, and a clone with commented examples.

    The clone has a pre-commit hook that validates, and a pipeline that shows a pull request's
    plan. The first commit is made in your git identity.

    Examples: `sdp init config`; `sdp init ~/config --bare /srv/sdp/config.git --platform acme`.
    """
    places = Places(directory.resolve(), _bare(directory, bare))
    named = platform or directory.resolve().name
    _refuse(places, named)
    try:
        revision = _make(places, named, _identity())
    except OSError as error:
        cli.fail(f"{error.filename or directory} can't be written: {error.strerror}")
    made = Made(
        directory=str(places.clone),
        bare=str(places.bare),
        platform=named,
        revision=revision,
        serve=f"sdp serve --config-repo {places.bare} --data-dir /var/lib/sdp",
        agent="sdp agent --config /etc/sdp/agent.yaml --enroll",
    )
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(made), indent=2))
    else:
        typer.echo(_told(made))


def scaffold(platform: str) -> Iterator[tuple[str, bytes, int]]:
    """Yield the files of a new config repo: path, content and mode."""
    root = importlib.resources.files("sdp.cli") / "scaffold"
    with importlib.resources.as_file(root) as folder:
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            name = path.relative_to(folder).as_posix()
            content = path.read_text(encoding="utf-8").replace(_PLATFORM, platform)
            yield name, content.encode(), 0o755 if name.startswith(f"{HOOKS}/") else 0o644


def _bare(directory: Path, bare: Path | None) -> Path:
    resolved = directory.resolve()
    return bare.resolve() if bare else resolved.with_name(f"{resolved.name}.git")


def _refuse(places: Places, platform: str) -> None:
    """End where there is something already, or a name can't be one."""
    try:
        _NAME.validate_python(platform)
    except ValidationError:
        cli.fail(
            f"{platform!r} can't be a platform's name",
            "give --platform: 1 to 64 letters, digits and inner . _ -",
        )
    if places.clone == places.bare or places.clone in places.bare.parents:
        cli.fail(
            f"{places.bare} would be inside of {places.clone}", "name another place with --bare"
        )
    for place in (places.clone, places.bare):
        if place.exists() and not (place.is_dir() and not any(place.iterdir())):
            cli.fail(f"{place} is there and not empty", "name a folder that is new, or empty")
        if not place.parent.is_dir():
            cli.fail(f"there is no folder {place.parent}", f"make it: mkdir -p {place.parent}")


def _identity() -> bytes:
    config = StackedConfig.default()
    asked = {key: f"GIT_AUTHOR_{key.upper()}" for key in ("name", "email")}
    for key, variable in asked.items():
        try:
            config.get((b"user",), key.encode())
        except KeyError:
            if not os.environ.get(variable):
                cli.fail(
                    "git does not know who you are, and a commit needs an author",
                    f'git config --global user.{key} "…"',
                )
    return get_user_identity(config, kind="AUTHOR")


def _make(places: Places, platform: str, author: bytes) -> str:
    """Make both beside their places, then move them there; return the first commit."""
    with (
        tempfile.TemporaryDirectory(prefix=".sdp-init-", dir=places.clone.parent) as near_clone,
        tempfile.TemporaryDirectory(prefix=".sdp-init-", dir=places.bare.parent) as near_bare,
    ):
        clone, bare = Path(near_clone) / "clone", Path(near_bare) / "bare"
        bare.mkdir()
        _served(bare)
        revision = _first_commit(clone, platform, author)
        match push(clone, str(bare), BRANCH):
            case RemoteFailed(message=message, fix=fix):
                cli.fail(message, fix)
            case RemoteAt():
                pass
        _track(clone, places.bare)
        bare.rename(places.bare)
        try:
            clone.rename(places.clone)
        except OSError:
            shutil.rmtree(places.bare)
            raise
    return revision


def _served(bare: Path) -> None:
    """Make the repository that is served; nobody rewrites its past, from which rights follow.

    Nor does it take commits that can't be read: they would stop all that come after them.
    """
    with Repo.init_bare(str(bare), default_branch=BRANCH.encode()) as repo:
        config = repo.get_config()
        for key in (b"denyNonFastForwards", b"denyDeletes", b"fsckObjects"):
            config.set((b"receive",), key, value=True)
        config.write_to_path()


def _first_commit(clone: Path, platform: str, author: bytes) -> str:
    clone.mkdir()
    paths: list[str] = []
    for name, content, mode in scaffold(platform):
        path = clone / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
        paths.append(name)
    with Repo.init(str(clone), default_branch=BRANCH.encode()) as repo:
        tree = repo.get_worktree()
        tree.stage(paths)
        made = tree.commit(
            message=SUBJECT.format(platform).encode(),
            author=author,
            committer=author,
            no_verify=True,
        )
    return made.decode()


def _track(clone: Path, bare: Path) -> None:
    """Let the clone follow the repository that is served, and check what it commits."""
    with Repo(str(clone)) as repo:
        config = repo.get_config()
        remote, branch = (b"remote", b"origin"), (b"branch", BRANCH.encode())
        config.set(remote, b"url", os.fsencode(bare))
        config.set(remote, b"fetch", b"+refs/heads/*:refs/remotes/origin/*")
        config.set(branch, b"remote", b"origin")
        config.set(branch, b"merge", f"refs/heads/{BRANCH}".encode())
        config.set((b"core",), b"hooksPath", HOOKS.encode())
        config.write_to_path()
        head = repo.refs[Ref(f"refs/heads/{BRANCH}".encode())]
        repo.refs[Ref(f"refs/remotes/origin/{BRANCH}".encode())] = head


def _told(made: Made) -> str:
    return "\n".join(
        (
            f"made {made.bare}, which is served, and {made.directory}, to work in",
            f"first commit {made.revision[:7]} on {BRANCH}; specs are checked before each commit",
            "",
            "Next:",
            f"  describe your VMs and services in {made.directory}/platform.yaml, and commit",
            f"  {made.serve}",
            "  sdp nodes enroll NODE --data-dir /var/lib/sdp   # a token for each VM, made here",
            f"  {made.agent}   # on the VM, with the token; then without --enroll",
            "  sdp login                                       # an agent asks Bitbucket about you",
            "README.md says it step by step.",
        )
    )
