"""Validation: the benchmark's figures by other means, every block at its place, and honest tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from engines import KnownEngine, half
from sidd_factory import READ, SHOT, make_blocks
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from training.datasets.sidd_blocks import open_blocks
from training.errors import ConfigError
from training.noise import NoiseModel
from training.raw.bayer import CFA_PATTERNS, CfaPattern, pack
from training.raw.patterns import channel_grid
from training.validate import ValidateOptions, denoise_block, groups, image_noise, means, validate

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

NOISE = NoiseModel.uniform(shot_noise=SHOT, read_noise=READ)
GIVEN = ValidateOptions(noise=NOISE)


def test_figures_are_means_over_blocks_as_scikit_image_counts_them(tmp_path: Path) -> None:
    noisy, clean = make_blocks(tmp_path)
    found = means(validate(KnownEngine(half), open_blocks(tmp_path)[0], GIVEN).scores)
    pairs = [(x * np.float32(0.5), y) for x, y in zip(noisy.reshape(6, 96, 96), clean.reshape(6, 96, 96), strict=True)]
    decibels = [peak_signal_noise_ratio(y, x, data_range=1) for x, y in pairs]
    similar = [
        structural_similarity(
            x.astype(np.float64),
            y.astype(np.float64),
            data_range=1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for x, y in pairs
    ]
    assert found["psnr"] == pytest.approx(np.mean(decibels), abs=1e-6)
    assert found["ssim"] == pytest.approx(np.mean(similar), abs=1e-6)


def test_what_changes_nothing_gains_nothing(tmp_path: Path) -> None:
    noisy, _ = make_blocks(tmp_path)
    kept: dict[int, NDArray[np.float32]] = {}
    found = validate(KnownEngine(), open_blocks(tmp_path)[0], GIVEN, kept.__setitem__)
    assert means(found.scores)["gain"] == 0
    for image in range(2):
        np.testing.assert_array_equal(kept[image], noisy[image])


@pytest.mark.parametrize("pattern", CFA_PATTERNS)
def test_served_packing_gives_the_network_red_first_in_every_pattern(pattern: CfaPattern) -> None:
    block = np.tile((channel_grid(pattern) + 1) / np.float32(8), (32, 32)).astype(np.float32)

    def paint(tile: NDArray[np.float32]) -> NDArray[np.float32]:
        assert (
            [float(plane.min()) for plane in tile]
            == [float(plane.max()) for plane in tile]
            == [1 / 8, 2 / 8, 3 / 8, 0.5]
        )
        return tile + np.float32(0.25)

    denoised = denoise_block(block, KnownEngine(paint), NOISE, pattern, "served")
    np.testing.assert_array_equal(denoised, block + np.float32(0.25))


def test_stored_packing_takes_cells_as_they_lie() -> None:
    block = np.random.default_rng(0).random((64, 64), dtype=np.float32)
    seen: list[NDArray[np.float32]] = []

    def look(tile: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(tile.copy())
        return tile

    np.testing.assert_array_equal(denoise_block(block, KnownEngine(look), NOISE, "BGGR", "stored"), block)
    np.testing.assert_array_equal(seen[0], pack(block))


def test_stored_packing_leaves_the_networks_output_alone_and_served_keeps_the_brightness() -> None:
    block = (0.3 + 0.2 * np.random.default_rng(0).random((256, 256))).astype(np.float32)
    engine = KnownEngine(lambda tile: tile + np.float32(0.1))
    stored, served = (denoise_block(block, engine, NOISE, "RGGB", packing) for packing in ("stored", "served"))
    np.testing.assert_allclose(stored, block + 0.1, atol=1e-6)
    assert float(np.mean(served)) == pytest.approx(float(np.mean(block)), abs=1e-4)


def test_the_output_is_clipped_to_what_the_benchmark_allows() -> None:
    block = np.full((64, 64), 0.6, dtype=np.float32)
    denoised = denoise_block(block, KnownEngine(lambda tile: tile * 2 - 2), NOISE, "RGGB", "served")
    assert float(denoised.min()) == float(denoised.max()) == 0


def test_noise_is_estimated_once_per_image_unless_given(tmp_path: Path) -> None:
    make_blocks(tmp_path, images=2, blocks=4, size=256)
    engine = KnownEngine(tile_size=128)
    found = validate(engine, open_blocks(tmp_path)[0], ValidateOptions())
    for noise in found.noise:
        assert noise.source == "estimate"
        assert noise.shot_noise * 0.45 + noise.read_noise == pytest.approx(SHOT * 0.45 + READ, rel=0.15)
    assert len(set(engine.noises)) == 2
    assert len({id(noise) for noise in engine.noises}) == 2


def test_a_given_noise_model_reaches_the_engine(tmp_path: Path) -> None:
    make_blocks(tmp_path)
    engine = KnownEngine()
    found = validate(engine, open_blocks(tmp_path)[0], GIVEN)
    assert set(engine.noises) == {NOISE}
    assert {noise.source for noise in found.noise} == {"request"}


def test_blocks_with_black_everywhere_still_have_an_estimate() -> None:
    blocks = np.clip(np.random.default_rng(0).normal(0.001, 0.01, (4, 256, 256)), 0, 1).astype(np.float32)
    model, source = image_noise(blocks, None, "dark")
    assert source == "estimate"
    assert model.read_noise[0] + 0.001 * model.shot_noise[0] == pytest.approx(1e-4, rel=0.15)  # though half is cut off


def test_noise_that_cannot_be_estimated_is_an_error_that_names_the_image() -> None:
    with pytest.raises(ConfigError, match=r"bright has no place flat enough .* `photosite validate --noise`"):
        image_noise(np.ones((4, 256, 256), dtype=np.float32), None, "bright")


def test_the_worst_blocks_are_those_that_gain_least(tmp_path: Path) -> None:
    noisy, clean = make_blocks(tmp_path, images=3, blocks=3)
    found = validate(KnownEngine(half), open_blocks(tmp_path)[0], ValidateOptions(noise=NOISE, worst=2))
    gains = sorted(score.gain for score in found.scores)
    assert [block.score.gain for block in found.worst] == gains[:2]
    for block in found.worst:
        place = block.score.image, block.score.block
        np.testing.assert_array_equal(block.noisy, noisy[place])
        np.testing.assert_array_equal(block.clean, clean[place])


def test_groups_have_a_row_a_speed_and_one_a_camera(tmp_path: Path) -> None:
    make_blocks(tmp_path, images=3, blocks=2)
    names = ["0001_001_IP_00400_00100_3200_N", "0002_001_IP_00800_00100_3200_N", "0003_001_GP_00100_00100_3200_N"]
    (tmp_path / "names.txt").write_text("\n".join(names), encoding="utf-8")
    found = validate(KnownEngine(half), open_blocks(tmp_path)[0], GIVEN)
    rows = groups(found)
    assert [(row["camera"], row["iso"], row["blocks"]) for row in rows] == [
        ("GP", 100, 2),
        ("GP", None, 2),
        ("IP", 400, 2),
        ("IP", 800, 2),
        ("IP", None, 4),
    ]
    assert rows[2]["psnr"] == pytest.approx(np.mean([score.psnr for score in found.scores[:2]]))
    assert rows[4]["psnr"] == pytest.approx(np.mean([score.psnr for score in found.scores[:4]]))


def test_time_is_stated_for_both_kinds_of_megapixel(tmp_path: Path) -> None:
    make_blocks(tmp_path)
    found = validate(KnownEngine(), open_blocks(tmp_path)[0], GIVEN)
    assert found.seconds_per_megapixel == pytest.approx(found.seconds / (6 * 96 * 96 / 1e6))
    assert found.seconds_per_benchmark_megapixel == pytest.approx(found.seconds_per_megapixel * 1.048576)


def test_an_unknown_packing_is_refused() -> None:
    with pytest.raises(ConfigError, match="packing: got 'odd'"):
        ValidateOptions(packing="odd")  # type: ignore[arg-type]
