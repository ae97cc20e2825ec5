"""Base and candidate on the held-out part of the captures, without a clean picture.

Three judges, each an unbiased estimate of the squared error against the signal that nobody knows:

- *second frame*: of a static scene. Its noise is independent of the input's, whatever it is.
- *recorrupted*: y + n′ is denoised, and compared with y − n′, n′ drawn from the noise's own distribution: the error of
  the one is uncorrelated with the noise of the other (`objectives/recorrupted.py`). That judges at *twice the noise*,
  which a candidate that was trained there may be better at without being better at the captures' own. So the gain is
  carried over: what halving the noise takes off each model's error is seen on a picture whose truth is known, the mean
  of both outputs, given noise of the same kind. Gaussian copies with less noise were tried instead, and believed a
  model that was worse: photons are no Gaussian noise. Efron's covariance penalty judges at the captures' own noise,
  too, but errors of some percent in its variance turned the verdict.
- *Stein*: from the noisy picture alone, for Gaussian noise (`stein.py`).

And *neighbours*, one half of the pixels against the other, which favours blur: printed, and never asked.

In the flow: held-out regions → **judge** → verdict. Base and candidate see the same pixels and the same draws.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch

from training.brightness import keep_brightness
from training.denoise import run_tiled
from training.finetuning.bootstrap import bootstrap_gain
from training.finetuning.character import Correlation, lag_one
from training.finetuning.regions import SMALLEST_BAND
from training.finetuning.stein import stein_risk
from training.objectives.recorrupted import draw_noise, recorrupt
from training.raw.bayer import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from training.engines.base import Engine
    from training.finetuning.bootstrap import Gain
    from training.finetuning.material import Material
    from training.finetuning.regions import Region
    from training.noise import NoiseModel

    Planes = NDArray[np.float32]

JudgeName = Literal["second frame", "recorrupted", "twice the noise", "stein", "neighbours"]
TILE = 32
"""Packed pixels, each way, whose errors are one number for the bootstrap."""
MAX_PIXELS = 1_000_000
"""Packed pixels that are judged, of all frames together: more frames would tell more, more of each would not."""
PASSES = 6
"""Times that each network denoises every frame's part, the last a quarter of it."""


class JudgeGain(NamedTuple):
    """What a judge says."""

    gain: Gain
    tiles: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What all of them say, and what can be seen without them."""

    gains: dict[JudgeName, JudgeGain]
    error_ratio: float
    """Root-mean-square error of the candidate over that of the input."""
    mean_shift: tuple[float, float, float, float]
    """Mean of what the candidate's network makes minus mean of the captures, per plane; full scale is 1."""
    base_shift: tuple[float, float, float, float]
    """The same of the base's."""
    shift_error: float
    """Standard error of it."""
    residual_correlation: Correlation
    """Of neighbours in what the candidate takes away."""


def judge(
    engines: tuple[Engine, Engine], material: Material, regions: Sequence[Region], progress: Callable[[float], None]
) -> Judgement:
    """Judge both models.

    Args:
        engines: The base that was started from, and the candidate that became of it.
        material: The captures.
        regions: What no training step has seen of each.
        progress: Called between tiles with the share done; what it raises ends the work.
    """
    frames, partners = material.frames, material.partners
    regions = [_shortened(region, MAX_PIXELS // len(frames)) for region in regions]
    found = _Findings()
    for index, (frame, region) in enumerate(zip(frames, regions, strict=True)):
        work = _Work(
            noisy=pack(frame.read(region.slices)),
            measured=pack(frame.read_filled(region.slices)),
            told=frame.told,
            actual=frame.actual,
            tail=material.character.tail,
            seed=index,
        )
        passes = _Passes(engines, partial(_tell_of_frame, progress, index, len(frames)))
        other = frames[partners[index]] if index in partners else None
        found.add(work, passes, None if other is None else pack(other.read_filled(region.slices)))
    return found.judgement()


def _tell_of_frame(progress: Callable[[float], None], index: int, frames: int, share: float) -> None:
    """Say how much is done when this share of a frame is."""
    progress((index + share) / frames)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Work:
    """One frame's held-out part."""

    noisy: Planes
    measured: Planes
    """`noisy` with defective photosites filled in."""
    told: NoiseModel
    actual: NoiseModel
    tail: float | None
    seed: int


class _Passes:
    """Runs both networks, and says how far that has come."""

    def __init__(self, engines: tuple[Engine, Engine], progress: Callable[[float], None]) -> None:
        self.engines = engines
        self._progress, self._done = progress, 0

    def network(self, engine: Engine, planes: Planes, noise: NoiseModel) -> Planes:
        """(4, h, w) what the bare network makes of planes."""

        def tell(_stage: str, share: float) -> None:
            self._progress(min(1.0, (self._done + share) / (2 * PASSES)))

        result = run_tiled(planes, engine, noise, tile=engine.tile_size, halo=engine.manifest.halo, progress=tell)
        self._done += 1
        return result

    def served(self, engine: Engine, planes: Planes, noise: NoiseModel) -> Planes:
        """(4, h, w) what is served for planes."""
        return keep_brightness(planes, self.network(engine, planes, noise))


@dataclass(slots=True)
class _Findings:
    """Collects tiles of all frames."""

    tiles: dict[JudgeName, list[NDArray[np.float64]]] = field(default_factory=dict)
    """(n, 3) of each frame: error of base and of candidate, and noise, in units of the frame's noise."""
    shifts: list[NDArray[np.float64]] = field(default_factory=list)
    """(2, 4) of each frame: base and candidate, four planes."""
    variances: list[tuple[float, int]] = field(default_factory=list)
    residuals: list[Correlation] = field(default_factory=list)

    def add(self, work: _Work, passes: _Passes, second: Planes | None) -> None:
        """Judge one frame's part."""
        networks = [passes.network(engine, work.noisy, work.told) for engine in passes.engines]
        bare = np.stack(networks).mean(axis=(2, 3), dtype=np.float64)  # now: brightness is kept in place
        outputs = [keep_brightness(work.noisy, output) for output in networks]
        signal = np.maximum((outputs[0] + outputs[1]) / 2, 0)  # of neither alone, so that neither is favoured
        variance = work.actual.variance(signal).astype(np.float64)
        unit = float(variance.mean())
        if second is not None:
            self._keep("second frame", [np.square(each - second) - variance for each in outputs], variance, unit)
        draws = _draw_twice(work, signal)
        twice = _recorrupted(work, passes, draws[0], variance)
        saved = _saved_by_halving(work, passes, signal, draws)
        self._keep("recorrupted", [error - less for error, less in zip(twice, saved, strict=True)], variance, unit)
        self._keep("twice the noise", twice, variance, unit)
        self._keep("stein", _stein(work, passes, outputs, variance), variance, unit)
        self._keep("neighbours", _neighbours(work, passes), variance[:, ::2, ::2], unit, TILE // 2)
        self.shifts.append(bare - work.measured.mean(axis=(1, 2)))
        self.variances.append((unit, work.noisy[0].size))
        self.residuals.append(lag_one((work.measured - outputs[1]) / np.sqrt(variance)))

    def _keep(
        self,
        name: JudgeName,
        errors: list[NDArray[np.float64]],
        variance: NDArray[np.float64],
        unit: float,
        tile: int = TILE,
    ) -> None:
        rows = np.stack([_tile_means(each, tile) / unit for each in (*errors, variance)], axis=1)
        self.tiles.setdefault(name, []).append(rows)

    def judgement(self) -> Judgement:
        """What all frames say together."""
        before, after = np.average(self.shifts, axis=0, weights=[size for _, size in self.variances]).round(7).tolist()
        rows, columns = np.array(self.residuals).mean(axis=0).round(4).tolist()
        _, error, noise = sum(part.sum(axis=0) for part in self.tiles.get("second frame", self.tiles["recorrupted"]))
        pixels = sum(size for _, size in self.variances)
        return Judgement(
            gains={name: _gain(parts) for name, parts in self.tiles.items()},
            error_ratio=round(float(np.sqrt(np.clip(error / noise, 1e-4, 1))), 4),
            mean_shift=tuple(after),
            base_shift=tuple(before),
            shift_error=float(np.sqrt(sum(unit * size for unit, size in self.variances)) / pixels),
            residual_correlation=Correlation(rows, columns),
        )


def _gain(parts: Sequence[NDArray[np.float64]]) -> JudgeGain:
    """What one judge says of all frames."""
    table = np.concatenate(parts)
    captures = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return JudgeGain(bootstrap_gain(table[:, :2], table[:, 2], captures), len(table))


def _draw_twice(work: _Work, signal: Planes) -> tuple[Planes, Planes]:
    """Two draws of the frame's own noise at a signal."""
    generator = torch.Generator().manual_seed(work.seed)
    levels = [
        torch.tensor([values], dtype=torch.float32) for values in (work.actual.shot_noise, work.actual.read_noise)
    ]
    there = torch.from_numpy(signal)[None]
    first, second = (draw_noise(there, levels[0], levels[1], work.tail, generator)[0].numpy() for _ in range(2))
    return first, second


def _recorrupted(
    work: _Work, passes: _Passes, added: Planes, variance: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """Squared errors, without the noise of what they are measured against, of base and candidate at twice the noise."""
    drawn = torch.from_numpy(added)
    source, target = recorrupt(torch.from_numpy(work.noisy), torch.from_numpy(work.measured), drawn, 1.0)
    doubled = work.told.scaled(2)
    known = variance + np.square(added, dtype=np.float64)
    return [
        np.square(passes.served(engine, source.numpy(), doubled) - target.numpy(), dtype=np.float64) - known
        for engine in passes.engines
    ]


def _saved_by_halving(
    work: _Work, passes: _Passes, signal: Planes, draws: tuple[Planes, Planes]
) -> list[NDArray[np.float64]]:
    """What the squared errors of both lose where `signal` is the truth, when twice the noise becomes once."""
    once = signal + draws[1]
    levels = (once + draws[0], work.told.scaled(2)), (once, work.told)
    errors = [
        [np.square(passes.served(engine, noisy, told) - signal, dtype=np.float64) for noisy, told in levels]
        for engine in passes.engines
    ]
    return [twice - own for twice, own in errors]


def _stein(
    work: _Work, passes: _Passes, outputs: Sequence[Planes], variance: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """Stein's estimate for base and candidate, probed by the same draws."""
    risks = []
    for engine, output in zip(passes.engines, outputs, strict=True):

        def serve(planes: NDArray[np.floating], engine: Engine = engine) -> NDArray[np.floating]:
            return passes.served(engine, planes.astype(np.float32), work.told)

        risk = stein_risk(serve, work.noisy, output, variance, np.random.default_rng(work.seed))
        risks.append(np.where(work.noisy == work.measured, risk, 0))  # a defect is no noise, and may be taken away
    return risks


def _neighbours(work: _Work, passes: _Passes) -> list[NDArray[np.float64]]:
    """Squared difference of every other pixel, denoised, to the noisy one beside it."""
    height, width = (length // 2 * 2 for length in work.noisy.shape[1:])
    half, beside = work.noisy[:, :height:2, :width:2], work.measured[:, :height:2, 1:width:2]
    known = work.actual.variance(np.maximum(beside, 0)).astype(np.float64)
    return [
        np.square(passes.served(engine, np.ascontiguousarray(half), work.told) - beside, dtype=np.float64) - known
        for engine in passes.engines
    ]


def _tile_means(planes: NDArray[np.float64], tile: int) -> NDArray[np.float64]:
    """(n,) mean of each whole tile over all four planes."""
    channels, height, width = planes.shape
    rows, columns = height // tile, width // tile
    cut = planes[:, : rows * tile, : columns * tile].reshape(channels, rows, tile, columns, tile)
    return np.asarray(cut.mean(axis=(0, 2, 4))).ravel()


def _shortened(region: Region, pixels: int) -> Region:
    """The middle of a band, cut along its longer side to so many packed pixels."""
    height, width = region.shape
    longer, shorter = max(height, width), min(height, width)
    length = min(longer, max(SMALLEST_BAND, 4 * pixels // shorter) // 2 * 2)
    start = (longer - length) // 4 * 2
    if height >= width:
        return region._replace(top=region.top + start, bottom=region.top + start + length)
    return region._replace(left=region.left + start, right=region.left + start + length)
