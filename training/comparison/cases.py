"""What methods are judged on: noisy images with their noise model and, where it is known, their clean signal.

In the flow: pictures, blocks or captures → **cases** → method → scores → table.

Source of the evaluation on pictures: Huang et al., "Neighbor2Neighbor", CVPR 2021, section 4.2, as its authors'
train.py (TaoHuang2018/Neighbor2Neighbor) does it: every picture several times with new noise; the noisy picture is
neither rounded nor clipped, and is padded by reflection to a square whose sides are a multiple of 32; the result is cut
out, rounded to 8 bits and clipped. PSNR over all channels together, SSIM a mean over the channels, with a Gaussian
window where it fits. Ours fixes the noise by the picture's name and the number of the draw.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import uniform_filter

from training.datasets.files import PICTURE_SUFFIXES
from training.datasets.noisy_pictures import to_planes
from training.datasets.picture_noise import PICTURE_NOISE, add_picture_noise
from training.datasets.synthetic import (
    add_noise,
    mosaic_planes,
    read_picture,
    resize,
    typical_read_noise,
    unprocess,
)
from training.errors import ConfigError
from training.evaluate import Quality
from training.finetuning.stein import stein_risk
from training.metrics import psnr, ssim
from training.raw.bayer import unpack

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from training.datasets.base import Patch, PatchSource

DRAWS = {"kodak": 10, "bsd300": 3, "set14": 20}
"""How often each picture of the papers' test sets is given new noise; 1 for any other."""
LEVELS = (2e-4, 5e-4, 2e-3, 8e-3)
"""Shot noise of raws made of pictures, each with the read noise that usually comes with it."""
RAW_SIZE = 128
"""Packed pixels of their sides."""
SURROUND, LEAST_RISK = 7, 1e-10
"""Pixels whose mean decides a pixel's noise; a smaller risk is only by chance above or below 0."""
SQUARE = 32
"""Padded pictures have a multiple of this for a side."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One noisy image."""

    group: str
    """What its scores are averaged with: a test set's name, or a noise level's."""
    name: str
    """Of its own, within the group."""
    noisy: NDArray[np.float32]
    """(C, h, w), not clipped."""
    clean: NDArray[np.float32] | None
    """(C, h, w) in [0, 1], None where nobody knows it."""
    shot_noise: float
    read_noise: float
    impulses: float = 0.0
    """Share of the pixels that are replaced by any colour."""
    display: bool = False
    """Whether it is an sRGB picture, to be padded and rounded as the papers do."""

    @property
    def key(self) -> str:
        """Its name among all cases."""
        return f"{self.group}/{self.name}"


Denoise = Callable[[Case], "NDArray[np.float32]"]
"""What a method makes of a case: (C, h, w)."""


def picture_cases(folder: Path, group: str, noise: str, draws: int, every: int) -> Iterator[Case]:
    """The pictures of a test set, each so many times with noise of its own.

    Args:
        folder: Holds them, at any depth.
        group: The set's name.
        noise: A name of `PICTURE_NOISE`.
        draws: Noisy frames of each picture.
        every: Only every n-th picture, by name.

    Raises:
        ConfigError: There is no picture.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
    if not paths:
        raise ConfigError(f"test: no picture in {folder}")
    for path in paths[::every]:
        clean = to_planes(read_picture(path).astype(np.float32) / np.float32(255))
        for draw in range(draws):
            rng = np.random.default_rng(zlib.crc32(f"{path.stem} {noise} {draw}".encode()))
            level = PICTURE_NOISE[noise].draw_level(rng)
            yield Case(
                group=group,
                name=f"{path.stem}-{draw}",
                noisy=add_picture_noise(clean, level, rng),
                clean=clean,
                display=True,
                **level._asdict(),
            )


def pad_to_square(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Extend (C, h, w) at the bottom and right, by reflection, to a square whose sides are a multiple of 32.

    >>> pad_to_square(np.zeros((3, 40, 70), dtype=np.float32)).shape
    (3, 96, 96)
    """
    _, height, width = picture.shape
    side = -(-max(height, width) // SQUARE) * SQUARE
    return np.pad(picture, ((0, 0), (0, side - height), (0, side - width)), mode="reflect")


def round_to_bytes(picture: NDArray[np.floating]) -> NDArray[np.float64]:
    """What a file of 8 bits holds of a picture, in [0, 1] again.

    >>> round_to_bytes(np.array([-0.2, 0.1, 1.4])).tolist()
    [0.0, 0.10196078431372549, 1.0]
    """
    return np.clip(np.floor(picture.astype(np.float64) * 255 + 0.5), 0, 255) / 255


def quality_of(signal: NDArray[np.floating], case: Case) -> Quality:
    """PSNR and SSIM: of a picture as a file holds it, SSIM a mean over its channels; of a raw's mosaic, as SIDD counts.

    Raises:
        ValueError: The clean signal is not known.
    """
    if case.clean is None:
        raise ValueError(f"got {case.key} without a clean signal, wanted one that has it")
    if not case.display:
        mosaic, clean_mosaic = unpack(np.asarray(signal)), unpack(case.clean)
        return Quality(psnr(mosaic, clean_mosaic), ssim(mosaic, clean_mosaic))
    shown = round_to_bytes(signal)
    similarity = [ssim(plane, clean) for plane, clean in zip(shown, case.clean, strict=True)]
    return Quality(psnr(shown, case.clean), float(np.mean(similarity)))


def estimated_quality(denoise: Denoise, denoised: NDArray[np.float32], case: Case) -> Quality:
    """PSNR by Stein's estimate of the squared error, where no clean signal is known; no SSIM.

    Args:
        denoise: What denoised it, to be tried on a slightly moved input.
        denoised: Its result.
        case: What it denoised.
    """
    around = uniform_filter(case.noisy, size=(0, SURROUND, SURROUND))
    variance = case.shot_noise * np.maximum(around, 0) + case.read_noise
    rng = np.random.default_rng(zlib.crc32(case.key.encode()))
    risk = stein_risk(
        lambda moved: denoise(dataclasses.replace(case, noisy=moved)), case.noisy, denoised, variance, rng
    )
    return Quality(-10 * float(np.log10(max(float(risk.mean()), LEAST_RISK))), float("nan"))


def raw_cases(pictures: Sequence[Path], scale: float) -> Iterator[Case]:
    """The middles of pictures as raws, enlarged by `scale` before they are mosaicked, each at all of `LEVELS`."""
    size = 2 * RAW_SIZE
    source = int(np.ceil(size / scale))
    for path in pictures:
        picture = read_picture(path)
        top, left = ((length - source) // 2 for length in picture.shape[:2])
        srgb = resize(picture[top : top + source, left : left + source], size, size)
        rng = np.random.default_rng(zlib.crc32(path.stem.encode()))
        clean = np.clip(mosaic_planes(unprocess(srgb, rng)), 0, 1)
        for level in LEVELS:
            read_noise = typical_read_noise(level)
            rng = np.random.default_rng(zlib.crc32(f"{path.stem} {level:g}".encode()))
            yield Case(
                group=f"shot {level:g}",
                name=path.stem,
                noisy=add_noise(clean, level, read_noise, rng),
                clean=clean,
                shot_noise=level,
                read_noise=read_noise,
            )


def patch_cases(source: PatchSource, group: str, count: int) -> Iterator[Case]:
    """So many patches of a source that nothing is trained on."""
    for index in range(count):
        patch = source.draw((0, 0, index))
        yield case_of(patch, group, f"{index:03} {patch.source}")


def case_of(patch: Patch, group: str = "", name: str = "") -> Case:
    """A patch as a case, to be denoised as any other."""
    return Case(
        group=group,
        name=name,
        noisy=patch.noisy,
        clean=patch.clean,
        shot_noise=patch.shot_noise,
        read_noise=patch.read_noise,
        impulses=patch.impulses,
    )
