"""How well the noise of one raw is estimated: `make bench-noise` (ARGS="--every 5" for fewer pictures).

Raws of pictures that no training saw, of 10 and of 14 bits, at the levels that quality is judged at and some between.
The estimate is compared with the noise that was added and that of rounding, which leaves out what the photographs bring
of their own: `--own` prints that, estimated from the clean signal.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from training.datasets.held_out_raws import (
    FILE_LEVELS,
    LEVELS,
    NoiseLevel,
    Scene,
    expose,
    held_out_pictures,
    make_scene,
    prior_level,
    stored_noise,
)
from training.errors import UnsupportedRawError
from training.noise_choice import choose_noise
from training.noise_estimation import estimate_noise
from training.planes import pack_signal
from training.raw.bayer import pack, unify

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.noise import NoiseModel

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "clean"
JUDGED = (*LEVELS[:-1], *map(prior_level, (2e-4, 5e-4, 2e-3)), LEVELS[-1])
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


def deviation(model: NoiseModel) -> float:
    """The standard deviation of the noise at mid-grey."""
    return float(np.sqrt(model.shot_noise[0] * MID_GREY + model.read_noise[0]))


def judge(scene: Scene, level: NoiseLevel) -> Outcome | None:
    """Estimate once; None where nothing could be estimated."""
    raw = expose(scene, level)
    signal = pack_signal(raw)
    start = time.process_time()
    try:
        estimate = choose_noise(signal, raw.metadata).estimate
    except UnsupportedRawError:
        return None
    seconds = time.process_time() - start
    if estimate is None:  # the file has no tag, so it is always looked at
        return None
    true = stored_noise(level, scene.levels)
    return Outcome(
        estimate.model.shot_noise[0] / level.shot_noise,
        deviation(estimate.model) / deviation(true),
        abs(estimate.model.shot_noise[0] - level.shot_noise) <= 2 * estimate.shot_error,
        estimate.is_sure,
        seconds / (signal.size / 1e6),
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


def own_noise(scenes: list[Scene]) -> str:
    """What the photographs bring: the standard deviation at mid-grey that is estimated from their clean signal."""
    found = [estimate_noise(pack(unify(scene.clean, scene.cfa_pattern))) for scene in scenes]
    low, middle, high = np.quantile([deviation(e.model) for e in found if e is not None], [0.1, 0.5, 0.9])
    return f"noise of the photographs themselves at mid-grey: {middle:.5f} ({low:.5f} to {high:.5f})\n"


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=Path, default=SHARED, help="folder of pictures")
    parser.add_argument("--every", type=int, default=1, help="every n-th picture only")
    parser.add_argument("--own", action="store_true", help="print the photographs' own noise too")
    options = parser.parse_args()
    scenes = [make_scene(path) for path in held_out_pictures(options.pictures)[:: options.every]]
    if options.own:
        print(own_noise(scenes))
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for level in tqdm(JUDGED, disable=None):
        for bits in FILE_LEVELS:
            print(row(level.name, bits, [judge(replace(scene, bits=bits), level) for scene in scenes]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
