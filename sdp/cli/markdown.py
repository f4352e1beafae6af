"""Markdown: a plan as the comment that a pipeline posts to a pull request. Pure.

Bitbucket renders no HTML, so nothing is folded; it takes less than 32,768 characters, so what is
long is cut and counted. All that people wrote stands in code, where nothing is a mention, a link
or markup.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from sdp.api.views import Condition, PlanView, Problem, SandboxPlan
from sdp.cli import context as cli

MOST: Final = 30_000
"""Bytes of the longest comment."""
_MOST_ROWS = 20
_MOST_LINES = 40
_MOST_WIDTH = 240
_RESERVE = 200
_SIGNED = re.compile(r"( +)([+~-]) (.*)")
_STEP = re.compile(r" {6}([+~-]) ")
"""A change; a service's headline stands further left."""
_FOUND = re.compile(r"found .*, expected")


def page(made: PlanView, title: str, known: Iterable[Problem] = ()) -> str:
    """Return a plan as Markdown of at most ``MOST`` bytes.

    Args:
        made: the plan.
        title: what it is the plan of; a code span may stand in it.
        known: problems that were there before, told apart.
    """
    told = set(known)
    new = [each for each in made.problems if each not in told]
    old = [each for each in made.problems if each in told]
    blocks = [
        f"### {title}\n",
        _problems("Problems", new),
        _counts(made),
        _refused(made),
        *(_sandbox(each) for each in made.sandboxes),
        _problems("Problems that were there before", old),
    ]
    return _bounded([block for block in blocks if block])


def code(text: str) -> str:
    """Return people's text as a code span, in which nothing is markup."""
    return f"`{_line(text).replace('`', chr(39))}`"


def _bounded(blocks: Sequence[str]) -> str:
    """Return as many blocks as fit, and how many do not."""
    kept: list[str] = []
    size = 0
    for index, block in enumerate(blocks):
        size += len(block.encode()) + 1
        if size > MOST - _RESERVE:
            kept.append(f"… and {len(blocks) - index} more parts: see `sdp plan`\n")
            break
        kept.append(block)
    return "\n".join(kept)


def _counts(made: PlanView) -> str:
    total = made.summary
    changes = f"{total.add} to add, {total.change} to change, {total.destroy} to destroy"
    nothing = not made.sandboxes
    said = "Nothing to do" if nothing else f"Plan: {changes}, {total.held} held"
    against = f" against what runs (commit `{made.revision[:7] or 'none'}` is applied)."
    rows = [_row(each) for each in made.sandboxes[:_MOST_ROWS]]
    if len(made.sandboxes) > _MOST_ROWS:
        rows.append(f"| … and {len(made.sandboxes) - _MOST_ROWS} more | | | | |")
    table = ["", "| sandbox | + | ~ | - | held |", "| --- | --- | --- | --- | --- |", *rows]
    return "\n".join([f"**{said}**{against}", *([] if nothing else table), ""])


def _refused(made: PlanView) -> str:
    if not made.refused:
        return ""
    lines = (f"{e.path}: takes {e.permission!r}, which {e.role} has" for e in made.refused)
    return f"**Not allowed ({len(made.refused)})**\n\n{_fenced('', lines)}"


def _row(plan: SandboxPlan) -> str:
    signs = [found[1] for line in plan.lines if (found := _STEP.match(line))]
    counts = [str(signs.count(sign) or "") for sign in "+~-"]
    return f"| {' | '.join([code(plan.sandbox), *counts, str(len(plan.holds) or '')])} |"


def _sandbox(plan: SandboxPlan) -> str:
    parts = [f"#### {code(plan.sandbox)}", ""]
    if plan.lines:
        parts.append(_fenced("diff", map(_diff_line, plan.lines)))
    if plan.holds:
        parts += ["Held:", "", _fenced("", (line for each in plan.holds for line in _hold(each)))]
    return "\n".join(parts)


def _hold(hold: Condition) -> list[str]:
    about = f"{hold.service}: " if hold.service else ""
    lines = [f"{about}{hold.reason}: {hold.message}"]
    return [*lines, f"  fix: {hold.fix}"] if hold.fix else lines


def _diff_line(line: str) -> str:
    """Return a line with its sign in the first column, where a diff has it."""
    found = _SIGNED.match(line)
    return f"{found[2]}{found[1][1:]}{found[3]}" if found else f"  {line.strip()}"


def _problems(title: str, problems: Sequence[Problem]) -> str:
    if not problems:
        return ""
    lines = (f"{p.path}:{p.line}:{p.column}: {p.severity}: {_valueless(p)}" for p in problems)
    return f"**{title} ({len(problems)})**\n\n{_fenced('', lines)}"


def _valueless(problem: Problem) -> str:
    """Return a problem's message; of an environment's, without the value that is wrong."""
    if problem.path.startswith("environments/"):
        return _FOUND.sub("expected", problem.message)
    return problem.message


def _fenced(language: str, lines: Iterable[str]) -> str:
    """Return lines as a code block that none of them can end."""
    safe = [_line(line) for line in lines]
    shown = safe[:_MOST_LINES]
    if len(safe) > _MOST_LINES:
        shown.append(f"… and {len(safe) - _MOST_LINES} more lines")
    longest = max((len(run) for line in shown for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}{language}", *shown, fence, ""])


def _line(text: str) -> str:
    inert = cli.inert(text)
    return inert if len(inert) <= _MOST_WIDTH else f"{inert[:_MOST_WIDTH]}…"
