"""The noise that is read off a picture: what it must not be misled by, and what its error bars say."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from training.datasets.synthetic import add_noise
from training.noise_clip import behind_clip
from training.noise_estimation import NoiseEstimate, estimate_noise
from training.noise_line import fit_line
from training.noise_patches import gather_patches

Planes = NDArray[np.float32]
SHOT, READ = 1e-3, 4e-6
MID_GREY = 0.18


def smooth(low: float = 0.01, high: float = 0.5, side: int = 256) -> Planes:
    rows, columns = np.mgrid[0:side, 0:side] / side
    return np.stack([low + (high - low) * gain * (rows + columns) / 2 for gain in (0.6, 1, 1, 0.5)]).astype(np.float32)


def texture(contrast: float, seed: int = 0) -> Planes:
    """A picture with detail everywhere that all planes share: noise through a camera's blur."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft2(rng.standard_normal((512, 512)))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(512), np.fft.rfftfreq(512), indexing="ij"))
    scene = np.fft.irfft2(spectrum / (0.01 + frequency) * np.exp(-np.square(frequency / 0.25)))
    scene = 0.25 * np.exp(contrast * scene / scene.std())
    return np.stack([0.6 * scene[0::2, 0::2], scene[0::2, 1::2], scene[1::2, 0::2], 0.5 * scene[1::2, 1::2]]).astype(
        np.float32
    )


def noisy(clean: Planes, shot: float = SHOT, read: float = READ, seed: int = 1) -> Planes:
    return add_noise(clean, shot, read, np.random.default_rng(seed))


def deviation(estimate: NoiseEstimate | None, at: float = MID_GREY) -> float:
    assert estimate is not None
    return float(np.sqrt(estimate.model.shot_noise[0] * at + estimate.model.read_noise[0]))


def true_deviation(shot: float = SHOT, read: float = READ, at: float = MID_GREY) -> float:
    return float(np.sqrt(shot * at + read))


@pytest.mark.parametrize("contrast", [0.1, 0.3])
def test_texture_that_all_planes_share_is_no_noise(contrast: float) -> None:
    estimate = estimate_noise(noisy(texture(contrast)))
    assert deviation(estimate) == pytest.approx(true_deviation(), rel=0.07)


def test_highlights_that_are_cut_off_do_not_lower_the_estimate() -> None:
    cut = np.clip(noisy(smooth(high=1.5), shot=8e-3), None, 1)
    estimate = estimate_noise(cut)
    assert estimate is not None
    assert estimate.model.shot_noise[0] == pytest.approx(8e-3, rel=0.1)


@pytest.mark.parametrize("flat_by", ["own", "others"])
def test_a_dark_picture_cut_off_at_black_shows_its_whole_noise(flat_by: str) -> None:
    read = 4e-5
    cut = np.maximum(noisy(smooth(0.0, 0.03), 1e-3, read), 0)  # a third of a standard deviation and up
    estimate = estimate_noise(cut, 0.0, flat_by=flat_by)  # type: ignore[arg-type]
    assert deviation(estimate, 0.01) == pytest.approx(true_deviation(1e-3, read, 0.01), rel=0.07)


def test_a_dark_frame_shows_its_read_noise_and_that_its_shot_noise_is_unknown() -> None:
    estimate = estimate_noise(noisy(np.zeros((4, 256, 256), np.float32), 1e-4, READ))
    assert estimate is not None
    assert estimate.model.read_noise[0] == pytest.approx(READ, rel=0.1)
    assert estimate.shot_error > 1e-4


def test_coarse_steps_count_as_noise() -> None:
    step = 1 / 255
    stored = (np.round(noisy(smooth(0.1)) / step) * step).astype(np.float32)
    estimate = estimate_noise(stored, step=step)
    assert deviation(estimate) == pytest.approx(true_deviation(read=READ + step**2 / 12), rel=0.05)


def test_read_noise_is_never_less_than_that_of_rounding() -> None:
    step = 1 / 255
    estimate = estimate_noise((np.round(smooth() / step) * step).astype(np.float32), step=step)
    assert estimate is not None
    assert estimate.model.read_noise[0] >= step**2 / 12


def test_a_constant_picture_has_an_estimate_without_warning_or_none_at_all() -> None:
    estimate = estimate_noise(np.full((4, 128, 128), 0.2, np.float32))
    assert estimate is None or max(estimate.model.shot_noise) < 1e-8


def test_a_picture_too_small_for_a_patch_has_none() -> None:
    assert estimate_noise(np.zeros((4, 3, 3), np.float32)) is None


def test_small_pictures_have_an_estimate() -> None:
    planes = noisy(smooth(side=128))
    planes[:, :50] = 1  # a white sky
    assert deviation(estimate_noise(planes)) == pytest.approx(true_deviation(), rel=0.07)


def test_error_bars_cover_the_truth_about_as_often_as_they_say() -> None:
    estimates = [estimate_noise(noisy(smooth(side=128), seed=seed)) for seed in range(12)]
    covered = [e is not None and abs(e.model.shot_noise[0] - SHOT) < 2 * e.shot_error for e in estimates]
    assert sum(covered) >= 10


def test_a_picture_of_nothing_but_grain_is_not_sure() -> None:
    rng = np.random.default_rng(0)
    grain = 0.2 * np.exp(0.3 * rng.standard_normal((4, 256, 256)) * rng.uniform(0.2, 1, (1, 256, 256)))
    estimate = estimate_noise(noisy(grain.astype(np.float32), 1e-4, 1e-7))
    assert estimate is None or not estimate.is_sure or deviation(estimate) > 0.01  # white grain is noise to anyone


def test_pictures_are_pooled() -> None:
    dark, bright = noisy(smooth(0.0, 0.02)), noisy(smooth(0.3, 0.5), seed=2)
    both = estimate_noise([dark, bright])
    alone = estimate_noise(dark)
    assert both is not None
    assert alone is not None
    assert both.shot_error < alone.shot_error
    assert both.model.shot_noise[0] == pytest.approx(SHOT, rel=0.1)


def test_neighbours_share_no_pixel_and_stay_within_their_picture() -> None:
    index = np.arange(64 * 64, dtype=np.float32).reshape(64, 64)
    patches = gather_patches([np.stack([index] * 4), np.stack([index + 1e5] * 4)])
    for patch in (0, len(patches) // 2 - 1, len(patches) // 2, len(patches) - 1):
        near = patches.neighbours[patch][patches.neighbours[patch] >= 0]
        apart = np.abs(patches.means[near, 0] - patches.means[patch, 0])
        assert np.allclose(np.minimum(np.abs(apart - 4), np.abs(apart - 4 * 64)), 0, atol=0.05)


@pytest.mark.parametrize("black_clip", [0.0, -0.01])
def test_the_signal_behind_a_clip_is_found(black_clip: float) -> None:
    rng = np.random.default_rng(0)
    for signal in (black_clip, black_clip + 0.005, 0.05):
        spread = np.sqrt(1e-3 * max(signal, 0) + 1e-4)
        cut = np.maximum(signal + spread * rng.standard_normal(400_000), black_clip)
        found = behind_clip(np.array([cut.mean()]), 1e-3, 1e-4, black_clip)
        assert found.signal[0] == pytest.approx(signal, abs=0.02 * spread)
        assert found.left[0] == pytest.approx(cut.var() / spread**2, rel=0.03)


def test_the_line_forgives_variances_that_are_too_large() -> None:
    signal = np.linspace(0.01, 0.5, 12)
    variance = 1e-3 * signal + 1e-5
    variance[[2, 5, 9]] *= 3
    line = fit_line(np.stack([signal, np.ones(12)], axis=1), variance, np.full(12, 0.03))
    assert line.shot == pytest.approx(1e-3, rel=0.05)
    assert line.read == pytest.approx(1e-5, rel=0.1)
