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
from training.planes import AnyPlanes, PackedSignal, unpack_mosaic
from training.raw.bands import for_each_band
from training.raw.conversion import as_dng
from training.raw.dng import read_raw
from training.raw.image import RawImage
from training.raw.rewrite import DngChanges
from training.raw.xmp import Mark
from training.residuals import likeness_of_neighbours
from training.tiling import plan_image, read_tile, stitch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from training.engines.base import Engine
    from training.noise import NoiseModel
    from training.planes import Planes
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
        signal = PackedSignal(raw)
        with clock.stage("noise"):
            choice = choose_noise(signal, raw.metadata, options.noise)
        with clock.stage("network"):
            denoised = denoise_packed(signal, engine, choice.model, options.strength, progress)
        with clock.stage("denormalise"):
            shift = precision_shift(raw, choice.model, options)
            result = denoised_raw(raw, unpack_mosaic(raw, signal, denoised, choice.model, shift), shift)
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
        residual_correlation=likeness_of_neighbours(signal, denoised, choice.model),
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


def denoise_packed(
    packed: AnyPlanes,
    engine: Engine,
    noise: NoiseModel,
    strength: float = 1.0,
    progress: Progress | None = None,
) -> AnyPlanes | NDArray[np.float32]:
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
    if strength < 1:
        _blend(packed, denoised, strength)
    return denoised


def _blend(packed: Planes, denoised: NDArray[np.float32], strength: float) -> None:
    """Take only a share of what was done, in place."""

    def blend(rows: slice) -> None:
        noisy, ours = packed[:, rows, :], denoised[:, rows]
        ours[:] = noisy + np.float32(strength) * (ours - noisy)

    for_each_band(denoised.shape[1], blend)


def run_tiled(
    packed: Planes,
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
    result = np.empty((4, height, width), dtype=np.float32)
    plan = plan_image(height, width, tile, halo, engine.manifest.stride)
    tiles = (read_tile(packed, part) for part in plan)
    with engine.turn:
        for index, (part, denoised) in enumerate(zip(plan, engine.denoise_tiles(tiles, noise), strict=True)):
            stitch(result, part, denoised)
            if progress:
                progress("network", (index + 1) / len(plan))
    return result


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
