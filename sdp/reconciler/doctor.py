"""Doctor: what would fail before it fails, with what to do about it. Pure.

Looks at what is desired against what the nodes have for it: images, tools, ports, disks, clocks,
repositories, keys. What a silent node has is unknown, and nothing but its silence is told of it.
"""

from collections.abc import Iterator
from typing import Final

from sdp.protocol.report import Archive
from sdp.reconciler.desired import Desired
from sdp.reconciler.draft import World
from sdp.reconciler.finding import Finding, Patient, needs_of, planned, who
from sdp.reconciler.machine import machine
from sdp.reconciler.observed import ObservedNode
from sdp.spec import models
from sdp.spec.roles import ITSELF, has_admin

NEARLY: Final = 0.9
"""The share of a range of ports that is in use when it is told."""


def examine(whole: World, version: str, signing_key: str = "") -> tuple[Finding, ...]:
    """Return what is wrong, by node, the worse first.

    Args:
        whole: what is desired and observed, as of now.
        version: the control plane's own.
        signing_key: the public key that it signs commits with; "" for none.
    """
    found = [*_specs(whole.desired), *_rights(whole.desired, signing_key)]
    platform = whole.desired.platform
    for node in platform.nodes if platform else ():
        seen = whole.observed.get(node.id)
        if seen is None or not seen.connected or platform is None:
            found += _silent(node.id, seen, whole.desired)
        else:
            needs = needs_of(node.id, whole.desired)
            patient = Patient(node.id, seen, needs, platform, whole)
            found += _examined(patient, version)
    return tuple(sorted(found, key=lambda each: (each.node, each.severity, each.kind)))


def _examined(patient: Patient, version: str) -> Iterator[Finding]:
    yield from machine(patient, version)
    yield from _images(patient)
    yield from _repositories(patient)
    yield from _branches(patient)
    yield from _sealed(patient)
    yield from _pins(patient)
    yield from _ranges(patient)


def _specs(desired: Desired) -> Iterator[Finding]:
    if desired.platform is None:
        message = "no platform.yaml was loaded yet"
        yield Finding("error", "", "spec", message, "commit one that sdp validate finds right")
    for problem in desired.problems:
        fix = f"mend {problem.path}: sdp validate"
        yield Finding(problem.severity, "", "spec", str(problem), fix)


def _rights(desired: Desired, signing_key: str) -> Iterator[Finding]:
    for withheld in desired.withheld.values():
        yield Finding("warning", "", "rights", withheld.message, withheld.fix)
    if desired.platform is not None and not has_admin(desired.platform.roles):
        message = "nobody is bound to ADMIN, so everybody is one"
        fix = "name one in platform.yaml: roles: {users: {NAME: {role: ADMIN}}}"
        yield Finding("warning", "", "rights", message, fix)
    if desired.platform is not None and signing_key and _unlisted(desired.platform, signing_key):
        message = "the control plane's key is not listed: what it commits does not count"
        fix = (
            f"write to platform.yaml: roles: {{users: {{{ITSELF}: {{keys: ['{signing_key}']}}}}}}"
        )
        yield Finding("error", "", "rights", message, fix)


def _unlisted(platform: models.Platform, signing_key: str) -> bool:
    """Whether signatures count, and the platform's own does not."""
    roles = platform.roles
    listed = {name.lower(): each.keys for name, each in roles.users.items()}.get(ITSELF, ())
    ours = (key.split()[:2] == signing_key.split()[:2] for key in listed)
    return bool(listed or roles.require_signed_commits) and not any(ours)


def _silent(node: str, seen: ObservedNode | None, desired: Desired) -> Iterator[Finding]:
    needed = bool(needs_of(node, desired).sandboxes)
    since = f"is silent since {seen.heard_at:%Y-%m-%d %H:%M:%S} UTC" if seen else "was never heard"
    yield Finding(
        "error" if needed else "warning",
        node,
        "agent",
        f"the agent of {node} {since}; what {node} holds is unknown",
        f"start it on {node}: sdp agent --config FILE; its log says what keeps it away",
    )


def _images(patient: Patient) -> Iterator[Finding]:
    there = {*patient.report.images, *patient.report.images.values()}
    for fact in patient.facts.values():
        if isinstance(fact, Archive):
            there.update(fact.images)
    if not patient.report.engine.version:
        return  # not looked yet
    for image, parties in sorted(_wanted_images(patient).items()):
        if "@" in image or _full(image) in there or image in there:
            continue
        fix = f"docker save {image} on a machine that has it, and docker load it on {patient.id}"
        if parties:
            message = f"image {image} is missing; {who(parties)} can't start without it"
            yield patient.error("image", message, fix)
        else:
            message = f"image {image} of platform.yaml is missing; no sandbox needs it now"
            yield patient.warning("image", message, fix)


def _wanted_images(patient: Patient) -> dict[str, list[str]]:
    wanted = {spec.image: list[str]() for spec in planned(patient)}
    return {**wanted, **patient.needs.images}


def _full(image: str) -> str:
    return image if ":" in image.rsplit("/", 1)[-1] else f"{image}:latest"


def _repositories(patient: Patient) -> Iterator[Finding]:
    wanted = {spec.repository: list[str]() for spec in planned(patient)}
    for name, parties in sorted({**wanted, **patient.needs.repositories}.items()):
        tell = patient.error if parties else patient.warning
        use = f"{who(parties)} can't be built" if parties else "no sandbox needs it now"
        known = patient.report.repositories.get(name)
        if known is None:
            fix = f"add {name}: /path/of/its/clone to repositories: in {patient.id}'s agent.yaml"
            yield tell("repository", f"the agent has no repository {name}; {use}", fix)
        elif known.error:
            fix = f"mend it on {patient.id}; then the agent looks again by itself"
            yield tell("repository", f"{name} can't be read: {known.error}; {use}", fix)


def _branches(patient: Patient) -> Iterator[Finding]:
    for (name, branch), parties in sorted(patient.needs.branches.items()):
        known = patient.report.repositories.get(name)
        if known is None or known.error or known.checked_at is None or branch in known.branches:
            continue
        message = f"{name} has no branch {branch}; {who(parties)} wants it"
        yield patient.error("repository", message, f"push {branch}, or name another branch")


def _sealed(patient: Patient) -> Iterator[Finding]:
    for digest, (path, parties) in sorted(patient.needs.sealed.items()):
        told = patient.report.sealed.get(digest)
        if told is not None and told.reason:
            message = f"{path} can't be opened: {told.message}; {who(parties)} needs it"
            fix = told.fix or f"encrypt it for {patient.id}: sdp env rotate"
            yield patient.error("keys", message, fix)


def _pins(patient: Patient) -> Iterator[Finding]:
    strangers = patient.strangers
    for (node, port), parties in sorted(patient.whole.reserved.items()):
        if node != patient.id:
            continue
        if port in strangers:
            message = f"port {port}, which {parties[0]} pins, is taken by {strangers[port]}"
            yield patient.error("port", message, f"stop it, or pin another port than {port}")
        if len(parties) > 1:
            message = f"port {port} is pinned by {' and '.join(parties)}"
            yield patient.error("port", message, "pin another port in all but one")


def _ranges(patient: Patient) -> Iterator[Finding]:
    platform = patient.platform
    if patient.id == platform.gateway.node:
        yield from _range(patient, "gateway", platform.ports.gateway)
    if any(service.node == patient.id for service in platform.services.values()):
        yield from _range(patient, "services", platform.ports.services)


def _range(patient: Patient, kind: str, ports: models.PortRange) -> Iterator[Finding]:
    every = patient.strangers.items()
    strangers = {port: owner for port, owner in every if ports.first <= port <= ports.last}
    leases = patient.whole.leases
    given = {p for node, p in leases if node == patient.id and ports.first <= p <= ports.last}
    size, used = ports.last - ports.first + 1, len(given | strangers.keys())
    widen = f"widen ports.{kind} in platform.yaml, or delete sandboxes that nobody uses"
    message = f"{used} of the {size} ports {ports.first}-{ports.last} are in use"
    if used >= size:
        yield patient.error("port", message, widen)
    elif used >= NEARLY * size:
        yield patient.warning("port", message, widen)
    if ports.first in strangers:
        owner = strangers[ports.first]
        message = f"port {ports.first}, where ports.{kind} begins, is taken by {owner}"
        yield patient.warning("port", message, "stop it, or let the range begin elsewhere")
