"""Frames for the tests of fine-tuning: a clean signal that the test knows, and what a camera makes of it.

In the flow of the tests: **make_scene**, **make_frame** → static pairs, defects, character, judge.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from training.datasets.cache import MosaicCache
from training.finetuning.frames import Frame
from training.noise import NoiseModel

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SHOT, READ = 1e-3, 1e-5
NOISE = NoiseModel.uniform(shot_noise=SHOT, read_noise=READ)


def make_scene(height: int = 512, width: int = 512, seed: int = 0) -> NDArray[np.float32]:
    """(height, width) RGGB in 0.05 … 0.75: smooth waves, and rectangles with sharp edges."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width] / 128
    scene = 0.25 + 0.1 * np.sin(rows * rng.uniform(1, 3)) * np.cos(columns * rng.uniform(1, 3))
    for _ in range(24):
        top, left = int(rng.integers(height - 40)), int(rng.integers(width - 40))
        scene[top : top + 40, left : left + 40] += rng.uniform(-0.1, 0.2)
    return np.clip(scene, 0.05, 0.75).astype(np.float32)


def add_gaussian(clean: NDArray[np.float32], seed: int, noise: NoiseModel = NOISE) -> NDArray[np.float32]:
    """The scene with Gaussian noise of the model's variance."""
    deviation = np.sqrt(noise.shot_noise[0] * clean + noise.read_noise[0])
    noisy: NDArray[np.float32] = clean + deviation * np.random.default_rng(seed).standard_normal(clean.shape)
    return noisy.astype(np.float32)


def make_frame(
    folder: Path, name: str, noisy: NDArray[np.float32], *, noise: NoiseModel = NOISE, camera: str = "Phantom One"
) -> Frame:
    """A frame of a mosaic, its noise known."""
    source = folder / name
    source.write_bytes(name.encode())
    return Frame(
        path=source,
        name=name,
        digest=hashlib.sha256(name.encode()).hexdigest(),
        camera=camera,
        mosaic=MosaicCache(folder / "cache").add(source, noisy, {}),
        told=noise,
        actual=noise,
        black_clip=-1.0,
    )


def quiet(_share: float) -> None:
    """Progress that nobody asks for."""
