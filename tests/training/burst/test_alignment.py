"""How frames of a burst are shifted: found to the cell, at any noise, and never made up."""

from __future__ import annotations

import numpy as np
import pytest
from bursts import NOISE, frame_planes
from captured_frames import make_scene
from hypothesis import given
from hypothesis import strategies as st

from training.burst.alignment import MAX_SHARE, Shift, find_shift, guide
from training.noise import NoiseModel

SCENE = make_scene(400, 480, seed=5)


def found(scene: np.ndarray, shift: tuple[int, int], noise: NoiseModel = NOISE) -> Shift:
    """What is found between an unmoved frame and one that is shifted by photosites."""
    frames = (frame_planes(scene, place, seed, noise) for seed, place in enumerate([(0, 0), shift]))
    return find_shift(*(guide(frame, noise) for frame in frames))


@pytest.mark.parametrize("noise", [(1e-6, 1e-10), (1e-3, 1e-5), (5e-3, 1e-4), (1e-9, 1e-3)])
@pytest.mark.parametrize("shift", [(0, 0), (2, -4), (-48, 48), (10, 0), (0, -2)])
def test_shifts_of_whole_cells_are_found_exactly(shift: tuple[int, int], noise: tuple[float, float]) -> None:
    model = NoiseModel.uniform(shot_noise=noise[0], read_noise=noise[1])
    assert found(SCENE, shift, model) == (shift[0] // 2, shift[1] // 2)


@pytest.mark.parametrize("shift", [(3, -5), (-1, 1), (7, 0)])
def test_of_a_shift_by_half_a_cell_one_of_its_neighbours_is_found(shift: tuple[int, int]) -> None:
    down, across = found(SCENE, shift)
    assert abs(2 * down - shift[0]) <= 1
    assert abs(2 * across - shift[1]) <= 1


@pytest.mark.parametrize("seed", range(5))
def test_where_there_is_nothing_to_see_nothing_is_shifted(seed: int) -> None:
    flat = np.full((400, 480), 0.3, dtype=np.float32)
    frames = [guide(frame_planes(flat, (0, 0), 2 * seed + index), NOISE) for index in (0, 1)]
    assert find_shift(*frames) == (0, 0)


def test_a_hot_photosite_at_the_same_place_does_not_hold_a_frame() -> None:
    frames = [frame_planes(SCENE, place, index) for index, place in enumerate([(0, 0), (12, -8)])]
    hot = np.random.default_rng(9).random(frames[0].shape) < 1e-3
    for frame in frames:
        frame[hot] = 1.0
    assert find_shift(*(guide(frame, NOISE) for frame in frames)) == (6, -4)


@given(st.integers(-20, 20), st.integers(-20, 20), st.integers(81, 99), st.integers(81, 99))
def test_the_overlap_shows_the_same_in_both_frames(down: int, across: int, height: int, width: int) -> None:
    rows, columns = np.mgrid[0:height, 0:width]
    first = np.stack([rows, columns])
    other = first + np.array([down, across])[:, None, None]  # its cell (r, c) shows what (r + down, c + across) shows
    here, there = Shift(down, across).overlap(height, width)
    np.testing.assert_array_equal(first[:, *here], other[:, *there])
    assert first[:, *here].size == 2 * (height - abs(down)) * (width - abs(across))


def test_a_shift_by_more_than_a_quarter_is_not_looked_for() -> None:
    height, width = guide(frame_planes(SCENE, (0, 0), 0), NOISE).shape
    shift = find_shift(
        *(guide(frame_planes(SCENE, (0, 0), 0)[:, :, cut], NOISE) for cut in (slice(0, 90), slice(90, 180)))
    )
    assert abs(shift.down) <= MAX_SHARE * height
    assert abs(shift.across) <= MAX_SHARE * width
