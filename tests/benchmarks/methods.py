"""What learning from noisy images alone costs, method by method, on an equal budget: `make bench-methods`.

Every run trains the same small network from the same start, and differs from its supervised twin in nothing but the
objective. "Sharp" pictures are mosaicked as they are; "sensor-like" ones are enlarged three times before, until packed
neighbours differ as little as in the GoPro raw of the data folder (S(1)/S(16) = 0.09, S(d) being the mean squared
difference of photosites d apart, less the noise's share; the Canon raw, out of focus, has 0.01, the pictures 0.22).
"Sensor-like and smoother" adds pictures enlarged six times to the training: sub-sampled, they look like the former.
Runs that were finished before are not repeated, and a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import torch

from training.checkpoint import load_checkpoint
from training.comparison.cases import LEVELS, raw_cases
from training.comparison.running import SHOT_NOISE_RANGE, trained
from training.config import TrainingConfig
from training.datasets.held_out_raws import held_out_pictures
from training.datasets.synthetic import load_pictures
from training.loop import train
from training.metrics import psnr
from training.run.journal import LOG_NAME, read_log

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "clean"
CONTENTS = {"sensor-like": (3.0,), "sensor-like and smoother": (3.0, 6.0), "sharp": (1.0,)}
"""Enlargements in training; tests are made with the first."""
GAMMAS = (0.0, 1.0, 2.0, 8.0, 20.0)
PATCH = 64
"""Packed pixels that the network sees each way in training; Neighbor2Neighbor halves patches of twice the size."""
RESULT_NAME = "result.json"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One training of the study."""

    content: str
    objective: str
    steps: int
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The method in words."""
        if self.objective != "neighbor2neighbor":
            return ", ".join([self.objective, *(f"{name} {value}" for name, value in self.options.items())])
        fixed = ", fixed sampler" if self.options.get("sampler") == "fixed" else ""
        return f"neighbor2neighbor γ={self.options['gamma']:g}{fixed}"

    @property
    def name(self) -> str:
        """What its run's folder is called."""
        options = "-".join(f"{name}-{value}" for name, value in sorted(self.options.items()))
        return "-".join(filter(None, [self.content.replace(" ", "-"), self.objective, options, str(self.steps)]))

    def config(self, width: int) -> TrainingConfig:
        """Its training."""
        doubled = 2 if self.objective == "neighbor2neighbor" else 1
        return TrainingConfig(
            preset="bench-methods",
            objective=self.objective,
            objective_options=self.options,
            network_options={"width": width},
            scales=CONTENTS[self.content],
            shot_noise_range=SHOT_NOISE_RANGE,
            patch_size=PATCH * doubled,
            steps=self.steps,
        )


def plan(steps: int) -> Iterator[Entry]:
    """All trainings, those first that a study which is cut short cannot do without."""
    for content, gammas in (("sensor-like", (2.0, 20.0, 8.0, 0.0, 1.0)), ("sharp", (2.0, 20.0))):
        yield Entry(content=content, objective="supervised", steps=steps)
        yield Entry(content=content, objective="recorrupted", steps=steps, options={"signal": "surround"})
        for gamma in gammas:
            yield Entry(content=content, objective="neighbor2neighbor", steps=steps, options={"gamma": gamma})
    for fewer in (steps // 2, steps // 4, steps // 8):
        yield Entry(content="sensor-like", objective="supervised", steps=fewer)
        yield Entry(content="sensor-like", objective="neighbor2neighbor", steps=fewer, options={"gamma": 2.0})
    options = {"gamma": 2.0, "sampler": "fixed"}
    yield Entry(content="sensor-like", objective="neighbor2neighbor", steps=steps, options=options)
    for content in ("sensor-like", "sharp"):
        yield Entry(content=content, objective="recorrupted", steps=steps, options={"signal": "denoised"})
    options = {"alpha": 1.0, "signal": "surround"}
    yield Entry(content="sensor-like", objective="recorrupted", steps=steps, options=options)
    yield Entry(content="sensor-like and smoother", objective="supervised", steps=steps)
    for gamma in (2.0, 8.0):
        options = {"gamma": gamma}
        yield Entry(content="sensor-like and smoother", objective="neighbor2neighbor", steps=steps, options=options)


def half_pixel_blur(clean: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of the signal half a pixel up, down, left and right, by cubic interpolation.

    On a sub-sampled image the neighbour lies half a pixel away, on any side: what Neighbor2Neighbor's first term alone
    makes the network return, also where it later sees the whole image.
    """
    total = np.zeros_like(clean)
    for axis in (1, 2):
        ahead = sum(w * np.roll(clean, -k, axis) for k, w in zip((-1, 0, 1, 2), (-1, 9, 9, -1), strict=True)) / 16
        total += ahead + np.roll(ahead, 1, axis)
    return total / 4


def judge(entry: Entry, run: Path, pictures: list[Path]) -> dict[str, dict[str, float]]:
    """Decibels by noise level: noisy, denoised, and denoised with the error that equation 7's optimum keeps."""
    denoise = trained(run, torch.device("cpu"), {})
    scores: dict[str, dict[str, list[float]]] = {}
    for case in raw_cases(pictures, CONTENTS[entry.content][0]):
        blur = (half_pixel_blur(case.clean) - case.clean)[:, 2:-2, 2:-2]
        row = scores.setdefault(f"{case.shot_noise:g}", {})
        row.setdefault("noisy", []).append(psnr(case.noisy, case.clean))
        row.setdefault("denoised", []).append(psnr(denoise(case), case.clean))
        error = 10 ** (-row["denoised"][-1] / 10)
        for gamma in GAMMAS:
            floor = float(np.mean(np.square(blur / (1 + gamma))))
            row.setdefault(f"floor {gamma:g}", []).append(-10 * np.log10(error + floor))
    return {level: {name: float(np.mean(values)) for name, values in row.items()} for level, row in scores.items()}


def folder(entry: Entry, options: argparse.Namespace) -> Path:
    """Where a training lies."""
    runs: Path = options.runs
    return runs / f"width-{options.width}-{entry.name}"


def measure(entry: Entry, options: argparse.Namespace, pictures: list[Path]) -> dict[str, Any]:
    """Train and judge, or read what was found before."""
    run = folder(entry, options)
    result = run / RESULT_NAME
    if not result.exists():
        config = entry.config(options.width)
        data = load_pictures(
            options.pictures / "clic2025",
            patch_size=config.patch_size,
            scales=config.scales,
            shot_noise_range=config.shot_noise_range,
        )
        checkpoint = load_checkpoint(train(config, data, run, resume=True, device=torch.device(options.device)))
        if checkpoint.step < entry.steps:
            raise SystemExit(f"{entry.name} was stopped at step {checkpoint.step}; the same command goes on")
        seconds = read_log(run / LOG_NAME)[-1]["seconds"]
        found = {"seconds": seconds, "levels": judge(entry, run, pictures)}
        result.write_text(json.dumps({**dataclasses.asdict(entry), **found}, indent=2) + "\n", encoding="utf-8")
    return {"entry": entry, **json.loads(result.read_text(encoding="utf-8"))}


def twin(results: list[dict[str, Any]], entry: Entry) -> dict[str, Any] | None:
    """The supervised training of the same content and length."""
    wanted = Entry(content=entry.content, objective="supervised", steps=entry.steps)
    return next((result for result in results if result["entry"] == wanted), None)


def gaps(results: list[dict[str, Any]], result: dict[str, Any]) -> list[float]:
    """Decibels below supervised training, per level."""
    best = twin(results, result["entry"])
    if best is None:
        return []
    return [best["levels"][f"{level:g}"]["denoised"] - result["levels"][f"{level:g}"]["denoised"] for level in LEVELS]


def floors(results: list[dict[str, Any]], result: dict[str, Any]) -> str:
    """The gap that the neighbours' difference predicts, per level; empty for other methods."""
    entry, best = result["entry"], twin(results, result["entry"])
    if entry.objective != "neighbor2neighbor" or best is None:
        return ""
    rows = (best["levels"][f"{level:g}"] for level in LEVELS)
    floor = f"floor {entry.options['gamma']:g}"
    return " / ".join(f"{row['denoised'] - row[floor]:.2f}" for row in rows)


def print_tables(results: list[dict[str, Any]]) -> None:
    """One Markdown table a kind of content."""
    for content in CONTENTS:
        rows = [result for result in results if result["entry"].content == content]
        if not rows:
            continue
        noisy = [rows[0]["levels"][f"{level:g}"]["noisy"] for level in LEVELS]
        print(f"\n{content}\n")
        print("| method | steps | " + " | ".join(f"shot {level:g}" for level in LEVELS) + " | predicted gaps | s |")
        print("|---|---|" + "---|" * len(LEVELS) + "---|---|")
        print("| (noisy input) | | " + " | ".join(f"{value:.2f}" for value in noisy) + " | | |")
        for result in rows:
            entry = result["entry"]
            values = [result["levels"][f"{level:g}"]["denoised"] for level in LEVELS]
            cells = [f"{value:.2f}" for value in values]
            if entry.objective != "supervised" and gaps(results, result):
                cells = [f"{cell} (−{gap:.2f})" for cell, gap in zip(cells, gaps(results, result), strict=True)]
                cells = [cell.replace("−-", "+") for cell in cells]
            line = f"| {entry.label} | {entry.steps} | {' | '.join(cells)} | {floors(results, result)} "
            print(f"{line}| {result['seconds']:.0f} |")


def draw(results: list[dict[str, Any]], steps: int, path: Path) -> None:
    """Gaps over noise level and over steps, as an SVG."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained", sharey=True)
    for axis, content in zip(axes, ("sensor-like", "sharp"), strict=False):
        for result in results:
            entry = result["entry"]
            if entry.content == content and entry.steps == steps and entry.objective != "supervised":
                axis.plot(LEVELS, gaps(results, result), marker="o", label=entry.label)
        axis.set(title=f"{content} pictures, {steps} steps", xscale="log", xlabel="shot noise")
        axis.legend(fontsize=7)
    by_steps = [r for r in results if r["entry"].options == {"gamma": 2.0} and r["entry"].content == "sensor-like"]
    by_steps.sort(key=lambda result: result["entry"].steps)
    for index, level in enumerate(LEVELS):
        points = [(r["entry"].steps, gaps(results, r)[index]) for r in by_steps if gaps(results, r)]
        axes[2].plot(*zip(*points, strict=True), marker="o", label=f"shot {level:g}")
    axes[2].set(title="sensor-like pictures, γ = 2", xscale="log", xlabel="steps")
    axes[2].legend(fontsize=7)
    axes[0].set(ylabel="decibels below supervised training")
    ticks = [LEVELS, LEVELS, [result["entry"].steps for result in by_steps]]
    for axis, values in zip(axes, ticks, strict=True):
        axis.minorticks_off()
        axis.set_xticks(values, [f"{value:g}" for value in values])
        axis.grid(alpha=0.3)
    plt.rcParams.update({"svg.hashsalt": "photosite", "svg.fonttype": "none"})
    figure.savefig(path, metadata={"Date": None})


def main() -> int:
    """Train what is missing, print the tables, draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=Path, default=SHARED, help="folder with clic2025, kodak and cid22 inside")
    parser.add_argument("--runs", type=Path, default=Path("runs/methods"), help="folder of the trainings")
    parser.add_argument("--steps", type=int, default=2000, help="of the longest training")
    parser.add_argument("--width", type=int, default=16, help="the U-Net's channels; the shipped models have 48")
    parser.add_argument("--every", type=int, default=3, help="judge on every n-th held-out picture")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--only", default="", metavar="TEXT", help="only trainings whose folders' names hold this")
    parser.add_argument("--finished", action="store_true", help="train nothing, show what was trained before")
    parser.add_argument("--figure", type=Path, help="draw the curves into this SVG file")
    options = parser.parse_args()
    pictures = held_out_pictures(options.pictures)[:: options.every]
    print(f"width {options.width}, judged on {len(pictures)} pictures, torch {torch.__version__}")
    results = []
    for entry in plan(options.steps):
        if options.only not in entry.name:
            continue
        if options.finished and not (folder(entry, options) / RESULT_NAME).exists():
            continue
        results.append(measure(entry, options, pictures))
        print(f"{entry.name}: {results[-1]['seconds']:.0f} s", file=sys.stderr)
    print_tables(results)
    if options.figure:
        draw(results, options.steps, options.figure)
    return 0


if __name__ == "__main__":
    sys.exit(main())
