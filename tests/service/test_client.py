"""The client against answers of our own making: what it sends, how it waits, and what it makes of a result."""

from __future__ import annotations

import hashlib
import io
import os
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from scripted_server import (
    EVENTS,
    FILE,
    JOB,
    JOB_ID,
    RESULT,
    Breaking,
    Script,
    answer_job,
    answer_problem,
    connect,
    events,
    shown,
    succeeded,
)

from service.client.jobs import POLL_S
from service.errors import (
    JobConflictError,
    JobNotFoundError,
    ResultDamagedError,
    ResultExpiredError,
    ResultNotReadyError,
    ServerUnreachableError,
)
from service.schemas import DenoiseParameters, JobSchema
from training.errors import PhotositeError, UnreadableRawError

if TYPE_CHECKING:
    from pathlib import Path

    from scripted_server import Clock


def test_a_file_is_sent_in_pieces_with_its_options(tmp_path: Path) -> None:
    data = os.urandom(600_000)
    (tmp_path / 'IMG ä".dng').write_bytes(data)
    script = Script({"POST /denoise": [answer_job(status=202)], f"GET /jobs/{JOB_ID}": [answer_job()]})
    told: list[tuple[int, int | None]] = []
    parameters = DenoiseParameters(strength=0.5, noise="0.001,1e-06", model="tiny@1", force=True)
    with connect(script, api_key="a-key") as client:
        sent = client.submit(tmp_path / 'IMG ä".dng', parameters, on_sent=lambda *passed: told.append(passed))
    assert sent.id == JOB_ID
    request = script.requests[0]
    assert script.bodies[0] == data
    assert dict(request.url.params) == {"strength": "0.5", "noise": "0.001,1e-06", "model": "tiny@1", "force": "true"}
    assert request.headers["prefer"] == "respond-async"
    assert request.headers["content-length"] == "600000"
    assert request.headers["authorization"] == "Bearer a-key"
    assert (b"Content-Disposition", 'attachment; filename="IMG ä_.dng"'.encode()) in request.headers.raw
    assert told == [(262_144, 600_000), (524_288, 600_000), (600_000, 600_000)]


def test_an_open_file_is_sent_from_where_it_stands() -> None:
    script = Script({"POST /denoise": [answer_job(status=202)], f"GET /jobs/{JOB_ID}": [answer_job()]})
    file = io.BytesIO(b"header, then the file")
    file.seek(len(b"header, "))
    with connect(script) as client:
        client.submit(file, name="in.dng")
    assert script.bodies[0] == b"then the file"
    assert not file.closed


def test_a_stream_without_an_end_in_sight_is_sent_in_chunks() -> None:
    script = Script({"POST /denoise": [answer_job(status=202)], f"GET /jobs/{JOB_ID}": [answer_job()]})
    reading, writing = os.pipe()
    os.write(writing, b"some bytes")
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe, connect(script) as client:
        client.submit(pipe)
    assert script.bodies[0] == b"some bytes"
    assert script.requests[0].headers["transfer-encoding"] == "chunked"


def test_a_server_may_be_asked_to_wait() -> None:
    """The answer is then the file; it is left there, and the job tells of it."""
    done = httpx.Response(200, content=RESULT, headers={"X-Photosite-Job": JOB_ID})
    script = Script({"POST /denoise": [done], f"GET /jobs/{JOB_ID}": [succeeded()]})
    with connect(script, timeout_s=3) as client:
        assert client.submit(io.BytesIO(b"raw"), wait_s=20).state == "succeeded"
    assert script.requests[0].headers["prefer"] == "wait=20"
    assert script.requests[0].extensions["timeout"]["read"] == 23


@pytest.mark.parametrize(("make", "said"), [("none", "No such file"), ("folder", "not a file"), ("pipe", "not a file")])
def test_what_cannot_be_opened_is_the_same_error_as_without_a_server(tmp_path: Path, make: str, said: str) -> None:
    if make == "folder":
        (tmp_path / make).mkdir()
    elif make == "pipe":
        os.mkfifo(tmp_path / make)
    with connect(Script({})) as client, pytest.raises(UnreadableRawError, match=said):
        client.submit(tmp_path / make)


def test_a_file_that_shrinks_while_it_is_sent_is_unreadable() -> None:
    class Shrinking(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            self.truncate(3)
            return super().read(size)

    script = Script({"POST /denoise": [answer_job(status=202)]})
    with connect(script) as client, pytest.raises(UnreadableRawError, match="shorter"):
        client.submit(Shrinking(b"a long file"))


def test_a_job_is_followed_by_its_events(clock: Clock) -> None:
    states = [shown(), shown("running", stage="network", progress=0.5), shown("succeeded")]
    seen: list[tuple[str, float]] = []
    with connect(Script({EVENTS: [events(*states)]})) as client:
        job = client.wait(JOB_ID, on_job=lambda job: seen.append((job.stage, job.progress)))
    assert job.state == "succeeded"
    assert seen == [("", 0), ("network", 0.5), ("", 0)]
    assert clock.slept_s == []


def test_a_stream_that_breaks_is_taken_up_again_and_tells_nothing_twice(clock: Clock) -> None:
    half = shown("running", progress=0.5)
    script = Script(
        {EVENTS: [events(shown(), half, breaks=True), httpx.ConnectError("x"), events(half, shown("failed"))]}
    )
    with connect(script) as client:
        assert [job.state for job in client.follow(JOB_ID)] == ["queued", "running", "failed"]


def test_streams_that_end_early_are_not_asked_for_without_a_pause(clock: Clock) -> None:
    script = Script({EVENTS: [*[events(shown())] * 4, events(shown("cancelled"))]})
    with connect(script) as client:
        client.wait(JOB_ID)
    assert clock.slept_s == [POLL_S] * 4


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>", headers={"Content-Type": "text/html"}),
        answer_problem(405, "method_not_allowed"),
        answer_problem(404, "not_found"),
        lambda: httpx.Response(200, stream=Breaking(b""), headers={"Content-Type": "text/event-stream"}),
    ],
    ids=["html", "405", "404", "silence"],
)
def test_without_events_the_job_is_asked_for(clock: Clock, answer: Any) -> None:
    def wait_a_while() -> httpx.Response:
        return httpx.Response(200, json=shown("running"), headers={"Retry-After": "4"})

    script = Script({EVENTS: [answer], JOB: [answer_job(), wait_a_while, answer_job("succeeded")]})
    with connect(script) as client:
        assert [job.state for job in client.follow(JOB_ID)] == ["queued", "running", "succeeded"]
    assert clock.slept_s == [POLL_S, 4], "the server's wish counts"
    assert sum(request.url.path.endswith("events") for request in script.requests) == 1


def test_a_wait_can_have_an_end(clock: Clock) -> None:
    script = Script({JOB: [answer_job(), answer_job("running")]})
    with connect(script) as client, pytest.raises(ResultNotReadyError, match="it is not done after 5 s"):
        client.wait(JOB_ID, timeout_s=5)
    assert sum(clock.slept_s) == 5
    script = Script({JOB: [answer_job("running"), answer_job("failed")]})
    with connect(script) as client:
        assert client.wait(JOB_ID, timeout_s=5).state == "failed"


def test_an_unknown_job_is_not_waited_for(clock: Clock) -> None:
    script = Script({EVENTS: [answer_problem(404, "not_found")], JOB: [answer_problem(404, "not_found")]})
    with connect(script) as client, pytest.raises(JobNotFoundError):
        client.wait(JOB_ID)


def test_an_interrupted_wait_cancels_the_job(clock: Clock, tmp_path: Path) -> None:
    script = Script(
        {
            "POST /denoise": [answer_job(status=202)],
            JOB: [answer_job()],
            EVENTS: [events(shown("running"))],
            f"DELETE /jobs/{JOB_ID}": [answer_job("cancelled")],
        }
    )

    def interrupt(_job: JobSchema) -> None:
        raise KeyboardInterrupt

    (tmp_path / "in.dng").write_bytes(b"raw")
    with connect(script) as client, pytest.raises(KeyboardInterrupt):
        client.denoise(tmp_path / "in.dng", tmp_path / "out.dng", on_job=interrupt)
    assert script.requests[-1].method == "DELETE"
    assert not (tmp_path / "out.dng").exists()


def serve_ranges(request: httpx.Request) -> httpx.Response:
    """The result, 100,000 bytes at most before the line breaks."""
    begin = int(request.headers.get("range", "bytes=0-")[6:-1])
    if begin:
        assert request.headers["if-range"] == f'"{hashlib.sha256(RESULT).hexdigest()}"'
    part = RESULT[begin : begin + 100_000]
    length = {"Content-Length": str(len(RESULT) - begin)}
    return httpx.Response(206 if begin else 200, stream=Breaking(part), headers=length)


def test_a_download_that_breaks_goes_on_where_it_broke(clock: Clock, tmp_path: Path) -> None:
    begins: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("result"):
            return succeeded()()
        begins.append(request.headers.get("range", ""))
        return serve_ranges(request)

    told: list[tuple[int, int | None]] = []
    with connect(answer) as client:
        client.download(JOB_ID, tmp_path / "out.dng", on_received=lambda *passed: told.append(passed))
    assert (tmp_path / "out.dng").read_bytes() == RESULT
    assert begins[:3] == ["", "bytes=100000-", "bytes=200000-"]
    assert told[-1] == (len(RESULT), len(RESULT))


def test_a_download_that_cannot_go_on_begins_anew(clock: Clock, tmp_path: Path) -> None:
    broken = httpx.Response(200, stream=Breaking(RESULT[:1000]))
    script = Script({JOB: [succeeded()], FILE: [broken, httpx.Response(200, content=RESULT)]})
    with connect(script) as client:
        client.download(JOB_ID, tmp_path / "out.dng")
    assert (tmp_path / "out.dng").read_bytes() == RESULT


def test_a_download_that_gives_nothing_more_ends(clock: Clock, tmp_path: Path) -> None:
    script = Script({JOB: [succeeded()], FILE: [lambda: httpx.Response(200, stream=Breaking(b""))]})
    with connect(script, patience_s=5) as client, pytest.raises(ServerUnreachableError):
        client.download(JOB_ID, tmp_path / "out.dng")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [RESULT[:-1], RESULT[:-1] + b"x"], ids=["short", "changed"])
def test_a_damaged_result_is_noticed_and_not_kept(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "out.dng").write_bytes(b"what was there before")
    script = Script({JOB: [succeeded()], FILE: [httpx.Response(200, content=data)]})
    with connect(script) as client, pytest.raises(ResultDamagedError):
        client.download(JOB_ID, tmp_path / "out.dng")
    assert [path.name for path in tmp_path.iterdir()] == ["out.dng"]
    assert (tmp_path / "out.dng").read_bytes() == b"what was there before"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (answer_job(), ResultNotReadyError),
        (answer_job("cancelled"), JobConflictError),
        (answer_job("failed", error={"code": "unreadable_raw", "message": "cut off"}), UnreadableRawError),
        (answer_problem(404, "not_found"), JobNotFoundError),
        (succeeded(), ResultExpiredError),
    ],
    ids=["queued", "cancelled", "failed", "unknown", "expired"],
)
def test_a_job_without_a_result_says_why(tmp_path: Path, answer: Any, error: type[PhotositeError]) -> None:
    script = Script({JOB: [answer], FILE: [answer_problem(404, "not_found")]})
    with connect(script) as client, pytest.raises(PhotositeError) as caught:
        client.download(JOB_ID, tmp_path / "out.dng")
    assert type(caught.value) is error
    assert list(tmp_path.iterdir()) == []
