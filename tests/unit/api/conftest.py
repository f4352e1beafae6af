"""A control plane that is served from memory, and who calls it; a test may have another."""

import pytest
from starlette.testclient import TestClient

from sdp.api.app import create_app
from tests.fakes.control_plane import FakeControlPlane


@pytest.fixture
def control() -> FakeControlPlane:
    return FakeControlPlane()


@pytest.fixture
def client(control: FakeControlPlane) -> TestClient:
    return TestClient(create_app(control.ports), raise_server_exceptions=False)
