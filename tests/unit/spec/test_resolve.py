"""Resolution: layers, what null and a new target take away, origins, and why a sandbox cannot be."""

import pytest

from sdp.spec.resolve import Resolved, Unresolved, problems, resolve
from sdp.spec.yaml import Value
from tests.unit.spec.commits import PLATFORM, commit

PATH = "sandboxes/x.yaml"


def outcome(sandbox: str, template: str = "") -> Resolved | Unresolved:
    own = f"sandbox: X\n{'template: T' if template else ''}\n{sandbox}\n"
    layers = {PATH: own} | ({"templates/t.yaml": f"template: T\n{template}\n"} if template else {})
    return resolve(PATH, commit(layers))


def resolved(sandbox: str, template: str = "") -> Resolved:
    result = outcome(sandbox, template)
    assert isinstance(result, Resolved), result
    return result


def refused(sandbox: str, template: str = "") -> list[str]:
    result = outcome(sandbox, template)
    assert isinstance(result, Unresolved)
    return [str(problem) for problem in result.problems]


def account(sandbox: str, template: str) -> dict[str, Value] | None:
    """Return what account is, where both layers say something about it."""
    body = resolved(f"services: {{account: {sandbox}}}", f"services: {{account: {template}}}").body
    target = (body.services or {}).get("account")
    return None if target is None else target.model_dump(exclude_unset=True)


PIN = "1" * 40


@pytest.mark.parametrize(
    ("sandbox", "template", "expected"),
    [
        ("{branch: b}", "{branch: a}", {"branch": "b"}),
        ("{branch: b}", "{use_ocp: true}", {"branch": "b"}),
        ("{branch: b}", "{url: 'http://h/'}", {"branch": "b"}),
        ("{branch: b}", f"{{branch: a, commit: '{PIN}'}}", {"branch": "b"}),
        (f"{{commit: '{PIN}'}}", "{branch: a}", {"branch": "a", "commit": PIN}),
        (f"{{commit: '{PIN}'}}", "{url: 'http://h/'}", {"commit": PIN}),
        ("{use_ocp: true}", f"{{branch: a, commit: '{PIN}'}}", {"use_ocp": True}),
        ("{url: 'http://h/'}", "{branch: a}", {"url": "http://h/"}),
        ("{url: 'http://h/'}", "{use_ocp: true}", {"url": "http://h/"}),
        ("{use_ocp: false}", "{branch: a}", {"branch": "a", "use_ocp": False}),
        ("{commit: null}", f"{{branch: a, commit: '{PIN}'}}", {"branch": "a"}),
        ("{port: 9005}", "{branch: a}", {"branch": "a", "port": 9005}),
        ("{port: null}", "{branch: a, port: 9005}", {"branch": "a"}),
        ("{branch: null}", "{branch: a}", None),
        ("null", "{branch: a}", None),
        (
            "{branch: b, resources: {memory: 1GB}}",
            "{branch: a, resources: {cpu: 1, memory: 512MB}}",
            {"branch": "b", "resources": {"cpu": "1", "memory": "1GB"}},
        ),
        (
            "{resources: null}",
            "{branch: a, resources: {cpu: 1}}",
            {"branch": "a"},
        ),
    ],
)
def test_target_of_the_sandbox_over_that_of_the_template(sandbox, template, expected):
    assert account(sandbox, template) == expected


def test_branch_of_the_gateway_drops_a_pin_from_below():
    result = resolved("gateway: {branch: b}", f"gateway: {{branch: a, commit: '{PIN}', port: 81}}")
    assert result.body.gateway is not None
    assert result.body.gateway.model_dump(exclude_none=True) == {"branch": "b", "port": 81}


def test_services_of_the_template_stay_beside_the_sandboxs_own():
    result = resolved("services: {account: {branch: a}}", "services: {payment: {branch: p}}")
    assert set(result.body.services or {}) == {"account", "payment"}


def test_service_that_the_sandbox_restores_after_the_template_removed_it_is_there():
    template = "services: {account: null}"
    assert resolved("services: {account: {branch: a}}", template).body.services is not None


def test_each_leaf_has_the_file_and_line_it_comes_from():
    result = resolved(
        "services:\n  account:\n    resources: {memory: 1GB}",
        "services:\n  account: {branch: a, resources: {cpu: 1, memory: 512MB}}",
    )
    assert {path: str(origin) for path, origin in result.origins.items()} == {
        "gateway.branch": "platform.yaml:9",
        "services.account.branch": "templates/t.yaml:3",
        "services.account.resources.cpu": "templates/t.yaml:3",
        "services.account.resources.memory": "sandboxes/x.yaml:5",
    }


def test_sandbox_without_a_gateway_anywhere_is_refused():
    platform = PLATFORM.replace("defaults: {gateway: {branch: develop}}\n", "")
    tree = commit({"platform.yaml": platform, PATH: "sandbox: X\n"})
    assert [str(problem) for problem in problems(tree)] == [
        (
            "sandboxes/x.yaml:1:10: missing gateway: {branch: …}, here, in a template or in "
            "platform.yaml's defaults"
        )
    ]


def test_service_with_settings_and_no_target_is_refused_where_it_is_set():
    assert refused("services: {account: {port: 9001}}") == [
        "sandboxes/x.yaml:3:28: service 'account' has none of branch, commit, use_ocp, url"
    ]


def test_port_pinned_twice_in_one_sandbox_is_refused():
    found = refused("services: {account: {branch: a, port: 81}, payment: {branch: a, port: 81}}")
    assert found == [
        "sandboxes/x.yaml:3:71: port 81 of micro is pinned by services.account already"
    ]


def test_container_name_longer_than_a_dns_label_is_refused():
    service = "a" * 40
    platform = PLATFORM.replace("  payment:", f"  {service}:")
    own = f"sandbox: {'X' * 40}\nservices: {{{service}: {{branch: a}}}}\n"
    result = resolve(PATH, commit({"platform.yaml": platform, PATH: own}))
    assert isinstance(result, Unresolved)
    assert "has 89 characters, expected at most 63" in str(result.problems[0])


def test_problem_of_the_template_refuses_its_sandboxes():
    assert refused("", "services: {zzz: {branch: a}}") == [
        "templates/t.yaml:2:12: unknown service 'zzz'; expected one of account, payment"
    ]


def test_file_that_does_not_load_gives_its_own_problems():
    tree = commit({PATH: "sandbox: X\nx: 1\n", "sandboxes/y.yaml": "sandbox: Y\ny: 1\n"})
    result = resolve(PATH, tree)
    assert isinstance(result, Unresolved)
    assert [problem.path for problem in result.problems] == [PATH]


def test_sandbox_beside_a_broken_one_resolves():
    tree = commit({PATH: "sandbox: X\n", "sandboxes/y.yaml": "sandbox: Y\ny: 1\n"})
    assert isinstance(resolve(PATH, tree), Resolved)


def test_broken_platform_refuses_every_sandbox_with_its_problems():
    tree = commit({"platform.yaml": "x: 1\n", PATH: "sandbox: X\n"})
    result = resolve(PATH, tree)
    assert isinstance(result, Unresolved)
    assert {problem.path for problem in result.problems} == {"platform.yaml"}
