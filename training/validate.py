"""Judge a model as the SIDD benchmark does, through the code that serves.

Each block is denoised by itself and compared as a mosaic; figures are means over the blocks' values, and tables per
camera and ISO stand beside them, because nearly clean images dominate the mean.

In the flow: blocks → unify, pack → **network** → unpack, restore → scores → report and submission.

Source: Abdelhamed et al., "A High-Quality Denoising Dataset for Smartphone Cameras", CVPR 2018, section 5. Published
checkpoints were trained without regard to the Bayer phase and are scored with packing "stored": 2×2 cells from the
block's corner, whatever colour that is, and the network's output as it comes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from tqdm import tqdm

from training.datasets.sidd_scenes import CAMERAS
from training.denoise import denoise_packed, run_tiled
from training.errors import ConfigError
from training.metrics import psnr, ssim
from training.noise_estimation import estimate_noise
from training.raw.bayer import pack, unify, unpack
from training.raw.patterns import restore
from training.registry import require_bayer

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from training.datasets.sidd_blocks import BlockSet
    from training.engines.base import Engine
    from training.noise import NoiseModel
    from training.raw.bayer import CfaPattern

Packing = Literal["served", "stored"]
CONVENTION = (
    "per block on the mosaic, range 1, output clipped to [0, 1], mean over blocks; "
    "SSIM with an 11×11 Gaussian window of σ = 1.5"
)
BENCHMARK_MEGAPIXEL = 1024 * 1024
"""What the benchmark calls a megapixel."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ValidateOptions:
    """How blocks are denoised."""

    noise: NoiseModel | None = None
    """The noise model of every image, None to estimate it per image from its noisy blocks."""
    packing: Packing = "served"
    """"served" unifies the Bayer phase and keeps the brightness, as denoising a file does; "stored" does neither, as
    published methods."""
    worst: int = 8
    """Blocks to keep for the report, those with the least decibels gained."""

    def __post_init__(self) -> None:
        """Reject what cannot be done."""
        if self.packing not in {"served", "stored"}:
            raise ConfigError(f"packing: got {self.packing!r}, wanted served or stored")


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockScore:
    """One block."""

    image: int
    block: int
    noisy_psnr: float
    """Decibels of the input."""
    psnr: float
    """Decibels of the output."""
    noisy_ssim: float
    ssim: float

    @property
    def gain(self) -> float:
        """Decibels of the output over the input."""
        return self.psnr - self.noisy_psnr


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageNoise:
    """The noise model an image was denoised with."""

    shot_noise: float
    read_noise: float
    source: str
    """"request" or "estimate"; "estimate, clipped" where every block has photosites at black."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptBlock:
    """A block of the report's gallery: noisy, denoised and clean mosaics, (H, W) each."""

    score: BlockScore
    noisy: NDArray[np.float32]
    denoised: NDArray[np.float32]
    clean: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Validation:
    """What was found."""

    blocks: BlockSet
    scores: tuple[BlockScore, ...]
    """Image by image; empty for the benchmark, whose clean blocks are not public."""
    noise: tuple[ImageNoise, ...]
    """Per image."""
    worst: tuple[KeptBlock, ...]
    """The worst block first."""
    seconds: float
    """From noisy to denoised mosaics, the noise estimate included."""

    @property
    def seconds_per_megapixel(self) -> float:
        """Per million photosites."""
        return self.seconds / (float(np.prod(self.blocks.shape)) / 1e6)

    @property
    def seconds_per_benchmark_megapixel(self) -> float:
        """Per 1024×1024 photosites, as a submission states it."""
        return self.seconds_per_megapixel * BENCHMARK_MEGAPIXEL / 1e6


def validate(
    engine: Engine,
    blocks: BlockSet,
    options: ValidateOptions,
    keep: Callable[[int, NDArray[np.float32]], None] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Validation:
    """Denoise every block, and score those whose clean block is known.

    Args:
        engine: The model.
        blocks: What to judge it on; one image at a time is in memory.
        options: How.
        keep: Called with an image's number and its denoised blocks, (blocks, H, W) in [0, 1].
        progress: Called with the share done after every block; what it raises ends the work.

    Raises:
        ConfigError: An image's noise can neither be estimated nor was given, or the model is not for Bayer mosaics.
    """
    require_bayer(engine.manifest, "model")
    scores: list[BlockScore] = []
    noises: list[ImageNoise] = []
    worst: list[KeptBlock] = []
    seconds = 0.0
    images, count, *_ = blocks.shape
    with tqdm(total=images * count, desc=blocks.name, unit="block", disable=None) as bar:
        for image in range(images):
            noisy, clean = blocks.noisy_blocks(image), blocks.clean_blocks(image)
            started = time.perf_counter()
            model, source = image_noise(noisy, options.noise, blocks.scenes[image].name)
            denoised = np.empty_like(noisy)
            for index in range(count):
                pattern = blocks.patterns[image]
                denoised[index] = denoise_block(noisy[index], engine, model, pattern, options.packing)
                bar.update()
                if progress:
                    progress((image * count + index + 1) / (images * count))
            seconds += time.perf_counter() - started
            noises.append(_describe(model, source))
            if clean is not None:
                scored = _score_image(image, noisy, denoised, clean)
                scores += scored
                worst = _worst([*worst, *_keep(scored, noisy, denoised, clean)], options.worst)
            if keep:
                keep(image, denoised)
    return Validation(blocks=blocks, scores=tuple(scores), noise=tuple(noises), worst=tuple(worst), seconds=seconds)


def denoise_block(
    noisy: NDArray[np.float32], engine: Engine, noise: NoiseModel, cfa_pattern: CfaPattern, packing: Packing
) -> NDArray[np.float32]:
    """Denoise one mosaic.

    Args:
        noisy: (H, W) float32, linear, H and W even.
        engine: The model.
        noise: Its noise.
        cfa_pattern: Its pattern.
        packing: See `ValidateOptions`.

    Returns:
        (H, W) float32, clipped to [0, 1].
    """
    if packing == "stored":
        denoised = run_tiled(pack(noisy), engine, noise, tile=engine.tile_size, halo=engine.manifest.halo)
        return np.clip(unpack(denoised), 0, 1)
    unified = unpack(denoise_packed(pack(unify(noisy, cfa_pattern)), engine, noise))
    return np.clip(restore(unified, cfa_pattern, (noisy.shape[0], noisy.shape[1])), 0, 1)


def image_noise(blocks: NDArray[np.float32], requested: NoiseModel | None, name: str) -> tuple[NoiseModel, str]:
    """The noise model of an image, and where it came from.

    SIDD's signal is cut off at black, which takes half of the noise there: blocks without black are looked at first.

    Args:
        blocks: (n, H, W) float32: its noisy blocks.
        requested: The noise model to use, None to estimate it.
        name: The image's name, for the error message.

    Raises:
        ConfigError: It cannot be estimated.
    """
    if requested is not None:
        return requested, "request"
    planes = np.concatenate([pack(block) for block in blocks], axis=1)  # (4, n·H/2, W/2)
    for black_clip, source in ((0.0, "estimate"), (-np.inf, "estimate, clipped")):
        estimate = estimate_noise(planes, black_clip)
        if estimate is not None:
            return estimate.model, source
    hint = "`photosite validate --noise` takes a noise model"
    raise ConfigError(f"dataset: {name} has no place flat enough to estimate its noise; {hint}")


def _describe(model: NoiseModel, source: str) -> ImageNoise:
    shot, read = (float(np.mean(values)) for values in (model.shot_noise, model.read_noise))
    return ImageNoise(shot_noise=shot, read_noise=read, source=source)


def _score_image(
    image: int, noisy: NDArray[np.float32], denoised: NDArray[np.float32], clean: NDArray[np.float32]
) -> list[BlockScore]:
    return [
        BlockScore(
            image=image,
            block=index,
            noisy_psnr=psnr(noisy[index], clean[index]),
            psnr=psnr(denoised[index], clean[index]),
            noisy_ssim=ssim(noisy[index], clean[index]),
            ssim=ssim(denoised[index], clean[index]),
        )
        for index in range(len(noisy))
    ]


def _keep(
    scores: list[BlockScore], noisy: NDArray[np.float32], denoised: NDArray[np.float32], clean: NDArray[np.float32]
) -> list[KeptBlock]:
    """The blocks that belong to scores."""
    return [
        KeptBlock(score=score, noisy=noisy[score.block], denoised=denoised[score.block], clean=clean[score.block])
        for score in scores
    ]


def _worst(kept: list[KeptBlock], count: int) -> list[KeptBlock]:
    """Those with the least gain, copied out of their images, so that these can be freed."""
    chosen = sorted(kept, key=lambda block: block.score.gain)[:count]
    return [
        KeptBlock(score=block.score, noisy=block.noisy.copy(), denoised=block.denoised.copy(), clean=block.clean.copy())
        for block in chosen
    ]


def means(scores: list[BlockScore] | tuple[BlockScore, ...]) -> dict[str, float]:
    """Means of a set of scores, by name."""
    names = ("noisy_psnr", "psnr", "noisy_ssim", "ssim", "gain")
    return {name: float(np.mean([getattr(score, name) for score in scores])) for name in names}


def groups(validation: Validation) -> list[dict[str, Any]]:
    """Means per camera and ISO, each camera's own mean after its speeds; empty without scores."""
    scenes = validation.blocks.scenes
    keys = sorted({(scenes[score.image].camera, scenes[score.image].iso or 0) for score in validation.scores})
    rows = []
    for camera in sorted({camera for camera, _ in keys}):
        speeds = [iso for of, iso in keys if of == camera]
        for iso in [*speeds, None]:
            members = [
                score
                for score in validation.scores
                if scenes[score.image].camera == camera and (iso is None or (scenes[score.image].iso or 0) == iso)
            ]
            row = {"camera": camera or "unknown", "camera_name": CAMERAS.get(camera, "unknown"), "iso": iso}
            rows.append({**row, "blocks": len(members), **means(members)})
    return rows
