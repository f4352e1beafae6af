"""Snapshots as files, and sandboxes brought back to what they ran: pins in, the rest left alone."""

from typing import Any

import pytest

from sdp.spec.change import CannotChangeError, change
from sdp.spec.edits import AnyEdit, Create, Rollback
from sdp.spec.load import tree_of
from sdp.spec.models import Pins
from sdp.spec.resolve import Resolved, resolve
from tests.unit.config_repo import FILES, SANDBOX

GATEWAY, ACCOUNT, REVISION = "a" * 40, "b" * 40, "c" * 40
PINS: dict[str, Any] = {
    "gateway": {"branch": "develop", "commit": GATEWAY},
    "services": {
        "account": {"branch": "feature/a", "commit": ACCOUNT},
        "payment": {"use_ocp": True},
    },
    "environment": "qa",
    "environment_revision": REVISION,
}
TAKEN = {
    "sandbox": "QA-ONE",
    "taken_at": "2026-03-04T12:00:00Z",
    "revision": REVISION,
    **PINS,
}


def changed(*edits: AnyEdit, files: dict[str, str] = FILES) -> Any:
    return change(files, edits)


def pins(**changes: object) -> Pins:
    return Pins.model_validate({**PINS, **changes})


def rolled(text: str = SANDBOX, **changes: object) -> str:
    files = {**FILES, "sandboxes/one.yaml": text}
    made = changed(Rollback(sandbox="qa-one", to="#1", pins=pins(**changes)), files=files)
    return str({**files, **made.files}["sandboxes/one.yaml"])


def resolved(text: str) -> Resolved:
    found = resolve("sandboxes/one.yaml", tree_of({**FILES, "sandboxes/one.yaml": text}))
    assert isinstance(found, Resolved)
    return found


def test_a_snapshot_is_a_file_that_loads():
    made = changed(Create(kind="snapshot", name="GOOD", values=TAKEN))
    assert made.subject == "Take snapshot GOOD of QA-ONE"
    assert made.files["snapshots/good.yaml"] == (
        "snapshot: GOOD\nsandbox: QA-ONE\ntaken_at: 2026-03-04T12:00:00Z\n"
        f"revision: {REVISION}\ngateway: {{branch: develop, commit: {GATEWAY}}}\n"
        f"services:\n  account: {{branch: feature/a, commit: {ACCOUNT}}}\n"
        f"  payment: {{use_ocp: true}}\nenvironment: qa\nenvironment_revision: {REVISION}\n"
    )
    assert tree_of({**FILES, **made.files}).snapshots["GOOD"].spec.sandbox == "QA-ONE"


@pytest.mark.parametrize(
    ("service", "why"),
    [
        ({"branch": "x"}, "exactly one of"),
        ({"commit": ACCOUNT, "use_ocp": True}, "exactly one of"),
        ({"commit": ACCOUNT, "port": 9001}, "unknown key 'port'"),
    ],
)
def test_a_snapshot_pins_each_service_and_no_port(service, why):
    with pytest.raises(CannotChangeError, match=why):
        changed(
            Create(kind="snapshot", name="BAD", values={**TAKEN, "services": {"account": service}})
        )


def test_two_snapshots_of_one_name_are_refused_in_any_case():
    text = changed(Create(kind="snapshot", name="GOOD", values=TAKEN)).files["snapshots/good.yaml"]
    tree = tree_of(
        {**FILES, "snapshots/a.yaml": text, "snapshots/b.yaml": text.replace("GOOD", "good")}
    )
    assert [str(each) for each in tree.problems] == [
        "snapshots/a.yaml:1:11: snapshot 'GOOD' is in snapshots/b.yaml as well",
        "snapshots/b.yaml:1:11: snapshot 'good' is in snapshots/a.yaml as well",
    ]


def test_a_snapshot_of_a_service_that_is_gone_is_told_and_stops_nothing():
    text = changed(Create(kind="snapshot", name="GOOD", values=TAKEN)).files["snapshots/good.yaml"]
    tree = tree_of({**FILES, "snapshots/good.yaml": text.replace("payment:", "refund:")})
    assert [str(each) for each in tree.problems] == [
        "snapshots/good.yaml:8:3: warning: unknown service 'refund'; expected one of account, payment"
    ]


def test_a_rollback_pins_what_ran_and_leaves_comments_owner_and_ports():
    assert rolled() == (
        "sandbox: QA-ONE\n"
        "owner: achmad   # asks for it\n"
        "environment: qa\n"
        f"environment_revision: {REVISION}\n"
        f"gateway: {{port: 8080, branch: develop, commit: {GATEWAY}}}\n"
        "services:\n"
        f"  account: {{branch: feature/a, port: 9001, commit: {ACCOUNT}}}  # the fix\n"
        "  payment: {use_ocp: true}\n"
    )


def test_a_rollback_overrides_what_the_template_says_now():
    text = SANDBOX.replace("owner:", "template: BASE\nowner:")
    body = resolved(rolled(text)).body
    assert body.services is not None
    assert body.services["payment"] is not None
    assert (body.services["payment"].use_ocp, body.services["payment"].branch) == (True, None)


def test_an_environment_that_was_not_there_is_removed_with_null():
    files = {
        **FILES,
        "platform.yaml": FILES["platform.yaml"].replace(
            "defaults: {", "defaults: {environment: qa, "
        ),
    }
    edit = Rollback(
        sandbox="QA-ONE", to="x", pins=pins(environment=None, environment_revision=None)
    )
    text = changed(edit, files=files).files["sandboxes/one.yaml"]
    assert "environment: null" in text
    assert "environment_revision" not in text


def test_a_rollback_twice_changes_nothing_more():
    once = rolled()
    assert rolled(once) == once


def test_a_rollback_to_a_file_of_the_past_is_that_file():
    old = SANDBOX.replace("feature/a", "feature/old")
    made = changed(Rollback(sandbox="QA-ONE", to="1a2b3c4", text=old))
    assert made.files == {"sandboxes/one.yaml": old}
    assert made.subject == "Roll QA-ONE back to 1a2b3c4"


def test_a_rollback_to_a_service_that_is_gone_is_refused():
    with pytest.raises(CannotChangeError, match="unknown service 'refund'"):
        rolled(services={"refund": {"commit": ACCOUNT}})


def test_a_new_sandbox_runs_what_a_snapshot_pins():
    files = {**FILES, **changed(Create(kind="snapshot", name="GOOD", values=TAKEN)).files}
    made = changed(Create(name="QA-TWO", snapshot="good", values={"owner": "sari"}), files=files)
    assert made.subject == "Create sandbox QA-TWO from snapshot good"
    assert made.files["sandboxes/qa-two.yaml"] == (
        f"sandbox: QA-TWO\nowner: sari\nenvironment: qa\nenvironment_revision: {REVISION}\n"
        f"gateway: {{branch: develop, commit: {GATEWAY}}}\n"
        f"services:\n  account: {{branch: feature/a, commit: {ACCOUNT}}}\n"
        "  payment: {use_ocp: true}\n"
    )
    with pytest.raises(CannotChangeError, match="unknown snapshot 'nope'"):
        changed(Create(name="QA-THREE", snapshot="nope"), files=files)
