"""What the client's tests ask for: time that passes only by sleeping."""

from __future__ import annotations

import pytest
from scripted_server import Clock

from service.client import captures, connection, jobs


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (captures, connection, jobs):
        monkeypatch.setattr(module, "time", clock)
    return clock
