"""The real thing over real HTTP: `photosite serve`, a worker, a DNG in, its denoised DNG out."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
from dng_factory import encode_jpeg, make_dng, sample_mosaic, short
from prometheus_client.parser import text_string_to_metric_families
from service_process import MAX_UPLOAD_BYTES, wait_until
from vendor_factory import make_nef

from training.denoise import DenoiseOptions, denoise_file
from training.engines import load_engine
from training.noise import NoiseModel
from training.raw import tags
from training.raw.dng import read_raw
from training.raw.previews import find_previews
from training.raw.tiff import open_tiff
from training.registry import default_registry

if TYPE_CHECKING:
    from pathlib import Path

    import httpx
    from service_process import RunningService

pytestmark = pytest.mark.integration

ASYNC = {"Prefer": "respond-async"}


@pytest.fixture(scope="module")
def expected(raw: Path, models_dir: Path) -> bytes:
    """What the library makes of the raw in this process, without the service."""
    engine = load_engine(default_registry(models_dir).resolve(None), "cpu")
    target = raw.with_name("expected.dng")
    denoise_file(raw, target, engine=engine, options=DenoiseOptions())
    return target.read_bytes()


def submit(service: RunningService, raw: Path, **query: str) -> str:
    """Hand a raw in without waiting; gives the job's id."""
    with raw.open("rb") as file:
        response = service.client.post("/denoise", params=query, headers=ASYNC, content=file.read())
    assert response.status_code == 202, response.text
    assert response.headers["location"] == f"/jobs/{response.json()['id']}"
    assert int(response.headers["retry-after"]) > 0
    return str(response.json()["id"])


def check_problem(response: httpx.Response, status: int, code: str) -> None:
    """Every error answer has this form."""
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert (response.json()["status"], response.json()["code"]) == (status, code)


def test_a_form_is_answered_with_the_denoised_dng(service: RunningService, raw: Path, expected: bytes) -> None:
    with raw.open("rb") as file:
        response = service.client.post("/denoise", files={"file": (raw.name, file, "image/x-adobe-dng")})
    assert response.status_code == 200, response.text
    assert response.content == expected
    assert response.headers["content-type"] == "image/x-adobe-dng"
    assert response.headers["content-disposition"].startswith("attachment; filename")
    assert "IMG%200001-denoised.dng" in response.headers["content-disposition"].replace(" ", "%20")
    assert response.headers["etag"] == f'"{hashlib.sha256(expected).hexdigest()}"'
    assert response.headers["x-photosite-model"] == "tiny@1"
    assert response.headers["x-photosite-noise-source"] in {"tag", "estimate"}
    assert re.fullmatch("[0-9a-f]{32}", response.headers["x-photosite-job"])


def test_the_bytes_alone_are_answered_the_same(service: RunningService, raw: Path, expected: bytes) -> None:
    response = service.client.post("/denoise", content=raw.read_bytes(), headers={"Prefer": "wait=60"})
    assert response.content == expected
    assert response.headers["preference-applied"] == "wait=60"


def test_libraw_reads_the_pixels_that_the_library_wrote(service: RunningService, raw: Path, tmp_path: Path) -> None:
    rawpy = pytest.importorskip("rawpy")
    response = service.client.post("/denoise", content=raw.read_bytes(), params={"precision": "keep"})
    (tmp_path / "out.dng").write_bytes(response.content)
    before = read_raw(raw)
    with rawpy.imread(str(tmp_path / "out.dng")) as opened:
        after = opened.raw_image.copy()
    inside = before.metadata.active_area.slices
    outside = np.ones(after.shape, dtype=bool)
    outside[inside] = False
    assert after.shape == before.mosaic.shape
    assert np.array_equal(after[outside], before.mosaic[outside])
    assert (after[inside] != before.mosaic[inside]).mean() > 0.5


@pytest.fixture(scope="module")
def foreign_raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A NEF."""
    return make_nef(tmp_path_factory.mktemp("raw") / "DSC_0001.NEF", sample_mosaic(300, 420, bits=12))


@pytest.mark.parametrize("media_type", ["image/x-nikon-nef", "application/octet-stream", "image/x-adobe-dng"])
def test_another_makers_raw_is_answered_with_a_dng(
    service: RunningService, foreign_raw: Path, tmp_path: Path, media_type: str
) -> None:
    query = {"strength": "0", "noise": "1e-3,1e-6"}
    with foreign_raw.open("rb") as file:
        files = {"file": (foreign_raw.name, file, media_type)}
        response = service.client.post("/denoise", files=files, params=query, headers={"Prefer": "wait=60"})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "image/x-adobe-dng"
    assert "DSC_0001-denoised.dng" in response.headers["content-disposition"]
    (tmp_path / "out.dng").write_bytes(response.content)
    assert np.array_equal(read_raw(tmp_path / "out.dng").mosaic, read_raw(foreign_raw).mosaic)
    assert b"DSC_0001.NEF\0" in response.content, "OriginalRawFileName is the name that it was sent with"


def test_another_makers_raw_comes_as_a_body_without_a_name_too(service: RunningService, foreign_raw: Path) -> None:
    response = service.client.post(
        "/denoise", content=foreign_raw.read_bytes(), params={"noise": "1e-3,1e-6"}, headers={"Prefer": "wait=60"}
    )
    assert response.status_code == 200, response.text
    assert response.headers["x-photosite-noise-source"] == "request"


def test_another_makers_raw_is_shown_before_and_after(service: RunningService, foreign_raw: Path) -> None:
    query = {"noise": "1e-3,1e-6"}
    answer = service.client.post("/denoise", content=foreign_raw.read_bytes(), params=query)
    job = answer.headers["x-photosite-job"]
    for stage in ("before", "after"):
        shown = service.client.get(f"/jobs/{job}/preview", params={"stage": stage})
        assert (shown.status_code, shown.headers["content-type"].partition("/")[0]) == (200, "image"), shown.text


def test_what_only_begins_like_another_makers_raw_fails_as_a_job(service: RunningService) -> None:
    data = b"FUJIFILMCCD-RAW 0201FF383501Nothing".ljust(4096, b"\0")
    response = service.client.post("/denoise", content=data, headers={"Prefer": "wait=60"})
    check_problem(response, 422, "unreadable_raw")


def test_strength_0_gives_every_pixel_back(service: RunningService, raw: Path, tmp_path: Path) -> None:
    response = service.client.post("/denoise", content=raw.read_bytes(), params={"strength": 0})
    (tmp_path / "out.dng").write_bytes(response.content)
    assert np.array_equal(read_raw(tmp_path / "out.dng").mosaic, read_raw(raw).mosaic)


def test_options_reach_the_library(service: RunningService, raw: Path, models_dir: Path, tmp_path: Path) -> None:
    query = {"strength": "0.5", "noise": "2e-3,1e-5", "precision": "keep", "model": "tiny@1"}
    response = service.client.post("/denoise", content=raw.read_bytes(), params=query)
    assert response.headers["x-photosite-noise-source"] == "request"
    engine = load_engine(default_registry(models_dir).resolve("tiny@1"), "cpu")
    noise = NoiseModel.uniform(shot_noise=2e-3, read_noise=1e-5)
    options = DenoiseOptions(strength=0.5, noise=noise, precision="keep")
    denoise_file(raw, tmp_path / "expected.dng", engine=engine, options=options)
    assert response.content == (tmp_path / "expected.dng").read_bytes()


def test_the_preview_inside_the_result_is_the_one_that_was_asked_for(service: RunningService, tmp_path: Path) -> None:
    jpeg = encode_jpeg(96, 64)
    source = make_dng(
        tmp_path / "in.dng", sample_mosaic(192, 256), noise_profile=(1e-4, 1e-6), sub_ifd=True, preview=jpeg
    )
    found = {}
    for preview in ("keep", "render", "none"):
        response = service.client.post("/denoise", content=source.read_bytes(), params={"preview": preview})
        (tmp_path / "out.dng").write_bytes(response.content)
        with open_tiff(tmp_path / "out.dng") as tiff:
            sizes = {place.long_edge for place in find_previews(tiff)}
        found[preview] = (96 in sizes, jpeg in response.content)
    assert found == {"keep": (True, True), "render": (True, False), "none": (False, False)}


def test_a_job_can_be_followed_and_its_result_fetched(service: RunningService, raw: Path, expected: bytes) -> None:
    job_id = submit(service, raw)
    with service.client.stream("GET", f"/jobs/{job_id}/events") as stream:
        states = [json.loads(line[6:])["state"] for line in stream.iter_lines() if line.startswith("data: ")]
    assert states[-1] == "succeeded"
    assert states == sorted(states, key=["queued", "running", "succeeded"].index)
    job = service.job(job_id)
    assert (job["progress"], job["model"], job["attempt"]) == (1, "tiny@1", 1)
    assert job["input"] == {
        "name": "capture.dng",
        "bytes": raw.stat().st_size,
        "sha256": hashlib.sha256(raw.read_bytes()).hexdigest(),
    }
    result = service.client.get(f"/jobs/{job_id}/result")
    assert result.content == expected
    etag = {"If-None-Match": result.headers["etag"]}
    head = service.client.head(f"/jobs/{job_id}/result")
    told = ("content-length", "content-type", "etag", "content-disposition", "accept-ranges")
    assert (head.status_code, head.content) == (200, b"")
    assert [head.headers[name] for name in told] == [result.headers[name] for name in told]
    assert service.client.head(f"/jobs/{job_id}/events").headers["content-type"].startswith("text/event-stream")
    assert service.client.head(f"/jobs/{job_id}/result", headers=etag).status_code == 304
    again = service.client.get(f"/jobs/{job_id}/result", headers=etag)
    assert (again.status_code, again.content) == (304, b"")
    part = service.client.get(f"/jobs/{job_id}/result", headers={"Range": "bytes=100-299"})
    assert (part.status_code, part.content) == (206, expected[100:300])
    beyond = service.client.get(f"/jobs/{job_id}/result", headers={"Range": "bytes=999999999-"})
    check_problem(beyond, 416, "range_not_satisfiable")
    assert beyond.headers["content-range"] == f"bytes */{len(expected)}"
    nonsense = service.client.get(f"/jobs/{job_id}/result", headers={"Range": "bytes=x-"})
    check_problem(nonsense, 400, "invalid_request")


def test_a_client_that_waits_too_short_gets_the_jobs_address(service: RunningService, raw: Path) -> None:
    response = service.client.post("/denoise", content=raw.read_bytes(), headers={"Prefer": "wait=0"})
    assert response.status_code == 202
    service.wait_for_state(response.json()["id"], "succeeded")


def test_a_denoised_file_is_refused_unless_forced(service: RunningService, expected: bytes) -> None:
    check_problem(service.client.post("/denoise", content=expected), 409, "already_denoised")
    forced = service.client.post("/denoise", content=expected, params={"force": "true"})
    assert forced.status_code == 200, forced.text


def test_an_unknown_model_is_refused_by_name(service: RunningService, raw: Path) -> None:
    response = service.client.post("/denoise", content=raw.read_bytes(), params={"model": "nobody"})
    check_problem(response, 422, "invalid_request")
    assert "nobody" in response.json()["detail"]


def hostile_files(raw: Path) -> dict[str, tuple[bytes, int, str]]:
    """Bytes that are no raw that we take, with status and code of the answer."""
    data = raw.read_bytes()
    quad_pattern = {tags.CFA_REPEAT_PATTERN_DIM: short(4, 4)}
    quad = make_dng(raw.with_name("quad.dng"), sample_mosaic(100, 120), raw_tags=quad_pattern)
    cycle = struct.pack("<2sHI HHHII I", b"II", 42, 8, 1, 256, 4, 1, 100, 8)
    return {
        "empty": (b"", 422, "unreadable_raw"),
        "text": (b"not a raw file\n" * 100, 422, "unreadable_raw"),
        "jpeg": (b"\xff\xd8\xff\xe0" + bytes(1000), 422, "unreadable_raw"),
        "cut-off": (data[: len(data) // 2], 422, "unreadable_raw"),
        "cycle": (cycle, 422, "unreadable_raw"),
        "bigtiff": (b"II+\0" + bytes(100), 422, "unreadable_raw"),
        "quad-bayer": (quad.read_bytes(), 415, "unsupported_raw"),
    }


@pytest.mark.parametrize("name", ["empty", "text", "jpeg", "cut-off", "cycle", "bigtiff", "quad-bayer"])
@pytest.mark.parametrize("form", [False, True], ids=["bytes", "form"])
def test_a_hostile_file_is_refused_at_once_and_leaves_nothing(
    service: RunningService, raw: Path, name: str, form: bool
) -> None:
    data, status, code = hostile_files(raw)[name]
    before = service.blobs()
    body = {"files": {"file": ("x.dng", data)}} if form else {"content": data}
    check_problem(service.client.post("/denoise", **body), status, code)
    assert service.blobs() <= before


def test_the_hostile_files_at_hand_are_refused_and_leave_nothing(service: RunningService, shared_data: Path) -> None:
    paths = sorted((shared_data / "hostile").iterdir())
    before = service.blobs()
    for path in paths:
        response = service.client.post("/denoise", content=path.read_bytes())
        assert response.status_code in {415, 422}, path.name
        check_problem(response, response.status_code, response.json()["code"])
    assert len(paths) >= 4
    assert service.blobs() <= before


def test_pixels_that_cannot_be_decoded_fail_the_job_and_leave_nothing(
    service: RunningService, corrupt_raw: Path
) -> None:
    """The directories are sound, so only the worker can find out."""
    before = service.blobs()
    response = service.client.post("/denoise", content=corrupt_raw.read_bytes())
    check_problem(response, 422, "unreadable_raw")
    job_id = response.headers["x-photosite-job"]
    assert service.job(job_id)["state"] == "failed"
    assert service.job(job_id)["attempt"] == 1, "a bad file is not tried again"
    check_problem(service.client.get(f"/jobs/{job_id}/result"), 422, "unreadable_raw")
    wait_until(lambda: service.blobs() <= before)


def test_an_upload_that_says_it_is_too_large_is_refused_before_it_comes(service: RunningService) -> None:
    url = service.client.base_url
    with socket.create_connection((url.host, url.port or 80), timeout=30) as connection:
        connection.sendall(b"POST /denoise HTTP/1.1\r\nHost: x\r\nContent-Length: 99000000\r\n\r\n")
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_an_upload_that_turns_out_too_large_is_refused_and_leaves_nothing(service: RunningService) -> None:
    before = service.blobs()
    megabytes = (bytes(0x100000) for _ in range(MAX_UPLOAD_BYTES // 0x100000 + 1))
    check_problem(service.client.post("/denoise", content=megabytes), 413, "raw_too_large")
    assert service.blobs() <= before


def test_an_upload_that_breaks_off_leaves_nothing(service: RunningService, raw: Path) -> None:
    before = service.blobs()
    url = service.client.base_url
    with socket.create_connection((url.host, url.port or 80)) as connection:
        head = f"POST /denoise HTTP/1.1\r\nHost: x\r\nContent-Length: {raw.stat().st_size}\r\n\r\n"
        connection.sendall(head.encode() + raw.read_bytes()[:100_000])
        wait_until(lambda: service.blobs() != before)
    wait_until(lambda: service.blobs() <= before)


def test_a_job_can_be_cancelled_while_it_runs(service: RunningService, big_raw: Path) -> None:
    before = service.blobs()
    job_id = submit(service, big_raw, model="slow")
    wait_until(lambda: service.job(job_id)["stage"] == "network", 60)
    check_problem(service.client.get(f"/jobs/{job_id}/result"), 409, "conflict")
    assert service.client.delete(f"/jobs/{job_id}").json()["state"] == "cancelled"
    assert service.client.delete(f"/jobs/{job_id}").json()["state"] == "cancelled"
    check_problem(service.client.get(f"/jobs/{job_id}/result"), 409, "conflict")
    wait_until(lambda: service.blobs() <= before)
    assert service.job(job_id)["state"] == "cancelled"


def test_a_killed_workers_job_is_done_by_the_next_one_once(service: RunningService, big_raw: Path) -> None:
    job_id = submit(service, big_raw, model="slow", strength="0.9")
    wait_until(lambda: service.job(job_id)["stage"] == "network", 60)
    workers = [pid for pid, command in service.family().items() if command.endswith("--queues denoise")]
    assert len(workers) == 2, "a parent and its one process"
    os.kill(min(workers), signal.SIGKILL)
    job = service.wait_for_state(job_id, "succeeded", "failed", timeout_s=300)
    assert (job["state"], job["attempt"]) == ("succeeded", 2)
    finished_at = job["finished_at"]
    assert service.client.get(f"/jobs/{job_id}/result").status_code == 200
    assert service.job(job_id)["finished_at"] == finished_at


def test_a_worker_process_that_crashes_is_replaced_and_its_job_done(service: RunningService, big_raw: Path) -> None:
    job_id = submit(service, big_raw, model="slow", strength="0.8")
    wait_until(lambda: service.job(job_id)["stage"] == "network", 60)
    workers = [pid for pid, command in service.family().items() if command.endswith("--queues denoise")]
    os.kill(max(workers), signal.SIGKILL)
    job = service.wait_for_state(job_id, "succeeded", "failed", timeout_s=300)
    assert (job["state"], job["attempt"]) == ("succeeded", 2)


def test_the_service_is_unharmed_by_all_this(service: RunningService, raw: Path, expected: bytes) -> None:
    assert service.client.get("/health/ready").json()["checks"] == {"redis": "ok", "storage": "ok"}
    assert service.client.post("/denoise", content=raw.read_bytes()).content == expected


def test_metrics_tell_what_was_done(service: RunningService) -> None:
    families = list(text_string_to_metric_families(service.client.get("/metrics").text))
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    values = {
        (sample.name, *sorted(sample.labels.values())): sample.value for family in families for sample in family.samples
    }
    assert values["photosite_jobs_total", "denoise", "succeeded"] >= 1
    assert values["photosite_rejected_total", "unreadable_raw"] >= 10
    assert values["photosite_queue_depth", "denoise"] == 0
