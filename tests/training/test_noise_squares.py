"""Noise of X-Trans and monochrome mosaics, as the pixels of a file show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from dng_factory import make_dng, xtrans_pattern

from training.datasets.synthetic import add_noise
from training.noise_choice import choose_noise
from training.noise_squares import GreenSquares, estimation_planes
from training.planes import PackedSignal
from training.raw.cells import CELLS, pack_cells
from training.raw.dng import read_raw

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SHOT, READ, MID_GREY = 1e-3, 4e-6, 0.18
BLACK, WHITE = 512, 16383


def test_squares_are_four_greens_side_by_side() -> None:
    letters = np.array([[*row] for row in CELLS["x-trans"].colours])
    places = np.arange(30 * 42, dtype=np.float32).reshape(30, 42)
    squares = GreenSquares(pack_cells(places, 6))[:, :, :]
    assert squares.shape == (4, 9, 13)
    row, column = np.divmod(squares.astype(int), 42)
    assert (letters[row % 6, column % 6] == "G").all()
    assert (row - row[0] == np.array([0, 0, 1, 1])[:, None, None]).all()
    assert (column - column[0] == np.array([0, 1, 0, 1])[:, None, None]).all()
    assert (np.diff(row[0], axis=0) == 3).all()
    assert (np.diff(column[0], axis=1) == 3).all()


def test_a_piece_of_squares_is_that_of_the_whole() -> None:
    squares = GreenSquares(pack_cells(np.random.default_rng(0).random((60, 72), dtype=np.float32), 6))
    whole = squares[:, :, :]
    for rows in (slice(0, 1), slice(1, 5), slice(4, 19), slice(18, 19)):
        for columns in (slice(None), slice(3, 4), slice(6, 23)):
            np.testing.assert_array_equal(squares[1:3, rows, columns], whole[1:3, rows, columns])


def test_other_sensors_have_planes_of_their_own() -> None:
    planes = np.zeros((4, 8, 8), dtype=np.float32)
    assert estimation_planes(planes, CELLS["bayer"]) is estimation_planes(planes, CELLS["monochrome"]) is planes


def textured_scene(height: int, width: int) -> NDArray[np.float32]:
    """Detail of all sizes between 0.02 and 0.8, through a camera's blur."""
    spectrum = np.fft.rfft2(np.random.default_rng(1).standard_normal((height, width)))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(height), np.fft.rfftfreq(width), indexing="ij"))
    scene = np.fft.irfft2(spectrum / (0.01 + frequency) * np.exp(-np.square(frequency / 0.2)), (height, width))
    return np.clip(0.2 * np.exp(0.4 * scene / scene.std()), 0.02, 0.8).astype(np.float32)


@pytest.mark.parametrize("tag", [None, (SHOT, READ), (4 * SHOT, READ)])
@pytest.mark.parametrize("pattern", [xtrans_pattern(), xtrans_pattern(2, 1), "Y"])
def test_the_noise_of_a_file_is_read_off_its_pixels(
    tmp_path: Path, pattern: str, tag: tuple[float, float] | None
) -> None:
    scene = textured_scene(902, 1000)
    gains = np.array([{"R": 0.6, "G": 1.0, "B": 0.5, "Y": 1.0}[letter] for letter in pattern])
    side = round(len(pattern) ** 0.5)
    rows, columns = np.mgrid[:902, :1000]
    clean = (scene * gains[rows % side * side + columns % side]).astype(np.float32)
    noisy = add_noise(clean[None], SHOT, READ, np.random.default_rng(2))[0]
    mosaic = np.clip(np.rint(noisy * (WHITE - BLACK) + BLACK), 0, WHITE).astype(np.uint16)
    path = make_dng(
        tmp_path / "a.dng", mosaic, cfa_pattern=pattern, black_level=BLACK, white_level=WHITE, noise_profile=tag
    )
    raw = read_raw(path)
    choice = choose_noise(PackedSignal(raw), raw.metadata)
    assert choice.source == ("tag" if tag == (SHOT, READ) else "estimate")
    assert choice.estimate is not None
    shot, read = choice.estimate.model.shot_noise[0], choice.estimate.model.read_noise[0]
    assert shot == pytest.approx(SHOT, rel=0.15)
    assert np.sqrt(shot * MID_GREY + read) == pytest.approx(np.sqrt(SHOT * MID_GREY + READ), rel=0.07)
