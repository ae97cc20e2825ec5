"""Log lines: readable by people, or by programs."""

from __future__ import annotations

import json
import logging
import sys
from typing import Literal

import pytest

from service.logs import JsonFormatter, TextFormatter, configure_logging, log_fields
from service.settings import Settings


def make_record(*, failing: bool = False) -> logging.LogRecord:
    """A record, with a traceback if `failing`."""
    trouble = None
    try:
        int("why" if failing else "1")
    except ValueError:
        trouble = sys.exc_info()
    return logging.LogRecord("service.jobs", logging.WARNING, "x.py", 1, "job %s:\n%s", ("1", "Grüße"), trouble)


def test_a_record_is_one_line_of_json() -> None:
    line = JsonFormatter().format(make_record())
    assert "\n" not in line
    fields = json.loads(line)
    assert (fields["level"], fields["logger"], fields["message"]) == ("WARNING", "service.jobs", "job 1:\nGrüße")


def test_json_keeps_the_traceback() -> None:
    fields = json.loads(JsonFormatter().format(make_record(failing=True)))
    assert "ValueError: invalid literal" in fields["exception"]


def test_text_says_level_and_source() -> None:
    assert TextFormatter().format(make_record()).endswith("WARNING service.jobs: job 1:\nGrüße")


def test_a_request_and_a_job_are_named_in_all_lines_of_theirs_and_in_no_others() -> None:
    with log_fields(request_id="r1"), log_fields(job_id="j1"):
        inside = json.loads(JsonFormatter().format(make_record()))
    outside = json.loads(JsonFormatter().format(make_record()))
    assert (inside["request_id"], inside["job_id"]) == ("r1", "j1")
    assert not {"request_id", "job_id"} & set(outside)


@pytest.mark.parametrize(
    ("wished", "terminal", "chosen"),
    [
        ("auto", True, TextFormatter),
        ("auto", False, JsonFormatter),
        ("text", False, TextFormatter),
        ("json", True, JsonFormatter),
    ],
)
def test_people_read_text_and_programs_json(
    monkeypatch: pytest.MonkeyPatch, wished: Literal["auto", "text", "json"], terminal: bool, chosen: type
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    level = root.level
    configure_logging(Settings(log_format=wished))
    root.setLevel(level)
    assert isinstance(root.handlers[0].formatter, chosen)
