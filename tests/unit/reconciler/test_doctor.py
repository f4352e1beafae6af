"""The doctor: each thing that would fail is found, said with its fix, and only when it is so."""

import dataclasses

import pytest

from sdp.protocol.report import (
    Archive,
    Disk,
    Engine,
    EngineFacts,
    Fact,
    Keys,
    Listener,
    NodeReport,
    Repository,
    Tool,
    difference,
    fold,
)
from sdp.reconciler import observed as observation
from sdp.reconciler.doctor import examine
from sdp.reconciler.draft import World
from sdp.reconciler.finding import Finding
from sdp.reconciler.observed import Skew
from sdp.reconciler.ports import Lease
from tests.builders import GATEWAY, MICRO, NOW, PLATFORM, Simulation, desired, sandbox
from tests.unit.reconciler.test_authority import Branch

VERSION = "1.0"
ADMIN = "roles: {users: {achmad: {role: ADMIN}}}\n"
KEY = "ssh-ed25519 " + "A" * 68
SOUND: dict[str, Fact] = {
    "tool/git": Tool(version="2.39.5"),
    "tool/go": Tool(version="1.19.8"),
    "disk/state": Disk(path="/sdp", total_bytes=100 << 30, free=40, inodes=90, writable=True),
    "engine": EngineFacts(api="1.41", networks=31, strange=1),
}
A = sandbox("QA-A", "account: {branch: develop}")


def world(*sandboxes: str, platform: str = PLATFORM) -> Simulation:
    """Return nodes on which nothing is wrong."""
    made = Simulation(desired(*(sandboxes or (A,)), platform=platform + ADMIN))
    for node, image in ((MICRO, "runtime:latest"), (GATEWAY, "gateway:latest")):
        change(made, node, facts=SOUND, images={image: "sha256:1"}, engine=Engine(version="20"))
    return made


def change(made: Simulation, node: str, **sections: object) -> None:
    report = made.observed[node].report.model_copy(update=sections)
    known = observation.report(made.observed, node, report, 1, NOW)
    made.observed = {**known, node: dataclasses.replace(known[node], version=VERSION)}


def facts(made: Simulation, node: str, **changes: Fact) -> None:
    known = made.observed[node].report.facts
    changed = {name.replace("_", "/"): fact for name, fact in changes.items()}
    change(made, node, facts={**known, **changed})


def found(made: Simulation) -> tuple[Finding, ...]:
    return examine(made.world(), VERSION)


def the_one(made: Simulation, *told: str) -> Finding:
    """Return the only finding, which says all this and what to do."""
    (only,) = found(made)
    for word in told:
        assert word in f"{only.message} | {only.fix}"
    assert only.fix
    return only


def test_where_nothing_is_wrong_nothing_is_found() -> None:
    made = world()
    assert found(made) == ()
    made.converge()
    assert found(made) == ()


def test_a_missing_image_is_told_with_who_needs_it() -> None:
    made = world(A, sandbox("QA-B", "user: {branch: develop}"))
    change(made, MICRO, images={})
    one = the_one(made, "image runtime is missing", "QA-A/account, QA-B/user", "docker load")
    assert (one.severity, one.node, one.kind) == ("error", MICRO, "image")


def test_an_image_that_no_sandbox_needs_now_is_a_warning() -> None:
    made = world(sandbox("QA-A"))
    change(made, MICRO, images={})
    assert the_one(made, "runtime", "no sandbox needs it now").severity == "warning"


def test_an_image_that_an_archive_holds_is_not_missing() -> None:
    made = world()
    change(made, MICRO, images={})
    facts(made, MICRO, archive_x=Archive(images=("runtime:latest",)))
    assert found(made) == ()


def test_a_repository_that_the_agent_lacks_is_told() -> None:
    made = world()
    known = made.observed[MICRO].report.repositories
    change(made, MICRO, repositories={n: r for n, r in known.items() if n != "account"})
    one = the_one(made, "no repository account", "QA-A/account can't be built", "agent.yaml")
    assert (one.severity, one.kind) == ("error", "repository")


def test_a_repository_that_can_not_be_read_is_told_with_the_reason() -> None:
    made = world()
    known = dict(made.observed[MICRO].report.repositories)
    known["user"] = Repository(branches={}, present=(), error="permission denied", checked_at=NOW)
    change(made, MICRO, repositories=known)
    assert the_one(made, "user can't be read: permission denied").severity == "warning"


def test_a_branch_that_is_wanted_and_not_there_is_told() -> None:
    made = world(sandbox("QA-A", "account: {branch: feature/typo}"))
    one = the_one(made, "account has no branch feature/typo", "QA-A/account", "push feature/typo")
    assert (one.severity, one.kind) == ("error", "repository")


def test_a_repository_that_was_not_looked_at_yet_misses_no_branch() -> None:
    made = world()
    known = dict(made.observed[MICRO].report.repositories)
    known["account"] = Repository(branches={}, present=(), error="", checked_at=None)
    change(made, MICRO, repositories=known)
    assert found(made) == ()


def test_a_stranger_on_a_pinned_port_is_told_by_name() -> None:
    made = world(sandbox("QA-A", "account: {branch: develop, port: 9005}"))
    change(made, MICRO, listeners={"9005": Listener(owner="nginx (pid 12)")})
    one = the_one(made, "9005", "QA-A/account pins", "nginx (pid 12)", "pin another port")
    assert (one.severity, one.kind) == ("error", "port")


def test_a_container_that_just_took_its_pinned_port_is_no_stranger() -> None:
    made = world(sandbox("QA-A", "account: {branch: develop, port: 9001}"))
    made.converge()
    change(made, MICRO, listeners={"9001": Listener(owner="docker-proxy")})
    assert found(made) == ()


def test_two_that_pin_one_port_are_told_together() -> None:
    made = world(
        sandbox("QA-A", "account: {branch: develop, port: 9005}"),
        sandbox("QA-B", "user: {branch: develop, port: 9005}"),
    )
    assert the_one(made, "QA-A/account and QA-B/user").kind == "port"


def test_a_stranger_where_a_range_begins_is_a_warning() -> None:
    made = world()
    change(made, GATEWAY, listeners={"8080": Listener(owner="tomcat")})
    assert the_one(made, "port 8080, where ports.gateway begins", "tomcat").severity == "warning"


@pytest.mark.parametrize(("taken", "severity"), [(8, None), (9, "warning"), (10, "error")])
def test_a_range_that_is_nearly_used_up_is_told(taken: int, severity: str | None) -> None:
    few = "\nports: {services: {first: 9001, last: 9010}}\n"
    made = world(platform=PLATFORM + few)
    made.leases = {
        (MICRO, port): Lease(MICRO, port, "QA-A", "account", str(port))
        for port in range(9001, 9001 + taken)
    }
    told = [each.severity for each in found(made)]
    assert told == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("total", "free", "severity"),
    [
        (100 << 30, 10, None),
        (100 << 30, 9, "warning"),
        (100 << 30, 4, "error"),
        (8 << 30, 12, "error"),
    ],
)
def test_a_disk_is_told_before_it_is_full(total: int, free: int, severity: str | None) -> None:
    made = world()
    disk = Disk(path="/sdp", total_bytes=total, free=free, inodes=90, writable=True)
    facts(made, MICRO, disk_state=disk)
    assert [each.severity for each in found(made)] == ([severity] if severity else [])
    if severity:
        the_one(made, "/sdp", f"({free} %)", "free space")


def test_a_disk_without_inodes_or_that_can_not_be_written_to_is_told() -> None:
    made = world()
    full = Disk(path="/sdp", total_bytes=100 << 30, free=50, inodes=3, writable=True)
    facts(made, MICRO, disk_state=full)
    assert the_one(made, "3 % of its inodes").severity == "error"
    locked = full.model_copy(update={"inodes": 90, "writable": False})
    facts(made, MICRO, disk_state=locked)
    assert the_one(made, "/sdp can't be written to").severity == "error"


@pytest.mark.parametrize(
    ("skew", "severity"),
    [
        (Skew(29, 0), None),
        (Skew(-45, 1), "warning"),
        (Skew(45, 20), None),
        (Skew(86_400, 1), "error"),
    ],
)
def test_a_clock_is_told_when_it_is_off_for_certain(skew: Skew, severity: str | None) -> None:
    made = world()
    made.observed = observation.timed(made.observed, MICRO, skew)
    assert [each.severity for each in found(made)] == ([severity] if severity else [])
    if severity:
        the_one(made, "clock is", "ahead of" if skew.seconds > 0 else "behind", "timedatectl")


def test_a_silent_agent_is_told_and_nothing_else_of_its_node() -> None:
    made = world()
    change(made, MICRO, images={}, facts={})
    made.observed = observation.silent(made.observed, MICRO)
    one = the_one(made, f"the agent of {MICRO} is silent since 2026-11-23 09:00:00 UTC")
    assert (one.severity, one.kind) == ("error", "agent")
    made.desired = desired(sandbox("QA-A"), platform=PLATFORM + ADMIN)
    assert the_one(made, "silent").severity == "warning"


def test_an_agent_that_was_never_heard_is_told() -> None:
    made = world()
    made.observed = {MICRO: made.observed[MICRO]}
    assert the_one(made, f"the agent of {GATEWAY} was never heard", "sdp agent").node == GATEWAY


def test_an_agent_of_another_version_is_a_warning() -> None:
    made = world()
    old = dataclasses.replace(made.observed[MICRO], version="0.9")
    made.observed = {**made.observed, MICRO: old}
    assert the_one(made, "sdp 0.9", "install sdp 1.0").severity == "warning"


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        ("connection refused", "systemctl start docker"),
        ("the engine speaks API 1.40, older than 1.41", "install Docker Engine"),
    ],
)
def test_an_engine_that_does_not_answer_or_is_too_old_is_told(error: str, fix: str) -> None:
    made = world()
    change(made, MICRO, engine=Engine(version="20", error=error))
    assert the_one(made, error, fix).kind == "engine"


@pytest.mark.parametrize(
    ("room", "severity"), [(10, None), (4, "warning"), (2, "error"), (1, "error")]
)
def test_address_pools_without_room_for_the_sandboxes_are_told(
    room: int, severity: str | None
) -> None:
    made = world(A, sandbox("QA-B", "user: {branch: develop}"))
    facts(made, MICRO, engine=EngineFacts(api="1.41", networks=room, strange=1))
    told = [each for each in found(made) if each.kind == "network"]
    assert [each.severity for each in told] == ([severity] if severity else [])
    assert all("default-address-pools" in each.fix for each in told)


@pytest.mark.parametrize(
    ("tool", "version", "told", "severity"),
    [
        ("git", "", "git is missing", "error"),
        ("git", "2.25.1", "git 2.25.1 is older than 2.32", "error"),
        ("go", "", "no service can be built", "error"),
        ("composer", "", "vendor/ is used as committed", "warning"),
    ],
)
def test_a_tool_that_is_missing_or_too_old_is_told(
    tool: str, version: str, told: str, severity: str
) -> None:
    made = world()
    facts(made, MICRO, **{f"tool_{tool}": Tool(version=version)})
    one = the_one(made, told, "apt install")
    assert (one.kind, one.severity) == ("tool", severity)


def test_go_is_not_asked_for_where_no_service_is_built() -> None:
    made = world()
    facts(made, GATEWAY, tool_go=Tool(version=""))
    assert found(made) == ()


def test_a_spec_that_does_not_load_is_told_with_its_place() -> None:
    made = world()
    broken = dataclasses.replace(made.desired, platform=None)
    assert [
        each.kind for each in examine(dataclasses.replace(made.world(), desired=broken), "")
    ] == ["spec"]


def test_an_agent_that_has_not_looked_yet_lacks_nothing() -> None:
    made = world()
    for node in (MICRO, GATEWAY):
        change(made, node, facts={}, images={}, engine=Engine())
    assert found(made) == ()


def test_a_report_of_facts_is_small_when_little_changes() -> None:
    before = NodeReport(facts=SOUND)
    after = NodeReport(facts={**SOUND, "tool/git": Tool(version="2.40")})
    delta = difference(before, after)
    assert delta is not None
    assert list(delta.facts) == ["tool/git"]
    assert fold(before, delta) == after


def node_with(recipient: str) -> str:
    return PLATFORM.replace("type: MICRO}", f"type: MICRO, recipient: {recipient}}}")


MINE = "age1rx8c7xanvc5kzdj8zhrj228x4u238gsg2wr4t4wpg9vgs5gxpuuqz30tc7"
OTHER = "age1afwvafc3m0fad82zqt9pf578yzxzne0stus9ya3wksuzhe356fwqzvp7nv"


@pytest.mark.parametrize(
    ("named", "keys", "severity", "told"),
    [
        (MINE, Keys(recipients=(MINE, OTHER)), None, ()),
        ("", Keys(message="its agent has no identity: in agent.yaml"), None, ()),
        (MINE, Keys(message="there is no file"), "error", ("there is no file", "sdp env keygen")),
        (
            MINE,
            Keys(message="it is open", fix="chmod 600 x"),
            "error",
            ("it is open", "chmod 600"),
        ),
        (MINE, Keys(recipients=(OTHER,)), "error", (MINE, OTHER, "sdp env rotate --all")),
        ("", Keys(recipients=(MINE,)), "warning", ("does not name", f"recipient: {MINE}")),
    ],
)
def test_keys_are_those_that_secrets_are_encrypted_for(named, keys, severity, told) -> None:
    made = world(platform=node_with(named) if named else PLATFORM)
    facts(made, MICRO, keys=keys)
    if severity is None:
        assert found(made) == ()
    else:
        assert (the_one(made, *told).severity, the_one(made).kind) == (severity, "keys")


def bound(roles: str) -> World:
    return Simulation(desired(A, platform=f"{PLATFORM}roles: {roles}\n")).world()


def rights(whole: World, key: str = KEY) -> list[str]:
    return [each.message for each in examine(whole, VERSION, key) if each.kind == "rights"]


def test_that_everybody_is_admin_is_told():
    assert rights(bound("{users: {sari: {role: QA}}}")) == [
        "nobody is bound to ADMIN, so everybody is one"
    ]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("", False),
        ("require_signed_commits: true", True),
        (f"users: {{sdp: {{keys: ['{'ssh-ed25519 ' + 'B' * 68}']}}}}", True),
        (f"users: {{SDP: {{keys: ['{KEY} ours']}}}}, require_signed_commits: true", False),
    ],
)
def test_a_key_of_the_control_planes_that_does_not_count_is_told(said, told):
    found = rights(bound(f"{{default: ADMIN, {said}}}"))
    assert [("not listed" in each) for each in found] == [True] * told


def test_what_does_not_count_is_told_with_what_to_do():
    branch = Branch()
    sha = branch.push("sari", {"templates/base.yaml": None})
    whole = bound("{default: ADMIN}")
    meant = dataclasses.replace(whole.desired, withheld=branch.standing().withheld)
    told = examine(dataclasses.replace(whole, desired=meant), VERSION)
    (found,) = (each for each in told if each.kind == "rights")
    assert found.message == (
        f"the removal of templates/base.yaml by sari in {sha[:7]} does not count: "
        "it takes 'manage templates', which BACKEND has"
    )
    assert f"sdp approve {sha[:7]}" in found.fix
