"""Changes: what commands ask for, as edits of files that still load."""

from typing import Any

import pytest

from sdp.spec.change import CannotChangeError, Files, Past, change
from sdp.spec.edits import AnyEdit, Clone, Create, Delete, Route, Set, Unset, Write
from tests.unit.config_repo import FILES, SANDBOX


def changed(*edits: AnyEdit, files: Files = FILES, past: Past = lambda _: ()) -> Any:
    return change(files, edits, past)


def test_a_sandbox_is_made_from_a_template_with_what_differs():
    values = {"services": {"account": {"branch": "feature/x"}}, "owner": "sari"}
    made = changed(Create(name="QA-TWO", template="BASE", values=values))
    assert made.files == {
        "sandboxes/qa-two.yaml": (
            "sandbox: QA-TWO\nowner: sari\ntemplate: BASE\n"
            "services:\n  account: {branch: feature/x}\n"
        )
    }
    assert made.subject == "Create sandbox QA-TWO from template BASE"


def test_a_template_and_an_environment_are_made_too():
    made = changed(Create(kind="template", name="NEXT", values={"environment": "qa"}))
    assert made.files == {"templates/next.yaml": "template: NEXT\nenvironment: qa\n"}
    made = changed(Create(kind="environment", name="dev", values={"variables": {"A": "1"}}))
    assert made.files == {"environments/dev.yaml": 'environment: dev\nvariables: {A: "1"}\n'}


def test_a_clone_says_the_same_and_pins_no_port():
    made = changed(Clone(source="qa-one", name="QA-TWO"))
    assert made.files == {
        "sandboxes/qa-two.yaml": (
            "sandbox: QA-TWO\nowner: achmad   # asks for it\n"
            "services:\n  account: {branch: feature/a}               # the fix\n"
        )
    }


def test_a_clone_is_awake_and_is_not_kept_for_as_long_as_the_first():
    asleep = (
        "sandbox: QA-ONE\ntemplate: BASE\nservices:\n  account: {branch: x, suspended: true}\n"
        "lifecycle:\n  suspended: true\n  protect: true\n  keep_until: 2026-12-24\n"
    )
    files = {**FILES, "sandboxes/one.yaml": asleep}
    head = "sandbox: QA-TWO\ntemplate: BASE\nservices:\n  account: {branch: x}\n"
    clone = Clone(source="QA-ONE", name="QA-TWO")
    assert change(files, [clone]).files == {"sandboxes/qa-two.yaml": head}
    awake = asleep.replace(
        "suspended: true\n  protect: true", "expire_after: 3d\n  suspended: false"
    )
    files = {**FILES, "sandboxes/one.yaml": awake}
    (text,) = change(files, [clone]).files.values()
    assert text == f"{head}lifecycle:\n  expire_after: 3d\n  suspended: false\n"


@pytest.mark.parametrize(
    ("path", "text", "line"),
    [
        ("services.account.branch", "1234", 'account: {branch: "1234", port: 9001}      # the fix'),
        ("services.account.port", "9002", "account: {branch: feature/a, port: 9002}   # the fix"),
        ("services.payment", "{use_ocp: true}", "  payment: {use_ocp: true}"),
        ("services.payment.url", "http://10.0.0.7:80", "  payment: {url: http://10.0.0.7:80}"),
        ("resources.cpu", "2", "resources: {cpu: 2}"),
        ("lifecycle.protect", "true", "lifecycle: {protect: true}"),
        ("template", "BASE", "template: BASE"),
        ("environment", "null", "environment: null"),
        ("services.payment", "{branch: x, port: 9006}", "  payment: {branch: x, port: 9006}"),
        ("services.payment.branch", "1.10", '  payment: {branch: "1.10"}'),
        ("services.payment.branch", "true", '  payment: {branch: "true"}'),
        ("services.payment.branch", "#7", '  payment: {branch: "#7"}'),
        ("services.payment.branch", "fix/#7", "  payment: {branch: fix/#7}"),
        ("services.payment.commit", "1" * 40, f"  payment: {{commit: {'1' * 40}}}"),
        ("resources.cpu", "500m", "resources: {cpu: 500m}"),
        ("resources.memory", "1GB", "resources: {memory: 1GB}"),
        ("lifecycle.expire_after", "14d", "lifecycle: {expire_after: 14d}"),
        ("heal", "report", "heal: report"),
        ("owner", "007", "owner: 007"),
        ("owner", "'sari'", "owner: sari"),
    ],
)  # fmt: skip
def test_a_text_becomes_what_the_key_calls_for(path, text, line):
    made = changed(Set(name="QA-ONE", path=tuple(path.split(".")), text=text))
    assert line in made.files["sandboxes/one.yaml"]


@pytest.mark.parametrize(
    ("path", "text", "why"),
    [
        ("owner", "", "found '', expected"),
        ("services.account.branch", "", "found ''"),
        ("owner", "sari # and budi", "found 'sari # and budi'"),
        ("services.payment.commit", "12e45678", "found '12e45678', expected a whole commit"),
        ("gateway.port", "8080.5", "expected a whole number"),
        ("gateway.port", "many", "expected a whole number"),
        ("lifecycle.protect", "yes", "expected true or false"),
        ("resources.memory", "1024", "found '1024'"),
        ("owner", "[sari]", "found a list"),
        ("services.payment", "{brnch: x}", "unknown key 'brnch'"),
    ],
)  # fmt: skip
def test_a_text_that_the_key_does_not_take_is_refused_as_it_was_typed(path, text, why):
    with pytest.raises(CannotChangeError) as refused:
        changed(Set(name="QA-ONE", path=tuple(path.split(".")), text=text))
    assert why in str(refused.value)


@pytest.mark.parametrize(
    "edit",
    [
        Set(name="QA-ONE", path=("sandbox",), text="QA-TWO"),
        Unset(name="QA-ONE", path=("sandbox",)),
    ],
)
def test_a_sandbox_is_not_renamed_away(edit):
    with pytest.raises(CannotChangeError, match="can't be changed"):
        changed(edit)


def test_a_variable_is_text_whatever_it_looks_like():
    edit = Set(kind="environment", name="qa", path=("variables", "TIMEOUT"), text="30")
    assert 'TIMEOUT: "30"' in changed(edit).files["environments/qa.yaml"]


def test_what_is_unset_comes_from_below_again():
    made = changed(Unset(name="QA-ONE", path=("gateway", "port")))
    assert "gateway" not in made.files["sandboxes/one.yaml"]
    with pytest.raises(CannotChangeError, match=r"does not say gateway\.branch itself") as refused:
        changed(Unset(name="QA-ONE", path=("gateway", "branch")))
    assert "sdp render QA-ONE" in refused.value.fix


@pytest.mark.parametrize(
    ("to", "line"),
    [
        ("ocp", "  account: {port: 9001, use_ocp: true}       # the fix"),
        ("http://10.0.0.7:80", "  account: {port: 9001, url: http://10.0.0.7:80}  # the fix"),
    ],
)
def test_a_route_takes_the_place_of_the_target_alone(to, line):
    made = changed(Route(sandbox="QA-ONE", service="account", to=to))
    before, after = SANDBOX.splitlines(), made.files["sandboxes/one.yaml"].splitlines()
    assert after == [*before[:-1], line]
    assert made.subject == f"Route account of QA-ONE to {to}"


def test_a_route_back_to_the_sandbox_finds_the_branch_it_had():
    ocp = SANDBOX.replace("branch: feature/a", "use_ocp: true")
    files = {**FILES, "sandboxes/one.yaml": ocp}
    back = Route(sandbox="QA-ONE", service="account", to="sandbox")
    made = changed(back, files=files, past=lambda _: [ocp, SANDBOX])
    assert "branch: feature/a" in made.files["sandboxes/one.yaml"]
    assert "use_ocp" not in made.files["sandboxes/one.yaml"]
    with pytest.raises(CannotChangeError, match="nobody knows which branch") as refused:
        changed(back, files=files)
    assert "--branch BRANCH" in refused.value.fix
    named = back.model_copy(update={"branch": "main"})
    assert "branch: main" in changed(named, files=files).files["sandboxes/one.yaml"]


def test_a_route_back_to_what_the_template_says_only_removes_the_own_word():
    own = "sandbox: QA-ONE\ntemplate: BASE\nservices:\n  payment: {use_ocp: true}\n"
    files = {**FILES, "sandboxes/one.yaml": own}
    made = changed(Route(sandbox="QA-ONE", service="payment", to="sandbox"), files=files)
    assert made.files == {"sandboxes/one.yaml": "sandbox: QA-ONE\ntemplate: BASE\n"}


def test_edits_are_one_change_and_the_last_word_counts():
    made = changed(
        Create(name="QA-TWO"),
        Set(name="QA-TWO", path=("owner",), text="sari"),
        Delete(name="QA-ONE"),
    )
    assert made.files == {
        "sandboxes/one.yaml": None,
        "sandboxes/qa-two.yaml": "sandbox: QA-TWO\nowner: sari\n",
    }
    assert made.subject == "Create sandbox QA-TWO, and 1 more"
    assert len(made.lines) == 3


def test_what_changes_nothing_is_no_change():
    same = Set(name="QA-ONE", path=("owner",), text="achmad")
    assert changed(same).files == {}


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (Set(name="QA-ONE", path=("servces", "a"), text="x"), "did you mean 'services'"),
        (Set(name="QA-ONE", path=("services", "acount", "branch"), text="x"), "did you mean 'account'"),
        (Set(name="QA-ONE", path=("gateway", "port"), text="x"), r"one\.yaml:3:\d+: .*whole number"),
        (Set(name="QA-ONE", path=("owner", "name"), text="x"), "'owner' is no mapping"),
        (Set(name="QA-ONE", path=("template",), text="BSE"), "did you mean 'BASE'"),
        (Set(name="QA-ON", path=("owner",), text="x"), "did you mean 'QA-ONE'"),
        (Create(name="qa-one"), "QA-ONE is there already: sandboxes/one.yaml"),
        (Create(name="no good"), "letters, digits and inner dashes"),
        (Create(name="QA-TWO", template="NO"), "unknown template"),
        (Clone(source="QA-TWO", name="QA-THREE"), "unknown sandbox 'QA-TWO'"),
        (Delete(kind="template", name="NO"), "unknown template"),
        (Delete(kind="environment", name="no"), "unknown environment"),
        (Route(sandbox="QA-ONE", service="nobody", to="ocp"), "unknown service 'nobody'"),
        (Route(sandbox="QA-ONE", service="account", to="ftp://x"), "expected an address"),
        (Route(sandbox="QA-ONE", service="account", to="http://u:p@x"), "without user name"),
        (Write(path="README.md", text="x"), "README.md is no spec"),
        (Write(path="sandboxes/two.yaml", text="sandbox: [\n"), r"two\.yaml:2:1"),
        (Write(path="sandboxes/two.yaml", text=None), r"there is no sandboxes/two\.yaml"),
    ],
)  # fmt: skip
def test_what_would_not_load_is_refused_with_its_place_and_a_fix(edit, why):
    with pytest.raises(CannotChangeError, match=why) as refused:
        changed(edit)
    assert refused.value.fix


def test_errors_that_were_there_before_do_not_stand_in_the_way():
    files = {**FILES, "sandboxes/broken.yaml": "sandbox: [\n"}
    made = changed(Set(name="QA-ONE", path=("owner",), text="sari"), files=files)
    assert [*made.files] == ["sandboxes/one.yaml"]


def test_a_file_is_written_as_it_is():
    text = "sandbox: QA-TWO   # as typed\n"
    assert changed(Write(path="sandboxes/two.yaml", text=text)).files == {
        "sandboxes/two.yaml": text
    }
