"""The verdict to look at: a crop of some captures' held-out parts, noisy, denoised by the base, and by the new model.

In the flow: judge → **pictures** → report. The crop is where the capture shows most, not where the models differ most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from training.denoise_part import denoise_part
from training.errors import ConfigError
from training.pictures import encode_webp
from training.raw.atomic import replacing
from training.raw.dng import read_raw
from training.raw.image import Rectangle
from training.raw.render import choose_rendering, render_view, turn_back, turned_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from training.engines.base import Engine
    from training.finetuning.frames import Frame
    from training.finetuning.regions import Region
    from training.raw.image import RawImage

MAX_CAPTURES = 4
SIDE = 320
"""Photosites of a crop each way, where the held-out part has as many."""
BLOCK = 16
"""Photosites of a block whose mean shows structure where single ones show noise."""
QUALITY = 90


def draw_verdict(
    frames: Sequence[Frame],
    held_out: Sequence[Region],
    engines: tuple[Engine, Engine],
    folder: Path,
    progress: Callable[[float], None],
) -> list[dict[str, Any]]:
    """Write the pictures of some captures, those in the middle of as many equal parts of the list.

    Args:
        frames: All captures.
        held_out: The part of each that nothing was learned from.
        engines: The base's, and the new model's.
        folder: Where the pictures go.
        progress: Called with the share done, 0 … 1.

    Returns:
        Of each: the capture's name, the crop as x, y, width, height of the picture turned for viewing, and the names
        of its files: `noisy`, `base`, `new`.

    Raises:
        ConfigError: They cannot be written.
    """
    count = min(MAX_CAPTURES, len(frames))
    chosen = [len(frames) * (2 * index + 1) // (2 * count) for index in range(count)]
    drawn = []
    for rank, index in enumerate(chosen, 1):
        progress((rank - 1) / count)
        files = {stage: folder / f"crop-{rank}-{stage}.webp" for stage in ("noisy", "base", "new")}
        crop = _draw(frames[index], held_out[index], engines, files)
        drawn.append(
            {"capture": frames[index].name, "crop": crop, "files": {stage: file.name for stage, file in files.items()}}
        )
    return drawn


def _draw(frame: Frame, held_out: Region, engines: tuple[Engine, Engine], files: dict[str, Path]) -> list[int]:
    """Write one capture's pictures; gives the crop."""
    raw = read_raw(frame.path)
    area = _place(frame, held_out, raw)
    rendering = choose_rendering(raw)
    mosaics = [(raw, area), *(denoise_part(raw, area, engine, frame.told) for engine in engines)]
    for file, (mosaic, where) in zip(files.values(), mosaics, strict=True):
        picture = render_view(mosaic, rendering, where, SIDE)
        try:
            with replacing(file) as target:
                target.write(encode_webp(picture, QUALITY))
        except OSError as error:
            raise ConfigError(f"run: {file} cannot be written: {error.strerror or error}") from error
    return _turned(area, raw)


def _place(frame: Frame, held_out: Region, raw: RawImage) -> Rectangle:
    """The part of the held-out part that shows most, in full-frame coordinates."""
    active, visible = raw.metadata.active_area, raw.metadata.visible_area
    found = most_structure(frame.read(held_out.slices))
    top, left = active.top + held_out.top + found.top, active.left + held_out.left + found.left
    area = Rectangle(top, left, top + found.height, left + found.width).intersection(visible)
    return area if area.height and area.width else visible


def most_structure(signal: NDArray[np.float32]) -> Rectangle:
    """The window of a part whose blocks differ most.

    Args:
        signal: (h, w) linear, RGGB; at least one block each way.

    Returns:
        Where, within the part: `SIDE` each way, or all there is.
    """
    height, width = (side // BLOCK * BLOCK for side in signal.shape)
    blocks = signal[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK).mean(axis=(1, 3))
    rows, columns = (min(SIDE // BLOCK, side) for side in blocks.shape)
    windows = np.lib.stride_tricks.sliding_window_view(blocks, (rows, columns))
    row, column = np.unravel_index(np.argmax(windows.std(axis=(2, 3))), windows.shape[:2])
    top, left = int(row) * BLOCK, int(column) * BLOCK
    return Rectangle(top, left, top + rows * BLOCK, left + columns * BLOCK)


def _turned(area: Rectangle, raw: RawImage) -> list[int]:
    """Where a part of the mosaic lies in the picture turned for viewing: x, y, width, height."""
    visible, orientation = raw.metadata.visible_area, raw.metadata.orientation
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    width, height = turned_size(visible, orientation)
    within = Rectangle(
        area.top - visible.top, area.left - visible.left, area.bottom - visible.top, area.right - visible.left
    )
    turned = turn_back(within, Rectangle(0, 0, height, width), inverse)
    return [turned.left, turned.top, turned.width, turned.height]
