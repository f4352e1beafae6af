"""Before an agent is one: it says who it is, and both prove it. Nothing else is believed till then.

Connections that have proven nothing yet are few, short and small.
"""

import asyncio
import contextlib
import secrets
from collections import Counter, OrderedDict
from collections.abc import Iterator

import structlog
from fastapi import WebSocket

from sdp import clock
from sdp.api import wire
from sdp.api.ports import Plane, Ports
from sdp.api.wire import EndedError, EnrolledError, RefusedError
from sdp.protocol import frames, handshake
from sdp.protocol.handshake import Transcript
from sdp.reconciler.audit import Act, Auditor
from sdp.spec.models import Platform
from sdp.trust.belief import Belief, NotEnrolledError

PROOF_SECONDS = 10
"""From the connection to the proof."""
MOST_WAITING = 64
MOST_WAITING_OF_ONE = 16
"""Connections that have proven nothing yet: of all, and of one address."""
TOLD_AGAIN_SECONDS = 600
"""A refusal that repeats itself is written down once in this time."""
_MOST_TOLD = 256
_MOST_RUN = 64

log = structlog.get_logger(__name__)


def refusal(hello: frames.Hello, platform: Platform) -> str:
    """Return why an agent can't be taken, whoever it is; empty when it can."""
    if hello.protocol not in frames.SPOKEN:
        spoken = " or ".join(map(str, sorted(frames.SPOKEN)))
        fix = f"update sdp on {hello.node}"
        if hello.protocol < frames.TRUST_SINCE:  # can't prove anything
            fix += f", then sdp nodes enroll {hello.node}"
        return f"protocol {hello.protocol} is not spoken here, {spoken} is: {fix}"
    if hello.instance != platform.platform:
        return f"this is the control plane of {platform.platform}, not of {hello.instance[:63]}"
    if hello.node not in {node.id for node in platform.nodes}:
        return f"platform.yaml has no node {hello.node}: add it there, or correct agent.yaml"
    return ""


def distrust(node: str, belief: Belief) -> str:
    """Return why a node's agent is not believed, before it proves anything; empty where it may."""
    fix = f"sdp nodes enroll {node}, then there: sdp agent --config FILE --enroll"
    match belief.state:
        case "enrolled":
            return ""
        case "revoked":
            since = f"{belief.since:%Y-%m-%d %H:%M} UTC" if belief.since else "long ago"
            return f"{node} was revoked by {belief.by} at {since}; enrol it again: {fix}"
        case "never enrolled":
            return f"{node} is not enrolled: {fix}"


class Greeter:
    """Who lets agents in."""

    def __init__(self, ports: Ports) -> None:
        self._plane: Plane = ports.plane
        self._trust = ports.trust
        self._waiting = _Waiting()
        self.book = Book(ports.audit)

    async def greet(self, socket: WebSocket) -> frames.Hello:
        """Return the hello of an agent that has proven to be it.

        Raises:
            EndedError: it has not.
        EnrolledError: it came to be enrolled, and is.
            WebSocketDisconnect: it is gone.
        """
        address = wire.address_of(socket)
        with self._waiting.one(address):
            try:
                async with asyncio.timeout(PROOF_SECONDS):
                    return await self._proven(socket, address)
            except TimeoutError as error:
                reason = f"nothing was proven in {PROOF_SECONDS} s"
                raise EndedError(wire.POLICY, reason) from error

    async def _proven(self, socket: WebSocket, address: str) -> frames.Hello:
        text = await wire.received(socket, handshake.MAX_FRAME)
        hello = wire.parsed(text)
        if not isinstance(hello, frames.Hello):
            raise EndedError(wire.POLICY, f"expected hello first, got {hello.frame}")
        if not handshake.NODE.fullmatch(hello.node):
            raise EndedError(wire.POLICY, "hello names no node")
        if (platform := self._plane.platform) is None:
            raise EndedError(wire.RETRY, "no platform.yaml is loaded yet")
        try:
            await self._answered(socket, text, hello, platform)
        except RefusedError as refused:
            node = hello.node if any(hello.node == each.id for each in platform.nodes) else ""
            await self.book.refused("agent refused", node, address, refused.reason)
            raise
        if hello.enrol:
            by = self._trust.belief(hello.node).by
            await self.book.enrolled(hello.node, by, address)
            raise EnrolledError(hello.node)
        return hello

    async def _answered(
        self, socket: WebSocket, text: str, hello: frames.Hello, platform: Platform
    ) -> None:
        belief = self._trust.belief(hello.node)
        if reason := refusal(hello, platform) or (
            "" if hello.enrol else distrust(hello.node, belief)
        ):
            raise RefusedError(reason)
        if not _well_formed(hello):
            raise EndedError(wire.POLICY, "a hello without a nonce, a run, or a key")
        transcript = self._transcript(text, hello)
        proof = await self._challenged(socket, transcript)
        # Read afresh: it may have been revoked, or enrolled with another key, meanwhile.
        key = hello.enrol or self._trust.belief(hello.node).key
        if not handshake.signed(proof.signature, key, transcript, "agent"):
            fix = f"enrol it again: sdp nodes enroll {hello.node}"
            raise RefusedError(f"that is not the key of {hello.node}, or not its any more; {fix}")
        if hello.enrol:
            await socket.send_text(self._enrolled(transcript, hello, proof).model_dump_json())
        elif reason := distrust(hello.node, self._trust.belief(hello.node)):
            raise RefusedError(reason)

    async def _challenged(self, socket: WebSocket, transcript: Transcript) -> frames.Proof:
        """Prove who this is, and return the agent's proof, unchecked."""
        challenge = frames.Challenge(
            nonce=transcript.server_nonce,
            epoch=transcript.epoch,
            key=transcript.server_key,
            signature=self._trust.sign(transcript),
        )
        await socket.send_text(challenge.model_dump_json())
        proof = wire.parsed(await wire.received(socket, handshake.MAX_FRAME))
        if not isinstance(proof, frames.Proof):
            raise EndedError(wire.POLICY, f"expected proof, got {proof.frame}")
        return proof

    def _transcript(self, text: str, hello: frames.Hello) -> Transcript:
        return Transcript(
            hello=text,
            node=hello.node,
            instance=hello.instance,
            agent_nonce=hello.nonce,
            server_nonce=handshake.encode(secrets.token_bytes(handshake.KEY_BYTES)),
            epoch=self._trust.epoch,
            server_key=self._trust.key,
        )

    def _enrolled(
        self, transcript: Transcript, hello: frames.Hello, proof: frames.Proof
    ) -> frames.Enrolled:
        try:
            shown = self._trust.enrol(transcript, hello.enrol, proof.token, clock.now())
        except NotEnrolledError as error:
            raise RefusedError(str(error)) from error
        log.info("agent enrolled", node=hello.node, key=handshake.fingerprint(hello.enrol))
        return frames.Enrolled(token=shown)


class _Waiting:
    """How many connections have proven nothing yet."""

    def __init__(self) -> None:
        self._of: Counter[str] = Counter()

    @contextlib.contextmanager
    def one(self, address: str) -> Iterator[None]:
        """Count one more; raises EndedError where there are too many."""
        if self._of.total() >= MOST_WAITING or self._of[address] >= MOST_WAITING_OF_ONE:
            raise EndedError(wire.RETRY, "too many connections prove nothing: come again")
        self._of[address] += 1
        try:
            yield
        finally:
            self._of[address] -= 1
            self._of += Counter()  # forgets who is at 0


class Book:
    """Writes down what happens to agents; the same refusal not over and over."""

    def __init__(self, audit: Auditor) -> None:
        self._audit = audit
        self._told: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    async def enrolled(self, node: str, by: str, address: str) -> None:
        """Write down that a node's agent used the token that somebody gave out."""
        act = Act(clock.now(), "NODE", "done", by, "node enrolled", address, message=node)
        await self._audit.record([act])

    async def refused(self, action: str, node: str, address: str, why: str) -> None:
        """Write down that somebody was not taken as a node's agent; "" for none that there is."""
        if not self._is_told((action, node, address)):
            message = f"{node or 'no node'}: {why}"
            act = Act(clock.now(), "REFUSAL", "refused", "", action, address, message=message)
            await self._audit.record([act])

    def _is_told(self, what: tuple[str, str, str]) -> bool:
        now = asyncio.get_running_loop().time()
        before = self._told.get(what)
        if before is not None and now - before < TOLD_AGAIN_SECONDS:
            return True
        self._told[what] = now
        self._told.move_to_end(what)
        if len(self._told) > _MOST_TOLD:
            self._told.popitem(last=False)
        return False


def _well_formed(hello: frames.Hello) -> bool:
    run = 0 < len(hello.run) <= _MOST_RUN
    return (
        run
        and handshake.is_key(hello.nonce)
        and (not hello.enrol or handshake.is_key(hello.enrol))
    )
