"""The apply command: plan, ask, commit, push, and follow until what was asked for runs."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from sdp.api.views import ChangeView
from sdp.cli import context as cli
from sdp.cli.follower import Follower
from sdp.cli.health import refuse_withheld
from sdp.cli.intended import AllowDeletes, Excluded, Sandboxes, Services, chosen
from sdp.cli.offer import Offer, held, offered, offered_again
from sdp.cli.plan import Directory, refuse_errors, refuse_not_allowed, show
from sdp.cli.publish import publish, record, refuse_elsewhere
from sdp.cli.whose import tell_author
from sdp.spec.trailers import allowing


def apply(
    context: typer.Context,
    plan_file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[SAVED]", exists=True, dir_okay=False, help="A plan that sdp plan -o saved."
        ),
    ] = None,
    directory: Directory = Path(),
    message: Annotated[str, typer.Option("--message", "-m", help="The commit's message.")] = "",
    timeout: cli.Timeout = 600,
    sandbox: Sandboxes = None,
    service: Services = None,
    exclude: Excluded = None,
    allow_deletes: AllowDeletes = 0,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: cli.AsJson = False,
) -> None:
    """Commit and push the working tree's specs, and follow until all of it runs.

    With --sandbox, --service or --exclude only that part of the changes; the rest stays in the
    working tree. Templates, environments and platform.yaml are never part of a part.

    Refused before there is a commit: a clone that is behind its remote, or on another branch than
    the control plane serves.

    Exit code 0: everything affected is Synced and Healthy; 1: an error; 3: the saved plan is
    stale; 4: not healthy in time, or it can't become so; or a removal is held.

    Examples: `sdp apply`; `sdp apply --yes -m "Try the refund branch"`; `sdp apply today.plan`;
    `sdp apply --sandbox qa-refund --service account`; `sdp apply --allow-deletes 5`.
    """
    selection = chosen(sandbox, service, exclude)
    if plan_file is not None and (allow_deletes or not selection.whole):
        raise typer.BadParameter("a saved plan says itself what it is about", param_hint="SAVED")
    if as_json and not yes:
        raise typer.BadParameter("a program is not asked: add --yes", param_hint="--json")
    with cli.failures():
        client = cli.client(context)
        if plan_file is not None:
            offer = offered_again(client, plan_file)
        else:
            offer = offered(client, directory, selection, allow_deletes)
        refuse_elsewhere(
            offer.tree, offer.made.branch, "push it and open a pull request: git push"
        )
        _show(offer, client.user, as_json=as_json)
        if not offer.commits and not offer.affected and offer.tree.head == offer.made.revision:
            _tell(offer, as_json=as_json)
            return
        if not yes and not _confirmed(offer):
            cli.fail("not applied")
        said = message or _message(offer)
        target = _committed(offer, said)
        publish(offer.tree, target)
        _tell(offer, target, said, as_json=as_json)
        if target != offer.tree.head:
            cli.say(f"  undo it: sdp revert {target[:7]}")
        fresh = target != offer.made.revision
        follower = Follower(client, target, list(offer.affected), offer.tree.has, fresh=fresh)
        if not follower.run(time.monotonic() + timeout):
            raise typer.Exit(cli.NOT_IN_TIME)
        refuse_withheld(client, target)
        cli.say(f"{target[:7]} is applied")


def _tell(offer: Offer, commit: str = "", said: str = "", *, as_json: bool) -> None:
    """Tell a program what is applied."""
    made = ChangeView(
        commit=commit,
        base=offer.tree.head,
        subject=said.partition("\n")[0] if offer.commits else "",
        paths=tuple(offer.wish.paths),
        plan=offer.made,
    )
    if as_json:
        cli.print_json(made)


def _show(offer: Offer, user: str, *, as_json: bool) -> None:
    """Show what would be applied; end with 1 where it can't be."""
    offer.wish.tell()
    if not as_json:
        show(offer.made)
    refuse_not_allowed(offer.made)
    if offer.commits:
        tell_author(user, offer.tree)
    # The files are committed already, and a word about deletions changes none.
    if not offer.deletes_only:
        refuse_errors(offer.made)
    if offer.deletes and (number := held(offer.made)):
        cli.fail(
            f"{number} sandboxes would go, and --allow-deletes {offer.deletes} lets "
            f"{offer.deletes} go; nothing was committed",
            f"look at them above, then: sdp apply --allow-deletes {number}",
        )


def _committed(offer: Offer, said: str) -> str:
    """Commit what there is to commit, and return where the branch is then."""
    if not offer.commits:
        return offer.tree.head
    said = allowing(said, offer.deletes) if offer.deletes else said
    return record(offer.tree, offer.wish.changes, said)


def _confirmed(offer: Offer) -> bool:
    for path in offer.wish.paths:
        cli.say(f"  to commit: {path}")
    if offer.deletes and offer.commits:
        cli.say(f"  the commit lets {offer.deletes} sandboxes go")
    if not sys.stdin.isatty():
        cli.fail("apply asks, and nobody is there to answer", "look at the plan, then: --yes")
    return typer.confirm("Apply this?", err=True)


def _message(offer: Offer) -> str:
    if offer.deletes_only:
        return f"Let {offer.deletes} sandboxes go"
    return f"Apply {', '.join(offer.wish.paths)}"
