"""Denoise one raw file: the list of steps in `denoise_file` is the whole flow.

What is evaluated is what is served: validation, the command line and the worker all come through here.
"""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from training import __version__
from training.brightness import keep_brightness
from training.errors import AlreadyDenoisedError, ConfigError
from training.noise_choice import NoiseChoice, choose_noise
from training.output import OutputOptions, write_output
from training.raw.bayer import channel_grid, pack, restore, tile_cell, unify, unpack
from training.raw.conversion import as_dng
from training.raw.defects import fill_bad_pixels
from training.raw.dng import read_raw
from training.raw.image import RawImage
from training.raw.levels import denormalise, normalise, quantise
from training.raw.rewrite import DngChanges
from training.raw.xmp import Mark
from training.residuals import likeness_of_neighbours
from training.tiling import pad_to_stride, plan_tiles, stitch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from training.engines.base import Engine
    from training.noise import NoiseModel
    from training.raw.image import RawMetadata

    Progress = Callable[[str, float], None]

Precision = Literal["auto", "keep"]
FINE_STEPS = 4
"""With precision "auto", the noise at black gets at least this many steps per standard deviation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DenoiseOptions:
    """What a request can choose."""

    strength: float = 1.0
    """0 gives the input back bit for bit, 1 the fully denoised picture; between, a blend."""
    noise: NoiseModel | None = None
    """The noise model, None to take the file's own or estimate it."""
    precision: Precision = "auto"
    """With "auto" the output gets finer steps where the input has coarse ones; with "keep" the scale stays."""
    force: bool = False
    """Denoise a file that carries a denoiser's mark."""

    def __post_init__(self) -> None:
        """Reject what cannot be done."""
        if not 0 <= self.strength <= 1:
            raise ConfigError(f"strength: got {self.strength:g}, wanted 0 to 1")
        if self.precision not in {"auto", "keep"}:
            raise ConfigError(f"precision: got {self.precision!r}, wanted auto or keep")


@dataclass(frozen=True, kw_only=True, slots=True)
class DenoiseReport:
    """What was done to a file."""

    model: str
    """NAME@VERSION."""
    strength: float
    noise: NoiseModel
    """The noise model that was used."""
    noise_source: str
    """Where it came from: "request", "tag" or "estimate"."""
    width: int
    height: int
    precision_shift: int
    """The stored numbers were multiplied by 2 to this power."""
    engine: str
    """Device and precision of the network."""
    warnings: tuple[str, ...]
    """What the sender should know, in sentences."""
    residual_correlation: float | None = None
    """How alike neighbours of what was taken away are, 0 to 1; None where nothing was taken away."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Time of each stage."""

    @property
    def megapixels(self) -> float:
        """Size of the frame."""
        return self.width * self.height / 1e6

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {**asdict(self), "warnings": list(self.warnings), "megapixels": round(self.megapixels, 3)}


def denoise_file(
    source: Path,
    target: Path,
    *,
    engine: Engine,
    options: DenoiseOptions,
    output: OutputOptions | None = None,
    name: str = "",
    progress: Progress | None = None,
) -> DenoiseReport:
    """Denoise a raw file.

    Args:
        source: A raw of any maker.
        target: Where the denoised DNG goes; written whole or not at all; may be `source`.
        engine: The model.
        options: What the request chose.
        output: What the result looks like; as the input if None.
        name: What the raw was called, if not as `source` is: a DNG made of another maker's raw remembers it.
        progress: Called with a stage's name and its share done, 0 … 1, between tiles too; what it raises ends the work.

    Returns:
        What was done.

    Raises:
        RawError: The file is at fault.
    """
    clock = Clock(progress)
    with TemporaryDirectory(prefix=".photosite-", dir=target.resolve().parent) as folder:
        with clock.stage("decode"):
            dng = as_dng(source, Path(folder), name)
            raw = read_raw(dng.path)
            warnings = dng.warnings + check_denoisable(raw.metadata, force=options.force) + check_digest(raw)
        with clock.stage("normalise"):
            packed = pack_signal(raw)
        with clock.stage("noise"):
            choice = choose_noise(packed, raw.metadata, options.noise)
        with clock.stage("network"):
            denoised = denoise_packed(packed, engine, choice.model, options.strength, progress)
        with clock.stage("denormalise"):
            shift = precision_shift(raw, choice.model, options)
            result = denoised_raw(raw, unpack_mosaic(raw, packed, denoised, choice.model, shift), shift)
        with clock.stage("write"):
            changes = describe_changes([source], engine, options, choice, shift)
            write_output(dng.path, target, result, changes, output or OutputOptions())
    return DenoiseReport(
        model=engine.manifest.reference,
        strength=options.strength,
        noise=choice.model,
        noise_source=choice.source,
        width=raw.metadata.width,
        height=raw.metadata.height,
        precision_shift=shift,
        engine=f"{engine.device} {engine.precision}",
        warnings=(*warnings, *choice.warnings),
        residual_correlation=likeness_of_neighbours(packed, denoised, choice.model),
        seconds=clock.seconds,
    )


def denoised_raw(raw: RawImage, mosaic: NDArray[np.uint16], shift: int) -> RawImage:
    """The denoised mosaic, and levels in its numbers."""
    metadata = replace(raw.metadata, levels=raw.metadata.levels.scaled(shift))
    return RawImage(mosaic=mosaic, metadata=metadata, bad_pixels=raw.bad_pixels)


def check_digest(raw: RawImage) -> tuple[str, ...]:
    """A warning where the file's own digest says that its mosaic is not what the camera or program wrote."""
    if raw.digest_matches is not False:
        return ()
    return ("the mosaic does not match the file's own digest: it was changed or damaged after it was written",)


def check_denoisable(metadata: RawMetadata, *, force: bool = False) -> tuple[str, ...]:
    """Refuse a file that was denoised before.

    Returns:
        Warnings, in sentences.

    Raises:
        AlreadyDenoisedError: It carries a denoiser's mark, and `force` is not set.
    """
    if metadata.denoised_by and not force:
        raise AlreadyDenoisedError(f"the file was already denoised by {metadata.denoised_by}; it can be forced")
    if metadata.noise_reduction_applied:
        return (f"the file says that noise reduction was applied to it ({metadata.noise_reduction_applied:g})",)
    return ()


def pack_signal(raw: RawImage) -> NDArray[np.float32]:
    """(4, h, w) float32: the active area, normalised, bad pixels filled, unified to RGGB and packed."""
    metadata = raw.metadata
    signal = normalise(raw.active_mosaic, metadata.levels, metadata.cfa_pattern)
    if raw.bad_pixels is not None:
        signal = fill_bad_pixels(signal, raw.bad_pixels[metadata.active_area.slices])
    return pack(unify(signal, metadata.cfa_pattern))


def denoise_packed(
    packed: NDArray[np.float32],
    engine: Engine,
    noise: NoiseModel,
    strength: float = 1.0,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Denoise planes of any size with the engine's own tiles, keep their brightness, and blend with the input.

    Args:
        packed: (4, h, w) float32, linear, not clipped, channels R Gr Gb B; any size.
        engine: The model.
        noise: Its noise.
        strength: 0 … 1; at 0 `packed` itself comes back.
        progress: See `denoise_file`.

    Returns:
        (4, h, w) float32, linear, not clipped.
    """
    if strength == 0:
        return packed
    denoised = run_tiled(packed, engine, noise, tile=engine.tile_size, halo=engine.manifest.halo, progress=progress)
    denoised = keep_brightness(packed, denoised)
    return packed + np.float32(strength) * (denoised - packed) if strength < 1 else denoised


def run_tiled(
    packed: NDArray[np.float32],
    engine: Engine,
    noise: NoiseModel,
    *,
    tile: int,
    halo: int,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Run the network over all tiles of a plan; see `plan_tiles` for tile and halo.

    Args:
        packed: (4, h, w) float32, linear, not clipped, channels R Gr Gb B; any size.
        engine: The model.
        noise: Its noise.
        tile: Pixels a tile reads each way, halo included.
        halo: Context on each side of a tile.
        progress: See `denoise_file`.

    Returns:
        (4, h, w) float32, linear, not clipped.
    """
    _, height, width = packed.shape
    padded = pad_to_stride(packed, engine.manifest.stride)
    result = np.empty_like(padded)
    plan = plan_tiles(*padded.shape[1:], tile=tile, halo=halo, stride=engine.manifest.stride)
    for index, part in enumerate(plan):
        stitch(result, part, engine.denoise_tile(padded[:, part.rows.source, part.columns.source], noise))
        if progress:
            progress("network", (index + 1) / len(plan))
    return result[:, :height, :width]


def precision_shift(raw: RawImage, noise: NoiseModel, options: DenoiseOptions) -> int:
    """By which power of two the stored numbers are scaled up, so that denoised shadows get fine enough steps.

    ⌈log₂(4/σ)⌉ with σ the standard deviation of the read noise in the file's own numbers, as far as 16 bits hold them.
    """
    if options.strength == 0 or options.precision == "keep" or raw.metadata.precision_fixed:
        return 0
    levels = raw.metadata.levels
    deviation = float(np.min(np.sqrt(noise.read_noise) * levels.signal_range))
    largest = max(int(raw.mosaic.max()), int(np.ceil(levels.white_level)))
    wanted = np.ceil(np.log2(FINE_STEPS / max(deviation, 1e-3)))
    return int(np.clip(wanted, 0, 16 - largest.bit_length()))


def unpack_mosaic(
    raw: RawImage, packed: NDArray[np.float32], denoised: NDArray[np.float32], noise: NoiseModel, shift: int
) -> NDArray[np.uint16]:
    """Put the denoised planes back into the full frame, in the file's numbers times 2 ** shift.

    Exactly as they were: photosites outside the active area, those marked bad, and clipped ones in clipped
    surroundings; and all of them where nothing was denoised.

    Args:
        raw: The input.
        packed: (4, h, w) float32: its signal, from `pack_signal`.
        denoised: (4, h, w) float32.
        noise: Its noise.
        shift: From `precision_shift`.

    Returns:
        (H, W) uint16: the full frame.
    """
    mosaic = raw.mosaic << np.uint16(shift)
    if denoised is packed:
        return mosaic
    metadata, active = raw.metadata, raw.active_mosaic
    signal = restore(unpack(denoised), metadata.cfa_pattern, active.shape)
    values = denormalise(signal, metadata.levels, metadata.cfa_pattern) * np.float32(2**shift)
    bits = 16 if shift or metadata.linearised else metadata.bits_per_sample
    keep = stays_clipped(raw, signal, noise)
    if raw.bad_pixels is not None:
        keep |= raw.bad_pixels[metadata.active_area.slices]
    inside = metadata.active_area.slices
    mosaic[inside] = np.where(keep, mosaic[inside], quantise(values, 2**bits - 1))
    return mosaic


def stays_clipped(raw: RawImage, signal: NDArray[np.float32], noise: NoiseModel) -> NDArray[np.bool_]:
    """(h, w) photosites at white whose denoised 3×3 neighbourhood of the same colour is at white too.

    Within two standard deviations of the noise; isolated ones are noise themselves.
    """
    metadata = raw.metadata
    clipped = raw.active_mosaic >= metadata.levels.white_level
    rows, columns = np.nonzero(clipped)
    if not len(rows):
        return clipped
    padded = np.pad(signal, 2, mode="reflect")
    offsets = (0, 2, 4)
    mean = sum(padded[rows + down, columns + across] for down in offsets for across in offsets) / 9
    deviation = np.sqrt(np.array(noise.shot_noise) + np.array(noise.read_noise))[channel_grid(metadata.cfa_pattern)]
    clipped[rows, columns] = mean >= 1 - 2 * tile_cell(deviation, signal.shape)[rows, columns]
    return clipped


def describe_changes(
    sources: Sequence[Path], engine: Engine, options: DenoiseOptions, choice: NoiseChoice, shift: int
) -> DngChanges:
    """What the output's tags say; decided by input, model and options alone.

    Args:
        sources: The input, or all frames of a burst.
        engine: The model.
        options: What the request chose.
        choice: The noise that the network saw: that of the input, or of what the burst was merged to.
        shift: From `precision_shift`.
    """
    manifest = engine.manifest
    left = max(1 - options.strength, error_ratio(manifest.error_ratios, float(np.mean(choice.model.shot_noise))))
    digests = [_file_digest(source) for source in sources]
    is_burst = len(sources) > 1
    chosen = {**asdict(options), "input": digests if is_burst else digests[0], "model": manifest.weights_sha256}
    unique_id = hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).digest()[:16]
    return DngChanges(
        precision_shift=shift,
        noise_profile=choice.model.scaled(left**2),
        noise_reduction_applied=options.strength,
        unique_id=unique_id,
        mark=_mark(engine, options, choice, sources) if options.strength or is_burst else None,
    )


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _mark(engine: Engine, options: DenoiseOptions, choice: NoiseChoice, sources: Sequence[Path]) -> Mark:
    """How the file was denoised, for its XMP packet."""
    return Mark(
        model=engine.manifest.reference,
        model_digest=engine.manifest.weights_sha256,
        strength=f"{options.strength:g}",
        noise_model=" ".join(f"{value:.6g}" for value in choice.model.to_profile()),
        noise_source=choice.source,
        software=f"Photosite {__version__}",
        burst=", ".join(source.name for source in sources) if len(sources) > 1 else "",
    )


def error_ratio(table: list[list[float]], shot_noise: float) -> float:
    """The share of the noise's standard deviation that the model leaves at this shot noise, from its manifest.

    >>> error_ratio([[1e-4, 0.8], [1e-2, 0.4]], 1e-3)
    0.6
    """
    if not table:
        return 1.0
    levels, ratios = np.array(table).T
    return round(float(np.interp(np.log(max(shot_noise, 1e-12)), np.log(levels), ratios)), 4)


class Clock:
    """Times the stages and announces them."""

    def __init__(self, progress: Progress | None) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage; it is announced as begun."""
        if self._progress:
            self._progress(name, 0.0)
        started = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - started, 4)
