"""A raw file in memory: it checks itself when it is made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from training.raw.image import ActiveArea, RawImage, RawMetadata
from training.raw.levels import Levels

METADATA = RawMetadata(
    make="Phantom",
    model="One",
    iso=100,
    width=12,
    height=10,
    bits_per_sample=14,
    compression="uncompressed",
    cfa_pattern="GRBG",
    active_area=ActiveArea(1, 3, 9, 12),
    levels=Levels(black_level=(0, 0, 0, 0), white_level=16383),
)
MOSAIC = np.arange(120, dtype=np.uint16).reshape(10, 12)


def test_the_active_mosaic_is_a_view_of_the_active_area() -> None:
    image = RawImage(mosaic=MOSAIC, metadata=METADATA)
    assert image.active_mosaic.shape == (8, 9) == (METADATA.active_area.height, METADATA.active_area.width)
    assert image.active_mosaic[0, 0] == MOSAIC[1, 3]
    assert np.shares_memory(image.active_mosaic, MOSAIC)


@pytest.mark.parametrize("mosaic", [MOSAIC[:9], MOSAIC.T, MOSAIC.astype(np.float32)])
def test_a_mosaic_that_does_not_fit_is_an_error(mosaic: np.ndarray) -> None:
    with pytest.raises(ValueError, match="got a mosaic"):
        RawImage(mosaic=mosaic, metadata=METADATA)


def test_bad_pixels_of_another_size_are_an_error() -> None:
    with pytest.raises(ValueError, match="bad pixels"):
        RawImage(mosaic=MOSAIC, metadata=METADATA, bad_pixels=np.zeros((2, 2), dtype=np.bool_))


@pytest.mark.parametrize("area", [(-1, 0, 10, 12), (0, 0, 11, 12), (0, 0, 10, 13), (5, 0, 5, 12), (0, 8, 10, 4)])
def test_an_active_area_outside_the_frame_is_an_error(area: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="active area"):
        replace(METADATA, active_area=ActiveArea(*area))


def test_an_unknown_pattern_is_an_error() -> None:
    with pytest.raises(ValueError, match="RGBG"):
        replace(METADATA, cfa_pattern="RGBG")
