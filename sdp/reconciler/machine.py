"""The doctor's look at a machine: its agent, clock, engine, tools, disks and keys. Pure."""

import datetime
from collections.abc import Iterator
from typing import Final

from sdp.protocol.report import Disk, EngineFacts, Keys, Tool
from sdp.reconciler.finding import Finding, Patient

OLDEST_GIT: Final = (2, 32)
"""The first git that can be kept from reading its users' settings (GIT_CONFIG_GLOBAL)."""
LOW: Final = 10
FULL: Final = 5
"""Per cent of a disk that are still free."""
LEAST_BYTES: Final = 1 << 30
SKEWED: Final = 30.0
WRONG: Final = 300.0
"""Seconds between two clocks."""
FEW_NETWORKS: Final = 3
_PACKAGES: Final = {"go": "golang-go"}


def machine(patient: Patient, version: str) -> Iterator[Finding]:
    """Yield what is wrong with a node itself, whatever runs on it."""
    yield from _agent(patient, version)
    yield from _clock(patient)
    yield from _engine(patient)
    yield from _networks(patient)
    yield from _tools(patient)
    yield from _disks(patient)
    yield from _keys(patient)


def _agent(patient: Patient, version: str) -> Iterator[Finding]:
    if patient.seen.version != version:
        message = f"the agent is of sdp {patient.seen.version}, the control plane of {version}"
        yield patient.warning("agent", message, f"install sdp {version} on {patient.id}")


def _clock(patient: Patient) -> Iterator[Finding]:
    skew = patient.seen.skew
    off = abs(skew.seconds) - skew.margin if skew else 0.0
    if skew is None or off <= SKEWED:
        return
    way = "ahead of" if skew.seconds > 0 else "behind"
    about = datetime.timedelta(seconds=round(abs(skew.seconds)))
    message = f"its clock is {about} {way} the control plane's"
    fix = f"let both follow the same time server: timedatectl set-ntp true on {patient.id}"
    tell = patient.error if off > WRONG else patient.warning
    yield tell("clock", message, fix)


def _engine(patient: Patient) -> Iterator[Finding]:
    error = patient.report.engine.error
    if not error:
        return
    fix = f"start it: systemctl start docker on {patient.id}"
    if "older than" in error:
        fix = "install Docker Engine 20.10 or newer"
    yield patient.error("engine", f"the engine does not answer: {error}", fix)


def _networks(patient: Patient) -> Iterator[Finding]:
    """Each sandbox has a network of its own, and an engine has room for few."""
    facts = patient.facts.get("engine")
    if not isinstance(facts, EngineFacts):
        return
    mine = patient.report.networks.values()
    free = facts.networks - facts.strange - len(mine)
    there = {network.sandbox for network in mine}
    missing = len(patient.needs.sandboxes - there)
    message = f"the engine's address pools have room for {facts.networks} networks: {max(free, 0)}"
    message += f" are free, and {missing} sandboxes still need one"
    fix = "add default-address-pools to /etc/docker/daemon.json and restart docker, such as "
    fix += '[{"base": "10.200.0.0/16", "size": 24}] for 256'
    if missing > max(free, 0):
        yield patient.error("network", message, fix)
    elif free - missing < FEW_NETWORKS:
        yield patient.warning("network", message, fix)


def _tools(patient: Patient) -> Iterator[Finding]:
    services = [each for each in patient.platform.services.values() if each.node == patient.id]
    for key, fact in sorted(patient.facts.items()):
        if not isinstance(fact, Tool):
            continue
        name = key.partition("/")[2]
        fix = f"install {name} on {patient.id}: apt install {_PACKAGES.get(name, name)}"
        match name, fact.version:
            case "git", "":
                yield patient.error("tool", "git is missing: nothing can be fetched", fix)
            case "git", version if _older(version, OLDEST_GIT):
                oldest = ".".join(map(str, OLDEST_GIT))
                yield patient.error("tool", f"git {version} is older than {oldest}", fix)
            case "go", "" if services:
                tell = patient.error if patient.needs.builds else patient.warning
                yield tell("tool", "go is missing: no service can be built", fix)
            case "composer", "":
                message = "composer is missing: of the gateway, vendor/ is used as committed"
                yield patient.warning("tool", message, fix)
            case _:
                pass


def _older(version: str, oldest: tuple[int, ...]) -> bool:
    return tuple(int(part) for part in version.split(".")[: len(oldest)]) < oldest


def _disks(patient: Patient) -> Iterator[Finding]:
    for fact in patient.facts.values():
        if isinstance(fact, Disk):
            yield from _disk(patient, fact)


def _disk(patient: Patient, disk: Disk) -> Iterator[Finding]:
    if not disk.writable:
        fix = "mount it for writing, and let the agent's user write there"
        yield patient.error("disk", f"{disk.path} can't be written to", fix)
    fix = "free space there, or move it to a larger disk"
    message = f"{disk.path} has {_gigabytes(disk.free_bytes)} of {_gigabytes(disk.total_bytes)}"
    message += f" free ({disk.free} %)"
    if disk.free < FULL or disk.free_bytes < LEAST_BYTES:
        yield patient.error("disk", message, fix)
    elif disk.free < LOW:
        yield patient.warning("disk", message, fix)
    if disk.inodes < LOW:
        tell = patient.error if disk.inodes < FULL else patient.warning
        message = f"{disk.path} has {disk.inodes} % of its inodes free"
        yield tell("disk", message, "remove small files there, or move it to another disk")


def _gigabytes(amount: int) -> str:
    return f"{amount / (1 << 30):.1f} GB"


def _keys(patient: Patient) -> Iterator[Finding]:
    """Compare the agent's keys with what platform.yaml has people encrypt for."""
    keys = patient.facts.get("keys")
    nodes = {node.id: node.recipient for node in patient.platform.nodes}
    recipient = nodes[patient.id]
    if not isinstance(keys, Keys):
        return
    if recipient and not keys.recipients:
        fix = (
            keys.fix or f"sdp env keygen -o FILE on {patient.id}; name it in agent.yaml: identity"
        )
        message = f"platform.yaml has secrets encrypted for it, and {keys.message}"
        yield patient.error("keys", message, fix)
    elif recipient and recipient not in keys.recipients:
        message = f"platform.yaml has secrets encrypted for {recipient}, and its agent's keys are"
        message += f" of {', '.join(keys.recipients)}"
        fix = f"write one of them as recipient: of {patient.id}, then sdp env rotate --all"
        yield patient.error("keys", message, fix)
    elif keys.recipients and not recipient:
        message = "its agent has a key that platform.yaml does not name: no secret reaches it"
        fix = f"write recipient: {keys.recipients[0]} to {patient.id} in platform.yaml"
        yield patient.warning("keys", message, fix)
