"""Metrics equal to scikit-image's."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from training.metrics import psnr, ssim


def test_psnr_equals_scikit_image() -> None:
    rng = np.random.default_rng(0)
    clean = rng.random((64, 48))
    signal = np.clip(clean + rng.normal(0, 0.05, clean.shape), 0, 1)
    assert psnr(signal, clean) == pytest.approx(peak_signal_noise_ratio(clean, signal, data_range=1), abs=1e-6)


def test_psnr_clips_the_signal_to_the_range() -> None:
    assert psnr(np.array([1.5, -0.5, 0.5]), np.array([1.0, 0.0, 0.4])) == pytest.approx(
        psnr(np.array([1, 0, 0.5]), np.array([1, 0, 0.4]))
    )


def test_psnr_of_equal_signals_is_infinite() -> None:
    assert psnr(np.ones(3), np.ones(3)) == float("inf")


@pytest.mark.parametrize("shape", [(256, 256), (11, 40), (33, 64)])
@pytest.mark.parametrize("noise", [1e-4, 0.02, 0.3])
def test_ssim_equals_scikit_image(shape: tuple[int, int], noise: float) -> None:
    rng = np.random.default_rng(0)
    clean = rng.random(shape).astype(np.float32) ** 2
    signal = np.clip(clean + rng.normal(0, noise, shape), 0, 1).astype(np.float32)
    expected = structural_similarity(
        signal.astype(np.float64),
        clean.astype(np.float64),
        data_range=1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert ssim(signal, clean) == pytest.approx(expected, abs=1e-6)


def test_ssim_clips_the_signal_to_the_range() -> None:
    clean = np.random.default_rng(0).random((20, 20))
    clean[0] = 1
    too_bright = clean.copy()
    too_bright[0] = 1.5
    assert ssim(too_bright, clean) == pytest.approx(1)
