"""Black and white levels: the formula, its inverse, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from training.raw.bayer import CFA_PATTERNS, CfaPattern
from training.raw.levels import Levels, denormalise, normalise, quantise
from training.raw.patterns import channel_grid

patterns = pytest.mark.parametrize("cfa_pattern", CFA_PATTERNS)
SHAPE = (7, 9)
LEVELS = Levels(
    black_level=(500, 512.25, 530, 555),
    white_level=4095,
    black_delta_rows=tuple(0.5 * row for row in range(SHAPE[0])),
    black_delta_columns=tuple(-0.25 * column for column in range(SHAPE[1])),
)


def _mosaic() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 4096, SHAPE).astype(np.uint16)


@patterns
def test_normalise_is_the_formula_of_the_specification(cfa_pattern: CfaPattern) -> None:
    mosaic, signal = _mosaic(), normalise(_mosaic(), LEVELS, cfa_pattern)
    assert signal.dtype == np.float32
    for row in range(SHAPE[0]):
        for column in range(SHAPE[1]):
            channel = channel_grid(cfa_pattern)[row % 2, column % 2]
            black = LEVELS.black_level[channel] + 0.5 * row - 0.25 * column
            mean_black = LEVELS.black_level[channel] + 0.5 * 3 - 0.25 * 4
            wanted = (float(mosaic[row, column]) - black) / (4095 - mean_black)
            assert signal[row, column] == pytest.approx(wanted, abs=1e-6)


@patterns
def test_denormalise_inverts_normalise(cfa_pattern: CfaPattern) -> None:
    mosaic = _mosaic()
    restored = denormalise(normalise(mosaic, LEVELS, cfa_pattern), LEVELS, cfa_pattern)
    assert (quantise(restored, 65535) == mosaic).all()


def test_noise_below_black_and_above_white_is_not_clipped() -> None:
    levels = Levels(black_level=(100,) * 4, white_level=1100)
    signal = normalise(np.array([[0, 1200]], dtype=np.uint16), levels, "RGGB")
    assert signal[0].tolist() == pytest.approx([-0.1, 1.1])


@pytest.mark.parametrize(
    ("black", "white"), [(1000, 900), (1000, 1000), (float("nan"), 900), (0, 0), (0, 65536), (0, float("nan"))]
)
def test_levels_without_room_for_a_signal_are_errors(black: float, white: float) -> None:
    with pytest.raises(ValueError, match="level of"):
        Levels(black_level=(0, 0, black, 0), white_level=white)


def test_deltas_count_towards_black() -> None:
    with pytest.raises(ValueError, match="black level"):
        Levels(black_level=(0,) * 4, white_level=1000, black_delta_rows=(900, 1200))


def test_quantise_rounds_to_nearest_and_clips() -> None:
    values = np.array([-0.6, 0.49, 0.51, 1022.6, 1024.0], dtype=np.float32)
    assert quantise(values, 1023).tolist() == [0, 0, 1, 1023, 1023]
    assert quantise(values, 1023).dtype == np.uint16
