"""Changes: what came of commits is told once, to one journal."""

from sdp.reconciler import changes
from tests.builders import NOW, sandbox
from tests.unit.reconciler.test_authority import BASE, Branch

SEALED = "environment: qa\nsecrets: {TOKEN: 'ENC[AES256_GCM,data:%s,iv:A,tag:A,type:str]'}\n"


def told(branch: Branch, before: str) -> list[tuple[str, str, dict[str, object]]]:
    found = changes.told(branch.standing(), before, str, "main", NOW)
    return [(each.kind, each.reason, dict(each.data)) for each in found]


def test_each_commit_is_told_with_who_and_what():
    branch = Branch()
    before = branch.pushed[-1].sha
    first = branch.push("budi", {"templates/base.yaml": None, "sandboxes/two.yaml": None})
    second = branch.push("sari", {"sandboxes/new.yaml": sandbox("QA-NEW"), "platform.yaml": None})
    whose = {"user": "budi", "commit": first, "branch": "main", "environments": [], "secrets": []}
    paths = ["sandboxes/two.yaml", "templates/base.yaml"]
    mine = {"user": "sari", "commit": second, "branch": "main"}
    new = {"paths": ["sandboxes/new.yaml"], "sandboxes": ["QA-NEW"]}
    assert told(branch, before) == [
        ("CHANGE", "", {**whose, "paths": paths, "sandboxes": ["QA-TWO"]}),
        ("CHANGE", "", {**mine, **new, "environments": [], "secrets": []}),
        (
            "CHANGE_REFUSED",
            "NotPermitted",
            {**mine, "path": "platform.yaml", "permission": "administer"},
        ),
    ]
    assert told(branch, second) == []


def test_what_a_lost_journal_told_is_not_told_again_but_for_the_head():
    branch = Branch()
    branch.push("budi", {"templates/base.yaml": None})
    head = branch.push("budi", {"sandboxes/two.yaml": None})
    for before in ("", "f" * 40):
        assert [each[2]["commit"] for each in told(branch, before)] == [head]


def test_a_secret_change_is_one_of_an_encrypted_value():
    branch = Branch()
    for text, secrets in (
        ("environment: qa\nvariables: {A: b}\n", []),
        (SEALED % "first", ["qa"]),
        (f"{SEALED % 'first'}variables: {{A: c}}\n", []),
        (SEALED % "second", ["qa"]),
        (None, ["qa"]),
    ):
        before = branch.pushed[-1].sha
        branch.push("budi", {"environments/qa.yaml": text})
        ((_, _, data),) = told(branch, before)
        assert (data["environments"], data["secrets"]) == (["qa"], secrets)


def test_of_very_many_that_are_refused_the_rest_is_counted():
    branch = Branch()
    before = branch.pushed[-1].sha
    branch.push("sari", {f"templates/{number}.yaml": "x" for number in range(103)})
    found = changes.told(branch.standing(), before, str, "main", NOW)
    assert len(found) == 101
    assert found[-1].message.startswith("… and 3 more files of ")


def test_an_approval_is_the_approvers_change():
    branch = Branch()
    sha = branch.push("sari", {"templates/base.yaml": None})
    branch.approve("budi", sha)
    ((kind, _, data),) = told(branch, sha)
    assert (kind, data["user"], data["paths"]) == ("CHANGE", "budi", ["templates/base.yaml"])
    assert branch.accepted() == {p: t for p, t in BASE.items() if p != "templates/base.yaml"}
