"""Small patches through all four planes of a picture, as the noise estimation looks at them.

Every patch is 4×4 packed pixels of each plane, as cosine coefficients: the constant one says how bright the plane is,
the other 15 are noise and content. Flat patches are told by their surroundings, so a patch knows its neighbours.

In the flow: packed planes → **gather_patches** → noise estimation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from training.planes import Planes

SIZE = 4
MAX_PATCHES = 16_000
"""Patches looked at, spread over the whole frame: more do not make the estimate better."""
_FOLD_SIDE = 32
"""Packed pixels of a square of one fold: much larger than a patch, so that few patches reach into both."""
ORDER = np.add.outer(np.arange(SIZE), np.arange(SIZE)).ravel()[1:]
"""(15,) of each coefficient but the constant: the sum of its two frequencies."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Patches:
    """Patches of one or several pictures."""

    coefficients: NDArray[np.float32]
    """(n, 4, 15) all but the constant one, in units of the signal: of white noise, each has its variance."""
    means: NDArray[np.float32]
    """(n, 4) mean of each plane."""
    lowest: NDArray[np.float32]
    """(n, 4) smallest pixel of each plane."""
    neighbours: NDArray[np.intp]
    """(n, 4) the patches above, below, left and right that share no pixel with it; −1 beyond the border."""
    fold: NDArray[np.bool_]
    """(n,) which half of the chequered picture it belongs to."""
    overlap: float
    """How many patches a pixel belongs to, on average."""

    def __len__(self) -> int:
        return len(self.means)

    def means_around(self) -> NDArray[np.float32]:
        """(n, 4) mean of each plane in a patch's neighbours; its own where it has none."""
        known = (self.neighbours >= 0)[:, :, None]
        count = known.sum(axis=1)
        around = (self.means[self.neighbours] * known).sum(axis=1) / np.maximum(count, 1)
        return np.where(count > 0, around, self.means).astype(np.float32)


def cosine_matrix(size: int) -> NDArray[np.float32]:
    """(size, size) orthonormal DCT-II: row u holds the cosine of frequency u."""
    frequency, position = np.mgrid[0:size, 0:size]
    matrix = np.cos(np.pi * (position + 0.5) * frequency / size) * np.sqrt(2 / size)
    matrix[0] /= np.sqrt(2)
    return np.asarray(matrix, dtype=np.float32)


def gather_patches(pictures: Sequence[Planes]) -> Patches:
    """Cut pictures into patches, overlapping where there are few.

    Args:
        pictures: Each (4, h, w) float32, linear, not clipped, channels R Gr Gb B.
    """
    parts, start = [], 0
    for picture in pictures:
        parts.append(_gather(picture, MAX_PATCHES // len(pictures), start))
        start += len(parts[-1])
    if len(parts) == 1:
        return parts[0]
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("coefficients", "means", "lowest", "neighbours", "fold")
    }
    return Patches(**joined, overlap=max(part.overlap for part in parts))


def _gather(packed: Planes, wanted: int, start: int) -> Patches:
    height, width = (side - SIZE + 1 for side in packed.shape[1:])
    skip = max(2, int(np.ceil(np.sqrt(height * width / wanted))))
    pieces = [_cut_row(packed[:, slice(top, top + SIZE), :], skip) for top in range(0, height, skip)]
    rows, columns = len(pieces), len(pieces[0])
    pixels = np.concatenate(pieces)  # (rows · columns, 4, 16)
    matrix = cosine_matrix(SIZE)
    coefficients = pixels @ np.kron(matrix, matrix).T  # (n, 4, 16)
    row, column = np.divmod(np.arange(rows * columns), columns)
    return Patches(
        coefficients=coefficients[:, :, 1:],
        means=(coefficients[:, :, 0] / SIZE).astype(np.float32),
        lowest=pixels.min(axis=2),
        neighbours=_neighbours(rows, columns, -(-SIZE // skip), start),
        fold=(row * skip // _FOLD_SIDE + column * skip // _FOLD_SIDE) % 2 == 1,
        overlap=(SIZE / min(skip, SIZE)) ** 2,
    )


def _cut_row(band: NDArray[np.float32], skip: int) -> NDArray[np.float32]:
    """(n, 4, 16) the patches of a band as high as they are, one every `skip` columns."""
    views = sliding_window_view(band, SIZE, axis=2)[:, :, ::skip]  # (4, 4, n, 4)
    return np.ascontiguousarray(views.transpose(2, 0, 1, 3)).reshape(-1, 4, SIZE * SIZE)


def _neighbours(rows: int, columns: int, steps: int, start: int) -> NDArray[np.intp]:
    """(rows · columns, 4) indices of what lies `steps` away, counted from `start`; −1 beyond the border."""
    grid = np.pad(np.arange(start, start + rows * columns).reshape(rows, columns), steps, constant_values=-1)
    inner, before, after = slice(steps, -steps), slice(None, -2 * steps), slice(2 * steps, None)
    around = [grid[before, inner], grid[after, inner], grid[inner, before], grid[inner, after]]
    return np.stack([part.ravel() for part in around], axis=1)
