"""Drawn pictures to learn from beside photographs: what sensors see and a small folder of photographs hardly shows.

Hard edges of any colour, type, thin lines, fine texture, and slopes so slow that a step of one number would band. Each
is drawn at twice its size and averaged, as a lens and a photosite average.

In the flow: **drawn pictures**, photographs → `mixture.py` → patches. Those of `procedural.py` are used as they are.
"""

from __future__ import annotations

import colorsys
import string
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from training.datasets import procedural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

SIZE = 448
"""Height and width of a drawn picture."""
COUNT = 16
"""How many there are of every kind."""
SEED = 20_261_122
_SHAPES, _WORDS, _LINES, _FANS = 260, 70, 40, 3


def colours(size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Disks and turned rectangles in front of each other, in saturated colours, black and white."""
    canvas = _canvas(size, _saturated(rng))
    draw = ImageDraw.Draw(canvas)
    for _ in range(_SHAPES):
        across, down = rng.uniform(0, canvas.width, 2)
        half = 6 / np.sqrt(rng.uniform(0.0015, 1))  # few large ones
        if rng.random() < 0.5:
            draw.ellipse((across - half, down - half, across + half, down + half), fill=_saturated(rng))
        else:
            turn, aspect = rng.uniform(0, np.pi), rng.uniform(0.1, 1)
            draw.regular_polygon((across, down, half), 4, rotation=np.degrees(turn), fill=_saturated(rng))
            end = (across + half * np.cos(turn), down + half * np.sin(turn))
            draw.line((across, down, *end), fill=_saturated(rng), width=max(1, round(aspect * half / 2)))
    return _averaged(canvas)


def printed(size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Type of all sizes, lines down to half a pixel wide, and fans that narrow to nothing."""
    paper = rng.random() < 0.7
    canvas = _canvas(size, _grey(rng, 0.75, 1.0) if paper else _saturated(rng))
    draw = ImageDraw.Draw(canvas)
    for _ in range(_WORDS):
        word = "".join(rng.choice(list(string.ascii_letters + string.digits + "  .,-"), int(rng.integers(3, 16))))
        font = ImageFont.load_default(float(procedural.OVERSAMPLING * 7 / np.sqrt(rng.uniform(0.01, 1))))
        draw.text(tuple(rng.uniform(-20, canvas.width, 2)), word, font=font, fill=_ink(rng, paper=paper))
    for _ in range(_LINES):
        ends = rng.uniform(0, canvas.width, 4)
        if rng.random() < 0.5:
            ends[2 + int(rng.integers(2))] = ends[int(rng.integers(2))]
        draw.line(tuple(ends), fill=_ink(rng, paper=paper), width=int(rng.integers(1, 7)))
    for _ in range(_FANS):
        across, down, radius = *rng.uniform(0, canvas.width, 2), rng.uniform(30, 200)
        for angle in np.arange(0, 360, float(rng.uniform(4, 12))):
            box = (across - radius, down - radius, across + radius, down + radius)
            draw.pieslice(box, angle, angle + 2, fill=_ink(rng, paper=True) if paper else _saturated(rng))
    return _averaged(canvas)


def slopes(size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """One colour that changes by a few percent, or not at all: walls, skies, defocused backgrounds."""
    down, across = np.mgrid[:size, :size].astype(np.float32) / size - 0.5
    base = np.clip(rng.uniform(0.03, 0.95) + rng.normal(0, 0.15, 3), 0.01, 0.99)
    strength = rng.choice([0.0, 0.03, 0.15])
    terms = np.stack([down, across, down * across, down**2, across**2], axis=-1)
    picture = base + strength * (terms @ rng.normal(0, 1, (5, 3)))
    clipped: NDArray[np.float32] = np.clip(picture, 0, 1).astype(np.float32)
    return clipped


KINDS: dict[str, Callable[[int, np.random.Generator], NDArray[np.float32]]] = {
    "leaves": procedural.dead_leaves,
    "colours": colours,
    "printed": printed,
    "texture": procedural.texture,
    "slopes": slopes,
    "gradients": procedural.gradients,
    "night": procedural.night,
}
"""Each makes a (size, size, 3) float32 sRGB picture in [0, 1], wholly decided by the generator's state."""


def draw_pictures(kind: str, count: int = COUNT, size: int = SIZE) -> Iterator[NDArray[np.float16]]:
    """(size, size, 3) sRGB pictures of a kind, 0 … 255, the same ones every time.

    Not in 8 bits: a slope of a few numbers would be learned as a staircase.
    """
    for index in range(count):
        rng = np.random.default_rng((SEED, list(KINDS).index(kind), index))
        yield (KINDS[kind](size, rng) * 255).astype(np.float16)


def _canvas(size: int, colour: tuple[int, ...]) -> Image.Image:
    return Image.new("RGB", (size * procedural.OVERSAMPLING,) * 2, colour)


def _averaged(canvas: Image.Image) -> NDArray[np.float32]:
    return np.asarray(canvas.reduce(procedural.OVERSAMPLING), dtype=np.float32) / np.float32(255)


def _saturated(rng: np.random.Generator) -> tuple[int, ...]:
    """Any hue, mostly as colourful as a screen can show; sometimes black or white."""
    if rng.random() < 0.15:
        return _grey(rng, *((0.0, 0.05) if rng.random() < 0.5 else (0.95, 1.0)))
    colour = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.6, 1) ** 0.5, rng.uniform(0.1, 1))
    return tuple(round(255 * part) for part in colour)


def _grey(rng: np.random.Generator, low: float, high: float) -> tuple[int, ...]:
    return (round(255 * float(rng.uniform(low, high))),) * 3


def _ink(rng: np.random.Generator, *, paper: bool) -> tuple[int, ...]:
    """Dark on paper, mostly; any colour elsewhere."""
    return _grey(rng, 0, 0.3) if paper and rng.random() < 0.7 else _saturated(rng)
