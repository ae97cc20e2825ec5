"""The interval of a gain holds the truth as often as it says."""

from __future__ import annotations

import numpy as np
import pytest

from training.finetuning import bootstrap
from training.finetuning.bootstrap import bootstrap_gain


def tiles(rng: np.random.Generator, count: int, gain_db: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Errors of one capture's tiles of differing difficulty, with noise that base and candidate share in part."""
    difficulty = rng.gamma(4, 0.02, count)
    shared = rng.normal(0, 0.03, count)
    base = difficulty + shared + rng.normal(0, 0.005, count)
    candidate = difficulty * 10 ** (-gain_db / 10) + shared + rng.normal(0, 0.005, count)
    return np.stack([base, candidate], axis=1), np.ones(count), np.zeros(count, dtype=np.intp)


@pytest.mark.parametrize("gain_db", [0.0, 0.5])
def test_the_interval_covers_the_truth_about_95_times_in_100(gain_db: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "DRAWS", 400)
    rng = np.random.default_rng(3)
    found = [bootstrap_gain(*tiles(rng, 200, gain_db), seed=index) for index in range(300)]
    covered = np.mean([each.low <= gain_db <= each.high for each in found])
    assert 0.90 <= covered <= 0.99
    assert np.mean([each.db for each in found]) == pytest.approx(gain_db, abs=0.05)


def test_pairing_makes_it_narrow() -> None:
    errors, noise, captures = tiles(np.random.default_rng(0), 400, 0.5)
    paired = bootstrap_gain(errors, noise, captures)
    mixed = np.stack([errors[:, 0], np.random.default_rng(1).permutation(errors[:, 1])], axis=1)
    unpaired = bootstrap_gain(mixed, noise, captures)
    assert paired.high - paired.low < 0.6 * (unpaired.high - unpaired.low)
    assert paired == bootstrap_gain(errors, noise, captures)


def test_captures_that_disagree_make_it_wide() -> None:
    gains = [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]
    rng = np.random.default_rng(5)
    parts = [tiles(rng, 200, gain) for gain in gains]
    errors, noise = (np.concatenate([part[column] for part in parts]) for column in (0, 1))
    apart = bootstrap_gain(errors, noise, np.repeat(np.arange(6), 200))
    as_one = bootstrap_gain(errors, noise, np.zeros(1200, dtype=np.intp))
    assert apart.high - apart.low > 3 * (as_one.high - as_one.low)
    assert apart.low < 0.25


def test_errors_below_what_can_be_told_are_no_gain() -> None:
    nothing = np.full((50, 2), -0.01) * [1, 2]
    assert bootstrap_gain(nothing, np.ones(50), np.zeros(50, dtype=np.intp)) == (0.0, 0.0, 0.0)
