"""The generalised Anscombe transform and its inverse, against sums over the distribution itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, poisson

from training.baselines.anscombe import denoise_stabilised, stabilise, unstabilise
from training.noise import NoiseModel

SIGMAS = (0.01, 0.5, 1.0, 3.0, 10.0)
PHOTONS = (0.5, 1.0, 2.0, 5.0, 20.0, 100.0, 1000.0)


def moments_of_stabilised(photons: float, sigma: float) -> tuple[float, float]:
    """Mean and standard deviation of 2·√(max(0, p + n + 3/8 + σ²)), p Poisson, n normal, by summing over both."""
    counts = np.arange(max(0, photons - 12 * np.sqrt(photons) - 20), photons + 12 * np.sqrt(photons) + 20).round()
    normal = np.linspace(-8, 8, 4001)
    weights = poisson.pmf(counts, photons)[:, None] * norm.pdf(normal)[None, :]
    values = 2 * np.sqrt(np.maximum(counts[:, None] + sigma * normal[None, :] + 3 / 8 + sigma**2, 0))
    weights /= weights.sum()
    mean = float((weights * values).sum())
    return mean, float(np.sqrt((weights * np.square(values - mean)).sum()))


def camera(sigma: float, shot: float = 1e-3) -> NoiseModel:
    """Noise whose read part has this standard deviation in photons."""
    return NoiseModel.uniform(shot_noise=shot, read_noise=max((sigma * shot) ** 2, 1e-18))


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("photons", PHOTONS)
def test_the_inverse_maps_the_expectation_to_the_signal(photons: float, sigma: float) -> None:
    mean, _ = moments_of_stabilised(photons, sigma)
    signal = unstabilise(np.full((4, 1, 1), mean), camera(sigma)) / 1e-3
    np.testing.assert_allclose(signal, photons, rtol=0.002, atol=0.06)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_darkness_comes_back_dark(sigma: float) -> None:
    mean, _ = moments_of_stabilised(1e-9, sigma)
    assert unstabilise(np.full((4, 1, 1), mean), camera(sigma)).max() < 0.06 * 1e-3


@pytest.mark.parametrize("sigma", SIGMAS)
def test_the_algebraic_inverse_would_be_biased(sigma: float) -> None:
    mean, _ = moments_of_stabilised(5.0, sigma)
    assert mean**2 / 4 - 3 / 8 - sigma**2 < 5.0 - 0.2


@pytest.mark.parametrize(("photons", "sigma"), [(20.0, 0.01), (100.0, 1.0), (5.0, 3.0), (0.5, 10.0)])
def test_stabilised_noise_has_unit_variance(photons: float, sigma: float) -> None:
    _, deviation = moments_of_stabilised(photons, sigma)
    assert deviation == pytest.approx(1, abs=0.03)


def test_each_plane_has_its_own_noise() -> None:
    noise = NoiseModel(shot_noise=(1e-3, 2e-3, 2e-3, 4e-3), read_noise=(0, 0, 0, 0))
    stabilised = stabilise(np.full((4, 1, 1), 0.4), noise)
    np.testing.assert_allclose(stabilised.ravel(), 2 * np.sqrt(np.array([400, 200, 200, 100]) + 3 / 8))


def test_noise_without_photons_is_stabilised_too() -> None:
    noise = NoiseModel.uniform(shot_noise=0, read_noise=1e-4)
    planes = np.array([0.1, 0.3, 0.5, 0.9])[:, None, None]
    steps = np.diff(stabilise(planes, noise).ravel())
    np.testing.assert_allclose(steps, np.diff(planes.ravel()) / 1e-2, rtol=1e-4)
    np.testing.assert_allclose(unstabilise(stabilise(planes, noise), noise), planes, atol=1e-6)


def test_a_mean_of_noisy_values_is_not_darkened() -> None:
    noise, rng = camera(2.0), np.random.default_rng(0)
    clean = np.broadcast_to(np.array([0.002, 0.005, 0.02, 0.5])[:, None, None], (4, 256, 256))
    noisy = (1e-3 * rng.poisson(clean / 1e-3) + rng.normal(0, 2e-3, clean.shape)).astype(np.float32)
    averaged = denoise_stabilised(noisy, noise, lambda planes: planes.mean(axis=(1, 2), keepdims=True))
    np.testing.assert_allclose(averaged.ravel(), clean[:, 0, 0], rtol=0.02, atol=6e-5)
