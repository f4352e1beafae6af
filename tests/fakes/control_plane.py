"""A control plane in memory, behind the API's ports: its state is set, its journal is real."""

import asyncio
import contextlib
import dataclasses
import datetime
import socket
import threading
from collections.abc import AsyncGenerator, Callable, Collection, Generator, Mapping, Sequence

import uvicorn
from typing_extensions import override

from sdp.api import node_views, views
from sdp.api.app import create_app
from sdp.api.events import encode
from sdp.api.patience import LARGEST_HEADER, Patient
from sdp.api.people import Caller
from sdp.api.ports import Gone, Ports, Send
from sdp.api.problems import ProblemError, missing
from sdp.api.requests import ChangeRequest
from sdp.api.snapshot_views import NamedSnapshotView, RollbackTarget, SnapshotView
from sdp.protocol import frames
from sdp.protocol.report import Delta, NodeReport
from sdp.reconciler import chain
from sdp.reconciler import observed as observation
from sdp.reconciler.audit import Act, Wanted
from sdp.reconciler.chain import Entry, Page, Verdict
from sdp.reconciler.journal import StoreUnavailable
from sdp.reconciler.observed import Observed, Skew
from sdp.spec.load import load
from sdp.spec.models import Pins, Platform
from sdp.spec.roles import Person
from sdp.spec.select import WHOLE, Selection
from sdp.spec.tree import Blob, Tree
from tests.fakes.people import FakePeople
from tests.fakes.trust import FakeTrust

NOW = datetime.datetime(2026, 3, 4, 12, 0, tzinfo=datetime.UTC)
REVISION = "9f3c1e7" + "0" * 33

PLATFORM = """
platform: acme
nodes:
  - {id: micro-92, ip_address: 172.18.136.92, type: MICRO}
  - {id: gateway-91, ip_address: 172.18.136.91, type: GATEWAY}
services:
  account: {repository: account, node: micro-92, image: "alpine:3.20"}
gateway:
  {repository: gateway, node: gateway-91, image: "php:8", mount: /var/www, config: config.php}
"""
SANDBOX = "sandbox: QA-ONE\nowner: achmad\nenvironment: qa\ngateway: {branch: develop}\n"
CANARY = "ENC[AES256_GCM,data:Y2FuYXJ5,iv:AAAA,tag:AAAA,type:str]"
SOPS = (
    "{age: [{recipient: age1x, enc: x}], lastmodified: '2026-01-01T00:00:00Z', "
    f"mac: '{CANARY}', encrypted_regex: ^(secrets)$, version: 3.9.0}}"
)
FILES = {
    "platform.yaml": PLATFORM,
    "sandboxes/qa-one.yaml": SANDBOX,
    "templates/base.yaml": "template: BASE\nowner: sari\n",
    "environments/qa.yaml": "environment: qa\nvariables: {MODE: qa}\n"
    f"secrets: {{TOKEN: '{CANARY}'}}\nsops: {SOPS}\n",
}


CHANGE = views.ChangeView(
    commit=REVISION, base="8" * 40, subject="Set owner of QA-ONE to sari", diff="+owner: sari\n"
)


def tree(files: Mapping[str, str] = FILES) -> Tree:
    return load(Blob(path, text, text.encode()) for path, text in files.items())


def sandbox(name: str = "QA-ONE", **changes: object) -> views.SandboxView:
    bare = views.SandboxView(
        name=name,
        path=f"sandboxes/{name.lower()}.yaml",
        owner="achmad",
        environment="qa",
        revision=REVISION,
        observed_generation=REVISION,
        health="Healthy",
        sync="Synced",
        gateway_branch="develop",
        branches=1,
        ocp=2,
        addresses=0,
        url="http://172.18.136.91:8080/",
    )
    return bare.model_copy(update=changes)


def plan(*sandboxes: views.SandboxPlan, **changes: object) -> views.PlanView:
    bare = views.PlanView(
        revision=REVISION,
        changes=any(each.actions for each in sandboxes),
        sandboxes=sandboxes,
        text="Plan: 1 to add.\n" if sandboxes else "Nothing to do: matches 9f3c1e7.\n",
        instance="acme",
        branch="main",
    )
    return bare.model_copy(update=changes)


def change(name: str = "QA-ONE") -> views.SandboxPlan:
    action = views.ActionView(
        key="k", kind="build", node="micro-92", service="account", cause="new", after=()
    )
    return views.SandboxPlan(sandbox=name, actions=(action,))


def deployment(identifier: str = "d-1", **changes: object) -> views.DeploymentView:
    bare = views.DeploymentView(
        id=identifier,
        sandbox="QA-ONE",
        service="account",
        node="micro-92",
        repository="account",
        branch="main",
        commit="1" * 40,
        hash="abc",
        generation=REVISION,
        status="RUNNING",
        created_at=NOW,
        finished_at=NOW,
    )
    return bare.model_copy(update=changes)


UNUSED = node_views.UnusedRelease(
    node="micro-92",
    repository="account",
    commit="1" * 40,
    recipe="go-1",
    bytes=3 << 20,
    since=NOW,
    goes_at=NOW + datetime.timedelta(hours=24),
)


class FakePlane:
    def __init__(self) -> None:
        self.unused = node_views.Garbage(unused=(UNUSED,))
        self.revision = REVISION
        self.branch = "main"
        self.signing_key = ""
        self.waiting: list[views.WithheldView] = []
        self.asking: Person | None = None
        self.specs: Tree | None = tree()
        self.observed: Observed = {}
        self.known: dict[str, views.SandboxView] = {"qa-one": sandbox()}
        self.plan = plan()
        self.used = views.UsageView(sandbox="QA-ONE", services=())
        self.leased = node_views.PortList()
        self.taken = node_views.QuotaList()
        self.previewed: list[tuple[Mapping[str, str], Selection, int]] = []
        self.asked: list[str] = []
        self.cancelled = views.Cancelled(sandbox="QA-ONE", services=(), stopping=(), shared=())
        self.restarted: views.RestartRequested | ProblemError = views.RestartRequested(
            sandbox="QA-ONE", services=("gateway", "account"), nonce="n1"
        )
        self.updated: views.Updated | ProblemError = views.Updated(sandbox="QA-ONE", services=())
        self.flights: tuple[views.ActionInFlight, ...] = ()
        self.findings: tuple[node_views.Finding, ...] = ()
        self.reasons: tuple[views.Condition, ...] = ()
        self.on_read: Callable[[], None] = lambda: None
        self.answers: Callable[[int], views.PlanView] = lambda _: self.plan

    @property
    def platform(self) -> Platform | None:
        return self.specs.platform.spec if self.specs and self.specs.platform else None

    @property
    def tree(self) -> Tree | None:
        return self.specs

    def ports(self) -> node_views.PortList:
        return self.leased

    def quotas(self) -> node_views.QuotaList:
        return self.taken

    def sandboxes(self) -> Sequence[views.SandboxView]:
        self.on_read()
        return list(self.known.values())

    def sandbox(self, name: str) -> views.SandboxView | None:
        return self.known.get(name.lower())

    def usage(self, name: str) -> views.UsageView | None:
        return self.used if name.lower() in self.known else None

    def plan_of(self, name: str) -> views.PlanView | None:
        return self.plan if name.lower() in self.known else None

    def withheld(self) -> Sequence[views.WithheldView]:
        return self.waiting

    async def preview(
        self,
        files: Mapping[str, str],
        selection: Selection = WHOLE,
        deletes: int = 0,
        who: Person | None = None,
    ) -> views.PlanView:
        self.asking = who
        self.previewed.append((files, selection, deletes))
        return self.answers(deletes)

    def sync(self, name: str) -> str:
        self.asked.append(name)
        return f"n{len(self.asked)}"

    def restart(self, name: str, service: str) -> views.RestartRequested:
        self.asked.append(f"restart {name} {service}".strip())
        if isinstance(self.restarted, ProblemError):
            raise self.restarted
        return self.restarted

    async def cancel(self, name: str, service: str) -> views.Cancelled:
        self.asked.append(f"cancel {name} {service}".strip())
        return self.cancelled

    async def update(self, name: str, service: str) -> views.Updated:
        self.asked.append(f"update {name} {service}".strip())
        if isinstance(self.updated, ProblemError):
            raise self.updated
        return self.updated

    def hint(self, repositories: Collection[str]) -> None:
        self.asked.append(f"hint {' '.join(sorted(repositories))}")

    def in_flight(self) -> Sequence[views.ActionInFlight]:
        """Return what is being done; each look finds one thing less."""
        self.flights = self.flights[1:]
        return self.flights

    def garbage(self) -> node_views.Garbage:
        return self.unused

    def collect(self) -> node_views.Garbage:
        """Remove it all at once."""
        self.asked.append("gc")
        found, self.unused = self.unused, self.unused.model_copy(update={"unused": ()})
        return found

    def examine(self, version: str) -> Sequence[node_views.Finding]:
        _ = version
        return self.findings

    def unready(self) -> Sequence[views.Condition]:
        return self.reasons


class FakeJournal:
    def __init__(self) -> None:
        self.events: list[views.EventView] = []
        self.pruned = 0
        self.page = views.DeploymentPage(deployments=(deployment(),))
        self.queries: list[tuple[object, ...]] = []
        self.lines: list[views.LogLineView] = []
        self._grown: set[asyncio.Event] = set()

    def append(self, message: str, sandbox: str = "QA-ONE") -> int:
        seq = len(self.events) + 1
        event = views.EventView(seq=seq, at=NOW, kind="Noticed", sandbox=sandbox, message=message)
        self.events.append(event)
        for each in self._grown:
            each.set()
        return seq

    async def latest(self) -> int:
        return len(self.events)

    async def follow(
        self, after: int, sandbox: str | None, until: int | None = None
    ) -> AsyncGenerator[bytes | Gone, None]:
        if not self.pruned <= after <= len(self.events):
            yield Gone("not there")
            return
        news = asyncio.Event()
        self._grown.add(news)
        try:
            while True:
                news.clear()
                for event in self.events[after:until]:
                    after = event.seq
                    if sandbox in {None, event.sandbox}:
                        yield encode(event.seq, event)
                if until is not None:
                    return
                await news.wait()
        finally:
            self._grown.discard(news)

    async def deployments(self, *query: object) -> views.DeploymentPage:
        self.queries.append(query)
        return self.page

    async def deployment(self, identifier: str) -> views.DeploymentView | None:
        found = [each for each in self.page.deployments if each.id == identifier]
        return found[0] if found else None

    async def log(
        self, deployment: str, after: int, *, follow: bool
    ) -> AsyncGenerator[Sequence[views.LogLineView], None]:
        _ = deployment, follow
        yield self.lines[after:]


@dataclasses.dataclass
class FakeAgents:
    said: "asyncio.Queue[tuple[str, object]]" = dataclasses.field(default_factory=asyncio.Queue)
    entries: list[tuple[int, frames.Body]] = dataclasses.field(default_factory=list)
    sends: dict[str, Send] = dataclasses.field(default_factory=dict)
    skews: dict[str, Skew] = dataclasses.field(default_factory=dict)
    broken: bool = False
    missed: bool = False

    async def stored(self, node: str, outbox: str) -> int:
        _ = node, outbox
        return self.entries[-1][0] if self.entries else 0

    async def connected(self, hello: frames.Hello, send: Send) -> None:
        self.sends[hello.node] = send
        self.said.put_nowait(("connected", hello.node))

    async def reported(self, node: str, report: NodeReport, generation: int) -> None:
        _ = report
        if self.broken:
            raise RuntimeError("planted")
        self.said.put_nowait(("reported", (node, generation)))

    async def changed(self, node: str, delta: Delta, generation: int) -> bool:
        _ = delta
        self.said.put_nowait(("changed", (node, generation)))
        return not self.missed

    async def timed(self, node: str, skew: Skew) -> None:
        self.skews[node] = skew
        self.said.put_nowait(("timed", node))

    async def measured(self, node: str, samples: Sequence[frames.Sample]) -> None:
        self.said.put_nowait(("measured", (node, len(samples))))

    async def checked(self, node: str, told: frames.LoginChecked) -> None:
        self.said.put_nowait(("checked", (node, told.outcome)))

    async def entry(self, hello: frames.Hello, seq: int, body: frames.Body) -> None:
        _ = hello
        self.entries.append((seq, body))

    async def disconnected(self, hello: frames.Hello, send: Send) -> None:
        if self.sends[hello.node] == send:
            self.said.put_nowait(("disconnected", hello.node))


@dataclasses.dataclass
class FakeChanges:
    asked: list[ChangeRequest] = dataclasses.field(default_factory=list)
    answer: views.ChangeView | ProblemError = CHANGE
    caller: Caller | None = None

    async def change(self, request: ChangeRequest, caller: Caller) -> views.ChangeView:
        self.caller = caller
        self.asked.append(request)
        if isinstance(self.answer, ProblemError):
            raise self.answer
        return self.answer


PINS = Pins.model_validate(
    {
        "gateway": {"branch": "develop", "commit": "a" * 40},
        "services": {"account": {"branch": "feature/a", "commit": "b" * 40}},
    }
)


def snapshot(number: int = 1, **changes: object) -> SnapshotView:
    bare = SnapshotView(
        number=number, sandbox="QA-ONE", taken_at=NOW, revision=REVISION, current=True, pins=PINS
    )
    return bare.model_copy(update=changes)


@dataclasses.dataclass
class FakePast:
    kept: list[SnapshotView] = dataclasses.field(default_factory=lambda: [snapshot()])
    files: list[NamedSnapshotView] = dataclasses.field(default_factory=list)
    commits: dict[str, RollbackTarget] = dataclasses.field(default_factory=dict)

    def named(self, sandbox: str | None = None) -> Sequence[NamedSnapshotView]:
        return [each for each in self.files if sandbox in {None, each.sandbox}]

    async def snapshots(self, name: str) -> Sequence[SnapshotView]:
        return [each for each in self.kept if each.sandbox == name]

    async def target(self, name: str, word: str) -> RollbackTarget:
        if word in self.commits:
            return self.commits[word]
        for each in self.kept:
            if f"#{each.number}" == word and each.sandbox == name:
                return RollbackTarget(to=word, pins=each.pins)
        raise missing("snapshot", word, f"sdp history {name}")


class FakeAudit:
    """A chain in memory; it is asked for what kind of act and by whom, and keeps what else was."""

    def __init__(self) -> None:
        self.kept: list[Entry] = []
        self.asked: list[Wanted] = []
        self.anchor: chain.Head | None = None
        self.is_full = False

    @property
    def acts(self) -> list[Act]:
        return [each.act for each in self.kept]

    async def record(self, acts: Sequence[Act]) -> None:
        if self.is_full:
            raise StoreUnavailable("planted: the disk is full", "free space")
        last = self.kept[-1].head if self.kept else chain.ORIGIN
        self.kept.extend(chain.enchain(last, acts))

    async def page(self, wanted: Wanted, limit: int, before: int = 0) -> Page:
        self.asked.append(wanted)
        found = [
            each
            for each in reversed(self.kept)
            if wanted.kind in {None, each.act.kind}
            and wanted.user.lower() in {"", each.act.user.lower()}
            and (not before or each.seq < before)
        ]
        return Page(tuple(found[:limit]), found[limit - 1].seq if len(found) > limit else 0)

    async def after(self, seq: int, limit: int) -> Sequence[Entry]:
        return [each for each in self.kept if each.seq > seq][:limit]

    async def verify(self) -> Verdict:
        return chain.verify(self.kept, chain.ORIGIN, self.anchor)


@dataclasses.dataclass
class FakeControlPlane:
    plane: FakePlane = dataclasses.field(default_factory=FakePlane)
    journal: FakeJournal = dataclasses.field(default_factory=FakeJournal)
    agents: FakeAgents = dataclasses.field(default_factory=FakeAgents)
    changes: FakeChanges = dataclasses.field(default_factory=FakeChanges)
    past: FakePast = dataclasses.field(default_factory=FakePast)
    people: FakePeople = dataclasses.field(default_factory=FakePeople)
    audit: FakeAudit = dataclasses.field(default_factory=FakeAudit)
    trust: FakeTrust = dataclasses.field(default_factory=FakeTrust)
    hook_secret: bytes = b""

    @property
    def ports(self) -> Ports:
        return Ports(
            self.plane,
            self.journal,
            self.agents,
            self.changes,
            self.past,
            self.people.port,
            self.audit,
            self.trust,
            self.hook_secret,
        )

    def observe(self, node: str, report: NodeReport) -> None:
        self.plane.observed = observation.report(self.plane.observed, node, report, 1, NOW)


class _Server(uvicorn.Server):
    """Tells when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()
        self.ready: Callable[[], object] = lambda: None

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready()
        self.listening.set()

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield  # the test process keeps its own


def server(ports: Ports, config: uvicorn.Config | None = None) -> _Server:
    config = config or uvicorn.Config(
        create_app(ports),
        port=0,
        log_config=None,
        lifespan="off",
        timeout_graceful_shutdown=1,
        ws="websockets-sansio",
        ws_max_size=frames.MAX_FRAME,
        http=Patient,
        h11_max_incomplete_event_size=LARGEST_HEADER,
    )
    return _Server(config)


def port_of(running: uvicorn.Server) -> int:
    return int(running.servers[0].sockets[0].getsockname()[1])


@contextlib.asynccontextmanager
async def served(ports: Ports, config: uvicorn.Config | None = None) -> AsyncGenerator[int, None]:
    """Serve on a port of the loopback, in this loop; yield the port."""
    running = server(ports, config)
    ready = asyncio.Event()
    running.ready = ready.set
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(running.serve())
        await ready.wait()
        try:
            yield port_of(running)
        finally:
            running.force_exit = running.should_exit = True
            await serving


@contextlib.contextmanager
def served_in_thread(ports: Ports) -> Generator[str, None, None]:
    """Serve beside a test that blocks; yield the URL."""
    running = server(ports)
    thread = threading.Thread(target=lambda: asyncio.run(running.serve()))
    thread.start()
    try:
        assert running.listening.wait(5)
        yield f"http://127.0.0.1:{port_of(running)}"
    finally:
        running.force_exit = running.should_exit = True
        thread.join(5)
