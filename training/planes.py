"""From a raw to the planes that the network sees, piece by piece, and back.

There are as many as the sensor's cell has photosites: four of a Bayer or a monochrome sensor, 36 of X-Trans.

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
from training.raw.cells import unpack_cells
from training.raw.defects import mend_bad_pixels
from training.raw.levels import quantise
from training.raw.patterns import REACH, reflect, same_colour_offsets, whole_cells

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.noise import NoiseModel
    from training.raw.bayer import Scalar
    from training.raw.image import RawImage
    from training.raw.patterns import Phase

    Place = tuple[slice, slice, slice]
    """Channels, rows and columns, without steps."""


class Planes(Protocol):
    """(c, h, w) float32, linear, not clipped, channels as the cell has them (R Gr Gb B): an array, or what reads so."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, rows, columns."""

    def __getitem__(self, place: Place, /) -> NDArray[np.float32]:
        """A piece, which is not to be written to."""


AnyPlanes = TypeVar("AnyPlanes", bound=Planes)


class PackedSignal:
    """A raw's active area, normalised, bad pixels filled, unified to whole cells and packed, where and when it is read.

    Of a Bayer mosaic what is read are, to the last bit, the pieces of `pack(unify(fill_bad_pixels(normalise(…), …)))`.

    Args:
        raw: The raw; its mosaic is kept, not copied.
    """

    def __init__(self, raw: RawImage) -> None:
        self._mosaic, self._levels = raw.active_mosaic, raw.metadata.levels
        self._ranges = self._levels.signal_range.astype(np.float32)
        self._phase = raw.metadata.phase
        self._side = self._phase.cell.side
        self._rows, self._columns = whole_cells(self._phase, self._mosaic.shape)
        self._is_mended: NDArray[np.bool_] | None = None
        if raw.bad_pixels is not None:
            mended = mend_bad_pixels(
                self._at, raw.bad_pixels[raw.metadata.active_area.slices], raw.metadata.cfa_pattern
            )
            self._is_mended = np.zeros(self._mosaic.shape, dtype=np.bool_)
            self._is_mended[mended.rows, mended.columns] = True
            self._mended_at, self._mended = self._flat(mended.rows, mended.columns), mended.values

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, rows, columns."""
        return self._phase.cell.channels, len(self._rows) // self._side, len(self._columns) // self._side

    def __getitem__(self, place: Place, /) -> NDArray[np.float32]:
        """(channels, rows, columns) float32: a piece."""
        channels, down, across = (range(size)[part] for part, size in zip(place, self.shape, strict=True))
        side = self._side
        rows = self._rows[side * down.start : side * down.stop]
        columns = self._columns[side * across.start : side * across.stop]
        piece = _cut(self._mosaic, rows, columns)
        packed = np.empty((len(channels), len(down), len(across)), dtype=np.float32)
        for plane, channel in zip(packed, channels, strict=True):
            row, column = divmod(channel, side)
            black = self._levels.black_of(channel, rows[row::side, None], columns[None, column::side])
            np.subtract(piece[row::side, column::side], black, out=plane)
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
        side = self._side
        for plane, channel in zip(packed, channels, strict=True):
            row, column = divmod(channel, side)
            down, across = np.nonzero(is_mended[row::side, column::side])
            places = self._flat(rows[row::side][down], columns[column::side][across])
            plane[down, across] = self._mended[np.searchsorted(self._mended_at, places)]

    def _at(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float32]:
        """(n,) the signal of single photosites of the active area."""
        signal = np.empty(len(rows), dtype=np.float32)
        side, phase = self._side, self._phase
        channels = side * ((rows + phase.row) % side) + (columns + phase.column) % side
        for channel in range(phase.cell.channels):
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
    """(c, h, w) float32: the active area, normalised, bad pixels filled, unified to whole cells and packed."""
    return PackedSignal(raw)[:, :, :]


def unpack_mosaic(raw: RawImage, packed: Planes, denoised: Planes, noise: NoiseModel, shift: int) -> NDArray[np.uint16]:
    """Put the denoised planes back into the full frame, in the file's numbers times 2 ** shift.

    Exactly as they were: photosites outside the active area, those marked bad, and clipped ones in clipped
    surroundings; and all of them where nothing was denoised.

    Args:
        raw: The input.
        packed: (c, h, w) float32: its signal.
        denoised: (c, h, w) float32; `packed` itself where nothing was denoised.
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
    levels, shape, phase = metadata.levels, raw.active_mosaic.shape, metadata.phase
    side, cells = phase.cell.side, _cells_of(rows, phase)
    piece = denoised[:, cells, :]
    bits = 16 if shift or metadata.linearised else metadata.bits_per_sample
    numbers = np.empty(piece.shape, dtype=np.uint16)
    for channel, (plane, stored) in enumerate(zip(piece, numbers, strict=True)):
        row, column = divmod(channel, side)
        down = np.arange(side * cells.start + row, side * cells.stop, side) - phase.row
        across = np.arange(column, side * piece.shape[2], side) - phase.column
        # what lies beyond the border was added by `unify` and is cut off below: any black will do
        black = levels.black_of(channel, _within(down, shape[0])[:, None], _within(across, shape[1])[None])
        values = plane * np.float32(levels.signal_range[channel])
        values += black
        if shift:
            values *= np.float32(2**shift)
        stored[:] = quantise(values, 2**bits - 1)
    return _cut_rows(numbers, phase, rows, shape[1])


def _within(places: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    return np.clip(places, 0, size - 1)


def _stays_clipped(raw: RawImage, denoised: Planes, noise: NoiseModel, band: slice) -> NDArray[np.bool_]:
    """(n, w) photosites at white whose denoised neighbourhood of the same colour is at white too.

    Within two standard deviations of the noise; isolated ones are noise themselves.
    """
    active, phase = raw.active_mosaic, raw.metadata.phase
    clipped = active[band] >= math.ceil(raw.metadata.levels.white_level)  # whole numbers are compared faster
    if not clipped.any():  # told at once, unlike where
        return clipped
    rows, columns = np.nonzero(clipped)
    reach, side = REACH[phase.cell.kind], phase.cell.side
    places = np.arange(band.start - reach, band.stop + reach), np.arange(-reach, active.shape[1] + reach)
    down, across = reflect(phase, places, active.shape)
    around = slice(int(down.min()), int(down.max()) + 1)
    restored = _cut_rows(denoised[:, _cells_of(around, phase), :], phase, around, active.shape[1])
    padded = restored[down - around.start].take(across, axis=1)
    planes = side * ((rows + band.start + phase.row) % side) + (columns + phase.column) % side
    shot, read = noise.of_planes(phase.cell)
    lowest = 1 - 2 * np.sqrt(shot + read)
    for offsets, members in same_colour_offsets(phase.cell).items():
        chosen = np.isin(planes, members)
        row, column = rows[chosen], columns[chosen]
        mean = sum(padded[reach + row + y, reach + column + x] for y, x in offsets) / len(offsets)
        clipped[row, column] = mean >= lowest[planes[chosen]]
    return clipped


def _cells_of(rows: slice, phase: Phase) -> slice:
    """The rows of planes that hold these rows of the active area."""
    side = phase.cell.side
    return slice((rows.start + phase.row) // side, -(-(rows.stop + phase.row) // side))


def _cut_rows(planes: NDArray[Scalar], phase: Phase, rows: slice, width: int) -> NDArray[Scalar]:
    """(n, width) rows of the active area, cut out of the planes that `_cells_of` says."""
    top = (rows.start + phase.row) % phase.cell.side
    mosaic = unpack_cells(planes, phase.cell.side)
    return mosaic[top : top + rows.stop - rows.start, phase.column : phase.column + width]
