"""The table of quotas answers: how much may still run, and who waits for what?"""

from starlette.testclient import TestClient

from sdp.api.app import create_app
from sdp.api.quota_table import quota_list
from sdp.reconciler.draft import World
from sdp.reconciler.memory import Memory
from tests.builders import NOW, PLATFORM, Simulation, desired, sandbox
from tests.fakes.control_plane import FakeControlPlane


def world(said: str) -> World:
    boxes = [
        sandbox(
            name,
            "account: {branch: feature/a}",
            more=f"owner: {owner}\nresources: {{memory: 1GB}}",
        )
        for name, owner in (("QA", "sari"), ("QB", "sari"), ("QC", "achmad"))
    ]
    memory = Memory()
    memory.desired = desired(*boxes, platform=f"{PLATFORM}{said}")
    memory.observed = Simulation(memory.desired).observed
    return memory.world(NOW)


def test_each_quota_is_listed_with_what_is_taken_and_who_waits():
    found = quota_list(world("quotas: {memory: 8GB, per_owner: {running: 1}}\n"))
    rows = [(e.owner, e.running, e.running_limit, e.memory, e.memory_limit) for e in found.quotas]
    assert rows == [
        (None, 2, None, 2 << 30, 8 << 30),
        ("achmad", 1, 1, 1 << 30, None),
        ("sari", 1, 1, 1 << 30, None),
    ]
    assert [(e.number, e.sandbox, e.reason, e.since) for e in found.queue] == [
        (1, "QB", "Queued", NOW)
    ]


def test_without_quotas_there_is_nothing_to_list():
    found = quota_list(world(""))
    assert (found.quotas, found.queue) == ((), ())


def test_the_table_is_served():
    control = FakeControlPlane()
    control.plane.taken = quota_list(world("quotas: {running: 1}\n"))
    answer = TestClient(create_app(control.ports)).get("/api/quotas").json()
    assert answer["quotas"][0]["sandboxes"] == ["QA"]
    assert [each["sandbox"] for each in answer["queue"]] == ["QB", "QC"]
