"""The control plane over HTTP: requests, problems as errors, and streams that resume by cursor."""

import contextlib
import dataclasses
import os
import random
import ssl
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import TypeVar

import httpx2
import yaml
from pydantic import BaseModel, ValidationError

from sdp import clock
from sdp.api.problems import MEDIA_TYPE, NOT_LOGGED_IN, ProblemDocument
from sdp.api.views import ConflictView
from sdp.cli.keyring import Kept

DEFAULT_URL = "http://127.0.0.1:3452"
FIRST_BACKOFF = 0.2
LONGEST_BACKOFF = 10.0
SILENCE_SECONDS = 40.0
"""A stream that says nothing for so long, not even ping, is dead."""

M = TypeVar("M", bound=BaseModel)


class ClientError(Exception):
    """The control plane can't be asked, or says no; ``fix`` says what to do."""

    def __init__(
        self, message: str, fix: str, status: int = 0, conflict: ConflictView | None = None
    ) -> None:
        super().__init__(message)
        self.fix = fix
        self.status = status
        self.conflict = conflict


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """One server-sent event that carries data."""

    id: str
    event: str
    data: str


def find_url(option: str | None) -> str:
    """Return the control plane's URL: as asked, from SDP_URL, or from the config file."""
    if found := option or os.environ.get("SDP_URL"):
        return found.rstrip("/")
    if (said := _config()) is None:
        return DEFAULT_URL
    server = said.get("server")
    if not isinstance(server, str):
        fix = f"write server: {DEFAULT_URL} in it"
        raise ClientError(f"{_config_path()} names no server", fix)
    return server.rstrip("/")


def find_trust(url: str) -> ssl.SSLContext | bool:
    """Return whose certificates are trusted: this machine's, or SSL_CERT_FILE's; and ``ca:``'s."""
    if not url.startswith("https:"):
        return True
    trust = ssl.create_default_context()
    if (ca := (_config() or {}).get("ca")) is not None:
        try:
            trust.load_verify_locations(Path(str(ca)).expanduser())
        except OSError as error:  # of which ssl's are some
            fix = f"name a file of PEM certificates as ca: in {_config_path()}"
            raise ClientError(f"{ca} can't be used: {error.strerror or error}", fix) from error
    return trust


def _config_path() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "sdp" / "config.yaml"


def _config() -> Mapping[object, object] | None:
    """Return what the config file says; None without one."""
    path = _config_path()
    if not path.is_file():
        return None
    try:
        said: object = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ClientError(f"{path} can't be read: {error}", "write server: URL in it") from error
    return said if isinstance(said, dict) else {}


class Client:
    """Asks one control plane, as whoever has a session there. Blocking.

    The token goes to this URL alone: redirects are not followed.
    """

    def __init__(self, url: str, timeout: float = 30.0, session: Kept | None = None) -> None:
        self.url = url
        self._session = session
        lasts = session is not None and session.lasts(clock.now())
        # No proxy from the environment: a control plane is in the same network.
        self._http = httpx2.Client(
            base_url=url,
            timeout=timeout,
            trust_env=False,
            verify=find_trust(url),
            headers={"Authorization": f"Bearer {session.token}"} if session and lasts else {},
        )
        self.user = session.user if session and lasts else ""

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, model: type[M], query: Mapping[str, str] | None = None) -> M:
        """Return what a path answers."""
        return self._parsed(self._request("GET", path, query=query), model)

    def get_all(self, path: str, model: type[M]) -> list[M]:
        """Return what a path answers with a list."""
        try:
            return [model.model_validate(each) for each in self._request("GET", path).json()]
        except (ValidationError, ValueError, TypeError) as error:
            raise self._foreign() from error

    def post(self, path: str, model: type[M], body: object = None) -> M:
        """Ask for something, and return the answer."""
        return self._parsed(self._request("POST", path, body=body), model)

    def lines(self, path: str, query: Mapping[str, str]) -> Generator[str, None, None]:
        """Yield the lines of a long answer as they come."""
        try:
            with self._http.stream("GET", path, params=query) as response:
                if response.is_error:
                    response.read()
                    raise self._problem(response)
                yield from response.iter_lines()
        except httpx2.ConnectError as error:
            raise self._away(error) from error
        except httpx2.TransportError as error:
            raise ClientError(
                f"the control plane at {self.url} ended its answer: {error}",
                "run it again: it goes on where it was",
            ) from error

    def follow(
        self, path: str, cursor: str = "", deadline: float | None = None
    ) -> Generator[Message, None, None]:
        """Yield what a stream says, across lost connections; nothing lost, nothing doubled.

        A stream that ends says so: ``end`` is its last message.

        Args:
            path: of the stream, with its query.
            cursor: id of the last event seen; empty: from now on.
            deadline: when to end, by ``time.monotonic``; None: never.
        """
        pause = FIRST_BACKOFF
        reached = False
        while deadline is None or time.monotonic() < deadline:
            try:
                for message in self._connected(path, cursor, deadline):
                    pause, reached = FIRST_BACKOFF, True
                    cursor = message.id or cursor
                    if message.data:
                        yield message
                    if message.event == "end":
                        return
            except httpx2.TransportError as error:
                # Ended by the network, or silent for too long: come back with the cursor. One
                # that never answered is not waited for.
                if not reached and isinstance(error, httpx2.ConnectError):
                    raise self._away(error) from error
            left = LONGEST_BACKOFF if deadline is None else deadline - time.monotonic()
            time.sleep(max(0.0, min(pause * random.uniform(0.5, 1), left)))  # noqa: S311
            pause = min(pause * 2, LONGEST_BACKOFF)

    def _connected(
        self, path: str, cursor: str, deadline: float | None
    ) -> Generator[Message, None, None]:
        headers = {"Accept": "text/event-stream"}
        if cursor:
            headers["Last-Event-ID"] = cursor
        left = SILENCE_SECONDS if deadline is None else deadline - time.monotonic()
        timeout = httpx2.Timeout(10, read=max(0.05, min(SILENCE_SECONDS, left)))
        with self._http.stream("GET", path, headers=headers, timeout=timeout) as response:
            if response.status_code in {502, 503, 504}:
                return
            if response.is_error:
                response.read()
                raise self._problem(response)
            for event in httpx2.EventSource(response):
                yield Message(event.id, event.event, event.data)
                if deadline is not None and time.monotonic() >= deadline:
                    return

    def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
    ) -> httpx2.Response:
        try:
            response = self._http.request(method, path, params=query, json=body)
        except httpx2.ConnectError as error:
            raise self._away(error) from error
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise ClientError(
                f"the control plane at {self.url} did not answer: {reason}",
                "look at its log, and at --server or SDP_URL",
            ) from error
        if response.is_error:
            raise self._problem(response)
        return response

    def _away(self, error: httpx2.ConnectError) -> ClientError:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return ClientError(
                f"the certificate of {self.url} is not trusted here: {error}",
                f"name its CA: ca: FILE in {_config_path()}, or SSL_CERT_FILE",
            )
        return ClientError(
            f"no control plane at {self.url}",
            "start it: sdp serve --config-repo PATH --data-dir DIR; or name it with --server",
        )

    def _problem(self, response: httpx2.Response) -> ClientError:
        if response.headers.get("content-type", "").startswith(MEDIA_TYPE):
            with contextlib.suppress(ValidationError):
                document = ProblemDocument.model_validate_json(response.content)
                if document.type == NOT_LOGGED_IN:
                    return self._not_logged_in()
                said = (document.detail, document.fix, document.status, document.conflict)
                return ClientError(*said)
        return ClientError(
            f"{self.url} answered {response.status_code}",
            "check that it is a control plane, and look at its log",
            response.status_code,
        )

    def _not_logged_in(self) -> ClientError:
        held = self._session
        if held is None:
            message = f"nobody is logged in at {self.url}"
        elif held.lasts(clock.now()):
            message = f"the session of {held.user} at {self.url} was ended"
        else:
            at = f"{held.expires_at:%Y-%m-%d %H:%M} UTC"
            message = f"the session of {held.user} at {self.url} ended at {at}"
        return ClientError(message, "sdp login", 401)

    def _parsed(self, response: httpx2.Response, model: type[M]) -> M:
        try:
            return model.model_validate_json(response.content)
        except ValidationError as error:
            raise self._foreign() from error

    def _foreign(self) -> ClientError:
        return ClientError(
            f"{self.url} answers, but not as this sdp's control plane",
            "check --server or SDP_URL, and that both are the same version",
        )
