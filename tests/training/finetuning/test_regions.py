"""What is judged on is nowhere near what is trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from captured_frames import add_gaussian, make_frame, make_scene
from hypothesis import given
from hypothesis import strategies as st

from training.errors import ConfigError
from training.finetuning.patches import FramePatches
from training.finetuning.regions import split, split_frames

if TYPE_CHECKING:
    from pathlib import Path


@given(
    height=st.integers(200, 3000).map(lambda n: 2 * n),
    width=st.integers(200, 3000).map(lambda n: 2 * n),
    share=st.floats(0.05, 0.5),
    at_end=st.booleans(),
)
def test_the_two_parts_are_disjoint_even_and_cover_the_frame(
    height: int, width: int, share: float, at_end: bool
) -> None:
    training, held_out = split((height, width), share, at_end=at_end)
    assert not training.overlaps(held_out)
    assert np.prod(training.shape) + np.prod(held_out.shape) == height * width
    assert all(edge % 2 == 0 for edge in (*training, *held_out))
    assert min(held_out.shape) >= 128


@pytest.mark.parametrize("shape", [(512, 700), (700, 512)])
def test_no_patch_touches_a_held_out_photosite(tmp_path: Path, shape: tuple[int, int]) -> None:
    noisy = add_gaussian(make_scene(*shape), 0)
    splits = split_frames([make_frame(tmp_path, "a", noisy)], [], 0.25, 64)
    marked = noisy.copy()
    marked[splits[0].held_out.slices] = 99  # what training must never see
    frame = make_frame(tmp_path, "b", marked)
    patches = FramePatches(frames=(frame,), regions=(splits[0].training,), patch_size=64, partners={})
    drawn = [patches.draw((0, 0, index)) for index in range(400)]
    assert max(float(patch.noisy.max()) for patch in drawn) < 2
    corners = {patch.source for patch in drawn}
    assert len(corners) > 300


def test_the_whole_training_region_is_drawn_from(tmp_path: Path) -> None:
    noisy = np.arange(400 * 400, dtype=np.float32).reshape(400, 400)
    frame = make_frame(tmp_path, "a", noisy)
    region = split_frames([frame], [], 0.4, 32)[0].training
    patches = FramePatches(frames=(frame,), regions=(region,), patch_size=32, partners={})
    seen = np.zeros(noisy.shape, dtype=bool)
    for index in range(800):
        seen.ravel()[patches.draw((0, 0, index)).noisy.astype(int)] = True
    inside = seen[region.slices]
    assert inside[8:-8, 8:-8].mean() > 0.98
    assert inside.sum() == seen.sum()


def test_frames_of_one_scene_are_cut_at_the_same_end(tmp_path: Path) -> None:
    frames = [make_frame(tmp_path, f"{n}", add_gaussian(make_scene(), n)) for n in range(6)]
    splits = split_frames(frames, [[0, 1, 2, 3, 4, 5]], 0.25, 64)
    assert len(set(splits)) == 1
    assert len(set(split_frames(frames, [], 0.25, 64))) == 2


def test_a_frame_too_small_is_named(tmp_path: Path) -> None:
    frame = make_frame(tmp_path, "small.dng", add_gaussian(make_scene(256, 300), 0))
    with pytest.raises(ConfigError, match=r"small\.dng has 256×300 photosites.*needs 195×195"):
        split_frames([frame], [], 0.5, 96)


def test_a_second_frame_is_cut_as_the_first(tmp_path: Path) -> None:
    scene = make_scene()
    frames = tuple(make_frame(tmp_path, f"{n}", scene + n) for n in range(3))
    regions = tuple(parts.training for parts in split_frames(frames, [[0, 2]], 0.2, 64))
    patches = FramePatches(frames=frames, regions=regions, patch_size=64, partners={0: 2, 2: 0})
    for index in range(20):
        patch = patches.draw((0, 0, index))
        assert patch.second is not None
        assert np.abs(np.abs(patch.second - patch.noisy) - 2).max() < 1e-5
