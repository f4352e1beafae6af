"""Both sides of trust in memory, and an agent that is enrolled with them."""

import dataclasses
import datetime
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection

from sdp.agent.greeting import Identity
from sdp.agent.trust import Trust as AgentTrust
from sdp.protocol import frames, handshake
from sdp.protocol.handshake import Token, Transcript
from sdp.protocol.secret import Secret
from sdp.trust.belief import Belief, Invitation, NotEnrolledError

SINCE = datetime.datetime(2026, 3, 4, 11, 0, tzinfo=datetime.UTC)
AGENT = Ed25519PrivateKey.generate()
"""The key of every agent that a fake control plane knows."""


def nonce() -> str:
    return handshake.encode(secrets.token_bytes(handshake.KEY_BYTES))


class FakeTrust:
    """The control plane's side; the nodes of the fake platform are enrolled with one key."""

    def __init__(self) -> None:
        self.private = Ed25519PrivateKey.generate()
        self.key = handshake.public(self.private)
        self.epoch = 1
        known = Belief("enrolled", handshake.public(AGENT), SINCE, "achmad")
        self.beliefs = dict.fromkeys(("micro-92", "gateway-91"), known)
        self.tokens: dict[str, tuple[str, datetime.datetime, str]] = {}

    def sign(self, transcript: Transcript) -> str:
        return handshake.sign(self.private, transcript, "control plane")

    def belief(self, node: str) -> Belief:
        return self.beliefs.get(node, Belief())

    def invite(
        self, node: str, by: str, valid: datetime.timedelta, now: datetime.datetime
    ) -> Invitation:
        token = Token(node, Secret(nonce()), self.key)
        self.tokens[node] = (handshake.digest(token.secret), now + valid, by)
        return Invitation(token, now + valid, self.belief(node).state == "enrolled")

    def enrol(self, transcript: Transcript, key: str, shown: str, now: datetime.datetime) -> str:
        node = transcript.node
        if node not in self.tokens:
            raise NotEnrolledError("no token is open, or it was used already")
        known, until, by = self.tokens[node]
        if now >= until:
            raise NotEnrolledError("the token was good until then")
        if not handshake.proves(shown, known, transcript, "agent"):
            raise NotEnrolledError("that is not the token")
        del self.tokens[node]
        self.beliefs[node] = Belief("enrolled", key, now, by)
        return handshake.proof(known, transcript, "control plane")

    def revoke(self, node: str, by: str, now: datetime.datetime) -> Belief:
        self.tokens.pop(node, None)
        found = self.belief(node)
        if found.state == "enrolled":
            self.beliefs[node] = Belief("revoked", found.key, now, by)
        return self.belief(node)


async def prove(
    connection: ClientConnection, hello: str, key: Ed25519PrivateKey = AGENT
) -> frames.ToAgent | None:
    """Say hello and prove it, as an agent does; return what is said instead of a challenge."""
    await connection.send(hello)
    answer = frames.to_agent.validate_json(await connection.recv())
    if not isinstance(answer, frames.Challenge):
        return answer
    said = transcript(hello, answer)
    proof = frames.Proof(signature=handshake.sign(key, said, "agent"))
    await connection.send(proof.model_dump_json())
    return None


def transcript(hello: str, challenge: frames.Challenge) -> Transcript:
    said = frames.Hello.model_validate_json(hello)
    return Transcript(
        hello=hello,
        node=said.node,
        instance=said.instance,
        agent_nonce=said.nonce,
        server_nonce=challenge.nonce,
        epoch=challenge.epoch,
        server_key=challenge.key,
    )


@dataclasses.dataclass
class Enrolled:
    """An agent's folder, and the key of the control plane that it obeys."""

    trust: AgentTrust
    server: Ed25519PrivateKey
    epoch: int = 1

    def challenge(self, hello: str) -> frames.Challenge:
        bare = frames.Challenge(
            nonce=nonce(), epoch=self.epoch, key=handshake.public(self.server), signature=""
        )
        signature = handshake.sign(self.server, transcript(hello, bare), "control plane")
        return bare.model_copy(update={"signature": signature})

    async def welcome(self, connection: ServerConnection, stored: int = 0) -> None:
        """Take whoever calls, as a control plane does."""
        hello = await connection.recv(decode=True)
        await connection.send(self.challenge(hello).model_dump_json())
        proof = frames.from_agent.validate_json(await connection.recv())
        assert isinstance(proof, frames.Proof)
        welcome = frames.Welcome(protocol=frames.VERSION, stored=stored)
        await connection.send(welcome.model_dump_json())


def enrolled_here(state: Path, control: FakeTrust, node: str = "micro-92") -> AgentTrust:
    """Return the folder of the agent that a fake control plane knows."""
    made = AgentTrust(state, node)
    made.adopt(AGENT, control.key, control.epoch)
    return made


def enrolled(state: Path, node: str = "micro-92") -> Enrolled:
    """Return an agent's folder as enrolment leaves it."""
    made = Enrolled(AgentTrust(state, node), Ed25519PrivateKey.generate())
    made.trust.adopt(Ed25519PrivateKey.generate(), handshake.public(made.server), 1)
    return made


def identity(port: int, node: str = "micro-92", instance: str = "mine") -> Identity:
    return Identity(f"ws://127.0.0.1:{port}/ws/agent", node, instance, "0")
