"""Quality on raws of pictures that no training saw, through the code that serves.

Each block is denoised by itself, once with its true noise and once with what is read off the noisy raw that it was cut
out of, and compared with the clean mosaic in SIDD's convention (`metrics.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.datasets.held_out_raws import LEVELS, expose, make_cases, make_scene
from training.denoise import denoise_packed
from training.errors import UnsupportedRawError
from training.metrics import psnr, ssim
from training.noise_choice import choose_noise
from training.planes import pack_signal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from training.datasets.held_out_raws import Case, NoiseLevel
    from training.engines.base import Engine
    from training.noise import NoiseModel
    from training.raw.image import RawImage


@dataclass(frozen=True, slots=True)
class Quality:
    """How close a block is to the clean one."""

    psnr: float
    """Decibels, for a range of 1."""
    ssim: float
    """At most 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One block at one noise level."""

    picture: str
    level: NoiseLevel
    noisy: Quality
    """Of the input."""
    denoised: Quality
    """Of the output, given the true noise parameters."""
    estimated: Quality
    """Of the output, given those read off the raw; of the input, where none could be."""
    error_ratio: float
    """Root-mean-square error of the output over that of the input."""

    @property
    def gain(self) -> float:
        """Decibels of the output over the input."""
        return self.denoised.psnr - self.noisy.psnr


def scores(
    engine: Engine, pictures: Iterable[Path], levels: Sequence[NoiseLevel] = LEVELS, blocks: int = 1
) -> Iterator[Score]:
    """Judge a model on pictures at noise levels; the same arguments give the same scores."""
    for path in pictures:
        scene = make_scene(path, blocks, engine.manifest.sensor)
        for level in levels:
            raw = expose(scene, level)
            estimate = read_off_noise(raw)
            for case in make_cases(scene, level, raw):
                yield score(engine, case, estimate)


def read_off_noise(raw: RawImage) -> NoiseModel | None:
    """What is served for a raw without a noise profile; None where it would be refused."""
    try:
        return choose_noise(pack_signal(raw), raw.metadata).model
    except UnsupportedRawError:
        return None


def score(engine: Engine, case: Case, estimate: NoiseModel | None) -> Score:
    """Judge a model on one block."""
    denoised = denoise_packed(case.packed, engine, case.noise)
    by_estimate = denoise_packed(case.packed, engine, estimate) if estimate else case.packed
    errors = [np.sqrt(np.mean(np.square(case.mosaic(each) - case.clean))) for each in (denoised, case.packed)]
    return Score(
        picture=case.scene.name,
        level=case.level,
        noisy=quality(case.packed, case),
        denoised=quality(denoised, case),
        estimated=quality(by_estimate, case),
        error_ratio=float(errors[0] / errors[1]),
    )


def quality(packed: NDArray[np.float32], case: Case) -> Quality:
    """How close (4, h, w) planes are to what a case should be."""
    mosaic = case.mosaic(packed)
    return Quality(psnr(mosaic, case.clean), ssim(mosaic, case.clean))


def table(results: Sequence[Score]) -> str:
    """Mean over blocks per noise level, as a Markdown table."""
    lines = [
        "| shot noise | input dB | output dB | gain dB | worst block's gain dB | with estimated noise dB |",
        "|---|---|---|---|---|---|",
    ]
    for shot_noise in sorted({result.level.shot_noise for result in results}):
        rows = [result for result in results if result.level.shot_noise == shot_noise]
        noisy, denoised, estimated = (
            float(np.mean([getattr(row, name).psnr for row in rows])) for name in ("noisy", "denoised", "estimated")
        )
        worst = min(row.gain for row in rows)
        lines.append(
            f"| {shot_noise:g} | {noisy:.2f} | {denoised:.2f} | {denoised - noisy:+.2f} | {worst:+.2f} "
            f"| {estimated:.2f} |"
        )
    return "\n".join(lines)
