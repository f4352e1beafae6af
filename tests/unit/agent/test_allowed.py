"""What an agent does not do, whoever tells it: its own file decides."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sdp.agent.accounts import Accounts
from sdp.agent.allowed import Allowed, refused
from sdp.agent.containers import Containers, Place
from sdp.agent.engine import Draft, EngineError
from sdp.agent.identity import IdentityFile
from sdp.agent.journal import Journal
from sdp.agent.lent import Opener
from sdp.agent.outbox import Outbox
from sdp.agent.perform import Performers
from sdp.agent.recipes import Workshop
from sdp.agent.releases import Releases
from sdp.agent.repositories import Repositories
from sdp.agent.seals import Seals
from sdp.agent.strangers import Strangers
from sdp.protocol import actions
from sdp.protocol.frames import Perform
from sdp.service_credential import ServiceCredential
from tests.fakes.engine import FakeEngine
from tests.property.profiles import SETTINGS
from tests.unit.agent.test_perform import Disk

COMMIT = "c" * 40
RECIPE = actions.GoRecipe(service="account", package=".", flags=(), environment={})


def spec(**changes: object) -> actions.ContainerSpec:
    made = actions.ContainerSpec(
        name="sandbox-s-account", image="busybox:test", sandbox="s", service="account",
        commit=COMMIT, branch="main", hash="h", peers="", generation="g", deployment="d",
        network="sandbox-s", container_port=8080, host_port=9001, environment={}, files={},
        limits=actions.Limits(), probe=actions.Probe(path="/", deadline_seconds=1),
    )  # fmt: skip
    return made.model_copy(update=changes)


def service(**changes: object) -> actions.StartService:
    return actions.StartService(container=spec(**changes), repository="account", recipe=RECIPE)


def gateway(mount: str = "/var/www", log: str = "/var/log/apache2") -> actions.StartGateway:
    return actions.StartGateway(container=spec(), mount=mount, access_log=log)


def message(action: actions.Action, allowed: Allowed | None = None) -> str:
    no = refused(action, allowed or Allowed())
    if no is None:
        return ""
    assert (no.reason, no.terminal) == ("NotAllowed", True)
    assert "agent" in no.fix
    return no.message


@pytest.mark.parametrize(
    ("image", "patterns", "taken"),
    [
        ("anything:1", None, True),
        ("alpine:3.20", {"alpine:3.*"}, True),
        ("registry.company.com/php:8", {"registry.company.com/*"}, True),
        ("alpine", {"alpine:latest"}, True),
        ("alpine:3.20", {"Alpine:*", "busybox*"}, False),
        ("evil/registry.company.com/php", {"registry.company.com/*"}, False),
        ("alpine:3.20", set(), False),
    ],
)
def test_only_images_that_the_file_names_are_run(image, patterns, taken):
    allowed = Allowed(None if patterns is None else frozenset(patterns))
    assert (message(service(image=image), allowed) == "") == taken


@pytest.mark.parametrize(("port", "taken"), [(22, False), (1023, False), (1024, True), (0, True)])
def test_only_ports_that_the_file_names_are_published(port, taken):
    assert (message(service(host_port=port)) == "") == taken
    assert message(service(host_port=9001), Allowed(None, 8080, 8999))


@pytest.mark.parametrize(
    "path",
    ["/proc/sys/kernel/core_pattern", "/sys", "//dev/sda", "/dev/../etc/x", "/", "etc/x", "",
     "/var/run/docker.sock", "/run/containerd/containerd.sock", "/a/./b", "/a\0b", "///proc"],
)  # fmt: skip
def test_nothing_is_put_or_mounted_where_the_kernel_or_an_engine_is(path):
    sealed = actions.SealedFile(
        environment="qa", path="p", digest="d", text="{}", variables=(), files=(path,)
    )
    assert message(service(files={path: "x"}))
    assert message(service(sealed=(sealed,)))
    assert message(gateway(mount=path))
    assert message(gateway(log=path))


def test_what_sandboxes_are_made_of_is_done():
    for action in (service(files={"/etc/app/config.json": "{}"}), gateway()):
        assert message(action) == ""


class Watched(FakeEngine):
    """Remembers every container that was asked of it."""

    def __init__(self) -> None:
        super().__init__("mine")
        self.drafts: list[Draft] = []

    async def create(self, draft: Draft) -> str:
        self.drafts.append(draft)
        return await super().create(draft)


NOBODYS_PORT = 65535
"""None that this machine's own listeners are likely to have."""
GOOD = ("s", COMMIT, "account", "/var/www", "/var/log/apache2", "sandbox-s-account", "/etc/x")
NASTY = st.sampled_from(
    ["", "/", "..", "../..", "../../etc", "/etc", "/var/run/docker.sock", ".", "a/b", "a",
     "\0", "~", "$HOME", "releases/../..", "/proc"]
)  # fmt: skip


def performers(root: Path, engine: Watched, journal: Journal) -> Performers:
    """Return what performs on a real disk."""
    shop = Workshop(root / "caches", 1, 0)
    accounts = Accounts(Opener(), ServiceCredential(None))
    repositories = Repositories({}, root / "caches", journal, accounts)
    releases = Releases(root, repositories, journal, shop, 1)
    place = Place("micro-92", "mine", root, root / "copies", root / "access")
    containers = Containers(engine, place, journal, Strangers(engine))
    seals = Seals(IdentityFile(None), root)
    return Performers(containers, repositories, releases, Disk(), seals, Allowed())


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Journal]]:
    root = tmp_path_factory.mktemp("agent")
    outbox = Outbox(root / "outbox.sqlite")
    yield root, Journal(outbox)
    outbox.close()


@SETTINGS
@given(values=st.tuples(*(st.just(good) | NASTY for good in GOOD)))
@example(values=GOOD)
async def test_only_folders_of_the_agents_own_are_ever_mounted(desk, values):
    sandbox, commit, repository, mount, log, name, file = values
    root, journal = desk
    engine = Watched()
    service = spec(
        sandbox=sandbox, commit=commit, name=name, files={file: "x"}, host_port=NOBODYS_PORT
    )
    web = service.model_copy(update={"name": f"{name}-gateway"})
    for action in (
        actions.StartService(container=service, repository=repository, recipe=RECIPE),
        actions.StartGateway(container=web, mount=mount, access_log=log),
    ):
        frame = Perform.model_construct(
            action_id="a", deployment="d", timeout_seconds=1, action=action, credentials=""
        )
        with contextlib.suppress(EngineError):  # most folders are not there
            await performers(root, engine, journal).perform(frame)
    assert values != GOOD or len(engine.drafts) == 2
    ours = [root / "releases", root / "copies", root / "access"]
    for draft in engine.drafts:
        for each in draft.mounts:
            source = each.source.resolve()
            assert any(source != own and source.is_relative_to(own) for own in ours)
            assert each.target not in {"/", "/proc", "/var/run/docker.sock"}
            assert each.read_only or source.is_relative_to(root / "access")
