"""Switches: the sandbox's own file says as little as is needed, and nothing twice."""

import pytest

from sdp.spec.change import CannotChangeError, Files, change
from sdp.spec.edits import Switch
from tests.unit.config_repo import FILES, SANDBOX

ONE = "sandboxes/one.yaml"
ASLEEP = "template: BASE\nservices:\n  payment: {branch: develop, suspended: true}\nlifecycle: {suspended: true}\n"


def switched(key: str, service: str = "", *, on: bool, files: Files = FILES) -> str:
    """Return the sandbox's file afterwards; "" where nothing changes."""
    edit = Switch.model_validate({"sandbox": "qa-one", "service": service, "key": key, "on": on})
    return change(files, [edit]).files.get(ONE) or ""


@pytest.mark.parametrize("key", ["suspended", "protect"])
def test_what_is_switched_on_is_said_and_off_again_leaves_no_trace(key):
    on = switched(key, on=True)
    assert on == f"{SANDBOX}lifecycle: {{{key}: true}}\n"
    assert switched(key, on=True, files={**FILES, ONE: on}) == ""
    assert switched(key, on=False, files={**FILES, ONE: on}) == SANDBOX
    assert switched(key, on=False) == ""


def test_other_keys_stay():
    held = f"{SANDBOX}lifecycle:\n  protect: true   # the demo\n"
    on = switched("suspended", on=True, files={**FILES, ONE: held})
    assert "  protect: true   # the demo\n" in on
    assert "  suspended: true\n" in on
    assert switched("suspended", on=False, files={**FILES, ONE: on}) == held


def test_one_service_is_stopped_and_started():
    stopped = switched("suspended", "account", on=True)
    assert "account: {branch: feature/a, port: 9001, suspended: true}" in stopped
    woken = switched("suspended", "account", on=False, files={**FILES, ONE: stopped})
    assert "account: {branch: feature/a, port: 9001} " in woken


def test_what_a_template_says_is_contradicted_and_only_then():
    files = {**FILES, "templates/base.yaml": ASLEEP, ONE: f"{SANDBOX}template: BASE\n"}
    assert switched("suspended", on=True, files=files) == ""
    woken = switched("suspended", on=False, files=files)
    assert woken == f"{files[ONE]}lifecycle: {{suspended: false}}\n"
    both = switched("suspended", "payment", on=False, files={**files, ONE: woken})
    assert "  payment: {suspended: false}\n" in both
    assert switched("suspended", on=True, files={**files, ONE: woken}).endswith(
        "lifecycle: {suspended: true}\n"
    )


@pytest.mark.parametrize(
    ("service", "key", "why"),
    [
        ("nobody", "suspended", "unknown service 'nobody'"),
        ("gateway", "suspended", "does not sleep alone"),
        ("payment", "suspended", "OCP serves it"),
        ("account", "protect", "said of whole sandboxes"),
    ],
)
def test_what_can_not_be_switched_is_refused_with_a_fix(service, key, why):
    with pytest.raises(CannotChangeError, match=why) as refused:
        switched(key, service, on=True)
    assert refused.value.fix


def test_a_broken_file_is_not_switched():
    with pytest.raises(CannotChangeError, match="does not load"):
        switched("suspended", on=True, files={**FILES, ONE: f"{SANDBOX}nonsense: 1\n"})
