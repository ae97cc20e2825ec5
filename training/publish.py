"""Publish a training run as a model: weights, and a manifest whose figures are measured here.

python -m training.publish RUN --name NAME --version 1 --registry training/weights --pictures DIR
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import hashlib
import platform
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save_file

from training.checkpoint import load_checkpoint
from training.engines.torch import TorchEngine
from training.errors import ConfigError, PhotositeError
from training.evaluate import clean_planes, held_out_pictures, scores, table
from training.golden import make_golden_tile
from training.journal import LOG_NAME
from training.loop import CHECKPOINT_NAME
from training.manifest import Manifest
from training.networks import build_network
from training.networks.noise_aware import DETAIL_WINDOW, INPUT_CHANNELS
from training.registry import MANIFEST_NAME, ModelRef, set_default
from training.seams import served_halo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.evaluate import Score

SEAM_PICTURES = 2
RATIO_LEVELS = (1e-5, 2e-5, 2e-4, 5e-4, 2e-3, 8e-3, 1.2e-2)


def publish(
    run: Path, registry: Path, pictures: list[Path], *, name: str, version: str, description: str, training_data: str
) -> ModelRef:
    """Measure a run's averaged weights and put them into a registry.

    Args:
        run: The run's folder, with its checkpoint.
        registry: The registry's folder; the version must not exist in it yet.
        pictures: Pictures to judge on, none of them trained on.
        name: The model's name.
        version: Its version.
        description: One sentence about it.
        training_data: What it learned from, and the licence of that.

    Raises:
        ConfigError: The version exists.
        ModelError: The checkpoint cannot be read.
    """
    target = registry / name / version
    if target.exists():
        raise ConfigError(f"version: {name}@{version} exists, and versions never change")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        reference = ModelRef(name, version, Path(folder) / "model")
        reference.path.mkdir()
        manifest = _first_manifest(run, reference, description, training_data)
        _write_manifest(reference, manifest)
        _write_manifest(reference, _measure(reference, manifest, pictures))
        shutil.copyfile(run / LOG_NAME, reference.path / LOG_NAME)
        reference.path.rename(target)
    return dataclasses.replace(reference, path=target)


def _first_manifest(run: Path, reference: ModelRef, description: str, training_data: str) -> Manifest:
    """Write the weights, and say of the model what is known without running it."""
    checkpoint = load_checkpoint(run / CHECKPOINT_NAME)
    config = checkpoint.config
    options = {"in_channels": INPUT_CHANNELS[config["input_normalisation"]], **config["network_options"]}
    network = build_network(config["network"], **options)
    save_file(checkpoint.average, reference.weights)
    reference.weights.chmod(0o644)  # safetensors makes it private; services run as other users
    shot = config["shot_noise_range"]
    return Manifest(
        name=reference.name,
        version=reference.version,
        description=description,
        network=config["network"],
        network_options=options,
        input_normalisation=config["input_normalisation"],
        stride=network.stride,
        receptive_field=network.receptive_field + DETAIL_WINDOW // 2,
        halo=network.receptive_field + DETAIL_WINDOW // 2,
        weights_sha256=hashlib.sha256(reference.weights.read_bytes()).hexdigest(),
        objective=config["objective"],
        training_data=training_data,
        noise_range={"shot_noise": list(shot)},
        training={
            "config": config,
            "steps": checkpoint.step,
            "torch": torch.__version__,
            "published": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        },
    )


def _measure(reference: ModelRef, manifest: Manifest, pictures: Sequence[Path]) -> Manifest:
    """Measure in float32 what the manifest says about quality, halo and golden tile."""
    engine = TorchEngine(reference, "auto", "float32")
    largest = sorted(map(clean_planes, pictures), key=np.size)[-SEAM_PICTURES:]
    halo = served_halo(engine, largest)
    engine.manifest = dataclasses.replace(manifest, halo=halo)
    results = list(scores(engine, list(pictures), RATIO_LEVELS))
    print(table(results))
    return dataclasses.replace(
        manifest,
        halo=halo,
        error_ratios=_ratios(results),
        metrics=_metrics(results),
        golden_tile=make_golden_tile(engine),
    )


def _ratios(results: list[Score]) -> list[list[float]]:
    """[shot_noise, mean error ratio] per noise level."""
    return [
        [level, round(float(np.mean([r.error_ratio for r in results if r.shot_noise == level])), 4)]
        for level in RATIO_LEVELS
    ]


def _metrics(results: list[Score]) -> dict[str, Any]:
    """Mean decibels per noise level, with how they were measured."""
    rows = {}
    for level in RATIO_LEVELS:
        at = [result for result in results if result.shot_noise == level]
        rows[f"{level:g}"] = {
            "input_db": round(float(np.mean([result.noisy for result in at])), 3),
            "output_db": round(float(np.mean([result.denoised for result in at])), 3),
        }
    return {
        "psnr_by_shot_noise": rows,
        "pictures": len({result.picture for result in results}),
        "measured": "python -m training.publish: synthetic raws of pictures not trained on, range 1, float32",
        "hardware": platform.processor() or platform.machine(),
    }


def _write_manifest(reference: ModelRef, manifest: Manifest) -> None:
    (reference.path / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.publish", description="Publish a run as a model.")
    parser.add_argument("run", type=Path, help="folder of the training run")
    parser.add_argument("--name", required=True, help="name of the model")
    parser.add_argument("--version", required=True, help="its version, which must be new")
    parser.add_argument("--registry", required=True, type=Path, help="folder of the registry")
    parser.add_argument("--pictures", required=True, type=Path, help="folder of pictures to judge on")
    parser.add_argument("--every", type=int, default=1, help="judge on every n-th picture only")
    parser.add_argument("--description", required=True, help="one sentence about the model")
    parser.add_argument("--training-data", required=True, help="what it learned from, and the licence of that")
    parser.add_argument("--default", action="store_true", help="make it the registry's default model")
    options = parser.parse_args(arguments)
    try:
        reference = publish(
            options.run,
            options.registry,
            held_out_pictures(options.pictures)[:: options.every],
            name=options.name,
            version=options.version,
            description=options.description,
            training_data=options.training_data,
        )
        if options.default:
            set_default(options.registry, reference.name)
    except PhotositeError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 2
    print(f"published {reference}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
