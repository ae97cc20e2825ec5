"""The runs of fine-tuning jobs: gone on with by the next attempt, out of reach of earlier ones, gone at the end."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from tiny_models import publish_model

from service.errors import JobNotFoundError, StorageUnavailableError
from service.job_records import Job
from service.schemas import FinetuneParameters
from service.settings import Settings
from service.worker import finetuning
from service.worker.finetuning import _publish, _take_over
from service.worker.pipeline import _storage_at_fault
from service.worker.runs import remove_ended_runs
from training.errors import ConfigError
from training.manifest import read_manifest
from training.registry import MANIFEST_NAME, default_registry, new_version

if TYPE_CHECKING:
    from service.worker.workshop import Workshop
    from training.registry import ModelRef

ID = "0" * 32


class Records:
    """Job records in memory."""

    def __init__(self, *jobs: Job) -> None:
        self.by_id = {job.id: job for job in jobs}

    def get(self, job_id: str) -> Job:
        """As JobStore does."""
        if job_id not in self.by_id:
            raise JobNotFoundError(job_id)
        return self.by_id[job_id]

    def reserve_model(self, job: Job, model: str) -> Job:
        """As JobStore does."""
        self.by_id[job.id] = job.model_copy(update={"model": model})
        return self.by_id[job.id]


def make_job(state: str = "running", attempt: int = 1, job_id: str = ID) -> Job:
    """A fine-tuning job."""
    parameters = FinetuneParameters(captures=("1" * 32,), base="tiny", name="mine")
    return Job.model_validate(
        {"id": job_id, "kind": "finetune", "state": state, "attempt": attempt, "parameters": parameters}
    )


def workshop_at(folder: Path, *jobs: Job) -> Workshop:
    """What is asked for by what is tested here."""
    settings = Settings(data_dir=folder)
    models = SimpleNamespace(registry=lambda tenant: default_registry(folder, settings.tenant_models_dir(tenant)))
    return cast("Workshop", SimpleNamespace(settings=settings, jobs=Records(*jobs), models=models))


def names(folder: Path) -> list[str]:
    """What lies in the folder of runs."""
    return sorted(path.name for path in (folder / "runs").glob("*"))


def test_the_next_attempt_goes_on_and_leaves_nothing_for_the_one_before(tmp_path: Path) -> None:
    workshop = workshop_at(tmp_path)
    first = _take_over(make_job(attempt=1), workshop)
    (first / "checkpoint").write_bytes(b"far")
    third = _take_over(make_job(attempt=3), workshop)
    assert (third / "checkpoint").read_bytes() == b"far"
    with pytest.raises(FileNotFoundError):
        (first / "checkpoint").write_bytes(b"behind")
    assert names(tmp_path) == [f"{ID}.3"]


@pytest.mark.parametrize(
    ("state", "left"),
    [("running", [f"{ID}.2"]), ("queued", [f"{ID}.2"]), ("succeeded", []), ("failed", []), ("cancelled", [])],
)
def test_runs_are_deleted_that_nobody_goes_on_with(tmp_path: Path, state: str, left: list[str]) -> None:
    for name in (f"{ID}.1", f"{ID}.2", f"{'1' * 32}.1"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    remove_ended_runs(workshop_at(tmp_path, make_job(state, attempt=2)))
    assert names(tmp_path) == left


def test_a_run_that_waits_to_be_taken_over_stays(tmp_path: Path) -> None:
    (tmp_path / "runs" / f"{ID}.1").mkdir(parents=True)
    remove_ended_runs(workshop_at(tmp_path, make_job("running", attempt=2)))
    assert names(tmp_path) == [f"{ID}.1"]


def test_a_version_that_another_job_takes_meanwhile_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = []

    def publish(_run: Path, folder: Path, name: str, version: str, **_known: Any) -> ModelRef:
        if not published:
            publish_model(folder, name, version=version)  # the other job's, just before ours
            published.append("other")
            raise ConfigError("version: it exists")
        publish_model(folder, name, version=version)
        return default_registry(folder).resolve(f"{name}@{version}")

    monkeypatch.setattr(finetuning, "publish_finetuned", publish)
    assert str(_publish(make_job(), tmp_path, workshop_at(tmp_path))) == "mine@2"


def test_a_version_that_cannot_be_written_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_all: Any, **_known: Any) -> ModelRef:
        raise ConfigError("registry: it cannot be written to")

    monkeypatch.setattr(finetuning, "publish_finetuned", refuse)
    with pytest.raises(ConfigError, match="cannot be written to"):
        _publish(make_job(), tmp_path, workshop_at(tmp_path))


def test_a_model_in_the_making_lies_where_it_is_wished(tmp_path: Path) -> None:
    publish_model(tmp_path / "from")
    manifest = (tmp_path / "from" / "tiny" / "1" / MANIFEST_NAME).read_bytes()
    (tmp_path / "run").mkdir()
    with new_version(tmp_path / "to", "tiny", "1", tmp_path / "run") as reference:
        assert reference.path.is_relative_to(tmp_path / "run")
        reference.weights.write_bytes(b"")
        (reference.path / MANIFEST_NAME).write_bytes(manifest)
        assert list((tmp_path / "to" / "tiny").iterdir()) == []
    assert read_manifest(tmp_path / "to" / "tiny" / "1" / MANIFEST_NAME).name == "tiny"
    assert list((tmp_path / "run").iterdir()) == []


def test_a_full_disk_is_the_storages_fault_however_it_is_told() -> None:
    full, missing = OSError(errno.ENOSPC, "full"), FileNotFoundError(errno.ENOENT, "missing")
    told = ConfigError("the checkpoint cannot be written")
    told.__cause__ = full
    away = NotADirectoryError(errno.ENOTDIR, "not a directory", "/data/blobs/unfinished/result.dng")
    for error in (full, told, away):
        assert isinstance(_storage_at_fault(error, Path("/data")), StorageUnavailableError)
    assert _storage_at_fault(away, Path("/elsewhere")) is None
    assert _storage_at_fault(missing, Path("/data")) is None
    assert _storage_at_fault(ConfigError("no model"), Path("/data")) is None
