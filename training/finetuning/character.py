"""What kind of noise the captures have, beside how much: the tails of the read noise, and whether neighbours share it.

Learning from noisy captures rests on noise that is independent from pixel to pixel. A sensor's noise is, but for noise
that whole rows share; that of a demosaiced or rescaled picture is not.

In the flow: frames → **character** → objective, judge, warnings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from training.noise_estimation import BLOCK, flat_blocks
from training.noise_tail import detrended, detrending, fit_tail
from training.raw.bayer import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from training.finetuning.frames import Frame

MAX_FRAMES = 24
ROWS_LIMIT = 0.05
"""Correlation along one axis beyond that along the other: noise that rows or columns share."""
BOTH_LIMIT = 0.15
"""Correlation along both: a picture that was demosaiced or rescaled. Fine texture alone reaches a third of it."""


class Correlation(NamedTuple):
    """Of packed neighbours' noise, −1 … 1; 0 for independent noise."""

    along_rows: float
    """Of a pixel and the one to its right."""
    along_columns: float
    """Of a pixel and the one below."""


class Character(NamedTuple):
    """What kind of noise it is."""

    tail: float | None
    """Shape of the read noise, Tukey's λ; None for a Gaussian one."""
    correlation: Correlation


def find_character(frames: Sequence[Frame], progress: Callable[[float], None]) -> Character:
    """Read it off the flat places of all frames.

    Args:
        frames: The captures.
        progress: Called between frames with the share done; what it raises ends the work.
    """
    chosen = frames[:MAX_FRAMES]
    pieces = []
    for index, frame in enumerate(chosen):
        progress(index / len(chosen))
        pieces.append((flat_blocks(pack(frame.read_filled()), frame.black_clip), frame.actual))
    blocks = np.concatenate([blocks for blocks, _ in pieces])
    shot, read = (
        np.concatenate([np.full(len(blocks), getattr(noise, name)[0]) for blocks, noise in pieces])
        for name in ("shot_noise", "read_noise")
    )
    variance = shot * np.maximum(blocks.mean(axis=(1, 2)), 0) + read
    return Character(fit_tail(blocks, shot, read), block_correlation(blocks / np.sqrt(variance)[:, None, None]))


def block_correlation(blocks: NDArray[np.floating]) -> Correlation:
    """The correlation of neighbours in flat blocks, made up for what taking out a parabola does to it.

    Args:
        blocks: (n, 8, 8) noise of unit variance on a smooth background.
    """
    rest = detrended(blocks).reshape(len(blocks), BLOCK * BLOCK)
    variance = float(np.mean(np.square(rest))) if len(rest) else 0.0
    if variance == 0:
        return Correlation(0.0, 0.0)
    projection, places = detrending(BLOCK), np.arange(BLOCK * BLOCK).reshape(BLOCK, BLOCK)
    found = []
    for one, other in ((places[:, :-1], places[:, 1:]), (places[:-1], places[1:])):
        product = float(np.mean(rest[:, one.ravel()] * rest[:, other.ravel()])) / variance
        white = float(projection[one.ravel(), other.ravel()].mean() / np.diag(projection).mean())
        found.append(round(product - white, 4))
    return Correlation(*found)


def lag_one(planes: NDArray[np.floating]) -> Correlation:
    """The correlation of neighbours in (4, h, w) planes."""
    centred = planes - planes.mean(axis=(1, 2), keepdims=True)
    variance = float(np.mean(np.square(centred)))
    if variance == 0:
        return Correlation(0.0, 0.0)
    rows = float(np.mean(centred[:, :, 1:] * centred[:, :, :-1])) / variance
    columns = float(np.mean(centred[:, 1:] * centred[:, :-1])) / variance
    return Correlation(round(rows, 4), round(columns, 4))


def correlation_warning(correlation: Correlation) -> str:
    """A sentence where neighbours share their noise, else nothing.

    >>> correlation_warning(Correlation(0.03, 0.02))
    ''
    """
    rows, columns = correlation
    if abs(rows - columns) > ROWS_LIMIT:
        axis = "rows" if rows > columns else "columns"
        return (
            f"the noise is shared along {axis} (correlation of neighbours {max(rows, columns):.2f} along them,"
            f" {min(rows, columns):.2f} across): learning from noisy captures alone cannot remove such stripes"
        )
    if min(rows, columns) > BOTH_LIMIT:
        return (
            f"neighbouring photosites share their noise (correlation {rows:.2f} and {columns:.2f}): the captures look"
            " demosaiced, rescaled or denoised, and nothing can be learned from such noise; send the camera's own raws"
        )
    return ""
