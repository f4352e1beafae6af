"""A config repo that sdp init made is served, guarded by its hook, and explained in pull requests."""

import contextlib
import dataclasses
import http.server
import json
import os
import subprocess  # noqa: TID251 -- works as a person and a pipeline do
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.person import SDP, Person
from demo.world import git

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

TOKEN = "canary-of-the-pipeline"
PLANE, AGENT = "plane-of-init", "agent-of-init"


class Comments:
    """Bitbucket, as far as a pipeline posts to it; keeps each path, header and comment."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, str, str]] = []
        keep = self.posted

        class Answers(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                said = json.loads(body)["content"]["raw"]
                keep.append((self.path, self.headers["Authorization"], said))
                self.send_response(201)
                self.end_headers()

            def log_message(self, *words: object) -> None:
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)

    @contextlib.contextmanager
    def served(self):
        thread = threading.Thread(target=self.server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{self.server.server_port}"
        finally:
            self.server.shutdown()
            thread.join()
            self.server.server_close()


class Repo:
    """A repository that was made, and a control plane of its own that serves it."""

    def __init__(self, world, folder: Path) -> None:
        self.world = world
        self.clone = folder / "acme"
        self.bare = folder / "acme.git"
        self.url = f"http://127.0.0.1:{world.ports.control_plane + 60}"
        self.folder = folder

    @property
    def person(self) -> Person:
        """Sari, at this control plane."""
        sari: Person = self.world.as_user("sari")
        return dataclasses.replace(
            sari, url=self.url, folder=self.clone, home=self.folder / "home"
        )

    def shell(
        self, *argv: str | Path, cwd: Path | None = None, stdin: str = "", **environment: str
    ):
        path = f"{SDP.parent}{os.pathsep}{os.environ['PATH']}"
        who = {
            f"GIT_{role}_{key}": value
            for role in ("AUTHOR", "COMMITTER")
            for key, value in (("NAME", "Sari"), ("EMAIL", "sari@company.example"))
        }
        return subprocess.run(
            argv,
            cwd=cwd or self.folder,
            env={**self.person.environment, "PATH": path, **who, **environment},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    @contextlib.contextmanager
    def served(self):
        port = self.url.rpartition(":")[2]
        argv = [str(SDP), "serve", "--config-repo", str(self.bare), "--port", port]
        self.world.run(PLANE, [*argv, "--data-dir", str(self.folder / "data")])
        try:
            self.world.until(self.answers, "the control plane answers", 30)
            self.enroll()
            yield
        finally:
            for name in {PLANE, AGENT} & self.world.processes.keys():
                self.world.kill(name)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5):
                return True
        except OSError:
            return False

    def enroll(self) -> None:
        """Enrol the gateway's agent, with which people can log in, and do so."""
        file = self.folder / "agent.yaml"
        port = self.url.rpartition(":")[2]
        file.write_text(
            yaml.safe_dump(
                {
                    "node": "gateway-1",
                    "instance": "acme",
                    "control_plane": f"ws://127.0.0.1:{port}/ws/agent",
                    "state": str(self.folder / "agent"),
                    "docker": self.world.engine.host,
                    "repositories": {"api-gateway": str(self.world.company.clone("api-gateway"))},
                }
            )
        )
        data = str(self.folder / "data")
        made = self.shell(SDP, "nodes", "enroll", "gateway-1", "--data-dir", data, "--json")
        token = json.loads(made.stdout)["token"]
        done = self.shell(SDP, "agent", "--config", file, "--enroll", stdin=token)
        assert done.returncode == 0, done.stderr
        log = self.world.root / f"{AGENT}.log"
        log.unlink(missing_ok=True)
        self.world.run(AGENT, [str(SDP), "agent", "--config", str(file)])
        self.world.until(lambda: " connected " in log.read_text(), "its agent is let in", 30)
        self.person.log_in()

    def sandbox(self) -> Any:
        try:
            return self.person.api("/api/sandboxes/EXAMPLE")
        except OSError:
            return {}


def pipeline(clone: Path) -> list[str]:
    spec = yaml.safe_load((clone / "bitbucket-pipelines.yml").read_text())
    script: list[str] = spec["pipelines"]["pull-requests"]["**"][0]["step"]["script"]
    return script


@pytest.fixture
def repo(world, tmp_path):
    made = Repo(world, tmp_path)
    done = made.shell(SDP, "init", "acme")
    assert done.returncode == 0, done.stderr
    with made.served():
        world.until(lambda: made.sandbox() != {}, "the example is there", 30)
        yield made


def test_a_mistake_is_refused_by_the_hook_and_reported_when_it_is_forced(repo, world):
    assert repo.shell(SDP, "validate", cwd=repo.clone).stdout == "4 files, no problems\n"
    file = repo.clone / "sandboxes" / "example.yaml"
    file.write_text(file.read_text().replace("services:", "servcies:"))
    done = repo.shell("git", "commit", "-am", "Mistype", cwd=repo.clone)
    assert done.returncode == 1
    assert "sandboxes/example.yaml:7:1: " in done.stderr
    done = repo.shell("git", "commit", "-am", "Mistype", "--no-verify", cwd=repo.clone)
    assert done.returncode == 0, done.stderr
    assert repo.shell("git", "push", cwd=repo.clone).returncode == 0
    world.until(
        lambda: "sandboxes/example.yaml:7:1: " in str(repo.sandbox().get("conditions")),
        "the control plane reports it, and keeps the sandbox",
        30,
    )


def test_the_pipeline_validates_first(repo):
    script = pipeline(repo.clone)
    done = repo.shell("bash", "-e", "-c", script[0], cwd=repo.clone)
    assert (done.returncode, done.stdout) == (0, "4 files, no problems\n")


def test_the_pipeline_posts_the_plan_of_a_pull_request(repo):
    runner = repo.folder / "runner"
    git("clone", "--quiet", str(repo.bare), str(runner))
    git("checkout", "--quiet", "-b", "more", cwd=runner)
    (runner / "sandboxes" / "more.yaml").write_text("sandbox: MORE\ntemplate: DEFAULT\n")
    git("add", "--all", cwd=runner)
    git("commit", "--quiet", "-m", "Add more", cwd=runner)
    comments = Comments()
    with comments.served() as url:
        done = repo.shell(
            "bash",
            "-e",
            "-c",
            "\n".join(pipeline(runner)),
            cwd=runner,
            BITBUCKET_API=url,
            BITBUCKET_PR_ID="7",
            BITBUCKET_PR_DESTINATION_BRANCH="main",
            BITBUCKET_REPO_FULL_NAME="acme/config",
            SDP_COMMENT_TOKEN=TOKEN,
            SDP_USER="sari",
            SDP_PASSWORD=repo.person.password,
            XDG_STATE_HOME=str(repo.folder / "state of the runner"),
        )
    assert done.returncode == 0, done.stdout + done.stderr
    ((path, authorization, said),) = comments.posted
    assert path == "/repositories/acme/config/pullrequests/7/comments"
    assert authorization == f"Bearer {TOKEN}"
    assert "MORE" in said
    for secret in (TOKEN, repo.person.password):
        assert secret not in done.stdout + done.stderr + said
