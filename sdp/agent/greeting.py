"""The agent's side of the handshake: it makes sure of its control plane, then proves who it is.

Nothing that a control plane says is obeyed before its signature was found right.
"""

import asyncio
import dataclasses
import ipaddress
import secrets
import ssl
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from sdp.agent.trust import Trust
from sdp.protocol import frames, handshake
from sdp.protocol.handshake import Token, Transcript

GREET_SECONDS: Final = 10
KEEP_ALIVE_SECONDS: Final = 10


class RefusedError(Exception):
    """This control plane is not ours, or does not want this agent; the text says what to do."""


class CannotEnrolError(Exception):
    """This agent was not enrolled; ``fix`` says what to do where that is not to get another token."""

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.fix = fix


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """Who this agent is, and whom it calls. ``headers`` may hold a token: never logged.

    ``ca`` is a file with the certificates that vouch for the control plane's; None: the system's.
    ``recipient`` is what may be lent to it is sealed to; the agent signs it with its hello.
    """

    url: str
    node: str
    instance: str
    version: str
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    ca: Path | None = None
    recipient: str = ""
    run: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def plain(self) -> bool:
        """Whether others can read what is said: no TLS, to another machine."""
        found = urlsplit(self.url)
        return found.scheme == "ws" and not _is_loopback(found.hostname or "")


def dial(identity: Identity) -> connect:
    """Return the connection to be made; a certificate is checked, and the name in it."""
    secure = identity.url.startswith("wss:")
    return connect(
        identity.url,
        additional_headers=dict(identity.headers),
        ssl=ssl.create_default_context(cafile=identity.ca) if secure else None,
        proxy=None,
        compression=None,
        open_timeout=GREET_SECONDS,
        close_timeout=1,
        ping_interval=KEEP_ALIVE_SECONDS,
        ping_timeout=KEEP_ALIVE_SECONDS,
        max_size=frames.MAX_FRAME,
    )


async def greet(
    connection: ClientConnection, identity: Identity, trust: Trust, outbox: str
) -> frames.Welcome:
    """Make sure of the control plane, and prove who this is.

    Raises:
        RefusedError: either does not want the other.
        UntrustedError: this agent has no identity.
    """
    known = trust.identity()
    said = await _challenged(connection, _hello(identity, outbox))
    if said.server_key != known.control_plane:
        ours, theirs = map(handshake.fingerprint, (known.control_plane, said.server_key))
        raise RefusedError(
            f"{identity.url} has the key {theirs}…, and this agent obeys {ours}… alone; if the "
            f"control plane is a new one: sdp nodes enroll {identity.node}, then here: "
            "sdp agent --config FILE --enroll"
        )
    if said.epoch < (seen := trust.epoch(known.control_plane)):
        raise RefusedError(
            f"{identity.url} is in its start {said.epoch}, and start {seen} was seen: it is an old "
            f"copy; if it was restored from a backup: sdp nodes enroll {identity.node}, then here: "
            "sdp agent --config FILE --enroll"
        )
    if said.epoch > seen:
        trust.saw(known.control_plane, said.epoch)
    answer = await _proven(connection, frames.Proof(signature=_signed(known.key, said)))
    if not isinstance(answer, frames.Welcome):
        raise RefusedError(f"expected welcome, got {answer.frame}")
    return answer


async def enrol(identity: Identity, trust: Trust, token: Token) -> bool:
    """Become this node's agent with a token; return whether that replaces what was.

    Raises:
        CannotEnrolError: the control plane can't be reached, is another, or refuses the token.
    """
    try:
        return await _enrol(identity, trust, token)
    except RefusedError as error:
        raise CannotEnrolError(str(error)) from error
    except (OSError, WebSocketException, ValueError) as error:
        message = f"{identity.url} did not answer as a control plane: {error}"
        raise CannotEnrolError(message, "look at control_plane: in the agent's file") from error


async def _enrol(identity: Identity, trust: Trust, token: Token) -> bool:
    key = Ed25519PrivateKey.generate()
    async with dial(identity) as connection:
        hello = _hello(identity, "").model_copy(update={"enrol": handshake.public(key)})
        said = await _challenged(connection, hello)
        if said.server_key != token.server_key:
            raise RefusedError(f"{identity.url} is not the control plane that made this token")
        known = handshake.digest(token.secret)
        proof = frames.Proof(
            signature=_signed(key, said), token=handshake.proof(known, said, "agent")
        )
        answer = await _proven(connection, proof)
        if not isinstance(answer, frames.Enrolled):
            raise RefusedError(f"expected enrolled, got {answer.frame}")
        if not handshake.proves(answer.token, known, said, "control plane"):
            raise RefusedError(f"{identity.url} does not know the token")
    return trust.adopt(key, said.server_key, said.epoch)


def _hello(identity: Identity, outbox: str) -> frames.Hello:
    return frames.Hello(
        protocol=frames.VERSION,
        node=identity.node,
        instance=identity.instance,
        version=identity.version,
        outbox=outbox,
        recipient=identity.recipient,
        nonce=handshake.encode(secrets.token_bytes(handshake.KEY_BYTES)),
        run=identity.run,
        plain=identity.plain,
    )


async def _challenged(connection: ClientConnection, hello: frames.Hello) -> Transcript:
    """Say hello; return what was said then, by a control plane that has the key it names."""
    text = hello.model_dump_json()
    await connection.send(text)
    challenge = await _answer(connection)
    if not isinstance(challenge, frames.Challenge):
        raise RefusedError(
            f"the control plane proves nothing (expected challenge, got {challenge.frame}): "
            "update sdp there"
        )
    said = Transcript(
        hello=text,
        node=hello.node,
        instance=hello.instance,
        agent_nonce=hello.nonce,
        server_nonce=challenge.nonce,
        epoch=challenge.epoch,
        server_key=challenge.key,
    )
    if not handshake.signed(challenge.signature, challenge.key, said, "control plane"):
        raise RefusedError("the control plane's signature is wrong: somebody stands in between")
    return said


async def _proven(connection: ClientConnection, proof: frames.Proof) -> frames.ToAgent:
    await connection.send(proof.model_dump_json())
    return await _answer(connection)


async def _answer(connection: ClientConnection) -> frames.ToAgent:
    async with asyncio.timeout(GREET_SECONDS):
        answer = frames.to_agent.validate_json(await connection.recv())
    if isinstance(answer, frames.Refuse):
        raise RefusedError(answer.reason)
    return answer


def _signed(key: Ed25519PrivateKey, said: Transcript) -> str:
    return handshake.sign(key, said, "agent")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
