"""A clean stop: SIGTERM and Ctrl-C are remembered, and looked at between two steps."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def remembered_signals() -> Iterator[list[int]]:
    """A list that is empty until SIGTERM or SIGINT arrives; afterwards the handlers are what they were.

    A second one acts as it would have without us. In a thread that is not the main one, where Python allows no
    handlers, the list stays empty.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def remember(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        restore()

    for number in SIGNALS:
        signal.signal(number, remember)
    try:
        yield received
    finally:
        restore()
