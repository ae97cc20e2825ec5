"""Engines whose result one can foretell: what tests give to the code around the network."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from training.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from training.noise import NoiseModel


class KnownEngine:
    """An engine that applies a function to each tile.

    Args:
        function: (4, h, w) to (4, h, w); the identity unless given.
        tile_size: In packed pixels.
        halo: In packed pixels.
    """

    def __init__(
        self,
        function: Callable[[NDArray[np.float32]], NDArray[np.float32]] = np.copy,
        *,
        tile_size: int = 64,
        halo: int = 8,
    ) -> None:
        self.manifest = Manifest(
            name="known",
            version="1",
            description="For tests.",
            network="none",
            network_options={},
            input_normalisation="none",
            stride=16,
            receptive_field=halo,
            halo=halo,
            weights_sha256="0" * 64,
            objective="none",
            training_data="none",
            noise_range={},
            error_ratios=[[1e-5, 0.9], [1e-3, 0.5]],
        )
        self.device, self.precision, self.tile_size, self.turn = "cpu", "float32", tile_size, Lock()
        self.noises: list[NoiseModel] = []
        self._function = function

    def denoise_tiles(self, tiles: Iterable[NDArray[np.float32]], noise: NoiseModel) -> Iterator[NDArray[np.float32]]:
        """See `training.engines.base.Engine.denoise_tiles`."""
        return (self.denoise_tile(tile, noise) for tile in tiles)

    def denoise_tile(self, tile: NDArray[np.float32], noise: NoiseModel) -> NDArray[np.float32]:
        """See `training.engines.base.Engine.denoise_tile`."""
        self.noises.append(noise)
        return self._function(tile)


def half(tile: NDArray[np.float32]) -> NDArray[np.float32]:
    """Half of the signal: a change that no rounding hides."""
    return tile * np.float32(0.5)
