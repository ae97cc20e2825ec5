"""A tenant's models: what it sees, what it may delete, and that a damaged one hides no other."""

from __future__ import annotations

import json
import logging
import threading
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from tiny_models import SHIPPED, publish_model

from service.errors import ConflictError, NotFoundError, PermissionDeniedError, StorageUnavailableError
from service.job_records import Job
from service.models import TenantModels, check_new_model_name, visible_models
from service.schemas import DenoiseParameters, FinetuneParameters, ValidateParameters
from service.settings import Settings
from training.errors import ModelError
from training.registry import MANIFEST_NAME, set_default

if TYPE_CHECKING:
    from pathlib import Path

    from service.schemas import JobParameters, ModelSchema

CAPTURES = ("0" * 32,)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Models of the operator's (shared@1, the default) and of two tenants'."""
    settings = Settings(data_dir=tmp_path)
    for version in ("1", "2", "10"):
        publish_model(settings.tenant_models_dir("studio"), "mine", version=version)
    publish_model(settings.tenant_models_dir("lab"), "theirs")
    for tenant in ("studio", "lab"):
        (settings.tenant_models_dir(tenant) / "default").unlink()
    publish_model(settings.all_models_dir, "shared")
    return settings


@pytest.fixture
def models(settings: Settings) -> TenantModels:
    return TenantModels(settings, "studio")


def nothing() -> list[Job]:
    """No job is unfinished."""
    return []


def waiting(parameters: JobParameters, kind: Any = "denoise") -> list[Job]:
    """A job that waits."""
    return [Job(id="0" * 32, tenant="studio", kind=kind, parameters=parameters)]


def by_reference(models: TenantModels) -> dict[str, ModelSchema]:
    """The listing."""
    return {model.reference: model for model in models.listing().models}


def edit_manifest(folder: Path, **changes: Any) -> None:
    """Change a published manifest."""
    path = folder / MANIFEST_NAME
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def test_a_tenant_sees_the_packages_the_operators_and_its_own(models: TenantModels) -> None:
    found = by_reference(models)
    assert list(found) == ["mine@1", "mine@2", "mine@10", *SHIPPED, "shared@1"]
    assert [name for name, model in found.items() if model.own] == ["mine@1", "mine@2", "mine@10"]
    assert [name for name, model in found.items() if model.default] == ["shared@1"]


def test_a_model_says_when_it_was_published_and_what_was_measured(models: TenantModels) -> None:
    shown = models.show("photosite@1")
    assert shown.created == date(2026, 11, 20)
    assert shown.metrics.gain_db["0.002"] == pytest.approx(41.187 - 34.612)
    assert shown.noise_range == {"shot_noise": [1e-5, 0.012]}
    assert (shown.objective, shown.licence, shown.parent) == ("supervised", "Apache-2.0", "")
    assert shown.manifest["golden_tile"]["seed"] == 0
    assert models.show("mine").created is None


def test_a_name_without_a_version_is_the_newest(models: TenantModels) -> None:
    assert models.show("mine").reference == "mine@10"
    assert models.show("mine@2").reference == "mine@2"


@pytest.mark.parametrize("name", ["theirs", "theirs@1", "nobody", "mine@3", "Mine"])
def test_what_a_tenant_does_not_see_does_not_exist(models: TenantModels, name: str) -> None:
    for ask in (models.show, models.set_default, lambda name: models.delete(name, nothing)):
        with pytest.raises(NotFoundError):
            ask(name)


def test_a_tenants_default_is_its_own(settings: Settings, models: TenantModels) -> None:
    for _ in range(2):  # the same again changes nothing
        assert models.set_default("mine@2").default
        assert str(visible_models(settings, "studio").resolve()) == "mine@2"
    assert str(visible_models(settings, "lab").resolve()) == "shared@1"
    models.set_default("mine")
    assert [name for name, model in by_reference(models).items() if model.default] == ["mine@10"]


def test_a_default_that_is_gone_hides_no_model(settings: Settings, models: TenantModels) -> None:
    set_default(settings.tenant_models_dir("studio"), "gone")
    assert set(by_reference(models)) == {"mine@1", "mine@2", "mine@10", *SHIPPED, "shared@1"}
    assert models.set_default("shared").default


@pytest.mark.parametrize("text", ["{", "[]", "{}", '"text"', '{"schema_version": 99}', "\xff"])
def test_a_damaged_manifest_hides_no_other_model_and_is_named_in_the_log(
    settings: Settings, models: TenantModels, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (settings.all_models_dir / "shared" / "1" / MANIFEST_NAME).write_bytes(text.encode("latin-1"))
    with caplog.at_level(logging.WARNING):
        assert set(by_reference(models)) == {"mine@1", "mine@2", "mine@10", *SHIPPED}
    assert "shared@1" in caplog.text
    for ask in (models.show, models.set_default):
        with pytest.raises(ModelError) as caught:
            ask("shared")
        assert str(settings.data_dir) not in caught.value.message


@pytest.mark.parametrize(
    "changes",
    [
        {"noise_range": "wide"},
        {"description": None},
        {"training": []},
        {"metrics": {"psnr_by_shot_noise": {"1": {"output_db": 1}}}},
        {"metrics": {"sidd": {"mean": "good"}}},
    ],
)
def test_a_manifest_with_fields_of_another_kind_is_damaged(
    settings: Settings, models: TenantModels, changes: dict[str, Any]
) -> None:
    edit_manifest(settings.all_models_dir / "shared" / "1", **changes)
    assert "shared@1" not in by_reference(models)
    with pytest.raises(ModelError):
        models.show("shared")


def test_one_version_or_all_are_deleted_and_nothing_stays(settings: Settings, models: TenantModels) -> None:
    folder = settings.tenant_models_dir("studio")
    models.delete("mine@2", nothing)
    assert sorted(path.name for path in (folder / "mine").iterdir()) == ["1", "10"]
    edit_manifest(folder / "mine" / "10", noise_range="damaged")
    models.delete("mine", nothing)
    assert [path.name for path in folder.iterdir()] == [".lock"]
    with pytest.raises(NotFoundError):
        models.delete("mine", nothing)


def test_anothers_models_cannot_be_deleted(settings: Settings, models: TenantModels) -> None:
    for name in ("photosite", "photosite@1", "shared", "shared@1"):
        with pytest.raises(PermissionDeniedError):
            models.delete(name, nothing)
    publish_model(settings.all_models_dir, "mine", version="3")  # the operator took the name later
    set_default(settings.all_models_dir, "shared")
    models.delete("mine", nothing)
    assert (settings.all_models_dir / "mine" / "3").is_dir()


@pytest.mark.parametrize(
    ("default", "refused", "allowed"),
    [("mine", ["mine", "mine@10"], "mine@1"), ("mine@2", ["mine", "mine@2"], "mine@10")],
)
def test_the_default_is_never_deleted(models: TenantModels, default: str, refused: list[str], allowed: str) -> None:
    models.set_default(default)
    for name in refused:
        with pytest.raises(ConflictError, match="default"):
            models.delete(name, nothing)
    models.delete(allowed, nothing)
    assert allowed not in by_reference(models)


@pytest.mark.parametrize(
    ("jobs", "needed", "free"),
    [
        (waiting(DenoiseParameters(model="mine")), "mine@10", "mine@2"),
        (waiting(DenoiseParameters(model="mine@2")), "mine@2", "mine@10"),
        (waiting(ValidateParameters(model="mine@1"), "validate"), "mine", "mine@2"),
        (waiting(FinetuneParameters(captures=CAPTURES, name="new", base="mine@2"), "finetune"), "mine@2", "mine@10"),
        (waiting(DenoiseParameters(model="mine@77")), None, "mine"),
    ],
)
def test_what_an_unfinished_job_names_is_not_deleted(
    models: TenantModels, jobs: list[Job], needed: str | None, free: str
) -> None:
    if needed:
        with pytest.raises(ConflictError, match=jobs[0].id):
            models.delete(needed, lambda: jobs)
    models.delete(free, lambda: jobs)


def test_no_version_is_deleted_while_the_next_one_is_made(models: TenantModels) -> None:
    jobs = waiting(FinetuneParameters(captures=CAPTURES, name="mine", base="shared"), "finetune")
    with pytest.raises(ConflictError, match="is queued"):
        models.delete("mine@1", lambda: jobs)


def test_a_default_that_is_chosen_meanwhile_is_not_deleted(settings: Settings, models: TenantModels) -> None:
    """The choice waits until the deletion is done, and then finds nothing to choose."""
    found: list[str] = []

    def choose() -> None:
        try:
            found.append(TenantModels(settings, "studio").set_default("mine@2").reference)
        except NotFoundError as error:
            found.append(error.code)

    chooser = threading.Thread(target=choose)

    def begin_choosing() -> list[Job]:
        chooser.start()
        chooser.join(0.2)
        return []

    models.delete("mine@2", begin_choosing)
    chooser.join()
    assert found == ["not_found"]


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "tenants").write_bytes(b"")
    with pytest.raises(StorageUnavailableError):
        TenantModels(Settings(data_dir=tmp_path), "studio").set_default("photosite")


@pytest.mark.parametrize("name", ["photosite", "shared"])
def test_a_name_that_everybody_uses_is_not_free(settings: Settings, name: str) -> None:
    with pytest.raises(ConflictError, match=f"{name} is taken"):
        check_new_model_name(settings, name)


@pytest.mark.parametrize("name", ["mine", "theirs", "new", "photosite-2"])
def test_other_names_are_free_whoever_uses_them(settings: Settings, name: str) -> None:
    check_new_model_name(settings, name)
