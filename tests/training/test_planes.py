"""A raw's planes, read piece by piece, are those that are made of the whole frame; and they lead back to it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from dng_factory import OTHER_PATTERNS, make_dng, sample_mosaic

from training.noise import NoiseModel
from training.planes import PackedSignal, pack_signal, unpack_mosaic
from training.raw.bayer import CFA_PATTERNS, pack, unify
from training.raw.cells import pack_cells, unpack_cells
from training.raw.defects import fill_bad_pixels
from training.raw.dng import read_raw
from training.raw.levels import denormalise, normalise, quantise
from training.raw.patterns import whole_cells

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from training.raw.image import RawImage

NOISE = NoiseModel.uniform(shot_noise=1e-3, read_noise=1e-6)
AREAS = [(0, 0, 301, 212), (3, 5, 300, 209), (2, 4, 299, 210)]
patterns = pytest.mark.parametrize("cfa_pattern", [*CFA_PATTERNS, *OTHER_PATTERNS])
areas = pytest.mark.parametrize("area", AREAS)


def a_raw(folder: Path, cfa_pattern: str, area: tuple[int, int, int, int], *, bad: bool = True) -> RawImage:
    """With uneven black, black deltas of rows and columns, bad photosites at the border too, and a clipped patch."""
    mosaic = sample_mosaic(301, 212, bits=12)
    mosaic[120:140, 60:90] = 4095
    top, left, bottom, right = area
    path = make_dng(
        folder / "in.dng", mosaic, bits=12, cfa_pattern=cfa_pattern, active_area=area,
        black_level=(60, 61.5, 62, 63.25), black_repeat=(2, 2),
        black_delta_v=[0.25 * (row % 7) for row in range(bottom - top)],
        black_delta_h=[-0.5 * (column % 3) for column in range(right - left)],
    )  # fmt: skip
    marked = np.random.default_rng(1).random(mosaic.shape) < 0.02
    marked[top : top + 2, left : left + 6] = marked[bottom - 1, left:right] = True
    return replace(read_raw(path), bad_pixels=marked if bad else None)


def whole_planes(raw: RawImage) -> NDArray[np.float32]:
    """The same by whole frames."""
    metadata = raw.metadata
    signal = normalise(raw.active_mosaic, metadata.levels, metadata.cfa_pattern)
    if raw.bad_pixels is not None:
        signal = fill_bad_pixels(signal, raw.bad_pixels[metadata.active_area.slices], metadata.cfa_pattern)
    if metadata.sensor == "bayer":
        return pack(unify(signal, metadata.cfa_pattern))  # type: ignore[arg-type]
    rows, columns = whole_cells(metadata.phase, signal.shape)
    return pack_cells(signal[np.ix_(rows, columns)], metadata.phase.cell.side)


@patterns
@areas
@pytest.mark.parametrize("bad", [False, True])
def test_the_planes_of_a_raw_are_those_of_its_frame(
    tmp_path: Path, cfa_pattern: str, area: tuple[int, int, int, int], bad: bool
) -> None:
    raw = a_raw(tmp_path, cfa_pattern, area, bad=bad)
    whole = whole_planes(raw)
    np.testing.assert_array_equal(pack_signal(raw), whole)
    signal = PackedSignal(raw)
    assert signal.shape == whole.shape
    bottom, right = whole.shape[1:]
    for rows in (slice(0, 1), slice(5, 40), slice(bottom - 1, bottom), slice(3, None)):
        for columns in (slice(0, 7), slice(right - 1, right), slice(30, 31)):
            np.testing.assert_array_equal(signal[:, rows, columns], whole[:, rows, columns])
    np.testing.assert_array_equal(signal[1:3, 4:9, :], whole[1:3, 4:9])


@patterns
@areas
@pytest.mark.parametrize("shift", [0, 3])
def test_unpacking_is_that_of_the_frame(
    tmp_path: Path, cfa_pattern: str, area: tuple[int, int, int, int], shift: int
) -> None:
    raw = a_raw(tmp_path, cfa_pattern, area)
    metadata, inside = raw.metadata, raw.metadata.active_area.slices
    packed = pack_signal(raw)
    denoised = packed * np.float32(0.875)
    phase, (height, width) = metadata.phase, raw.active_mosaic.shape
    signal = unpack_cells(denoised, phase.cell.side)[phase.row :, phase.column :][:height, :width]
    values = denormalise(signal, metadata.levels, cfa_pattern) * np.float32(2**shift)
    wanted = raw.mosaic << np.uint16(shift)
    wanted[inside] = np.where(raw.bad_pixels[inside], wanted[inside], quantise(values, 65535 if shift else 4095))
    np.testing.assert_array_equal(unpack_mosaic(raw, packed, denoised, NOISE, shift), wanted)


@patterns
def test_clipped_photosites_stay_where_their_surroundings_are_clipped(tmp_path: Path, cfa_pattern: str) -> None:
    mosaic = sample_mosaic(301, 212, bits=12) // 4
    mosaic[126:132, 60:90] = 4095  # across two bands
    mosaic[0:8, 0:8] = mosaic[200, 100] = 4095
    raw = read_raw(make_dng(tmp_path / "in.dng", mosaic, bits=12, cfa_pattern=cfa_pattern))
    packed = pack_signal(raw)
    unpacked = unpack_mosaic(raw, packed, packed - np.float32(0.01), NOISE, 0)
    kept = unpacked == 4095
    assert kept[128:130, 64:86].all(), "in the middle, and through the bands' border"
    assert kept[0:3, 0:3].all(), "in the corner"
    assert not kept[200, 100], "but not by itself"
    assert not kept[(mosaic < 4095)].any()


def test_what_was_not_denoised_is_as_it_was(tmp_path: Path) -> None:
    raw = a_raw(tmp_path, "GBRG", AREAS[1])
    signal = PackedSignal(raw)
    np.testing.assert_array_equal(unpack_mosaic(raw, signal, signal, NOISE, 2), raw.mosaic << 2)
