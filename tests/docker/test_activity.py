"""Use of a real gateway: what Apache logs of people, of probes and of itself, and while emptied."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sdp import clock
from sdp.agent import activity, live_environment, probe
from sdp.agent.activity import AccessLogs
from sdp.agent.apache import ApacheGateways
from sdp.agent.engine import Mount
from tests.docker.test_gateway import COMMIT, World, committed, world

__all__ = ["committed", "world"]

pytestmark = [pytest.mark.docker, pytest.mark.timeout(90)]
