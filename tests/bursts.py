"""Bursts for tests: one scene, seen several times by a hand that trembles, with noise that is known.

In the flow of the tests: make_scene → **frame_planes**, **make_burst** → find_shift, Merge, denoise_burst.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from dng_factory import make_dng

from training.noise import NoiseModel
from training.raw.bayer import pack

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

NOISE = NoiseModel.uniform(shot_noise=1e-3, read_noise=1e-5)
MARGIN = 48
"""Photosites around a frame that the scene has more of, each way: as far as a frame may be shifted."""
BLACK, WHITE = 512, 16000


def cut(scene: NDArray[np.float32], shift: tuple[int, int] = (0, 0)) -> NDArray[np.float32]:
    """What a frame sees of a scene, in photosites; what lies at (row, column) of it lies at + `shift` without shift."""
    down, across = shift
    height, width = (length - 2 * MARGIN for length in scene.shape)
    return scene[MARGIN + down : MARGIN + down + height, MARGIN + across : MARGIN + across + width]


def add_noise(clean: NDArray[np.float32], seed: int, noise: NoiseModel = NOISE) -> NDArray[np.float32]:
    """(h, w) with Gaussian noise of the model's variance."""
    deviation = np.sqrt(noise.shot_noise[0] * clean + noise.read_noise[0])
    noisy: NDArray[np.float32] = clean + deviation * np.random.default_rng(seed).standard_normal(clean.shape)
    return noisy.astype(np.float32)


def frame_planes(
    scene: NDArray[np.float32], shift: tuple[int, int], seed: int, noise: NoiseModel = NOISE
) -> NDArray[np.float32]:
    """(4, h, w) a frame's noisy planes."""
    return pack(add_noise(cut(scene, shift), seed, noise))


def make_burst(
    folder: Path, scenes: Sequence[NDArray[np.float32]], shifts: Sequence[tuple[int, int]], **options: Any
) -> list[Path]:
    """A DNG for each scene and shift, with the noise in its profile."""
    paths = []
    for index, (scene, shift) in enumerate(zip(scenes, shifts, strict=True)):
        noisy = add_noise(cut(scene, shift), seed=index)
        mosaic = np.clip(np.rint(noisy * (WHITE - BLACK) + BLACK), 0, 16383).astype(np.uint16)
        usual: dict[str, Any] = {"black_level": BLACK, "white_level": WHITE, "noise_profile": NOISE.to_profile()}
        paths.append(make_dng(folder / f"{index}.dng", mosaic, **(usual | options)))
    return paths
