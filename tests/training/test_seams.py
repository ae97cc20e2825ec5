"""The halo that is served: the smallest that hides the seams, for networks of any stride."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
from engines import KnownEngine

from training.seams import served_halo

if TYPE_CHECKING:
    from numpy.typing import NDArray


def moved(tile: NDArray[np.float32]) -> NDArray[np.float32]:
    """Every pixel is the one 20 rows above it."""
    return np.pad(tile, ((0, 0), (20, 0), (0, 0)), mode="edge")[:, :-20]


@pytest.mark.parametrize("stride", [1, 2, 32])
def test_the_served_halo_covers_what_the_network_sees(stride: int) -> None:
    engine = KnownEngine(moved)
    engine.manifest = dataclasses.replace(engine.manifest, stride=stride, receptive_field=64)
    picture = np.full((4, 352, 352), 0.3, np.float32)
    assert served_halo(engine, [picture]) == 32


@pytest.mark.parametrize("size", [160, 192, 256])
def test_pictures_too_small_for_seams_are_no_evidence(size: int, caplog: pytest.LogCaptureFixture) -> None:
    engine = KnownEngine(moved)
    engine.manifest = dataclasses.replace(engine.manifest, stride=32, receptive_field=64)
    small = np.full((4, size, 400), 0.3, np.float32)
    assert served_halo(engine, [small]) == 64
    assert "no picture has 576×576 pixels, to judge a halo of 16 by: the receptive field of 64" in caplog.text
    assert served_halo(engine, [small, np.full((4, 352, 352), 0.3, np.float32)]) == 32
