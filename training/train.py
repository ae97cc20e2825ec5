"""`python -m training.train`: train a model by preset.

python -m training.train --preset supervised-synthetic --data PICTURES --run runs/supervised [--resume] [--steps N]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from training.datasets.synthetic import load_pictures
from training.errors import PhotositeError
from training.loop import train
from training.presets import PRESETS, preset

if TYPE_CHECKING:
    from training.config import TrainingConfig


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        config = preset(options.preset)
        given = {name: getattr(options, name) for name in ("steps", "batch_size", "seed")}
        config = dataclasses.replace(config, **{name: value for name, value in given.items() if value is not None})
        print(json.dumps(config.to_json(), indent=2))
        if not options.dry_run:
            _train(config, options)
    except PhotositeError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 2
    return 0


def _train(config: TrainingConfig, options: argparse.Namespace) -> None:
    data = load_pictures(
        options.data, patch_size=config.patch_size, scales=config.scales, shot_noise_range=config.shot_noise_range
    )
    print(f"{len(data.pictures)} pictures from {options.data}", file=sys.stderr)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    path = train(config, data, options.run, resume=options.resume, device=device)
    print(f"checkpoint: {path}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.train", description="Train a denoising model by preset.")
    parser.add_argument("--preset", required=True, choices=sorted(PRESETS), help="which training")
    parser.add_argument("--data", required=True, type=Path, help="folder of pictures (PNG, JPEG, TIFF)")
    parser.add_argument("--run", required=True, type=Path, help="folder for the checkpoint and the log")
    parser.add_argument("--resume", action="store_true", help="go on from the run's checkpoint")
    parser.add_argument("--dry-run", action="store_true", help="print the configuration and stop")
    parser.add_argument("--steps", type=int, help="steps instead of the preset's")
    parser.add_argument("--batch-size", type=int, help="patches a step instead of the preset's")
    parser.add_argument("--seed", type=int, help="seed instead of the preset's")
    return parser


if __name__ == "__main__":
    sys.exit(main())
