"""Whatever limits are named: together, the containers of a sandbox never take more than its ceiling."""

from hypothesis import given
from hypothesis import strategies as st

from sdp.spec import limits, models
from tests.property.profiles import UNTIMED
from tests.unit.spec.commits import commit

RESOURCES = st.none() | st.builds(
    models.Resources,
    cpu=st.none() | st.integers(10, 3000).map(lambda milli: f"{milli}m"),
    memory=st.none() | st.integers(6, 3000).map(lambda amount: f"{amount}MB"),
)
TARGETS = st.builds(models.ServiceTarget, branch=st.sampled_from(["a", None]), resources=RESOURCES)
BODIES = st.builds(
    models.Body,
    gateway=st.builds(models.GatewayTarget, branch=st.just("b"), resources=RESOURCES),
    services=st.dictionaries(st.sampled_from(["account", "payment"]), TARGETS),
    resources=RESOURCES,
)


def platform() -> models.Platform:
    file = commit({}).platform
    assert file is not None
    return file.spec


@UNTIMED
@given(BODIES)
def test_shares_stay_below_the_ceiling_and_above_the_least_or_a_fault_says_why(body):
    found = limits.limits(body, platform())
    told = list(limits.faults(body, platform()))
    for kind in limits.KINDS:
        amounts = [each.cpu if kind is limits.CPU else each.memory for each in found.values()]
        shares = {each.value for each in amounts if each.path == limits.SHARE}
        ceiling = kind.said(body.resources)
        faulty = any(f"resources.{kind.key}" in each.paths for each in told)
        if ceiling and not faulty:
            assert sum(each.value for each in amounts) <= ceiling
            assert all(each >= kind.least for each in shares)
            assert len(shares) <= 1
        if not ceiling:
            assert shares == set()
            assert not faulty
