"""A network alone: the engine's, or the reference, the papers' U-Net as its authors run it: eager float32, contiguous.

`python -m benchmarks.speed.networks reference|bm3d|MODEL CLOCK [MODELS_DIR]` prints one JSON object. Each is measured
in processes of its own, because an engine changes how a process takes its memory, which would help the reference, too.
BM3D, where it is installed, treats each of the four planes by itself, on one thread.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from benchmarks.speed.clocks import now
from benchmarks.speed.raws import READ_NOISE, SHOT_NOISE

from training.baselines import load_baseline
from training.engines.torch import TorchEngine, choose_device
from training.errors import ConfigError
from training.networks import build_network
from training.noise import NoiseModel
from training.registry import default_registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.speed.clocks import Clock

SIDE = 512
"""Packed pixels of the reference's tile: a megapixel of the sensor."""
BM3D_SIDE = 160
"""Of its planes: it takes seconds for that."""
NOISE = NoiseModel.uniform(shot_noise=SHOT_NOISE, read_noise=READ_NOISE)


def measure_reference(clock: Clock) -> dict[str, Any]:
    """Seconds per sensor megapixel, on a card if there is one."""
    device = choose_device("auto")
    network = build_network("unet", in_channels=4).eval().to(device)
    packed = torch.rand(1, 4, SIDE, SIDE, device=device)

    def run() -> None:
        with torch.inference_mode():
            network(packed).cpu()

    return {"s_per_mp": _least_seconds(run, clock) / (4e-6 * SIDE**2)}


def measure_engine(engine: TorchEngine, clock: Clock) -> dict[str, Any]:
    """The same of an engine, on a tile of its own size, which nothing overlaps."""
    tile = np.random.default_rng(0).random((4, engine.tile_size, engine.tile_size), dtype=np.float32)
    return {
        "engine": f"{engine.manifest.reference} ({engine.manifest.network}), {engine.device} {engine.precision}",
        "tile": engine.tile_size,
        "halo": engine.manifest.halo,
        "s_per_mp": _least_seconds(lambda: engine.denoise_tile(tile, NOISE), clock) / (4e-6 * engine.tile_size**2),
    }


def measure_bm3d(clock: Clock) -> dict[str, Any]:
    """Seconds per sensor megapixel, or what is missing."""
    try:
        bm3d = load_baseline("bm3d")
    except ConfigError as error:
        return {"missing": error.message}
    signal = np.full((4, BM3D_SIDE, BM3D_SIDE), 0.2)
    noisy = signal + np.sqrt(NOISE.variance(signal)) * np.random.default_rng(0).standard_normal(signal.shape)
    started = now(clock)
    bm3d(noisy.astype(np.float32), NOISE)
    return {"s_per_mp": (now(clock) - started) / (4e-6 * BM3D_SIDE**2)}


def _least_seconds(run: Callable[[], object], clock: Clock) -> float:
    """Of two runs, after one that does not count."""
    run()
    seconds = []
    for _ in range(2):
        started = now(clock)
        run()
        seconds.append(now(clock) - started)
    return min(seconds)


def main(arguments: list[str]) -> None:
    """Measure, print."""
    clock: Clock = "cpu" if arguments[1] == "cpu" else "wall"
    if arguments[0] == "reference":
        found = measure_reference(clock)
    elif arguments[0] == "bm3d":
        found = measure_bm3d(clock)
    else:
        found = measure_engine(TorchEngine(default_registry(*map(Path, arguments[2:])).resolve(arguments[0])), clock)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
