"""Which deletions wait for a person, and what a person's commit lets go."""

import dataclasses
from collections.abc import Iterator, Mapping

from sdp.reconciler.departure import Departure, departures
from sdp.reconciler.desired import Revision, desire
from sdp.reconciler.guard import Word, allowed_by, held_deletions
from sdp.spec.load import load
from sdp.spec.tree import Blob, Tree
from tests.builders import PLATFORM, Simulation, desired, sandbox

NAMES = ("a", "b", "c", "d", "e")


def tree(
    *sandboxes: str, platform: str = PLATFORM, broken: Mapping[str, str] | None = None
) -> Tree:
    files = {"platform.yaml": platform} if platform else {}
    files |= {f"sandboxes/{name}.yaml": sandbox(name) for name in sandboxes}
    files |= {f"sandboxes/{name}.yaml": text for name, text in (broken or {}).items()}
    return load(Blob(path, text, text.encode()) for path, text in files.items())


def running(*sandboxes: str) -> Simulation:
    """Return nodes that run these sandboxes, and a commit that desires none of them."""
    made = Simulation(desired(*(sandbox(name) for name in sandboxes)))
    made.converge()
    made.desired = desired()
    return made


def allowing(number: int, commit: str = "c1") -> dict[str, Departure]:
    """Return that all left together, with a commit that says how many may."""
    return {name: Departure("now", mass=True, allowances={commit: number}) for name in NAMES}


def reasons(made: Simulation, word: Word) -> dict[str, str]:
    return {name: hold.reason for name, hold in held_deletions(made.world(), word).items()}


def test_two_sandboxes_may_go_and_three_of_three_wait():
    assert reasons(running("a", "b"), Word({})) == {}
    assert reasons(running("a", "b", "c"), Word({})) == dict.fromkeys("abc", "MassDeletion")


def test_the_hold_names_the_command_that_lets_all_of_them_go():
    hold = held_deletions(running("a", "b", "c").world(), Word({}))["a"]
    assert "sdp apply --allow-deletes 3" in hold.fix
    assert "sdp sync a" in hold.fix


def test_a_commit_that_allows_as_many_lets_them_go():
    assert reasons(running("a", "b", "c"), Word(allowing(3))) == {}


def test_a_commit_that_allows_fewer_lets_none_go_and_the_hold_says_how_many_would():
    held = held_deletions(running("a", "b", "c").world(), Word(allowing(2, "c0ffee11")))
    assert {each.reason for each in held.values()} == {"MassDeletion"}
    assert "commit c0ffee1 allows 2, 3 would go" in held["a"].message


def test_what_was_let_go_counts_and_stays_so_when_more_turn_up():
    word = Word(allowing(3), let_go={"c1": {"a", "b", "c"}})
    assert allowed_by(running("a", "b", "d").world(), word) == {"c1": frozenset("ab")}


def test_who_left_alone_goes_on_going_when_many_leave_next():
    history = [
        Revision("r3", tree(), "Remove many\n\nSDP-Allow-Deletes: 3"),
        Revision("r2", tree("b", "c", "d")),
        Revision("r1", tree("a", "b", "c", "d")),
    ]
    word = Word(departures(dict.fromkeys("abcd"), history))
    assert reasons(running("a", "b", "c", "d"), word) == {}
    silent = Word(departures(dict.fromkeys("abcd"), [Revision("r3", tree()), *history[1:]]))
    held = held_deletions(running("a", "b", "c", "d").world(), silent)
    assert held.keys() == {"b", "c", "d"}
    assert "sdp apply --allow-deletes 3" in held["b"].fix


def test_those_let_go_one_by_one_need_no_commit():
    word = Word(allowing(2), confirmed={"c"})
    assert reasons(running("a", "b", "c"), word) == {}


def test_no_commit_lifts_protection():
    word = Word({name: Departure("now", protected=True, allowances={"c1": 9}) for name in NAMES})
    assert reasons(running("a", "b", "c"), word) == dict.fromkeys("abc", "Protected")


def emptied(made: Simulation) -> None:
    made.desired = desire("new", tree(platform=""), [Revision("old", tree("a"))])
    assert made.desired.platform is not None


def test_an_emptied_tree_holds_even_one_sandbox_until_a_commit_lets_it_go():
    made = running("a")
    emptied(made)
    assert reasons(made, Word({})) == {"a": "EmptyTree"}
    assert reasons(made, Word({}, confirmed={"a"})) == {"a": "EmptyTree"}
    hold = held_deletions(made.world(), Word({}))["a"]
    assert "--allow-deletes 1" in hold.fix
    assert reasons(made, Word(allowing(1))) == {}


def test_who_left_with_an_emptied_tree_waits_until_its_own_file_is_back():
    history = [
        Revision("r3", tree()),
        Revision("r2", tree(platform="")),
        Revision("r1", tree("a")),
    ]
    word = Word(departures({"a": None}, history))
    assert reasons(running("a"), word) == {"a": "EmptyTree"}
    assert reasons(running("a"), dataclasses.replace(word, confirmed={"a"})) == {}


def test_the_last_sandboxs_file_is_removed_like_any_other():
    assert reasons(running("a"), Word({})) == {}


def test_a_platform_that_does_not_load_and_no_sandbox_is_an_emptied_tree():
    made = running("a")
    made.desired = desire("new", tree(platform="platform: ["), [Revision("old", tree("a"))])
    assert reasons(made, Word({})) == {"a": "EmptyTree"}


def test_the_past_is_read_back_to_the_last_spec():
    trailer = "Clean up\n\nSDP-Allow-Deletes: 3"
    history = [
        Revision("r4", tree()),
        Revision("r3", tree("b"), trailer),
        Revision("r2", tree("b"), "x"),
        Revision("r1", tree("a", "b"), trailer),
    ]
    found = departures({"a": None, "b": None}, history)
    assert found == {"a": Departure("r4", allowances={"r3": 3}), "b": Departure("r4")}


def test_the_past_is_read_only_to_where_it_was_read_before():
    def history() -> Iterator[Revision]:
        yield Revision("r3", tree(), "More\n\nSDP-Allow-Deletes: 5")
        yield Revision("r2", tree())
        raise AssertionError("read too far")

    known = {"a": Departure("r2", protected=True, allowances={"r1": 2})}
    assert departures(known, history()) == {
        "a": Departure("r3", protected=True, allowances={"r1": 2, "r3": 5})
    }


def test_many_that_left_in_one_commit_wait_though_some_are_gone_by_now():
    history = [Revision("r3", tree("e")), Revision("r2", tree("e")), Revision("r1", tree(*NAMES))]
    found = departures({"a": None, "b": None}, history)
    assert found["a"].mass
    assert reasons(running("a", "b"), Word(found)) == dict.fromkeys("ab", "MassDeletion")


def test_as_many_that_left_one_by_one_do_not_wait():
    history = [Revision(f"r{n}", tree(*NAMES[n:])) for n in (3, 2, 1, 0)]
    assert not departures({"a": None}, history)["a"].mass


def test_what_no_commit_explains_waits_for_a_person():
    found = departures({"a": None}, [Revision("r2", tree()), Revision("r1", tree("b"))])
    assert found == {"a": Departure("r2", explained=False)}
    assert reasons(running("a"), Word(found)) == {"a": "NotInHistory"}
    assert reasons(running("a"), Word(found, confirmed={"a"})) == {}


def test_an_old_commit_lets_nothing_go_that_no_commit_explains():
    history = [Revision("r2", tree()), Revision("r1", tree(), "x\n\nSDP-Allow-Deletes: 9")]
    word = Word(departures({"a": None}, history))
    assert reasons(running("a"), word) == {"a": "NotInHistory"}


def test_protection_outlives_a_file_that_broke_before_it_was_removed():
    protected = sandbox("a", more="lifecycle: {protect: true}")
    history = [
        Revision("r3", tree()),
        Revision("r2", tree(broken={"a": sandbox("a", more="template: GONE")})),
        Revision("r1", tree(broken={"a": protected})),
    ]
    assert departures({"a": None}, history)["a"].protected
