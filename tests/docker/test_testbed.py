"""The testbed holds what the other tests stand on: images that run, a gateway, a Git server."""

import base64
import contextlib
import http.client
import json
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.company.build import Company, build_company
from demo.company.ocp import Ocp, ocp
from tests.testbed import images
from tests.testbed.__main__ import state_folder
from tests.testbed.engine import Engine, ensure_engine
from tests.testbed.gitserver import GitServer, git_server
from tests.testbed.private import private_engine
from tests.testbed.process import TestbedError, run, until

pytestmark = [pytest.mark.docker, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def engine() -> Engine:
    engine = ensure_engine(state_folder())
    for tag in images.TAGS:
        images.ensure_image(engine, tag)
    return engine


@pytest.fixture(scope="module")
def stand_in(engine: Engine) -> Iterator[Ocp]:
    with ocp(engine.bridge_gateway()) as running:
        yield running


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory, stand_in: Ocp) -> Company:
    return build_company(tmp_path_factory.mktemp("company"), stand_in.url)


@contextlib.contextmanager
def container(engine: Engine, port: int, *words: str | Path) -> Iterator[str]:
    """Run a container and give the address of its published port."""
    name = f"sdp-testbed-{uuid.uuid4().hex[:8]}"
    try:
        publish = ["-p", f"127.0.0.1::{port}"]
        engine.docker("run", "-d", "--init", "--name", name, *publish, *words)
        yield f"http://{engine.docker('port', name, str(port)).split()[0]}"
    finally:
        engine.docker("rm", "-f", "-v", name)


def ask(url: str, **options: str) -> tuple[int, str]:
    """Return status and body; 0 while nothing answers."""
    body = options.get("body")
    request = urllib.request.Request(
        url,
        data=body.encode() if body else None,
        method=options.get("method"),
        headers={"User-Agent": options.get("agent", "test")},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except (OSError, http.client.HTTPException):
        return 0, ""


def ready(url: str) -> None:
    until(lambda: ask(url, agent="sdp-probe")[0] == 200, seconds=20, what=f"200 from {url}")


def built(company: Company, branch: str, folder: Path) -> Path:
    """Build account at a branch, and return the folder of the program."""
    sources = folder / "sources"
    run(["git", "clone", "-q", "-b", branch, company.origin("account"), sources])
    program = folder / "app"
    build = ["go", "build", "-o", str(program), "."]
    run(build, cwd=sources, env={"CGO_ENABLED": "0"}, timeout=150)
    return program


def service(program: Path, *words: str) -> list[str | Path]:
    return [*words, "-v", f"{program}:/src/app:ro", images.RUNTIME, "/src/app"]


def test_runtime_image_runs_a_service_that_says_its_branch(engine, company, tmp_path):
    program = built(company, "feature/login-error", tmp_path)
    given = ["-e", "PORT=9000", "-e", "SDP_SANDBOX=qa", "-e", "GREETING=hello"]
    with container(engine, 9000, *service(program, *given)) as url:
        ready(f"{url}/healthz")
        status, body = ask(f"{url}/v1/me?x=1", method="POST", body="hi")
    said = json.loads(body)
    assert status == 200
    assert said == {
        "service": "account",
        "branch": "feature/login-error",
        "from": "sandbox",
        "sandbox": "qa",
        "method": "POST",
        "path": "/v1/me",
        "query": "x=1",
        "body": "hi",
        "greeting": "hello",
    }


def test_unhealthy_branch_starts_and_never_becomes_healthy(engine, company, tmp_path):
    program = built(company, "broken/unhealthy", tmp_path)
    with container(engine, 8080, *service(program)) as url:
        ready(f"{url}/")
        assert ask(f"{url}/healthz") == (503, "cannot reach ledger: connection refused\n")


def test_crashing_branch_ends_with_a_last_word(engine, company, tmp_path):
    program = built(company, "broken/crash", tmp_path)
    with pytest.raises(TestbedError, match=r"exit 1"):
        engine.docker("run", "--rm", *service(program))


def test_compile_branch_does_not_compile(company, tmp_path):
    with pytest.raises(TestbedError, match="undefined: dailyLimit"):
        built(company, "broken/compile", tmp_path)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


@pytest.fixture
def gateway(engine, company, logs) -> Iterator[str]:
    mounts = ["-v", f"{company.clone('api-gateway')}:/var/www/html/erangel-ocean:ro"]
    mounts += ["-v", f"{logs}:/var/log/sdp"]
    with container(engine, 80, "-e", "CI_ENV=production", *mounts, images.GATEWAY) as url:
        ready(f"{url}/erangel/health")
        yield url


def test_gateway_knows_its_environment_from_the_container(gateway):
    status, body = ask(f"{gateway}/erangel/health")
    said = {"status": "ok", "environment": "production", "branch": "develop"}
    assert (status, json.loads(body)) == (200, said)


def test_gateway_passes_a_call_on_to_ocp_and_back(gateway):
    status, body = ask(f"{gateway}/erangel/payment/v1/pay?to=a%20b", method="PUT", body="{}")
    assert status == 200
    assert json.loads(body) == {
        "service": "payment",
        "branch": "ocp",
        "from": "ocp",
        "path": "/v1/pay",
        "method": "PUT",
        "query": "to=a%20b",
        "body": "{}",
    }


def test_gateway_answers_404_for_a_service_nobody_knows(gateway):
    assert ask(f"{gateway}/erangel/lottery/draw")[0] == 404


def test_gateway_answers_502_when_its_service_is_gone(engine, tmp_path):
    company = build_company(tmp_path / "company", "http://127.0.0.1:9")
    mount = f"{company.clone('api-gateway')}:/var/www/html/erangel-ocean:ro"
    words = ["-e", "CI_ENV=production", "-v", mount, images.GATEWAY]
    with container(engine, 80, *words) as url:
        ready(f"{url}/erangel/health")
        status, body = ask(f"{url}/erangel/account/x")
    assert (status, json.loads(body)["upstream"]) == (502, "http://127.0.0.1:9/account/x")


def test_gateway_hides_its_files_and_its_status(gateway):
    assert ask(f"{gateway}/erangel/application/config/production/config.php")[0] == 403
    assert ask(f"{gateway}/server-status")[0] == 403


def test_access_log_leaves_probes_out(gateway, logs):
    ask(f"{gateway}/erangel/account/probed", agent="sdp-probe/1")
    ask(f"{gateway}/erangel/account/used", agent="okhttp/4")
    written = logs / "access.log"
    until(lambda: "/used" in written.read_text(), seconds=5, what="the access log's line")
    assert "sdp-probe" not in written.read_text()


def test_saved_image_loads_into_another_engine(engine, tmp_path):
    tarball = images.save(images.RUNTIME, tmp_path / "images", engine)
    assert tarball.name == "runtime.tar"
    with private_engine(tmp_path / "engine", number=7) as private:
        private.engine.docker("load", "-i", tarball)
        assert not images.ensure_image(private.engine, images.RUNTIME)


def test_private_engine_goes_down_and_comes_back_beside_the_shared_one(engine, tmp_path):
    with private_engine(tmp_path / "engine", number=8) as private:
        private.stop()
        assert not private.engine.answers()
        private.start()
        assert private.engine.answers()
        private.kill()
        assert not private.engine.answers()
        private.start()
        assert private.engine.answers()
    engine.docker("run", "--rm", images.RUNTIME, "true")


def test_company_has_the_same_commits_each_time(tmp_path):
    first, second = (build_company(tmp_path / name, "http://ocp") for name in ("a", "b"))
    tips = [
        [of.tip("account", "develop"), of.tip("user", "feature/profile")] for of in (first, second)
    ]
    assert tips[0] == tips[1]


def test_pushed_branch_moves_by_one_commit(tmp_path):
    company = build_company(tmp_path, "http://ocp")
    before = company.tip("user", "develop")
    pushed = company.push_branch("user", "develop", {"README.md": "user\n"}, "Say what it is")
    log = run(["git", "-C", company.origin("user"), "log", "--format=%H %s", "develop"])
    assert log.splitlines() == [f"{pushed} Say what it is", f"{before} Answer as user"]


def test_production_config_is_like_those_found_in_the_wild(company):
    path = company.clone("api-gateway") / "application/config/production/config.php"
    lines = path.read_bytes().splitlines(keepends=True)
    assert len({line.endswith(b"\r\n") for line in lines}) == 2
    assert path.read_bytes().count(b"account_url") == 2


@pytest.fixture
def server(company, tmp_path) -> Iterator[GitServer]:
    users = {"achmad": "right:with@signs", "sari": "other"}
    with git_server(company.origins, users, tmp_path / "server") as running:
        yield running


def ls_remote(address: str, login: str, seconds: float = 10) -> str:
    header = base64.b64encode(login.encode()).decode()
    words = ["git", "-c", f"http.extraHeader=Authorization: Basic {header}"]
    quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_GLOBAL": "/dev/null"}
    return run([*words, "ls-remote", "--", address], env=quiet, timeout=seconds)


def test_git_server_lists_branches_for_the_right_password(server, company):
    listed = ls_remote(f"{server.url}/account.git", "achmad:right:with@signs")
    assert f"{company.tip('account', 'develop')}\trefs/heads/develop" in listed


@pytest.mark.parametrize("login", ["achmad:wrong", "nobody:other", ":"])
def test_git_server_refuses_a_wrong_password(server, login):
    with pytest.raises(TestbedError, match=r"could not read Username|Authentication failed"):
        ls_remote(f"{server.url}/account.git", login)
    assert " 401" in server.access_log


def test_git_server_hangs_fails_and_disappears(server):
    with pytest.raises(TestbedError, match="no end after 1 s"):
        ls_remote(f"{server.hanging}/account.git", "sari:other", seconds=1)
    with pytest.raises(TestbedError, match="500"):
        ls_remote(f"{server.failing}/account.git", "sari:other")
    server.stop()
    with pytest.raises(TestbedError, match="Failed to connect"):
        ls_remote(f"{server.url}/account.git", "sari:other")
    server.start()
    assert "refs/heads/develop" in ls_remote(f"{server.url}/user.git", "sari:other")


def test_git_server_takes_a_push(server, company, tmp_path):
    address = server.url.replace("//", "//sari:other@")
    clone = tmp_path / "clone"
    run(["git", "clone", "-q", f"{address}/user.git", clone])
    pushed = ["git", "-C", clone, "push", "-q", "origin", "develop:refs/heads/feature/pushed"]
    run(pushed)
    assert company.tip("user", "feature/pushed") == company.tip("user", "develop")
