"""Whatever the API's own description lets one send, as whoever: no 5xx, nothing above the role.

One control plane is a fake that has one of everything, one is real but for its agents. Each
operation is called as each role in turn. ``SCHEMATHESIS_EXAMPLES`` says how often.
"""

import asyncio
import datetime
import os
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from limits import RateLimitItemPerMinute
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi import checks
from typing_extensions import override

from sdp.api import access, bounds
from sdp.api.app import create_app
from sdp.api.sessions import Kind, Session, Sessions, hashed
from sdp.spec.models import Role
from sdp.spec.roles import TABLE
from sdp.store import sessions as stored
from sdp.store.store import Store
from tests.fakes.control_plane import FILES, FakeControlPlane, served_in_thread, tree
from tests.fakes.people import BEGAN, FOR_EVER
from tests.testbed.process import start, until
from tests.unit import config_repo

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "3"))
MANY = 20
"""From so many on every border of every schema is tried, too: minutes."""
pytestmark = pytest.mark.timeout(60 + 10 * EXAMPLES)

ROLES: dict[str, Role] = {"ade": "ADMIN", "budi": "BACKEND", "citra": "QA", "dewi": "VIEWER"}
USERS = "".join(f"    {user}: {{role: {role}}}\n" for user, role in ROLES.items())
BOUND = f"roles:\n  default: VIEWER\n  users:\n{USERS}"
"""Who has which role, as platform.yaml says it."""
DESCRIPTION = schemathesis.openapi.from_dict(
    create_app(FakeControlPlane().ports).openapi(),
    config=SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "generation": {"deterministic": True, "database": "none"},
            "phases": {"coverage": {"enabled": EXAMPLES >= MANY}, "stateful": {"enabled": False}},
        }
    ),
)
UNTRUE = [
    # Starlette answers 405 with the methods of the first route that has the path.
    checks.allow_header_conformance,
    # A schema can't say that names must exist, nor that one of two things is given.
    checks.positive_data_acceptance,
]
NOT_REAL = [
    # They end the sessions that the others need.
    "/api/logout",
    "/api/sessions/revoke",
    # 503, as it should: no agent is there that could prove a login.
    "/api/login",
]
FOLLOWS = ("/api/events", "/logs")
SEARCH = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


class Undying(Sessions):
    """A session for each of ROLES, whose token is the user's name; it outlives a logout."""

    @override
    def known(self, token: str, kind: Kind, now: datetime.datetime) -> Session | None:
        known = token in ROLES and kind == "bearer"
        return Session(hashed(token), token, kind, BEGAN, FOR_EVER) if known else None


@pytest.fixture(scope="module")
def fake() -> Iterator[str]:
    """A control plane that has one of everything; its URL."""
    made = FakeControlPlane(hook_secret=b"secret")
    made.people.sessions = Undying(made.people.store, made.people.keeper)
    made.plane.specs = tree({**FILES, "platform.yaml": FILES["platform.yaml"] + BOUND})
    many = RateLimitItemPerMinute(10**9)
    with pytest.MonkeyPatch.context() as patch, served_in_thread(made.ports) as url:
        patch.setattr(bounds, "PER_ADDRESS", many)
        patch.setattr(bounds, "PER_SESSION", many)
        yield url


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A control plane of its own process, to whose nodes no agent has come; its URL."""
    folder = tmp_path_factory.mktemp("real")
    repository = config_repo.serve(folder)
    config_repo.others(repository, "platform.yaml", config_repo.PLATFORM + BOUND)
    (folder / "data").mkdir()
    asyncio.run(log_in(folder / "data"))
    argv = [str(Path(sys.executable).with_name("sdp")), "serve", "--port", "0"]
    argv += ["--config-repo", str(repository), "--data-dir", str(folder / "data")]
    log = folder / "log"
    serving = start(argv, log, folder / "pid")
    try:
        until(lambda: "url=" in log.read_text(), seconds=30, what=f"serving: {log}")
        url = log.read_text().partition("url=")[2].split("'")[1]
        until(lambda: loaded(url), seconds=30, what="the platform is loaded")
        yield url
    finally:
        serving.stop()


async def log_in(data: Path) -> None:
    """Let everybody be logged in when the control plane starts."""
    async with Store.open(data, encode=lambda event: event.model_dump_json().encode()) as store:
        for user in ROLES:
            session = stored.Session(hashed(user), user, "bearer", BEGAN, FOR_EVER)
            await store.put_session(session)


def loaded(url: str) -> bool:
    asks = urllib.request.Request(f"{url}/api/nodes", headers={"Authorization": "Bearer ade"})
    with urllib.request.urlopen(asks, timeout=5) as answer:
        return b"micro-92" in answer.read()


@DESCRIPTION.parametrize()
@SEARCH
def test_nothing_that_can_be_sent_breaks_a_control_plane_or_passes_a_role(fake, case):
    for user, role in ROLES.items():
        call(fake, case, user, role)


@DESCRIPTION.exclude(path=NOT_REAL).parametrize()
@SEARCH
def test_nothing_that_can_be_sent_breaks_a_real_one(real, case):
    for user, role in ROLES.items():
        call(real, case, user, role)


def call(url: str, case: "schemathesis.Case[Any]", user: str, role: Role) -> None:
    """Call as somebody, and hold the answer to its description and to the table of rights."""
    if case.path.endswith(FOLLOWS):
        case.query = {**(case.query or {}), "follow": "false"}
    answer = case.call_and_validate(
        base_url=url,
        headers={"Authorization": f"Bearer {user}"},
        excluded_checks=UNTRUE,
        timeout=20,
    )
    takes = access.asked(case.method, case.formatted_path).takes
    if not takes <= TABLE[role]:
        assert answer.status_code in {403, 429}
