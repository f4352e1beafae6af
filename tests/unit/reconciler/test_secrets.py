"""Encrypted environments in a plan: opened first, compared by fingerprint, held with a reason."""

import dataclasses

import pytest

from sdp.cli import sealing
from sdp.protocol.actions import SealedFile, StartService
from sdp.protocol.report import Sealed
from sdp.reconciler import environments, render
from sdp.reconciler import observed as observation
from sdp.reconciler.status import status
from sdp.spec.load import load
from sdp.spec.tree import Blob
from tests.builders import MICRO, NOW, Simulation, desired, sandbox
from tests.sops import NODE, environment, held, sealer, secret

SERVICES = "account: {branch: develop}, payment: {branch: develop, environment: pay}"
QA = sandbox("QA", SERVICES, more="environment: qa")


class Node:
    """Opens files as an agent does; a fingerprint is the value in disguise."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.trouble: Sealed | None = None

    def __call__(self, file: SealedFile) -> Sealed:
        self.opened.append(file.path)
        if self.trouble is not None:
            return self.trouble
        opened = sealing.opened(file.text, held(NODE))
        assert opened is not None
        values = {str(loc[-1]): f"f{hash(value)}" for loc, value in opened.values.items()}
        return Sealed(fingerprints=values)


def files(qa: str, pay: str) -> dict[str, str]:
    return {"environments/qa.yaml": qa, "environments/pay.yaml": pay}


def simulation(qa: str, pay: str = "environment: pay\n") -> tuple[Simulation, Node]:
    node = Node()
    return Simulation(desired(QA, files=files(qa, pay)), opens=node), node


def converged(qa: str, pay: str = "environment: pay\n") -> tuple[Simulation, Node]:
    made, node = simulation(qa, pay)
    made.converge()
    return made, node


def ids(made: Simulation) -> dict[str, str]:
    return {name: each.id for name, each in made.containers().items()}


def starts(made: Simulation) -> dict[str, StartService]:
    """Converge, and return what started, by service."""
    found: dict[str, StartService] = {}
    while planned := made.step():
        for each in planned:
            if isinstance(each.action, StartService):
                found[each.service] = each.action
    return found


def test_an_encrypted_environment_is_opened_before_anything_of_its_services():
    made, _ = simulation(environment("qa", A="x"))
    planned = made.plans()["qa"].actions
    assert [each.action.kind for each in planned if each.service == "account"] == ["unseal"]
    text = render.text(made.plans(), made.world())
    assert "~ unseal     environments/qa.yaml on micro-92" in text
    made.converge()
    assert made.plans()["qa"].empty


def test_every_service_that_waits_for_a_file_is_shown_so_and_not_as_unchanged():
    made, _ = converged(environment("qa", A="x"))
    made.desired = desired(QA, files=files(environment("qa", A="other"), "environment: pay\n"))
    text = render.text(made.plans(), made.world())
    said = "may be replaced once environments/qa.yaml is open"
    told = [" ".join(line.split()) for line in text.splitlines()]
    assert f"~ container sandbox-qa-account {said}" in told
    assert f"~ container sandbox-qa-payment {said}" in told
    assert "user no change" in told
    assert told[-1] == "Plan: 0 to add, 3 to change, 0 to destroy, 0 held."
    assert text == render.text(made.plans(), made.world())


def test_what_does_not_run_yet_starts_once_its_files_are_open():
    made, _ = simulation(environment("qa", A="x"), environment("pay", B="y"))
    text = render.text(made.plans(), made.world())
    told = [" ".join(line.split()) for line in text.splitlines()]
    said = "once environments/qa.yaml and environments/pay.yaml are open"
    assert f"+ container sandbox-qa-payment {said}" in told


def test_a_plan_for_one_service_opens_the_file_that_it_shares():
    made, _ = converged(environment("qa", A="x"))
    made.desired = desired(QA, files=files(environment("qa", A="other"), "environment: pay\n"))
    plan = made.plans()["qa"].narrowed(lambda service: service == "payment")
    assert [each.action.kind for each in plan.actions] == ["unseal"]
    assert [each.service for each in plan.waiting] == ["payment"]


def test_a_changed_secret_redeploys_only_its_users():
    made, _ = converged(environment("qa", A="x"), environment("pay", B="y"))
    before = ids(made)
    made.desired = desired(QA, files=files(environment("qa", A="x"), environment("pay", B="z")))
    assert set(starts(made)) == {"payment"}
    after = ids(made)
    assert {k for k in after if after[k] != before.get(k)} == {"sandbox-qa-payment"}


def test_a_secret_that_a_service_overrides_is_none_of_its_business():
    pay = "environment: pay\nvariables: {A: mine}\n"
    made, _ = converged(environment("qa", A="x"), pay)
    made.desired = desired(QA, files=files(environment("qa", A="other"), pay))
    assert set(starts(made)) == {"account"}


def test_a_file_encrypted_anew_redeploys_nobody():
    qa = environment("qa", A="x", B="y")
    made, node = converged(qa)
    made.desired = desired(
        QA, files=files(sealing.rotated(qa, sealer(NODE)), "environment: pay\n")
    )
    assert starts(made) == {}
    assert node.opened == ["environments/qa.yaml"] * 2


def test_a_file_encrypted_anew_is_no_other_intent():
    qa = environment("qa", A="x")
    again = sealing.rotated(qa, sealer(NODE))
    one, other = (desired(QA, files=files(t, "environment: pay\n")) for t in (qa, again))
    assert one.sandboxes["qa"].intent_digest == other.sandboxes["qa"].intent_digest
    assert one.sandboxes["qa"].definition_digest != other.sandboxes["qa"].definition_digest


def test_a_secret_that_moves_to_another_environment_redeploys_nobody():
    made, _ = converged(environment("qa", A="x", B="y"))
    services = "account: {branch: develop, environment: more}, payment: {branch: develop}"
    moved = sandbox("QA", services, more="environment: qa")
    texts = {
        "environments/qa.yaml": environment("qa", A="x"),
        "environments/more.yaml": environment("more", B="y"),
    }
    made.desired = desired(moved, files=texts)
    assert set(starts(made)) == {"payment"}  # which no longer has B


def test_one_opening_serves_all_sandboxes_of_a_node():
    node = Node()
    both = [sandbox(name, SERVICES, more="environment: qa") for name in ("QA", "QB")]
    texts = files(environment("qa", A="x"), "environment: pay\n")
    made = Simulation(desired(*both, files=texts), opens=node)
    keys = {
        each.key
        for plan in made.plans().values()
        for each in plan.actions
        if each.action.kind == "unseal"
    }
    assert len(keys) == 1


@pytest.mark.parametrize("reason", ["NoIdentity", "WrongKey", "Tampered", "Unsupported"])
def test_a_file_that_cannot_be_opened_is_a_hold_that_says_which_and_heals(reason):
    made, node = simulation(environment("qa", A="x"))
    node.trouble = Sealed(reason=reason, message="because of this")
    made.converge()
    (account, payment) = made.plans()["qa"].holds
    assert (account.service, payment.service) == ("account", "payment")
    assert account.reason == reason
    assert account.message == "environments/qa.yaml can't be opened on micro-92: because of this"
    assert account.fix
    shown = status("qa", made.world(), made.plans()["qa"], (), None)
    assert shown.sync == "Held"
    assert reason in {each.reason for each in shown.conditions}
    node.trouble = None
    report = made.observed[MICRO].report.model_copy(update={"sealed": {}})
    made.observed = observation.report(made.observed, MICRO, report, 1, NOW)
    made.converge()
    assert made.plans()["qa"].empty


def test_what_a_rollback_brought_back_and_nobody_can_open_is_given_up_for_what_is_there_today():
    made, node = simulation(environment("qa", A="x"))
    (qa,) = made.desired.sandboxes.values()
    rolled = dataclasses.replace(qa, environment_revision="4c0ffee" + "0" * 33)
    made.desired = dataclasses.replace(made.desired, sandboxes={"qa": rolled})
    node.trouble = Sealed(reason="WrongKey", message="it is for others")
    made.converge()
    hold = made.plans()["qa"].holds[0]
    assert hold.message.endswith("it is for others, as it stood at 4c0ffee")
    assert hold.fix == "take today's environment: sdp set QA environment_revision=null"


def test_what_runs_goes_on_while_its_new_file_cannot_be_opened():
    made, node = converged(environment("qa", A="x"))
    before = ids(made)
    node.trouble = Sealed(reason="WrongKey", message="it is for others")
    texts = files(environment("qa", A="other"), "environment: pay\n")
    made.desired = desired(QA, files=texts)
    made.converge()
    assert ids(made) == before
    assert set(made.reasons()) == {"WrongKey"}
    assert made.routes("qa")["account_url"].startswith("http://10.0.0.92:")


def test_what_slept_wakes_as_it_was_while_its_new_file_cannot_be_opened():
    made, node = converged(environment("qa", A="x"))
    before = ids(made)
    texts = files(environment("qa", A="other"), "environment: pay\n")
    made.desired = desired(QA + "lifecycle: {suspended: true}\n", files=texts)
    made.converge()
    node.trouble = Sealed(reason="WrongKey", message="it is for others")
    made.desired = desired(QA, files=texts)
    made.converge()
    assert ids(made) == before
    assert {each.state for each in made.containers().values()} == {"running"}
    assert set(made.reasons()) == {"WrongKey"}


def test_no_plan_is_made_of_a_node_that_is_silent():
    made, _ = converged(environment("qa", A="x"))
    made.observed = observation.silent(made.observed, MICRO)
    texts = files(environment("qa", A="other"), "environment: pay\n")
    made.desired = desired(QA, files=texts)
    assert made.kinds() == []


def test_plans_show_neither_values_nor_what_is_encrypted():
    made, _ = simulation(environment("qa", "variables: {MODE: qa}\n", A="canary-value"))
    seen = ""
    for _ in range(20):
        plans, whole = made.plans(), made.world()
        seen += render.text(plans, whole) + str(render.as_json(plans, whole))
        if not made.step():
            break
    assert "canary-value" not in seen
    assert "ENC[" not in seen


def test_a_container_is_started_with_what_is_plain_and_the_files_that_are_not():
    qa = environment("qa", "variables: {MODE: qa, B: plain}\nfiles: {/etc/a: a}\n", A="x")
    pay = environment("pay", B="secret now")
    made, _ = simulation(qa, pay)
    started = starts(made)
    payment = started["payment"].container
    assert payment.environment["MODE"] == "qa"
    assert "B" not in payment.environment
    assert payment.files == {"/etc/a": "a"}
    assert [(each.environment, each.variables) for each in payment.sealed] == [
        ("qa", ("A",)),
        ("pay", ("B",)),
    ]
    assert started["account"].container.environment["B"] == "plain"


def test_an_encrypted_file_is_never_put_into_a_container_as_it_is():
    change = sealing.Change(("files", "/etc/key"), "pem", secret=True)
    qa = sealing.changed("environment: qa\n", [change], sealer())
    made, _ = simulation(qa)
    container = starts(made)["account"].container
    assert container.files == {}
    assert container.sealed[0].files == ("/etc/key",)


def test_what_the_platform_says_is_taken_from_no_environment():
    text = environment("qa", PORT="1", A="x")
    file = load([Blob("environments/qa.yaml", text, text.encode())]).environments["qa"]
    given = environments.injected([file], {"qa": environments.sealed(file)})
    assert [each.variables for each in given.sealed] == [("A",)]


def test_an_empty_secret_is_an_empty_variable():
    made, _ = simulation(sealing.changed("environment: qa\n", [secret("A", "")], sealer()))
    assert starts(made)["account"].container.environment["A"] == ""


def test_a_version_without_secrets_has_the_hash_that_it_always_had():
    made, _ = converged("environment: qa\nvariables: {MODE: qa}\n")
    assert made.plans()["qa"].empty
    version = made.containers()["sandbox-qa-account"].hash
    assert version == "885cde1904e6"
