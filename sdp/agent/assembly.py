"""Puts an agent's parts together from its own file, and runs it."""

from sdp import clock, durable
from sdp.agent import greeting, main
from sdp.agent.accounts import Accounts
from sdp.agent.activity import AccessLogs
from sdp.agent.allowed import Allowed
from sdp.agent.apache import ApacheGateways
from sdp.agent.config import AgentConfig
from sdp.agent.containers import Place
from sdp.agent.dockerd import DockerEngine
from sdp.agent.facts import Facts
from sdp.agent.gateway import Copies
from sdp.agent.greeting import Identity
from sdp.agent.identity import IdentityFile
from sdp.agent.journal import Journal
from sdp.agent.lent import Opener
from sdp.agent.login_desk import Checker
from sdp.agent.outbox import Outbox
from sdp.agent.recipes import Workshop
from sdp.agent.releases import Releases
from sdp.agent.repositories import Repositories
from sdp.agent.seals import Seals
from sdp.agent.trust import Trust
from sdp.process import keep_to_itself
from sdp.protocol.handshake import Token
from sdp.service_credential import ServiceCredential


async def run(config: AgentConfig, version: str) -> None:
    """Run an agent until it is told to stop.

    Raises:
        AlreadyRunningError: another agent holds the state folder.
    """
    keep_to_itself()
    state = config.state
    with main.only_one(state):
        outbox = Outbox(state / "outbox.sqlite")
        journal = Journal(outbox)
        try:
            await main.serve(_parts(config, version, journal), outbox, journal)
        finally:
            journal.flush()
            outbox.close()


def identity_of(config: AgentConfig, version: str, recipient: str = "") -> Identity:
    """Return who this agent is, as its own file says; what it is lent is sealed to the recipient."""
    url, ca = config.control_plane, config.ca
    return Identity(url, config.node, config.instance, version, ca=ca, recipient=recipient)


async def enrol(config: AgentConfig, version: str, token: Token) -> bool:
    """Enrol this node's agent; return whether that replaces what was.

    Raises:
        CannotEnrolError: the control plane can't be reached, is another, or refuses the token.
    """
    return await greeting.enrol(
        identity_of(config, version), Trust(config.state, config.node), token
    )


def _parts(config: AgentConfig, version: str, journal: Journal) -> main.Parts:
    state = config.state
    caches = state / "caches"
    for folder in (caches, state / "copies", state / "access", config.images_folder):
        folder.mkdir(parents=True, exist_ok=True)
    limits = config.limits
    shop = Workshop(
        caches,
        limits.build_timeout,
        limits.build_memory,
        words=config.allow.go_flags | config.allow.go_environment,
    )
    engine = DockerEngine(config.docker, config.instance, config.node)
    opener = Opener()
    accounts = Accounts(opener, ServiceCredential(config.credentials))
    repositories = Repositories(config.repositories, caches, journal, accounts)
    releases = Releases(state, repositories, journal, shop, config.limits.builds)
    copies = Copies(state, releases, ApacheGateways(engine), journal, shop, clock.now)
    key_file = IdentityFile(config.identity)
    durable.sweep(state)
    releases.sweep()
    copies.sweep()
    return main.Parts(
        identity=identity_of(config, version, opener.recipient),
        trust=Trust(state, config.node),
        state=state,
        place=Place(
            node=config.node,
            instance=config.instance,
            images=config.images_folder,
            copies=state / "copies",
            access=state / "access",
        ),
        engine=engine,
        repositories=repositories,
        releases=releases,
        copies=copies,
        seals=Seals(key_file, state),
        facts=Facts(engine, state, config.images_folder, key_file),
        access=AccessLogs(state / "access", state / "activity.json", clock.now),
        allowed=Allowed(config.allow.images, *config.allow.ports),
        logins=Checker(repositories, opener),
        poll_seconds=config.poll_seconds,
    )
