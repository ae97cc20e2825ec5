"""What denoising does to real raws: `make bench-files FILES="a.dng b.dng" ARGS="--crops DIR"`.

Noise left in flat patches, shift of the mean per plane and per range of brightness, what stays exactly as it was; and
crops before and after, as pictures to look at.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from training.denoise import DenoiseOptions, denoise_file, pack_signal
from training.engines import load_engine
from training.noise_estimation import estimate_noise
from training.raw.dng import read_raw
from training.registry import default_registry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.noise import NoiseModel
    from training.raw.image import RawImage

PATCH = 16
FLAT_SHARE = 0.05
BINS = 8
CROP = 192


@dataclass(frozen=True, slots=True)
class Finding:
    """What was measured on one file."""

    noise_left: float
    """Standard deviation in flat patches, output over input."""
    plane_shift: float
    """Largest shift of a plane's mean, as a share of full scale."""
    local_shift: float
    """Largest shift of the mean in a range of brightness, as a share of the signal there."""
    margins_equal: bool


def patches(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, 16, 16) non-overlapping patches of all planes."""
    channels, height, width = planes.shape
    cut = planes[:, : height // PATCH * PATCH, : width // PATCH * PATCH]
    grid = cut.reshape(channels, height // PATCH, PATCH, width // PATCH, PATCH)
    return grid.transpose(0, 1, 3, 2, 4).reshape(-1, PATCH, PATCH)


def flat_patches(before: NDArray[np.float32], noise: NoiseModel) -> NDArray[np.intp]:
    """The patches with the least coarse structure for their noise: means of 4×4 pixels spread the least."""
    cut = patches(before)
    coarse = cut.reshape(-1, 4, 4, 4, 4).mean(axis=(2, 4)).reshape(len(cut), -1)
    mean = cut.mean(axis=(1, 2))
    expected = noise.shot_noise[0] * np.maximum(mean, 0) + noise.read_noise[0]
    usable = (cut.max(axis=(1, 2)) < 0.95) & (mean > 5 * np.sqrt(expected))
    score = np.where(usable, coarse.var(axis=1) / expected, np.inf)
    return np.argsort(score)[: int(FLAT_SHARE * usable.sum())]


def detrended_deviation(cut: NDArray[np.float32]) -> float:
    """Root-mean-square deviation from the best plane through each patch."""
    rows, columns = np.mgrid[0:PATCH, 0:PATCH] / PATCH
    basis = np.linalg.qr(np.stack([np.ones(PATCH * PATCH), rows.ravel(), columns.ravel()], axis=1))[0]
    flat = cut.reshape(len(cut), -1).astype(np.float64)
    rest = flat - flat @ basis @ basis.T
    return float(np.sqrt(np.mean(np.square(rest)) * PATCH**2 / (PATCH**2 - 3)))


def box_mean(planes: NDArray[np.float32], size: int) -> NDArray[np.float64]:
    """(4, h, w) mean over size × size pixels, reflected at the border."""
    half = size // 2
    padded = np.pad(planes.astype(np.float64), ((0, 0), (half, half), (half, half)), mode="reflect")
    total = np.pad(padded.cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))
    inner = total[:, size:, size:] - total[:, :-size, size:] - total[:, size:, :-size] + total[:, :-size, :-size]
    return inner / size**2


def local_shift(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    """Largest relative shift of the mean in eight ranges of brightness of the input's 15×15 mean."""
    local = box_mean(before, 15)
    edges = np.quantile(local, np.linspace(0, 1, BINS + 1))
    shifts = []
    for low, high in pairwise(edges):
        inside = (local >= low) & (local <= high)
        shifts.append(abs(float((after - before)[inside].mean())) / max(float(local[inside].mean()), 1e-9))
    return max(shifts)


def judge(before: RawImage, after: RawImage, noise: NoiseModel) -> Finding:
    """Compare a file with its denoised self."""
    first, second = pack_signal(before), pack_signal(after)
    chosen = flat_patches(first, noise)
    area = before.metadata.active_area
    scale = after.metadata.levels.white_level / before.metadata.levels.white_level
    outside = np.ones(before.mosaic.shape, dtype=bool)
    outside[area.slices] = False
    return Finding(
        noise_left=detrended_deviation(patches(second)[chosen]) / detrended_deviation(patches(first)[chosen]),
        plane_shift=float(np.abs((second - first).mean(axis=(1, 2), dtype=np.float64)).max()),
        local_shift=local_shift(first, second),
        margins_equal=bool((after.mosaic[outside] == before.mosaic[outside] * scale).all()),
    )


def crop_pictures(before: RawImage, after: RawImage) -> NDArray[np.uint8]:
    """Three crops, the input's above the output's: of a flat, a middling and a textured place of the input.

    White-balanced by grey world, brightened to the input's 99.5th percentile, both alike.
    """
    colours = [demosaic_half(pack_signal(raw)) for raw in (before, after)]
    gains = colours[0][..., 1].mean() / np.maximum(colours[0].mean(axis=(0, 1)), 1e-6)
    detail = box_mean(np.abs(np.diff(colours[0][None, ..., 1], axis=2)), 63)[0, :-CROP, :-CROP]
    order = np.argsort(detail, axis=None)
    places = [np.unravel_index(order[int(share * (order.size - 1))], detail.shape) for share in (0.02, 0.5, 0.98)]
    columns = []
    for row, column in places:
        pair = [colour[row : row + CROP, column : column + CROP] * gains for colour in colours]
        white = max(float(np.quantile(pair[0], 0.995)), 1e-6)
        columns.append(np.concatenate([np.clip(crop / white, 0, 1) ** (1 / 2.2) for crop in pair]))
    return (np.concatenate(columns, axis=1) * 255).astype(np.uint8)


def demosaic_half(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w, 3) red, mean green and blue of each 2×2 cell."""
    return np.stack([planes[0], (planes[1] + planes[2]) / 2, planes[3]], axis=-1)


def main() -> int:
    """Print one row a file; write crops where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--model", help="model (default: the default)")
    parser.add_argument("--crops", type=Path, help="folder for pictures of crops, before above after")
    options = parser.parse_args()
    engine = load_engine(default_registry().resolve(options.model))
    print(f"{engine.manifest.reference} on {engine.device} in {engine.precision}\n")
    print(
        "| file | noise used | noise left in flat patches | largest plane shift | largest local shift | margins equal |"
    )
    print("|---|---|---|---|---|---|")
    for file in options.files:
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "out.dng"
            report = denoise_file(file, target, engine=engine, options=DenoiseOptions())
            before, after = read_raw(file), read_raw(target)
        estimate = estimate_noise(pack_signal(before))
        noise = estimate.model if estimate else report.noise
        found = judge(before, after, noise)
        used = f"{report.noise.shot_noise[0]:.3g}, {report.noise.read_noise[0]:.3g} ({report.noise_source})"
        print(
            f"| {file.name} | {used} | {found.noise_left:.3f} | {found.plane_shift:.2e} | {found.local_shift:.2%} "
            f"| {'yes' if found.margins_equal else 'NO'} |"
        )
        if options.crops:
            options.crops.mkdir(parents=True, exist_ok=True)
            Image.fromarray(crop_pictures(before, after)).save(options.crops / f"{file.stem}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
