"""Merging: the noise falls as it should, what moved leaves no ghost, edges stay sharp."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from bursts import NOISE, cut, frame_planes
from captured_frames import make_scene

from training.brightness import local_mean
from training.burst.merging import Merge, Merged, agreement
from training.raw.bayer import pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SCENE = make_scene(480, 560, seed=7)
CLEAN = pack(cut(SCENE))
SIGMA = np.sqrt(NOISE.variance(CLEAN))
SHIFTS = [(0, 0), (4, -6), (-2, 8), (10, 2), (0, -12), (-8, -8), (6, 6), (-12, 0)]
INSIDE = (slice(None), slice(8, -8), slice(8, -8))
"""What all frames show."""


def merged(scenes: Sequence[NDArray[np.float32]], shifts: Sequence[tuple[int, int]]) -> Merged:
    """The merge of a frame of each scene."""
    frames = [frame_planes(scene, shift, seed) for seed, (scene, shift) in enumerate(zip(scenes, shifts, strict=True))]
    merge = Merge(frames[0], NOISE)
    for frame in frames[1:]:
        merge.add(frame)
    return merge.result()


def error_db(packed: NDArray[np.float32]) -> float:
    """Mean square of the error in units of the noise of one frame, in decibels, where all frames see."""
    return float(10 * np.log10(np.square(((packed - CLEAN) / SIGMA)[INSIDE]).mean()))


@pytest.mark.parametrize("count", [2, 4, 8])
def test_the_noise_falls_with_the_number_of_frames(count: int) -> None:
    result = merged([SCENE] * count, SHIFTS[:count])
    assert -error_db(result.packed) == pytest.approx(10 * np.log10(count), abs=0.2)
    assert float(np.median(result.frames)) == pytest.approx(count, rel=1e-3)


def test_the_number_of_frames_tells_what_noise_is_left_also_at_the_border() -> None:
    result = merged([SCENE] * 8, SHIFTS)
    square = np.square((result.packed - CLEAN) / SIGMA).mean(axis=0) * result.frames
    assert float(square.mean()) == pytest.approx(1, abs=0.03)
    assert float(square[:6].mean()) == pytest.approx(1, abs=0.06)
    assert result.frames[0, 0] < 8


@pytest.mark.parametrize("stated", [0.7, 1.0, 1.4])
def test_a_noise_model_that_is_somewhat_off_costs_little(stated: float) -> None:
    merge = Merge(frame_planes(SCENE, SHIFTS[0], 0), NOISE.scaled(stated))
    for seed, shift in enumerate(SHIFTS[1:], 1):
        merge.add(frame_planes(SCENE, shift, seed))
    assert error_db(merge.result().packed) < -8.7


@pytest.mark.parametrize("contrast", [1.0, 3.0, 30.0])
@pytest.mark.parametrize("size", [24, 100])
def test_what_moves_leaves_no_ghost(size: int, contrast: float) -> None:
    scenes = []
    for step in range(8):
        scene = SCENE.copy()
        place = (slice(200, 200 + size), slice(80 + 40 * step, 80 + 40 * step + size))
        scene[place] += contrast * np.sqrt(NOISE.shot_noise[0] * scene[place] + NOISE.read_noise[0])
        scenes.append(scene)
    result = merged(scenes, SHIFTS)
    error = (result.packed - pack(cut(scenes[0]))) / SIGMA
    ghost = max(np.abs(local_mean(plane, 9)).max() for plane in error)
    single = (frame_planes(scenes[0], (0, 0), 0) - pack(cut(scenes[0]))) / SIGMA
    assert ghost < 1.1 * max(np.abs(local_mean(plane, 9)).max() for plane in single)
    still = np.s_[:, :60]
    assert np.square(error[still]).mean() < 0.2, "far from it all frames are merged"


def test_a_ghost_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.burst.merging.agreement", lambda first, *_: np.ones(first.shape[1:], np.float32))
    with pytest.raises(AssertionError):
        test_what_moves_leaves_no_ghost(100, 3.0)


@pytest.mark.parametrize("shift", [(1, 0), (3, 5), (-1, 7)])
def test_half_a_cell_blurs_no_edge(shift: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    edges = np.hypot(*np.gradient(CLEAN.mean(axis=0))) > 0.02
    assert 50 < edges.sum() < 0.2 * edges.size

    def errors() -> tuple[float, float]:
        result = merged([SCENE] * 8, [(0, 0), *[shift] * 7])
        return float(np.square((result.packed - CLEAN) / SIGMA)[:, edges].mean()), error_db(result.packed)

    at_edges, everywhere = errors()
    assert at_edges < 1.6, "that of a single frame is 1"
    assert everywhere < -5
    monkeypatch.setattr("training.burst.merging.agreement", lambda first, *_: np.ones(first.shape[1:], np.float32))
    assert errors()[0] > 3, "a plain mean blurs"


def test_a_hot_photosite_of_one_frame_costs_its_neighbours_nothing() -> None:
    first, other = (frame_planes(SCENE, (0, 0), seed) for seed in (0, 1))
    before = agreement(first, other, NOISE)
    other[1, 100, 100] = 1.0
    assert agreement(first, other, NOISE)[97:104, 97:104].min() > before[97:104, 97:104].min() - 0.5


def test_bands_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    first, other = (frame_planes(SCENE, (0, 0), seed) for seed in (0, 1))
    whole = agreement(first, other, NOISE)
    monkeypatch.setattr("training.burst.merging._BAND", 50)
    np.testing.assert_allclose(agreement(first, other, NOISE), whole, atol=1e-6)
