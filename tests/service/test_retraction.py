"""A fine-tuned model whose job was erased while it was published: taken back, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from tiny_models import publish_model

from service.errors import LeaseLostError
from service.job_records import Job
from service.schemas import FinetuneParameters
from service.settings import Settings
from service.worker import finetuning
from service.worker.finetuning import finetune_job, retract
from training.registry import Registry, set_default

if TYPE_CHECKING:
    from pathlib import Path

    from service.worker.lease import Lease
    from service.worker.workshop import Workshop

JOB = Job(
    id="1" * 32,
    tenant="studio",
    kind="finetune",
    parameters=FinetuneParameters(captures=("0" * 32,), name="mine"),
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


def workshop_of(settings: Settings, known: set[str]) -> Workshop:
    """A workshop whose job store knows these jobs."""
    jobs = SimpleNamespace(exists=known.__contains__, get=lambda _: JOB)
    return cast("Workshop", SimpleNamespace(settings=settings, jobs=jobs))


def test_what_a_job_published_is_taken_back_with_its_tenants_folder(settings: Settings) -> None:
    folder = settings.tenant_models_dir("studio")
    publish_model(folder, "mine", training={"made_by": JOB.id})
    set_default(folder, "mine@1")
    retract(JOB, workshop_of(settings, set()))
    assert not settings.tenant_dir("studio").exists()
    retract(JOB, workshop_of(settings, set()))  # harmless the second time


def test_what_others_published_stays_and_so_does_the_default(settings: Settings) -> None:
    folder = settings.tenant_models_dir("studio")
    publish_model(folder, "mine", version="1", training={"made_by": "2" * 32})
    publish_model(folder, "mine", version="2", training={"made_by": JOB.id})
    publish_model(folder, "theirs", training=[])
    set_default(folder, "mine@1")
    (folder / "theirs" / "1" / "manifest.json").write_text("{", encoding="utf-8")
    retract(JOB, workshop_of(settings, set()))
    registry = Registry([folder])
    assert [str(reference) for reference in registry.references()] == ["mine@1", "theirs@1"]
    assert registry.default_name() == "mine@1"


@pytest.mark.parametrize(("known", "left"), [({JOB.id}, ["mine@1"]), (set(), [])])
def test_only_an_erased_jobs_model_is_taken_back(
    settings: Settings, known: set[str], left: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that was merely given to another worker is gone on with there."""
    folder = settings.tenant_models_dir("studio")

    def publish_and_lose(*_: object) -> None:
        publish_model(folder, "mine", training={"made_by": JOB.id})
        raise LeaseLostError("it is no longer ours")

    monkeypatch.setattr(finetuning, "_finetune", publish_and_lose)
    monkeypatch.setattr(finetuning.os, "setpriority", lambda *_: None)
    with pytest.raises(LeaseLostError):
        finetune_job(JOB, workshop_of(settings, known), cast("Lease", None))
    assert [str(reference) for reference in Registry([folder]).references()] == left
