"""From a raw to the four planes that the network sees, piece by piece, and back.

A frame of 100 megapixels is 200 MB in its file's numbers and 400 MB in floats. What works tile by tile needs the former
alone: a raw's planes are made where and when they are read.

In the flow: read_raw → **PackedSignal** (normalise → unify → pack) → noise, tiles → **unpack_mosaic** (unpack → restore
→ denormalise) → write_dng.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from training.raw.bands import for_each_band
from training.raw.bayer import Scalar, channel_grid, red_position, unpack
from training.raw.defects import mend_bad_pixels
from training.raw.levels import quantise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.noise import NoiseModel
    from training.raw.bayer import CfaPattern
    from training.raw.image import RawImage

    Place = tuple[slice, slice, slice]
    """Channels, rows and columns, without steps."""


class Planes(Protocol):
    """(4, h, w) float32, linear, not clipped, channels R Gr Gb B: an array, or what reads like one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """4, rows, columns."""

    def __getitem__(self, place: Place, /) -> NDArray[np.float32]:
        """A piece, which is not to be written to."""


AnyPlanes = TypeVar("AnyPlanes", bound=Planes)


class PackedSignal:
    """A raw's active area, normalised, bad pixels filled, unified to RGGB and packed, where and when it is read.

    What is read are, to the last bit, the pieces of `pack(unify(fill_bad_pixels(normalise(…), …)))`.

    Args:
        raw: The raw; its mosaic is kept, not copied.
    """

    def __init__(self, raw: RawImage) -> None:
        self._mosaic, self._levels = raw.active_mosaic, raw.metadata.levels
        self._ranges = self._levels.signal_range.astype(np.float32)
        self._corner = red_position(raw.metadata.cfa_pattern)
        self._rows, self._columns = (
            np.pad(np.arange(size), (first, (size + first) % 2), mode="reflect")
            for size, first in zip(self._mosaic.shape, self._corner, strict=True)
        )
        self._is_mended: NDArray[np.bool_] | None = None
        if raw.bad_pixels is not None:
            mended = mend_bad_pixels(self._at, raw.bad_pixels[raw.metadata.active_area.slices])
            self._is_mended = np.zeros(self._mosaic.shape, dtype=np.bool_)
            self._is_mended[mended.rows, mended.columns] = True
            self._mended_at, self._mended = self._flat(mended.rows, mended.columns), mended.values

    @property
    def shape(self) -> tuple[int, int, int]:
        """4, rows, columns."""
        return 4, len(self._rows) // 2, len(self._columns) // 2

    def __getitem__(self, place: Place, /) -> NDArray[np.float32]:
        """(channels, rows, columns) float32: a piece."""
        channels, down, across = (range(size)[part] for part, size in zip(place, self.shape, strict=True))
        rows = self._rows[2 * down.start : 2 * down.stop]
        columns = self._columns[2 * across.start : 2 * across.stop]
        piece = _cut(self._mosaic, rows, columns)
        packed = np.empty((len(channels), len(down), len(across)), dtype=np.float32)
        for plane, channel in zip(packed, channels, strict=True):
            row, column = divmod(channel, 2)
            black = self._levels.black_of(channel, rows[row::2, None], columns[None, column::2])
            np.subtract(piece[row::2, column::2], black, out=plane)
            np.divide(plane, self._ranges[channel], out=plane)
        if self._is_mended is not None:
            self._mend(packed, channels, rows, columns, _cut(self._is_mended, rows, columns))
        return packed

    def _mend(
        self,
        packed: NDArray[np.float32],
        channels: range,
        rows: NDArray[np.intp],
        columns: NDArray[np.intp],
        is_mended: NDArray[np.bool_],
    ) -> None:
        """Put in what stands for bad photosites."""
        for plane, channel in zip(packed, channels, strict=True):
            row, column = divmod(channel, 2)
            down, across = np.nonzero(is_mended[row::2, column::2])
            places = self._flat(rows[row::2][down], columns[column::2][across])
            plane[down, across] = self._mended[np.searchsorted(self._mended_at, places)]

    def _at(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float32]:
        """(n,) the signal of single photosites of the active area."""
        signal = np.empty(len(rows), dtype=np.float32)
        first_row, first_column = self._corner
        channels = 2 * ((rows + first_row) % 2) + (columns + first_column) % 2
        for channel in range(4):
            chosen = np.flatnonzero(channels == channel)
            black = self._levels.black_of(channel, rows[chosen], columns[chosen])
            signal[chosen] = (self._mosaic[rows[chosen], columns[chosen]] - black) / self._ranges[channel]
        return signal

    def _flat(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.intp]:
        """(n,) one number for each photosite, growing in raster order."""
        places: NDArray[np.intp] = rows * self._mosaic.shape[1] + columns
        return places


def _cut(mosaic: NDArray[Scalar], rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[Scalar]:
    """Rows and columns of a mosaic; a view where they follow one another, as they do but for reflected borders."""
    for axis, chosen in enumerate((rows, columns)):
        first, count = int(chosen[0]), len(chosen)
        if first + count - 1 == chosen[-1]:
            mosaic = mosaic[first : first + count] if axis == 0 else mosaic[:, first : first + count]
        else:
            mosaic = mosaic.take(chosen, axis)
    return mosaic


def pack_signal(raw: RawImage) -> NDArray[np.float32]:
    """(4, h, w) float32: the active area, normalised, bad pixels filled, unified to RGGB and packed."""
    return PackedSignal(raw)[:, :, :]


def unpack_mosaic(raw: RawImage, packed: Planes, denoised: Planes, noise: NoiseModel, shift: int) -> NDArray[np.uint16]:
    """Put the denoised planes back into the full frame, in the file's numbers times 2 ** shift.

    Exactly as they were: photosites outside the active area, those marked bad, and clipped ones in clipped
    surroundings; and all of them where nothing was denoised.

    Args:
        raw: The input.
        packed: (4, h, w) float32: its signal.
        denoised: (4, h, w) float32; `packed` itself where nothing was denoised.
        noise: Its noise.
        shift: From `precision_shift`.

    Returns:
        (H, W) uint16: the full frame.
    """
    mosaic = raw.mosaic << np.uint16(shift)
    if denoised is packed:
        return mosaic
    inside = raw.metadata.active_area.slices
    active, bad = mosaic[inside], None if raw.bad_pixels is None else raw.bad_pixels[inside]

    def put(rows: slice) -> None:
        numbers = _stored_numbers(raw, denoised, rows, shift)
        keep = _stays_clipped(raw, denoised, noise, rows)
        if bad is not None:
            keep |= bad[rows]
        if keep.any():
            numbers[keep] = active[rows][keep]
        active[rows] = numbers

    for_each_band(len(active), put)
    return mosaic


def _stored_numbers(raw: RawImage, denoised: Planes, rows: slice, shift: int) -> NDArray[np.uint16]:
    """(n, w) denoised rows of the active area as the file will hold them."""
    metadata = raw.metadata
    levels, shape = metadata.levels, raw.active_mosaic.shape
    first_row, first_column = red_position(metadata.cfa_pattern)
    cells = slice((rows.start + first_row) // 2, -(-(rows.stop + first_row) // 2))
    piece = denoised[:, cells, :]
    bits = 16 if shift or metadata.linearised else metadata.bits_per_sample
    numbers = np.empty(piece.shape, dtype=np.uint16)
    for channel, (plane, stored) in enumerate(zip(piece, numbers, strict=True)):
        row, column = divmod(channel, 2)
        down = np.arange(2 * cells.start + row, 2 * cells.stop, 2) - first_row
        across = np.arange(column, 2 * piece.shape[2], 2) - first_column
        # what lies beyond the border was added by `unify` and is cut off below: any black will do
        black = levels.black_of(channel, _within(down, shape[0])[:, None], _within(across, shape[1])[None])
        values = plane * np.float32(levels.signal_range[channel])
        values += black
        if shift:
            values *= np.float32(2**shift)
        stored[:] = quantise(values, 2**bits - 1)
    top = rows.start + first_row - 2 * cells.start
    return unpack(numbers)[top : top + rows.stop - rows.start, first_column : first_column + shape[1]]


def _within(places: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    return np.clip(places, 0, size - 1)


def _stays_clipped(raw: RawImage, denoised: Planes, noise: NoiseModel, band: slice) -> NDArray[np.bool_]:
    """(n, w) photosites at white whose denoised 3×3 neighbourhood of the same colour is at white too.

    Within two standard deviations of the noise; isolated ones are noise themselves.
    """
    active, pattern = raw.active_mosaic, raw.metadata.cfa_pattern
    clipped = active[band] >= math.ceil(raw.metadata.levels.white_level)  # whole numbers are compared faster
    if not clipped.any():  # told at once, unlike where
        return clipped
    rows, columns = np.nonzero(clipped)
    around = slice(max(band.start - 2, 0), min(band.stop + 2, len(active)))
    beyond = (2 - (band.start - around.start), 2 - (around.stop - band.stop))
    padded = np.pad(_restored(denoised, pattern, around, active.shape[1]), (beyond, (2, 2)), mode="reflect")
    offsets = (0, 2, 4)
    mean = sum(padded[rows + down, columns + across] for down in offsets for across in offsets) / 9
    deviation = np.sqrt(np.array(noise.shot_noise) + np.array(noise.read_noise))[channel_grid(pattern)]
    clipped[rows, columns] = mean >= 1 - 2 * deviation[(rows + band.start) % 2, columns % 2]
    return clipped


def _restored(planes: Planes, cfa_pattern: CfaPattern, rows: slice, width: int) -> NDArray[np.float32]:
    """(n, width) rows of the mosaic that `unify` and `pack` made these planes of."""
    first_row, first_column = red_position(cfa_pattern)
    cells = slice((rows.start + first_row) // 2, -(-(rows.stop + first_row) // 2))
    top = rows.start + first_row - 2 * cells.start
    return unpack(planes[:, cells, :])[top : top + rows.stop - rows.start, first_column : first_column + width]
