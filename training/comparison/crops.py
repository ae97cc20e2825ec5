"""Crops of the first cases, noisy, denoised and clean: what figures do not show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.pictures import encode_png, side_by_side
from training.raw.atomic import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from training.comparison.cases import Case

CROPS, SIDE = 3, 128
"""So many cases, and so many pixels each way of their middles."""


def crop_name(index: int) -> str:
    """File name of a case's crop.

    >>> crop_name(0)
    'crop-1.png'
    """
    return f"crop-{index + 1}.png"


def keep_crop(folder: Path, index: int, denoised: NDArray[np.float32], case: Case) -> None:
    """Write a crop of one of the first cases, before and after, and clean where that is known."""
    if index >= CROPS:
        return
    known = [case.noisy, denoised] if case.clean is None else [case.noisy, denoised, case.clean]
    crops = [_middle(each) for each in known]
    picture = _displayed(crops) if case.display else side_by_side(crops, crops[-1])
    with replacing(folder / crop_name(index)) as file:
        file.write(encode_png(picture))


def _middle(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(C, ≤ SIDE, ≤ SIDE)."""
    top, left = ((length - min(SIDE, length)) // 2 for length in planes.shape[1:])
    return planes[:, top : top + SIDE, left : left + SIDE]


def _displayed(crops: list[NDArray[np.float32]]) -> NDArray[np.uint8]:
    """(h, 3w, 3) uint8 of pictures that are sRGB already."""
    row = np.moveaxis(np.concatenate(crops, axis=2), 0, -1)
    return np.rint(np.clip(row, 0, 1) * 255).astype(np.uint8)
