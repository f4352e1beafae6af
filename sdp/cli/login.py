"""Login, logout, whoami: a session at the control plane, and how long it lasts."""

import ipaddress
import sys
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer

from sdp.api.session_views import Ended, LoginView, SessionView
from sdp.cli import context as cli
from sdp.cli import keyring
from sdp.cli.client import Client, ClientError
from sdp.cli.keyring import Kept

_UNAUTHORIZED: Final = 401


def login(
    context: typer.Context,
    user: Annotated[
        str | None, typer.Option(metavar="NAME", help="Bitbucket's user name; else it is asked.")
    ] = None,
    *,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Take the password from stdin; do not ask.")
    ] = False,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Send it over plain http to another machine, too.")
    ] = False,
    as_json: cli.AsJson = False,
) -> None:
    """Log in with Bitbucket's user name and password, or a token in its place.

    An agent proves them with a repository of the platform. Git operations that you cause use them;
    they are in the control plane's memory only. The session lasts 12 hours.

    Examples: `sdp login`; `sdp login --user achmad --password-stdin < token`.
    """
    with cli.failures():
        client = cli.client(context)
        _check_way(client.url, insecure=insecure)
        body = {"username": user or _ask_user(), "password": "", "kind": "bearer"}
        body["password"] = _password(body["username"], stdin=password_stdin)
        cli.say("an agent asks Bitbucket whether it takes them")
        begun = client.post("/api/login", LoginView, body)
        kept = Kept(user=begun.user, token=begun.token, expires_at=begun.expires_at)
        with cli.keyring_failures():
            keyring.keep(client.url, kept)
    if as_json:
        cli.print_json(SessionView.model_validate(begun.model_dump(exclude={"token"})))
        return
    until = f"{begun.expires_at:%Y-%m-%d %H:%M} UTC"
    typer.echo(f"{begun.user} is logged in at {client.url} as {begun.role}, until {until}")


def logout(
    context: typer.Context,
    *,
    everywhere: Annotated[
        bool, typer.Option("--everywhere", help="End all of your sessions, the page's, too.")
    ] = False,
    user: Annotated[
        str | None, typer.Option(metavar="NAME", help="End all sessions of somebody; for ADMIN.")
    ] = None,
    as_json: cli.AsJson = False,
) -> None:
    """End your session at the control plane, which wipes your credentials there.

    Examples: `sdp logout`; `sdp logout --everywhere`; `sdp logout --user sari`.
    """
    with cli.failures():
        client = cli.client(context)
        if user:
            ended = client.post("/api/sessions/revoke", Ended, {"user": user})
        else:
            ended = _logout(client, everywhere=everywhere)
    if as_json:
        cli.print_json(ended)
    else:
        whose = f"of {user} " if user else ""
        typer.echo(f"{ended.sessions} session{'s' * (ended.sessions != 1)} {whose}ended")


def whoami(context: typer.Context, *, as_json: cli.AsJson = False) -> None:
    """Say who is logged in here, with which role, and what that may do.

    Example: `sdp whoami`.
    """
    with cli.failures():
        client = cli.client(context)
        session = client.get("/api/session", SessionView)
    if as_json:
        cli.print_json(session)
        return
    git = "uses your credentials"
    if not session.credentials:
        git = "has none of yours: the control plane restarted since you logged in; sdp login"
    typer.echo(f"{session.user} is {session.role} at {client.url}")
    typer.echo(f"  until  {session.expires_at:%Y-%m-%d %H:%M} UTC")
    typer.echo(f"  may    {', '.join(session.permissions)}")
    typer.echo(f"  git    {git}")


def _logout(client: Client, *, everywhere: bool) -> Ended:
    """End the session there, and forget it here whatever comes of that."""
    try:
        return client.post("/api/logout", Ended, {"everywhere": everywhere})
    except ClientError as error:
        if error.status != _UNAUTHORIZED:
            raise
        return Ended(sessions=0)
    finally:
        with cli.keyring_failures():
            keyring.forget(client.url)


def _check_way(url: str, *, insecure: bool) -> None:
    """Let no password go over the network in plain text unless somebody agrees."""
    parts = urlsplit(url)
    if insecure or parts.scheme == "https" or _is_loopback(parts.hostname or ""):
        return
    told = f"the password would go to {parts.hostname} over plain http, where others can read it"
    if not sys.stdin.isatty():
        cli.fail(told, "name the control plane by https://; or accept it: --insecure")
    if not typer.confirm(f"{told}. Send it?", err=True):
        cli.fail("not logged in", "name the control plane by https://")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _ask_user() -> str:
    if not sys.stdin.isatty():
        cli.fail("nobody is there to ask for the user name", "give it: --user NAME")
    return str(typer.prompt("Bitbucket user name", err=True))


def _password(user: str, *, stdin: bool) -> str:
    """Return the password, from the first line of stdin or a person; never echoed."""
    if stdin:
        password = sys.stdin.readline().rstrip("\r\n")
        if not password:
            cli.fail("there is no password on stdin", "give it as the first line of stdin")
        return password
    if not sys.stdin.isatty():
        cli.fail("nobody is there to ask for the password", "give it on stdin: --password-stdin")
    return str(typer.prompt(f"Password of {user}", hide_input=True, err=True))
