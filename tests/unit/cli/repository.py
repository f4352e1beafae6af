"""A config repo in a folder, and the command line run in it."""

from collections.abc import Sequence
from pathlib import Path

from typer.testing import CliRunner, Result

from sdp.cli.main import app
from tests.fakes.control_plane import FILES
from tests.unit.agent.repositories import git


def sdp(words: Sequence[object], url: str, text: str | None = None) -> Result:
    return CliRunner(env={"SDP_URL": url}).invoke(app, [str(word) for word in words], input=text)


def make(folder: Path) -> Path:
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.name", "A")
    git(folder, "config", "user.email", "a@b.example")
    put(folder, FILES)
    commit(folder, "one")
    return folder


def put(folder: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)


def commit(folder: Path, message: str) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "-qm", message)
    return git(folder, "rev-parse", "HEAD")
