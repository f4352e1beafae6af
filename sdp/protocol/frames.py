"""The frames on /ws/agent, JSON text each, tagged by ``frame``.

The agent says Hello, the control plane gives a Challenge, the agent a Proof, and then each knows
the other: Welcome, or at an enrolment Enrolled. A full report and deltas go up, actions come down.
What must not be lost (results, stages, log lines) goes up in numbered entries that the agent
keeps on disk until they are acknowledged.
"""

import datetime
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from sdp.protocol.actions import Action, Value
from sdp.protocol.report import Delta, NodeReport
from sdp.protocol.text import Count, LastLines, Line, Message, Seconds, Word

VERSION = 4
"""Version of this protocol; a control plane also takes agents of the version before."""

TRUST_SINCE = 4
"""The first version in which an agent proves who it is, and passwords travel sealed to it."""


def spoken(version: int) -> frozenset[int]:
    """Return the versions of agents that a control plane of a version takes."""
    return frozenset(each for each in (version, version - 1) if each >= TRUST_SINCE)


SPOKEN = spoken(VERSION)

REFUSED = 4403
"""The close code that goes with Refuse: an agent comes back slowly."""

MAX_FRAME = 8 << 20
"""Bytes of the largest frame that either side accepts."""


class Succeeded(Value):
    """The action is done; the report that came before shows its effect."""

    kind: Literal["succeeded"] = "succeeded"
    note: Message = ""


class Failed(Value):
    """The action failed. ``terminal``: only a new spec, or a person, can change that.

    ``fix`` says what to do, in an imperative sentence; ``lines`` are the last lines that the
    compiler or the container said.
    """

    kind: Literal["failed"] = "failed"
    reason: Message
    message: Message
    fix: Message = ""
    terminal: bool = False
    lines: LastLines = ()


class Cancelled(Value):
    """The action was cancelled; whatever it ran is dead."""

    kind: Literal["cancelled"] = "cancelled"


Outcome: TypeAlias = Annotated[Succeeded | Failed | Cancelled, Field(discriminator="kind")]


class Result(Value):
    """How an action ended."""

    entry: Literal["result"] = "result"
    action_id: Word
    outcome: Outcome


class StageEvent(Value):
    """A stage of a deployment began or ended."""

    entry: Literal["stage"] = "stage"
    deployment: Word
    stage: Word
    state: Literal["started", "finished", "failed"]
    at: datetime.datetime
    note: Message = ""


class LogLines(Value):
    """Consecutive lines of one stage's output."""

    entry: Literal["log"] = "log"
    deployment: Word
    stage: Word
    at: datetime.datetime
    lines: tuple[Line, ...]


class Noticed(Value):
    """Something that a person should know: a drift found, a container that died."""

    entry: Literal["noticed"] = "noticed"
    at: datetime.datetime
    reason: Message
    sandbox: Message
    service: Message
    message: Message


class LogLine(Value):
    """One line that a container said; ``at`` is the engine's own timestamp, to the nanosecond."""

    at: Word
    text: Line


Body: TypeAlias = Annotated[Result | StageEvent | LogLines | Noticed, Field(discriminator="entry")]


class Entry(Value):
    """One thing that must arrive exactly once; ``seq`` rises by one within an outbox."""

    frame: Literal["entry"] = "entry"
    seq: Count
    body: Body


class Hello(Value):
    """The first frame: who this is. ``outbox`` names this agent's numbering of entries.

    ``recipient`` is the age public key to which what only this agent may read is sealed; ``nonce``
    is of this connection, ``run`` of this process. ``plain``: what is said here can be read on the
    way. With ``enrol``, a public key, it asks to be enrolled with that.
    """

    frame: Literal["hello"] = "hello"
    protocol: int
    node: Word
    instance: Word
    version: Word
    outbox: Word
    recipient: Word = ""
    nonce: Word = ""
    run: Word = ""
    plain: bool = False
    enrol: Word = ""


class Proof(Value):
    """The answer to Challenge: the agent's signature; ``token`` proves that it knows one."""

    frame: Literal["proof"] = "proof"
    signature: Word
    token: Word = ""


class Report(Value):
    """Everything the agent sees."""

    frame: Literal["report"] = "report"
    generation: Count
    report: NodeReport


class Change(Value):
    """What changed since the generation before."""

    frame: Literal["change"] = "change"
    generation: Count
    delta: Delta


class LogPart(Value):
    """Consecutive lines of a container's log; the first is empty, and says that it is open.

    Neither stored nor sent again. An agent sends as many as it was given leave for.
    """

    frame: Literal["log-part"] = "log-part"
    request: Word
    lines: tuple[LogLine, ...]


class LogEnd(Value):
    """A container's log is over, or can't be read: no more parts of this request come."""

    frame: Literal["log-end"] = "log-end"
    request: Word
    reason: Literal["Ended", "TooMany", "ContainerGone", "NotOurs", "EngineDown", "EngineRefused"]
    message: Message = ""


class Sample(Value):
    """What a container uses: CPU since it was measured before, in thousandths of a core."""

    container: Word
    cpu_milli: Count
    memory_bytes: Count


class Usage(Value):
    """What running containers use. Neither stored nor sent again."""

    frame: Literal["usage"] = "usage"
    samples: tuple[Sample, ...]


class Time(Value):
    """What time it is on the node; ``asked`` is the question's own time, as it came."""

    frame: Literal["time"] = "time"
    asked: datetime.datetime
    now: datetime.datetime


class LoginChecked(Value):
    """Whether an origin takes a user's credentials. Neither stored nor sent again.

    ``Open``: the origin lets anybody read, or takes a secret under any name: it proves nobody's.
    """

    frame: Literal["login-checked"] = "login-checked"
    request: Word
    outcome: Literal[
        "Proved", "Wrong", "Open", "NoRepository", "Unreachable", "TimedOut", "Failed"
    ]
    message: Message = ""


class Challenge(Value):
    """The answer to Hello: who this control plane is, how often it started, and its signature."""

    frame: Literal["challenge"] = "challenge"
    nonce: Word
    epoch: Count
    key: Word
    signature: Word


class Enrolled(Value):
    """The agent's key is taken; ``token`` proves that the control plane knows the token, too."""

    frame: Literal["enrolled"] = "enrolled"
    token: Word


class Welcome(Value):
    """The agent is known; ``stored`` is the last entry that the control plane has."""

    frame: Literal["welcome"] = "welcome"
    protocol: int
    stored: Count


class Refuse(Value):
    """The agent can't be taken, or no longer; the connection ends."""

    frame: Literal["refuse"] = "refuse"
    reason: Message


class Ack(Value):
    """Entries up to this one are stored; the agent may forget them."""

    frame: Literal["ack"] = "ack"
    seq: Count


class Perform(Value):
    """Do this once, in ``timeout_seconds``; the same action id twice is one action.

    ``credentials`` are a user's, lent for this alone, sealed to the agent's recipient.
    """

    frame: Literal["perform"] = "perform"
    action_id: Word
    deployment: Word
    timeout_seconds: Seconds
    action: Action
    credentials: str = ""


class Cancel(Value):
    """Stop working on this action; nothing that it started may go on."""

    frame: Literal["cancel"] = "cancel"
    action_id: Word


class Refresh(Value):
    """Look at these repositories' branches now, not at the next poll.

    ``credentials`` are a user's, lent for this alone, sealed to the agent's recipient.
    """

    frame: Literal["refresh"] = "refresh"
    repositories: tuple[str, ...]
    credentials: str = ""


class CheckLogin(Value):
    """Ask a repository's origin whether it takes a user's sealed credentials."""

    frame: Literal["check-login"] = "check-login"
    request: Word
    repository: Word
    credentials: str
    timeout_seconds: Seconds


Leave: TypeAlias = Annotated[int, Field(ge=0, le=1000)]
"""How many more parts of a log may come."""


class FollowLog(Value):
    """Read a container's log: its last ``tail`` lines, of those not before ``since``.

    ``since`` is a timestamp of the engine, or empty; ``parts`` how many parts may come before
    more leave is given. With ``follow`` what the container says from now on comes too.
    """

    frame: Literal["follow-log"] = "follow-log"
    request: Word
    container: Word
    since: Word
    tail: Count | None
    follow: bool
    parts: Leave


class MoreLog(Value):
    """So many more parts of a log may come: those before were read."""

    frame: Literal["more-log"] = "more-log"
    request: Word
    parts: Leave


class EndLog(Value):
    """Nobody reads this log any more."""

    frame: Literal["end-log"] = "end-log"
    request: Word


class AskTime(Value):
    """Say at once what time it is."""

    frame: Literal["ask-time"] = "ask-time"
    asked: datetime.datetime


FromAgent: TypeAlias = Annotated[
    Hello | Proof | Report | Change | Entry | LogPart | LogEnd | Time | Usage | LoginChecked,
    Field(discriminator="frame"),
]
ToAgent: TypeAlias = Annotated[
    Challenge
    | Enrolled
    | Welcome
    | Refuse
    | Ack
    | Perform
    | Cancel
    | Refresh
    | FollowLog
    | MoreLog
    | EndLog
    | AskTime
    | CheckLogin,
    Field(discriminator="frame"),
]

from_agent: TypeAdapter[FromAgent] = TypeAdapter(FromAgent)
to_agent: TypeAdapter[ToAgent] = TypeAdapter(ToAgent)
