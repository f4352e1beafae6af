"""One world for all scenarios; each scenario has sandboxes of its own in it."""

import contextlib

import pytest
import yaml

from tests.e2e.scenarios import Scenario
from tests.e2e.worlds import new_world


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A running company that scenarios share."""
    with new_world(tmp_path_factory.mktemp("world")) as company:
        yield company


@pytest.fixture
def scenario(world, request):
    """A scenario whose sandbox is gone afterwards."""
    name = request.node.name.removeprefix("test_").replace("_", "-")[:30].strip("-").upper()
    made = Scenario(world, name)
    yield made
    if (world.config / made.path).exists():
        made.remove()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Show of a scenario that failed how its sandbox stands, and what happened to it."""
    report = yield
    made = item.funcargs.get("scenario")
    if report.when == "call" and report.failed and made is not None:
        with contextlib.suppress(OSError):
            told = [each for each in made.journal() if each["kind"] != "STATUS"]
            report.sections.append(("its status", yaml.safe_dump(made.status())))
            report.sections.append(("its events", yaml.safe_dump(told)))
    return report
