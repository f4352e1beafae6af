"""Environments as they stood at a commit: looked up, checked, and told where they are not."""

from collections.abc import Mapping

from sdp.reconciler.desired import desire
from sdp.spec.load import Past, load
from sdp.spec.resolve import problems
from sdp.spec.tree import Blob, Tree
from tests.unit.config_repo import FILES

THEN, NEVER = "c" * 40, "d" * 40
OLD = "environment: qa\nvariables: {MODE: old}\n"


def blobs(files: Mapping[str, str]) -> list[Blob]:
    return [Blob(path, text, text.encode()) for path, text in files.items()]


def past_of(**environments: str) -> Past:
    files = {f"environments/{name}.yaml": text for name, text in environments.items()}
    return lambda revision: blobs(files) if revision == THEN else None


def tree(more: str, past: Past | None, **others: str) -> Tree:
    files = {path.replace("__", "/"): text for path, text in others.items()}
    text = f"sandbox: QA-ONE\n{more}services: {{account: {{branch: a}}}}\n"
    return load(blobs({**FILES, "sandboxes/one.yaml": text, **files}), past=past)


def said(found: Tree) -> list[str]:
    return [str(each) for each in problems(found)]


def mode(found: Tree) -> str | None:
    service = desire("e" * 40, found).sandboxes["qa-one"].services["account"]
    return service.variables.get("MODE")


def test_an_environment_is_taken_as_it_stood_then():
    now = tree("environment: qa\n", past_of(qa=OLD))
    then = tree(f"environment: qa\nenvironment_revision: {THEN}\n", past_of(qa=OLD))
    assert (said(now), mode(now), said(then), mode(then)) == ([], "qa", [], "old")


def test_a_commit_that_is_not_there_has_its_place():
    found = tree(f"environment: qa\nenvironment_revision: {NEVER}\n", past_of(qa=OLD))
    assert said(found) == ["sandboxes/one.yaml:3:23: the config repo has no commit ddddddd"]


def test_an_environment_that_was_not_there_then_has_its_place():
    found = tree(
        f"environment: qa\nenvironment_revision: {THEN}\n", past_of(qa=OLD.replace("qa", "dev", 1))
    )
    assert said(found) == [
        "sandboxes/one.yaml:2:14: environment 'qa' is not there, or does not load, at ccccccc"
    ]


def test_an_environment_that_is_gone_now_can_still_be_taken():
    gone = past_of(old=OLD.replace("qa", "old", 1))
    found = tree(f"environment: old\nenvironment_revision: {THEN}\n", gone)
    assert (said(found), mode(found)) == ([], "old")


def test_a_secret_that_stood_in_plain_text_then_is_not_used():
    plain = "environment: qa\nsecrets: {TOKEN: canary}\n"
    found = tree(f"environment: qa\nenvironment_revision: {THEN}\n", past_of(qa=plain))
    assert len(said(found)) == 1
    assert "does not load" in said(found)[0]
    assert "canary" not in said(found)[0]


def test_a_secret_is_shipped_as_it_was_encrypted_then():
    token = "ENC[AES256_GCM,data:{}==,iv:AAAA,tag:AAAA,type:str]"
    sops = f"{{age: [{{recipient: r, enc: e}}], lastmodified: t, mac: '{token}', version: v}}"
    said_then = f"environment: qa\nsecrets: {{A: '{token}'}}\nsops: {sops}\n".replace("{}", "b2xk")
    found = tree(f"environment: qa\nenvironment_revision: {THEN}\n", past_of(qa=said_then))
    (sealed,) = desire("e" * 40, found).sandboxes["qa-one"].services["account"].sealed
    assert (sealed.path, sealed.variables) == ("environments/qa.yaml at ccccccc", ("A",))
    assert "b2xk" in sealed.text


def test_a_template_says_it_and_a_sandbox_takes_it_back_with_null():
    template = f"template: OLD\nenvironment: qa\nenvironment_revision: {THEN}\n"
    both = {"templates__old.yaml": template}
    assert mode(tree("template: OLD\n", past_of(qa=OLD), **both)) == "old"
    back = "template: OLD\nenvironment_revision: null\n"
    assert mode(tree(back, past_of(qa=OLD), **both)) == "qa"


def test_what_a_template_wants_of_the_past_alone_is_told_where_a_sandbox_wants_it_now():
    template = f"template: OLD\nenvironment: old\nenvironment_revision: {THEN}\n"
    both = {"templates__old.yaml": template}
    gone = past_of(old=OLD.replace("qa", "old", 1))
    assert mode(tree("template: OLD\n", gone, **both)) == "old"
    assert said(tree("template: OLD\nenvironment_revision: null\n", gone, **both)) == [
        "templates/old.yaml:2:14: environment 'old' is not there, or does not load, now"
    ]


def test_where_nobody_can_look_it_up_nothing_is_said():
    found = tree(f"environment: qa\nenvironment_revision: {THEN}\n", None)
    assert (said(found), mode(found)) == ([], None)


def test_the_revision_changes_what_is_said_of_a_sandbox_and_not_what_should_run():
    now = desire("e" * 40, tree("environment: qa\n", None)).sandboxes["qa-one"]
    same = past_of(qa=FILES["environments/qa.yaml"])
    more = f"environment: qa\nenvironment_revision: {THEN}\n"
    then = desire("e" * 40, tree(more, same)).sandboxes["qa-one"]
    assert now.intent_digest == then.intent_digest
    assert now.definition_digest != then.definition_digest
