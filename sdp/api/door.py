"""The door: where the control plane listens, what protects what comes in, and what does not."""

import dataclasses
import ipaddress
import socket
import ssl
from pathlib import Path
from typing import Final, NoReturn

from sdp.api.node_views import Finding

_BACKLOG: Final = 2048
_V6: Final = 6


class CannotServeError(Exception):
    """The control plane can't start; ``fix`` says what to do."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


@dataclasses.dataclass(frozen=True, slots=True)
class Tls:
    """Files of PEM: a certificate with its chain, and its private key."""

    certificate: Path
    key: Path


@dataclasses.dataclass(frozen=True, slots=True)
class Door:
    """Where to listen, and whose posts to take.

    Attributes:
        host: an address.
        port: 0: any.
        hook_secret: what Bitbucket signs with; without one, its posts are refused.
        tls: without it, what comes in is plain http.
        proxy: address or network of the proxy that is told to say who calls; "" for none.
    """

    host: str
    port: int
    hook_secret: bytes = dataclasses.field(default=b"", repr=False)
    tls: Tls | None = None
    proxy: str = ""

    @property
    def scheme(self) -> str:
        """What clients speak, unless a proxy is between."""
        return "https" if self.tls else "http"


def listener(door: Door) -> socket.socket:
    """Return a socket that listens.

    Raises:
        CannotServeError: the address is none, or somebody has the port.
    """
    address = _address(door.host)
    family = socket.AF_INET6 if address.version == _V6 else socket.AF_INET
    try:
        return socket.create_server((str(address), door.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise CannotServeError(
            f"{door.host}:{door.port} can't be listened on: {error.strerror}",
            "stop what has the port, or give another --port",
        ) from error


def protection(tls: Tls) -> ssl.SSLContext:
    """Return what speaks TLS with a certificate and its key.

    Raises:
        CannotServeError: they can't be used, or others can read the key.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        if tls.key.stat().st_mode & 0o077:
            raise CannotServeError(
                f"others can read {tls.key}, which holds a private key", f"chmod 600 {tls.key}"
            )
        context.load_cert_chain(tls.certificate, tls.key, password=_no_passphrase)
    except ssl.SSLError as error:
        raise CannotServeError(
            f"{tls.certificate} and {tls.key} are no certificate with its key: "
            f"{error.reason or 'not PEM'}",
            "give PEM files that belong together: --tls-cert with the chain, --tls-key",
        ) from error
    except OSError as error:
        raise CannotServeError(
            f"{error.filename or tls.certificate} can't be read: {error.strerror}",
            "let the user that runs sdp serve read it, and nobody else",
        ) from error
    return context


def check_proxy(proxy: str) -> None:
    """Check the address or network of a proxy.

    Raises:
        CannotServeError: it is none, or everybody's.
    """
    try:
        network = ipaddress.ip_network(proxy, strict=False)
    except ValueError:
        network = None
    if network is None or not network.prefixlen:
        raise CannotServeError(
            f"{proxy!r} is not the address or network of a proxy",
            "give --behind-proxy 127.0.0.1, or where it calls from",
        )


def exposed(door: Door) -> tuple[Finding, ...]:
    """Return what is wrong with how the control plane can be reached."""
    if _address(door.host).is_loopback or door.tls or door.proxy:
        return ()
    return (
        Finding(
            severity="warning",
            node="control plane",
            kind="http",
            message=f"it listens on {door.host} without TLS: whoever can read the network reads "
            "passwords when people log in, and can take over their sessions",
            fix="start sdp serve with --tls-cert and --tls-key, or let it listen on 127.0.0.1 "
            "behind a proxy with TLS: --behind-proxy",
        ),
    )


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError as error:
        raise CannotServeError(
            f"{host!r} is no address",
            "give --host 127.0.0.1, or 0.0.0.0 for all of this machine's",
        ) from error


def _no_passphrase() -> NoReturn:
    """Else OpenSSL would ask for one at a terminal where nobody may be."""
    raise CannotServeError(
        "the private key has a passphrase, and nobody is there to give it",
        "take it off: openssl pkey -in KEY -out NEW; chmod 600 NEW",
    )
