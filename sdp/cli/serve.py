"""Commands that run until told to stop: the control plane and the agent. Parts load late."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from sdp.api.app import VERSION
from sdp.cli import context as cli

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
    # Late: every other command starts faster without a server.
    from sdp.api.door import CannotServeError, Door, Tls  # noqa: PLC0415
    from sdp.server import serve as run  # noqa: PLC0415

    tls = Tls(tls_cert, tls_key) if tls_cert and tls_key else None
    try:
        door = Door(host, port, secret, tls, behind_proxy)
        asyncio.run(run(config_repo, branch, data_dir, door))
    except CannotServeError as error:
        cli.fail(str(error), error.fix)


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
) -> None:
    """Run a VM's agent until SIGTERM.

    Example: `sdp agent --config /etc/sdp/agent.yaml`.
    """
    # Late: the agent's clients are of no use to other commands.
    from sdp.agent.assembly import run  # noqa: PLC0415
    from sdp.agent.config import ConfigError, load  # noqa: PLC0415
    from sdp.agent.main import AlreadyRunningError  # noqa: PLC0415

    try:
        asyncio.run(run(load(config), VERSION))
    except ConfigError as error:
        cli.fail(str(error), "correct the agent's file")
    except AlreadyRunningError as error:
        cli.fail(str(error), "stop that one, or give this one its own state folder")
