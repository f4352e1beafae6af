"""What agents are asked about logins: the credentials go sealed to one, and its answer to who asked."""

import asyncio
import uuid
from typing import Final

from sdp import clock
from sdp.api.ports import Send
from sdp.protocol import sealed
from sdp.protocol.frames import CheckLogin, Hello, LoginChecked
from sdp.protocol.secret import Credentials
from sdp.sops.identities import is_recipient

GRACE: Final = 1.0
"""Seconds that an agent's answer may take to come, beyond the look itself."""


class LoginChecks:
    """The agents that are there, and who waits for which answer."""

    def __init__(self) -> None:
        self._agents: dict[str, tuple[Hello, Send]] = {}
        self._waiting: dict[tuple[str, str], asyncio.Future[LoginChecked | None]] = {}

    def connected(self, hello: Hello, send: Send) -> None:
        """Take a node's new session; nothing comes any more of one that there was."""
        self._leave(hello.node)
        self._agents[hello.node] = hello, send

    def disconnected(self, hello: Hello, send: Send) -> None:
        """Take the end of a session; one that was replaced before changes nothing."""
        held = self._agents.get(hello.node)
        if held is not None and held[1] == send:
            self._leave(hello.node)

    def checked(self, node: str, told: LoginChecked) -> None:
        """Take an agent's answer; maybe nobody waits for it any more."""
        self._answer((node, told.request), told)

    def proves(self, node: str) -> bool:
        """Whether a node's agent is there, and credentials can be sealed to it."""
        held = self._agents.get(node)
        return held is not None and is_recipient(held[0].recipient)

    async def check(
        self, node: str, repository: str, credentials: Credentials, seconds: float
    ) -> LoginChecked | None:
        """Have an agent ask a repository's origin; None: it did not say in time."""
        if not self.proves(node):
            return None
        hello, send = self._agents[node]
        request = uuid.uuid4().hex
        purpose = sealed.checking(request, repository)
        text = sealed.seal(credentials, hello.recipient, purpose, clock.now())
        answer: asyncio.Future[LoginChecked | None] = asyncio.get_running_loop().create_future()
        self._waiting[node, request] = answer
        try:
            await send(
                CheckLogin(
                    request=request,
                    repository=repository,
                    credentials=text,
                    timeout_seconds=seconds,
                )
            )
            async with asyncio.timeout(seconds + GRACE):
                return await answer
        except TimeoutError:
            return None
        finally:
            del self._waiting[node, request]

    def _leave(self, node: str) -> None:
        self._agents.pop(node, None)
        for key in [each for each in self._waiting if each[0] == node]:
            self._answer(key, None)

    def _answer(self, key: tuple[str, str], told: LoginChecked | None) -> None:
        waiting = self._waiting.get(key)
        if waiting is not None and not waiting.done():
            waiting.set_result(told)
