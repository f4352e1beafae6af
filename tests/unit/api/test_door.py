"""The door: TLS that works or says why not, proxies that are believed, and what is wrong with it."""

import asyncio
import contextlib
import dataclasses
import datetime
import ssl
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.testclient import TestClient

from sdp.api.app import create_app
from sdp.api.door import CannotServeError, Door, Tls, check_proxy, exposed, listener, protection
from sdp.api.views import SandboxPage
from sdp.cli.client import Client, ClientError
from sdp.server import configured
from tests.fakes.control_plane import NOW, FakeControlPlane, served
from tests.fakes.people import FakePeople

YEARS = datetime.timedelta(days=3650)
PLAIN = serialization.NoEncryption()


def key_file(
    path: Path, encryption: serialization.KeySerializationEncryption = PLAIN
) -> ec.EllipticCurvePrivateKey:
    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.PrivateFormat.PKCS8
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, encryption))
    path.chmod(0o600)
    return key


def certified(folder: Path) -> Tls:
    """Return a certificate of localhost that it signed itself, and its key."""
    tls = Tls(folder / "cert.pem", folder / "key.pem")
    key = key_file(tls.key)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - YEARS)
        .not_valid_after(NOW + YEARS)
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    tls.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return tls


@contextlib.asynccontextmanager
async def behind(control: FakeControlPlane, door: Door) -> AsyncGenerator[int, None]:
    tls = protection(door.tls) if door.tls else None
    config = configured(create_app(control.ports), door, tls)
    config.port = 0  # which the server's own socket makes needless
    async with served(control.ports, config) as port:
        yield port


async def test_with_a_certificate_it_speaks_tls_and_nothing_else(tmp_path):
    control = FakeControlPlane()
    tls = certified(tmp_path)
    trusts = ssl.create_default_context(cafile=str(tls.certificate))
    async with (
        behind(control, Door("127.0.0.1", 0, tls=tls)) as port,
        httpx2.AsyncClient(verify=trusts, trust_env=False, timeout=30) as client,
    ):
        answer = await client.get(f"https://localhost:{port}/api/sandboxes")
        assert answer.status_code == 200
        assert answer.headers["strict-transport-security"]
        with pytest.raises(httpx2.TransportError):
            await client.get(f"http://localhost:{port}/api/sandboxes")


async def test_the_cli_trusts_the_ca_that_its_config_names_and_says_so_of_others(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    tls = certified(tmp_path)

    def asked() -> int:
        with contextlib.closing(Client(f"https://localhost:{port}")) as client:
            return client.get("/api/sandboxes", SandboxPage).total

    async with behind(FakeControlPlane(), Door("127.0.0.1", 0, tls=tls)) as port:
        with pytest.raises(ClientError, match="is not trusted here") as caught:
            await asyncio.to_thread(asked)
        assert f"ca: FILE in {tmp_path / 'sdp' / 'config.yaml'}" in caught.value.fix
        (tmp_path / "sdp").mkdir()
        (tmp_path / "sdp" / "config.yaml").write_text(f"ca: {tls.certificate}\n")
        assert await asyncio.to_thread(asked) == 1


def test_a_key_that_others_can_read_is_refused(tmp_path):
    tls = certified(tmp_path)
    tls.key.chmod(0o640)
    with pytest.raises(CannotServeError, match="others can read") as caught:
        protection(tls)
    assert caught.value.fix == f"chmod 600 {tls.key}"


def test_a_key_of_another_certificate_is_refused(tmp_path):
    tls = certified(tmp_path)
    key_file(tls.key)
    with pytest.raises(CannotServeError, match="KEY_VALUES_MISMATCH"):
        protection(tls)


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked(tmp_path):
    tls = certified(tmp_path)
    key_file(tls.key, serialization.BestAvailableEncryption(b"canary"))
    with pytest.raises(CannotServeError, match="has a passphrase"):
        protection(tls)


def test_what_is_no_certificate_or_not_there_is_refused(tmp_path):
    tls = certified(tmp_path)
    tls.certificate.write_text("rubbish")
    with pytest.raises(CannotServeError, match="no certificate with its key"):
        protection(tls)
    tls.certificate.unlink()
    with pytest.raises(CannotServeError, match="can't be read"):
        protection(tls)


@pytest.mark.parametrize(
    ("proxy", "address", "scheme"),
    [
        ("", "127.0.0.1", "http"),
        ("127.0.0.1", "10.1.2.3", "https"),
        ("10.0.0.1", "127.0.0.1", "http"),
    ],
)
async def test_only_the_proxy_that_was_named_is_believed_who_calls(proxy, address, scheme):
    control = FakeControlPlane(people=FakePeople(live=()))
    said = {"X-Forwarded-For": "10.1.2.3", "X-Forwarded-Proto": "https"}
    body = {"username": "achmad", "password": "secret"}
    async with (
        behind(control, Door("127.0.0.1", 0, proxy=proxy)) as port,
        httpx2.AsyncClient(trust_env=False, headers=said, timeout=30) as client,
    ):
        answer = await client.post(f"http://127.0.0.1:{port}/api/login", json=body)
    assert control.audit.acts[0].address == address
    assert ("secure" in answer.headers["set-cookie"].lower()) == (scheme == "https")


@pytest.mark.parametrize("proxy", ["*", "0.0.0.0/0", "::/0", "proxy.example", ""])
def test_a_proxy_that_would_be_everybody_is_refused(proxy):
    with pytest.raises(CannotServeError, match="not the address or network of a proxy"):
        check_proxy(proxy)


@pytest.mark.parametrize("proxy", ["127.0.0.1", "10.0.0.0/8", "fd00::1"])
def test_a_proxy_is_an_address_or_a_network(proxy):
    check_proxy(proxy)


def test_plain_http_on_the_network_is_told_with_what_to_do(tmp_path):
    (found,) = exposed(Door("0.0.0.0", 3452))
    assert "without TLS" in found.message
    assert "--tls-cert" in found.fix
    assert not exposed(Door("0.0.0.0", 3452, tls=Tls(tmp_path, tmp_path)))
    assert not exposed(Door("10.0.0.7", 3452, proxy="10.0.0.1"))
    assert not exposed(Door("localhost", 3452))
    assert not exposed(Door("::1", 3452))


def test_the_doctor_tells_of_plain_http_on_the_network():
    ports = dataclasses.replace(FakeControlPlane().ports, exposed=exposed(Door("0.0.0.0", 3452)))
    (found,) = TestClient(create_app(ports)).get("/api/doctor").json()["findings"]
    assert (found["node"], found["kind"], found["severity"]) == (
        "control plane",
        "http",
        "warning",
    )


def test_what_is_no_address_or_has_its_port_taken_is_refused():
    with pytest.raises(CannotServeError, match="'sdp' is no address"):
        listener(Door("sdp", 0))
    with listener(Door("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        with pytest.raises(CannotServeError, match="can't be listened on"):
            listener(Door("127.0.0.1", port))
