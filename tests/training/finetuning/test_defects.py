"""Photosites that are wrong in every capture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from captured_frames import NOISE, add_gaussian, make_frame, make_scene, quiet

from training.finetuning.defects import find_defects
from training.finetuning.frames import with_defects

if TYPE_CHECKING:
    from pathlib import Path

    from training.finetuning.frames import Frame

RNG = np.random.default_rng(7)
HOT = RNG.random((512, 512)) < 1 / 2000
HEAT = np.where(HOT, 0.2, 0).astype(np.float32)


def frames(folder: Path, count: int, heat: np.ndarray = HEAT) -> list[Frame]:
    return [
        make_frame(folder, f"{n}", add_gaussian(make_scene(seed=n), n) + heat.astype(np.float32)) for n in range(count)
    ]


def test_hot_photosites_are_found_and_nothing_else(tmp_path: Path) -> None:
    found = find_defects(frames(tmp_path, 5), quiet)
    assert found is not None
    assert (found & HOT).sum() >= 0.98 * HOT.sum()
    assert (found & ~HOT).sum() <= 1


def test_scenes_without_defects_have_none(tmp_path: Path) -> None:
    assert find_defects(frames(tmp_path, 5, np.zeros_like(HEAT)), quiet) is None


def test_two_scenes_are_too_few_to_tell(tmp_path: Path) -> None:
    assert find_defects(frames(tmp_path, 2), quiet) is None


def test_known_defects_are_filled_and_do_not_count_as_noise(tmp_path: Path) -> None:
    seen = frames(tmp_path, 1)[0]
    known = with_defects(seen, HOT)
    filled = known.read_filled()
    assert np.abs(filled - make_scene(seed=0))[HOT].max() < 0.3
    assert np.abs(filled - make_scene(seed=0))[HOT].mean() < 0.05
    np.testing.assert_array_equal(filled[~HOT], seen.read()[~HOT])
    np.testing.assert_array_equal(known.read(), seen.read())
    assert abs(known.actual.shot_noise[0] / NOISE.shot_noise[0] - 1) < 0.15
