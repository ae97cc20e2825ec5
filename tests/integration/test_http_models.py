"""Models over HTTP, by the client: which there are, which is used, and that deleting one disturbs nobody."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from service_process import wait_until
from tiny_models import SHIPPED, publish_model

from service.client import PhotositeClient
from service.errors import ConflictError, InvalidRequestError, NotFoundError, PermissionDeniedError
from service.schemas import DenoiseParameters
from training.registry import WEIGHTS_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from service_process import RunningService

pytestmark = pytest.mark.integration


@pytest.fixture
def client(service: RunningService) -> Iterator[PhotositeClient]:
    with PhotositeClient(service.address) as client:
        yield client


@pytest.fixture
def own(service: RunningService, client: PhotositeClient) -> Iterator[Path]:
    """A folder for models of the only tenant's; its default stays the operator's."""
    folder = service.data_dir / "tenants" / "local" / "models"
    yield folder
    client.set_default_model("tiny")


def denoise(client: PhotositeClient, raw: Path, **parameters: object) -> str | None:
    """Have a raw denoised; gives the model that was used."""
    job = client.submit(raw, DenoiseParameters.model_validate(parameters))
    return client.wait(job.id).model


def test_a_new_model_is_listed_used_chosen_and_deleted(
    service: RunningService, client: PhotositeClient, own: Path, raw: Path
) -> None:
    assert [model.reference for model in client.models()] == [*SHIPPED, "slow@1", "tiny@1"]
    publish_model(own, "mine")
    client.set_default_model("tiny")
    found = {model.reference: model for model in client.models()}
    assert (found["mine@1"].own, found["tiny@1"].own, found["tiny@1"].default) == (True, False, True)
    assert client.model("mine").manifest["network_options"] == {"in_channels": 9, "out_channels": 4, "width": 4}
    assert denoise(client, raw, model="mine") == "mine@1"
    assert client.set_default_model("mine").default
    publish_model(own, "mine", version="2")
    assert denoise(client, raw) == "mine@2", "whichever is the newest"
    with pytest.raises(ConflictError, match="default"):
        client.delete_model("mine")
    client.delete_model("mine@1")
    client.set_default_model("tiny@1")
    client.delete_model("mine")
    with pytest.raises(NotFoundError):
        client.delete_model("mine")
    with pytest.raises(InvalidRequestError):
        client.submit(raw, DenoiseParameters(model="mine"))
    with pytest.raises(PermissionDeniedError):
        client.delete_model("photosite@1")
    assert denoise(client, raw) == "tiny@1"
    assert not list(own.glob("mine*"))


def test_a_model_that_a_job_needs_is_deleted_when_that_has_ended(
    client: PhotositeClient, own: Path, big_raw: Path
) -> None:
    publish_model(own, "busy", width=48)
    client.set_default_model("tiny")
    job = client.submit(big_raw, DenoiseParameters(model="busy", strength=0.77))
    wait_until(lambda: client.job(job.id).stage == "network", 60)
    with pytest.raises(ConflictError, match=job.id):
        client.delete_model("busy")
    client.cancel(job.id)
    client.delete_model("busy")
    assert "busy@1" not in [model.reference for model in client.models()]


def test_a_damaged_new_version_leaves_the_service_as_it_was(
    service: RunningService, client: PhotositeClient, own: Path, raw: Path
) -> None:
    publish_model(own, "careful")
    assert denoise(client, raw, strength=0.61) == "careful@1"
    publish_model(own, "careful", version="2")
    (own / "careful" / "2" / WEIGHTS_NAME).write_bytes(b"half a file")
    assert denoise(client, raw, strength=0.62) == "careful@1"
    failed = client.wait(client.submit(raw, DenoiseParameters(model="careful@2")).id)
    assert failed.error
    assert failed.error.code == "model_error"
    metrics = service.client.get("/metrics").text
    [line] = [line for line in metrics.splitlines() if line.startswith("photosite_model_load_failures_total")]
    assert float(line.split()[-1]) >= 2
    client.set_default_model("tiny")
    client.delete_model("careful")


def test_a_new_model_cannot_take_the_name_of_one_that_everybody_uses(service: RunningService) -> None:
    for name in ("photosite", "tiny"):
        answer = service.client.post("/jobs/finetune", json={"captures": ["0" * 32], "name": name})
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    answer = service.client.post("/jobs/finetune", json={"captures": ["0" * 32], "name": "new"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), "the name is free, the capture unknown"


def test_jobs_are_listed_over_all_pages(client: PhotositeClient, raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.client.jobs.PAGE_JOBS", "2")
    with raw.open("rb") as file:
        ids = []
        for _ in range(5):
            file.seek(0)
            ids.append(client.submit(file, DenoiseParameters(strength=0.9)).id)
    assert [job.id for job in client.jobs(kind="denoise")][:5] == ids[::-1]
    for job_id in ids:
        client.wait(job_id)
    assert [job.id for job in client.jobs(state="succeeded", kind=["denoise"])][:5] == ids[::-1]
    assert not {job.id for job in client.jobs(state=["failed", "cancelled"])} & set(ids)
    assert list(client.jobs(batch="nobodys")) == []


def test_the_api_knows_models_without_torch() -> None:
    program = "import sys, service.models; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"
