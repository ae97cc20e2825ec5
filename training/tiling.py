"""Tiles: a plan made of numbers, and the stitching of what the network makes of them.

Tile origins lie on multiples of the network's stride, so that its pooling grid falls on the same pixels as in one pass
over the whole image; with a halo that covers the receptive field, tiled and whole-image output are the same.

In the flow: pack → **plan_tiles** → network → **stitch** → unpack. All sizes are in packed pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.planes import Planes


@dataclass(frozen=True, slots=True)
class Span:
    """A tile along one axis: what it reads, and which part of that it is trusted for."""

    start: int
    """First pixel read."""
    stop: int
    """One past the last pixel read."""
    inner_start: int
    """First pixel that this tile gives to the result."""
    inner_stop: int
    """One past the last pixel that this tile gives to the result."""

    @property
    def source(self) -> slice:
        """What to read from the image."""
        return slice(self.start, self.stop)

    @property
    def target(self) -> slice:
        """Where to write in the result."""
        return slice(self.inner_start, self.inner_stop)

    @property
    def inner(self) -> slice:
        """What to cut from the tile."""
        return slice(self.inner_start - self.start, self.inner_stop - self.start)


@dataclass(frozen=True, slots=True)
class Tile:
    """One rectangle to run the network on."""

    rows: Span
    columns: Span


def plan_spans(length: int, *, tile: int, halo: int, stride: int) -> tuple[Span, ...]:
    """Cover one axis with as few tiles as will do, and no larger ones than that takes.

    Args:
        length: Pixels, a multiple of `stride`.
        tile: The most pixels that a tile may read, halo included; a multiple of `stride`.
        halo: Context on each side that a tile's own result needs at least.
        stride: Tiles begin at multiples of this.

    Returns:
        Spans in order, all of one size; their inner parts join without gap.

    >>> [(span.start, span.stop, span.inner_start, span.inner_stop)
    ...  for span in plan_spans(96, tile=80, halo=8, stride=16)]
    [(0, 64, 0, 48), (32, 96, 48, 96)]
    """
    if length % stride or tile % stride:
        raise ValueError(f"got length {length} and tile {tile}, wanted multiples of the stride {stride}")
    if length <= tile:
        return (Span(0, length, 0, length),)
    overlap = -(-2 * halo // stride) * stride
    if tile <= overlap:
        raise ValueError(f"got a tile of {tile}, wanted more than two halos of {halo} and a stride of {stride}")
    count = -(-(length - overlap) // (tile - overlap))
    step = -(-(length - overlap) // (count * stride)) * stride
    size = step + overlap
    starts = [*range(0, length - size, step), length - size]
    seams = [(start + size + following) // 2 for start, following in pairwise(starts)]
    return tuple(
        Span(start, start + size, begin, end)
        for start, begin, end in zip(starts, [0, *seams], [*seams, length], strict=True)
    )


def plan_tiles(height: int, width: int, *, tile: int, halo: int, stride: int) -> tuple[Tile, ...]:
    """Cover an image, row by row; see `plan_spans`."""
    rows = plan_spans(height, tile=tile, halo=halo, stride=stride)
    columns = plan_spans(width, tile=tile, halo=halo, stride=stride)
    return tuple(Tile(*spans) for spans in product(rows, columns))


def plan_image(height: int, width: int, tile: int, halo: int, stride: int) -> tuple[Tile, ...]:
    """Plan for an image of any size: for the multiples of the stride that `read_tile` extends it to.

    Args:
        height: Of the image, in packed pixels.
        width: Likewise.
        tile: See `plan_tiles`.
        halo: See `plan_tiles`.
        stride: See `plan_tiles`.
    """
    rounded = (-(-side // stride) * stride for side in (height, width))
    return plan_tiles(*rounded, tile=tile, halo=halo, stride=stride)


def pad_to_stride(packed: NDArray[np.float32], stride: int) -> NDArray[np.float32]:
    """Extend (4, h, w) at the bottom and right, by reflection, to multiples of `stride`, as `read_tile` does it."""
    _, height, width = packed.shape
    padding = ((0, 0), (0, -height % stride), (0, -width % stride))
    # "symmetric" repeats the edge, but unlike "reflect" it works for any padding wider than the image
    return np.pad(packed, padding, mode="symmetric")


def read_tile(packed: Planes, tile: Tile) -> NDArray[np.float32]:
    """Read a tile; beyond the bottom and the right, where a plan goes on to a multiple of the stride, by reflection.

    Args:
        packed: (4, h, w) float32.
        tile: Of a plan for h and w rounded up to multiples of the stride.

    Returns:
        (4, h', w') float32, not to be written to.
    """
    rows, columns = (
        _reflected(span, side) for span, side in zip((tile.rows, tile.columns), packed.shape[1:], strict=True)
    )
    piece = packed[:, slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)]
    if tile.rows.stop > packed.shape[1]:
        piece = piece.take(rows - rows.min(), axis=1)
    if tile.columns.stop > packed.shape[2]:
        piece = piece.take(columns - columns.min(), axis=2)
    return piece


def _reflected(span: Span, side: int) -> NDArray[np.intp]:
    """Where in a side of so many pixels the pixels of a span come from.

    >>> _reflected(Span(0, 8, 0, 8), 3).tolist()
    [0, 1, 2, 2, 1, 0, 0, 1]
    """
    place = np.arange(span.start, span.stop) % (2 * side)
    return np.minimum(place, 2 * side - 1 - place)


def stitch(result: NDArray[np.float32], tile: Tile, denoised: NDArray[np.float32]) -> None:
    """Write a tile's trusted part into the (4, h, w) result, as far as it reaches."""
    target = result[:, tile.rows.target, tile.columns.target]
    target[:] = denoised[:, tile.rows.inner, tile.columns.inner][:, : target.shape[1], : target.shape[2]]
