"""Noise drawn fast has the moments of photons counted and read out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from training.datasets.photons import MANY_PHOTONS, draw_noisy

COUNT = 400_000
SHOT = 2.0**-10


def photons(expected: float, read_noise: float = 0.0) -> np.ndarray:
    """(COUNT,) float64: how many photons were drawn where so many are expected."""
    clean = np.full(COUNT, expected * SHOT, np.float32)
    return draw_noisy(clean, SHOT, read_noise * SHOT**2, np.random.default_rng(0)).astype(np.float64) / SHOT


@pytest.mark.parametrize("read_noise", [0.0, 1.0, 50.0])
@pytest.mark.parametrize("expected", [0.0, 0.5, 11.0, MANY_PHOTONS, 30.0, 100.0, 900.0])
def test_mean_variance_and_skewness_are_those_of_the_sum(expected: float, read_noise: float) -> None:
    drawn, variance = photons(expected, read_noise), expected + read_noise
    assert drawn.mean() == pytest.approx(expected, abs=5 * (variance / COUNT) ** 0.5)
    assert drawn.var() == pytest.approx(variance, rel=0.015)
    if variance:
        assert stats.skew(drawn) == pytest.approx(expected / variance**1.5, abs=0.03)
        assert stats.kurtosis(drawn) == pytest.approx(expected / variance**2, abs=0.08)


def test_the_cumulative_distribution_is_met_at_the_first_bright_place() -> None:
    read_noise = 0.7
    drawn, expected = photons(MANY_PHOTONS, read_noise), np.arange(60)
    for limit in range(2, 26):
        chances = stats.poisson(MANY_PHOTONS).pmf(expected) * stats.norm.cdf((limit - expected) / read_noise**0.5)
        assert float(np.mean(drawn < limit)) == pytest.approx(chances.sum(), abs=0.004)


def test_few_photons_that_are_read_out_without_noise_are_whole_numbers() -> None:
    clean = SHOT * np.linspace(-1, MANY_PHOTONS - 1, 1000, dtype=np.float32)
    drawn = draw_noisy(clean, SHOT, 0.0, np.random.default_rng(0)) / SHOT
    np.testing.assert_array_equal(drawn, np.round(drawn))


def test_noise_is_float32_and_goes_below_black() -> None:
    noisy = draw_noisy(np.full((4, 8, 8), -0.1, np.float32), 1e-3, 4e-6, np.random.default_rng(0))
    assert noisy.dtype == np.float32
    assert noisy.min() < 0
    assert abs(float(noisy.mean())) < 5 * 2e-3 / 16
