"""Denoise a part of a picture, to look at before the whole is denoised.

In the flow: read_raw → choose_noise (whole picture) → **denoise_part** → render_view.

The network sees what it would see of the whole: its halo around the part, tiles on the same multiples of its stride.
Only the brightness, which is kept by means over many photosites, is kept by those of the part.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from training.denoise import DenoiseOptions, denoise_packed, precision_shift
from training.planes import pack_signal, unpack_mosaic
from training.raw.image import Rectangle
from training.registry import check_sensor

if TYPE_CHECKING:
    from training.engines.base import Engine
    from training.noise import NoiseModel
    from training.raw.image import RawImage

MARGIN = 4
"""Photosites around the part that are right, too: a demosaic and the look at clipped neighbours reach into them."""


def denoise_part(
    raw: RawImage, area: Rectangle, engine: Engine, noise: NoiseModel, strength: float = 1.0
) -> tuple[RawImage, Rectangle]:
    """Denoise a part of a picture.

    Args:
        raw: The whole picture.
        area: Which part, within the active area, in full-frame coordinates.
        engine: The model.
        noise: The noise of the whole.
        strength: 0 … 1.

    Returns:
        A window of the picture that holds the part, denoised within it; and where in the window the part lies.

    Raises:
        UnsupportedRawError: The model does not take mosaics of the picture's sensor.
    """
    check_sensor(engine.manifest, raw.metadata.sensor)
    window = _window(raw, area, engine)
    part = raw.window(window)
    packed = pack_signal(part)
    denoised = denoise_packed(packed, engine, noise, strength)
    shift = precision_shift(raw, noise, DenoiseOptions(strength=strength))
    mosaic = unpack_mosaic(part, packed, denoised, noise, shift)
    metadata = replace(part.metadata, levels=part.metadata.levels.scaled(shift))
    within = Rectangle(
        area.top - window.top, area.left - window.left, area.bottom - window.top, area.right - window.left
    )
    return replace(part, mosaic=mosaic, metadata=metadata), within


def _window(raw: RawImage, area: Rectangle, engine: Engine) -> Rectangle:
    """The part with its halo and margin; it begins on a multiple of the network's stride, as the whole's tiles do."""
    active, side = raw.metadata.active_area, raw.metadata.phase.cell.side
    step, reach = side * engine.manifest.stride, side * engine.manifest.halo + MARGIN
    grown = Rectangle(area.top - reach, area.left - reach, area.bottom + reach, area.right + reach)
    window = active.intersection(grown)
    return window._replace(
        top=window.top - (window.top - active.top) % step, left=window.left - (window.left - active.left) % step
    )
