"""A new config repo: whole or not at all, valid as it is, and guarded by its hook."""

import json
import os
import subprocess  # noqa: TID251 -- commits as a person does, with git and its hooks
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from hatchling.builders.wheel import WheelBuilder
from typer.testing import CliRunner, Result

from sdp.cli.init import scaffold
from sdp.cli.main import app
from sdp.cli.specs import read_folder
from sdp.spec.load import load
from sdp.spec.resolve import problems

ROOT = Path(__file__).parents[3]
HOOKED = pytest.mark.timeout(30)  # each commit starts sdp
WHO = {"GIT_AUTHOR_NAME": "Sari", "GIT_AUTHOR_EMAIL": "sari@company.example"}


def init(*words: object) -> Result:
    return CliRunner(env=WHO).invoke(app, ["init", *map(str, words)])


def git(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    me = {"GIT_COMMITTER_NAME": "Sari", "GIT_COMMITTER_EMAIL": "sari@company.example", **WHO}
    return subprocess.run(
        ("git", "-C", str(folder), *words),
        env={**os.environ, "PATH": path, **me},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def config(tmp_path):
    done = init(tmp_path / "acme")
    assert done.exit_code == 0, done.output
    return tmp_path / "acme"


def test_what_is_made_validates_without_a_word(config):
    found = problems(load(read_folder(config)))
    assert [str(each) for each in found] == []
    specs = {path.relative_to(config).as_posix() for path in config.glob("*/*.yaml")}
    assert specs == {"sandboxes/example.yaml", "templates/default.yaml", "environments/dev.yaml"}
    for text in (each.read_text() for each in config.rglob("*.yaml") if ".git" not in each.parts):
        assert "# " in text
        assert "{{" not in text


def test_the_platform_is_named_after_the_folder_or_as_told(config, tmp_path):
    assert yaml.safe_load((config / "platform.yaml").read_text())["platform"] == "acme"
    assert init(tmp_path / "other", "--platform", "qa.2").exit_code == 0
    told = yaml.safe_load((tmp_path / "other" / "platform.yaml").read_text())
    assert told["platform"] == "qa.2"
    assert "qa.2" in (tmp_path / "other" / "README.md").read_text()


def test_the_first_commit_is_the_persons_and_is_on_both_sides(config, tmp_path):
    assert git(config, "log", "-1", "--format=%an <%ae>").stdout.strip() == (
        "Sari <sari@company.example>"
    )
    assert git(config, "status", "--porcelain", "--branch").stdout == "## main...origin/main\n"
    served = git(tmp_path / "acme.git", "rev-parse", "main").stdout
    assert served == git(config, "rev-parse", "HEAD").stdout
    assert git(config, "fsck").returncode == 0


def test_it_says_what_to_do_next(tmp_path):
    done = init(tmp_path / "c", "--bare", tmp_path / "served.git", "--platform", "acme")
    assert f"sdp serve --config-repo {tmp_path}/served.git --data-dir" in done.stdout
    assert "sdp agent --config" in done.stdout
    told = json.loads(init(tmp_path / "d", "--json").stdout)
    assert told["bare"] == f"{tmp_path}/d.git"
    assert told["revision"] == git(tmp_path / "d", "rev-parse", "HEAD").stdout.strip()


@pytest.mark.parametrize("full", ["acme", "acme.git"])
def test_a_folder_that_is_not_empty_is_refused_and_left_as_it_is(tmp_path, full):
    (tmp_path / full).mkdir()
    (tmp_path / full / "mine.txt").write_text("mine")
    done = init(tmp_path / "acme")
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"{tmp_path / full} is there and not empty" in done.stderr
    assert "fix:" in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == [full, "mine.txt"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a b"], "can't be a platform's name"),
        (["acme", "--platform", "-x"], "can't be a platform's name"),
        (["absent/acme"], "there is no folder"),
        (["acme", "--bare", "acme/served.git"], "would be inside of"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_made(tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    done = init(*words)
    assert (done.exit_code, done.stdout) == (1, "")
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_an_identity_nothing_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    done = CliRunner().invoke(app, ["init", str(tmp_path / "acme")])
    assert done.exit_code == 1
    assert "git config --global user.name" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_may_be_there(tmp_path):
    (tmp_path / "acme").mkdir()
    assert init(tmp_path / "acme").exit_code == 0
    assert (tmp_path / "acme" / "platform.yaml").is_file()


@HOOKED
def test_the_hook_refuses_what_is_staged_with_its_place(config):
    file = config / "sandboxes" / "example.yaml"
    good = file.read_text()
    file.write_text(good.replace("services:", "servcies:"))
    git(config, "add", "--all")
    file.write_text(good)  # the working tree is right; what would be committed is not
    done = git(config, "commit", "-m", "Mistype")
    assert done.returncode != 0
    assert "sandboxes/example.yaml:7:1: " in done.stderr
    assert "--no-verify" in done.stderr
    assert git(config, "log", "--format=%s").stdout.count("\n") == 1


@HOOKED
def test_the_hook_lets_what_is_staged_pass_whatever_the_working_tree_says(config):
    (config / "sandboxes" / "mine.yaml").write_text("sandbox: MINE\ntemplate: DEFAULT\n")
    git(config, "add", "--all")
    (config / "sandboxes" / "mine.yaml").write_text("sandbox: [\n")
    assert git(config, "commit", "-m", "Mine").returncode == 0
    partly = git(config, "commit", "-m", "Broken", "--", "sandboxes/mine.yaml")
    assert "sandboxes/mine.yaml:" in partly.stderr
    assert partly.returncode != 0


def test_the_hook_is_passed_by_when_asked(config):
    (config / "platform.yaml").write_text("platform: [\n")
    assert git(config, "commit", "-am", "Break it", "--no-verify").returncode == 0


@HOOKED
def test_another_clone_gets_the_hook_by_the_line_in_the_readme(config):
    tmp_path = config.parent
    git(tmp_path, "clone", "-q", "acme.git", "second")
    second = tmp_path / "second"
    assert "git config core.hooksPath hooks" in (second / "README.md").read_text()
    git(second, "config", "core.hooksPath", "hooks")
    (second / "platform.yaml").write_text("platform: [\n")
    done = git(second, "commit", "-am", "Break it")
    assert done.returncode != 0
    assert "platform.yaml:" in done.stderr


def test_the_pipeline_has_one_step_for_each_pull_request(config):
    spec = yaml.safe_load((config / "bitbucket-pipelines.yml").read_text())
    (step,) = (each["step"] for each in spec["pipelines"]["pull-requests"]["**"])
    assert all(isinstance(line, str) for line in step["script"])
    assert step["script"][0] == "sdp validate"
    assert "--header 'Authorization" not in str(step)


def test_the_wheel_contains_what_it_is_made_from(tmp_path):
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(built) as wheel:
        packed = set(wheel.namelist())
    assert {f"sdp/cli/scaffold/{name}" for name, _, _ in scaffold("acme")} <= packed


def test_what_is_served_refuses_to_be_rewritten(config):
    git(config, "commit", "-q", "--amend", "--no-verify", "-m", "Another past")
    refused = git(config, "push", "-q", "--force", "origin", "HEAD:main")
    assert refused.returncode != 0
    assert "non-fast-forward" in refused.stderr


@pytest.mark.parametrize("who", ["Sari", "Sari <s@x> then", "Sari <s@x> 1 zz"])
def test_what_is_served_takes_no_commit_that_cannot_be_read(config, who):
    tree, head = (
        git(config, "rev-parse", each).stdout.strip() for each in ("HEAD^{tree}", "HEAD")
    )
    text = f"tree {tree}\nparent {head}\nauthor {who}\ncommitter {who}\n\nChange\n"
    (config / "commit").write_text(text)
    words = ("hash-object", "-t", "commit", "-w", "--literally", "commit")
    made = git(config, *words).stdout.strip()
    refused = git(config, "push", "origin", f"{made}:refs/heads/main")
    assert made
    assert refused.returncode == 1
    assert "fsck" in refused.stderr or "object" in refused.stderr
