"""What methods are judged on: the papers' evaluation of pictures, and raws made of pictures."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from training.comparison.cases import (
    LEVELS,
    Case,
    estimated_quality,
    pad_to_square,
    patch_cases,
    picture_cases,
    quality_of,
    raw_cases,
    round_to_bytes,
)
from training.datasets.picture_noise import PICTURE_NOISE, add_picture_noise
from training.datasets.synthetic import SyntheticRaws
from training.errors import ConfigError
from training.metrics import psnr

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures, not square."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        Image.fromarray(rng.integers(0, 256, (40, 70, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_every_picture_comes_as_often_as_asked_with_noise_of_its_own_and_the_same_again(folder: Path) -> None:
    cases, again = (list(picture_cases(folder, "set", "gauss25", 3, 1)) for _ in range(2))
    assert [case.key for case in cases] == [f"set/{name}-{draw}" for name in "ab" for draw in range(3)]
    for case, same in zip(cases, again, strict=True):
        np.testing.assert_array_equal(case.noisy, same.noisy)
    assert not np.array_equal(cases[0].noisy, cases[1].noisy)
    np.testing.assert_array_equal(cases[0].clean, cases[1].clean)
    assert [case.name for case in picture_cases(folder, "set", "gauss25", 1, 2)] == ["a-0"]


def test_noisy_pictures_are_neither_rounded_nor_clipped(folder: Path) -> None:
    (case, _) = picture_cases(folder, "set", "gauss25", 1, 1)
    assert case.noisy.min() < 0
    assert case.noisy.max() > 1
    assert case.noisy.shape == (3, 40, 70)
    assert float((case.noisy - case.clean).std()) == pytest.approx(25 / 255, rel=0.03)


@pytest.mark.parametrize("name", [name for name, noise in PICTURE_NOISE.items() if noise.kind != "impulse"])
def test_the_noise_has_the_variance_that_it_is_said_to_have(name: str) -> None:
    rng = np.random.default_rng(0)
    level = PICTURE_NOISE[name].draw_level(rng)
    clean = np.full((3, 200, 200), 0.3, dtype=np.float32)
    noise = add_picture_noise(clean, level, rng) - clean
    assert float(noise.mean()) == pytest.approx(0, abs=0.003)
    assert float(noise.var()) == pytest.approx(0.3 * level.shot_noise + level.read_noise, rel=0.03)
    assert level.impulses == 0


def test_a_picture_with_impulses_says_how_many(folder: Path) -> None:
    (case, _) = picture_cases(folder, "set", "impulse", 1, 1)
    assert (case.shot_noise, case.read_noise, case.impulses) == (0, 0, 0.5)
    assert float((case.noisy != case.clean)[0].mean()) == pytest.approx(0.5, abs=0.05)


def test_strengths_fill_their_range() -> None:
    rng = np.random.default_rng(0)
    sigmas = [255 * PICTURE_NOISE["gauss5_50"].draw_level(rng).read_noise ** 0.5 for _ in range(500)]
    assert (round(min(sigmas)), round(max(sigmas))) == (5, 50)
    photons = [1 / PICTURE_NOISE["poisson5_50"].draw_level(rng).shot_noise for _ in range(500)]
    assert (round(min(photons)), round(max(photons))) == (5, 50)


def test_pictures_are_padded_by_reflection_to_a_square() -> None:
    picture = np.arange(3 * 40 * 70, dtype=np.float32).reshape(3, 40, 70)
    padded = pad_to_square(picture)
    assert padded.shape == (3, 96, 96)
    np.testing.assert_array_equal(padded[:, :40, :70], picture)
    np.testing.assert_array_equal(padded[:, 40, :70], picture[:, 38])
    np.testing.assert_array_equal(padded[:, :40, 70], picture[:, :, 68])


def test_a_pictures_quality_is_that_of_its_eight_bit_file(folder: Path) -> None:
    (case, _) = picture_cases(folder, "set", "gauss5_50", 1, 1)
    found = quality_of(case.noisy, case)
    stored = np.clip(case.noisy.astype(np.float64) * 255 + 0.5, 0, 255).astype(np.uint8)
    clean = np.rint(case.clean * 255).astype(np.uint8)
    assert found.psnr == pytest.approx(peak_signal_noise_ratio(clean, stored, data_range=255), rel=1e-6)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255, "full": True}
    maps = [structural_similarity(x, y, **options)[1][5:-5, 5:-5] for x, y in zip(clean, stored, strict=True)]
    assert found.ssim == pytest.approx(np.mean(maps), rel=1e-5)


def test_rounding_is_that_of_a_file() -> None:
    values = np.linspace(-0.1, 1.1, 1000)
    expected = np.clip(values * 255 + 0.5, 0, 255).astype(np.uint8) / 255
    np.testing.assert_array_equal(round_to_bytes(values), expected)


def test_raws_come_at_every_level_and_are_judged_as_mosaics(folder: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (128, 130, 3), dtype=np.uint8)).save(folder / "c.png")
    cases = list(raw_cases([folder / "c.png"], 2.0))
    assert [case.group for case in cases] == [f"shot {level:g}" for level in LEVELS]
    assert {case.noisy.shape for case in cases} == {(4, 128, 128)}
    errors = [float(np.mean(np.square(case.noisy - case.clean))) for case in cases]
    assert errors == sorted(errors)
    found = quality_of(cases[-1].noisy, cases[-1])
    assert found.psnr == pytest.approx(psnr(cases[-1].noisy, cases[-1].clean), rel=1e-9)
    mosaics = [np.zeros((256, 256)) for _ in range(2)]
    for mosaic, planes in zip(mosaics, (np.clip(cases[-1].noisy, 0, 1), cases[-1].clean), strict=True):
        for index, plane in enumerate(planes):
            mosaic[index // 2 :: 2, index % 2 :: 2] = plane
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1, "full": True}
    assert found.ssim == pytest.approx(structural_similarity(*mosaics, **options)[1][5:-5, 5:-5].mean(), rel=1e-6)


def test_patches_nobody_is_trained_on_are_cases_too() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    source = SyntheticRaws(pictures=(picture,), patch_size=32, scales=(1.0,))
    first, second = patch_cases(source, "blocks", 2)
    assert (first.group, first.noisy.shape) == ("blocks", (4, 32, 32))
    assert first.key != second.key
    np.testing.assert_array_equal(first.noisy, source.draw((0, 0, 0)).noisy)


def test_without_a_clean_signal_the_error_is_estimated() -> None:
    rng = np.random.default_rng(0)
    clean = np.full((4, 128, 128), 0.4, dtype=np.float32)
    noisy = (clean + rng.normal(0, 0.05, clean.shape)).astype(np.float32)
    case = Case(group="g", name="n", noisy=noisy, clean=None, shot_noise=0.0, read_noise=0.05**2)

    def shrink(given: Case) -> NDArray[np.float32]:
        return 0.2 * given.noisy + np.float32(0.8 * 0.4)

    found = estimated_quality(shrink, shrink(case), case)
    assert found.psnr == pytest.approx(psnr(shrink(case), clean), abs=0.5)
    assert np.isnan(found.ssim)
    with pytest.raises(ValueError, match="without a clean signal"):
        quality_of(noisy, case)
    assert quality_of(noisy, dataclasses.replace(case, clean=clean)).psnr == pytest.approx(26, abs=0.3)


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no picture in"):
        list(picture_cases(tmp_path, "kodak", "gauss25", 1, 1))
