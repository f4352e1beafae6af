"""A person at a terminal: the commands that they run, and what they ask the control plane."""

import dataclasses
import json
import os
import subprocess
import sys
import urllib.request
from http.client import HTTPResponse
from pathlib import Path
from typing import Final

SDP: Final = Path(sys.executable).parent / "sdp"


@dataclasses.dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a home of their own, so that each is logged in as themselves.

    Attributes:
        user: the name to log in with.
        password: what Bitbucket knows them by; shown to nobody.
        home: the folder of what `sdp` keeps for them.
        url: the control plane's address.
        folder: the clone of the config repo that they work in.
        key: the file with their secret age key.
    """

    user: str
    password: str = dataclasses.field(repr=False)
    home: Path
    url: str
    folder: Path
    key: Path

    @property
    def environment(self) -> dict[str, str]:
        """What their commands find in their environment."""
        return {
            **os.environ,
            "SDP_URL": self.url,
            "NO_COLOR": "1",
            "SOPS_AGE_KEY_FILE": str(self.key),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_STATE_HOME": str(self.home / "state"),
        }

    def sdp(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run the sdp command in the config repo, against this control plane."""
        return subprocess.run(
            [str(SDP), *words],
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def log_in(self) -> None:
        """Begin a session.

        Raises:
            CalledProcessError: it was refused; the error's output says why.
        """
        self.sdp(
            "login", "--user", self.user, "--password-stdin", stdin=self.password
        ).check_returncode()

    def api(self, path: str, body: object = None) -> object:
        """Return what the control plane answers them.

        Raises:
            OSError: it does not answer, or refuses.
        """
        with self.open(path, body) as answer:
            return json.load(answer)

    def open(self, path: str, body: object = None) -> HTTPResponse:
        """Ask the control plane, as their session; the answer has to be closed."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(f"{self.url}{path}", data=data, headers=headers)
        answer: HTTPResponse = urllib.request.urlopen(request, timeout=10)
        return answer

    @property
    def token(self) -> str:
        """Their session's token, as the command keeps it; "" while they are not logged in."""
        try:
            told = json.loads((self.home / "state/sdp/sessions.json").read_text())
        except FileNotFoundError:
            return ""
        return str(told.get(self.url, {}).get("token", ""))
