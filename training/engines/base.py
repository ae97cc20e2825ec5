"""What every engine offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
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
    """

    manifest: Manifest
    device: str
    precision: str
    tile_size: int

    def denoise_tile(self, tile: NDArray[np.float32], noise: NoiseModel) -> NDArray[np.float32]:
        """Denoise one tile.

        Args:
            tile: (4, h, w) float32, linear, not clipped, channels R Gr Gb B; h and w multiples of the stride.
            noise: Its noise.

        Returns:
            (4, h, w) float32, linear, not clipped.
        """
