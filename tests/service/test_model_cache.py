"""Models in memory: new versions are picked up, damaged ones never take the place of sound ones."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tiny_models import publish_model

from service.models import TenantModels
from service.monitoring import WorkerMetrics
from service.settings import Settings
from service.worker import model_cache
from service.worker.model_cache import REFUSED_S, ModelCache
from training import engines
from training.errors import ModelError, UnsupportedRawError
from training.golden import NOISE, golden_tile
from training.registry import MANIFEST_NAME, SENSOR_MODELS, WEIGHTS_NAME, Registry, set_default

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from training.registry import ModelRef

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, device="cpu", cached_models=1)


@pytest.fixture
def models(settings: Settings) -> Path:
    """The operator's folder, with one model."""
    publish_model(settings.all_models_dir)
    return settings.all_models_dir


@pytest.fixture
def cache(settings: Settings, models: Path) -> ModelCache:
    return ModelCache(settings, WorkerMetrics())


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was loaded from the disk, or could not be."""
    found: list[str] = []
    load_engine = engines.load_engine

    def load(reference: ModelRef, device: str) -> object:
        found.append(str(reference))
        return load_engine(reference, device)

    monkeypatch.setattr(engines, "load_engine", load)
    return found


def served(cache: ModelCache, name: str | None = None, tenant: str = "studio") -> str:
    """What a request gets: the model that is named, and the one whose engine does the work."""
    reference, engine = cache.get(name, tenant)
    assert engine.manifest.reference == str(reference)
    return str(reference)


def failures(cache: ModelCache) -> float:
    """How often a model could not be loaded, as Prometheus is told."""
    [family] = cache._metrics._model_failures.collect()
    return next(sample.value for sample in family.samples if sample.name.endswith("_total"))


def cut_weights(version: Path) -> None:
    """Half of the file."""
    weights = version / WEIGHTS_NAME
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])


def change_weights(version: Path) -> None:
    """One bit."""
    data = bytearray((version / WEIGHTS_NAME).read_bytes())
    data[-2] ^= 64
    (version / WEIGHTS_NAME).write_bytes(data)


def remove_weights(version: Path) -> None:
    """A copy that has not come far."""
    (version / WEIGHTS_NAME).unlink()


def damage_manifest(version: Path) -> None:
    """No JSON."""
    (version / MANIFEST_NAME).write_text("{", encoding="utf-8")


def falsify_golden_tile(version: Path) -> None:
    """Weights that are whole, and give something else than they should."""
    path = version / MANIFEST_NAME
    golden = '"golden_tile": {"seed": 0, "samples": [' + ", ".join(["0.5"] * 16) + "]}"
    path.write_text(path.read_text(encoding="utf-8").replace('"golden_tile": {}', golden), encoding="utf-8")


DAMAGES = [cut_weights, change_weights, remove_weights, damage_manifest, falsify_golden_tile]


def test_a_new_version_is_served_at_once_and_the_old_one_on_request(
    cache: ModelCache, models: Path, loads: list[str]
) -> None:
    assert [served(cache), served(cache, "tiny")] == ["tiny@1", "tiny@1"]
    publish_model(models, version="2")
    assert [served(cache), served(cache, "tiny"), served(cache, "tiny@1")] == ["tiny@2", "tiny@2", "tiny@1"]
    assert loads == ["tiny@1", "tiny@2", "tiny@1"], "one is kept in memory, and is not loaded again"
    assert failures(cache) == 0


def test_every_sensor_has_a_model_of_its_own(cache: ModelCache, models: Path) -> None:
    for sensor, name in SENSOR_MODELS.items():
        publish_model(models, name, version="98", sensor=sensor)
        publish_model(models, name, version="99", sensor=sensor)
        damage_manifest(models / name / "99")
        reference, engine = cache.get(None, "studio", sensor)
        assert (str(reference), engine.manifest.sensor) == (f"{name}@98", sensor), "the newest that is sound"
        assert str(cache.get("tiny", "studio", sensor)[0]) == "tiny@1", "whoever names a model gets it"
    assert served(cache) == "tiny@1"


def test_a_sensor_without_a_model_is_refused(tmp_path: Path) -> None:
    publish_model(tmp_path)
    for sensor in SENSOR_MODELS:
        with pytest.raises(UnsupportedRawError, match=r"there is no model: photosite-.* is not installed"):
            Registry([tmp_path]).resolve_for(sensor)
    assert str(Registry([tmp_path]).resolve_for("bayer")) == "tiny@1"


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_new_version_does_not_take_the_old_ones_place(
    cache: ModelCache,
    models: Path,
    loads: list[str],
    damage: Callable[[Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = cache.get(None, "studio")
    publish_model(models, version="2")
    damage(models / "tiny" / "2")
    with caplog.at_level(logging.WARNING):
        assert cache.get(None, "studio") == before, "the very engine that is in memory"
        assert served(cache, "tiny") == "tiny@1"
    assert "model tiny@2 cannot be loaded, tiny@1 stays" in caplog.text
    assert (loads, failures(cache)) == (["tiny@1", "tiny@2"], 1), "not tried for each job"
    with pytest.raises(ModelError):
        cache.get("tiny@2", "studio")
    assert failures(cache) == 2


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_process_that_starts_beside_a_damaged_version_serves_the_one_before(
    cache: ModelCache, models: Path, damage: Callable[[Path], None]
) -> None:
    for version in ("2", "3", "10"):
        publish_model(models, version=version)
    for version in ("3", "10"):
        damage(models / "tiny" / version)
    assert served(cache) == "tiny@2"


def test_a_damaged_model_without_another_is_an_error(cache: ModelCache, models: Path) -> None:
    cut_weights(models / "tiny" / "1")
    for name in (None, "tiny", "tiny@1"):
        with pytest.raises(ModelError):
            cache.get(name, "studio")


def test_a_default_that_moves_to_a_damaged_model_stays_what_it_was(cache: ModelCache, models: Path) -> None:
    assert served(cache) == "tiny@1"
    publish_model(models, "other")
    cut_weights(models / "other" / "1")
    assert served(cache) == "tiny@1"
    with pytest.raises(ModelError):
        cache.get("other", "studio")
    publish_model(models, "third")
    assert served(cache) == "third@1"


def test_a_version_that_is_put_right_is_served(
    cache: ModelCache, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_model(models, version="2")
    weights = models / "tiny" / "2" / WEIGHTS_NAME
    whole = weights.read_bytes()
    cut_weights(weights.parent)
    assert served(cache) == "tiny@1"
    weights.write_bytes(whole)
    assert served(cache) == "tiny@1", "too early to try again"
    now_s = model_cache.time.monotonic()
    monkeypatch.setattr(model_cache.time, "monotonic", lambda: now_s + REFUSED_S)
    assert served(cache) == "tiny@2"


def test_a_deleted_model_leaves_the_memory_and_its_engine_works_on(settings: Settings, cache: ModelCache) -> None:
    own = settings.tenant_models_dir("studio")
    publish_model(own, "mine")
    set_default(own, "tiny")
    _, engine = cache.get("mine", "studio")
    TenantModels(settings, "studio").delete("mine", list)
    assert np.std(engine.denoise_tile(golden_tile(0), NOISE)) > 0.1
    with pytest.raises(ModelError, match="no model 'mine'"):
        cache.get("mine", "studio")
    assert cache._engines == {}


def test_a_version_that_was_deleted_and_made_anew_is_not_taken_for_the_old_one(
    settings: Settings, cache: ModelCache
) -> None:
    own = settings.tenant_models_dir("studio")
    publish_model(own, "mine")
    _, before = cache.get("mine@1", "studio")
    set_default(own, "tiny")
    TenantModels(settings, "studio").delete("mine", list)
    publish_model(own, "mine", width=8)
    _, after = cache.get("mine@1", "studio")
    assert after.manifest.network_options["width"] == 8 != before.manifest.network_options["width"]


def test_each_tenant_gets_its_own(settings: Settings, cache: ModelCache) -> None:
    for tenant in ("studio", "lab"):
        publish_model(settings.tenant_models_dir(tenant), f"of-{tenant}")
    assert [served(cache, None, tenant) for tenant in ("studio", "lab", "local")] == [
        "of-studio@1",
        "of-lab@1",
        "tiny@1",
    ]
    with pytest.raises(ModelError):
        cache.get("of-studio", "lab")
