"""Denoise a burst: several raws of one static scene are aligned, merged, and denoised once.

The list of steps in `denoise_burst` is the whole flow. What comes out is the first frame's file, its mosaic that of the
merged and denoised burst.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from training.brightness import keep_brightness
from training.burst.frames import BurstFrame, FrameCheck
from training.burst.merging import Merge
from training.denoise import (
    Clock,
    DenoiseReport,
    check_denoisable,
    check_digest,
    denoised_raw,
    describe_changes,
    engine_for,
    precision_shift,
)
from training.errors import ConfigError, UnsupportedRawError
from training.noise_choice import choose_noise
from training.output import OutputOptions, write_output
from training.planes import pack_signal, unpack_mosaic
from training.raw.conversion import as_dng
from training.raw.dng import read_metadata, read_raw
from training.residuals import likeness_of_neighbours
from training.tiling import plan_image, read_tile, stitch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from training.burst.merging import Merged
    from training.denoise import DenoiseOptions, EngineFor, Progress
    from training.engines.base import Engine
    from training.noise import NoiseModel

CELL_SIDE = 2
"""Photosites each way by whose multiples frames are moved."""
_LEAST_SHARE = 0.02
"""A noise level that no cell of a tile is nearer to than this is not worth a run of the network."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BurstReport(DenoiseReport):
    """What was done to a burst; `noise` is that of the merged frames, where most of them agree."""

    frames: tuple[BurstFrame, ...]
    """What became of each, the first one first."""
    merged_frames: float
    """Of how many frames the mean is worth at half of all places, or more."""


def denoise_burst(
    sources: Sequence[Path],
    target: Path,
    *,
    engine: Engine | EngineFor,
    options: DenoiseOptions,
    output: OutputOptions | None = None,
    progress: Progress | None = None,
) -> BurstReport:
    """Merge the frames of a burst and denoise the result; memory is that of two frames, however many there are.

    With strength 0 the frames are merged, and that is all: single photosites differ from the first frame's.

    Args:
        sources: Raws of any maker, of one scene, by one camera at one setting; the first decides what is seen.
        target: Where the DNG goes; written whole or not at all.
        engine: As for `training.denoise.denoise_file`.
        options: What the request chose; a noise model is that of a single frame.
        output: What the result looks like; as the first frame if None.
        progress: As for `training.denoise.denoise_file`; the stage "merge" goes from frame to frame.

    Returns:
        What was done.

    Raises:
        ConfigError: There are less than two frames.
        RawError: A file is at fault, or a frame does not belong to the burst.
    """
    if len(sources) < 2:
        raise ConfigError(f"burst: got {len(sources)} frame, wanted at least two")
    clock = Clock(progress)
    with TemporaryDirectory(prefix=".photosite-", dir=target.resolve().parent) as folder:
        with clock.stage("decode"):
            dng = as_dng(sources[0], Path(folder))
            raw = read_raw(dng.path)
            warnings = dng.warnings + check_denoisable(raw.metadata, force=options.force) + check_digest(raw)
            if raw.metadata.phase.cell.side != CELL_SIDE:
                raise UnsupportedRawError("bursts are merged by whole 2×2 cells, which an X-Trans mosaic does not have")
            engine = engine_for(raw.metadata, engine)
            first = pack_signal(raw)
        with clock.stage("noise"):
            choice = choose_noise(first, raw.metadata, options.noise)
        with clock.stage("merge"):
            merge = Merge(first, choice.model)
            own = replace(raw, metadata=read_metadata(sources[0]))  # in the words of its maker's file, as all others
            check = FrameCheck(sources[0].name, own)
            frames, more = _merge(merge, sources, check, progress, force=options.force)
            merged = merge.result()
        typical = float(np.median(merged.frames))
        choice = replace(choice, model=choice.model.scaled(1 / typical), warnings=choice.warnings + more)
        with clock.stage("network"):
            denoised = denoise_merged(merged, engine, choice.model.scaled(typical), options.strength, progress)
        with clock.stage("denormalise"):
            shift = precision_shift(raw, choice.model, replace(options, strength=1.0))
            result = denoised_raw(raw, unpack_mosaic(raw, first, denoised, choice.model, shift), shift)
        with clock.stage("write"):
            changes = describe_changes(sources, engine, options, choice, shift)
            write_output(dng.path, target, result, changes, output or OutputOptions())
    return BurstReport(
        model=engine.manifest.reference,
        strength=options.strength,
        noise=choice.model,
        noise_source=choice.source,
        width=raw.metadata.width,
        height=raw.metadata.height,
        precision_shift=shift,
        engine=f"{engine.device} {engine.precision}",
        warnings=(*warnings, *choice.warnings),
        residual_correlation=likeness_of_neighbours(merged.packed, denoised, choice.model),
        seconds=clock.seconds,
        frames=frames,
        merged_frames=round(typical, 2),
    )


def _merge(
    merge: Merge, sources: Sequence[Path], check: FrameCheck, progress: Progress | None, *, force: bool
) -> tuple[tuple[BurstFrame, ...], tuple[str, ...]]:
    """Read and add all frames but the first, one after the other; what became of each, and warnings."""
    frames, warnings = [BurstFrame(name=sources[0].name, shift=(0, 0), agreement=1.0)], []
    for index, source in enumerate(sources[1:], 1):
        raw = read_raw(source)
        check.check(source.name, raw)
        found = check_denoisable(raw.metadata, force=force) + check_digest(raw)
        warnings += [f"{source.name}: {warning}" for warning in found]
        placement = merge.add(pack_signal(raw))
        check.check_placement(source.name, placement)
        shift, share = placement
        frames.append(BurstFrame(name=source.name, shift=(2 * shift.down, 2 * shift.across), agreement=round(share, 3)))
        if progress:
            progress("merge", index / (len(sources) - 1))
    return tuple(frames), tuple(warnings)


def denoise_merged(
    merged: Merged, engine: Engine, noise: NoiseModel, strength: float = 1.0, progress: Progress | None = None
) -> NDArray[np.float32]:
    """Denoise a merged burst, everywhere by the noise that is left there, keep its brightness, and blend.

    Args:
        merged: The burst.
        engine: The model.
        noise: The noise of a single frame.
        strength: 0 … 1; at 0 the merged planes themselves come back.
        progress: See `denoise_burst`.

    Returns:
        (4, h, w) float32, linear, not clipped.
    """
    packed = merged.packed
    if strength == 0:
        return packed
    denoised = keep_brightness(packed, _run_tiled(merged, engine, noise, progress))
    return packed + np.float32(strength) * (denoised - packed) if strength < 1 else denoised


def _run_tiled(merged: Merged, engine: Engine, noise: NoiseModel, progress: Progress | None) -> NDArray[np.float32]:
    """Run the network over all tiles, once for each noise level that a tile has, and blend from level to level."""
    _, height, width = merged.packed.shape
    plan = plan_image(height, width, engine.tile_size, engine.manifest.halo, engine.manifest.stride)
    levels = noise_levels(float(merged.frames.max()))
    result = np.empty_like(merged.packed)
    for index, part in enumerate(plan):
        tile, frames = read_tile(merged.packed, part), read_tile(merged.frames[None], part)[0]
        stitch(result, part, _run_tile(tile, frames, engine, noise, levels))
        if progress:
            progress("network", (index + 1) / len(plan))
    return result


def _run_tile(
    tile: NDArray[np.float32],
    frames: NDArray[np.float32],
    engine: Engine,
    noise: NoiseModel,
    levels: NDArray[np.float64],
) -> NDArray[np.float32]:
    shares = level_shares(frames, levels)
    shares[shares.max(axis=(1, 2)) < _LEAST_SHARE] = 0
    shares /= shares.sum(axis=0)
    blended = np.zeros_like(tile)
    for share, level in zip(shares, levels, strict=True):
        if share.any():
            blended += share * engine.denoise_tile(tile, noise.scaled(1 / level))
    return blended


def noise_levels(most: float) -> NDArray[np.float64]:
    """Numbers of frames for which the network is run, from one to the most that were merged, an octave apart.

    >>> noise_levels(10.0).tolist(), noise_levels(8.0).tolist(), noise_levels(1.0).tolist()
    ([1.0, 2.0, 4.0, 10.0], [1.0, 2.0, 4.0, 8.0], [1.0])
    """
    octaves = np.exp2(np.arange(int(np.log2(most) + 0.01) + 1, dtype=np.float64))
    octaves[-1] = most
    return octaves


def level_shares(frames: NDArray[np.float32], levels: NDArray[np.float64]) -> NDArray[np.float32]:
    """(levels, h, w): by how much each level counts at each place; linear in the logarithm, the sum is 1.

    >>> level_shares(np.float32([[1, 4, 8]]), np.array([1.0, 2.0, 8.0])).tolist()
    [[[1.0, 0.0, 0.0]], [[0.0, 0.5, 0.0]], [[0.0, 0.5, 1.0]]]
    """
    indices = np.arange(len(levels))
    place = np.interp(np.log2(frames), np.log2(levels), indices)
    shares: NDArray[np.float32] = np.maximum(0, 1 - np.abs(place - indices[:, None, None])).astype(np.float32)
    return shares
