"""The golden tile: a synthetic tile and what a model makes of it, to check a freshly loaded copy.

A digest would break on every other processor, where sums round differently; so the manifest keeps sixteen pixels of
the output, compared within a tolerance in units of the noise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from training.errors import ModelError
from training.noise import NoiseModel
from training.raw.cells import CELLS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.engines.base import Engine
    from training.raw.cells import Cell

SIZE = 64
SAMPLES = 16
TOLERANCE = 0.25
"""Standard deviations of the noise; bfloat16 differs from float32 by a few hundredths."""
NOISE = NoiseModel.uniform(shot_noise=1e-3, read_noise=1e-6)


def golden_tile(seed: int, cell: Cell = CELLS["bayer"]) -> NDArray[np.float32]:
    """(4, 64, 64) float32, or as many planes as a cell has: smooth ramps with noise, decided by `seed`."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    planes = np.stack([0.2 + 0.5 * rows * weight + 0.2 * columns for weight in rng.uniform(0.2, 1, cell.channels)])
    deviation = np.sqrt(NOISE.variance(planes, cell))
    noisy: NDArray[np.floating] = planes + deviation * rng.standard_normal(planes.shape)
    return noisy.astype(np.float32)


def golden_samples(engine: Engine, seed: int) -> list[float]:
    """Sixteen pixels of what `engine` makes of the golden tile, along the diagonals of four planes."""
    cell = engine.manifest.cell
    denoised = engine.denoise_tile(golden_tile(seed, cell), NOISE)[:: cell.channels // 4]
    at = np.linspace(0, SIZE - 1, SAMPLES // 4).astype(int)
    return [round(float(value), 7) for value in denoised[:, at, at].ravel()]


def make_golden_tile(engine: Engine, seed: int = 0) -> dict[str, Any]:
    """The manifest's entry for an engine whose output is trusted (float32)."""
    return {"seed": seed, "samples": golden_samples(engine, seed)}


def check_golden_tile(engine: Engine) -> None:
    """Compare an engine with its manifest; a manifest without a golden tile passes.

    Raises:
        ModelError: The output is not what the manifest says.
    """
    entry = engine.manifest.golden_tile
    if not entry:
        return
    try:
        wanted, seed = np.array(entry["samples"], dtype=float), int(entry["seed"])
    except (KeyError, TypeError, ValueError) as reason:
        message = f"the golden tile of {engine.manifest.reference} cannot be read"
        raise ModelError(message, detail=repr(reason)) from reason
    got = np.array(golden_samples(engine, seed))
    deviation = np.sqrt(NOISE.shot_noise[0] * np.maximum(wanted, 0) + NOISE.read_noise[0])
    error = float(np.max(np.abs(got - wanted) / deviation)) if got.shape == wanted.shape else np.inf
    if not error <= TOLERANCE:
        raise ModelError(
            f"the model {engine.manifest.reference} does not give what its manifest says",
            detail=f"golden tile off by {error:.3f} standard deviations, tolerance {TOLERANCE}",
        )
