"""Engines and published models: loaded, checked, and the same tiled as whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from tiny_models import publish_model
from torch.nn import functional

from training.denoise import run_tiled
from training.engines.torch import TorchEngine, choose_device, choose_tile_size
from training.errors import ConfigError, ModelError
from training.golden import check_golden_tile, golden_samples, make_golden_tile
from training.manifest import read_manifest
from training.networks import build_network
from training.networks.noise_aware import DETAIL_WINDOW, local_mean
from training.noise import NoiseModel
from training.registry import Registry, default_registry, set_default

if TYPE_CHECKING:
    from pathlib import Path

NOISE = NoiseModel.uniform(shot_noise=1e-3, read_noise=1e-6)


@pytest.mark.parametrize(("height", "width"), [(331, 457), (512, 33), (700, 400), (1, 1)])
def test_tiled_output_equals_whole_image_output(tmp_path: Path, height: int, width: int) -> None:
    publish_model(tmp_path)
    engine = TorchEngine(Registry([tmp_path]).resolve(), "cpu", "float32")
    packed = np.random.default_rng(0).random((4, height, width), dtype=np.float32)
    tiled = run_tiled(packed, engine, NOISE, tile=384, halo=164)
    whole = run_tiled(packed, engine, NOISE, tile=1024, halo=0)
    assert np.abs(tiled - whole).max() < 1e-5
    assert np.abs(whole - packed).max() > 1e-3  # the network does something


def test_a_halo_that_is_too_small_shows(tmp_path: Path) -> None:
    publish_model(tmp_path)
    engine = TorchEngine(Registry([tmp_path]).resolve(), "cpu", "float32")
    packed = np.random.default_rng(0).random((4, 256, 256), dtype=np.float32)
    tiled = run_tiled(packed, engine, NOISE, tile=64, halo=0)
    assert np.abs(tiled - run_tiled(packed, engine, NOISE, tile=256, halo=0)).max() > 1e-4


def test_bfloat16_stays_close_to_float32(tmp_path: Path) -> None:
    publish_model(tmp_path, width=16)
    reference = Registry([tmp_path]).resolve()
    tile = np.random.default_rng(0).random((4, 64, 64), dtype=np.float32)
    full, reduced = (TorchEngine(reference, "cpu", precision).denoise_tile(tile, NOISE) for precision in PRECISIONS)
    deviation = np.sqrt(NOISE.variance(tile))
    assert np.sqrt(np.mean(np.square((reduced - full) / deviation))) < 0.05


PRECISIONS = ("float32", "bfloat16")


class _ShortOfMemory(torch.nn.Module):
    """A model on a device that has memory for so many tiles; it notes how many came at once."""

    def __init__(self, model: torch.nn.Module, most: int) -> None:
        super().__init__()
        self.model, self.most = model, most
        self.batches: list[int] = []

    def forward(self, noisy: torch.Tensor, shot_noise: torch.Tensor, read_noise: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(noisy))
        if len(noisy) > self.most:
            raise torch.OutOfMemoryError
        result: torch.Tensor = self.model(noisy, shot_noise, read_noise)
        return result


def test_a_device_short_of_memory_gets_fewer_tiles_at_once_and_they_are_the_same(tmp_path: Path) -> None:
    publish_model(tmp_path)
    engine = TorchEngine(Registry([tmp_path]).resolve(), "cpu", "float32")
    tiles = np.random.default_rng(0).random((11, 4, 32, 64), dtype=np.float32)
    one_by_one = [engine.denoise_tile(tile, NOISE) for tile in tiles]
    model = engine._model = _ShortOfMemory(engine._model, most=2)
    engine._batch_size = 8
    denoised = list(engine.denoise_tiles(tiles, NOISE))
    assert model.batches == [8, 4, 2, 2, 4, 2, 2, 2, 1], "halved where it did not fit, and small from then on"
    np.testing.assert_allclose(denoised, one_by_one, atol=1e-6)


def test_a_tile_that_does_not_fit_by_itself_is_an_error_in_words(tmp_path: Path) -> None:
    publish_model(tmp_path)
    engine = TorchEngine(Registry([tmp_path]).resolve(), "cpu", "float32")
    engine._model = _ShortOfMemory(engine._model, most=0)
    with pytest.raises(ModelError, match="too little memory for a tile of 32×64"):
        engine.denoise_tile(np.zeros((4, 32, 64), dtype=np.float32), NOISE)


@pytest.mark.parametrize(
    ("network", "options"), [("unet", {}), ("unet", {"width": 4}), ("residual-unet", {}), ("rrg", {})]
)
def test_tiles_are_as_large_as_memory_allows(network: str, options: dict[str, Any]) -> None:
    built = build_network(network, in_channels=9, **options)
    for precision, share in (("bfloat16", 1), ("float32", 2)):
        side = choose_tile_size(built, 200_000_000, precision)
        assert side % built.stride == 0
        assert side**2 * built.bytes_per_pixel * share <= 200_000_000
        assert (side + built.stride) ** 2 * built.bytes_per_pixel * share > 200_000_000


def test_the_local_mean_is_pytorchs() -> None:
    planes = torch.rand(2, 4, 11, 30)
    window = {"stride": 1, "count_include_pad": False}
    wanted = functional.avg_pool2d(planes, (DETAIL_WINDOW, 1), padding=(DETAIL_WINDOW // 2, 0), **window)
    wanted = functional.avg_pool2d(wanted, (1, DETAIL_WINDOW), padding=(0, DETAIL_WINDOW // 2), **window)
    torch.testing.assert_close(local_mean(planes), wanted)
    small = planes[..., :3, :2]
    torch.testing.assert_close(local_mean(small), small.mean((2, 3), keepdim=True).expand_as(small))


def test_weights_of_which_a_single_bit_changed_are_refused(tmp_path: Path) -> None:
    publish_model(tmp_path)
    reference = Registry([tmp_path]).resolve()
    data = bytearray(reference.weights.read_bytes())
    data[-1] ^= 1
    reference.weights.write_bytes(data)
    with pytest.raises(ModelError, match="weights of tiny@1 are not those of its manifest"):
        TorchEngine(reference)


@pytest.mark.parametrize(
    "changes",
    [
        {"network": "nothing"},
        {"network_options": "width"},
        {"network_options": {"width": 8}},
        {"input_normalisation": "odd"},
        {"golden_tile": {"seed": 0}},
        {"golden_tile": {"seed": "x", "samples": [0.0]}},
        {"golden_tile": {"seed": 0, "samples": [0.0]}},
        {"golden_tile": "gilded"},
    ],
)
def test_a_manifest_that_does_not_fit_is_a_model_error(tmp_path: Path, changes: dict[str, Any]) -> None:
    publish_model(tmp_path, **changes)
    with pytest.raises(ModelError):
        TorchEngine(Registry([tmp_path]).resolve(), "cpu")


def test_an_engine_that_does_not_give_what_its_manifest_says_is_refused(tmp_path: Path) -> None:
    publish_model(tmp_path)
    engine = TorchEngine(Registry([tmp_path]).resolve(), "cpu", "float32")
    engine.manifest.golden_tile.update(make_golden_tile(engine))
    check_golden_tile(engine)  # its own output passes
    engine.manifest.golden_tile["samples"][3] += 0.1
    with pytest.raises(ModelError, match="does not give what its manifest says"):
        check_golden_tile(engine)


def test_the_golden_tile_is_the_same_each_time(tmp_path: Path) -> None:
    publish_model(tmp_path)
    engine = TorchEngine(Registry([tmp_path]).resolve(), "cpu", "float32")
    assert golden_samples(engine, 0) == golden_samples(engine, 0)
    assert golden_samples(engine, 0) != golden_samples(engine, 1)


def test_an_unknown_device_is_named() -> None:
    with pytest.raises(ConfigError, match="there is no 'tpu'"):
        choose_device("tpu")


def test_the_newest_version_is_found_unless_one_is_named(tmp_path: Path) -> None:
    for version in ("2", "10", "9"):
        publish_model(tmp_path, version=version)
    registry = Registry([tmp_path])
    assert str(registry.resolve("tiny")) == "tiny@10"
    assert str(registry.resolve("tiny@2")) == "tiny@2"
    assert [manifest.version for manifest in registry.list()] == ["2", "9", "10"]


def test_the_default_of_a_later_folder_wins(tmp_path: Path) -> None:
    publish_model(tmp_path / "ours", "first")
    publish_model(tmp_path / "theirs", "second")
    registry = Registry([tmp_path / "ours", tmp_path / "theirs"])
    assert registry.resolve().name == "second"
    set_default(tmp_path / "theirs", "first@1")
    assert str(registry.resolve()) == "first@1"


@pytest.mark.parametrize("name", ["nobody", "../../etc/passwd", "tiny@7", "", "Tiny"])
def test_a_model_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    publish_model(tmp_path)
    (tmp_path / "default").unlink()
    with pytest.raises(ModelError):
        Registry([tmp_path]).resolve(name)


def test_a_manifest_of_a_newer_form_is_refused(tmp_path: Path) -> None:
    publish_model(tmp_path)
    path = tmp_path / "tiny" / "1" / "manifest.json"
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    with pytest.raises(ModelError, match="newer"):
        read_manifest(path)


def test_every_bundled_model_gives_what_its_manifest_says() -> None:
    registry = default_registry()
    assert registry.resolve().name == "photosite"
    for reference in registry.references():
        engine = TorchEngine(reference, "cpu")  # checks its golden tile
        assert engine.manifest.golden_tile
        assert engine.manifest.reference == str(reference)
