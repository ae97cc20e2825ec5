"""Stein's estimate, against the error that only the test knows."""

from __future__ import annotations

import numpy as np
import pytest
from captured_frames import make_scene
from scipy.ndimage import correlate

from training.finetuning.stein import stein_risk
from training.raw.bayer import pack

KERNEL = np.array([[1, 2, 1], [2, 6, 2], [1, 2, 1]]) / 18


def blur(planes: np.ndarray) -> np.ndarray:
    return np.stack([correlate(plane, KERNEL, mode="wrap") for plane in planes])


@pytest.mark.parametrize("strength", [1e-5, 1e-3, 1e-2])
def test_it_is_the_true_error_of_a_linear_filter(strength: float) -> None:
    clean = pack(make_scene()).astype(np.float64)
    rng = np.random.default_rng(1)
    variance = strength * clean + strength / 50
    # of a linear filter the expected error is known: its bias squared, and its share of each variance
    expected = np.square(blur(clean) - clean) + np.stack(
        [correlate(plane, KERNEL**2, mode="wrap") for plane in variance]
    )
    estimates = []
    for _ in range(8):
        noisy = clean + np.sqrt(variance) * rng.standard_normal(clean.shape)
        estimates.append(stein_risk(blur, noisy, blur(noisy), variance, rng).mean())
    error = np.std(estimates, ddof=1) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates) - expected.mean()) < 5 * error
    assert 5 * error < 0.05 * expected.mean()  # or the test would tell nothing


def test_doing_nothing_costs_the_noise() -> None:
    noisy = np.random.default_rng(0).normal(0.5, 0.1, (4, 128, 128))
    variance = np.full(noisy.shape, 0.01)
    risk = stein_risk(np.copy, noisy, noisy, variance, np.random.default_rng(1))
    np.testing.assert_allclose(risk, 0.01, rtol=1e-9)
