"""What denoising does to real raws: `make bench-files FILES="a.dng b.dng"`; `make bench-crops` shows them.

Noise left in flat patches, shift of the mean per plane and per range of brightness, what stays exactly as it was; and,
in the flattest quarter of the tiles, whether what was taken away is noise, beside BM3D's (`training/residuals.py`).
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
from tqdm import tqdm

from training.baselines import load_baseline
from training.denoise import DenoiseOptions, denoise_file
from training.engines import load_engine
from training.errors import ConfigError
from training.noise_choice import black_clip
from training.noise_estimation import estimate_noise
from training.planes import pack_signal
from training.raw.dng import read_raw
from training.registry import default_registry
from training.residuals import TILE, cut_tiles, describe_residual, flattest_tiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from training.baselines import Baseline
    from training.noise import NoiseModel
    from training.raw.image import RawImage
    from training.residuals import Residual

PATCH = 16
FLAT_SHARE = 0.05
BINS = 8
WHITE = 1 - 1e-4
HALO = 16
"""Packed pixels around a tile that BM3D sees."""
BM3D = ("bm3d", "bm3d-colour")


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


def sound_photosites(packed: NDArray[np.float32], black_clip: float) -> NDArray[np.bool_]:
    """(4, h, w) what is neither at white nor at a stored 0."""
    return (packed < WHITE) & (packed > black_clip)


def residual_lines(before: RawImage, after: RawImage, noise: NoiseModel, tiles: int) -> list[str]:
    """What was taken away, by the model and by BM3D, as a table's rows without the file's name."""
    noisy, denoised = pack_signal(before), pack_signal(after)
    sound = sound_photosites(noisy, black_clip(before.metadata))

    def line(name: str, planes: NDArray[np.float32], corners: Sequence[tuple[int, int]]) -> str:
        return residual_line(
            name, describe_residual(*(cut_tiles(each, corners) for each in (noisy, planes, sound)), noise), len(corners)
        )

    flattest = flattest_tiles(noisy, noise, sound)
    lines = [line("model", denoised, flattest)]
    sample = flattest[:: max(1, len(flattest) // tiles)][:tiles] if tiles else []
    if sample:
        lines.append(line("model, fewer tiles", denoised, sample))
    for name in BM3D if sample else ():
        try:
            lines.append(line(name, denoise_tiles(noisy, sample, load_baseline(name), noise), sample))
        except ConfigError as error:
            lines.append(f"{name} | left out: {error} | | ")
    return lines


def residual_line(name: str, found: Residual, tiles: int) -> str:
    """One row of the table."""
    variances = " ".join(f"{value:.3f}" for value in found.variance)
    channel, rows, columns = found.lag
    return f"{name} | {tiles} | {variances} | {found.correlation:.3f} ({channel}, {rows}, {columns:+})"


def denoise_tiles(
    packed: NDArray[np.float32], corners: Sequence[tuple[int, int]], baseline: Baseline, noise: NoiseModel
) -> NDArray[np.float32]:
    """The planes with these tiles denoised, each with some of what surrounds it."""
    padded = np.pad(packed, ((0, 0), (HALO, HALO), (HALO, HALO)), mode="reflect")
    result = packed.copy()
    for row, column in tqdm(corners, unit="tile", disable=None, leave=False):
        wide = padded[:, row : row + TILE + 2 * HALO, column : column + TILE + 2 * HALO]
        result[:, row : row + TILE, column : column + TILE] = baseline(wide, noise)[:, HALO:-HALO, HALO:-HALO]
    return result


def main() -> int:
    """Print one row a file, then what was taken away from each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--model", help="model (default: the default)")
    parser.add_argument("--bm3d-tiles", type=int, default=16, help="tiles that BM3D denoises; 0 for none")
    options = parser.parse_args()
    engine = load_engine(default_registry().resolve(options.model))
    print(f"{engine.manifest.reference} on {engine.device} in {engine.precision}\n")
    print(
        "| file | noise used | noise left in flat patches | largest plane shift | largest local shift | margins equal |"
    )
    print("|---|---|---|---|---|---|")
    taken: list[str] = []
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
        taken += [
            f"| {file.name} | {line} |" for line in residual_lines(before, after, report.noise, options.bm3d_tiles)
        ]
    print("\nWhat was taken away in the flattest quarter of the tiles, over the noise that was used:\n")
    print("| file | by | tiles | variance R Gr Gb B | largest autocorrelation to lag 3 (channel, rows, columns) |")
    print("|---|---|---|---|---|")
    print("\n".join(taken))
    return 0


if __name__ == "__main__":
    sys.exit(main())
