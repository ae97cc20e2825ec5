"""What a denoiser took away, described: white noise, blurred noise, noise that was left, clipped photosites."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.ndimage import uniform_filter, uniform_filter1d
from scipy.signal import correlate2d

from training.noise import NoiseModel
from training.residuals import (
    TILE,
    autocovariance,
    cut_tiles,
    describe_residual,
    flattest_tiles,
    likeness_of_neighbours,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOISE = NoiseModel(shot_noise=(1e-3, 2e-3, 2e-3, 4e-3), read_noise=(1e-5, 1e-5, 2e-5, 2e-5))


def tiles(count: int = 24) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Noisy tiles of a level grey, the clean ones, and that all of it is sound."""
    clean = np.full((count, 4, TILE, TILE), 0.3, dtype=np.float32)
    deviation = np.sqrt(np.stack([NOISE.variance(tile) for tile in clean]))
    noisy = clean + deviation * np.random.default_rng(0).normal(0, 1, clean.shape)
    return noisy.astype(np.float32), clean, np.ones(clean.shape, dtype=bool)


def test_noise_alone_is_white_and_of_unit_variance() -> None:
    found = describe_residual(*tiles(), NOISE)
    np.testing.assert_allclose(found.variance, 1, atol=0.02)
    assert found.correlation < 0.02


def test_noise_that_was_left_shows_as_less_variance() -> None:
    noisy, clean, sound = tiles()
    found = describe_residual(noisy, 0.5 * noisy + 0.5 * clean, sound, NOISE)
    np.testing.assert_allclose(found.variance, 0.25, atol=0.02)


def test_doing_nothing_has_no_variance() -> None:
    noisy, _, sound = tiles()
    found = describe_residual(noisy, noisy, sound, NOISE)
    assert (found.variance, found.correlation) == ((0, 0, 0, 0), 0)


def test_a_correlation_is_found_where_it_is() -> None:
    noisy, clean, sound = tiles()
    stripes = uniform_filter1d(noisy[:, 2] - clean[:, 2], 2, axis=2)
    noisy[:, 2] = clean[:, 2] + stripes
    found = describe_residual(noisy, clean, sound, NOISE)
    assert found.correlation == pytest.approx(0.5, abs=0.02)
    assert found.lag[0] == "Gb"
    assert (found.lag[1], abs(found.lag[2])) == (0, 1)


def test_the_autocovariance_is_that_of_the_textbook() -> None:
    tile = np.random.default_rng(1).normal(0, 1, (9, 11))
    found = autocovariance(tile[None], np.ones((1, 9, 11), dtype=bool))
    centred = tile - tile.mean()
    full, pairs = correlate2d(centred, centred), correlate2d(np.ones_like(tile), np.ones_like(tile))
    np.testing.assert_allclose(found, (full / pairs)[8:12, 10 - 3 : 10 + 4], atol=1e-12)


def test_clipped_photosites_do_not_count() -> None:
    noisy, clean, sound = tiles()
    noisy[:, :, 10:20], sound[:, :, 10:20] = 5.0, False
    found = describe_residual(noisy, clean, sound, NOISE)
    np.testing.assert_allclose(found.variance, 1, atol=0.02)
    assert found.correlation < 0.02
    with pytest.raises(ValueError, match="not clipped"):
        describe_residual(noisy, clean, np.zeros_like(sound), NOISE)


def test_the_flattest_tiles_are_those_without_structure() -> None:
    noisy, _, _ = tiles(4)
    planes = np.concatenate([np.concatenate(noisy[:2], axis=2), np.concatenate(noisy[2:], axis=2)], axis=1)
    planes[:, :TILE, :] += np.linspace(0, 0.1, 2 * TILE, dtype=np.float32)
    sound = np.ones(planes.shape, dtype=bool)
    assert set(flattest_tiles(planes, NOISE, sound, 0.5)) == {(TILE, 0), (TILE, TILE)}
    sound[:, TILE:, TILE:] = False
    assert flattest_tiles(planes, NOISE, sound, 0.4) == [(TILE, 0)]
    np.testing.assert_array_equal(cut_tiles(planes, [(TILE, 0)])[0], planes[:, TILE:, :TILE])


LIKENESS_NOISE = NoiseModel.uniform(shot_noise=1e-3, read_noise=1e-5)


def textured_picture(height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A textured clean picture, and the same with noise."""
    generator = np.random.default_rng(5)
    texture = uniform_filter(generator.normal(size=(4, height, width)), size=(0, 3, 3)) * 0.2
    clean = (0.4 + texture).astype(np.float32)
    noise = generator.normal(size=clean.shape) * np.sqrt(LIKENESS_NOISE.variance(clean))
    return clean, (clean + noise).astype(np.float32)


@pytest.mark.parametrize("size", [(300, 420), (64, 50)])
def test_noise_alone_is_white(size: tuple[int, int]) -> None:
    clean, noisy = textured_picture(*size)
    found = likeness_of_neighbours(noisy, clean, LIKENESS_NOISE)
    assert found is not None
    assert found < 4 / np.sqrt(4 * size[0] * size[1])  # four standard errors of a correlation of so many pairs


def test_detail_that_was_taken_away_is_not() -> None:
    clean, noisy = textured_picture(300, 420)
    blurred = uniform_filter(clean, size=(0, 5, 5))
    found = likeness_of_neighbours(noisy, blurred, LIKENESS_NOISE)
    assert found is not None
    assert found > 0.2


def test_it_does_not_depend_on_the_strength() -> None:
    clean, noisy = textured_picture(200, 200)
    blurred = uniform_filter(clean, size=(0, 5, 5))
    half = noisy + np.float32(0.5) * (blurred - noisy)
    assert likeness_of_neighbours(noisy, half, LIKENESS_NOISE) == pytest.approx(
        likeness_of_neighbours(noisy, blurred, LIKENESS_NOISE), rel=0.05
    )


def test_where_nothing_was_taken_away_there_is_nothing_to_say() -> None:
    _, noisy = textured_picture(40, 40)
    assert likeness_of_neighbours(noisy, noisy, LIKENESS_NOISE) is None
