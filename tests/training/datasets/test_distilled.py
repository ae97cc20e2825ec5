"""Pairs made of what another network made of noisy patches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from training.datasets.distilled import MEASURED_SHARE, DistilledPatches
from training.datasets.synthetic import SyntheticRaws

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.datasets.base import Patch

PICTURE = np.random.default_rng(0).integers(0, 256, (150, 170, 3), dtype=np.uint8)
SOURCE = SyntheticRaws(pictures=(PICTURE,), patch_size=32, scales=(1.0,), shot_noise_range=(4e-3, 4e-3), pairs=True)


def flat(patch: Patch) -> NDArray[np.float32]:
    """A teacher that knows the patch's mean alone."""
    return np.broadcast_to(patch.noisy.mean(axis=(1, 2), keepdims=True), patch.noisy.shape).astype(np.float32)


PAIRS = DistilledPatches(source=SOURCE, teacher=flat)
DRAWN = [(SOURCE.draw((0, 1, index)), PAIRS.draw((0, 1, index))) for index in range(200)]


def test_the_target_is_what_the_teacher_made_of_the_noisy_patch() -> None:
    for patch, pair in DRAWN:
        np.testing.assert_array_equal(pair.clean, flat(patch))
        assert (pair.shot_noise, pair.read_noise) == (patch.shot_noise, patch.read_noise)
        assert pair.second is None


def test_the_input_is_measured_in_the_published_share_of_pairs_and_else_the_target_with_new_noise() -> None:
    measured = [np.array_equal(patch.noisy, pair.noisy) for patch, pair in DRAWN]
    assert pytest.approx(0.1 / (0.1 + 1)) == MEASURED_SHARE
    assert sum(measured) / len(measured) == pytest.approx(MEASURED_SHARE, abs=4 * np.sqrt(1 / 11 * 10 / 11 / 200))
    made = [pair for (_, pair), was in zip(DRAWN, measured, strict=True) if not was]
    units = [(p.noisy - p.clean) / np.sqrt(p.shot_noise * p.clean + p.read_noise) for p in made if p.clean is not None]
    assert float(np.mean(units)) == pytest.approx(0, abs=0.01)
    assert float(np.std(units)) == pytest.approx(1, abs=0.02)


def test_the_same_seed_draws_the_same_pair() -> None:
    again = PAIRS.draw((0, 1, 7))
    np.testing.assert_array_equal(again.noisy, DRAWN[7][1].noisy)
    assert not np.array_equal(again.noisy, PAIRS.draw((0, 1, 8)).noisy)


def test_noise_is_added_to_no_light_below_black() -> None:
    below = DistilledPatches(source=SOURCE, teacher=lambda patch: np.full_like(patch.noisy, -0.5))
    targets = {float(below.draw((0, index)).clean.min()) for index in range(60)}
    assert targets == {-0.5, 0.0}  # of measured pairs the teacher's own word, of others what noise was added to
