"""Properties of loading and resolving: nothing that people write can break them."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sdp.spec import yaml
from sdp.spec.load import load
from sdp.spec.names import SERVICE, peer_variable
from sdp.spec.resolve import Resolved, problems, resolve
from sdp.spec.tree import Tree
from sdp.spec.writing import scalar
from tests.unit.spec.commits import blob, blobs

PATHS = st.sampled_from(
    ["platform.yaml", "sandboxes/x.yaml", "templates/t.yaml", "environments/e.yaml"]
)
WORDS = st.sampled_from(
    [
        "sandbox",
        "template",
        "services",
        "account",
        "payment",
        "branch",
        "commit",
        "use_ocp",
        "url",
        "port",
        "null",
        "true",
        "NO",
        "0644",
        "gateway",
        "resources",
        "cpu",
        "memory",
        "1GB",
        "500m",
        "a:",
        "b",
        "-x",
        "&",
        "*",
        "!",
        "%",
        "@",
        "`",
        "'",
        '"',
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "-",
        "?",
        "|",
        ">",
        "#",
        "<<",
        "&a",
        "*a",
        "\n",
        "\n  ",
        "\n    ",
        "\n- ",
        ": ",
        "\t",
        "---\n",
        "...\n",
        "é",
        "\x85",
        "\u2028",
    ]
)
YAMLISH = st.lists(WORDS, max_size=40).map("".join)


def check_places(tree: Tree) -> None:
    for problem in problems(tree):
        assert problem.line >= 1
        assert problem.column >= 1
        assert "\n" not in problem.message


@given(PATHS, st.binary(max_size=300))
def test_load_takes_any_bytes(path, content):
    check_places(load(blobs({path: content})))


@given(PATHS, YAMLISH)
def test_load_takes_anything_that_looks_like_yaml(path, text):
    check_places(load(blobs({path: text})))


@given(PATHS, st.text(max_size=200))
def test_load_takes_any_text(path, text):
    check_places(load(blobs({path: text.encode(errors="replace")})))


TARGETS = st.one_of(
    st.just("null"),
    st.just("{use_ocp: true}"),
    st.just("{url: 'http://h/'}"),
    st.sampled_from("abc").map(lambda branch: f"{{branch: {branch}}}"),
    st.sampled_from("abc").map(lambda branch: f"{{branch: {branch}, commit: {branch * 40}}}"),
    st.integers(9001, 9009).map(lambda port: f"{{branch: a, resources: {{cpu: {port % 3 + 1}}}}}"),
)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "owner": st.sampled_from(["achmad", "sari", "null"]),
        "gateway": st.sampled_from(["{branch: x}", "{port: 8081}"]),
        "services": st.fixed_dictionaries({}, optional={"account": TARGETS, "payment": TARGETS}),
        "resources": st.sampled_from(["{cpu: 9}", "{memory: 1GB}", "null", "{}"]),
        "lifecycle": st.sampled_from(["{protect: true}", "{suspended: false}"]),
    },
)


def text_of(body: dict[str, Any]) -> str:
    services = body.get("services")
    flow = {key: value for key, value in body.items() if key != "services"}
    if services is not None:
        inner = ", ".join(f"{name}: {target}" for name, target in services.items())
        flow["services"] = f"{{{inner}}}"
    return "".join(f"{key}: {value}\n" for key, value in flow.items())


def resolved(files: Mapping[str, str]) -> Resolved:
    result = resolve("sandboxes/x.yaml", load(blobs(files)))
    assert isinstance(result, Resolved), result
    return result


@given(BODIES)
def test_template_alone_equals_the_same_body_inline(body):
    inline = resolved({"sandboxes/x.yaml": f"sandbox: X\n{text_of(body)}"})
    through = resolved(
        {
            "sandboxes/x.yaml": "sandbox: X\ntemplate: T\n",
            "templates/t.yaml": f"template: T\n{text_of(body)}",
        }
    )
    assert through.body == inline.body
    assert through.origins.keys() == inline.origins.keys()


@given(BODIES)
def test_null_in_the_sandbox_removes_whatever_the_template_says(body):
    nulls = "".join(f"{key}: null\n" for key in ("owner", "services", "resources", "lifecycle"))
    result = resolved(
        {
            "sandboxes/x.yaml": f"sandbox: X\ntemplate: T\n{nulls}",
            "templates/t.yaml": f"template: T\n{text_of(body)}",
        }
    ).body
    assert (result.owner, result.services, result.resources, result.lifecycle) == (None,) * 4


@given(BODIES, BODIES)
def test_what_the_sandbox_says_itself_always_holds(body, template):
    alone = resolved({"sandboxes/x.yaml": f"sandbox: X\n{text_of(body)}"}).body
    over = resolved(
        {
            "sandboxes/x.yaml": f"sandbox: X\ntemplate: T\n{text_of(body)}",
            "templates/t.yaml": f"template: T\n{text_of(template)}",
        }
    ).body
    for name, target in (alone.services or {}).items():
        merged = (over.services or {})[name]
        assert target is not None
        assert merged is not None
        for key, value in target.model_dump(exclude_unset=True, exclude={"resources"}).items():
            assert getattr(merged, key) == value


@given(BODIES, BODIES)
def test_each_leaf_of_the_result_has_an_origin(body, template):
    result = resolved(
        {
            "sandboxes/x.yaml": f"sandbox: X\ntemplate: T\n{text_of(body)}",
            "templates/t.yaml": f"template: T\n{text_of(template)}",
        }
    )
    assert set(paths(result.body.model_dump(exclude_unset=True))) == set(result.origins)


def paths(body: Mapping[str, object], prefix: str = "") -> Iterator[str]:
    for key, value in body.items():
        if isinstance(value, dict):
            yield from paths(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


@given(st.permutations(["sandboxes/x.yaml", "sandboxes/y.yaml", "templates/t.yaml", "bad.yaml"]))
def test_order_of_files_does_not_matter(order):
    texts = {
        "sandboxes/x.yaml": "sandbox: X\ntemplate: T\n",
        "sandboxes/y.yaml": "sandbox: x\nz: 1\n",
        "templates/t.yaml": "template: T\nowner: a\n",
        "bad.yaml": "",
    }
    shuffled = [blob(path, texts[path]) for path in order]
    assert load([*shuffled, *blobs({})]) == load([*blobs({}), *(blob(p, texts[p]) for p in texts)])


@given(st.from_regex(SERVICE, fullmatch=True), st.from_regex(SERVICE, fullmatch=True))
def test_services_with_one_url_variable_are_one_service(one, other):
    assert (peer_variable(one) == peer_variable(other)) == (one == other)


@given(st.one_of(st.text(max_size=30), st.integers(-(10**9), 10**9), st.booleans(), st.none()))
def test_rendered_scalar_reads_back_as_the_same_value(value):
    document, faults = yaml.parse(f"a: {scalar(value)}\n".encode())
    assert faults == ()
    assert document is not None
    assert document.value == {"a": value}


@given(st.floats(allow_nan=False))
def test_number_of_yaml_reads_as_python_reads_it(number):
    text = repr(number) if math.isfinite(number) else f"{'-' if number < 0 else ''}.inf"
    document, _ = yaml.parse(f"a: {text}\n".encode())
    assert document is not None
    assert document.value in ({"a": number}, {"a": text})
