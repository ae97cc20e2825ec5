"""How the service logs: one line a record on stderr, as text or as JSON.

Whoever begins a request or a job names it with `log_fields`; a line of JSON then carries that name, whoever writes it.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.settings import Settings

_fields: ContextVar[dict[str, str] | None] = ContextVar("log_fields", default=None)


@contextmanager
def log_fields(**fields: str) -> Iterator[None]:
    """Add fields to all records of the block: `request_id`, `job_id`; of the coroutines that it starts, too."""
    token = _fields.set({**(_fields.get() or {}), **fields})
    try:
        yield
    finally:
        _fields.reset(token)


class JsonFormatter(logging.Formatter):
    """A log record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        fields = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%SZ"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **(_fields.get() or {}),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


def configure_logging(settings: Settings) -> None:
    """Send all records of this process to stderr."""
    formatter = JsonFormatter() if _wants_json(settings.log_format) else TextFormatter()
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    for chatty in ("celery.worker.strategy", "celery.app.trace", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelName(settings.log_level)))


def _wants_json(log_format: str) -> bool:
    """Whether programs read the log: a person does only at a terminal, or where that is said."""
    return log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())


class TextFormatter(logging.Formatter):
    """A log record as one line of text (and its traceback, where there is one)."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")
