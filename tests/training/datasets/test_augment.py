"""Flips, transposes and crops: what comes out is what a camera turned that way would have seen."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest

from training.datasets.augment import (
    Augmentation,
    augment,
    draw_augmentation,
    draw_place,
    smallest_mosaic,
)
from training.datasets.synthetic import mosaic_of, mosaic_planes
from training.raw.bayer import CFA_PATTERNS, CfaPattern
from training.raw.patterns import channel_grid, tile_cell

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALL = [Augmentation(*flags) for flags in product([False, True], repeat=3)]


def turn(picture: NDArray[np.float32], augmentation: Augmentation) -> NDArray[np.float32]:
    """A full-colour picture, flipped and transposed; what a flip cuts off the mosaic is cut off here too."""
    if augmentation.flip_rows:
        picture = picture[::-1]
    if augmentation.flip_columns:
        picture = picture[:, ::-1]
    top, left = int(augmentation.flip_rows), int(augmentation.flip_columns)
    picture = picture[top : top + picture.shape[0] - 2, left : left + picture.shape[1] - 2]
    return picture.transpose(1, 0, 2) if augmentation.transpose else picture


@pytest.mark.parametrize("augmentation", ALL, ids=str)
def test_augmenting_a_mosaic_equals_the_mosaic_of_the_turned_picture(augmentation: Augmentation) -> None:
    picture = np.random.default_rng(0).random((18, 14, 3), dtype=np.float32)
    expected = mosaic_planes(np.ascontiguousarray(turn(picture, augmentation)))
    np.testing.assert_array_equal(augment(mosaic_of(picture), augmentation), expected)


def test_flipping_packed_planes_instead_would_be_wrong() -> None:
    picture = np.random.default_rng(0).random((18, 14, 3), dtype=np.float32)
    planes = mosaic_planes(picture)[:, :, ::-1]
    right = augment(mosaic_of(picture), Augmentation(flip_rows=False, flip_columns=True, transpose=False))
    assert np.array_equal(planes[0, :8, :6], right[0])  # red alone comes out the same …
    assert not np.array_equal(planes[1, :8, :6], right[1])  # … the green beside it does not


@pytest.mark.parametrize("pattern", CFA_PATTERNS)
def test_every_crop_begins_on_red_and_lies_inside(pattern: CfaPattern) -> None:
    shape = (smallest_mosaic(8) + 5, smallest_mosaic(8) + 2)
    channels = tile_cell(channel_grid(pattern), shape)
    rng = np.random.default_rng(0)
    for _ in range(50):
        place = draw_place(rng, shape, pattern, 8)
        crop = channels[place.slices]
        assert crop.shape == (18, 18)
        assert crop[:2, :2].tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize("pattern", CFA_PATTERNS)
def test_the_smallest_mosaic_holds_a_crop(pattern: CfaPattern) -> None:
    size = smallest_mosaic(8)
    place = draw_place(np.random.default_rng(0), (size, size), pattern, 8)
    assert place.top + place.size <= size
    assert place.left + place.size <= size


def test_all_eight_symmetries_and_all_places_are_drawn() -> None:
    rng = np.random.default_rng(0)
    assert {draw_augmentation(rng) for _ in range(200)} == set(ALL)
    places = {draw_place(rng, (22, 20), "RGGB", 8) for _ in range(200)}
    assert {place.top for place in places} == {0, 2, 4}
    assert {place.left for place in places} == {0, 2}
