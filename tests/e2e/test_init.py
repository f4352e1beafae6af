"""A config repo that sdp init made is served, guarded by its hook, and explained in pull requests."""

import contextlib
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

from demo.person import SDP
from demo.world import git

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

TOKEN = "canary-of-the-pipeline"
PLANE = "plane-of-init"


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

    def shell(self, *argv: str | Path, cwd: Path | None = None, **environment: str):
        path = f"{SDP.parent}{os.pathsep}{os.environ['PATH']}"
        who = {
            f"GIT_{role}_{key}": value
            for role in ("AUTHOR", "COMMITTER")
            for key, value in (("NAME", "Sari"), ("EMAIL", "sari@company.example"))
        }
        return subprocess.run(
            argv,
            cwd=cwd or self.folder,
            env={**os.environ, "PATH": path, "SDP_URL": self.url, **who, **environment},
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
            yield
        finally:
            self.world.kill(PLANE)

    def sandbox(self) -> Any:
        try:
            with urllib.request.urlopen(f"{self.url}/api/sandboxes/EXAMPLE", timeout=5) as answer:
                return json.load(answer)
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
        )
    assert done.returncode == 0, done.stdout + done.stderr
    ((path, authorization, said),) = comments.posted
    assert path == "/repositories/acme/config/pullrequests/7/comments"
    assert authorization == f"Bearer {TOKEN}"
    assert "MORE" in said
    assert TOKEN not in done.stdout + done.stderr + said
