"""The control plane: store, source, reconciler and API, wired together and run until told to stop.

The only place that knows all of them; the adapters here let none of them know another.
"""

import asyncio
import contextlib
import dataclasses
import hashlib
import ipaddress
import signal
import socket
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import structlog
import uvicorn
from typing_extensions import override

from sdp.api import events as stream
from sdp.api import showing, views
from sdp.api.agents import EndedError
from sdp.api.app import create_app
from sdp.api.ports import Gone, Ports, Send
from sdp.api.problems import ProblemError
from sdp.protocol.frames import MAX_FRAME, Body, Hello, LogLines, StageEvent, ToAgent
from sdp.protocol.report import Delta, NodeReport
from sdp.reconciler.deployments import Deployment
from sdp.reconciler.draft import Plan
from sdp.reconciler.events import Event
from sdp.reconciler.history import Failure, History
from sdp.reconciler.loop import NodeSend, Reconciler
from sdp.reconciler.observed import Observed
from sdp.reconciler.ports import Lease
from sdp.reconciler.source import Source
from sdp.spec import load, resolve
from sdp.spec.models import Platform
from sdp.spec.tree import Blob, Tree
from sdp.store import values
from sdp.store.deployments import BadCursorError
from sdp.store.logfile import LogLine
from sdp.store.store import Store

PAGE = 500
_MISSED = 1013

log = structlog.get_logger(__name__)


class CannotServeError(Exception):
    """The control plane can't start; ``fix`` says what to do."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


async def serve(config_repo: str, branch: str, data_dir: Path, host: str, port: int) -> None:
    """Run the control plane until SIGTERM or SIGINT.

    Args:
        config_repo: path or URL.
        branch: the branch that is applied.
        data_dir: folder of history and logs.
        host: a loopback address, since there is no login.
        port: 0 for any.

    Raises:
        CannotServeError: it can't start here.
    """
    listening = _listen(host, port)
    try:
        source = Source(config_repo, branch, data_dir)
    except ValueError as error:
        raise CannotServeError(str(error), "give the URL without user name and password") from None
    try:
        async with Store.open(data_dir, encode=_encode) as store:
            await _run(source, store, listening)
    except values.StoreUnavailable as error:
        raise CannotServeError(error.reason, error.fix) from error


async def _run(source: Source, store: Store, listening: socket.socket) -> None:
    reconciler = Reconciler(source, Past(store))
    ports = Ports(Plane(reconciler), Journal(store), Agents(reconciler, store))
    server = _server(ports)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.handle_exit, number, None)
    address = "{}:{}".format(*listening.getsockname()[:2])
    log.info("serving", address=address, config=source.location, branch=source.branch)
    async with asyncio.TaskGroup() as group:
        reconciling = group.create_task(reconciler.run())
        await server.serve(sockets=[listening])
        reconciling.cancel()


class _Server(uvicorn.Server):
    """A server whose signals are the caller's: uvicorn would raise them again at its end."""

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server(ports: Ports) -> uvicorn.Server:
    return _Server(
        uvicorn.Config(
            create_app(ports),
            log_level="warning",
            access_log=False,
            ws="websockets-sansio",
            ws_max_size=MAX_FRAME,
            ws_ping_interval=10,
            ws_ping_timeout=10,
            timeout_graceful_shutdown=1,
        )
    )


def _listen(host: str, port: int) -> socket.socket:
    address = "127.0.0.1" if host == "localhost" else host
    try:
        loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise CannotServeError(
            f"there is no login yet, so the API listens on loopback only, not on {host}",
            "leave --host out, and reach it through an ssh tunnel",
        )
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((address, port))
    except OSError as error:
        listening.close()
        raise CannotServeError(
            f"can't listen on {address}:{port}: {error.strerror}",
            "stop what listens there, or choose another --port",
        ) from error
    return listening


def _encode(event: values.Event) -> bytes:
    return stream.encode(event.seq, views.EventView(**event.model_dump()))


class Past:
    """What the reconciler has remembered, kept in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def append(self, happened: Sequence[Event]) -> None:
        if happened:
            fresh = [values.NewEvent(**_fields(each)) for each in happened]
            await self._store.append(fresh)

    async def put_deployment(self, deployment: Deployment) -> None:
        await self._store.upsert(values.Deployment(**_fields(deployment)))
        if deployment.finished_at is not None:
            self._store.logs.finish(deployment.id)

    async def deployments(self) -> Sequence[Deployment]:
        latest = await self._store.latest_deployments()
        return [Deployment(**each.model_dump(exclude={"stages"})) for each in latest]

    async def history(self) -> History:
        return await self._store.history()

    async def set_applied(self, sandbox: str, service: str, version: str) -> None:
        done = values.Applied(sandbox=sandbox, service=service, hash=version)
        await self._store.set_applied(done)

    async def put_failure(self, failure: Failure) -> None:
        await self._store.put_failure(failure)

    async def clear_failures(self, sandbox: str, service: str) -> None:
        await self._store.clear_failures(sandbox, service)

    async def forget(self, sandbox: str) -> None:
        await self._store.forget(sandbox)

    async def leases(self) -> Sequence[Lease]:
        return await self._store.leases()

    async def replace_leases(self, leases: Iterable[Lease]) -> None:
        await self._store.replace_leases(leases)


def _fields(value: Event | Deployment) -> dict[str, object]:
    """Return the fields of a value, one level deep."""
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


class Plane:
    """What the API reads of the reconciler."""

    def __init__(self, reconciler: Reconciler) -> None:
        self._reconciler = reconciler

    @property
    def revision(self) -> str:
        return self._reconciler.world().desired.revision

    @property
    def platform(self) -> Platform | None:
        return self._reconciler.world().desired.platform

    @property
    def tree(self) -> Tree | None:
        return self._reconciler.tree

    @property
    def observed(self) -> Observed:
        return self._reconciler.world().observed

    def sandboxes(self) -> Sequence[views.SandboxView]:
        names = self._reconciler.statuses()
        return [view for name in names if (view := self.sandbox(name))]

    def sandbox(self, name: str) -> views.SandboxView | None:
        status, whole = self._reconciler.status(name), self._reconciler.world()
        if status is None:
            return None
        plan = self._reconciler.plan_of(name) or Plan()
        return showing.sandbox(status, showing.named(whole.desired, name), plan, whole.history)

    def plan_of(self, name: str) -> views.PlanView | None:
        plan = self._reconciler.plan_of(name)
        if plan is None:
            return None
        return showing.plan({name.lower(): plan}, self._reconciler.world())

    async def preview(self, files: Mapping[str, str], only: str | None) -> views.PlanView:
        return await asyncio.to_thread(self._preview, files, only)

    def _preview(self, files: Mapping[str, str], only: str | None) -> views.PlanView:
        tree = load.load(_blob(path, text) for path, text in files.items())
        plans, whole = self._reconciler.preview(tree, only)
        applied = self._reconciler.world().desired.revision
        title = f"Working tree against what runs (commit {applied[:7]} is applied)"
        whole = dataclasses.replace(
            whole, desired=dataclasses.replace(whole.desired, revision=applied)
        )
        return showing.plan(plans, whole, resolve.problems(tree), title, files)

    def sync(self, name: str) -> str:
        return self._reconciler.sync(name)

    def unready(self) -> Sequence[views.Condition]:
        trouble = self._reconciler.trouble
        if trouble is not None:
            return [
                views.Condition(
                    type="Source", reason=trouble.reason, message=trouble.message, fix=trouble.fix
                )
            ]
        if not self.revision:
            message = "the config repo has not been read yet"
            return [views.Condition(type="Source", reason="Starting", message=message)]
        return []


def _blob(path: str, text: str) -> Blob:
    content = text.encode()
    return Blob(path, hashlib.sha256(content).hexdigest(), content)


class Journal:
    """What the API reads of the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def latest(self) -> int:
        return await self._store.latest()

    async def follow(
        self, after: int, sandbox: str | None, until: int | None = None
    ) -> AsyncGenerator[bytes | Gone, None]:
        if after < 0:
            yield Gone("the cursor is no event's number")
            return
        if until is not None:
            async for item in self._upto(after, sandbox, until):
                yield item
            return
        async with contextlib.aclosing(self._store.follow(after, sandbox)) as batches:
            async for batch in batches:
                if isinstance(batch, values.Resync):
                    yield Gone(batch.reason)
                    return
                yield batch.encoded

    async def _upto(
        self, after: int, sandbox: str | None, until: int
    ) -> AsyncGenerator[bytes | Gone, None]:
        while after < until:
            page = await self._store.events(after, PAGE, sandbox)
            if isinstance(page, values.Resync):
                yield Gone(page.reason)
                return
            wanted = [event for event in page if event.seq <= until]
            if wanted:
                yield b"".join(_encode(event) for event in wanted)
            if len(wanted) < PAGE:
                return
            after = wanted[-1].seq

    async def deployments(
        self,
        sandbox: str | None,
        service: str | None,
        status: views.DeploymentStatus | None,
        limit: int,
        cursor: str,
    ) -> views.DeploymentPage:
        try:
            page = await self._store.deployments(
                sandbox=sandbox, service=service, status=status, limit=limit, cursor=cursor
            )
        except BadCursorError as error:
            raise ProblemError(
                400, "bad-cursor", "Bad cursor", str(error), "list from the start"
            ) from error
        shown = tuple(views.DeploymentView(**each.model_dump()) for each in page.deployments)
        return views.DeploymentPage(deployments=shown, following=page.following)

    async def deployment(self, identifier: str) -> views.DeploymentView | None:
        known = await self._store.deployment(identifier)
        return views.DeploymentView(**known.model_dump()) if known else None

    async def log(
        self, deployment: str, after: int, *, follow: bool
    ) -> AsyncGenerator[Sequence[views.LogLineView], None]:
        logs = self._store.logs
        if follow:
            async with contextlib.aclosing(logs.follow(deployment, after)) as batches:
                async for lines in batches:
                    yield [_line(each) for each in lines]
            return
        while lines := await logs.read(deployment, after, PAGE):
            yield [_line(each) for each in lines]
            after = lines[-1].seq


def _line(line: LogLine) -> views.LogLineView:
    return views.LogLineView(seq=line.seq, at=line.at, stage=line.stage, text=line.text)


class Agents:
    """Where agents' frames go: what must come once through the store, all into the reconciler."""

    def __init__(self, reconciler: Reconciler, store: Store) -> None:
        self._reconciler = reconciler
        self._store = store
        self._sends: dict[str, NodeSend] = {}

    async def stored(self, node: str, outbox: str) -> int:
        return await self._store.stored(node, outbox)

    async def connected(self, hello: Hello, send: Send) -> None:
        async def queue(frame: ToAgent) -> None:
            send(frame)

        self._sends[hello.node] = queue
        await self._reconciler.connected(hello.node, queue, hello)

    async def reported(self, node: str, report: NodeReport, generation: int) -> None:
        self._reconciler.reported(node, report, generation)

    async def changed(self, node: str, delta: Delta, generation: int) -> None:
        if not self._reconciler.changed(node, delta, generation):
            raise EndedError(_MISSED, "a change was missed: connect again, and report whole")

    async def entry(self, hello: Hello, seq: int, body: Body) -> None:
        effects = [body] if isinstance(body, StageEvent | LogLines) else []
        fresh = await self._store.accept(hello.node, hello.outbox, seq, effects)
        if fresh and not isinstance(body, LogLines):
            await self._reconciler.entry(hello.node, body)

    async def disconnected(self, node: str) -> None:
        if (send := self._sends.pop(node, None)) is not None:
            await self._reconciler.disconnected(node, send)
