"""Bitbucket's webhooks: a signed push is a hint, and nothing else is anything."""

import hashlib
import hmac
import json

import pytest
from starlette.testclient import TestClient

from sdp.api.app import create_app
from sdp.api.hooks import MAX_BODY
from tests.fakes.control_plane import FakeControlPlane

SECRET = b"a-secret-of-some-length"
PATH = "/api/hooks/bitbucket"
CLOUD = {
    "push": {
        "changes": [
            {
                "new": {
                    "type": "branch",
                    "name": "feature/login-error",
                    "target": {
                        "type": "commit",
                        "hash": "709d658dc5b6d6afcd46049c2f332ee3f515a67d",
                    },
                },
                "old": None,
                "created": True,
                "forced": False,
                "closed": False,
            }
        ]
    },
    "repository": {
        "type": "repository",
        "name": "Account Service",
        "full_name": "acme/account",
        "uuid": "{673a6070-3421-46c9-9d48-90745f7bfe8e}",
        "is_private": True,
    },
    "actor": {"type": "user", "display_name": "Sari"},
}
SERVER = {
    "eventKey": "repo:refs_changed",
    "date": "2026-09-19T09:58:11+1000",
    "actor": {"name": "sari", "id": 1, "displayName": "Sari", "type": "NORMAL"},
    "repository": {
        "slug": "account",
        "id": 84,
        "name": "Account",
        "scmId": "git",
        "state": "AVAILABLE",
        "project": {"key": "ACME", "id": 84, "name": "Acme", "public": False},
    },
    "changes": [
        {
            "ref": {"id": "refs/heads/develop", "displayId": "develop", "type": "BRANCH"},
            "refId": "refs/heads/develop",
            "fromHash": "ecddabb624f6f5ba43816f5926e580a5f680a932",
            "toHash": "178864a7d521b6f5e720b386b2c2b0ef8563e0dc",
            "type": "UPDATE",
        }
    ],
}


@pytest.fixture
def control() -> FakeControlPlane:
    return FakeControlPlane(hook_secret=SECRET)


def signed(body: bytes, secret: bytes = SECRET) -> dict[str, str]:
    digest = hmac.new(secret, body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature": f"sha256={digest}", "Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("payload", "names"),
    [(CLOUD, "hint Account Service account"), (SERVER, "hint Account account")],
)
def test_a_signed_push_of_either_product_is_a_hint(control, client, payload, names):
    body = json.dumps(payload).encode()
    answer = client.post(PATH, content=body, headers=signed(body))
    assert answer.status_code == 202
    assert control.plane.asked == [names]


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "sha256=",
        "sha256=" + "0" * 64,
        "sha1=" + "0" * 40,
        signed(b"{}", b"another secret here")["X-Hub-Signature"],
        signed(b"{ }")["X-Hub-Signature"],
    ],
)
def test_what_is_not_signed_as_agreed_does_nothing(control, client, signature):
    headers = {} if signature is None else {"X-Hub-Signature": signature}
    answer = client.post(PATH, content=b"{}", headers=headers)
    assert answer.status_code == 401
    assert "--hook-secret-file" in answer.json()["fix"]
    assert SECRET.decode() not in answer.text
    assert control.plane.asked == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b"\xff", 400),
        (b"[" * 10_000, 400),
        (b" " * (MAX_BODY + 1), 413),
        (b"{}", 202),
        (b'{"repository": []}', 202),
        (b'{"repository": {"slug": 7}}', 202),
    ],
)
def test_what_tells_of_no_repository_does_nothing(control, client, body, status):
    answer = client.post(PATH, content=body, headers=signed(body))
    assert answer.status_code == status
    assert control.plane.asked == []


def test_a_ping_is_answered_signed_or_not_but_not_signed_wrongly(control, client):
    ping, body = {"X-Event-Key": "diagnostics:ping"}, b'{"test": true}'
    assert client.post(PATH, content=body, headers=ping).status_code == 200
    assert client.post(PATH, content=body, headers={**ping, **signed(body)}).status_code == 200
    wrong = {**ping, **signed(body, b"another secret here")}
    assert client.post(PATH, content=body, headers=wrong).status_code == 401
    assert control.plane.asked == []


def test_without_a_secret_webhooks_are_off_and_it_is_said_how_to_switch_them_on():
    bare = FakeControlPlane()
    client = TestClient(create_app(bare.ports), raise_server_exceptions=False)
    body = json.dumps(SERVER).encode()
    for headers in ({}, signed(body, b"")):
        answer = client.post(PATH, content=body, headers=headers)
        assert answer.status_code == 403
        assert "--hook-secret-file" in answer.json()["fix"]
    assert bare.plane.asked == []


def test_the_secret_is_in_no_text_of_the_ports(control):
    assert SECRET.decode() not in repr(control.ports)
