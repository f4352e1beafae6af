"""The agent's own file says exactly what it means, or says where it does not."""

from pathlib import Path

import pytest

from sdp.agent.config import ConfigError, load

SMALLEST = "node: micro-92\ninstance: acme\nstate: /var/lib/sdp\n"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "agent.yaml"
    path.write_text(text)
    return path


def test_smallest_file_has_defaults(tmp_path):
    config = load(written(tmp_path, SMALLEST))
    assert config.control_plane == "ws://127.0.0.1:3452/ws/agent"
    assert config.images_folder == Path("/var/lib/sdp/images")
    assert config.limits.build_memory == 2 << 30


def test_whole_file_is_read(tmp_path):
    text = (
        SMALLEST
        + f"""
control_plane: wss://sdp.company.com/ws/agent
docker: tcp://127.0.0.1:2375
repositories: {{account: /srv/git/account}}
images: {tmp_path}
limits: {{builds: 1, build_memory: 512MB, build_timeout: 60}}
poll_seconds: 5
identity: /etc/sdp/identity.txt
allow: {{images: ["alpine:*"], ports: 8080-9999, go_flags: [-toolexec=/opt/x], go_environment: [CC]}}
"""
    )
    config = load(written(tmp_path, text))
    assert config.repositories == {"account": Path("/srv/git/account")}
    assert config.identity == Path("/etc/sdp/identity.txt")
    assert config.allow.images == frozenset({"alpine:*"})
    assert config.allow.ports == (8080, 9999)
    assert config.allow.go_flags | config.allow.go_environment == {"-toolexec=/opt/x", "CC"}
    assert (config.limits.builds, config.limits.build_memory) == (1, 512 << 20)


def test_repository_that_is_no_clone_is_not_fatal(tmp_path):
    config = load(written(tmp_path, SMALLEST + f"repositories: {{a: {tmp_path}/none}}\n"))
    assert config.repositories == {"a": tmp_path / "none"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (SMALLEST + "nod: x\n", ":4: nod"),
        (SMALLEST + "limits:\n  builds: '2'\n", ":5: limits.builds"),
        (SMALLEST + "limits:\n  build_memory: lots\n", ":5: limits.build_memory: expected an am"),
        (SMALLEST + "control_plane: http://x\n", ":4: control_plane: expected an address"),
        (SMALLEST + "repositories:\n  a: rel/ative\n", ":5: repositories.a: expected an abs"),
        (SMALLEST + "repositories:\n  ../a: /x\n", ":5: repositories.../a"),
        (SMALLEST + "node: other\n", ":4: node is there twice"),
        (SMALLEST + "images: /no/such/folder\n", "images: /no/such/folder is no folder"),
        (SMALLEST + "ca: /no/such/file.pem\n", "ca: /no/such/file.pem holds no certificates"),
        (SMALLEST + "allow:\n  ports: 9-8\n", ":5: allow.ports: expected a range of ports"),
        (SMALLEST + "allow:\n  ports: 1-65536\n", ":5: allow.ports"),
        (SMALLEST + "allow:\n  images: alpine\n", ":5: allow.images"),
        (SMALLEST + "allow:\n  everything: true\n", ":5: allow.everything"),
        ("node: [\n", "agent.yaml"),
        ("", "the file"),
        ("[" * 5000, "agent.yaml"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, text, told):
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, text))
    assert told in str(caught.value)
    assert "agent.yaml" in str(caught.value)


def test_absent_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        load(tmp_path / "none.yaml")
