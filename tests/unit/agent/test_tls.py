"""wss://: the control plane's certificate is checked, by whom the file names and for its name."""

import asyncio
import contextlib
import dataclasses
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from websockets.asyncio.server import serve

from sdp.agent import greeting
from tests.fakes.trust import Enrolled, enrolled, identity

NOW = datetime.datetime.now(datetime.UTC)  # noqa: TID251 - certificates are checked by the real clock
DAY = datetime.timedelta(days=1)


@dataclasses.dataclass(frozen=True)
class Certificate:
    """A certificate of its own making, and the key to it."""

    folder: Path
    name: str
    address: str = "127.0.0.1"

    @property
    def pem(self) -> Path:
        return self.folder / f"{self.name}.pem"

    def make(self) -> "Certificate":
        key = ec.generate_private_key(ec.SECP256R1())
        who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, self.name)])
        made = (
            x509.CertificateBuilder()
            .subject_name(who)
            .issuer_name(who)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - DAY)
            .not_valid_after(NOW + DAY)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(self.address))]),
                critical=False,
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        private = key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self.pem.write_bytes(made.public_bytes(pem) + private)
        return self


@contextlib.asynccontextmanager
async def control_plane(known: Enrolled, certificate: Certificate) -> AsyncIterator[str]:
    """Welcome agents over TLS; yield the URL."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.pem)
    async with serve(known.welcome, "127.0.0.1", 0, ssl=context) as server:
        yield f"wss://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/ws/agent"


async def greet(url: str, known: Enrolled, ca: Path | None) -> None:
    who = dataclasses.replace(identity(1), url=url, ca=ca)
    async with asyncio.timeout(4), greeting.dial(who) as connection:
        await greeting.greet(connection, who, known.trust, "o")


async def test_a_certificate_that_the_file_vouches_for_is_taken(tmp_path):
    known, ours = enrolled(tmp_path), Certificate(tmp_path, "ours").make()
    async with control_plane(known, ours) as url:
        await greet(url, known, ours.pem)


@pytest.mark.parametrize("vouched", ["", "other"])
async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path, vouched):
    known, ours = enrolled(tmp_path), Certificate(tmp_path, "ours").make()
    ca = Certificate(tmp_path, vouched).make().pem if vouched else None
    async with control_plane(known, ours) as url:
        with pytest.raises(ssl.SSLCertVerificationError):
            await greet(url, known, ca)


async def test_a_certificate_for_another_name_is_refused(tmp_path):
    known, ours = enrolled(tmp_path), Certificate(tmp_path, "ours", "10.0.0.1").make()
    async with control_plane(known, ours) as url:
        with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
            await greet(url, known, ours.pem)
