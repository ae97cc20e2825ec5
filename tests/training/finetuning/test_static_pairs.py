"""Which two frames count as two looks at one scene."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
from captured_frames import add_gaussian, make_frame, make_scene, quiet

from training.finetuning.static_pairs import partners, static_groups

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

SCENE = make_scene()


def test_frames_of_one_scene_find_each_other_among_others(tmp_path: Path) -> None:
    scenes = [SCENE, make_scene(seed=1), SCENE, make_scene(seed=2), SCENE, make_scene(seed=1)]
    frames = [make_frame(tmp_path, f"{n}", add_gaussian(scene, n)) for n, scene in enumerate(scenes)]
    groups = static_groups(frames, quiet)
    assert groups == [[0, 2, 4], [1, 5]]
    assert partners(groups) == {0: 2, 2: 4, 4: 0, 1: 5, 5: 1}


def test_something_that_moves_in_a_corner_is_forgiven(tmp_path: Path) -> None:
    moved = SCENE.copy()
    moved[:120, :120] += 0.1
    frames = [make_frame(tmp_path, "a", add_gaussian(SCENE, 0)), make_frame(tmp_path, "b", add_gaussian(moved, 1))]
    assert static_groups(frames, quiet) == [[0, 1]]


@pytest.mark.parametrize(
    "change",
    [
        lambda scene: np.roll(scene, 2, axis=1),
        lambda scene: scene * np.float32(1.03),
        lambda scene: scene[::-1],
    ],
    ids=["moved by a pixel", "relit by 3 %", "upside down"],
)
def test_what_is_not_the_same_scene_is_no_pair(
    tmp_path: Path, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> None:
    frames = [
        make_frame(tmp_path, "a", add_gaussian(SCENE, 0)),
        make_frame(tmp_path, "b", add_gaussian(change(SCENE), 1)),
    ]
    assert static_groups(frames, quiet) == []


def test_one_exposure_saved_twice_is_no_pair(tmp_path: Path) -> None:
    noisy = add_gaussian(SCENE, 0)
    rounded = (np.rint(noisy * 4096) / 4096).astype(np.float32)
    frames = [make_frame(tmp_path, "a", noisy), make_frame(tmp_path, "b", rounded)]
    assert static_groups(frames, quiet) == []


def test_another_camera_or_size_is_no_pair(tmp_path: Path) -> None:
    frames = [
        make_frame(tmp_path, "a", add_gaussian(SCENE, 0)),
        make_frame(tmp_path, "b", add_gaussian(SCENE, 1), camera="Phantom Two"),
        make_frame(tmp_path, "c", add_gaussian(SCENE, 2)[:-2]),
    ]
    assert static_groups(frames, quiet) == []


def test_a_noise_model_that_is_wrong_makes_no_pair(tmp_path: Path) -> None:
    frames = [make_frame(tmp_path, name, add_gaussian(SCENE, n)) for n, name in enumerate("ab")]
    small = [dataclasses.replace(frame, actual=frame.actual.scaled(0.25)) for frame in frames]
    assert static_groups(small, quiet) == []
