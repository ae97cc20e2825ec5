"""What tests of the rewrite share: the usual changes, and the mosaic as programs nobody here wrote read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rawpy

from training.raw.layout import find_mosaic
from training.raw.rewrite import DngChanges
from training.raw.tiff import open_tiff
from training.raw.xmp import Mark

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MARK = Mark(
    model="photosite 1",
    model_digest="0123abcd",
    strength="1",
    noise_model="0.001 1e-06",
    noise_source="file",
    software="Photosite 0.1.0",
)
CHANGES = DngChanges(noise_profile=None, noise_reduction_applied=1.0, unique_id=bytes(range(16)), mark=MARK)


def changes(**differences: Any) -> DngChanges:
    """The usual changes, with differences."""
    usual: dict[str, Any] = {name: getattr(CHANGES, name) for name in DngChanges.__slots__}
    return DngChanges(**(usual | differences))


def rawpy_mosaic(path: Path) -> NDArray[np.uint16]:
    """The full frame as LibRaw reads it."""
    with rawpy.imread(str(path)) as raw:
        return np.array(raw.raw_image)


def adobe_mosaic(path: Path) -> NDArray[np.uint16]:
    """The full frame as Adobe's SDK reads it."""
    dngpy = pytest.importorskip("dngpy._native", reason="Adobe's DNG SDK (dngpy) is not installed")
    pixels = np.asarray(dngpy.Dng(str(path))._get_pixels())
    return pixels.reshape(pixels.shape[:2]).astype(np.uint16)


def tag_values(path: Path, tag: int, *, raw: bool = True) -> tuple[float, ...]:
    """A tag of the raw directory, or of IFD0."""
    with open_tiff(path) as file:
        return file.values(find_mosaic(file).directory if raw else file.chain[0], tag)
