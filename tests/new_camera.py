"""A camera that no model was trained on, in miniature: photographs become captures whose clean signal is known.

Shot noise is what the training's prior says. Read noise is four times as strong as the prior's and has long tails, and
some photosites are hot, always the same ones. The test keeps the clean signal; files hold the noisy one alone.

In the flow of the tests: photograph → **clean signal** → **capture (DNG)** → fine-tuning; clean signal → judge.

Source: long-tailed read noise as Tukey's lambda distribution: Wei et al., "A Physics-based Noise Formation Model for
Extreme Low-light Raw Denoising", CVPR 2020, section 3.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from dng_factory import make_dng
from scipy.ndimage import binary_dilation
from scipy.special import gamma

from training.datasets.held_out_raws import held_out_pictures
from training.datasets.splits import HELD_OUT
from training.datasets.synthetic import mosaic_of, read_picture, resize, typical_read_noise, unprocess
from training.denoise import denoise_packed
from training.metrics import psnr
from training.noise_choice import choose_noise
from training.planes import pack_signal
from training.raw.bayer import unpack
from training.raw.dng import read_raw

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from training.engines.base import Engine

BITS, BLACK = 14, 2048
WHITE = 2**BITS - 1
CAPTURES, UNSEEN = 8, 6
HEIGHT, WIDTH = 1224, 1640
"""Two megapixels."""
ENLARGED = 2.0
"""Pictures are enlarged so much: a lens and a sensor of today are about that smooth from pixel to pixel."""


@dataclass(frozen=True, kw_only=True)
class Camera:
    """What makes its captures noisy."""

    shot_noise: float
    """Variance per unit of signal."""
    read_noise: float
    """Variance at black."""
    tail: float | None = None
    """Shape λ of the read noise, Tukey's; None for a Gaussian one."""
    hot_share: float = 0.0
    """Share of the photosites that are hot."""
    hot_range: tuple[float, float] = (0.05, 0.5)
    """What a hot photosite adds to the signal, evenly distributed."""
    serial: int = 0
    """Decides which photosites are hot."""
    model: str = "New Camera"
    """Its name in the files."""
    writes_profile: bool = False
    """Whether its files say how noisy they are."""

    def heat(self, shape: tuple[int, int]) -> NDArray[np.float32]:
        """(H, W) what each photosite adds to the signal: 0 for nearly all, the same in every capture."""
        rng = np.random.default_rng(self.serial)
        hot = rng.random(shape) < self.hot_share
        return np.where(hot, rng.uniform(*self.hot_range, shape), 0).astype(np.float32)

    def expose(self, clean: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
        """(H, W) a noisy mosaic of a clean one, ending at white; the same seed gives the same noise."""
        rng = np.random.default_rng(seed)
        counted = self.shot_noise * rng.poisson(np.maximum(clean, 0) / self.shot_noise)
        noisy = counted + np.sqrt(self.read_noise) * long_tailed(rng, clean.shape, self.tail) + self.heat(clean.shape)
        return np.minimum(noisy, 1).astype(np.float32)

    def capture(self, path: Path, clean: NDArray[np.float32], seed: int) -> Path:
        """Write a DNG of a clean (H, W) RGGB mosaic."""
        profile = (self.shot_noise, self.read_noise) if self.writes_profile else None
        numbers = np.rint(self.expose(clean, seed) * (WHITE - BLACK) + BLACK)
        mosaic = np.clip(numbers, 0, WHITE).astype(np.uint16)
        levels = {"bits": BITS, "black_level": BLACK, "white_level": WHITE}
        return make_dng(path, mosaic, **levels, iso=3200, noise_profile=profile, model=self.model)


def new_camera(shot_noise: float = 4e-3) -> Camera:
    """Four times the prior's read noise, with long tails, and a hot photosite in 5,000."""
    return Camera(shot_noise=shot_noise, read_noise=16 * typical_read_noise(shot_noise), tail=-0.2, hot_share=1 / 5000)


def familiar_camera(shot_noise: float = 4e-3) -> Camera:
    """The noise that the shipped model was trained on."""
    return Camera(shot_noise=shot_noise, read_noise=typical_read_noise(shot_noise), model="Familiar Camera")


def unknown_pictures(folder: Path) -> tuple[list[Path], list[Path]]:
    """Photographs of mixed kinds that no shipped model learned from: for captures, and others to judge on."""
    pictures = held_out_pictures(folder)
    kinds = [[path for path in pictures if path.parent.name == name] for name in ("clic2025", "kodak")]
    mixed = [path for pair in zip(*map(exposed_well, kinds), strict=False) for path in pair] or exposed_well(pictures)
    return mixed[:CAPTURES], mixed[CAPTURES:][:UNSEEN]


def known_pictures(folder: Path) -> tuple[list[Path], list[Path]]:
    """Photographs that the default model learned from, and others of their kind that it did not."""
    paths = sorted((folder / "clic2025").glob("*.png"))
    seen, unseen = ([path for path in paths if (path.stem in HELD_OUT) == kept] for kept in (False, True))
    return exposed_well(seen)[:CAPTURES], exposed_well(unseen)[:UNSEEN]


def exposed_well(paths: list[Path]) -> list[Path]:
    """Those of which most is not white."""
    return [path for path in paths if float(np.mean(clean_mosaic(path, 306, 410, 0.5))) < 0.5]


@dataclass(frozen=True)
class Unseen:
    """A capture that no training saw, and the clean signal behind it."""

    path: Path
    clean: NDArray[np.float32]
    """(H, W) RGGB."""
    near_hot: NDArray[np.bool_]
    """(H, W) the 3×3 photosites around each hot one."""

    def errors(self, engine: Engine) -> tuple[float, float]:
        """PSNR of what is served for it, of all photosites and of those that are not near a hot one."""
        raw = read_raw(self.path)
        packed = pack_signal(raw)
        denoised = denoise_packed(packed, engine, choose_noise(packed, raw.metadata).model)
        signal = unpack(denoised)
        return psnr(signal, self.clean), psnr(signal[~self.near_hot], self.clean[~self.near_hot])


def write_captures(folder: Path, pictures: list[Path], camera: Camera) -> list[Path]:
    """Captures of these pictures as DNGs, what a customer would send."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        camera.capture(folder / f"capture-{index}.dng", clean_mosaic(path), seed=index)
        for index, path in enumerate(pictures)
    ]


def write_unseen(folder: Path, pictures: list[Path], camera: Camera) -> list[Unseen]:
    """Captures of other pictures, of which the clean signal is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for index, path in enumerate(pictures):
        clean = clean_mosaic(path)
        near = binary_dilation(camera.heat(clean.shape) > 0, np.ones((3, 3)))
        found.append(Unseen(camera.capture(folder / f"unseen-{index}.dng", clean, seed=1000 + index), clean, near))
    return found


def true_gain(base: Engine, candidate: Engine, unseen: list[Unseen]) -> tuple[float, float]:
    """Mean decibels that a model gains over another against the clean signal: everywhere, and away from hot ones."""
    gains = [np.subtract(each.errors(candidate), each.errors(base)) for each in unseen]
    everywhere, away = np.mean(gains, axis=0)
    return float(everywhere), float(away)


def long_tailed(rng: np.random.Generator, shape: tuple[int, ...], tail: float | None) -> NDArray[np.float64]:
    """Draws of unit variance from Tukey's lambda distribution, normal ones for None.

    Args:
        rng: Draws them.
        shape: Of the result.
        tail: λ, above −1/2 and not 0: the quantile function is (pᵏ − (1 − p)ᵏ) / k with k = λ.
    """
    if tail is None:
        return rng.standard_normal(shape)
    share = rng.uniform(1e-12, 1 - 1e-12, shape)
    return (share**tail - (1 - share) ** tail) / tail / np.sqrt(tukey_variance(tail))


def tukey_variance(tail: float) -> float:
    """The variance of Tukey's lambda distribution.

    >>> round(tukey_variance(1.0), 6)  # uniform between −1 and 1
    0.333333
    """
    return float(2 / tail**2 * (1 / (1 + 2 * tail) - gamma(tail + 1) ** 2 / gamma(2 * tail + 2)))


def clean_mosaic(
    path: Path, height: int = HEIGHT, width: int = WIDTH, enlarged: float = ENLARGED
) -> NDArray[np.float32]:
    """(height, width) RGGB: a picture's middle as this camera sees it without noise, 0 … 1; colours by its name."""
    picture = read_picture(path)
    scale = max(enlarged, height / picture.shape[0], width / picture.shape[1])
    rows, columns = (int(np.ceil(length / scale)) for length in (height, width))
    top, left = ((have - want) // 2 for have, want in zip(picture.shape[:2], (rows, columns), strict=True))
    crop = resize(picture[top : top + rows, left : left + columns], width, height)
    rng = np.random.default_rng(zlib.crc32(path.stem.encode()))
    return np.clip(mosaic_of(unprocess(crop, rng)), 0, 1).astype(np.float32)
