"""A program that denoises one file by the library, twice, and says how long each stage of the first time took.

`python -m benchmarks.speed.one_file FILE OUT MODEL CLOCK [MODELS_DIR]` prints one JSON object.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from benchmarks.speed.clocks import now

from training.brightness import keep_brightness
from training.denoise import DenoiseOptions, denoise_file
from training.engines.torch import TorchEngine
from training.noise_choice import choose_noise
from training.planes import PackedSignal, unpack_mosaic
from training.raw.digest import new_raw_image_digest
from training.raw.dng import read_raw
from training.raw.rewrite import choose_tile, encoded_tiles
from training.registry import default_registry
from training.tiling import plan_image, read_tile

if TYPE_CHECKING:
    from benchmarks.speed.clocks import Clock

    from training.noise import NoiseModel

MOST_TILES = 3
"""That the network is timed on by itself."""


class StageClock:
    """A `progress` that takes the time between stages."""

    def __init__(self, clock: Clock) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._clock, self._stage, self._since = clock, "", now(clock)

    def __call__(self, stage: str, _share: float = 0.0) -> None:
        """A stage goes on, or another begins."""
        if stage != self._stage:
            self.seconds[self._stage] += now(self._clock) - self._since
            self._stage, self._since = stage, now(self._clock)


def steps(path: Path, denoised: np.ndarray, noise: NoiseModel, clock: Clock) -> dict[str, float]:
    """Seconds of what is done around the network, each by itself."""
    seconds: dict[str, float] = {}

    def timed(name: str, started: float) -> None:
        seconds[name] = now(clock) - started

    started = now(clock)
    raw = read_raw(path)
    timed("decode", started)
    signal, started = PackedSignal(raw), now(clock)
    choose_noise(signal, raw.metadata)
    timed("noise", started)
    started = now(clock)
    for top in range(0, signal.shape[1], 512):
        denoised[:, top : top + 512] = signal[:, top : top + 512, :]
    timed("normalise, pack, stitch", started)
    started = now(clock)
    keep_brightness(signal, denoised)
    timed("brightness", started)
    started = now(clock)
    mosaic = unpack_mosaic(raw, signal, denoised, noise, 0)
    timed("unpack, denormalise", started)
    started = now(clock)
    new_raw_image_digest(mosaic, 14)
    timed("digest", started)
    started = now(clock)
    for _ in encoded_tiles(mosaic, choose_tile(mosaic.shape), 14):
        pass
    timed("encode", started)
    return seconds


def network_seconds(engine: TorchEngine, signal: PackedSignal, noise: NoiseModel, clock: Clock) -> dict[str, float]:
    """Seconds of the network alone on all tiles of a frame, and how much more they are than the frame."""
    _, height, width = signal.shape
    plan = plan_image(height, width, engine.tile_size, engine.manifest.halo, engine.manifest.stride)
    tiles = [read_tile(signal, part) for part in plan[:MOST_TILES]]
    list(engine.denoise_tiles(tiles[:1], noise))
    started = now(clock)
    for _ in engine.denoise_tiles(tiles, noise):
        pass
    seconds = (now(clock) - started) * len(plan) / len(tiles)
    area = len(plan) * tiles[0][0].size / (signal.shape[1] * signal.shape[2])
    return {"seconds": seconds, "tiles": len(plan), "halo_overhead": area - 1}


def main(arguments: list[str]) -> None:
    """Denoise, measure, print."""
    path, target = Path(arguments[0]), Path(arguments[1])
    clock: Clock = "cpu" if arguments[3] == "cpu" else "wall"
    started = now(clock)
    engine = TorchEngine(default_registry(*map(Path, arguments[4:])).resolve(arguments[2]))
    found: dict[str, Any] = {"load": now(clock) - started}
    stages, started = StageClock(clock), now(clock)
    report = denoise_file(path, target, engine=engine, options=DenoiseOptions(), progress=stages)
    stages("end")
    found |= {
        "total": now(clock) - started,
        "stages": {stage: seconds for stage, seconds in stages.seconds.items() if stage},
        "megapixels": report.megapixels,
        "engine": report.engine,
    }
    started = now(clock)
    denoise_file(path, target, engine=engine, options=DenoiseOptions())
    found["total_again"] = now(clock) - started
    raw = read_raw(path)
    signal = PackedSignal(raw)
    found["network"] = network_seconds(engine, signal, report.noise, clock)
    found["steps"] = steps(path, np.empty(signal.shape, dtype=np.float32), report.noise, clock)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
