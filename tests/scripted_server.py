"""A server for the client's tests, without a socket: it answers as a test's script says, and notes what was asked.

In the flow of the tests: **Script** → httpx.MockTransport → PhotositeClient.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from service.client import PhotositeClient
from service.schemas import FileSchema, JobSchema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

JOB_ID = "0" * 32
EVENTS, JOB, FILE = f"GET /jobs/{JOB_ID}/events", f"GET /jobs/{JOB_ID}", f"GET /jobs/{JOB_ID}/result"
RESULT = bytes(range(256)) * 4000
ANSWER_TIME_S = 0.01


@dataclass
class Clock:
    """Time that passes only by sleeping."""

    now_s: float = 0
    slept_s: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        """Seconds since some start; a little more each time."""
        self.now_s += ANSWER_TIME_S
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept_s.append(seconds)
        self.now_s += seconds


@dataclass
class Script:
    """Answers requests by the next of its answers for the method and path; the last one goes on for ever."""

    answers: dict[str, list[Any]]
    requests: list[httpx.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer a request, or raise what should happen to it."""
        self.requests.append(request)
        answers = self.answers[f"{request.method} {request.url.path}"]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, httpx.ConnectError):
            raise answer
        self.bodies.append(request.read())
        if isinstance(answer, Exception):
            raise answer
        return answer() if callable(answer) else answer


def connect(script: Callable[[httpx.Request], httpx.Response], **options: Any) -> PhotositeClient:
    """A client of these answers."""
    return PhotositeClient("http://test", transport=httpx.MockTransport(script), **options)


def shown(state: str = "queued", **changes: Any) -> dict[str, Any]:
    """A job, as the service shows it."""
    job = JobSchema.model_validate(
        {
            "id": JOB_ID,
            "state": state,
            "stage": "",
            "progress": 0,
            "attempt": 1,
            "created_at": "2026-11-01T12:00:00Z",
            "started_at": None,
            "finished_at": None,
            "parameters": {},
            "model": None,
            "input": {"name": "in.dng", "bytes": 1, "sha256": "1" * 64},
            "result": None,
            "error": None,
            "report": None,
            "links": {},
            **changes,
        }
    )
    return job.model_dump(mode="json")


def answer_job(state: str = "queued", status: int = 200, **changes: Any) -> Callable[[], httpx.Response]:
    """An answer that is a job."""
    headers = {"X-Photosite-Job": JOB_ID}
    return lambda: httpx.Response(status, json=shown(state, **changes), headers=headers)


def answer_problem(status: int, code: str, **headers: str) -> Callable[[], httpx.Response]:
    """An answer that is an error."""
    body = {"type": "about:blank", "title": "x", "status": status, "detail": "a sentence", "code": code}
    return lambda: httpx.Response(
        status, json=body, headers={name.replace("_", "-"): headers[name] for name in headers}
    )


def succeeded(data: bytes = RESULT) -> Callable[[], httpx.Response]:
    """A job whose result is this."""
    file = FileSchema(name="out.dng", bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    return answer_job("succeeded", result=file.model_dump())


class Breaking(httpx.SyncByteStream):
    """A body whose line breaks after some bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __iter__(self) -> Iterator[bytes]:
        yield self._data
        raise httpx.ReadError("connection reset")


def events(*jobs: dict[str, Any], breaks: bool = False) -> Callable[[], httpx.Response]:
    """A stream of server-sent events."""
    text = ": ping\n\n" + "".join(f"event: job\ndata: {JobSchema(**job).model_dump_json()}\n\n" for job in jobs)
    headers = {"Content-Type": "text/event-stream"}
    if breaks:
        return lambda: httpx.Response(200, stream=Breaking(text.encode()), headers=headers)
    return lambda: httpx.Response(200, text=text, headers=headers)
