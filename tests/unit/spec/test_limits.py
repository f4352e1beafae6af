"""Limits: who has which, who shares the rest, and what is said where the ceiling can't be kept."""

import pytest

from sdp.spec import limits, quantities
from sdp.spec.resolve import Resolved, Unresolved, resolve
from tests.unit.spec.commits import PLATFORM, commit

PATH = "sandboxes/x.yaml"
TWO = "services:\n  account: {branch: a}\n  payment: {branch: a}\n"


def outcome(sandbox: str, platform: str = PLATFORM) -> Resolved | Unresolved:
    return resolve(PATH, commit({PATH: f"sandbox: X\n{sandbox}", "platform.yaml": platform}))


def shared(sandbox: str, platform: str = PLATFORM) -> dict[str, tuple[str, str]]:
    """Return each container's cpu and memory, in people's units."""
    made = outcome(sandbox, platform)
    assert isinstance(made, Resolved), made
    tree = commit({PATH: f"sandbox: X\n{sandbox}", "platform.yaml": platform})
    assert tree.platform is not None
    found = limits.limits(made.body, tree.platform.spec)
    return {
        name: (quantities.cpu_text(x.cpu.value), quantities.memory_text(x.memory.value))
        for name, x in found.items()
    }


def refused(sandbox: str, platform: str = PLATFORM) -> list[str]:
    made = outcome(sandbox, platform)
    assert isinstance(made, Unresolved), made
    return [str(problem) for problem in made.problems]


def test_without_a_ceiling_nothing_is_limited_that_names_no_limit():
    assert shared("services: {account: {branch: a, resources: {memory: 64MB}}}") == {
        "gateway": ("unlimited", "unlimited"),
        "account": ("unlimited", "64MB"),
    }


def test_the_ceiling_is_shared_equally_in_whole_steps():
    assert shared(f"{TWO}resources: {{cpu: 1, memory: 1GB}}") == dict.fromkeys(
        ("gateway", "account", "payment"), ("333m", "341MB")
    )


def test_what_has_a_limit_keeps_it_and_the_others_share_the_rest():
    services = TWO.replace("payment: {branch: a}", "payment: {branch: a, resources: {cpu: 700m}}")
    assert shared(f"{services}resources: {{cpu: 1}}") == {
        "gateway": ("150m", "unlimited"),
        "account": ("150m", "unlimited"),
        "payment": ("700m", "unlimited"),
    }


def test_the_platforms_limit_of_a_service_counts_where_the_sandbox_names_none():
    platform = PLATFORM.replace("account: {", "account: {resources: {memory: 100MB}, ", 1)
    assert shared(f"{TWO}resources: {{memory: 300MB}}", platform)["account"][1] == "100MB"
    assert shared(f"{TWO}resources: {{memory: 300MB}}", platform)["payment"][1] == "100MB"


def test_what_does_not_run_here_has_no_share():
    services = "services: {account: {use_ocp: true}, payment: {url: 'http://h/'}}\n"
    assert shared(f"{services}resources: {{cpu: 1}}") == {"gateway": ("1", "unlimited")}


@pytest.mark.parametrize(
    ("sandbox", "told"),
    [
        (
            "services: {account: {branch: a, resources: {memory: 3GB}}}\nresources: {memory: 2GB}\n",
            (
                f"{PATH}:3:21: its containers' limits (account 3GB) come to memory 3GB, and the "
                "sandbox's ceiling is 2GB; lower one, or raise resources: {memory: 3088MB}"
            ),
        ),
        (
            (
                "gateway: {resources: {cpu: 600m}}\n"
                "services: {account: {branch: a, resources: {cpu: 500m}}}\nresources: {cpu: 1}\n"
            ),
            (
                f"{PATH}:4:18: its containers' limits (gateway 600m, account 500m) come to cpu 1100m, "
                "and the sandbox's ceiling is 1; lower one, or raise resources: {cpu: 1100m}"
            ),
        ),
        (
            f"{TWO}resources: {{memory: 40MB}}\n",
            (
                f"{PATH}:5:21: gateway, account, payment share memory 40MB of the sandbox's ceiling "
                "of 40MB, less than 16MB each; lower the limit of another, or raise resources: "
                "{memory: 48MB}"
            ),
        ),
    ],
)
def test_a_ceiling_that_can_not_be_kept_is_refused_with_its_place_and_what_to_do(sandbox, told):
    assert refused(sandbox) == [told]


def test_a_ceiling_of_the_platform_is_told_at_the_limit_that_the_sandbox_names():
    platform = f"{PLATFORM}\n".replace("defaults: {", "defaults: {resources: {memory: 1GB}, ", 1)
    assert "resources: {memory: 1GB}" in platform
    services = "services: {account: {branch: a, resources: {memory: 2GB}}}\n"
    assert refused(services, platform)[0].startswith(f"{PATH}:2:53: its containers' limits")


@pytest.mark.parametrize("text", ["10m", "500m", "1", "1500m"])
def test_cpu_reads_back(text):
    assert quantities.cpu_text(quantities.cpu(text)) == text


@pytest.mark.parametrize("text", ["6MB", "1GB", "1500MB", "10240KB", "7169KB"])
def test_memory_reads_back(text):
    assert quantities.memory(quantities.memory_text(quantities.memory(text))) == (
        quantities.memory(text)
    )


@pytest.mark.parametrize(
    ("quotas", "told"),
    [
        ("{running: 0}", "10:19: found 0, expected at least 1"),
        ("{memory: much}", "10:18: found 'much', expected an amount such as 512MB or 1GB"),
        ("{per_owner: {runing: 3}}", "10:22: unknown key 'runing'; did you mean 'running'?"),
    ],
)
def test_a_bad_quota_is_told_with_its_place(quotas, told):
    tree = commit({"platform.yaml": f"{PLATFORM}quotas: {quotas}\n"})
    assert f"platform.yaml:{told}" in [str(problem) for problem in tree.problems]
