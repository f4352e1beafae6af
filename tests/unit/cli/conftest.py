"""What most tests of commands start from: a control plane in memory, and sdp asked to use it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import Result

from tests.fakes.control_plane import FakeControlPlane, served_in_thread
from tests.unit.cli.repository import sdp


@pytest.fixture(autouse=True)
def _own_keyring(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let no test read or write the keyring of whoever runs it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def control() -> FakeControlPlane:
    return FakeControlPlane()


@pytest.fixture
def run(control: FakeControlPlane) -> Iterator[Callable[..., Result]]:
    with served_in_thread(control.ports) as url:
        yield lambda *words, **options: sdp(words, url, **options)
