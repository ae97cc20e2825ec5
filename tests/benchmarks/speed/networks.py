"""The network alone against the reference: the papers' U-Net as its authors run it, eager float32, contiguous.

`python -m benchmarks.speed.networks MODEL CLOCK ROUNDS [MODELS_DIR]` prints one JSON object.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from benchmarks.speed.clocks import now, spread
from benchmarks.speed.raws import READ_NOISE, SHOT_NOISE

from training.engines.torch import TorchEngine
from training.networks import build_network
from training.noise import NoiseModel
from training.registry import default_registry

if TYPE_CHECKING:
    from benchmarks.speed.clocks import Clock

SIDE = 512
"""Packed pixels of the reference's tile: a megapixel of the sensor."""
NOISE = NoiseModel.uniform(shot_noise=SHOT_NOISE, read_noise=READ_NOISE)


def compare_networks(engine: TorchEngine, clock: Clock, rounds: int) -> dict[str, Any]:
    """Seconds per sensor megapixel of engine and reference, in turns; neither overlaps tiles here."""
    reference = build_network("unet", in_channels=4).eval().to(engine.device)
    packed = torch.rand(1, 4, SIDE, SIDE, device=engine.device)
    side = engine.tile_size
    tile = np.random.default_rng(0).random((4, side, side), dtype=np.float32)

    def reference_seconds() -> float:
        started = now(clock)
        with torch.inference_mode():
            reference(packed).cpu()
        return (now(clock) - started) / (4e-6 * SIDE**2)

    def engine_seconds() -> float:
        started = now(clock)
        engine.denoise_tile(tile, NOISE)
        return (now(clock) - started) / (4e-6 * side**2)

    reference_seconds(), engine_seconds()
    turns = [(reference_seconds(), engine_seconds()) for _ in range(rounds)]
    slow, fast = zip(*turns, strict=True)
    return {
        "engine": f"{engine.manifest.reference} ({engine.manifest.network}), {engine.device} {engine.precision}",
        "tile": engine.tile_size,
        "halo": engine.manifest.halo,
        "reference_s_per_mp": statistics.median(slow),
        "network_s_per_mp": statistics.median(fast),
        "ratios": [one / other for one, other in turns],
        "ratio": spread([one / other for one, other in turns]),
    }


def main(arguments: list[str]) -> None:
    """Measure, print."""
    model, clock, rounds, *models = arguments
    engine = TorchEngine(default_registry(*map(Path, models)).resolve(model))
    print(json.dumps(compare_networks(engine, "cpu" if clock == "cpu" else "wall", int(rounds))))


if __name__ == "__main__":
    main(sys.argv[1:])
