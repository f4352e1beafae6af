"""What a commit says should exist, and what stays when it does not load."""

from sdp.reconciler.desired import Branch, Revision, desire
from sdp.spec.load import load
from sdp.spec.tree import Blob
from tests.builders import PLATFORM, desired, sandbox

QA = sandbox("QA", "account: {branch: feature/a}")
BROKEN = "sandbox: QA\nservcies: {}\n"


def tree(**sandboxes: str):
    files = {"platform.yaml": PLATFORM}
    files.update({f"sandboxes/{name}.yaml": text for name, text in sandboxes.items()})
    return load(Blob(path, text, text.encode()) for path, text in files.items())


def test_a_file_that_does_not_load_keeps_its_sandbox_at_the_last_good_revision():
    wanted = desire("new", tree(qa=BROKEN), [Revision("old", tree(qa=QA))])
    qa = wanted.sandboxes["qa"]
    assert qa.revision == "old"
    assert qa.services["account"].target == Branch("feature/a", None)
    assert "sandboxes/qa.yaml:2:1" in str(qa.problems[0])


def test_a_broken_and_moved_file_keeps_its_sandbox_by_the_name_it_declares():
    wanted = desire("new", tree(moved=BROKEN), [Revision("old", tree(qa=QA))])
    assert wanted.sandboxes["qa"].path == "sandboxes/moved.yaml"


def test_a_file_that_never_loaded_is_unreadable_so_nothing_may_be_deleted():
    wanted = desire("new", tree(qa="{{{"))
    assert wanted.unreadable == ("sandboxes/qa.yaml",)


def test_a_broken_platform_is_taken_from_the_revision_before():
    broken = load([Blob("platform.yaml", "x", b"platform: [")])
    wanted = desire("new", broken, [Revision("old", tree(qa=QA))])
    assert wanted.platform is not None
    assert wanted.sandboxes == {}


def test_health_is_overridden_key_by_key():
    service = "account: {branch: feature/a, health: {deadline: 5s}}"
    probe = desired(sandbox("QA", service)).sandboxes["qa"].services["account"].probe
    assert (probe.path, probe.deadline_seconds) == ("/healthz", 5.0)
