"""Crops, flips and transposes that keep the Bayer phase: channels stay R, Gr, Gb, B, each at its place on the sensor.

Flipping packed planes would move their photosites against each other: in an RGGB mosaic Gr lies half a packed pixel to
the right of R, after a flip of the planes it would lie to the left. So the mosaic is flipped, which makes RGGB into
GRBG, and one column (or row) is cut off each side, which makes it RGGB again. A transpose keeps RGGB; the greens
change places by definition, because Gr is the green in red's rows.

In the flow: mosaic → **crop, flip, transpose** → pack → patch.

Source: Liu et al., "Learning Raw Image Denoising with Bayer Pattern Unification and Bayer Preserving Augmentation",
CVPR Workshops 2019, section 3.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from training.raw.bayer import pack, red_position

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.raw.bayer import CfaPattern

Scalar = TypeVar("Scalar", bound=np.generic)
MARGIN = 2
"""Rows and columns of the mosaic that a crop needs beyond its patch, so that it can be flipped."""


class Augmentation(NamedTuple):
    """Which of the eight symmetries of a square; rows and columns are flipped before the transpose."""

    flip_rows: bool
    flip_columns: bool
    transpose: bool


class Place(NamedTuple):
    """Where in a mosaic a square crop lies."""

    top: int
    left: int
    size: int
    """Height and width in photosites."""

    @property
    def slices(self) -> tuple[slice, slice]:
        """The index that cuts the crop out of its mosaic."""
        return slice(self.top, self.top + self.size), slice(self.left, self.left + self.size)


def smallest_mosaic(patch_size: int) -> int:
    """Photosites that a mosaic needs each way, whatever its pattern, to give a patch of so many packed pixels."""
    return 2 * patch_size + MARGIN + 1


def draw_place(rng: np.random.Generator, shape: tuple[int, int], cfa_pattern: CfaPattern, patch_size: int) -> Place:
    """Draw a crop that begins on red and is large enough to be flipped.

    Args:
        rng: Draws it.
        shape: Height and width of the mosaic, at least `smallest_mosaic(patch_size)`.
        cfa_pattern: The mosaic's pattern.
        patch_size: Height and width of the patch in packed pixels.
    """
    size = 2 * patch_size + MARGIN
    starts = [
        first + 2 * int(rng.integers((length - first - size) // 2 + 1))
        for first, length in zip(red_position(cfa_pattern), shape, strict=True)
    ]
    return Place(starts[0], starts[1], size)


def draw_augmentation(rng: np.random.Generator) -> Augmentation:
    """One of the eight, all equally likely."""
    return Augmentation(*(bool(rng.integers(2)) for _ in range(3)))


def augment(mosaic: NDArray[Scalar], augmentation: Augmentation) -> NDArray[Scalar]:
    """Flip and transpose a crop of an RGGB mosaic, and pack it.

    Args:
        mosaic: (2h + 2, 2w + 2), beginning on red; not changed.
        augmentation: What to do.

    Returns:
        (4, h, w) of the same dtype, channels R, Gr, Gb, B.

    >>> row = np.array([[1, 2, 3, 4], [5, 6, 7, 8], [0, 0, 0, 0], [0, 0, 0, 0]])  # R Gr R Gr / Gb B Gb B / …
    >>> augment(row, Augmentation(flip_rows=False, flip_columns=False, transpose=False)).ravel().tolist()
    [1, 2, 5, 6]
    >>> augment(row, Augmentation(flip_rows=False, flip_columns=True, transpose=False)).ravel().tolist()
    [3, 2, 7, 6]
    """
    rows, columns = (
        slice(-2, 0, -1) if flip else slice(0, -2) for flip in (augmentation.flip_rows, augmentation.flip_columns)
    )
    kept = mosaic[rows, columns]
    return pack(kept.T if augmentation.transpose else kept)
