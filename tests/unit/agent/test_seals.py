"""The agent opens environment files with its own key, and keeps and tells fingerprints only."""

import json
import os
from pathlib import Path

import pytest

from sdp.agent.identity import IdentityFile
from sdp.agent.seals import KEY, KNOWN, MOST, Plaintext, Seals
from sdp.cli import sealing
from sdp.protocol.actions import SealedFile, Unseal
from sdp.protocol.frames import Failed, Succeeded
from sdp.protocol.report import Sealed
from sdp.reconciler import environments
from sdp.spec.load import load
from sdp.spec.tree import Blob
from tests.sops import ACHMAD, NODE, SARI, environment, sealer

FILE = sealing.changed(
    environment("qa", DB_PASSWORD="canary-one", TOKEN="canary-two"),
    [sealing.Change(("files", "/etc/tls.pem"), "canary\nthree\n", secret=True)],
    sealer(ACHMAD),
)


def sealed(text: str = FILE) -> SealedFile:
    path = "environments/qa.yaml"
    (file,) = load([Blob(path, "1", text.encode())]).environments.values()
    made = environments.sealed(file)
    assert made is not None
    return made


def unseal(file: SealedFile) -> Unseal:
    return Unseal(sandbox="QA", file=file)


class Agent:
    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.state.mkdir()
        self.key = folder / "identity.txt"
        self.seals = self.started()

    def started(self) -> Seals:
        return Seals(IdentityFile(self.key), self.state)

    def give(self, text: str, mode: int = 0o600) -> None:
        """Bring an identity as people do: written beside, then moved."""
        beside = self.key.with_suffix(".new")
        beside.write_text(text)
        beside.chmod(mode)
        beside.replace(self.key)

    async def told(self, file: SealedFile) -> Sealed:
        assert await self.seals.unseal(unseal(file)) == Succeeded()
        return self.seals.scan()[file.digest]


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    made = Agent(tmp_path)
    made.give(NODE.secret)
    return made


async def test_fingerprints_are_told_by_name_and_values_are_not(agent: Agent) -> None:
    told = await agent.told(sealed())
    assert set(told.fingerprints) == {"DB_PASSWORD", "TOKEN", "/etc/tls.pem"}
    assert "canary" not in told.model_dump_json()


async def test_the_same_value_has_the_same_fingerprint_however_it_is_encrypted(
    agent: Agent,
) -> None:
    one = await agent.told(sealed())
    other = await agent.told(sealed(sealing.rotated(FILE, sealer(ACHMAD))))
    assert one == other


async def test_equal_values_of_two_names_cannot_be_seen_to_be_equal(agent: Agent) -> None:
    told = await agent.told(sealed(environment(A="same", B="same")))
    assert told.fingerprints["A"] != told.fingerprints["B"]


async def test_another_node_has_other_fingerprints(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Agent(tmp_path / "other")
    other.give(NODE.secret)
    assert await agent.told(sealed()) != await other.told(sealed())


async def test_fingerprints_outlive_the_agent_and_its_identity(agent: Agent) -> None:
    told = await agent.told(sealed())
    agent.key.unlink()
    assert agent.started().scan() == {sealed().digest: told}


async def test_fingerprints_go_with_their_key(agent: Agent) -> None:
    """Beside those of a new key they would call the same value another one."""
    before = await agent.told(sealed())
    (agent.state / KEY).unlink()
    agent.seals = agent.started()
    assert agent.seals.scan() == {}
    assert (await agent.told(sealed())).fingerprints.keys() == before.fingerprints.keys()


async def test_nothing_on_disk_holds_a_value_and_what_is_there_is_private(agent: Agent) -> None:
    await agent.told(sealed())
    await agent.seals.open([sealed()])
    kept = sorted(agent.state.iterdir())
    assert [each.name for each in kept] == [KEY, KNOWN]
    for each in kept:
        assert b"canary" not in each.read_bytes()
        assert each.stat().st_mode & 0o777 == 0o600


async def test_fingerprints_are_bounded_and_the_oldest_go_first(agent: Agent) -> None:
    await agent.told(sealed())  # with this the node has its key
    known = {f"{number:032x}": {"A": "f"} for number in range(MOST)}
    (agent.state / KNOWN).write_text(json.dumps(known))
    agent.seals = agent.started()
    await agent.told(sealed())
    told = agent.seals.scan()
    assert len(told) == MOST
    assert f"{0:032x}" not in told


async def test_what_is_taken_is_opened(agent: Agent) -> None:
    file = sealed().model_copy(update={"variables": ("TOKEN",)})
    opened = await agent.seals.open([file])
    assert isinstance(opened, Plaintext)
    assert opened.variables == {"TOKEN": "canary-two"}
    assert opened.files == {"/etc/tls.pem": "canary\nthree\n"}
    assert "canary" not in repr(opened)


@pytest.mark.parametrize(
    ("identity", "mode", "reason", "words"),
    [
        (None, 0, "NoIdentity", "No such file"),
        (NODE.secret, 0o640, "IdentityExposed", "mode 0640"),
        (NODE.secret, 0o604, "IdentityExposed", "mode 0604"),
        (SARI.secret, 0o600, "WrongKey", NODE.public),
        ("# nothing\n", 0o600, "NoIdentity", "there is no AGE-SECRET-KEY-1… line"),
        ("AGE-SECRET-KEY-1QQQ\n", 0o600, "NoIdentity", "line 1 is no whole"),
    ],
    ids=["missing", "group", "others", "another", "no key", "half a key"],
)
async def test_why_a_file_cannot_be_opened_is_told_and_heals(
    agent: Agent, identity: str | None, mode: int, reason: str, words: str
) -> None:
    if identity is None:
        agent.key.unlink()
    else:
        agent.give(identity, mode)
    told = await agent.told(sealed())
    assert (told.reason, told.fingerprints) == (reason, {})
    assert words in told.message
    assert "SECRET-KEY-1Q" not in told.message
    failed = await agent.seals.open([sealed()])
    assert isinstance(failed, Failed)
    assert failed.reason == reason
    agent.give(NODE.secret)
    assert agent.seals.scan() == {}
    assert (await agent.told(sealed())).fingerprints


async def test_a_chmod_is_enough_to_heal(agent: Agent) -> None:
    agent.key.chmod(0o644)
    told = await agent.told(sealed())
    assert told.fix == f"chmod 600 {agent.key}"
    agent.key.chmod(0o600)
    assert agent.seals.scan() == {}


async def test_an_agent_without_an_identity_says_so(tmp_path: Path) -> None:
    seals = Seals(IdentityFile(None), tmp_path)
    assert await seals.unseal(unseal(sealed())) == Succeeded()
    (told,) = seals.scan().values()
    assert (told.reason, told.message) == (
        "NoIdentity",
        "its agent has no identity: in agent.yaml",
    )


async def test_a_named_pipe_does_not_hold_the_agent_up(agent: Agent) -> None:
    agent.key.unlink()
    os.mkfifo(agent.key, 0o600)
    assert (await agent.told(sealed())).message.endswith("is no file")


async def test_a_changed_value_is_tampered_with(agent: Agent) -> None:
    text = FILE.replace("data:", "data:AAAA", 1)
    told = await agent.told(sealed(text))
    assert told.reason == "Tampered"


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000, '{"sops": 1}'])
async def test_a_text_that_is_no_file_is_tampered_with(agent: Agent, text: str) -> None:
    told = await agent.told(sealed().model_copy(update={"text": text}))
    assert told.reason == "Tampered"


async def test_a_value_that_no_environment_can_hold_is_named(agent: Agent) -> None:
    told = await agent.told(sealed(environment(A="canary\0")))
    assert (told.reason, told.message) == ("Unsupported", "A has a NUL byte")


async def test_a_trouble_at_the_start_is_told_though_the_fingerprints_are_known(
    agent: Agent,
) -> None:
    await agent.told(sealed())
    agent.key.unlink()
    assert isinstance(await agent.seals.open([sealed()]), Failed)
    assert agent.seals.scan()[sealed().digest].reason == "NoIdentity"
    agent.give(NODE.secret)
    assert agent.seals.scan()[sealed().digest].fingerprints


async def test_a_state_folder_that_cannot_be_written_is_a_failure_with_a_fix(
    agent: Agent,
) -> None:
    agent.state.rename(agent.state.with_name("away"))
    agent.state.write_text("a file")
    failed = await agent.seals.unseal(unseal(sealed()))
    assert isinstance(failed, Failed)
    assert failed.reason == "StateUnwritable"
    assert "canary" not in failed.model_dump_json()


def test_what_an_engine_repeats_is_hidden() -> None:
    opened = Plaintext({"A": "canary", "B": "canary-longer", "C": "no"}, {})
    assert opened.hidden("bad: canary-longer, canary, no") == "bad: ***, ***, no"
