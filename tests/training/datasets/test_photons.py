"""Photons drawn fast have the moments of photons counted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from training.datasets.photons import MANY_PHOTONS, draw_noisy, draw_photons


@pytest.mark.parametrize("expected", [0.0, 0.5, 12.0, MANY_PHOTONS, 100.0, 5000.0])
def test_mean_variance_and_skewness_are_those_of_a_poisson_distribution(expected: float) -> None:
    drawn = draw_photons(np.full(400_000, expected, np.float32), np.random.default_rng(0)).astype(np.float64)
    assert drawn.mean() == pytest.approx(expected, abs=5 * (expected / drawn.size) ** 0.5)
    assert drawn.var() == pytest.approx(expected, rel=0.015)
    if expected:
        assert stats.skew(drawn) == pytest.approx(expected**-0.5, abs=0.03)
        assert stats.kurtosis(drawn) == pytest.approx(1 / expected, abs=0.06)


def test_the_cumulative_distribution_is_met_at_the_first_bright_place() -> None:
    drawn = draw_photons(np.full(400_000, MANY_PHOTONS, np.float32), np.random.default_rng(1))
    for count in (15, 20, 25, 30, 35, 40, 50):
        share = float(np.mean(drawn < count + 0.5))
        assert share == pytest.approx(stats.poisson(MANY_PHOTONS).cdf(count), abs=0.003)


def test_few_photons_are_whole_numbers() -> None:
    drawn = draw_photons(np.linspace(0, 20, 1000, dtype=np.float32), np.random.default_rng(0))
    np.testing.assert_array_equal(drawn, np.round(drawn))


def test_the_noise_has_the_variance_that_was_asked_for() -> None:
    for signal in (-0.1, 0.0, 0.01, 0.8):
        clean = np.full((4, 256, 256), signal, np.float32)
        noisy = draw_noisy(clean, 2e-3, 5e-6, np.random.default_rng(0))
        assert noisy.dtype == np.float32
        variance = 2e-3 * max(signal, 0) + 5e-6
        assert float(noisy.astype(np.float64).var()) == pytest.approx(variance, rel=0.02)
        assert float(noisy.astype(np.float64).mean()) == pytest.approx(
            max(signal, 0), abs=5 * (variance / noisy.size) ** 0.5
        )
