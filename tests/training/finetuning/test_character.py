"""Tails and correlation of the noise, read off captures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from captured_frames import add_gaussian, make_frame, make_scene, quiet
from new_camera import long_tailed
from PIL import Image

from training.finetuning.character import correlation_warning, find_character, lag_one
from training.noise import NoiseModel
from training.noise_estimation import estimate_noise
from training.raw.bayer import pack

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

NOISE = NoiseModel.uniform(shot_noise=2e-3, read_noise=4e-4)
SCENE = make_scene(1024, 1024)


def noisy_with(tail: float | None, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    shot = np.sqrt(NOISE.shot_noise[0] * SCENE) * rng.standard_normal(SCENE.shape)
    read = np.sqrt(NOISE.read_noise[0]) * long_tailed(rng, SCENE.shape, tail)
    noisy: NDArray[np.float32] = (SCENE + shot + read).astype(np.float32)
    return noisy


@pytest.mark.parametrize("tail", [-0.2, -0.1])
def test_the_tails_of_read_noise_are_found(tmp_path: Path, tail: float) -> None:
    character = find_character([make_frame(tmp_path, "a", noisy_with(tail), noise=NOISE)], quiet)
    assert character.tail == pytest.approx(tail, abs=0.03)


def test_gaussian_noise_has_no_tails_and_no_correlation(tmp_path: Path) -> None:
    character = find_character([make_frame(tmp_path, "a", noisy_with(None), noise=NOISE)], quiet)
    assert character.tail is None
    assert max(map(abs, character.correlation)) < 0.03
    assert correlation_warning(character.correlation) == ""


def test_long_tails_do_not_hide_variance_from_the_estimate() -> None:
    at = np.full((4, 1, 1), 0.1, np.float32)
    true = float(NOISE.variance(at).mean())
    found = []
    for seed in range(4):
        estimate = estimate_noise(pack(noisy_with(-0.2, seed)), flat_by="others")
        assert estimate is not None
        found.append(float(estimate.model.variance(at).mean()) / true)
    assert np.mean(found) == pytest.approx(1, abs=0.06)
    assert np.ptp(found) < 0.3


def test_few_photons_are_no_tails_of_read_noise(tmp_path: Path) -> None:
    dark = SCENE / 20
    rng = np.random.default_rng(0)
    noise = NoiseModel.uniform(shot_noise=4e-3, read_noise=4e-5)  # three photons in the shadows
    counted = 4e-3 * rng.poisson(dark / 4e-3) + np.sqrt(4e-5) * rng.standard_normal(dark.shape)
    frame = make_frame(tmp_path, "a", counted.astype(np.float32), noise=noise)
    assert find_character([frame], quiet).tail is None


def test_noise_that_rows_share_is_warned_of(tmp_path: Path) -> None:
    rows = np.random.default_rng(5).normal(0, 0.5, (SCENE.shape[0], 1)) * np.sqrt(NOISE.read_noise[0] + 5e-4)
    noisy = (noisy_with(None) + rows).astype(np.float32)
    character = find_character([make_frame(tmp_path, "a", noisy, noise=NOISE)], quiet)
    assert "shared along rows" in correlation_warning(character.correlation)
    turned = find_character([make_frame(tmp_path, "b", noisy.T.copy(), noise=NOISE)], quiet)
    assert "shared along columns" in correlation_warning(turned.correlation)


def test_a_rescaled_source_is_warned_of(tmp_path: Path) -> None:
    planes = pack(noisy_with(None))
    half = [Image.fromarray(plane).resize((384, 384), Image.Resampling.BICUBIC) for plane in planes]
    scaled = [np.asarray(plane.resize((512, 512), Image.Resampling.BICUBIC)) for plane in half]
    from training.raw.bayer import unpack

    character = find_character([make_frame(tmp_path, "a", unpack(np.stack(scaled)), noise=NOISE)], quiet)
    assert "rescaled" in correlation_warning(character.correlation)


def test_lag_one_of_known_planes() -> None:
    rng = np.random.default_rng(0)
    white = rng.standard_normal((4, 200, 200))
    assert max(map(abs, lag_one(white))) < 0.02
    smooth = white[:, :, 1:] + white[:, :, :-1]
    assert lag_one(smooth).along_rows == pytest.approx(0.5, abs=0.02)
    assert abs(lag_one(smooth).along_columns) < 0.02


def test_texture_alone_is_no_correlated_noise(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    texture = SCENE + 0.02 * np.kron(rng.standard_normal((512, 512)), np.ones((2, 2)))
    frame = make_frame(tmp_path, "a", add_gaussian(texture.astype(np.float32), 3, NOISE), noise=NOISE)
    assert correlation_warning(find_character([frame], quiet).correlation) == ""
