"""The validation set that ships: 16 images of 4 blocks, made in memory, so that a model can be judged at once.

Each image is one of four ISO speeds in one of the four Bayer patterns; its blocks show dead leaves, gradients, texture
and night. Its figures say whether a model works at all and compare models roughly; they are not SIDD's.

In the flow: procedural pictures → **blocks** → validate.

Source: the noise of a phone by ISO speed: Wang et al., "Practical Deep Raw Image Denoising on Mobile Devices" (PMRID),
ECCV 2020, the calibration of an OPPO Reno 10x: variance in 10-bit numbers k · x + σ². As SIDD's, blocks are cut off at
black and at white.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from training.datasets.procedural import PICTURES
from training.datasets.sidd_blocks import BlockSet
from training.datasets.sidd_scenes import Scene
from training.datasets.synthetic import add_noise, mosaic_of, unprocess
from training.noise import NoiseModel
from training.raw.bayer import CFA_PATTERNS
from training.raw.patterns import restore

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.raw.bayer import CfaPattern

SPEEDS = (100, 400, 1600, 6400)
BLOCK_SIZE = 256
SEED = 20_261_121
CAMERA = "synthetic"
IMAGES = tuple((iso, pattern) for iso in SPEEDS for pattern in CFA_PATTERNS)
"""ISO speed and Bayer pattern of each."""
_STEPS = 959
"""The phone's 10-bit numbers between black (64) and white (1023)."""


@dataclass(frozen=True, slots=True)
class HeldMosaics:
    """Blocks in memory."""

    array: NDArray[np.float32]
    """(images, blocks, H, W) float32, linear [0, 1]."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self.array.shape

    def read(self, index: Any = ()) -> NDArray[np.float32]:
        """A copy of the part that `index` names."""
        return np.array(self.array[index])


def make_mini_blocks(size: int = BLOCK_SIZE) -> BlockSet:
    """Make the set; the same one every time.

    Args:
        size: Height and width of a block, even.
    """
    images = IMAGES
    pairs = np.array(
        [
            [_block(size, (SEED, image, block), *images[image]) for block in range(len(PICTURES))]
            for image in range(len(images))
        ]
    )  # (images, blocks, 2, H, W)
    return BlockSet(
        name="validation",
        noisy=HeldMosaics(np.ascontiguousarray(pairs[:, :, 0])),
        clean=HeldMosaics(np.ascontiguousarray(pairs[:, :, 1])),
        scenes=tuple(Scene(f"{CAMERA} {pattern} ISO {iso}", CAMERA, iso) for iso, pattern in images),
        patterns=tuple(pattern for _, pattern in images),
    )


def phone_noise(iso: int) -> NoiseModel:
    """The noise of the phone at an ISO speed.

    >>> [f"{phone_noise(iso).shot_noise[0]:.1e}" for iso in SPEEDS]
    ['7.2e-05', '2.6e-04', '1.0e-03', '4.0e-03']
    """
    gain = 5.995e-4 * iso + 8.689e-3
    variance = 7.118e-7 * iso**2 + 6.515e-4 * iso + 0.1149
    return NoiseModel.uniform(shot_noise=gain / _STEPS, read_noise=variance / _STEPS**2)


def _block(size: int, seed: tuple[int, int, int], iso: int, cfa_pattern: CfaPattern) -> NDArray[np.float32]:
    """(2, size, size) float32: a block with its noise, and without."""
    rng = np.random.default_rng(seed)
    draw = list(PICTURES.values())[seed[-1]]
    camera = unprocess(draw(size + 2, rng), rng)  # one cell more, so that any pattern can be cut out of it
    clean = np.clip(restore(mosaic_of(camera), cfa_pattern, (size, size)), 0, 1)
    noise = phone_noise(iso)
    noisy = add_noise(clean, noise.shot_noise[0], noise.read_noise[0], rng)
    return np.stack([np.clip(noisy, 0, 1), clean])
