"""No shell, anywhere: processes are lists of words, and start in few places."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import demo
import sdp

ROOTS = [Path(package.__path__[0]) for package in (sdp, demo)]
FILES = sorted(path for root in ROOTS for path in root.rglob("*.py"))
STARTS = {
    "sdp/agent/runner.py",
    "sdp/cli/editor.py",
    "sdp/reconciler/git.py",
}
"""Where the product's processes start; the demo sets up a machine."""
STARTERS = {
    "Popen", "check_call", "check_output", "create_subprocess_exec", "execv", "execve", "execvp",
    "execvpe", "fork", "forkpty", "posix_spawn", "posix_spawnp", "spawnv", "spawnvp",
}  # fmt: skip
SHELLS = {"create_subprocess_shell", "getoutput", "getstatusoutput", "popen", "system"}
PROGRAMS = {"sh", "bash", "dash", "zsh", "/bin/sh", "/bin/bash", "/usr/bin/env"}


def name(path: Path) -> str:
    root = next(each for each in ROOTS if path.is_relative_to(each))
    return str(path.relative_to(root.parent))


def called(tree: ast.AST) -> Iterator[str]:
    """Yield what is called, as it is named last; of subprocess.run the whole."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            of = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
            yield "Popen" if of == "subprocess" and node.func.attr == "run" else node.func.attr


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_shell_is_started(path: Path) -> None:
    tree = ast.parse(path.read_text())
    words = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    arguments = {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword)}
    assert not SHELLS & set(called(tree))
    assert "shell" not in arguments
    assert not PROGRAMS & {word for word in words if isinstance(word, str)}


def test_processes_start_where_they_are_bounded_and_nowhere_else() -> None:
    starts = {name(path) for path in FILES if STARTERS & set(called(ast.parse(path.read_text())))}
    assert {each for each in starts if each.startswith("sdp/")} == STARTS
