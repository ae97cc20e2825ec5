"""Pictures made from nothing: hard edges, slopes, fine texture and darkness, for a validation set that ships.

They resemble photographs in what is hard for a denoiser, not in what they show. Each is drawn at twice its size and
averaged, as a lens and a photosite average.

In the flow: **pictures** → unprocess → mosaic → noise → `mini_blocks.py`.

Source: dead leaves: Lee, Mumford, Huang, "Occlusion Models for Natural Images", IJCV 41, 2001 (disks whose radii follow
r⁻³); the 1/f spectrum of texture: Field, JOSA A 4(12), 1987.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

OVERSAMPLING = 2
LEAVES = 300
SMALLEST_LEAF, LARGEST_LEAF = 5.0, 80.0
"""Radii in pixels of the picture."""


def dead_leaves(size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Disks of all sizes in front of each other: hard edges, occlusion, flat places in between."""
    picture = np.full((size * OVERSAMPLING,) * 2 + (3,), _colour(rng), dtype=np.float32)
    for _ in range(LEAVES):
        centre = rng.uniform(0, size * OVERSAMPLING, 2)
        _draw_disk(picture, centre, OVERSAMPLING * _leaf_radius(rng), _colour(rng))
    return _averaged(picture)


def gradients(size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Slow slopes between four colours, as skies and walls have them, and a staircase of greys along one side."""
    position = np.linspace(0, 1, size, dtype=np.float32)
    down, across = np.meshgrid(position, position, indexing="ij")
    corners = np.array([_colour(rng) for _ in range(4)], dtype=np.float32)
    weights = np.stack([(1 - down) * (1 - across), (1 - down) * across, down * (1 - across), down * across], axis=-1)
    picture: NDArray[np.float32] = weights @ corners
    picture[: size // 5] = (np.floor(position * 12) / 12 * 0.9 + 0.05)[None, :, None]
    return picture


def texture(size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Cloth, gravel and gratings: detail that looks like noise, down to three pixels a period."""
    fine = size * OVERSAMPLING
    frequency = np.hypot(np.fft.fftfreq(fine)[:, None], np.fft.rfftfreq(fine)[None, :])
    spectrum = np.fft.rfft2(rng.normal(0, 1, (fine, fine))) / np.maximum(frequency, 4 / fine)
    clouds = np.fft.irfft2(spectrum, s=(fine, fine))
    clouds /= clouds.std()
    down, across = np.mgrid[:fine, :fine] / OVERSAMPLING
    angle, period = rng.uniform(0, np.pi), 3 + 9 * across / size  # finer to the left
    grating = np.sin(2 * np.pi * (across * np.cos(angle) + down * np.sin(angle)) / period)
    brightness = 0.45 + 0.12 * clouds + np.where(down > size / 2, 0.15 * grating, 0.0)
    tint = 0.7 + 0.6 * _colour(rng)
    return _averaged(np.clip(brightness[..., None] * tint, 0.02, 0.98).astype(np.float32))


def night(size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Dead leaves in the dark, a few of them lamps."""
    picture = dead_leaves(size, rng) * np.float32(rng.uniform(0.15, 0.35))
    lamps = np.repeat(np.repeat(picture, OVERSAMPLING, axis=0), OVERSAMPLING, axis=1)
    for _ in range(5):
        _draw_disk(lamps, rng.uniform(0, size * OVERSAMPLING, 2), rng.uniform(2, 10), rng.uniform(0.8, 1, 3))
    return _averaged(lamps)


PICTURES: dict[str, Callable[[int, np.random.Generator], NDArray[np.float32]]] = {
    "dead leaves": dead_leaves,
    "gradients": gradients,
    "texture": texture,
    "night": night,
}
"""Each makes a (size, size, 3) float32 sRGB picture in [0, 1], wholly decided by the generator's state."""


def _colour(rng: np.random.Generator) -> NDArray[np.float64]:
    """(3,) sRGB in [0, 1]: any brightness, mostly not very colourful."""
    return np.clip(rng.uniform(0.08, 0.92) + rng.normal(0, 0.12, 3), 0, 1)


def _leaf_radius(rng: np.random.Generator) -> float:
    """A radius between the limits whose density falls with its cube."""
    share = rng.uniform()
    return float((SMALLEST_LEAF**-2 * (1 - share) + LARGEST_LEAF**-2 * share) ** -0.5)


def _draw_disk(
    picture: NDArray[np.float32], centre: NDArray[np.float64], radius: float, colour: NDArray[np.float64]
) -> None:
    top, left = (max(0, int(place - radius)) for place in centre)
    part = picture[top : int(centre[0] + radius) + 2, left : int(centre[1] + radius) + 2]
    down = np.square(np.arange(part.shape[0]) + (top - centre[0]))
    across = np.square(np.arange(part.shape[1]) + (left - centre[1]))
    part[down[:, None] + across <= radius**2] = colour


def _averaged(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each OVERSAMPLING × OVERSAMPLING square as one pixel."""
    size = picture.shape[0] // OVERSAMPLING
    rows = picture.reshape(size, OVERSAMPLING, -1).mean(axis=1)  # an axis at a time is faster in NumPy
    averaged: NDArray[np.float32] = rows.reshape(size, size, OVERSAMPLING, 3).mean(axis=2)
    return averaged
