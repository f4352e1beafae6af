"""One world for all scenarios; each scenario has sandboxes of its own in it."""

import contextlib
import os
import socket
from collections.abc import Iterable, Iterator

import pytest

from demo.world import World, free_ports, port_is_free, running
from tests.e2e.scenarios import Scenario
from tests.testbed import images
from tests.testbed.__main__ import state_folder
from tests.testbed.engine import ensure_engine


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A running company: control plane, two agents, OCP."""
    engine = ensure_engine(state_folder())
    for tag in images.TAGS:
        images.ensure_image(engine, tag)
    # Another run on this machine, and another worker of this run, has ports and an instance of
    # its own; workers look at different bases first.
    mine = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    bases = range(21000 + 1000 * mine, 31000, 1000 * workers)
    root = tmp_path_factory.mktemp("world")
    with (
        free_base(bases) as base,
        # Nobody's who was killed before: what such a run left behind is refused, and stays its own.
        running(World(root, f"e2e-{base}-{os.getpid()}", engine, free_ports(base))) as company,
    ):
        yield company


@contextlib.contextmanager
def free_base(bases: Iterable[int]) -> Iterator[int]:
    """Yield a base that nobody has, and keep it from all who would take it at the same moment."""
    for base in bases:
        with socket.socket() as kept:
            try:
                kept.bind(("127.0.0.1", base + 999))
            except OSError:
                continue
            if port_is_free(base):
                yield base
                return
    raise RuntimeError("every base of ports is taken")


@pytest.fixture
def scenario(world, request):
    """A scenario whose sandbox is gone afterwards."""
    name = request.node.name.removeprefix("test_").replace("_", "-")[:30].strip("-").upper()
    made = Scenario(world, name)
    yield made
    if (world.config / made.path).exists():
        made.remove()
