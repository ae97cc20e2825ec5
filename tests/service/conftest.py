"""What the client's tests ask for: time that passes only by sleeping."""

from __future__ import annotations

import pytest
from scripted_server import Clock

from service import client, connection


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(connection, "time", clock)
    monkeypatch.setattr(client, "time", clock)
    return clock
