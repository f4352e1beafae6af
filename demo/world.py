"""A whole small company at work on this machine: the demo and the end-to-end tests share it.

Real git, real Docker, real go and PHP; a control plane and two agents as processes of their own.
Everything lives below one folder, and everything that runs carries this world's instance name.
"""

import contextlib
import dataclasses
import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import yaml
from typing_extensions import override

from demo.company.build import Company, build_company
from demo.person import SDP, Person
from demo.processes import Processes
from sdp.spec.models import Role
from tests.testbed import gitserver, images, packages
from tests.testbed.engine import Engine
from tests.testbed.gitserver import GitServer

REPOSITORY = Path(__file__).parent.parent
MICRO, GATEWAY = "micro-92", "gateway-186"
SERVICES = ("account", "payment", "user")
ROBOT = "robot"
USERS: Mapping[str, Role] = {"achmad": "ADMIN", "sari": "QA", "budi": "VIEWER"}
PASSWORDS: Mapping[str, str] = {name: f"{name}-of-the-demo" for name in (*USERS, ROBOT)}


@dataclasses.dataclass(frozen=True, slots=True)
class Ports:
    """The ports of a world; several worlds stand beside each other with different ones."""

    control_plane: int
    ocp: int
    bitbucket: int
    gateways: tuple[int, int]
    services: tuple[int, int]


def free_ports(base: int) -> Ports:
    """Return ports from ``base`` on, a thousand for each world."""
    return Ports(base, base + 1, base + 2, (base + 100, base + 199), (base + 200, base + 399))


DEMO_PORTS = Ports(3452, 3453, 3454, (8080, 8999), (9001, 9999))


@dataclasses.dataclass
class World(Processes):
    """A control plane, two agents, OCP, Bitbucket with the repositories, and people.

    Attributes:
        passwords: what Bitbucket knows each user by.
        enrolments: the token that each node was enrolled with.
    """

    instance: str
    engine: Engine
    ports: Ports
    passwords: Mapping[str, str] = dataclasses.field(default_factory=lambda: PASSWORDS, repr=False)
    company: Company = dataclasses.field(init=False)
    enrolments: dict[str, str] = dataclasses.field(default_factory=dict, init=False, repr=False)

    @property
    @override
    def environment(self) -> Mapping[str, str]:
        return self.achmad.environment

    @property
    def url(self) -> str:
        """The control plane's address."""
        return f"http://127.0.0.1:{self.ports.control_plane}"

    @property
    def config(self) -> Path:
        """The clone of the config repo that a person works in."""
        return self.root / "config"

    @property
    def address(self) -> str:
        """This machine, as containers reach it."""
        return self.engine.bridge_gateway()

    @property
    def key(self) -> Path:
        """The secret key of the person who works in the config repo."""
        return self.root / "achmad.txt"

    @property
    def data(self) -> Path:
        """What the control plane keeps."""
        return self.root / "data"

    def agent_file(self, node: str) -> Path:
        """Return the agent's own file."""
        return self.root / f"agent-{node}.yaml"

    def identity(self, node: str) -> Path:
        """The secret key of a node's agent."""
        return self.root / f"identity-{node}.txt"

    @property
    def bitbucket(self) -> GitServer:
        """Who asks for a password."""
        return GitServer(self.root / "bitbucket", self.ports.bitbucket)

    @property
    def credentials(self) -> Path:
        """What agents read repositories with when nobody's own credentials are at hand."""
        return self.root / "robot.yaml"

    def build(self) -> None:
        """Make the company's repositories and the config repo with its platform."""
        ocp = f"http://{self.address}:{self.ports.ocp}"
        self.company = build_company(self.root / "company", ocp_url=ocp)
        self._configure_bitbucket()
        bare = self.root / "config.git"
        if not bare.exists():
            git("init", "--quiet", "--bare", "--initial-branch=main", str(bare))
            git("clone", "--quiet", str(bare), str(self.config))
            for key, value in (("name", "Achmad"), ("email", "achmad@company.example")):
                git("config", f"user.{key}", value, cwd=self.config)
            for folder in ("sandboxes", "templates", "environments"):
                (self.config / folder).mkdir(parents=True)
            self.commit({"platform.yaml": self.platform()}, "Describe the platform")
        for node in (MICRO, GATEWAY):
            self._configure_agent(node)

    def platform(self) -> str:
        """Return the example platform, with this machine's nodes, images and ports."""
        spec = yaml.safe_load((REPOSITORY / "platform.yaml").read_text())
        spec["platform"] = self.instance
        for node in spec["nodes"]:
            node["ip_address"] = self.address
            if node["id"] == MICRO:  # where services run, and open their environments
                node["recipient"] = recipient(self.identity(MICRO))
        spec["roles"] = {"users": {name: {"role": role} for name, role in USERS.items()}}
        spec["recipients"] = {"achmad": recipient(self.key)}
        for service in spec["services"].values():
            service["image"] = images.RUNTIME
        spec["gateway"]["image"] = images.GATEWAY
        spec["gateway"]["health"] = {"path": "/erangel/health", "deadline": "60s"}
        (first, last), (low, high) = self.ports.gateways, self.ports.services
        spec["ports"] = {
            "gateway": {"first": first, "last": last},
            "services": {"first": low, "last": high},
        }
        return yaml.safe_dump(spec, sort_keys=False)

    def start(self, tell: Callable[[str], None]) -> None:
        """Start all that runs, wait until it is ready, and log in; tell each step that is done."""
        self.bitbucket.start()
        tell(f"Bitbucket: {self.bitbucket.url}, users {', '.join(USERS)}")
        words = ["--host", "0.0.0.0", "--port", str(self.ports.ocp)]
        self.run("ocp", [sys.executable, "-m", "demo.company.ocp", *words])
        self.start_control_plane()
        tell(f"control plane: {self.url}")
        for node in (MICRO, GATEWAY):
            self.enrolments[node] = self.enroll(node)
            tell(f"{node} is enrolled")
            self.start_agent(node)
        self.log_in()
        tell("logged in as achmad: his password was tried at Bitbucket by an agent")

    def log_in(self) -> None:
        """Begin a session of achmad's, as soon as agents can prove who he is."""
        self.until(self.connected, "both agents are connected", 60)
        self.achmad.log_in()
        self.until(self.heard, "both agents are heard", 60)

    def enroll(self, node: str) -> str:
        """Enrol a node's agent on the control plane's own machine; return the token, used up."""
        made = self.sdp("nodes", "enroll", node, "--data-dir", str(self.data), "--json")
        made.check_returncode()
        token = str(json.loads(made.stdout)["token"])
        config = str(self.agent_file(node))
        self.sdp("agent", "--config", config, "--enroll", stdin=token).check_returncode()
        return token

    def connected(self) -> bool:
        """Whether both agents say that they are let in: before a login, nobody else tells."""
        logs = [(self.root / f"{node}.log").read_text() for node in (MICRO, GATEWAY)]
        return all(log.rfind(" connected ") > log.rfind(" disconnected ") for log in logs)

    def heard(self) -> bool:
        """Whether the control plane hears every node."""
        nodes = self.api("/api/nodes")
        return isinstance(nodes, list) and [node["connected"] for node in nodes] == [True, True]

    def start_control_plane(self, *more: str) -> None:
        """Start the control plane, with these words more, and wait until it is ready."""
        argv = [str(SDP), "serve", "--config-repo", str(self.root / "config.git")]
        argv += ["--data-dir", str(self.data), "--port", str(self.ports.control_plane)]
        argv += more
        self.run("control-plane", argv)
        self.until(lambda: self.answers("/healthz"), "the control plane answers", 30)

    def start_agent(self, node: str) -> None:
        """Start a node's agent."""
        argv = [str(SDP), "agent", "--config", str(self.agent_file(node))]
        self.run(node, argv)

    @override
    def stop(self) -> None:
        """End all that runs."""
        super().stop()
        self.bitbucket.stop()

    def sweep(self) -> None:
        """Remove what carries this world's label from the engine, and nothing else."""
        label = f"label=sdp.instance={self.instance}"
        for container in self.engine.docker("ps", "-aq", "--filter", label).split():
            self.engine.docker("rm", "-f", container)
        for network in self.engine.docker("network", "ls", "-q", "--filter", label).split():
            self.engine.docker("network", "rm", network)

    def commit(self, files: dict[str, str | None], message: str) -> str:
        """Commit and push these files of the config repo; None removes one; return the SHA."""
        for path, text in files.items():
            target = self.config / path
            if text is None:
                target.unlink()
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text)
        git("add", "--all", cwd=self.config)
        git("commit", "--quiet", "-m", message, cwd=self.config)
        git("push", "--quiet", "origin", "HEAD:main", cwd=self.config)
        return git("rev-parse", "HEAD", cwd=self.config).strip()

    @property
    def achmad(self) -> Person:
        """Who works here, as long as it is not said who: an ADMIN."""
        return self.as_user("achmad")

    def as_user(self, name: str) -> Person:
        """Return somebody, who may not be logged in yet."""
        home = self.root / "homes" / name
        return Person(name, self.passwords[name], home, self.url, self.config, self.key)

    def sdp(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run the sdp command in the config repo, as achmad."""
        return self.achmad.sdp(*words, stdin=stdin)

    def api(self, path: str, body: object = None) -> object:
        """Return what the control plane answers achmad."""
        return self.achmad.api(path, body)

    def answers(self, path: str) -> bool:
        """Whether the control plane answers a path with 2xx."""
        try:
            with urllib.request.urlopen(f"{self.url}{path}", timeout=5):
                return True
        except OSError:
            return False

    def ask(self, port: int, path: str) -> dict[str, str]:
        """Return what a sandbox's gateway answers; {} when it does not answer with JSON."""
        try:
            url = f"http://127.0.0.1:{port}/erangel/{path}"
            with urllib.request.urlopen(url, timeout=5) as answer:
                told = json.load(answer)
        except (OSError, ValueError):
            return {}
        return told if isinstance(told, dict) else {}

    def _configure_bitbucket(self) -> None:
        packages.ensure(packages.GIT_SERVER)
        gitserver.configure(self.bitbucket, self.company.origins, self.passwords)
        self.company.set_origins(self.bitbucket.url)
        robot = {"username": ROBOT, "password": self.passwords[ROBOT]}
        self.credentials.touch(0o600)
        self.credentials.write_text(yaml.safe_dump(robot))

    def _configure_agent(self, node: str) -> None:
        names = SERVICES if node == MICRO else ("api-gateway",)
        config = {
            "node": node,
            "instance": self.instance,
            "control_plane": f"ws://127.0.0.1:{self.ports.control_plane}/ws/agent",
            "state": str(self.root / "agents" / node),
            "docker": self.engine.host,
            "credentials": str(self.credentials),
            "repositories": {name: str(self.company.clone(name)) for name in names},
        }
        if node == MICRO:
            config["identity"] = str(self.identity(MICRO))
        self.agent_file(node).write_text(yaml.safe_dump(config, sort_keys=False))


@contextlib.contextmanager
def running(world: World, tell: Callable[[str], None] = lambda _: None) -> Iterator[World]:
    """Build and start a world, telling each step; stop and sweep it at the end."""
    world.root.mkdir(parents=True, exist_ok=True)
    try:
        world.build()
        world.start(tell)
        yield world
    finally:
        world.stop()
        world.sweep()


def recipient(key: Path) -> str:
    """Return the public key that belongs to a secret one, which is made where there is none."""
    if not key.exists():
        subprocess.run(
            [str(SDP), "env", "keygen", "-o", str(key)], capture_output=True, check=True
        )
    said = next(line for line in key.read_text().splitlines() if "public key" in line)
    return said.rpartition(" ")[2]


def git(*words: str, cwd: Path | None = None) -> str:
    """Run git as the demo's own user and return what it prints."""
    identity = ("-c", "user.name=Achmad", "-c", "user.email=achmad@company.example")
    done = subprocess.run(
        ["git", *identity, *words], cwd=cwd, capture_output=True, text=True, check=True
    )
    return done.stdout


def port_is_free(port: int) -> bool:
    """Whether nothing listens on a port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
        return True
