"""Residual whiteness: noise is white, what a blur takes away is not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from training.noise import NoiseModel
from training.whiteness import residual_correlation

NOISE = NoiseModel.uniform(shot_noise=1e-3, read_noise=1e-5)


def noisy_picture(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A textured clean picture, and the same with noise."""
    generator = np.random.default_rng(5)
    texture = uniform_filter(generator.normal(size=(4, height, width)), size=(0, 3, 3)) * 0.2
    clean = (0.4 + texture).astype(np.float32)
    noise = generator.normal(size=clean.shape) * np.sqrt(NOISE.variance(clean))
    return clean, (clean + noise).astype(np.float32)


@pytest.mark.parametrize("size", [(300, 420), (64, 50)])
def test_noise_alone_is_white(size: tuple[int, int]) -> None:
    clean, noisy = noisy_picture(*size)
    found = residual_correlation(noisy, clean, NOISE)
    assert found is not None
    assert found < 4 / np.sqrt(4 * size[0] * size[1])  # four standard errors of a correlation of so many pairs


def test_detail_that_was_taken_away_is_not() -> None:
    clean, noisy = noisy_picture(300, 420)
    blurred = uniform_filter(clean, size=(0, 5, 5))
    found = residual_correlation(noisy, blurred, NOISE)
    assert found is not None
    assert found > 0.2


def test_it_does_not_depend_on_the_strength() -> None:
    clean, noisy = noisy_picture(200, 200)
    blurred = uniform_filter(clean, size=(0, 5, 5))
    half = noisy + np.float32(0.5) * (blurred - noisy)
    assert residual_correlation(noisy, half, NOISE) == pytest.approx(
        residual_correlation(noisy, blurred, NOISE), rel=0.05
    )


def test_where_nothing_was_taken_away_there_is_nothing_to_say() -> None:
    _, noisy = noisy_picture(40, 40)
    assert residual_correlation(noisy, noisy, NOISE) is None
