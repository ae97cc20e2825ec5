"""What a network is worth on a CPU, in decibels for equal seconds and in seconds of serving: `make bench-networks`.

Every network is trained by itself on the same pictures with the same seed, for as many steps as fit into the same
seconds of processor time (not of the clock: the machine may be shared), the drawing of patches included. "Sharp"
pictures are mosaicked as they are, "sensor-like" ones enlarged two times before. What was finished is not repeated.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.methods import SHARED

from training.checkpoint import load_checkpoint
from training.comparison.cases import LEVELS, raw_cases
from training.config import TrainingConfig
from training.datasets.held_out_raws import held_out_pictures
from training.datasets.synthetic import SyntheticRaws, add_noise, load_pictures
from training.loop import train
from training.metrics import psnr
from training.networks.noise_aware import NoiseAware, build_noise_aware
from training.run.precision import autocast, training_dtype

CANDIDATES: dict[str, tuple[str, dict[str, Any]]] = {
    "U-Net of the papers": ("unet", {}),
    "folded 64 128 256": ("residual-unet", {"widths": [64, 128, 256], "blocks": [2, 2, 2]}),
    "unfolded 32 64 128 256": ("residual-unet", {"widths": [32, 64, 128, 256], "blocks": [2, 2, 2, 2], "fold": 1}),
    "folded 96 160 256": ("residual-unet", {"widths": [96, 160, 256], "blocks": [2, 2, 2]}),
    "unfolded 32 64 128 256, one block on top": (
        "residual-unet",
        {"widths": [32, 64, 128, 256], "blocks": [1, 2, 2, 2], "fold": 1},
    ),
    "unfolded 16 64 128 256, one block on top": (
        "residual-unet",
        {"widths": [16, 64, 128, 256], "blocks": [1, 2, 2, 2], "fold": 1},
    ),
}
CONTENTS = {"sharp": 1.0, "sensor-like": 2.0}
CPU = torch.device("cpu")
TRIAL_STEPS, WARM_STEPS = 12, 3
SERVED = 512
"""Packed pixels each way that are timed: a megapixel of the sensor."""


def config_of(candidate: str, steps: int, learning_rate: float) -> TrainingConfig:
    """A candidate's training."""
    network, options = CANDIDATES[candidate]
    return TrainingConfig(
        preset="bench-networks",
        objective="supervised",
        network=network,
        network_options=options,
        learning_rate=learning_rate,
    ).with_steps(steps)


def seconds_per_step(config: TrainingConfig, data: SyntheticRaws) -> float:
    """Processor time of a step, patches included."""
    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        train(config, data, run, resume=False, device=CPU, after_step=lambda _: times.append(time.process_time()))
    return (times[-1] - times[WARM_STEPS]) / (len(times) - 1 - WARM_STEPS)


def serving_seconds(model: NoiseAware) -> float:
    """Processor time for a megapixel, the least of three."""
    noisy = torch.rand(1, 4, SERVED, SERVED).contiguous(memory_format=torch.channels_last)
    noise = torch.full((1, 4), 1e-3)
    times = []
    with torch.inference_mode(), autocast(CPU, training_dtype(CPU, "auto")):
        for _ in range(4):
            started = time.process_time()
            model(noisy, noise, noise)
            times.append(time.process_time() - started)
    return min(times[1:])


@torch.inference_mode()
def judge(model: NoiseAware, pictures: list[Path]) -> dict[str, list[float]]:
    """Mean decibels per level, for every kind of content."""
    scores: dict[str, list[float]] = {}
    for content, scale in CONTENTS.items():
        rows: dict[float, list[float]] = {level: [] for level in LEVELS}
        for case in raw_cases(pictures, scale):
            seed = len(case.name) + round(1e6 * case.shot_noise)  # the noise that the figures in the README have
            noisy = add_noise(case.clean, case.shot_noise, case.read_noise, np.random.default_rng(seed))
            noise = (torch.full((1, 4), value) for value in (case.shot_noise, case.read_noise))
            with autocast(CPU, training_dtype(CPU, "auto")):
                denoised = model(torch.from_numpy(noisy)[None], *noise)[0].numpy()
            rows[case.shot_noise].append(psnr(denoised, case.clean))
        scores[content] = [float(np.mean(row)) for row in rows.values()]
    return scores


def measure(candidate: str, options: argparse.Namespace, pictures: list[Path]) -> dict[str, Any]:
    """Train, time and judge a candidate, or read what was found before."""
    name = f"{candidate.replace(',', '').replace(' ', '-')}-{options.minutes:g}-{options.learning_rate:g}"
    result = options.runs / f"{name}.json"
    if result.exists():
        return json.loads(result.read_text(encoding="utf-8"))
    trial = config_of(candidate, TRIAL_STEPS, options.learning_rate)
    data = load_pictures(options.pictures / "clic2025", patch_size=trial.patch_size, scales=trial.scales)
    steps = max(1, round(60 * options.minutes / seconds_per_step(trial, data)))
    config = config_of(candidate, steps, options.learning_rate)
    started = time.process_time()
    checkpoint = load_checkpoint(train(config, data, options.runs / name, resume=False, device=CPU))
    seconds = time.process_time() - started
    if checkpoint.step < steps:
        raise SystemExit(f"{candidate} was stopped at step {checkpoint.step}: delete {options.runs / name}")
    model = build_noise_aware(config).to(memory_format=torch.channels_last).eval()
    model.network.load_state_dict(checkpoint.average)
    found = {
        "candidate": candidate,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "steps": steps,
        "seconds": seconds,
        "serving": serving_seconds(model),
        "levels": judge(model, pictures),
    }
    result.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return found


def print_table(results: list[dict[str, Any]]) -> None:
    """As Markdown."""
    heads = [f"{content} {level:g}" for content in CONTENTS for level in LEVELS]
    print(f"\n| network | million parameters | steps | CPU s | serving s/MP | {' | '.join(heads)} |")
    print("|---" * (5 + len(heads)) + "|")
    for found in results:
        decibels = [f"{value:.2f}" for content in CONTENTS for value in found["levels"][content]]
        facts = f"{found['parameters'] / 1e6:.2f} | {found['steps']} | {found['seconds']:.0f} | {found['serving']:.3f}"
        print(f"| {found['candidate']} | {facts} | {' | '.join(decibels)} |")


def main() -> int:
    """Train what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=Path, default=SHARED, help="folder with clic2025, kodak and cid22 inside")
    parser.add_argument("--runs", type=Path, default=Path("runs/networks"), help="folder of the trainings")
    parser.add_argument("--minutes", type=float, default=8.0, help="of processor time for each (default: %(default)s)")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="the largest (default: %(default)s)")
    parser.add_argument("--every", type=int, default=3, help="judge on every n-th held-out picture")
    parser.add_argument("--only", default="", metavar="TEXT", help="only networks whose name holds this")
    options = parser.parse_args()
    options.runs.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    pictures = held_out_pictures(options.pictures)[:: options.every]
    results = []
    for candidate in CANDIDATES:
        if options.only in candidate:
            results.append(measure(candidate, options, pictures))
            print(f"{candidate}: {results[-1]['seconds']:.0f} s", file=sys.stderr)
    print_table(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
