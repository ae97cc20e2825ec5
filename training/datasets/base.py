"""What every source of training patches gives, wherever its pixels come from.

In the flow: pictures, captures or SIDD → **patch** → objective → step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Patch:
    """A training patch: packed planes with known noise; channels R Gr Gb B, their phase that of an RGGB mosaic."""

    noisy: NDArray[np.float32]
    """(4, h, w) linear, not clipped below."""
    clean: NDArray[np.float32] | None = None
    """(4, h, w) linear, None where nobody knows it."""
    second: NDArray[np.float32] | None = None
    """(4, h, w) another noisy frame of the same scene, None where there is none."""
    shot_noise: float
    """Variance per unit of signal."""
    read_noise: float
    """Variance at black."""
    impulses: float = 0.0
    """Share of the pixels that are replaced by any colour."""
    filled: NDArray[np.float32] | None = None
    """(4, h, w) `noisy` with its defective photosites filled in, None where none are known."""
    actual_noise: tuple[float, float] | None = None
    """Shot and read noise as they are, where the network is told another model's; None for the same."""
    source: str
    """File, and place in it: for messages."""


class PatchSource(Protocol):
    """Where patches come from."""

    def draw(self, seed: Sequence[int]) -> Patch:
        """One patch, wholly decided by `seed`."""
