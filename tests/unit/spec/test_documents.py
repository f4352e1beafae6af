"""What people read: the example config repo, the reference page, the schemas, the commands."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from sdp.cli import specs
from sdp.spec import reference, yaml
from sdp.spec.load import load
from sdp.spec.models import Body, Model
from sdp.spec.names import SERVICE, peer_variable
from sdp.spec.resolve import Resolved, problems, resolve
from sdp.spec.schema import KINDS, schema
from sdp.spec.tree import Blob
from tests.unit.spec.commits import PLATFORM

ROOT = Path(__file__).parents[3]
EXAMPLES = specs.read_folder(ROOT)


def definitions(kind: str) -> dict[str, Any]:
    """Return a kind's schema and those inside it, by name."""
    generated: dict[str, Any] = schema(kind)
    return {kind: generated, **generated.get("$defs", {})}


app = typer.Typer()
for command in (specs.validate, specs.render, specs.schema):
    app.command()(command)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "platform.yaml").write_text(PLATFORM)
    (tmp_path / "sandboxes").mkdir()
    (tmp_path / "sandboxes/x.yaml").write_text("sandbox: X\nowner: a\n")
    return tmp_path


def test_every_kind_of_spec_has_an_example():
    folders = {example.path.split("/")[0] for example in EXAMPLES}
    assert folders == {"platform.yaml", "sandboxes", "templates", "environments", "snapshots"}


def test_examples_load_and_resolve_without_problems():
    tree = load(EXAMPLES)
    assert problems(tree) == ()
    assert all(isinstance(resolve(path, tree), Resolved) for path in tree.sandboxes)


def test_reference_page_is_the_generated_one():
    examples = {each.path: each.content.decode() for each in EXAMPLES}
    committed = (ROOT / "docs/reference/spec.md").read_text()
    assert committed == reference.page(examples), (
        "run: python -m sdp.cli.main schema --reference > docs/reference/spec.md"
    )


def test_every_key_is_described():
    models = [*Model.__subclasses__(), *Body.__subclasses__()]
    fields = [(model.__name__, *item) for model in models for item in model.model_fields.items()]
    assert [(model, key) for model, key, field in fields if not field.description] == []


@pytest.mark.parametrize("kind", list(KINDS))
def test_schema_refuses_unknown_keys_everywhere_but_in_the_section_that_sops_writes(kind):
    closed = {
        name: each.get("additionalProperties") is False
        for name, each in definitions(kind).items()
        if name not in {"Sops", "SopsRecipient"}
    }
    assert all(closed.values()), closed


def test_schema_patterns_take_what_the_examples_say():
    branch = definitions("sandbox")["ServiceTarget"]["properties"]["branch"]["anyOf"][0]
    assert re.search(branch["pattern"], "feature/login-error")
    assert not re.search(branch["pattern"], "--upload-pack=x")


def test_schema_of_cpu_takes_numbers_texts_and_null():
    cpu = definitions("sandbox")["Resources"]["properties"]["cpu"]
    assert {each["type"] for each in cpu["anyOf"]} == {"number", "string", "null"}


def test_two_services_never_share_a_url_variable():
    # Service names have no underscore, so each upper-case name stands for one service.
    assert not SERVICE.fullmatch("a_b")
    assert peer_variable("a-b") != peer_variable("ab")


def test_validate_of_a_good_folder_says_so(folder):
    result = run("validate", folder)
    assert (result.exit_code, result.stdout) == (0, "2 files, no problems\n")


def test_validate_shows_each_problem_and_exits_1(folder):
    (folder / "sandboxes/y.yml").write_text("sandbox: Y\nower: a\nlifecycle: {expire_after: 1d}\n")
    result = run("validate", folder)
    assert result.exit_code == 1
    assert result.stdout == (
        "sandboxes/y.yml:2:1: unknown key 'ower'; did you mean 'owner'?\n3 files, 1 error\n"
    )


def test_validate_with_warnings_alone_exits_0(folder):
    commit = "a" * 40
    (folder / "snapshots").mkdir()
    (folder / "snapshots/good.yaml").write_text(
        f"snapshot: GOOD\nsandbox: X\ntaken_at: 2026-03-04T12:00:00Z\nrevision: {commit}\n"
        f"gateway: {{branch: develop, commit: {commit}}}\n"
        f"services: {{gone: {{branch: a, commit: {commit}}}}}\n"
    )
    result = run("validate", folder)
    assert result.exit_code == 0
    assert result.stdout.endswith("3 files, 1 warning\n")


def test_validate_json_is_a_list_of_problems(folder):
    (folder / "platform.yaml").unlink()
    result = run("validate", folder, "--json")
    assert [(each["path"], each["severity"]) for each in json.loads(result.stdout)] == [
        ("platform.yaml", "error")
    ]


def test_validate_reads_subfolders_and_follows_no_links(folder):
    (folder / "sandboxes/team").mkdir()
    (folder / "sandboxes/team/y.yaml").write_text("sandbox: Y\n")
    (folder / "sandboxes/z.yaml").symlink_to("/dev/zero")
    assert run("validate", folder).stdout == "3 files, no problems\n"


def test_caret_stands_below_the_column():
    problem = load([Blob("sandboxes/x.yaml", "s", b"sandbox: X\nower: a\n")]).problems[1]
    shown = specs.pointed_at(problem, {"sandboxes/x.yaml": b"sandbox: X\nower: a\n"})
    assert shown == "    ower: a\n    ^"


def test_render_aligns_the_origins_and_reads_back_as_the_same_sandbox(folder):
    (folder / "sandboxes/x.yaml").write_text('sandbox: X\nowner: "12"\nresources: {cpu: 1}\n')
    result = run("render", "x", "-C", folder)
    assert result.stdout == (
        "# from sandboxes/x.yaml\n"
        "sandbox: X\n"
        'owner: "12"        # sandboxes/x.yaml:2\n'
        "gateway:\n"
        "  branch: develop  # platform.yaml:9\n"
        "resources:\n"
        '  cpu: "1"         # sandboxes/x.yaml:3\n'
        "# what its containers may take:\n"
        "#   gateway  cpu 1 (its share of the ceiling, sandboxes/x.yaml:3)"
        "  memory unlimited (nothing limits it)\n"
    )
    document, faults = yaml.parse(result.stdout.encode())
    assert faults == ()
    assert document is not None
    assert document.value == {
        "sandbox": "X",
        "owner": "12",
        "gateway": {"branch": "develop"},
        "resources": {"cpu": "1"},
    }


def test_render_of_an_unknown_sandbox_suggests_the_nearest(folder):
    result = run("render", "y", "-C", folder)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: unknown sandbox 'y'; expected one of X\n  fix: ")


def test_render_of_a_broken_sandbox_says_why_on_stderr(folder):
    (folder / "sandboxes/x.yaml").write_text("sandbox: X\nx: 1\n")
    result = run("render", "X", "-C", folder)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("sandboxes/x.yaml:2:1: unknown key 'x'")


def test_render_json_has_body_and_origins(folder):
    shown = json.loads(run("render", "X", "-C", folder, "--json").stdout)
    assert shown["body"]["gateway"] == {"branch": "develop"}
    assert shown["origins"]["gateway.branch"]["path"] == "platform.yaml"
    assert shown["limits"]["gateway"]["cpu"] == "unlimited"


def test_schema_all_writes_one_file_per_kind(tmp_path):
    assert run("schema", "--all", "-o", tmp_path).exit_code == 0
    assert {path.name for path in tmp_path.iterdir()} == {f"{kind}.schema.json" for kind in KINDS}
