"""`Prefer`: how long a client wants to wait.

Source: RFC 7240, "Prefer Header for HTTP".
"""

import re
from typing import Annotated, NamedTuple

from fastapi import Header

from service.settings import Settings

PreferHeader = Annotated[str, Header(description="`wait=SECONDS` or `respond-async` (RFC 7240)")]


class Preference(NamedTuple):
    """How long a client wants to wait."""

    wait_s: float
    applied: str
    """What the answer's Preference-Applied says; empty for no preference."""


def parse_prefer(header: str, settings: Settings) -> Preference:
    """Read `Prefer`: preferences that make no sense are ignored, as RFC 7240 wants it.

    Args:
        header: The header's value, empty for none.
        settings: Default and largest waiting time.
    """
    tokens = [token.strip().lower() for token in header.split(",")]
    if "respond-async" in tokens:
        return Preference(0, "respond-async")
    waits = [match[1] for token in tokens if (match := re.fullmatch(r'wait\s*=\s*"?(\d{1,9})"?', token))]
    if not waits:
        return Preference(settings.default_wait_s, "")
    wait_s = min(float(waits[0]), settings.max_wait_s)
    return Preference(wait_s, f"wait={wait_s:g}")
