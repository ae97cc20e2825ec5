"""Scenes that a denoiser easily spoils, drawn from nothing: each as a camera without noise sees it.

All are drawn at twice their size and averaged, as a lens and a photosite average, in colours for which (1, 1, 1) is
white; `NEUTRAL` makes them a sensor's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Picture = NDArray[np.float64]

NEUTRAL = (0.5, 1.0, 0.65)
"""What the sensor's red, green and blue see of something grey."""
OVERSAMPLING = 2
HOT_SHARE = 1 / 1500


def flat_field(size: int) -> Picture:
    """One grey, a little darker to the corners."""
    down, across = _places(size)
    return _grey(0.3 - 0.1 * (np.square(down - 0.5) + np.square(across - 0.5)))


def hot_pixels(size: int) -> Picture:
    """Soft waves of grey; the sensor adds hot photosites (`heat`)."""
    down, across = _places(size)
    return _grey(0.06 + 0.04 * np.sin(9 * down + 4 * np.sin(7 * across)))


def clipped_highlights(size: int) -> Picture:
    """A lamp brighter than white that fades into dusk, and small ones beside it."""
    down, across = _places(size)
    light = 0.03 + np.zeros_like(down)
    for row, column, radius, brightness in ((0.4, 0.4, 0.16, 3.0), (0.75, 0.75, 0.03, 6.0), (0.2, 0.8, 0.012, 8.0)):
        light += brightness * np.exp(-np.square(np.hypot(down - row, across - column) / radius))
    return light[..., None] * np.array([1.0, 0.85, 0.6])


def deep_shadows(size: int) -> Picture:
    """Steps of grey from black to a sixteenth of white, with a fine grating in each."""
    down, across = _places(size)
    step = np.floor(across * 6)
    grey = np.where(step == 0, 0.0, 0.06 / 2.0 ** (5 - step))
    return _grey(grey * (1 + 0.5 * np.sign(np.sin(2 * np.pi * down * size / (4 + 12 * down)))))


def colour_edges(size: int) -> Picture:
    """Coloured fields that are about as bright as each other, along straight and round edges."""
    down, across = _places(size)
    palette = np.array([[0.5, 0.12, 0.1], [0.1, 0.26, 0.12], [0.15, 0.18, 0.6], [0.36, 0.2, 0.02], [0.24, 0.24, 0.24]])
    index = (np.floor(4 * across + 1.5 * down) + np.floor(3 * down)).astype(int) % 5
    index = np.where(np.hypot(down - 0.5, across - 0.5) % 0.2 < 0.04, (index + 2) % 5, index)
    return palette[index]


def text(size: int) -> Picture:
    """Letters of six sizes, dark on light and light on dark."""
    side = size * OVERSAMPLING
    page = Image.new("L", (side, side), 200)
    pen = ImageDraw.Draw(page)
    pen.rectangle((0, side // 2, side, side), fill=25)
    row = 4
    for index, height in enumerate((36, 28, 22, 18, 14, 11) * 2):
        ink = 30 if index < 6 else 190
        pen.text((8, row), "Photosite 0123 aegs @ 1/250 f/2.8 Ww", fill=ink, font=ImageFont.load_default(height))
        row = side // 2 + 4 if index == 5 else row + int(height * 1.35)
    return _grey(np.square(np.asarray(page) / 255) * 0.6)


def saturated(size: int) -> Picture:
    """Pure red and pure blue, plain, in stripes and side by side: two colours that a quarter of the photosites see."""
    down, across = _places(size)
    red, blue = np.array([0.8, 0.03, 0.02]), np.array([0.02, 0.04, 0.9])
    stripes = np.sin(2 * np.pi * across * size / (3 + 13 * across)) > 0
    is_red = np.where(
        down < 0.35, across < 0.5, np.where(down < 0.7, stripes, np.hypot(down - 0.85, across - 0.5) < 0.1)
    )
    shade = 0.15 + 0.85 * (1 - down)
    return np.where(is_red[..., None], red, blue) * shade[..., None]


def zone_plate(size: int) -> Picture:
    """Rings that grow finer to the corners, down to two photosites."""
    down, across = _places(size)
    radius = np.square(down - 0.5) + np.square(across - 0.5)
    return _grey(0.25 + 0.2 * np.cos(np.pi * size * radius))


SCENES: dict[str, Callable[[int], Picture]] = {
    "flat field": flat_field,
    "hot pixels": hot_pixels,
    "clipped highlights": clipped_highlights,
    "deep shadows": deep_shadows,
    "colour edges": colour_edges,
    "text": text,
    "saturated red and blue": saturated,
    "zone plate": zone_plate,
}


def draw_scene(name: str, size: int) -> NDArray[np.float32]:
    """(size, size, 3) float32: what the camera's red, green and blue would see, linear; can exceed 1."""
    fine = SCENES[name](size)
    averaged = fine.reshape(size, OVERSAMPLING, size, OVERSAMPLING, 3).mean(axis=(1, 3))
    return (averaged * NEUTRAL).astype(np.float32)


def heat(shape: tuple[int, int]) -> NDArray[np.float32]:
    """(H, W) what hot photosites add to the signal, the same each time; 0 for nearly all."""
    rng = np.random.default_rng(0)
    hot = rng.random(shape) < HOT_SHARE
    return np.where(hot, rng.uniform(0.05, 0.9, shape), 0).astype(np.float32)


def _places(size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Row and column of each point, 0 … 1."""
    down, across = (np.mgrid[: size * OVERSAMPLING, : size * OVERSAMPLING] + 0.5) / (size * OVERSAMPLING)
    return down, across


def _grey(brightness: NDArray[np.float64]) -> Picture:
    return np.repeat(brightness[..., None], 3, axis=-1)
