"""What a capture is: the facts that a list of captures or `photosite inspect` shows, and its thumbnail.

In the flow: a file → **describe_capture, thumbnail** → a person who decides what to do with it. The decisions that
denoising would take (which noise model, whether at all) are those of `denoise.py`, not repeated here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from training.denoise import check_denoisable, check_digest
from training.errors import RawError
from training.noise_choice import choose_noise
from training.pictures import encode_webp
from training.planes import pack_signal
from training.raw.dng import read_raw
from training.raw.render import choose_rendering, render_screen

if TYPE_CHECKING:
    from pathlib import Path

    from training.noise_choice import NoiseChoice
    from training.noise_estimation import NoiseEstimate
    from training.raw.decode import Decoder
    from training.raw.image import RawImage, RawMetadata

THUMBNAIL_SIZE = 320


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptureFacts:
    """What a file and its pixels say."""

    metadata: RawMetadata
    """What the file says."""
    noise: NoiseChoice | None
    """The noise model that it would be denoised with, None where there is none to be had."""
    refusal: RawError | None = None
    """Why it cannot be denoised, None if it can."""
    warnings: tuple[str, ...] = ()
    """What its owner should know, in sentences."""

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types, in the order in which a person reads them."""
        metadata, noise = self.metadata, self.noise
        captured = metadata.exposure.captured
        return {
            "camera": metadata.camera,
            "make": metadata.make,
            "model": metadata.model,
            "iso": metadata.iso,
            "exposure_time_s": metadata.exposure.time_s,
            "f_number": metadata.exposure.f_number,
            "captured": None if captured is None else captured.isoformat(),
            "size": [metadata.width, metadata.height],
            "active_area": list(metadata.active_area),
            "orientation": metadata.orientation,
            "sensor": metadata.sensor,
            "cfa_pattern": metadata.cfa_pattern,
            "bits_per_sample": metadata.bits_per_sample,
            "compression": metadata.compression,
            "black_level": [round(float(black), 4) for black in metadata.levels.mean_black],
            "white_level": metadata.levels.white_level,
            "noise": noise and {"shot": list(noise.model.shot_noise), "read": list(noise.model.read_noise)},
            "noise_source": noise and noise.source,
            "noise_profile": metadata.noise_profile and list(metadata.noise_profile.to_profile()),
            "noise_estimate": _estimate(noise.estimate) if noise and noise.estimate else None,
            "denoisable": self.refusal is None,
            **({} if self.refusal is None else {"refused": self.refusal.code, "reason": self.refusal.message}),
            "warnings": list(self.warnings),
        }


def _estimate(estimate: NoiseEstimate) -> dict[str, float]:
    return {
        "shot": estimate.model.shot_noise[0],
        "shot_error": estimate.shot_error,
        "read": estimate.model.read_noise[0],
        "read_error": estimate.read_error,
    }


def describe_capture(path: Path, decoder: Decoder | None = None) -> CaptureFacts:
    """Everything that a file and its pixels say.

    Args:
        path: A file; anything may be in it.
        decoder: See `read_raw`.

    Raises:
        RawError: It is no raw that we read, so that nothing is known about it; the error says why.
    """
    return describe_raw(read_raw(path, decoder))


def describe_raw(raw: RawImage) -> CaptureFacts:
    """The same of a file that is already in memory."""
    refusals: list[RawError] = []
    warnings = check_digest(raw)
    noise = None
    try:
        warnings += check_denoisable(raw.metadata)
    except RawError as error:
        refusals.append(error)
    try:
        noise = choose_noise(pack_signal(raw), raw.metadata)
        warnings += noise.warnings
    except RawError as error:
        refusals.append(error)
    return CaptureFacts(
        metadata=raw.metadata, noise=noise, refusal=refusals[0] if refusals else None, warnings=warnings
    )


def thumbnail(path: Path, size: int = THUMBNAIL_SIZE, decoder: Decoder | None = None) -> bytes:
    """A small picture of a capture: WebP, sRGB, turned for viewing, without metadata; the same bytes every time.

    Args:
        path: A file; anything may be in it.
        size: Pixels of its longer side.
        decoder: See `read_raw`.

    Raises:
        RawError: It is no raw that we read.
    """
    return thumbnail_of(read_raw(path, decoder), size)


def thumbnail_of(raw: RawImage, size: int = THUMBNAIL_SIZE) -> bytes:
    """The same of a file that is already in memory."""
    return encode_webp(render_screen(raw, choose_rendering(raw), size))
