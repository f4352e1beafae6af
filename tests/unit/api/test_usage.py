"""What containers use, as the API tells it: nothing that is not known is made up."""

import dataclasses

from sdp.api import usage
from sdp.protocol.frames import Sample
from sdp.reconciler import observed as observation
from sdp.reconciler.plan import plan
from sdp.reconciler.status import SandboxStatus, status
from tests.builders import MICRO, NOW, Simulation, desired, sandbox

A = sandbox("QA-A", "account: {branch: develop, resources: {cpu: 500m, memory: 512MB}}")


def measured() -> tuple[Simulation, SandboxStatus]:
    made = Simulation(desired(A))
    made.converge()
    identity = made.containers()["sandbox-qa-a-account"].id
    for cpu in (10, 20):
        sample = Sample(container=identity, cpu_milli=cpu, memory_bytes=1 << 20)
        made.observed, _ = observation.measured(made.observed, MICRO, [sample], NOW)
    return made, status("qa-a", made.world(), plan("qa-a", made.world()), (), None)


def newest(made: Simulation, found: SandboxStatus) -> dict[str, int]:
    account = next(each for each in found.services if each.name == "account")
    return usage.newest(found.name, account, made.observed)


LIMITS = {"cpu_limit_milli": 500, "memory_limit_bytes": 512 << 20}


def test_the_series_has_every_service_that_has_a_container() -> None:
    made, found = measured()
    told = usage.series(found, made.observed)
    samples = {each.service: [s.cpu_milli for s in each.samples] for each in told.services}
    assert samples == {"gateway": [], "account": [10, 20]}


def test_the_newest_sample_is_told_with_the_limits() -> None:
    assert newest(*measured()) == {**LIMITS, "cpu_milli": 20, "memory_bytes": 1 << 20}


def test_of_a_silent_node_and_of_what_is_stopped_only_the_limits_are_told() -> None:
    made, found = measured()
    silent = dataclasses.replace(made, observed=observation.silent(made.observed, MICRO))
    assert newest(silent, found) == LIMITS
    made.edit(MICRO, "sandbox-qa-a-account", state="exited")
    assert newest(made, found) == LIMITS
    assert [each.samples for each in usage.series(found, made.observed).services] == [(), ()]
