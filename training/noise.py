"""The noise of a sensor: a variance that grows with the signal, and its estimation from one picture.

In the flow: normalise → **noise model** → pack → network.

Source: the Poissonian-Gaussian model of Foi et al., "Practical Poissonian-Gaussian Noise Modeling and Fitting for
Single-Image Raw-Data", IEEE TIP 17(10), 2008; the same as DNG's NoiseProfile (tag 51041): variance = S · x + O.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.raw.cells import CELLS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from training.raw.cells import Cell


@dataclass(frozen=True, kw_only=True, slots=True)
class NoiseModel:
    """Variance of the normalised signal, per channel R, Gr, Gb, B: shot_noise · x + read_noise.

    >>> NoiseModel.uniform(shot_noise=0.01, read_noise=1e-4).variance(np.full((4, 1, 1), 0.5))[0].round(6).tolist()
    [[0.0051]]
    """

    shot_noise: tuple[float, float, float, float]
    """Variance per unit of signal."""
    read_noise: tuple[float, float, float, float]
    """Variance at black: a variance, not a standard deviation."""

    def __post_init__(self) -> None:
        """Reject what cannot be a variance."""
        values = np.array([self.shot_noise, self.read_noise], dtype=np.float64)
        if values.shape != (2, 4) or not np.isfinite(values).all() or (values < 0).any():
            raise ValueError(f"got shot {self.shot_noise} and read {self.read_noise}, wanted four values ≥ 0 of each")
        if (values.sum(axis=0) <= 0).any():
            raise ValueError("got shot and read noise of 0, wanted at least one of them above 0 in every channel")

    @classmethod
    def uniform(cls, *, shot_noise: float, read_noise: float) -> NoiseModel:
        """The same noise in all four channels."""
        return cls(shot_noise=(shot_noise,) * 4, read_noise=(read_noise,) * 4)

    @classmethod
    def from_profile(cls, profile: Sequence[float]) -> NoiseModel:
        """From DNG's NoiseProfile: one (S, O) pair for all channels, or one each for R, G, B.

        Raises:
            ValueError: The profile has another number of values, or cannot be a variance.
        """
        if len(profile) == 2:
            return cls.uniform(shot_noise=profile[0], read_noise=profile[1])
        if len(profile) == 6:
            shot, read = profile[0::2], profile[1::2]
            return cls(shot_noise=(shot[0], shot[1], shot[1], shot[2]), read_noise=(read[0], read[1], read[1], read[2]))
        raise ValueError(f"got a noise profile of {len(profile)} values, wanted 2 or 6")

    def to_profile(self) -> tuple[float, ...]:
        """As DNG's NoiseProfile: (S, O) if all channels agree, else (S, O) for R, G, B; green is the mean of both."""
        pairs = list(zip(self.shot_noise, self.read_noise, strict=True))
        if len(set(pairs)) == 1:
            return pairs[0]
        green = tuple((a + b) / 2 for a, b in zip(pairs[1], pairs[2], strict=True))
        return (*pairs[0], *green, *pairs[3])

    def scaled(self, factor: float) -> NoiseModel:
        """Both variances times `factor`."""
        shot, read = (np.array(values) * factor for values in (self.shot_noise, self.read_noise))
        return NoiseModel(shot_noise=tuple(shot.tolist()), read_noise=tuple(read.tolist()))

    def of_planes(self, cell: Cell = CELLS["bayer"]) -> NDArray[np.float64]:
        """(2, C) float64: shot and read noise of every plane of a mosaic packed by its cell."""
        return np.array([self.shot_noise, self.read_noise])[:, cell.noise_channels]

    def variance(self, packed: NDArray[np.floating], cell: Cell = CELLS["bayer"]) -> NDArray[np.floating]:
        """Variance at each photosite.

        Args:
            packed: (4, h, w) signal, linear, channels R, Gr, Gb, B; values below 0 count as 0.
            cell: What it is packed by: so many planes.

        Returns:
            (4, h, w) of the same dtype.
        """
        shot, read = self.of_planes(cell).astype(packed.dtype)[..., None, None]
        variance: NDArray[np.floating] = shot * np.maximum(packed, 0) + read
        return variance
