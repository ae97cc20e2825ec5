"""The interval of a gain holds the truth as often as it says."""

from __future__ import annotations

import numpy as np
import pytest

from training.finetuning import bootstrap
from training.finetuning.bootstrap import bootstrap_gain


def tiles(rng: np.random.Generator, count: int, gain_db: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Errors of tiles of differing difficulty, estimated with noise that base and candidate share in part."""
    difficulty = rng.gamma(4, 0.02, count)
    shared = rng.normal(0, 0.03, count)
    base = difficulty + shared + rng.normal(0, 0.005, count)
    candidate = difficulty * 10 ** (-gain_db / 10) + shared + rng.normal(0, 0.005, count)
    return base, candidate, np.ones(count)


@pytest.mark.parametrize("gain_db", [0.0, 0.5])
def test_the_interval_covers_the_truth_about_95_times_in_100(gain_db: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "DRAWS", 400)
    rng = np.random.default_rng(3)
    found = [bootstrap_gain(*tiles(rng, 200, gain_db), seed=index) for index in range(300)]
    covered = np.mean([each.low <= gain_db <= each.high for each in found])
    assert 0.90 <= covered <= 0.99
    assert np.mean([each.db for each in found]) == pytest.approx(gain_db, abs=0.05)


def test_pairing_makes_it_narrow() -> None:
    base, candidate, noise = tiles(np.random.default_rng(0), 400, 0.5)
    paired = bootstrap_gain(base, candidate, noise)
    mixed = bootstrap_gain(base, np.random.default_rng(1).permutation(candidate), noise)
    assert paired.high - paired.low < 0.6 * (mixed.high - mixed.low)
    assert paired == bootstrap_gain(base, candidate, noise)


def test_errors_below_what_can_be_told_are_no_gain() -> None:
    nothing = np.full(50, -0.01)
    assert bootstrap_gain(nothing, 2 * nothing, np.ones(50)) == (0.0, 0.0, 0.0)
