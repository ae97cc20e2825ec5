"""Patches of photographs as they are, and pairs of noisy frames."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from training.config import TrainingConfig
from training.datasets.noisy_pictures import NoisyPictures
from training.datasets.synthetic import SyntheticRaws
from training.errors import ConfigError
from training.run.batches import collate
from training.run.sources import open_sources

if TYPE_CHECKING:
    from pathlib import Path

PICTURE = np.random.default_rng(0).integers(0, 256, (150, 170, 3), dtype=np.uint8)
NOISY = NoisyPictures(pictures=(PICTURE,), names=("a",), patch_size=64, noise="gauss25")


def test_a_patch_is_a_crop_of_the_picture_with_the_noise_it_says() -> None:
    patch = NOISY.draw((0, 1, 2))
    assert patch.noisy.shape == (3, 64, 64)
    assert (patch.shot_noise, patch.read_noise) == (0.0, pytest.approx((25 / 255) ** 2))
    assert float((patch.noisy - patch.clean).std()) == pytest.approx(25 / 255, rel=0.03)
    stored = np.rint(patch.clean * 255)
    np.testing.assert_allclose(stored, patch.clean * 255, atol=1e-4)  # of the picture's own numbers
    assert np.isin(stored[0], PICTURE[..., 0]).all()
    np.testing.assert_array_equal(NOISY.draw((0, 1, 2)).noisy, patch.noisy)
    assert not np.array_equal(NOISY.draw((0, 1, 3)).clean, patch.clean)


@pytest.mark.parametrize(
    "source", [NOISY, SyntheticRaws(pictures=(PICTURE,), patch_size=64, scales=(1.0,), shot_noise_range=(1e-2, 1e-2))]
)
def test_a_pair_has_one_signal_and_independent_noise_and_its_first_frame_is_that_of_no_pair(
    source: NoisyPictures | SyntheticRaws,
) -> None:
    pairs, seed = dataclasses.replace(source, pairs=True), (0, 0, 0)
    single, pair = source.draw(seed), pairs.draw(seed)
    assert single.second is None
    np.testing.assert_array_equal(single.noisy, pair.noisy)
    np.testing.assert_array_equal(single.clean, pair.clean)
    first, second = ((frame - pair.clean)[pair.clean < 0.5] for frame in (pair.noisy, pair.second))
    assert second.std() == pytest.approx(first.std(), rel=0.1)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.05


def test_a_folder_of_pictures_is_opened_for_training_and_pairs_come_where_they_are_learned_from(
    tmp_path: Path,
) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    Image.fromarray(PICTURE[:40]).save(tmp_path / "small.png")
    config = TrainingConfig(
        preset="t", dataset="srgb", picture_noise="poisson30", objective="noise2noise", patch_size=64
    )
    sources = open_sources(config, tmp_path)
    patch = sources.training.draw((0,))
    assert patch.second is not None
    assert (patch.shot_noise, patch.read_noise) == (pytest.approx(1 / 30), 0.0)
    assert sources.held_out is None
    assert sources.summary.startswith("1 pictures")
    alone = dataclasses.replace(config, objective="supervised")
    assert open_sources(alone, tmp_path).training.draw((0,)).second is None


def test_impulses_replace_pixels_in_all_channels_by_any_colour_and_leave_the_others() -> None:
    impulses = dataclasses.replace(NOISY, noise="impulse", patch_size=128, pairs=True)
    patch = impulses.draw((0, 0, 0))
    assert (patch.shot_noise, patch.read_noise, patch.impulses) == (0, 0, 0.5)
    replaced = patch.noisy != patch.clean
    assert float(replaced.any(axis=0).mean()) == pytest.approx(0.5, abs=0.02)
    np.testing.assert_array_equal(replaced.all(axis=0), replaced.any(axis=0))
    assert patch.second is not None
    again = (patch.second != patch.clean)[0]
    assert float((again & replaced[0]).mean()) == pytest.approx(0.25, abs=0.02)
    colours = patch.noisy[replaced].reshape(3, -1)
    counts = np.array([np.histogram(channel, bins=10, range=(0, 1))[0] for channel in colours])
    expected = colours.shape[1] / 10
    assert counts.sum() == colours.size
    assert ((counts - expected) ** 2 / expected).sum() < 55.5  # 99.9 % of chi-square, 27 degrees of freedom
    assert np.abs(np.corrcoef(colours) - np.eye(3)).max() < 0.05


def test_a_batch_knows_the_share_of_impulses_where_there_are_any() -> None:
    impulses = dataclasses.replace(NOISY, noise="impulse")
    batch = collate([impulses.draw((0, 0, index)) for index in range(2)], torch.device("cpu"))
    assert batch.impulses is not None
    assert batch.impulses.tolist() == [0.5, 0.5]
    assert collate([NOISY.draw((0, 0, 0))], torch.device("cpu")).impulses is None


def test_raws_are_given_the_noise_levels_that_are_listed() -> None:
    levels = ((1e-3, 1e-6), (4e-3, 1e-5))
    raws = SyntheticRaws(pictures=(PICTURE,), patch_size=32, scales=(1.0,), noise_levels=levels)
    drawn = [raws.draw((0, 0, index)) for index in range(40)]
    assert {(patch.shot_noise, patch.read_noise) for patch in drawn} == set(levels)


def test_an_unknown_noise_is_named() -> None:
    with pytest.raises(ConfigError, match="picture_noise: there is no 'gauss26'; there are gauss25"):
        TrainingConfig(preset="t", dataset="srgb", picture_noise="gauss26", objective="supervised")
