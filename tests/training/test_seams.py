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
    picture = np.full((4, 288, 288), 0.3, np.float32)  # two tiles of 160 with a halo of 16 fit exactly
    assert served_halo(engine, [picture]) == 32
