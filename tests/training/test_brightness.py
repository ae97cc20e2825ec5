"""The mean of every plane stays, at every brightness, whatever bias a network has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from engines import KnownEngine
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter

from training.brightness import MIN_PHOTOSITES, keep_brightness, local_mean
from training.denoise import denoise_packed
from training.noise import NoiseModel
from training.raw.cells import CELLS

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 512
SHOT_NOISE, READ_NOISE = 1e-4, 1e-6


def clean_planes() -> NDArray[np.float32]:
    """(4, 512, 512) a different ramp in each plane, from deep shadows to near white."""
    ramp = np.geomspace(4e-3, 0.9, SIDE, dtype=np.float32)
    return np.stack([np.tile(ramp * np.float32(gain), (SIDE, 1)) for gain in (0.5, 1, 1, 0.7)])


def add_noise(clean: NDArray[np.float32]) -> NDArray[np.float32]:
    deviation = np.sqrt(SHOT_NOISE * clean + READ_NOISE)
    return clean + deviation * np.random.default_rng(0).standard_normal(clean.shape, dtype=np.float32)


def local_shifts(noisy: NDArray[np.float32], denoised: NDArray[np.float32]) -> NDArray[np.float64]:
    """(4, 8) relative shift of the mean in eight ranges of the input's 15×15 mean."""
    shifts = []
    for before, after in zip(noisy, denoised, strict=True):
        local = uniform_filter(before.astype(np.float64), 15)
        index = np.searchsorted(np.quantile(local, np.linspace(0, 1, 9)[1:-1]), local)
        shifts.append([(after - before)[index == part].mean() / before[index == part].mean() for part in range(8)])
    return np.array(shifts)


def test_a_bias_that_depends_on_brightness_and_plane_is_taken_away() -> None:
    clean = clean_planes()
    noisy = add_noise(clean)
    bias = np.array([1e-4, 4e-5, 4e-5, -1e-4], dtype=np.float32)[:, None, None] * (1 - clean)
    biased = clean + bias
    assert np.abs(local_shifts(noisy, biased)).max() > 0.01
    kept = keep_brightness(noisy, biased)
    assert np.abs(local_shifts(noisy, kept)).max() < 0.003
    assert np.sqrt(np.mean((kept - clean) ** 2)) < 0.5 * np.sqrt(np.mean(bias**2))


def test_colours_of_xtrans_keep_their_brightness() -> None:
    cell = CELLS["x-trans"]
    gains = {"R": (0.5, 2e-4), "G": (1.0, 1e-4), "B": (0.7, -2e-4)}
    ramp = np.geomspace(4e-3, 0.9, 120, dtype=np.float32)
    clean = np.stack([np.tile(ramp * np.float32(gains[colour][0]), (120, 1)) for colour in cell.plane_colours])
    noisy = add_noise(clean)
    bias = np.array([gains[colour][1] for colour in cell.plane_colours], dtype=np.float32)[:, None, None]
    kept = keep_brightness(noisy, clean + bias * (1 - clean), cell)
    for colour in "RGB":
        planes = list(cell.planes_of(colour))
        for columns in np.array_split(np.arange(120), 4):
            before, after = (each[planes][:, :, columns].mean(dtype=np.float64) for each in (noisy, kept))
            assert after == pytest.approx(before, rel=0.004)
            assert abs(after - clean[planes][:, :, columns].mean()) < 0.3 * abs(gains[colour][1])


def test_what_is_served_keeps_its_brightness() -> None:
    noisy = add_noise(clean_planes())
    noise = NoiseModel.uniform(shot_noise=SHOT_NOISE, read_noise=READ_NOISE)
    served = denoise_packed(noisy, KnownEngine(lambda tile: tile + np.float32(1e-4)), noise)
    assert np.abs(local_shifts(noisy, served)).max() < 0.003


def test_an_unbiased_result_stays_as_it_is() -> None:
    noisy = add_noise(clean_planes())
    np.testing.assert_allclose(keep_brightness(noisy, noisy), noisy, atol=1e-7)


def test_a_plane_of_one_brightness_gets_its_mean_back() -> None:
    noisy = np.full((4, 80, 90), 0.25, dtype=np.float32)
    np.testing.assert_allclose(keep_brightness(noisy, noisy + np.float32(0.01)), noisy, atol=1e-6)


def test_a_plane_too_small_for_its_noise_to_average_out_is_left_alone() -> None:
    noisy = np.zeros((4, 63, MIN_PHOTOSITES // 64), dtype=np.float32)
    denoised = noisy + np.float32(0.5)
    assert keep_brightness(noisy, denoised) is denoised


@given(st.integers(8, 40), st.integers(8, 40), st.sampled_from([1, 3, 9, 15]))
def test_local_mean_is_scipys(height: int, width: int, size: int) -> None:
    plane = np.random.default_rng(height * width).random((height, width), dtype=np.float32)
    expected = uniform_filter(plane.astype(np.float64), size, mode="mirror")
    np.testing.assert_allclose(local_mean(plane, size), expected, atol=1e-10)
