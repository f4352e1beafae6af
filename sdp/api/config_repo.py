"""The config repo, as the API writes it: requests one after the other, outcomes as views."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import assert_never

from dulwich.errors import NotGitRepository
from typing_extensions import override

from sdp.api import showing, views
from sdp.api.problems import ProblemError
from sdp.api.requests import ChangeRequest
from sdp.reconciler import writer
from sdp.reconciler.commit import Unchanged
from sdp.reconciler.objects import past_of
from sdp.reconciler.removal import Removal, Remover
from sdp.reconciler.source import Source
from sdp.spec.change import CannotChangeError, Changed, Files, Past, change
from sdp.spec.edits import Write

Preview = Callable[[dict[str, str]], Awaitable[views.PlanView]]


class ConfigRepo(Remover):
    """Writes to the branch that a source reads."""

    def __init__(self, source: Source, preview: Preview) -> None:
        """Take the source, and who plans what files would lead to."""
        self._source = source
        self._preview = preview
        self._one_at_a_time = asyncio.Lock()

    async def change(self, request: ChangeRequest) -> views.ChangeView:
        """Do what a request asks for.

        Raises:
            ProblemError: it can't be done; nothing was changed.
        """
        try:
            if request.dry_run:
                return await self._shown(request)
            async with self._one_at_a_time:
                outcome = await asyncio.to_thread(self._land, request)
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

    def _edit(self, request: ChangeRequest) -> writer.Edit:
        if request.revert:
            return writer.reverting(self._source.repository, request.revert)
        environments = past_of(self._source.repository)
        return lambda files, past: change(files, request.edits, past, environments)

    def _place(self) -> writer.Place:
        source = self._source
        remote = "" if source.repository == Path(source.location) else source.location
        return writer.place_of(source.repository, source.branch, remote)

    def _land(self, request: ChangeRequest) -> writer.Outcome:
        edit = self._edit(request)
        return writer.land(self._place(), edit, request.author, request.message, request.base)

    async def _shown(self, request: ChangeRequest) -> views.ChangeView:
        async with self._one_at_a_time:
            shown = await asyncio.to_thread(writer.preview, self._place(), self._edit(request))
        if isinstance(shown, writer.Unwritable):
            return _told(shown)
        plan = await self._preview(dict(shown.files))
        return showing.change(shown).model_copy(update={"plan": plan})

    def _away(self, error: Exception) -> ProblemError:
        return ProblemError(
            503,
            "config-repo",
            "Config repo unavailable",
            f"{self._source.location} can't be written now: {error}",
            "See GET /readyz, and the control plane's log.",
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
