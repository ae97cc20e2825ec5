"""How well the noise of one raw is estimated: `make bench-noise` (ARGS="--every 5" for fewer pictures).

Pictures that no training saw are made into raws: noise of the judged levels and of a phone (PMRID), rounded to 10 or 14
bits above a black level, clipped to what the file holds. The estimate is compared with the noise that was added, which
leaves out what the photographs bring of their own: `--own` prints that, estimated from the clean signal.
"""

from __future__ import annotations

import argparse
import sys
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from training.datasets.synthetic import add_noise, typical_read_noise
from training.evaluate import SHOT_LEVELS, clean_planes, held_out_pictures
from training.noise_estimation import estimate_noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "clean"
PHONE_ISOS = (100, 400, 800, 1600, 3200, 6400)
BLACK = {10: 64, 14: 512}
MID_GREY = 0.18
COLUMNS = ("level", "bits", "shot", "σ at mid-grey", "shot ±15 %", "σ ±7 %", "in 2 errors", "sure", "none", "s/MP")
SHOT_BAND, DEVIATION_BAND = 0.15, 0.07


@dataclass(frozen=True, slots=True)
class Outcome:
    """One picture at one level."""

    shot_ratio: float
    """Estimated over true."""
    deviation_ratio: float
    """Standard deviation of the noise at mid-grey, estimated over true."""
    shot_covered: bool
    """Whether the true shot noise is within two standard errors."""
    is_sure: bool
    seconds_per_megapixel: float


def phone_noise(iso: int) -> tuple[float, float]:
    """Shot and read noise of the phone of PMRID (Wang et al., ECCV 2020) on the signal from black to white."""
    slope, variance = 5.995e-4 * iso + 8.689e-3, 7.118e-7 * iso**2 + 6.515e-4 * iso + 0.1149
    return slope / 959, variance / 959**2


def levels() -> list[tuple[str, float, float]]:
    """Name, shot and read noise of every level."""
    judged = [(f"{shot:g}", shot, typical_read_noise(shot)) for shot in SHOT_LEVELS]
    return judged + [(f"phone, ISO {iso}", *phone_noise(iso)) for iso in PHONE_ISOS]


def as_stored(signal: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """What a file of so many bits gives back: rounded, clipped to what it can hold."""
    span = 2**bits - 1 - BLACK[bits]
    stored = np.clip(np.round(signal * span), -BLACK[bits], span)
    return (stored / span).astype(np.float32)


def judge(name: str, clean: NDArray[np.float32], shot: float, read: float, bits: int) -> Outcome | None:
    """Estimate once; None where nothing could be estimated."""
    rng = np.random.default_rng(zlib.crc32(f"{name} {shot:g} {bits}".encode()))
    noisy = as_stored(add_noise(clean, shot, read, rng), bits)
    step = 1 / (2**bits - 1 - BLACK[bits])
    start = time.process_time()
    estimate = estimate_noise(noisy, -BLACK[bits] * step, step=step)
    seconds = time.process_time() - start
    if estimate is None:
        return None
    found_shot, found_read = estimate.model.shot_noise[0], estimate.model.read_noise[0]
    true = shot * MID_GREY + read + step**2 / 12  # rounding is noise like any other
    return Outcome(
        found_shot / shot,
        float(np.sqrt((found_shot * MID_GREY + found_read) / true)),
        abs(found_shot - shot) <= 2 * estimate.shot_error,
        estimate.is_sure,
        seconds / (noisy.size / 1e6),
    )


def spread(values: NDArray[np.float64]) -> str:
    """Median, and the range that 80 of 100 lie in."""
    low, middle, high = np.quantile(values, [0.1, 0.5, 0.9])
    return f"{middle:.3f} ({low:.2f}–{high:.2f})"


def row(level: str, bits: int, outcomes: list[Outcome | None]) -> str:
    """One row of the table."""
    known = [outcome for outcome in outcomes if outcome is not None]
    shot, deviation = (np.array([getattr(o, name) for o in known]) for name in ("shot_ratio", "deviation_ratio"))
    shares = (
        np.mean(np.abs(shot - 1) <= SHOT_BAND),
        np.mean(np.abs(deviation - 1) <= DEVIATION_BAND),
        np.mean([o.shot_covered for o in known]),
        np.mean([o.is_sure for o in known]),
    )
    cells = [level, str(bits), spread(shot), spread(deviation), *(f"{share:.0%}" for share in shares)]
    cells += [str(len(outcomes) - len(known)), f"{np.median([o.seconds_per_megapixel for o in known]):.2f}"]
    return f"| {' | '.join(cells)} |"


def own_noise(pictures: dict[str, NDArray[np.float32]]) -> str:
    """What the photographs bring: the standard deviation at mid-grey that is estimated from their clean signal."""
    found = [estimate_noise(clean) for clean in pictures.values()]
    deviations = [np.sqrt(e.model.shot_noise[0] * MID_GREY + e.model.read_noise[0]) for e in found if e is not None]
    low, middle, high = np.quantile(deviations, [0.1, 0.5, 0.9])
    return f"noise of the photographs themselves at mid-grey: {middle:.5f} ({low:.5f} to {high:.5f})"


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=Path, default=SHARED, help="folder of pictures")
    parser.add_argument("--every", type=int, default=1, help="every n-th picture only")
    parser.add_argument("--own", action="store_true", help="print the photographs' own noise too")
    options = parser.parse_args()
    pictures = {path.stem: clean_planes(path) for path in held_out_pictures(options.pictures)[:: options.every]}
    if options.own:
        print(own_noise(pictures))
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for level, shot, read in tqdm(levels(), disable=None):
        for bits in BLACK:
            print(row(level, bits, [judge(name, clean, shot, read, bits) for name, clean in pictures.items()]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
