"""Worlds for scenarios, each with ports and an instance that no other run on this machine has."""

import contextlib
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from demo.world import PASSWORDS, World, free_ports, port_is_free, running
from tests.testbed import images
from tests.testbed.__main__ import state_folder
from tests.testbed.engine import ensure_engine


@contextlib.contextmanager
def new_world(root: Path, passwords: Mapping[str, str] = PASSWORDS) -> Iterator[World]:
    """Yield a running company below a folder: control plane, two agents, OCP, Bitbucket."""
    engine = ensure_engine(state_folder())
    for tag in images.TAGS:
        images.ensure_image(engine, tag)
    # Another run on this machine, and another worker of this run, has ports and an instance of
    # its own; workers look at different bases first.
    mine = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    bases = range(21000 + 1000 * mine, 31000, 1000 * workers)
    with free_base(bases) as base:
        # Nobody's who was killed before: what such a run left behind is refused, and stays its own.
        instance = f"e2e-{base}-{os.getpid()}"
        with running(World(root, instance, engine, free_ports(base), passwords)) as world:
            yield world


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
