"""Authority: what an author has no right to change does not count, whatever git holds."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from sdp.reconciler.authority import Pushed, Standing, begin, judge
from sdp.reconciler.commit import Committed, write
from sdp.reconciler.desired import Ocp, desire
from sdp.reconciler.source import Source
from sdp.spec import needs, trailers
from sdp.spec.roles import person, user_of
from sdp.spec.sshsig import public, sign
from tests.builders import NOW, PLATFORM, sandbox
from tests.unit.agent.repositories import git
from tests.unit.reconciler.test_source import bare

ROLES = """
roles:
  default: VIEWER
  users:
    achmad: {role: ADMIN}
    budi: {role: BACKEND}
    sari: {role: QA}
"""
ONE, TWO = sandbox("QA-ONE"), sandbox("QA-TWO", more="owner: dewi")
TEMPLATE = "template: BASE\n"
BASE = {
    "platform.yaml": PLATFORM + ROLES,
    "sandboxes/one.yaml": ONE,
    "sandboxes/two.yaml": TWO,
    "templates/base.yaml": TEMPLATE,
    "environments/qa.yaml": "environment: qa\n",
}
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))


class Branch:
    """A branch of commits as the fold takes them; a text stands for its own id."""

    def __init__(self, files: dict[str, str] | None = None) -> None:
        self.head: dict[str, str] = {}
        self.pushed: list[Pushed] = []
        self.push("achmad", BASE if files is None else files)

    def push(
        self,
        user: str,
        files: Mapping[str, str | None],
        message: str = "Change",
        key: Ed25519PrivateKey | None = None,
    ) -> str:
        sha = f"{len(self.pushed) + 1:040x}"
        payload = f"{sha} {user} {message}".encode()
        signature = sign(key, payload) if key else b""
        mail = f"{user}@acme.example"
        made = Pushed(sha, NOW, user, mail, message, files, signature, payload)
        self.pushed.append(made)
        self.head = {p: t for p, t in {**self.head, **files}.items() if t is not None}
        return sha

    def approve(self, user: str, commit: str, key: Ed25519PrivateKey | None = None) -> None:
        said = trailers.with_trailer("Approve it", trailers.approving(commit))
        self.push(user, {}, said, key)

    def standing(self, known: Standing | None = None) -> Standing:
        after = [each.sha for each in self.pushed].index(known.seen) + 1 if known else 0
        made = known
        for each in self.pushed[after:]:
            made = judge(made, each, str) if made else begin(each, str)
        assert made is not None
        return made

    def accepted(self) -> dict[str, str]:
        return dict(self.standing().accepted)

    def reasons(self) -> dict[str, str]:
        return {path: each.reason for path, each in self.standing().withheld.items()}


def test_what_an_author_may_do_counts_and_nothing_waits():
    branch = Branch()
    branch.push("sari", {"sandboxes/one.yaml": ONE + "heal: report\n"})
    branch.push("budi", {"templates/base.yaml": TEMPLATE + "heal: report\n"})
    branch.push("dewi", {"sandboxes/two.yaml": None})
    assert (branch.accepted(), branch.reasons()) == (branch.head, {})


def test_what_an_author_may_not_do_keeps_the_content_that_counted():
    branch = Branch()
    sha = branch.push(
        "sari", {"templates/base.yaml": TEMPLATE + "heal: report\n", "sandboxes/new.yaml": "x"}
    )
    assert branch.accepted() == {**BASE, "sandboxes/new.yaml": "x"}
    (held,) = branch.standing().withheld.values()
    assert (held.path, held.commit, held.user) == ("templates/base.yaml", sha, "sari")
    assert [str(each) for each in held.needs] == [
        "templates/base.yaml takes 'manage templates', which BACKEND has"
    ]


def test_a_deletion_without_the_right_deletes_nothing():
    branch = Branch()
    branch.push("dewi", dict.fromkeys(BASE))
    # Her own sandbox alone.
    assert branch.accepted() == {p: t for p, t in BASE.items() if t != TWO}


def test_taking_over_a_sandbox_takes_the_right_first():
    branch = Branch()
    mine = sandbox("QA-ONE", more="owner: dewi")
    branch.push("dewi", {"sandboxes/one.yaml": mine})
    branch.push("dewi", {"sandboxes/one.yaml": mine + "heal: report\n"})
    assert branch.accepted()["sandboxes/one.yaml"] == ONE


def test_roles_are_those_before_the_commit_and_change_with_what_counts_alone():
    branch = Branch()
    mine = BASE["platform.yaml"].replace("sari: {role: QA}", "sari: {role: ADMIN}")
    branch.push("sari", {"platform.yaml": mine, "templates/base.yaml": "template: X\n"})
    branch.push("sari", {"templates/base.yaml": "template: Y\n"})
    assert branch.accepted() == BASE
    branch.push("achmad", {"platform.yaml": mine + "\n"})
    branch.push("sari", {"templates/base.yaml": "template: Z\n"})
    assert branch.accepted() == {
        **BASE,
        "platform.yaml": mine + "\n",
        "templates/base.yaml": "template: Z\n",
    }


@pytest.mark.parametrize("text", [None, "platform: ["])
def test_without_a_platform_that_loads_the_roles_before_go_on(text):
    branch = Branch()
    branch.push("achmad", {"platform.yaml": text})
    branch.push("sari", {"platform.yaml": PLATFORM, "templates/base.yaml": None})
    assert "templates/base.yaml" in branch.accepted()
    assert "platform.yaml" in branch.reasons()


def test_a_second_platform_takes_administering_as_well():
    branch = Branch()
    branch.push("budi", {"platform.yml": PLATFORM})
    assert branch.reasons() == {"platform.yml": "NotPermitted"}


def test_a_later_change_with_the_right_takes_the_file_as_it_is_then():
    branch = Branch()
    branch.push("sari", {"templates/base.yaml": TEMPLATE + "heal: report\n"})
    branch.push("budi", {"templates/base.yaml": TEMPLATE + "heal: report\nupdate: manual\n"})
    assert (branch.accepted(), branch.reasons()) == (branch.head, {})


def test_anybody_may_bring_back_what_counts():
    branch = Branch()
    branch.push("sari", {"templates/base.yaml": "x", "environments/qa.yaml": None})
    branch.push("dewi", {p: BASE[p] for p in ("templates/base.yaml", "environments/qa.yaml")})
    assert (branch.accepted(), branch.reasons()) == (BASE, {})


def test_an_approval_takes_what_the_approver_may_change_and_is_as_it_was_left():
    branch = Branch()
    sha = branch.push(
        "dewi",
        {
            "templates/base.yaml": None,
            "environments/qa.yaml": "x",
            "platform.yaml": "y",
            "sandboxes/one.yaml": None,
        },
    )
    branch.push("dewi", {"environments/qa.yaml": "z"})
    branch.approve("sari", sha[:40])
    branch.approve("dewi", sha)
    assert branch.accepted() == BASE
    branch.approve("budi", sha)
    assert branch.accepted() == {
        p: t for p, t in BASE.items() if p not in {"templates/base.yaml", "sandboxes/one.yaml"}
    }
    assert set(branch.reasons()) == {"environments/qa.yaml", "platform.yaml"}


def test_the_platform_itself_removes_sandboxes_and_does_nothing_else():
    branch = Branch()
    branch.push("sdp", {"sandboxes/one.yaml": None, "templates/base.yaml": None})
    assert set(BASE) - set(branch.accepted()) == {"sandboxes/one.yaml"}


def test_only_who_may_delete_says_how_many_may_go():
    branch = Branch()
    for user, heard in (("sari", False), ("dewi", False), ("budi", True), ("achmad", True)):
        branch.push(user, {}, trailers.allowing("Let them go", 7))
        assert branch.standing().line[-1].heard is heard


def signed_platform(*users: str) -> str:
    """Return a platform that asks for signatures, with the first user's key listed."""
    keys = "".join(f"    {user}: {{keys: ['{public(KEY)}']}}\n" for user in users)
    return PLATFORM + ROLES + keys + "  require_signed_commits: true\n"


def test_where_signatures_are_asked_for_a_claim_alone_counts_for_nothing():
    branch = Branch({**BASE, "platform.yaml": signed_platform("dewi")})
    changed = {"sandboxes/two.yaml": TWO + "heal: report\n"}
    branch.push("dewi", changed)
    branch.push("dewi", changed, key=OTHER)
    branch.push("achmad", changed, key=KEY)  # her key is not his
    assert branch.reasons() == {"sandboxes/two.yaml": "NotSigned"}
    assert branch.accepted()["sandboxes/two.yaml"] == TWO
    branch.push("dewi", {"sandboxes/two.yaml": TWO + "update: manual\n"}, key=KEY)
    assert branch.reasons() == {}


def test_the_platforms_own_key_speaks_for_those_whose_right_it_checked():
    branch = Branch({**BASE, "platform.yaml": signed_platform("sdp")})
    branch.push("budi", {"templates/base.yaml": "template: X\n"}, key=KEY)
    branch.push("sdp", {"sandboxes/one.yaml": None}, key=KEY)
    assert branch.accepted() == branch.head
    branch.push("sari", {"templates/base.yaml": "template: Y\n"}, key=KEY)
    assert branch.reasons() == {"templates/base.yaml": "NotPermitted"}


def test_an_approval_that_is_not_signed_approves_nothing():
    branch = Branch({**BASE, "platform.yaml": signed_platform("dewi", "sdp")})
    sha = branch.push("sari", {"sandboxes/one.yaml": ONE + "heal: report\n"})
    branch.approve("achmad", sha)
    assert branch.reasons() == {"sandboxes/one.yaml": "NotSigned"}
    branch.approve("achmad", sha, KEY)
    assert branch.reasons() == {}


def test_with_its_key_listed_nobody_else_speaks_in_the_platforms_name():
    platform = signed_platform("sdp").replace("commits: true", "commits: false")
    branch = Branch({**BASE, "platform.yaml": platform})
    branch.push("sdp", {"sandboxes/one.yaml": None})
    assert branch.reasons() == {"sandboxes/one.yaml": "NotSigned"}


USERS = ["achmad", "budi", "sari", "dewi", "sdp", "nobody at all"]
CONTENTS = {
    "platform.yaml": [
        PLATFORM + ROLES,
        PLATFORM + ROLES.replace("QA", "ADMIN"),
        PLATFORM + ROLES.replace("VIEWER", "QA"),
        "platform: [",
        None,
    ],
    "sandboxes/one.yaml": [ONE, sandbox("QA-ONE", more="owner: dewi"), TWO, None],
    "sandboxes/two.yaml": [TWO, ONE, sandbox("QA-TWO", more="owner: sari"), None],
    "sandboxes/new.yaml": [sandbox("QA-NEW"), ONE, None],
    "templates/base.yaml": [TEMPLATE, TEMPLATE + "owner: dewi\n", None],
    "environments/qa.yaml": ["environment: qa\n", "environment: qa\nvariables: {A: b}\n", None],
    "snapshots/s.yaml": ["snapshot: S\nsandbox: QA-TWO\n", None],
}
FILES = st.lists(
    st.sampled_from(sorted(CONTENTS)).flatmap(
        lambda path: st.tuples(st.just(path), st.sampled_from(CONTENTS[path]))
    ),
    max_size=3,
).map(dict)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.sampled_from(USERS), FILES),
        st.tuples(st.just("approve"), st.sampled_from(USERS), st.integers(0, 7)),
    ),
    max_size=8,
)


@given(STEPS, st.integers(0, 9))
@settings(deadline=None, max_examples=80)
def test_nothing_counts_that_nobody_had_the_right_to(steps, stop):
    """And it does not matter how often, and from where, it is judged."""
    branch = Branch()
    known = branch.standing()
    halfway = known
    for number, (kind, user, what) in enumerate(steps):
        if kind == "push":
            branch.push(user, what)
        else:
            branch.approve(user, branch.pushed[what % len(branch.pushed)].sha)
        before, known = known, branch.standing(known)
        halfway = known if number == stop else halfway
        _nothing_unauthorised(before, known, branch.pushed[-1])
        waiting = {path: each.wanted for path, each in known.withheld.items()}
        overlaid = {**known.accepted, **waiting}
        assert {p: t for p, t in overlaid.items() if t is not None} == branch.head
    assert branch.standing() == known == branch.standing(halfway)
    assert [files for _, files in known.back()][-1] == BASE


def _nothing_unauthorised(before: Standing, after: Standing, commit: Pushed) -> None:
    who = person(user_of(commit.name, commit.mail, before.roles), before.roles)
    paths = before.accepted.keys() | after.accepted.keys()
    changed = {
        path: after.accepted.get(path)
        for path in paths
        if before.accepted.get(path) != after.accepted.get(path)
    }
    wanted = needs.needs(before.accepted, changed)
    assert not [each for some in wanted.values() for each in needs.lacking(who, some)]


# With real git.


class Repository:
    """A config repo that people push to."""

    def __init__(self, folder: Path) -> None:
        self.path = bare(folder / "config")
        self.source = Source(str(self.path), "main", folder)
        self.tip = ""
        self.put("achmad", **BASE)

    def put(self, user: str, message: str = "Change", **files: str | None) -> str:
        changes = {p: None if t is None else t.encode() for p, t in files.items()}
        author = f"{user} <{user}@acme.example>"
        made = write(self.path, changes, message, author, self.tip)
        assert isinstance(made, Committed)
        self.tip = made.sha
        return made.sha

    def standing(self) -> Standing:
        return self.source.standing(self.tip)


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path)


def test_trees_and_the_past_are_of_what_counts(repository):
    changed = sandbox("QA-ONE", "account: {branch: feature/a}")
    repository.put("dewi", **{"sandboxes/one.yaml": changed})
    repository.put("budi", **{"sandboxes/one.yaml": "sandbox: ["})
    tree = repository.source.tree(repository.tip)
    assert list(tree.unloaded) == ["sandboxes/one.yaml"]
    found = desire(repository.tip, tree, repository.source.ancestors(repository.tip))
    # The last good one is that which counted, not the one that was pushed last.
    assert found.sandboxes["qa-one"].services["account"].target == Ocp()
    older = [each.tree.sandboxes for each in repository.source.history(repository.tip)]
    assert not any(file.spec.services for files in older for file in files.values())


def test_who_may_not_delete_lets_no_sandboxes_go_by_a_trailer(repository):
    repository.put("dewi", trailers.allowing("Go", 9), **{"sandboxes/one.yaml": None})
    repository.put("budi", trailers.allowing("Go", 2), **{"sandboxes/two.yaml": None})
    said = [each.message for each in repository.source.history(repository.tip)]
    assert [trailers.allowed_deletes(each) for each in said] == [2, 0, 0]


def test_an_environment_that_never_counted_is_not_to_be_had_by_its_commit(repository):
    sha = repository.put(
        "sari", **{"environments/qa.yaml": "environment: qa\nvariables: {A: b}\n"}
    )
    pinned = sandbox("QA-TWO", more=f"owner: dewi\nenvironment: qa\nenvironment_revision: {sha}")
    repository.put("sari", **{"sandboxes/two.yaml": pinned})
    # Also if somebody asked for a plan with it before anything was judged.
    repository.source.read({**BASE, "sandboxes/two.yaml": pinned})
    tree = repository.source.tree(repository.tip)
    found = tree.environments_at(sha)
    assert found is not None
    assert found["qa"].spec.variables == {}


def test_a_standing_is_judged_on_from_where_the_last_one_ended(repository, tmp_path):
    first = repository.standing()
    repository.put("sari", **{"templates/base.yaml": None})
    assert repository.standing().line[:-1] == first.line
    cold = Source(str(repository.path), "main", tmp_path / "cold").standing(repository.tip)
    assert cold == repository.standing()


def test_a_branch_that_was_put_back_is_judged_anew(repository):
    first = repository.tip
    repository.put("sari", **{"templates/base.yaml": None})
    assert repository.standing().withheld
    git(repository.path, "update-ref", "refs/heads/main", first)
    repository.tip = first
    repository.put("budi", **{"templates/base.yaml": None})
    assert not repository.standing().withheld
    assert "templates/base.yaml" not in repository.standing().accepted


def worked_in(repository: Repository, name: str, user: str) -> Path:
    folder = repository.path.parent
    git(folder, "clone", "-q", str(repository.path), name)
    git(folder / name, "config", "user.name", user)
    return folder / name


def committed(clone: Path, user: str, path: str, text: str) -> None:
    (clone / path).write_text(text)
    git(clone, "add", "--all")
    git(clone, "commit", "-qm", "Change", f"--author={user} <{user}@acme.example>")


def test_a_merge_counts_as_its_mergers(repository):
    clone = worked_in(repository, "clone", "sari")
    git(clone, "checkout", "-qb", "topic")
    committed(clone, "budi", "templates/base.yaml", "template: X\n")
    git(clone, "checkout", "-q", "main")
    committed(clone, "achmad", "environments/qa.yaml", "environment: qa\nvariables: {A: b}\n")
    git(clone, "merge", "-q", "--no-ff", "--no-commit", "topic")
    git(clone, "commit", "-qm", "Merge", "--author=sari <sari@acme.example>")
    git(clone, "push", "-q", "origin", "main")
    repository.tip = git(clone, "rev-parse", "HEAD")
    (held,) = repository.standing().withheld.values()
    assert (held.path, held.user) == ("templates/base.yaml", "sari")


def test_who_pulls_answers_for_nothing_that_others_pushed_meanwhile(repository):
    clone = worked_in(repository, "clone", "sari")
    committed(clone, "sari", "sandboxes/one.yaml", ONE + "heal: report\n")
    repository.put("budi", **{"templates/base.yaml": "template: X\n"})
    git(clone, "fetch", "-q")
    git(clone, "merge", "-q", "--no-ff", "--no-commit", "origin/main")
    git(clone, "commit", "-qm", "Merge", "--author=sari <sari@acme.example>")
    git(clone, "push", "-q", "origin", "main")
    repository.tip = git(clone, "rev-parse", "HEAD")
    assert not repository.standing().withheld
    assert [each.user for each in repository.standing().line] == ["achmad", "budi", "sari"]


def test_a_shallow_clones_oldest_commit_is_trusted(repository):
    repository.put("sari", **{"templates/base.yaml": "template: X\n"})
    repository.put("sari", **{"environments/qa.yaml": "environment: qa\nvariables: {A: b}\n"})
    folder = repository.path.parent
    git(folder, "clone", "-q", "--bare", "--depth=2", f"file://{repository.path}", "shallow")
    standing = Source(str(folder / "shallow"), "main", folder).standing(repository.tip)
    assert list(standing.withheld) == ["environments/qa.yaml"]
