"""Whose a change is: new sandboxes are of who is logged in, and a clone commits as its git says."""

from collections.abc import Sequence
from email.utils import parseaddr

from sdp.cli import context as cli
from sdp.cli.publish import Checkout
from sdp.reconciler.revisions import files_at
from sdp.spec.edits import Set
from sdp.spec.load import tree_of
from sdp.spec.roles import user_of

_PLATFORM = ("platform.yaml", "platform.yml")


def owned(user: str, name: str, settings: Sequence[Set]) -> list[Set]:
    """Return what makes a new sandbox that of who is logged in, unless it is said whose it is.

    Without an owner, who has QA could not delete what they made.
    """
    if not user or any(each.path == ("owner",) for each in settings):
        return []
    return [Set(kind="sandbox", name=name, path=("owner",), value=user)]


def tell_author(user: str, tree: Checkout) -> None:
    """Say where git makes a commit somebody else's than who is logged in: the author is judged."""
    if not user or not tree.head:
        return
    files = files_at(tree.directory, tree.head)
    platform = tree_of({path: files[path] for path in _PLATFORM if path in files}).platform
    if platform is None:
        return
    author = user_of(*parseaddr(tree.author), platform.spec.roles)
    if author.lower() != user.lower():
        cli.say(
            f"you are logged in as {user}, and git commits here as {tree.author}, whose rights "
            "count: git config user.email, or give the command outside of a clone"
        )
