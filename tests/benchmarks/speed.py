"""Seconds per megapixel and peak memory, file to file: `make bench-speed`.

Every size is denoised by the command line in a process of its own, in turn with the reference: the papers' U-Net in
eager float32 with contiguous memory. Read the ratios; the seconds are those of one machine on one day.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from dng_factory import make_dng

from training.networks import build_network

SIZES = {2: (1224, 1632), 9: (2600, 3464), 24: (4000, 6000)}
NOISE = (2e-4, 1e-6)
HEAD = "| MP | network s/MP | file to file s/MP | whole command s | peak MB | reference s/MP | reference ÷ network |"
ROW = "| {size} | {network:.3f} | {total:.3f} | {wall:.1f} | {peak:.0f} | {reference:.2f} | {ratio:.2f} |"
STAGES = ("decode", "normalise", "noise", "network", "denormalise", "write")


def make_raw(folder: Path, megapixels: int) -> Path:
    """A 14-bit DNG of ramps and noise."""
    height, width = SIZES[megapixels]
    rng = np.random.default_rng(0)
    signal = 0.02 + 0.5 * np.linspace(0, 1, width)[None, :] * np.linspace(0.3, 1, height)[:, None]
    noisy = signal + rng.normal(0, np.sqrt(NOISE[0] * signal + NOISE[1]))
    mosaic = np.clip(np.rint(512 + noisy * 15871), 0, 16383).astype(np.uint16)
    path = folder / f"{megapixels}.dng"
    return make_dng(path, mosaic, bits=14, black_level=512, noise_profile=NOISE)


def denoise(path: Path, model: str) -> dict[str, float]:
    """Run the command once; seconds by stage, wall time, and the largest process's peak memory in MB."""
    command = [sys.executable, "-m", "service", "denoise", str(path), "--model", model, "--json"]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        output = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    wall = time.perf_counter() - started
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes on macOS, kilobytes on Linux
    return {**json.loads(output)["seconds"], "wall": wall, "peak": usage.ru_maxrss * unit / 1e6}


def reference_seconds() -> float:
    """Seconds per sensor megapixel of the papers' network as its authors run it: float32, contiguous, eager."""
    network = build_network("unet", in_channels=4).eval()
    packed = torch.rand(1, 4, 512, 512)
    with torch.inference_mode():
        network(packed)
        started = time.perf_counter()
        network(packed)
        return (time.perf_counter() - started) / (4 * 512 * 512 / 1e6)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="2,9,24", help="megapixels, comma-separated (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each, the median is printed")
    parser.add_argument("--model", default="photosite")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, median of {options.runs} runs\n")
    print(HEAD)
    print("|---|---|---|---|---|---|---|")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for size in (int(text) for text in options.sizes.split(",")):
            rows.append(measure(make_raw(Path(folder), size), size, options))
            print(ROW.format(**rows[-1]), flush=True)
    print("\nSeconds of each stage:")
    for row in rows:
        print(f"  {row['size']:>3} MP: " + ", ".join(f"{stage} {row['stages'][stage]:.2f}" for stage in STAGES))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 0


def measure(path: Path, size: int, options: argparse.Namespace) -> dict:
    """One row: command and reference in turn."""
    height, width = SIZES[size]
    megapixels = height * width / 1e6
    runs, references = [], []
    for _ in range(options.runs):
        references.append(reference_seconds())
        runs.append(denoise(path, options.model))
    stages = {stage: statistics.median(run[stage] for run in runs) for stage in STAGES}
    network, reference = stages["network"] / megapixels, statistics.median(references)
    return {
        "size": size,
        "stages": stages,
        "network": network,
        "total": statistics.median(sum(run[stage] for stage in STAGES) for run in runs) / megapixels,
        "wall": statistics.median(run["wall"] for run in runs),
        "peak": max(run["peak"] for run in runs),
        "reference": reference,
        "ratio": reference / network,
    }


if __name__ == "__main__":
    sys.exit(main())
