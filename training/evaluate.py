"""Quality on synthetic raws from pictures that no training saw, through the code that serves.

Each picture is taken back through a camera drawn by its own name, given noise of a known level, denoised with the true
noise parameters and with those estimated from the noisy picture, and compared with the clean signal.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.datasets.splits import HELD_OUT
from training.datasets.synthetic import (
    PICTURE_SUFFIXES,
    add_noise,
    mosaic_planes,
    read_picture,
    typical_read_noise,
    unprocess,
)
from training.denoise import denoise_packed
from training.errors import ConfigError
from training.metrics import psnr
from training.noise import NoiseModel
from training.noise_estimation import estimate_noise

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from training.engines.base import Engine

SHOT_LEVELS = (2e-5, 2e-4, 5e-4, 2e-3, 8e-3)
MAX_SIDE = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One picture at one noise level."""

    picture: str
    shot_noise: float
    noisy: float
    """PSNR of the input in decibels."""
    denoised: float
    """PSNR of the output, given the true noise parameters."""
    estimated: float
    """PSNR of the output, given those estimated from the picture."""
    error_ratio: float
    """Root-mean-square error of the output over that of the input."""

    @property
    def gain(self) -> float:
        """Decibels of the output over the input."""
        return self.denoised - self.noisy


def held_out_pictures(folder: Path) -> list[Path]:
    """Pictures to judge on: where the folder has some that are held out, these; and whole sets no training uses.

    Raises:
        ConfigError: There is none.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
    if any(path.stem in HELD_OUT for path in paths):
        paths = [path for path in paths if path.stem in HELD_OUT or path.parent.name in {"kodak", "cid22"}]
    if not paths:
        raise ConfigError(f"pictures: none in {folder}")
    return paths


def clean_planes(path: Path) -> NDArray[np.float32]:
    """(4, h, w) the clean packed signal of a picture's middle, at most 1024×1024; the camera depends on its name."""
    picture = read_picture(path)
    top, left = (max(0, (length - MAX_SIDE) // 2) for length in picture.shape[:2])
    height, width = (min(length, MAX_SIDE) // 2 * 2 for length in picture.shape[:2])
    crop = picture[top : top + height, left : left + width]
    rng = np.random.default_rng(zlib.crc32(path.stem.encode()))
    return np.clip(mosaic_planes(unprocess((crop / 255).astype(np.float32), rng)), 0, 1)


def scores(engine: Engine, pictures: Iterable[Path], levels: tuple[float, ...] = SHOT_LEVELS) -> Iterator[Score]:
    """Judge a model on pictures at noise levels; the same arguments give the same scores."""
    for path in pictures:
        clean = clean_planes(path)
        for level in levels:
            yield score(engine, path.stem, clean, level)


def score(engine: Engine, picture: str, clean: NDArray[np.float32], shot_noise: float) -> Score:
    """Judge a model on one clean (4, h, w) signal at one noise level."""
    noise = NoiseModel.uniform(shot_noise=shot_noise, read_noise=typical_read_noise(shot_noise))
    rng = np.random.default_rng(zlib.crc32(f"{picture} {shot_noise:g}".encode()))
    noisy = add_noise(clean, shot_noise, noise.read_noise[0], rng)
    denoised = denoise_packed(noisy, engine, noise)
    estimate = estimate_noise(noisy)
    by_estimate = denoise_packed(noisy, engine, estimate.model) if estimate else noisy
    return Score(
        picture=picture,
        shot_noise=shot_noise,
        noisy=psnr(noisy, clean),
        denoised=psnr(denoised, clean),
        estimated=psnr(by_estimate, clean),
        error_ratio=float(np.sqrt(np.mean(np.square(denoised - clean)) / np.mean(np.square(noisy - clean)))),
    )


def table(results: list[Score]) -> str:
    """Mean over pictures per noise level, as a Markdown table."""
    lines = [
        "| shot noise | input dB | output dB | gain dB | worst picture's gain dB | with estimated noise dB |",
        "|---|---|---|---|---|---|",
    ]
    for level in sorted({result.shot_noise for result in results}):
        rows = [result for result in results if result.shot_noise == level]
        noisy, denoised, estimated = (
            float(np.mean([getattr(row, name) for row in rows])) for name in ("noisy", "denoised", "estimated")
        )
        worst = min(row.gain for row in rows)
        lines.append(
            f"| {level:g} | {noisy:.2f} | {denoised:.2f} | {denoised - noisy:+.2f} | {worst:+.2f} | {estimated:.2f} |"
        )
    return "\n".join(lines)
