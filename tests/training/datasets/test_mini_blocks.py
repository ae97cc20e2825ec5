"""The validation set that ships: known noise, all patterns, hard content, the same every time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sidd_factory import make_blocks

from training.datasets import validation_sets
from training.datasets.mini_blocks import SPEEDS, make_mini_blocks, phone_noise
from training.datasets.procedural import PICTURES, dead_leaves, gradients, night, texture
from training.datasets.validation_sets import open_validation
from training.errors import ConfigError
from training.raw.bayer import CFA_PATTERNS, pack, unify
from training.validate import image_noise

if TYPE_CHECKING:
    from pathlib import Path

    from training.datasets.sidd_blocks import BlockSet


@pytest.fixture(scope="module")
def mini() -> BlockSet:
    return make_mini_blocks()


def test_every_speed_comes_in_every_pattern(mini: BlockSet) -> None:
    assert mini.shape == (16, 4, 256, 256)
    pairs = [(scene.iso, pattern) for scene, pattern in zip(mini.scenes, mini.patterns, strict=True)]
    assert sorted(pairs) == sorted((iso, pattern) for iso in SPEEDS for pattern in CFA_PATTERNS)


def test_blocks_lie_between_black_and_white_like_sidds(mini: BlockSet) -> None:
    for image in range(16):
        noisy, clean = mini.noisy_blocks(image), mini.clean_blocks(image)
        assert (noisy.dtype, noisy.shape) == (np.float32, (4, 256, 256))
        assert min(noisy.min(), clean.min()) >= 0
        assert max(noisy.max(), clean.max()) <= 1


def test_the_noise_is_the_phones(mini: BlockSet) -> None:
    for image in range(16):
        noisy, clean = mini.noisy_blocks(image), mini.clean_blocks(image)
        noise = phone_noise(mini.scenes[image].iso or 0)
        variance = noise.shot_noise[0] * clean + noise.read_noise[0]
        unclipped = (clean > 4 * np.sqrt(variance)) & (clean < 1 - 4 * np.sqrt(variance))
        normalised = ((noisy - clean) / np.sqrt(variance))[unclipped]
        assert normalised.mean() == pytest.approx(0, abs=0.02)
        assert normalised.std() == pytest.approx(1, abs=0.02)


def test_the_noise_can_be_estimated_from_every_image(mini: BlockSet) -> None:
    for image in range(16):
        estimate, _ = image_noise(mini.noisy_blocks(image), None, mini.scenes[image].name)
        assert estimate.shot_noise[0] == pytest.approx(phone_noise(mini.scenes[image].iso or 0).shot_noise[0], rel=0.15)


def test_patterns_name_the_colours_rightly(mini: BlockSet) -> None:
    """The greens of a cell agree better than red and blue do, in every pattern: they see the same colour."""
    for image, pattern in enumerate(mini.patterns):
        clean = mini.clean_blocks(image)
        red, green_red, green_blue, blue = (pack(unify(clean[1], pattern))[channel].mean() for channel in range(4))
        assert abs(green_red - green_blue) < 0.1 * min(abs(green_red - red), abs(green_red - blue))


def test_the_set_is_the_same_every_time() -> None:
    first, second = make_mini_blocks(32), make_mini_blocks(32)
    assert first.shape == (16, 4, 32, 32)
    for image in range(16):
        np.testing.assert_array_equal(first.noisy_blocks(image), second.noisy_blocks(image))
    assert not np.array_equal(first.noisy_blocks(0), first.noisy_blocks(4))


def test_what_was_read_can_be_changed_without_harm() -> None:
    blocks = make_mini_blocks(32)
    blocks.noisy_blocks(0)[:] = 7
    assert blocks.noisy_blocks(0).max() <= 1


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("size", [65, 130])
def test_pictures_fill_their_range(name: str, size: int) -> None:
    picture = PICTURES[name](size, np.random.default_rng(3))
    assert picture.shape == (size, size, 3)
    assert picture.dtype == np.float32
    assert picture.min() >= 0
    assert 0.5 < picture.max() <= 1
    assert picture.std() > 0.05


def test_each_picture_is_hard_in_its_own_way() -> None:
    def steps(picture: np.ndarray) -> np.ndarray:
        return np.abs(np.diff(picture[64:].mean(axis=-1), axis=1))  # below the staircase of greys

    rng = np.random.default_rng(5)
    leaves, slopes, cloth, dark = (draw(256, rng) for draw in (dead_leaves, gradients, texture, night))
    assert np.quantile(steps(leaves), 0.5) < 1e-6  # flat …
    assert steps(leaves).max() > 0.5  # … with hard edges
    assert 0 < steps(slopes).max() < 0.01
    assert np.quantile(steps(cloth), 0.25) > 0.01  # nowhere flat
    assert np.median(dark) < 0.25
    assert dark.max() > 0.9


def test_mini_and_folders_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation_sets, "make_mini_blocks", partial(make_mini_blocks, 32))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mini").mkdir()
    make_blocks(tmp_path / "mini")
    assert open_validation("mini")[0].shape == (16, 4, 32, 32)
    assert open_validation("./mini")[0].shape == (2, 3, 96, 96)


def test_patterns_cannot_be_given_for_mini() -> None:
    with pytest.raises(ConfigError, match="--cfa"):
        open_validation("mini", patterns={"": "RGGB"})
