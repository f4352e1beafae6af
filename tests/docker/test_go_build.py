"""Real go builds real services, offline."""

import shutil
from pathlib import Path

import pytest

from sdp.agent import runner
from sdp.agent.recipes import Workshop
from sdp.agent.releases import Releases
from sdp.agent.repositories import Repositories
from sdp.protocol.actions import Build, GoRecipe
from sdp.protocol.frames import Failed, Succeeded
from tests.unit.agent.repositories import Origin
from tests.unit.agent.test_releases import Told

pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(180),
    pytest.mark.skipif(shutil.which("go") is None, reason="needs go"),
]
MODULE = "module acme/account\n\ngo 1.19\n"
MAIN = 'package main\n\nimport "acme/lib"\n\nfunc main() { println(lib.Word) }\n'
VENDORED = {
    "go.mod": MODULE + "\nrequire acme/lib v1.0.0\n",
    "vendor/modules.txt": "# acme/lib v1.0.0\n## explicit\nacme/lib\n",
    "vendor/acme/lib/lib.go": 'package lib\n\nconst Word = "vendored"\n',
    "cmd/account/main.go": MAIN,
}
GO = GoRecipe(
    service="account",
    package="cmd/account",
    flags=("-ldflags=-s -w",),
    environment={"CGO_ENABLED": "0"},
)


async def built(tmp_path: Path, files: dict[str, str]) -> tuple[Path, object]:
    origin = Origin(tmp_path / "origin")
    commit = origin.commit(files)
    told = Told()
    repositories = Repositories({"r": origin.clone(tmp_path / "clone")}, tmp_path, told)
    shop = Workshop(tmp_path / "caches", 120, 2 << 30)
    releases = Releases(tmp_path / "state", repositories, told, shop, 1)
    outcome = await releases.build(Build(repository="r", commit=commit, recipe=GO), "d1")
    return releases.path("r", commit, GO), outcome


async def test_vendored_service_is_built_without_a_network(tmp_path):
    place, outcome = await built(tmp_path, VENDORED)
    assert outcome == Succeeded()
    command = runner.Command(("./app-account",), place, {}, 10)
    ran = await runner.run(command)
    assert isinstance(ran, runner.Finished)
    assert ran.lines == ("vendored",)


async def test_real_compile_error_is_told_with_its_line(tmp_path):
    main = "package main\n\nfunc main() { undefinedThing() }\n"
    _, outcome = await built(tmp_path, {"go.mod": MODULE, "cmd/account/main.go": main})
    assert isinstance(outcome, Failed)
    assert outcome.terminal
    assert "main.go:3:15: undefined: undefinedThing" in outcome.message


async def test_dependency_that_is_not_vendored_says_to_vendor_it(tmp_path):
    files = {name: text for name, text in VENDORED.items() if not name.startswith("vendor/")}
    _, outcome = await built(tmp_path, files)
    assert isinstance(outcome, Failed)
    assert outcome.terminal
    assert "go mod vendor" in outcome.fix
