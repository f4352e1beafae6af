"""Performers for containers and networks: each can be run again at any point of a crash.

They decide from what the engine says now, never from memory; ``EngineDown`` passes through to
the one place that turns it into an outcome.
"""

import asyncio
import dataclasses
import datetime
from collections.abc import Mapping
from pathlib import Path

from sdp import clock
from sdp.agent import apache, images, listeners, live_environment, probe
from sdp.agent.copy_folder import folder_of
from sdp.agent.drain import drain
from sdp.agent.engine import (
    PORT,
    PROBE,
    BelowUse,
    Draft,
    Engine,
    EngineError,
    Inspected,
    Mount,
    NotFound,
)
from sdp.agent.gate import Gatekeeper, Lines
from sdp.agent.seals import Plaintext
from sdp.agent.strangers import Strangers
from sdp.protocol import actions
from sdp.protocol.actions import ContainerSpec
from sdp.protocol.frames import Failed, Outcome, Succeeded

STOP_SECONDS = 10
READMIT_SECONDS = 15.0
LAST_LINES = 200
STOPPING = "stop container"


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """What of a node's configuration containers need."""

    node: str
    instance: str
    images: Path
    copies: Path
    access: Path


class Containers:
    def __init__(self, engine: Engine, place: Place, journal: Lines, strangers: Strangers) -> None:
        self._engine = engine
        self._place = place
        self._strangers = strangers
        self._journal = journal
        self._gatekeeper = Gatekeeper(engine, journal)

    async def start_service(
        self, action: actions.StartService, release: Path, opened: Plaintext
    ) -> Outcome:
        """Create and start a container, with what was opened in its environment and its files."""
        spec = action.container
        draft = dataclasses.replace(
            _draft(spec),
            environment={**spec.environment, **opened.variables},
            command=(f"/src/app-{action.recipe.service}",),
            folder="/src",
            mounts=(Mount(release, "/src"),),
        )
        return await self._start(spec, draft, {**spec.files, **opened.files})

    async def start_gateway(self, action: actions.StartGateway) -> Outcome:
        spec = action.container
        try:
            tree = folder_of(self._place.copies, spec.sandbox, spec.commit).tree
        except ValueError as error:
            return Failed(reason="HostileName", message=str(error), terminal=True)
        access = self._place.access / spec.sandbox.lower()
        access.mkdir(parents=True, exist_ok=True)
        draft = dataclasses.replace(
            _draft(spec),
            aliases=("gateway",),
            mounts=(
                Mount(tree, action.mount),
                Mount(access, action.access_log, read_only=False),
            ),
            keep=apache.CAPABILITIES,
        )
        return await self._start(spec, draft, {**spec.files, **live_environment.FILES})

    async def _start(self, spec: ContainerSpec, draft: Draft, files: Mapping[str, str]) -> Outcome:
        found = await self._engine.inspect(spec.name)
        if found is not None:
            return await self._adopt(spec, found, files)
        missing = await images.ensure(
            self._engine, spec.image, self._place.images, self._place.node
        )
        if missing is not None:
            return missing
        if await asyncio.to_thread(listeners.taken, spec.host_port):
            return await self._port_taken(spec.host_port)
        created = await self._engine.create(draft)
        try:
            if files:
                await self._engine.put(created, files)
            await self._engine.start(created)
        except EngineError as error:
            await self._engine.remove(created)
            return await self._refused(error, spec.host_port)
        return Succeeded()

    async def _adopt(
        self, spec: ContainerSpec, found: Inspected, files: Mapping[str, str]
    ) -> Outcome:
        if found.labels.get("sdp.instance") != self._place.instance:
            return Failed(
                reason="NameTaken",
                message=f"container {spec.name} exists on {self._place.node} and is not ours "
                f"(image {found.image}, id {found.id[:12]})",
                fix=f"rename or remove it: docker rename {spec.name} {spec.name}-old",
                terminal=True,
            )
        if found.labels.get("sdp.hash") != spec.hash:
            return Failed(
                reason="NameInUse",
                message=f"container {spec.name} exists with hash {found.labels.get('sdp.hash')}, "
                f"not {spec.hash}",
            )
        if found.state == "created" and files:  # who created it may not have come to the files
            await self._engine.put(found.id, files)
        return await self._run(found)

    async def _run(self, found: Inspected) -> Outcome:
        if found.state not in {"running", "restarting"}:
            try:
                await self._engine.start(found.id)
            except EngineError as error:
                return await self._refused(error, int(found.labels.get(PORT, "0")))
        return Succeeded()

    async def _refused(self, error: EngineError, port: int) -> Failed:
        if "port is already allocated" in str(error) or "address already in use" in str(error):
            return await self._port_taken(port)
        return Failed(reason="EngineRefused", message=str(error))

    async def _port_taken(self, port: int) -> Failed:
        who = await self._strangers.refused(port)
        return Failed(
            reason="PortTaken",
            message=f"port {port} on {self._place.node} is taken by {who}",
            fix=f"stop {who}, or give this service another port",
        )

    async def resume(self, action: actions.Resume) -> Outcome:
        found = await self._engine.inspect(action.container)
        return _gone(action.container) if found is None else await self._run(found)

    async def restart(self, action: actions.Restart) -> Outcome:
        """Do it once, however often it is asked for: what has started since is left alone."""
        found = await self._engine.inspect(action.container)
        if found is not None and found.started_at == action.started_at:
            await self._engine.stop(found.id, STOP_SECONDS)
            found = await self._engine.inspect(found.id)
        return _gone(action.container) if found is None else await self._run(found)

    async def gate(self, action: actions.Gate) -> Outcome:
        return await self._gatekeeper.gate(action.container, action.probe)

    async def admit(self, action: actions.Admit) -> Outcome:
        """Join the network anew with the alias: the engine has no other way to give one."""
        found = await self._engine.inspect(action.container)
        if found is None:
            return _gone(action.container)
        if action.alias not in found.aliases.get(action.network, ()):
            if action.network in found.aliases:
                await self._engine.disconnect(action.network, found.id)
            await self._engine.connect(action.network, found.id, (action.alias,))
        return await self._answers(found)

    async def _answers(self, found: Inspected) -> Outcome:
        told = probe.probe_of(found)
        if told is None:
            return Succeeded()
        limit = clock.now() + datetime.timedelta(seconds=READMIT_SECONDS)
        while not (answer := await probe.ask(told[0], told[1].path)).healthy:
            if clock.now() > limit:
                return Failed(
                    reason="NotAdmitted",
                    message=f"{found.name} stopped answering when it got its alias: {answer.said}",
                )
            await asyncio.sleep(0.1)
        return Succeeded()

    async def set_limits(self, action: actions.SetLimits) -> Outcome:
        try:
            await self._engine.limit(action.container, action.limits)
        except BelowUse as error:
            return Failed(
                reason="BelowUse",
                message=f"the new memory limit is below what is in use: {error}",
                fix="wait: another container takes its place",
                terminal=True,
            )
        return Succeeded()

    async def rename(self, action: actions.Rename) -> Outcome:
        found = await self._engine.inspect(action.container)
        if found is None:
            return _gone(action.container)
        if found.name != action.name:
            await self._engine.rename(found.id, action.name)
        return Succeeded()

    async def stop(self, action: actions.Stop) -> Outcome:
        await self._engine.stop(action.container, STOP_SECONDS)
        return Succeeded()

    async def remove(self, action: actions.Remove) -> Outcome:
        found = await self._engine.inspect(action.container)
        if found is None:
            return Succeeded(note="already gone")
        try:
            if _serves(found):
                await drain(found.pid)
            await self._engine.stop(found.id, STOP_SECONDS)
            lines = await self._engine.tail(found.id, LAST_LINES)
            if lines:
                deployment = found.labels.get("sdp.deployment", "")
                self._journal.lines(deployment, STOPPING, lines)
            await self._engine.remove(found.id)
        except NotFound:
            return Succeeded(note="already gone")
        return Succeeded()

    async def mounted(self) -> frozenset[Path]:
        """Return the folders of this machine that containers have, stopped ones too."""
        listed = (await self._engine.containers()).values()
        sources = [Path(source) for each in listed for source in each.mounts]
        return await asyncio.to_thread(lambda: frozenset(each.resolve() for each in sources))

    async def ensure_network(self, action: actions.EnsureNetwork) -> Outcome:
        await self._engine.create_network(action.name, action.sandbox)
        return Succeeded()

    async def remove_network(self, action: actions.RemoveNetwork) -> Outcome:
        try:
            await self._engine.remove_network(action.name)
        except NotFound:
            return Succeeded(note="already gone")
        return Succeeded()


def _serves(found: Inspected) -> bool:
    """Whether others may be speaking with a service: it was admitted, and runs."""
    service = found.labels.get("sdp.service", "")
    return bool(found.pid) and any(service in known for known in found.aliases.values())


def _gone(container: str) -> Failed:
    return Failed(reason="ContainerGone", message=f"container {container} is not there")


def _draft(spec: ContainerSpec) -> Draft:
    return Draft(
        name=spec.name,
        image=spec.image,
        labels=_labels(spec),
        network=spec.network,
        environment=spec.environment,
        ports={spec.container_port: spec.host_port},
        limits=spec.limits,
    )


def _labels(spec: ContainerSpec) -> Mapping[str, str]:
    """Return what the report is rebuilt from when everything but the engine is lost."""
    return {
        "sdp.sandbox": spec.sandbox,
        "sdp.service": spec.service,
        "sdp.commit": spec.commit,
        "sdp.branch": spec.branch,
        "sdp.hash": spec.hash,
        "sdp.peers": spec.peers,
        "sdp.generation": spec.generation,
        "sdp.deployment": spec.deployment,
        PROBE: spec.probe.model_dump_json(),
        PORT: str(spec.host_port),
    }
