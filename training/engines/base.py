"""What every engine offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from threading import Lock

    import numpy as np
    from numpy.typing import NDArray

    from training.manifest import Manifest
    from training.noise import NoiseModel


class Engine(Protocol):
    """A loaded model.

    Attributes:
        manifest: What the model says about itself.
        device: Where it runs, in words: "cpu", "cuda".
        precision: Of its multiplications: "bfloat16", "float32".
        tile_size: The tile it runs best on, halo included, in packed pixels; a multiple of the stride.
        turn: Held by whoever runs a picture's tiles: pictures take turns, while others are read and written.
    """

    manifest: Manifest
    device: str
    precision: str
    tile_size: int
    turn: Lock

    def denoise_tiles(self, tiles: Iterable[NDArray[np.float32]], noise: NoiseModel) -> Iterator[NDArray[np.float32]]:
        """Denoise tiles of one size in their order; some may be read ahead.

        Args:
            tiles: See `denoise_tile`.
            noise: Their noise.

        Yields:
            (4, h, w) float32, linear, not clipped, for each tile.

        Raises:
            ModelError: The device has too little memory for a single tile.
        """

    def denoise_tile(self, tile: NDArray[np.float32], noise: NoiseModel) -> NDArray[np.float32]:
        """Denoise one tile.

        Args:
            tile: (4, h, w) float32, linear, not clipped, channels R Gr Gb B; h and w multiples of the stride.
            noise: Its noise.

        Returns:
            (4, h, w) float32, linear, not clipped.
        """
