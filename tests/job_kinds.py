"""A job of each kind: how to begin one, when it is in the middle of its work, and what came of it.

In the flow of the tests: **KINDS** → trouble in the middle → the same outcome as without.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dng_factory import make_dng, sample_mosaic
from service_process import wait_until
from sidd_factory import make_blocks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from service_process import RunningService

NOISE = (1e-3, 1e-6)
TIMES = frozenset({"measured", "seconds", "seconds_per_megapixel", "seconds_per_1024x1024"})
"""What reports say of the clock; all else must not differ."""


@dataclass(frozen=True, slots=True)
class Material:
    """What jobs work on."""

    big_raw: Path
    """Keeps the slow model busy for some seconds."""
    captures: list[str]
    """Ids of captures that a worker has looked at."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of job."""

    name: str
    queues: str
    """Those of the worker that does it, in `photosite serve`."""
    begin: Callable[[RunningService, Material, str], str]
    """Hand one in, under a name; gives its id."""
    is_amid: Callable[[dict[str, Any]], bool]
    """Whether a running job, as the API shows it, is in the middle of its work."""
    outcome: Callable[[RunningService, dict[str, Any]], object]
    """What came of a finished job: equal for equal work."""


def make_captures(service: RunningService, folder: Path, count: int = 4) -> list[str]:
    """Hand in captures, and wait until a worker has looked at them; gives their ids."""
    ids = []
    for seed in range(count):
        path = make_dng(folder / f"{seed}.dng", sample_mosaic(512, 768, seed=seed), layout="ljpeg-tiles")
        ids.append(service.client.post("/captures", content=path.read_bytes()).raise_for_status().json()["id"])
    for capture_id in ids:
        wait_until(lambda found=capture_id: _show(service, found)["state"] != "pending", 120)  # type: ignore[misc]
        assert _show(service, capture_id)["state"] == "usable"
    return ids


def _show(service: RunningService, capture_id: str) -> dict[str, Any]:
    shown: dict[str, Any] = service.client.get(f"/captures/{capture_id}").raise_for_status().json()
    return shown


def begin_denoise(service: RunningService, material: Material, _name: str) -> str:
    """The slow model on a large raw."""
    answer = service.client.post(
        "/denoise?model=slow", headers={"Prefer": "respond-async"}, content=material.big_raw.read_bytes()
    )
    return str(answer.raise_for_status().json()["id"])


def begin_describe(service: RunningService, material: Material, _name: str) -> str:
    """A large capture; one that was there is deleted first, so that it is looked at again."""
    content = material.big_raw.read_bytes()
    service.client.delete(f"/captures/{hashlib.sha256(content).hexdigest()[:32]}")
    service.client.post("/captures", content=content).raise_for_status()
    return str(service.client.get("/jobs?kind=describe&limit=1").json()["jobs"][0]["id"])


def begin_finetune(service: RunningService, material: Material, name: str, steps: int = 40) -> str:
    """A short training."""
    body = {"captures": material.captures, "base": "tiny", "steps": steps, "name": name}
    return str(service.client.post("/jobs/finetune", json=body).raise_for_status().json()["id"])


def begin_validate(service: RunningService, _material: Material, _name: str) -> str:
    """The benchmark's judgement, of a few small blocks."""
    folder = service.data_dir / "datasets" / "sidd"
    if not folder.exists():
        folder.mkdir(parents=True)
        make_blocks(folder, images=6, blocks=4, benchmark=True)
    body = {"dataset": "sidd", "model": "tiny", "noise": "1e-3,1e-5"}
    return str(service.client.post("/jobs/validate", json=body).raise_for_status().json()["id"])


def without_times(value: Any) -> Any:
    """A report without what differs from run to run."""
    if isinstance(value, dict):
        return {name: without_times(each) for name, each in value.items() if name not in TIMES}
    return [without_times(each) for each in value] if isinstance(value, list) else value


def denoised(service: RunningService, job: dict[str, Any]) -> object:
    """The result's digest, and the one that the record promises."""
    result = service.client.get(f"/jobs/{job['id']}/result").raise_for_status()
    assert hashlib.sha256(result.content).hexdigest() == job["result"]["sha256"]
    return job["result"]["sha256"], job["model"]


def described(service: RunningService, job: dict[str, Any]) -> object:
    """The capture's facts and its thumbnail."""
    capture = service.client.get(f"/captures/{job['parameters']['capture']}").raise_for_status().json()
    thumbnail = service.client.get(capture["links"]["thumbnail"]).raise_for_status().content
    return capture["state"], capture["facts"], hashlib.sha256(thumbnail).hexdigest()


def finetuned(service: RunningService, job: dict[str, Any]) -> object:
    """The weights of the one version that there is, and the report."""
    name = job["parameters"]["name"]
    assert job["model"] == f"{name}@1"
    (version,) = (service.data_dir / "tenants" / "local" / "models" / name).iterdir()
    report = service.client.get(f"/jobs/{job['id']}/result").raise_for_status().json()
    assert report == job["report"]
    return version.name, (version / "model.safetensors").read_bytes(), without_times(report)


def validated(service: RunningService, job: dict[str, Any]) -> object:
    """The report, without the clock's figures."""
    report = service.client.get(f"/jobs/{job['id']}/result").raise_for_status().json()
    assert report == job["report"]
    assert service.client.get(f"/jobs/{job['id']}/files/report.html").status_code == 200
    return without_times(report)


@dataclass(frozen=True, slots=True)
class Playground:
    """A service to disturb, and what its jobs come to without."""

    service: RunningService
    material: Material
    undisturbed: dict[str, object]
    """The outcome of each kind of job."""
    settings: dict[str, str]
    """What it was started with."""


KINDS = {
    kind.name: kind
    for kind in (
        Kind("denoise", "denoise", begin_denoise, lambda job: job["stage"] == "network", denoised),
        Kind("describe", "preview", begin_describe, lambda job: bool(job["stage"]), described),
        Kind(
            "finetune", "finetune,validate", begin_finetune, lambda job: job["figures"].get("step", 0) > 10, finetuned
        ),
        Kind("validate", "finetune,validate", begin_validate, lambda job: job["stage"] == "validation", validated),
    )
}


def open_playground(service: RunningService, big_raw: Path, folder: Path, settings: dict[str, str]) -> Playground:
    """Do a job of each kind without any trouble."""
    material = Material(big_raw, make_captures(service, folder))
    ids = {name: kind.begin(service, material, "calm") for name, kind in KINDS.items()}
    jobs = {name: service.wait_for_state(job_id, "succeeded", "failed", timeout_s=300) for name, job_id in ids.items()}
    assert {name: (job["state"], job["attempt"]) for name, job in jobs.items()} == dict.fromkeys(
        KINDS, ("succeeded", 1)
    )
    undisturbed = {name: KINDS[name].outcome(service, job) for name, job in jobs.items()}
    return Playground(service, material, undisturbed, settings)
