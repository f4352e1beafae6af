"""Real git repositories to test with: an origin that people push to, and the node's clone of it."""

import os
import subprocess  # noqa: TID251 - plays the people who push
from pathlib import Path

_PERSON = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_NAME": "Sari" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "sari@example.com" for who in ("AUTHOR", "COMMITTER")},
}


def git(folder: Path, *argv: str) -> str:
    words = ["git", "-C", str(folder), *argv]
    done = subprocess.run(words, env=_PERSON, capture_output=True, text=True, check=True)
    return done.stdout.rstrip("\n")


class Origin:
    """A repository with a working tree; ``commit`` changes a branch as a push would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        git(folder, "init", "--quiet", "--initial-branch=main")
        self.first = self.commit({"README": "first\n"})

    def commit(self, files: dict[str, str], branch: str = "main") -> str:
        git(self.folder, "checkout", "--quiet", "-B", branch)
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return self.record()

    def record(self) -> str:
        """Commit whatever the working tree holds."""
        git(self.folder, "add", "--all")
        git(self.folder, "commit", "--quiet", "--allow-empty", "-m", "Change")
        return git(self.folder, "rev-parse", "HEAD")

    def clone(self, target: Path) -> Path:
        git(self.folder, "clone", "--quiet", f"file://{self.folder}", str(target))
        return target
