"""Offer: what apply would commit and what that would do, before anybody is asked."""

import dataclasses
from pathlib import Path
from typing import Final

from sdp.api.views import PlanView
from sdp.cli import context as cli
from sdp.cli.client import Client
from sdp.cli.intended import Intended, ask, intended, written_in
from sdp.cli.plan import refuse_nothing
from sdp.cli.publish import Checkout, checkout, refuse_behind
from sdp.cli.saved import read, refuse_stale, restricted
from sdp.spec.select import Selection

_LIFTED: Final = frozenset({"MassDeletion", "EmptyTree"})
"""Reasons of holds that a commit lifts which lets enough sandboxes go."""


@dataclasses.dataclass(frozen=True, slots=True)
class Offer:
    """What would be applied, and what it would do.

    Attributes:
        deletes: how many sandboxes its commit lets go; 0: it says nothing about that.
        deletes_only: nothing is to be committed but that.
        affected: the sandboxes to wait for.
    """

    tree: Checkout
    wish: Intended
    made: PlanView
    deletes: int
    deletes_only: bool
    affected: tuple[str, ...]

    @property
    def commits(self) -> bool:
        """Whether a commit is to be made."""
        return bool(self.wish.paths) or self.deletes_only


def offered(client: Client, directory: Path, selection: Selection, deletes: int) -> Offer:
    """Return what applying a working tree, or a part of it, would do."""
    tree = checkout(directory)
    wish = intended(client, tree, selection)
    if not wish.files and not deletes:
        refuse_nothing(directory)
    refuse_behind(tree, wish.paths)
    made = ask(client, wish.files, selection, deletes)
    deletes_only = _is_deletes_only(client, wish, deletes)
    return Offer(tree, wish, made, deletes, deletes_only, _affected(made, wish))


def offered_again(client: Client, path: Path) -> Offer:
    """Return what applying a saved plan would do; end with 3 where it is stale."""
    before = read(path, client.url)
    tree = checkout(Path(before.directory))
    wish = restricted(before, intended(client, tree, before.selection))
    refuse_behind(tree, wish.paths)
    made = ask(client, wish.files, before.selection, before.allow_deletes)
    refuse_stale(before, wish, made)
    deletes_only = _is_deletes_only(client, wish, before.allow_deletes)
    return Offer(tree, wish, made, before.allow_deletes, deletes_only, tuple(before.sandboxes))


def _is_deletes_only(client: Client, wish: Intended, deletes: int) -> bool:
    """Whether what is committed already waits for a commit that lets sandboxes go."""
    if not deletes or wish.paths:
        return False
    waits = bool(held(ask(client, wish.files, wish.selection, 0)))
    if not waits:
        cli.say("no deletion waits for --allow-deletes")
    return waits


def held(made: PlanView) -> int:
    """Return how many sandboxes' deletion waits for a person's word."""
    return sum(each.reason in _LIFTED for plan in made.sandboxes for each in plan.holds)


def _affected(made: PlanView, wish: Intended) -> tuple[str, ...]:
    """Return the sandboxes to wait for: what is done something about, and what is committed.

    One whose file goes is part of the commit, and may be kept from going. One that only waits, and
    is no part of it, was waiting before.
    """
    written = written_in(wish.paths, wish.head) | written_in(wish.paths, wish.files)
    return tuple(
        each.sandbox for each in made.sandboxes if each.actions or each.sandbox.lower() in written
    )
