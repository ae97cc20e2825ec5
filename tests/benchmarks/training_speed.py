"""Steps per second and peak memory of our loop against a plain one: `make bench-training`.

Both train Neighbor2Neighbor as the paper does on SIDD (U-Net, 4 crops of 256×256, γ = 1, Adam), on the same patches,
which are drawn beforehand. The plain loop is written from the paper's equation 7 and runs as its authors run theirs:
float32, contiguous memory, the whole image without gradients and then the sub-image. The two take turns, each time in a
process of its own. Read the ratio; the seconds are those of one machine on one day.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from training.datasets.base import Patch
from training.loop import LOG_STEPS, train
from training.networks import build_network
from training.objectives.samplers import choose_neighbours, subsample
from training.presets import preset
from training.run.journal import LOG_NAME, read_log

if TYPE_CHECKING:
    from collections.abc import Sequence

GAMMA = 1.0
CELL = 2
PLAIN_STEPS = 5


class DrawnPatches:
    """A few patches of noise, drawn once: so that only training is timed."""

    def __init__(self, size: int) -> None:
        rng = np.random.default_rng(0)
        self.patches = [rng.random((4, size, size), dtype=np.float32) for _ in range(8)]

    def draw(self, seed: Sequence[int]) -> Patch:
        """One of them."""
        noisy = self.patches[sum(seed) % len(self.patches)]
        return Patch(noisy=noisy, clean=noisy, shot_noise=1e-3, read_noise=1e-6, source="noise")


def plain_rate(size: int, batch_size: int, device: torch.device) -> float:
    """Steps per second of the plain loop."""
    network = build_network("unet", in_channels=4).to(device)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4)
    noisy = torch.from_numpy(np.stack(DrawnPatches(size).patches[:batch_size])).to(device)
    generator = torch.Generator(device)
    started = 0.0
    for step in range(PLAIN_STEPS + 1):
        if step == 1:  # the first one allocates
            _wait(device)
            started = time.perf_counter()
        first, second = choose_neighbours(noisy, "random", CELL, generator)
        with torch.no_grad():
            whole = network(noisy)
        difference = network(subsample(noisy, first, CELL)) - subsample(noisy, second, CELL)
        gap = subsample(whole, first, CELL) - subsample(whole, second, CELL)
        loss = difference.square().mean() + GAMMA * (difference - gap).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    _wait(device)
    return PLAIN_STEPS / (time.perf_counter() - started)


def our_rate(size: int, batch_size: int, device: torch.device) -> float:
    """Steps per second of our loop, between two lines of its log."""
    steps = 2 * LOG_STEPS
    changes = {"steps": steps, "patch_size": size, "batch_size": batch_size}
    config = dataclasses.replace(preset("n2n-sidd"), **changes)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        train(config, DrawnPatches(size), run, resume=False, device=device)
        lines = [line for line in read_log(run / LOG_NAME) if "loss" in line]
    return (lines[1]["step"] - lines[0]["step"]) / (lines[1]["seconds"] - lines[0]["seconds"])


def measure(side: str, options: argparse.Namespace) -> None:
    """Print one side's rate and peak memory as JSON."""
    device = torch.device(options.device)
    rate = {"plain": plain_rate, "ours": our_rate}[side](options.patch_size, options.batch_size, device)
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes on macOS, kilobytes on Linux
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated()
    print(json.dumps({"rate": rate, "peak": peak / 1e6}))


def run_side(side: str) -> dict[str, float]:
    """One side in a process of its own."""
    command = [sys.executable, __file__, *sys.argv[1:], "--side", side]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, float] = json.loads(printed.splitlines()[-1])
    return result


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="runs of each side, the median is printed")
    parser.add_argument("--patch-size", type=int, default=128, help="packed pixels (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=4, help="patches a step (default: %(default)s)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--side", choices=["plain", "ours"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        measure(options.side, options)
        return 0
    pairs = [(run_side("plain"), run_side("ours")) for _ in range(options.runs)]
    ratios = [ours["rate"] / plain["rate"] for plain, ours in pairs]
    print(f"{platform.machine()}, {os.cpu_count()} cores, {options.device}, torch {torch.__version__}\n")
    print("| loop | steps/s | peak MB |\n|---|---|---|")
    for name, side in (("plain", 0), ("ours", 1)):
        rate, peak = (statistics.median(pair[side][key] for pair in pairs) for key in ("rate", "peak"))
        print(f"| {name} | {rate:.3f} | {peak:.0f} |")
    print(f"\nours ÷ plain: {statistics.median(ratios):.2f} (from {min(ratios):.2f} to {max(ratios):.2f})")
    return 0


def _wait(device: torch.device) -> None:
    """Until an accelerator has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    sys.exit(main())
