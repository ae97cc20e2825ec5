"""Raws of X-Trans and monochrome sensors over HTTP: each gets its model, previews and facts; fine-tuning says no."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from dng_factory import make_dng, sample_mosaic, xtrans_pattern
from PIL import Image
from service_process import wait_until
from tiny_models import publish_model

from training.denoise import DenoiseOptions, denoise_file
from training.engines import load_engine
from training.registry import SENSOR_MODELS, default_registry

if TYPE_CHECKING:
    from pathlib import Path

    import httpx
    from service_process import RunningService

    from training.raw.cells import SensorKind

pytestmark = pytest.mark.integration

SENSORS: dict[SensorKind, str] = {"x-trans": xtrans_pattern(1, 2), "monochrome": "Y"}


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with a model for each kind of sensor."""
    folder = tmp_path_factory.mktemp("models")
    publish_model(folder, "tiny")
    for sensor, name in SENSOR_MODELS.items():
        publish_model(folder, name, version="99", sensor=sensor)
    return folder


@pytest.fixture(params=SENSORS)
def sensor(request: pytest.FixtureRequest) -> Any:
    """A kind of sensor."""
    return request.param


@pytest.fixture
def raw(tmp_path: Path, sensor: SensorKind) -> Path:
    """A DNG of such a sensor, with margins."""
    return make_dng(
        tmp_path / "in.dng", sample_mosaic(304, 420), cfa_pattern=SENSORS[sensor], noise_profile=(1e-4, 1e-6),
        active_area=(5, 7, 300, 415), black_level=500,
    )  # fmt: skip


def fetch(service: RunningService, address: str, **query: Any) -> httpx.Response:
    """A preview, asked for until it is made."""
    while True:
        answer = service.client.get(address, params=query)
        if answer.status_code != 202:
            return answer


def picture(answer: httpx.Response) -> np.ndarray[Any, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg"), answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)), dtype=float)


def test_a_raw_is_denoised_by_the_model_of_its_sensor(
    service: RunningService, raw: Path, sensor: SensorKind, models_dir: Path
) -> None:
    answer = service.client.post("/denoise", content=raw.read_bytes(), headers={"Prefer": "wait=60"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-photosite-model"] == f"{SENSOR_MODELS[sensor]}@99"
    job = service.client.get(f"/jobs/{answer.headers['x-photosite-job']}").json()
    assert (job["model"], job["report"]["model"]) == (f"{SENSOR_MODELS[sensor]}@99",) * 2
    engine = load_engine(default_registry(models_dir).resolve_for(sensor), "cpu")
    target = raw.with_name("expected.dng")
    denoise_file(raw, target, engine=engine, options=DenoiseOptions())
    assert answer.content == target.read_bytes()


def test_a_model_of_another_sensor_is_refused(service: RunningService, raw: Path, sensor: SensorKind) -> None:
    query = {"model": "tiny"}
    answer = service.client.post("/denoise", params=query, content=raw.read_bytes(), headers={"Prefer": "wait=60"})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_raw")
    assert f"the model {SENSOR_MODELS[sensor]} takes it" in answer.json()["detail"]


def test_before_after_and_a_crop_are_shown(service: RunningService, raw: Path) -> None:
    answer = service.client.post("/uploads", content=raw.read_bytes(), headers={
        "Tus-Resumable": "1.0.0", "Upload-Length": str(raw.stat().st_size),
        "Content-Type": "application/offset+octet-stream",
    })  # fmt: skip
    assert answer.status_code == 201, answer.text
    address = answer.headers["location"]
    before = picture(fetch(service, f"{address}/preview", crop="64,64,160,128"))
    after = picture(fetch(service, f"{address}/preview", stage="after", crop="64,64,160,128"))
    assert before.shape == after.shape == (128, 160, 3)
    assert np.abs(before - after).max() > 1
    assert picture(fetch(service, f"{address}/preview")).shape[1] in {136, 204}
    facts = fetch(service, f"{address}/preview-info").json()
    assert facts["denoisable"]
    assert SENSORS[facts["sensor"]] == facts["cfa_pattern"]
    refused = fetch(service, f"{address}/preview", stage="after", crop="64,64,160,128", model="tiny")
    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_raw")


def test_it_is_no_capture_to_learn_from(service: RunningService, raw: Path) -> None:
    begun = service.client.post("/captures", files={"file": (raw.name, raw.read_bytes())}).json()
    address = f"/captures/{begun['id']}"
    wait_until(lambda: service.client.get(address).json()["state"] != "pending", 60)
    shown = service.client.get(address).json()
    assert (shown["state"], shown["error"]["code"]) == ("unusable", "unsupported_raw")
    assert "training from captures knows Bayer sensors alone" in shown["error"]["message"]
    assert shown["facts"]["denoisable"]


def test_models_say_whose_mosaics_they_take(service: RunningService, sensor: SensorKind) -> None:
    name = SENSOR_MODELS[sensor]
    assert service.client.get(f"/models/{name}").json()["sensor"] == sensor
    refused = service.client.put(f"/models/{name}/default")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    for route, body in (
        ("/jobs/validate", {"model": name, "dataset": "mini"}),
        ("/jobs/finetune", {"base": name, "name": "mine", "captures": ["0" * 32]}),
    ):
        refused = service.client.post(route, json=body)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request"), refused.text
        assert "this is for Bayer sensors alone" in refused.json()["detail"]
