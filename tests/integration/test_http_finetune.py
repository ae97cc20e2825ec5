"""Fine-tuning over HTTP: captures in, a new model out, which serves at once; nothing twice, whatever is killed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from dng_factory import make_dng, sample_mosaic
from service_process import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from service_process import RunningService

pytestmark = pytest.mark.integration

NOISE = (1e-3, 1e-5)


@pytest.fixture(scope="module")
def captures(service: RunningService, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The ids of four captures that a worker has looked at."""
    folder, ids = tmp_path_factory.mktemp("captures"), []
    for seed in range(4):
        path = make_dng(folder / f"{seed}.dng", sample_mosaic(512, 768, seed=seed), layout="ljpeg-tiles")
        ids.append(service.client.post("/captures", content=path.read_bytes()).raise_for_status().json()["id"])
    for capture_id in ids:
        wait_until(lambda found=capture_id: service.client.get(f"/captures/{found}").json()["state"] == "usable", 60)
    return ids


def submit(service: RunningService, captures: list[str], **wishes: Any) -> str:
    """Begin a fine-tuning; gives the job's id."""
    body = {"captures": captures, "base": "tiny", "steps": 300, **wishes}
    answer = service.client.post("/jobs/finetune", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/jobs/{answer.json()['id']}"
    return str(answer.json()["id"])


def versions(service: RunningService, name: str) -> list[str]:
    """The versions of a tenant's model that lie on the disk."""
    return sorted(path.name for path in (service.data_dir / "tenants" / "local" / "models" / name).glob("*"))


def trainers(service: RunningService) -> list[int]:
    """The trainer's processes, the parent first."""
    return sorted(pid for pid, command in service.family().items() if command.endswith("--queues finetune,validate"))


def test_captures_become_a_better_model_that_serves_at_once(
    service: RunningService, captures: list[str], raw: Path
) -> None:
    job_id = submit(service, captures, name="mine")
    stages = {}
    text = service.client.get(f"/jobs/{job_id}/events").text
    for line in text.splitlines():
        if line.startswith("data: "):
            shown = json.loads(line[6:])
            stages[shown["stage"]] = shown["figures"]
    assert shown["state"] == "succeeded", shown["error"]
    assert {"loss", "step", "steps", "eta_s"} <= set(stages["train"]), "whoever waits sees the loss and how long"
    assert (shown["model"], versions(service, "mine")) == ("mine@1", ["1"])
    assert shown["report"]["better"] is True, shown["report"]["reasons"]
    assert service.client.get(f"/jobs/{job_id}/result").json() == shown["report"]
    assert shown["report"]["curve"][-1][0] == 300
    assert stages["judge"]["curve"] == shown["report"]["curve"], "who comes late sees all of it"
    for name in (name for drawn in shown["report"]["pictures"] for name in drawn["files"].values()):
        assert service.client.get(shown["links"][name]).headers["content-type"] == "image/webp"
    for query in ("?model=mine", ""):
        answer = service.client.post(f"/denoise{query}", content=raw.read_bytes())
        assert (answer.status_code, answer.headers["x-photosite-model"]) == (200, "mine@1")
    (service.data_dir / "tenants" / "local" / "models" / "default").unlink()
    deleted = service.client.delete(f"/captures/{captures[-1]}").json()
    assert deleted["models"] == ["mine@1"]
    captures.pop()


def test_a_trainer_that_is_killed_goes_on_and_publishes_once(service: RunningService, captures: list[str]) -> None:
    job_id = submit(service, captures, name="survivor", steps=150)
    wait_until(lambda: service.job(job_id)["figures"].get("step", 0) > 20, 60)  # type: ignore[attr-defined]
    os.kill(trainers(service)[-1], signal.SIGKILL)
    job = service.wait_for_state(job_id, "succeeded", "failed")
    assert (job["state"], job["attempt"]) == ("succeeded", 2), job["error"]
    assert versions(service, "survivor") == ["1"]
    wait_until(lambda: not list((service.data_dir / "runs").glob(f"{job_id}*")))


def test_a_cancelled_training_stops_between_two_steps(service: RunningService, captures: list[str]) -> None:
    job_id = submit(service, captures, name="unwanted", steps=100_000)
    wait_until(lambda: service.job(job_id)["stage"] == "train", 60)
    assert service.client.delete(f"/jobs/{job_id}").json()["state"] == "cancelled"
    follower = submit(service, captures, name="wanted", steps=5)
    assert service.wait_for_state(follower, "succeeded", "failed")["state"] == "succeeded"
    assert versions(service, "unwanted") == []
    wait_until(lambda: not list((service.data_dir / "runs").glob(f"{job_id}*")))


def test_captures_may_come_with_the_request(service: RunningService, tmp_path: Path) -> None:
    paths = [make_dng(tmp_path / f"{seed}.dng", sample_mosaic(512, 768, seed=seed)) for seed in (10, 11)]
    files = [("file", (path.name, path.read_bytes())) for path in paths]
    fields = {"name": "at-once", "base": "tiny", "steps": "5"}
    answer = service.client.post("/jobs/finetune", data=fields, files=files, headers={"Idempotency-Key": "form-1"})
    assert answer.status_code == 202, answer.text
    shown = answer.json()
    assert (len(shown["parameters"]["captures"]), shown["parameters"]["steps"]) == (2, 5)
    again = service.client.post("/jobs/finetune", data=fields, files=files, headers={"Idempotency-Key": "form-1"})
    assert again.json()["id"] == shown["id"]
    job = service.wait_for_state(shown["id"], "succeeded", "failed")
    assert (job["state"], job["model"]) == ("succeeded", "at-once@1"), job["error"]


@pytest.mark.parametrize(
    ("fields", "content", "status", "code", "said"),
    [
        ({"name": "a"}, b"a letter", 422, "unreadable_raw", "bad.dng"),
        ({"name": "Not A Name"}, None, 422, "invalid_request", "name"),
        ({"name": ["a", "b"]}, None, 422, "invalid_request", "more than once"),
        ({"name": "a", "stepss": "3"}, None, 422, "invalid_request", "stepss"),
        ({"name": "tiny"}, None, 409, "conflict", "tiny"),
        ({"name": "a", "captures": "0" * 32}, None, 404, "not_found", "capture"),
        ({"name": "a", "description": "x" * 70_000}, None, 422, "invalid_request", "much more"),
    ],
)
def test_of_a_form_that_makes_no_sense_nothing_is_kept(  # noqa: PLR0917
    service: RunningService, tmp_path: Path, fields: dict[str, Any], content: bytes | None, status: int, code: str,
    said: str,
) -> None:  # fmt: skip
    data = content or make_dng(tmp_path / "x.dng", sample_mosaic(64, 64, seed=len(str(fields)))).read_bytes()
    answer = service.client.post("/jobs/finetune", data=fields, files=[("file", ("bad.dng", data))])
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert said in answer.json()["detail"]
    if code != "not_found":  # there the files were good, and are captures now
        wait_until(lambda: hashlib.sha256(data).hexdigest() not in service.blobs())
        wait_until(lambda: not list((service.data_dir / "blobs" / "unfinished").glob("*")))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"\xff", b'{"name": NaN}', b"[" * 50_000])
def test_a_body_that_is_no_json_is_refused(service: RunningService, body: bytes) -> None:
    answer = service.client.post("/jobs/finetune", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_a_body_much_too_long_is_refused(service: RunningService) -> None:
    headers = {"Content-Type": "application/json"}
    answer = service.client.post("/jobs/finetune", content=b"[" * 100_000, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_a_picture_need_not_wait_for_a_training(service: RunningService, captures: list[str], raw: Path) -> None:
    job_id = submit(service, captures, name="later", steps=100_000)
    wait_until(lambda: service.job(job_id)["stage"] == "train", 60)
    answer = service.client.post("/denoise", content=raw.read_bytes())
    assert (answer.status_code, service.job(job_id)["state"]) == (200, "running")
    service.client.delete(f"/jobs/{job_id}")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"captures": [], "name": "a"}, "captures"),
        ({"captures": ["0" * 32], "name": "Not A Name"}, "name"),
        ({"captures": ["nonsense"], "name": "a"}, "captures"),
        ({"captures": ["0" * 32], "name": "a", "base": "nobody"}, "nobody"),
        ({"captures": ["0" * 32], "name": "a", "steps": 5, "minutes": 5}, "not both"),
        ({"captures": ["0" * 32], "name": "a", "steps": 0}, "steps"),
        ({"captures": ["0" * 32]}, "name"),
    ],
)
def test_wishes_that_make_no_sense_are_refused(service: RunningService, body: dict[str, Any], said: str) -> None:
    answer = service.client.post("/jobs/finetune", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert said in answer.json()["detail"]


def test_a_capture_that_is_not_there_is_not_found(service: RunningService) -> None:
    answer = service.client.post("/jobs/finetune", json={"captures": ["0" * 32], "name": "a"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
