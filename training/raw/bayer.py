"""The Bayer mosaic: its four patterns, one common phase, and packing into four planes.

The conventions of the whole project are stated here, once:

- `cfa_pattern` is read from the top-left of the active area, row by row: "RGGB" has R at (0, 0), B at (1, 1). What a
  file's may be besides Bayer's, `patterns.py` says.
- Packed channels are **R, Gr, Gb, B**; Gr is the green in red's rows, Gb the green in blue's.
- Per-channel values (`black_level`, `shot_noise`, `read_noise`) are in that order too.

In the flow of training and validation, which know Bayer alone: normalise → **unify → pack** → network → **unpack →
restore** → denormalise. Files go through `training/planes.py`, which gives the same planes.

Source: unification by shifting the origin with reflection: Liu et al., "Learning Raw Image Denoising with Bayer Pattern
Unification and Bayer Preserving Augmentation", CVPR Workshops 2019, section 3.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import numpy as np

from training.raw.cells import pack_cells, unpack_cells

if TYPE_CHECKING:
    from numpy.typing import NDArray

CfaPattern = Literal["RGGB", "GRBG", "GBRG", "BGGR"]
CFA_PATTERNS: tuple[CfaPattern, ...] = get_args(CfaPattern)
CHANNELS = ("R", "Gr", "Gb", "B")

Scalar = TypeVar("Scalar", bound=np.generic)


def red_position(cfa_pattern: CfaPattern) -> tuple[int, int]:
    """Row and column of the red photosite in the top-left 2×2 cell.

    >>> red_position("GRBG")
    (0, 1)
    """
    if cfa_pattern not in CFA_PATTERNS:
        raise ValueError(f"got the CFA pattern {cfa_pattern!r}, wanted one of {', '.join(CFA_PATTERNS)}")
    return divmod(cfa_pattern.index("R"), 2)


def unify(mosaic: NDArray[Scalar], cfa_pattern: CfaPattern) -> NDArray[Scalar]:
    """Bring any pattern to RGGB and any size to even, by reflecting at the border.

    Reflection about the outermost row or column keeps each added photosite's colour right.

    Args:
        mosaic: (H, W), H and W at least 2.
        cfa_pattern: Its pattern.

    Returns:
        (H', W') of the same dtype, even, at most 2 larger than the input each way; its pattern is RGGB.

    >>> unify(np.array([[1, 2], [3, 4]]), "GRBG").tolist()  # one column to the left, one to the right
    [[2, 1, 2, 1], [4, 3, 4, 3]]
    """
    row, column = red_position(cfa_pattern)
    height, width = mosaic.shape
    padding = ((row, (height + row) % 2), (column, (width + column) % 2))
    return np.pad(mosaic, padding, mode="reflect")


def pack(mosaic: NDArray[Scalar]) -> NDArray[Scalar]:
    """Split an RGGB mosaic into its four planes.

    Args:
        mosaic: (H, W), both even.

    Returns:
        (4, H/2, W/2) of the same dtype, channels R, Gr, Gb, B.

    >>> pack(np.array([[1, 2], [3, 4]])).tolist()
    [[[1]], [[2]], [[3]], [[4]]]
    """
    height, width = mosaic.shape
    if height % 2 or width % 2:
        raise ValueError(f"got a mosaic of {height}×{width}, wanted even sizes")
    return pack_cells(mosaic, 2)


def unpack(packed: NDArray[Scalar]) -> NDArray[Scalar]:
    """Undo `pack`: (4, h, w) planes R, Gr, Gb, B to an RGGB mosaic (2h, 2w)."""
    if len(packed) != 4:
        raise ValueError(f"got {len(packed)} planes, wanted 4")
    return unpack_cells(packed, 2)


def parse_cfa_pattern(text: Any) -> CfaPattern | None:
    """The pattern of that name, or None where there is no such Bayer pattern."""
    return next((pattern for pattern in CFA_PATTERNS if pattern == text), None)
