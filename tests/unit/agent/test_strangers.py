"""Who has a port is told as far as any witness can: /proc, a bind, the engine, its refusals."""

import contextlib
import os
import socket
import subprocess  # noqa: TID251 -- plays another engine's proxy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdp.agent import listeners
from sdp.agent.engine import Draft
from sdp.agent.strangers import PROXY_SECONDS, REFUSED_SECONDS, Strangers
from tests.fakes.engine import FakeEngine

ROWS = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1234 1
   1: 0100007F:1F91 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 1235 1
"""


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def engine():
    return FakeEngine("mine")


@pytest.fixture
def listener():
    """A socket that listens as a stranger's would, on a port of the system's choice."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        made.listen()
        yield made


def port_of(made: socket.socket) -> int:
    port: int = made.getsockname()[1]
    return port


def test_only_what_listens_is_read_from_proc():
    assert listeners.listening((ROWS,)) == {8080: "1234"}


async def test_a_process_is_named_with_its_pid(engine, listener):
    seen = await Strangers(engine).look()
    assert f"(pid {os.getpid()})" in seen[port_of(listener)]


@contextlib.contextmanager
def proxy(folder: Path) -> Iterator[int]:
    """A process that goes by the name of an engine's proxy, and the port that it listens on."""
    program = folder / "docker-proxy"
    program.symlink_to(Path(sys.executable).resolve())
    script = (
        "import socket; s = socket.create_server(('127.0.0.1', 0)); "
        "print(s.getsockname()[1], flush=True); input()"
    )
    with subprocess.Popen(
        [program, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as started:
        assert started.stdout is not None
        try:
            yield int(started.stdout.readline())
        finally:
            started.kill()


async def test_a_proxy_that_the_engine_no_longer_lists_is_a_stranger_only_when_it_stays(
    engine, tmp_path
):
    """It may outlive our container for a moment, which then would not get its own port back."""
    clock = Clock()
    strangers = Strangers(engine, clock)
    with proxy(tmp_path) as port:
        assert port not in await strangers.look()
        clock.seconds += PROXY_SECONDS
        assert (await strangers.look())[port].startswith("docker-proxy (pid ")


async def test_a_listener_on_one_address_is_in_the_way_of_all(listener):
    assert listeners.taken(port_of(listener))
    assert listeners.held([port_of(listener)]) == {port_of(listener)}


async def test_what_only_listens_on_ipv6_is_in_nobodys_way(engine):
    with socket.socket(socket.AF_INET6) as made:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            made.bind(("::", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        made.listen()
        assert port_of(made) not in await Strangers(engine).look()
        assert not listeners.taken(port_of(made))


async def test_what_listens_on_ipv6_for_both_is_in_the_way(engine):
    with socket.socket(socket.AF_INET6) as made:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            made.bind(("::", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        made.listen()
        assert port_of(made) in await Strangers(engine).look()


async def test_a_connection_that_lingers_is_in_nobodys_way():
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("127.0.0.1", 0))
        made.listen()
        port = port_of(made)
        with socket.create_connection(("127.0.0.1", port)) as client:
            served, _ = made.accept()
            served.close()  # the side that closes first lingers
            assert client.recv(1) == b""
    assert not listeners.taken(port)


async def test_containers_are_named_and_ours_are_no_strangers(engine):
    engine.add_stranger("web", 9501)
    strangers = Strangers(engine)
    assert (await strangers.look())[9501] == "container web (image stranger:1)"
    await engine.create_network("net", "s")
    key = await engine.create(Draft("api", "busybox:test", {}, "net", ports={80: 9503}))
    await engine.start(key)
    assert 9503 not in await strangers.look()
    theirs = await Strangers(engine.as_seen_by("theirs")).look()
    assert theirs[9503] == "container api of mine on node fake"


async def test_a_port_that_the_engine_refused_and_nobody_explains_is_left_alone_for_a_while(
    engine,
):
    clock = Clock()
    strangers = Strangers(engine, clock)
    assert await strangers.refused(9502) == listeners.UNKNOWN
    assert (await strangers.look())[9502] == listeners.UNKNOWN
    clock.seconds = REFUSED_SECONDS + 1
    assert 9502 not in await strangers.look()


async def test_a_refusal_that_is_explained_lasts_as_long_as_its_cause(engine, listener):
    strangers = Strangers(engine)
    port = port_of(listener)
    assert "(pid" in await strangers.refused(port)
    listener.close()
    assert port not in await strangers.look()
