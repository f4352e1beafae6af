"""Commands that run until told to stop: the control plane and the agent. Parts load late."""

import asyncio
import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sdp.api.app import VERSION
from sdp.askpass import site_of
from sdp.cli import context as cli
from sdp.service_credential import ServiceCredential, Unusable

if TYPE_CHECKING:  # the agent's clients are of no use to other commands
    from sdp.agent.config import AgentConfig

SHORTEST_SECRET = 16


def serve(  # noqa: PLR0913, PLR0917 -- typer's options
    config_repo: Annotated[
        str, typer.Option("--config-repo", help="Path or URL of the config repo.")
    ],
    data_dir: Annotated[
        Path, typer.Option("--data-dir", help="Folder for history and logs; made when missing.")
    ],
    branch: Annotated[str, typer.Option(help="The branch that is applied.")] = "main",
    host: Annotated[
        str, typer.Option(help="Address to listen on: 0.0.0.0 for all of this machine's.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 3452,
    tls_cert: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="PEM: the certificate with its chain."),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="PEM: its private key, read by its owner."),
    ] = None,
    behind_proxy: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Address or network of the proxy that speaks TLS and says who calls.",
        ),
    ] = "",
    hook_secret_file: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="File with the secret that Bitbucket's webhooks are signed with.",
        ),
    ] = None,
    config_credentials: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="File with username: and password: for a config repo at an https address.",
        ),
    ] = None,
) -> None:
    """Run the control plane until SIGTERM.

    On the network, let it speak TLS, or put a proxy that does before it: without, passwords and
    sessions can be read on the way.

    Examples: `sdp serve --config-repo /srv/sdp/config.git --data-dir /var/lib/sdp`;
    `sdp serve --config-repo /srv/sdp/config.git --data-dir /var/lib/sdp --host 0.0.0.0
    --tls-cert /etc/sdp/cert.pem --tls-key /etc/sdp/key.pem`.
    """
    secret = _hook_secret(hook_secret_file) if hook_secret_file else b""
    if (tls_cert is None) != (tls_key is None):
        raise typer.BadParameter("a certificate goes with its key: --tls-cert and --tls-key")
    if config_credentials:
        _check_credentials(config_credentials, config_repo)
    # Late: every other command starts faster without a server.
    from sdp.api.door import CannotServeError, Door, Tls  # noqa: PLC0415
    from sdp.server import serve as run  # noqa: PLC0415

    tls = Tls(tls_cert, tls_key) if tls_cert and tls_key else None
    try:
        door = Door(host, port, secret, tls, behind_proxy)
        asyncio.run(run(config_repo, branch, data_dir, door, config_credentials))
    except CannotServeError as error:
        cli.fail(str(error), error.fix)


def _check_credentials(path: Path, config_repo: str) -> None:
    """Say at once what a file of credentials can't be used for."""
    site = site_of(config_repo)
    if site is None:
        fix = "leave --config-credentials out: ssh has keys, a path needs none"
        cli.fail(f"{config_repo} is no http or https address: it takes no password", fix)
    found = ServiceCredential(path).of(site)
    if found is None:
        cli.fail(f"{path} has no credentials for {site.host}", "add them below the host's name")
    if isinstance(found, Unusable):
        cli.fail(found.message, found.fix)


def _hook_secret(path: Path) -> bytes:
    """Return what a file says that nobody but its owner can read."""
    try:
        if path.stat().st_mode & 0o077:
            cli.fail(f"others can read {path}, which holds a secret", f"chmod 600 {path}")
        secret = path.read_bytes().strip()
    except OSError as error:
        cli.fail(f"{path} can't be read: {error.strerror}", "let its owner run sdp serve")
    if len(secret) < SHORTEST_SECRET:
        fix = f"openssl rand -hex 32 > {path}, and give Bitbucket the same"
        cli.fail(f"the secret in {path} has less than {SHORTEST_SECRET} characters", fix)
    return secret


def agent(
    config: Annotated[
        Path,
        typer.Option("--config", exists=True, dir_okay=False, help="The agent's own file."),
    ],
    *,
    enroll: Annotated[
        bool,
        typer.Option(
            "--enroll",
            help="Enrol this node instead, with a token that is asked for, or read from stdin.",
        ),
    ] = False,
) -> None:
    """Run a VM's agent until SIGTERM; or enrol it, once, with a token of `sdp nodes enroll`.

    An agent that runs already takes up what it was enrolled with by itself.

    Examples: `sdp agent --config /etc/sdp/agent.yaml`;
    `sdp agent --config /etc/sdp/agent.yaml --enroll`.
    """
    # Late: the agent's clients are of no use to other commands.
    from sdp.agent.assembly import run  # noqa: PLC0415
    from sdp.agent.config import ConfigError, load  # noqa: PLC0415
    from sdp.agent.main import AlreadyRunningError  # noqa: PLC0415

    try:
        if enroll:
            _enroll(load(config))
        else:
            asyncio.run(run(load(config), VERSION))
    except ConfigError as error:
        cli.fail(str(error), "correct the agent's file")
    except AlreadyRunningError as error:
        cli.fail(str(error), "stop that one, or give this one its own state folder")


def _enroll(config: "AgentConfig") -> None:
    """Enrol a node's agent with the token that somebody types, or a program sends."""
    from sdp.agent.assembly import enrol  # noqa: PLC0415
    from sdp.agent.greeting import CannotEnrolError  # noqa: PLC0415
    from sdp.protocol.handshake import NotATokenError, read_token  # noqa: PLC0415

    ask = sys.stdin.isatty()
    text = getpass.getpass(f"Token of {config.node}: ") if ask else sys.stdin.readline()
    fix = f"where you are logged in, or at the control plane: sdp nodes enroll {config.node}"
    try:
        token = read_token(text)
        if token.node != config.node:
            cli.fail(f"the token is of {token.node}, and this is the agent of {config.node}", fix)
        replaces = asyncio.run(enrol(config, VERSION, token))
    except NotATokenError as error:
        cli.fail(str(error), fix)
    except CannotEnrolError as error:
        cli.fail(str(error), error.fix)
    new = "enrolled again, with a new key" if replaces else "enrolled"
    cli.say(f"{config.node} is {new}, and obeys {config.control_plane} alone.")
    cli.say("Run its agent: sdp agent --config FILE; one that runs takes it up by itself.")
