"""Metrics equal to scikit-image's."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from training.metrics import psnr


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
