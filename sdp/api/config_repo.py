"""The config repo, as the API writes it: requests one after the other, outcomes as views."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import assert_never

from dulwich.errors import NotGitRepository
from typing_extensions import override

from sdp.api import showing, views
from sdp.api.people import Caller
from sdp.api.problems import ProblemError
from sdp.api.requests import ChangeRequest
from sdp.api.rights import does_not_count, not_allowed
from sdp.protocol.secret import Credentials
from sdp.reconciler import rights, writer
from sdp.reconciler.commit import Sign, Unchanged
from sdp.reconciler.objects import past_of
from sdp.reconciler.removal import Removal, Remover
from sdp.reconciler.revisions import diff
from sdp.reconciler.source import Source
from sdp.service_credential import Unusable
from sdp.spec import trailers
from sdp.spec.change import CannotChangeError, Changed, Files, Past, change
from sdp.spec.edits import Write
from sdp.spec.roles import Person, author

Preview = Callable[[dict[str, str]], Awaitable[views.PlanView]]


class ConfigRepo(Remover):
    """Writes to the branch that a source reads."""

    def __init__(
        self,
        source: Source,
        preview: Preview,
        sign: Sign | None = None,
        credentials_of: Callable[[str], Credentials | None] = lambda _: None,
    ) -> None:
        """Take where it is, and who helps.

        Args:
            source: reads the branch.
            preview: plans what files would lead to.
            sign: signs what is committed.
            credentials_of: returns those of a user who is logged in, to push with.
        """
        self._source = source
        self._preview = preview
        self._sign = sign
        self._credentials_of = credentials_of
        self._one_at_a_time = asyncio.Lock()

    async def change(self, request: ChangeRequest, caller: Caller) -> views.ChangeView:
        """Do what a caller asks for.

        Raises:
            ProblemError: it can't be done, or not by them; nothing was changed.
        """
        who = caller.person
        try:
            if request.approve:
                return await self._approved(request, who)
            if request.dry_run:
                return await self._shown(request, who)
            async with self._one_at_a_time:
                outcome = await asyncio.to_thread(self._land, request, who)
        except CannotChangeError as error:
            raise ProblemError(
                422, "cannot-change", "Can't change", str(error), error.fix
            ) from error
        except (NotGitRepository, OSError) as error:
            raise self._away(error) from error
        self._source.refresh()
        return _told(outcome)

    @override
    async def remove(self, removal: Removal) -> str:
        try:
            async with self._one_at_a_time:
                outcome = await asyncio.to_thread(self._end, removal)
        except (CannotChangeError, NotGitRepository, OSError) as error:
            return f"{self._source.location} can't be written: {error}"
        self._source.refresh()
        match outcome:
            case writer.Landed() | Unchanged():
                return ""
            case writer.Conflict(paths=paths):
                return f"{', '.join(paths)} changed meanwhile"
            case writer.Unwritable():
                return f"{outcome.message} ({outcome.reason}): {outcome.fix}"
            case _:
                assert_never(outcome)

    def _end(self, removal: Removal) -> writer.Outcome:
        def edit(files: Files, _: Past) -> Changed:
            gone = [Write(path=path, text=None) for path in removal.paths if path in files]
            made = change(files, gone) if gone else Changed({}, "")
            return Changed(made.files, removal.subject)

        return writer.land(self._place(), edit, removal.author, removal.why, removal.revision)

    def _edit(self, request: ChangeRequest, who: Person) -> writer.Edit:
        """Return a request's change, which only who may make it can."""
        if request.revert:
            edit = writer.reverting(self._source.repository, request.revert)
        else:
            environments = past_of(self._source.repository)

            def edit(files: Files, past: Past) -> Changed:
                return change(files, request.edits, past, environments)

        def checked(files: Files, past: Past) -> Changed:
            made = edit(files, past)
            if lacks := rights.refused_of(self._source, made.files, who):
                raise not_allowed(who.user, lacks)
            if along := rights.beneath(self._source, files, made.files):
                self._source.refresh()
                raise does_not_count(along)
            return made

        return checked

    def _place(self, user: str = "") -> writer.Place:
        """Return where to write; a remote is used with the user's own credentials, if at hand."""
        source = self._source
        remote = "" if source.repository == Path(source.location) else source.location
        lent = self._credentials_of(user) or source.account()
        if isinstance(lent, Unusable):
            raise CannotChangeError(lent.message, lent.fix)
        return writer.place_of(source.repository, source.branch, remote, self._sign, lent)

    def _land(self, request: ChangeRequest, who: Person) -> writer.Outcome:
        edit = self._edit(request, who)
        place = self._place(who.user)
        return writer.land(place, edit, self._author(who), request.message, request.base)

    def _say(self, said: Changed, message: str, who: Person) -> writer.Outcome:
        place = self._place(who.user)
        return writer.land(place, lambda *_: said, self._author(who), message)

    def _author(self, who: Person) -> str:
        standing = self._source.newest()
        return author(who.user, standing.roles, standing.instance)

    async def _approved(self, request: ChangeRequest, who: Person) -> views.ChangeView:
        async with self._one_at_a_time:
            found = await asyncio.to_thread(rights.approval, self._source, request.approve, who)
            made = _approval(found, request.approve, who)
            if request.dry_run:
                return made
            said = Changed({}, made.subject, (), trailers.approving(request.approve))
            outcome = await asyncio.to_thread(self._say, said, request.message, who)
        self._source.refresh()
        told = _told(outcome)
        return made.model_copy(update={"commit": told.commit, "base": told.base})

    async def _shown(self, request: ChangeRequest, who: Person) -> views.ChangeView:
        async with self._one_at_a_time:
            shown = await asyncio.to_thread(self._seen, request, who)
        if isinstance(shown, writer.Unwritable):
            return _told(shown)
        plan = await self._preview(dict(shown.files))
        return showing.change(shown).model_copy(update={"plan": plan})

    def _seen(self, request: ChangeRequest, who: Person) -> writer.Shown | writer.Unwritable:
        return writer.preview(self._place(who.user), self._edit(request, who))

    def _away(self, error: Exception) -> ProblemError:
        return ProblemError(
            503,
            "config-repo",
            "Config repo unavailable",
            f"{self._source.location} can't be written now: {error}",
            "See GET /readyz, and the control plane's log.",
        )


def _approval(found: rights.Approval, commit: str, who: Person) -> views.ChangeView:
    """Return what an approval lets count.

    Raises:
        ProblemError: nothing of the commit waits, or nothing that this person may let count.
    """
    if not found.files and found.lacks:
        raise not_allowed(who.user, found.lacks)
    if not found.files:
        raise ProblemError(
            422,
            "nothing-waits",
            "Nothing waits",
            f"Nothing of {commit[:7]} waits for an approval.",
            "see what waits: sdp status; what was changed again since waits under that commit",
        )
    first, *more = found.files
    others = f" and {len(more)} more" if more else ""
    return views.ChangeView(
        subject=f"Approve {first}{others} of {commit[:7]}",
        paths=tuple(found.files),
        diff=diff(found.before, found.files),
    )


def _told(outcome: writer.Outcome) -> views.ChangeView:
    match outcome:
        case writer.Landed():
            return showing.change(outcome)
        case Unchanged(base=base):
            return views.ChangeView(base=base, subject="Nothing to change")
        case writer.Conflict():
            paths = ", ".join(outcome.paths)
            raise ProblemError(
                409,
                "conflict",
                "Conflict",
                f"{paths} changed since {outcome.base[:7]}",
                "look at what changed, and make the change again on top of it",
                conflict=showing.conflict(outcome),
            )
        case writer.Unwritable():
            raise ProblemError(409, "not-writable", outcome.reason, outcome.message, outcome.fix)
        case _:
            assert_never(outcome)
