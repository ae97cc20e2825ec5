"""An application for requests that are made by hand: nobody else asks it anything.

In the flow of the tests: **IDLE_APP** → Request → uploads.
"""

from __future__ import annotations

from types import SimpleNamespace

from service.api.courtesy import Courtesy

IDLE_APP = SimpleNamespace(state=SimpleNamespace(services=SimpleNamespace(courtesy=Courtesy())))
