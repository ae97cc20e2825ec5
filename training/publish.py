"""Publish a training run as a model: weights, and a manifest whose figures are measured here.

What `photosite models publish` does.

In the flow: checkpoint → **registry** → served. Importing this module imports no torch.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import platform
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from training.errors import ConfigError
from training.manifest import Manifest
from training.raw.cells import CELLS
from training.registry import (
    MANIFEST_NAME,
    ModelRef,
    Registry,
    check_name,
    check_new,
    new_version,
    require_bayer,
    set_default,
)
from training.run.journal import LOG_NAME

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from training.checkpoint import Checkpoint
    from training.datasets.sidd_blocks import BlockSet
    from training.engines.base import Engine
    from training.engines.torch import TorchEngine
    from training.evaluate import Score

SEAM_PICTURES = 2
RATIO_LEVELS = (1e-5, 2e-5, 2e-4, 5e-4, 2e-3, 8e-3, 1.2e-2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Publication:
    """What is said of a model by whoever publishes it, and what it is measured on."""

    name: str
    version: str
    """It must be new."""
    description: str
    """One sentence."""
    training_data: str
    """What it learned from, and the licence of that."""
    pictures: tuple[Path, ...] = ()
    """Photographs to judge on, none of them trained on: quality by noise level, and the halo that is served."""
    dataset: Path | None = None
    """Folder of SIDD's validation blocks to judge on."""
    known: dict[str, Any] = field(default_factory=dict)
    """Fields of the manifest that are known without measuring; what they say is added to what it says there."""
    unfinished_dir: Path | None = None
    """See `new_version`."""


def publish(run: Path, registry: Path, wanted: Publication) -> ModelRef:
    """Measure a run's averaged weights and put them into a registry.

    Without pictures the served halo is the receptive field, and the manifest has no error ratios: a file's noise
    profile is then left as it was.

    Args:
        run: The run's folder, with its checkpoint.
        registry: The registry's folder.
        wanted: What to publish it as.

    Raises:
        ConfigError: The version exists, nothing can be measured on what was named for that, or the run's method needs
            more than its network to denoise.
        ModelError: The checkpoint cannot be read.
    """
    with new_version(registry, wanted.name, wanted.version, wanted.unfinished_dir) as reference:
        manifest = _with_known(_first_manifest(run, reference, wanted), wanted.known)
        _write_manifest(reference, manifest)
        _write_manifest(reference, _measure(reference, manifest, wanted))
        if (run / LOG_NAME).exists():
            shutil.copyfile(run / LOG_NAME, reference.path / LOG_NAME)
    return Registry([registry]).resolve(str(reference))


def _first_manifest(run: Path, reference: ModelRef, wanted: Publication) -> Manifest:
    """Write the weights, and say of the model what is known without running it."""
    from safetensors.torch import save_file  # noqa: PLC0415  (torch, which `--help` does not need)

    from training.networks import build_network  # noqa: PLC0415
    from training.networks.noise_aware import input_channels, local_reach, plane_groups  # noqa: PLC0415
    from training.objectives import build_objective  # noqa: PLC0415

    checkpoint = _final_checkpoint(run)
    config = checkpoint.config
    objective = build_objective(config["objective"], **config["objective_options"])
    if config.get("dataset") == "srgb" or not objective.direct:
        raise ConfigError(f"run: {run} is of a comparison; what {config['objective']} made there cannot be served")
    sensor = config.get("sensor", "bayer")
    channels, groups = CELLS[sensor].channels, plane_groups(sensor)
    inputs = input_channels(config["input_normalisation"], channels, groups)
    options = {"in_channels": inputs, "out_channels": channels, **config["network_options"]}
    network = build_network(config["network"], **options)
    save_file(checkpoint.average, reference.weights)
    frame = local_reach(groups) if config["input_normalisation"] != "none" else 0
    reach = network.receptive_field + frame
    return Manifest(
        name=reference.name,
        version=reference.version,
        description=wanted.description,
        network=config["network"],
        network_options=options,
        input_normalisation=config["input_normalisation"],
        sensor=sensor,
        stride=network.stride,
        receptive_field=reach,
        halo=reach,
        weights_sha256=hashlib.sha256(reference.weights.read_bytes()).hexdigest(),
        objective=config["objective"],
        training_data=wanted.training_data,
        noise_range=checkpoint.progress.get("noise_range") or {"shot_noise": list(config["shot_noise_range"])},
        training={
            "config": config,
            "steps": checkpoint.step,
            "seconds": checkpoint.progress.get("seconds"),
            **checkpoint.versions,
            "published": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        },
        parent=config.get("base", ""),
    )


def _with_known(manifest: Manifest, known: dict[str, Any]) -> Manifest:
    """The manifest with these fields; dictionaries are joined."""
    joined: dict[str, Any] = {
        name: {**getattr(manifest, name), **value} if isinstance(value, dict) else value
        for name, value in known.items()
    }
    return dataclasses.replace(manifest, **joined)


def _final_checkpoint(run: Path) -> Checkpoint:
    """The best of a run that watched for it, else its last."""
    from training.checkpoint import load_checkpoint  # noqa: PLC0415
    from training.loop import BEST_NAME, CHECKPOINT_NAME  # noqa: PLC0415

    best = run / BEST_NAME
    return load_checkpoint(best if best.exists() else run / CHECKPOINT_NAME)


def _measure(reference: ModelRef, manifest: Manifest, wanted: Publication) -> Manifest:
    """Measure in float32 what the manifest says about quality, halo and golden tile."""
    from training.engines.torch import TorchEngine  # noqa: PLC0415
    from training.golden import make_golden_tile  # noqa: PLC0415

    blocks = _validation_blocks(wanted.dataset) if wanted.dataset else None  # may be wrong: before minutes of measuring
    engine = TorchEngine(reference, "auto", "float32")
    if wanted.pictures:
        manifest = _measure_on_pictures(engine, manifest, wanted.pictures)
    if wanted.dataset and blocks:
        found = _sidd(engine, wanted.dataset, blocks)
        manifest = dataclasses.replace(manifest, metrics={**manifest.metrics, "sidd": found})
    return dataclasses.replace(manifest, golden_tile=make_golden_tile(engine))


def _measure_on_pictures(engine: TorchEngine, manifest: Manifest, pictures: Sequence[Path]) -> Manifest:
    """Halo, error ratios and decibels by noise level."""
    from training.datasets.held_out_raws import clean_planes, prior_level  # noqa: PLC0415
    from training.evaluate import scores, table  # noqa: PLC0415
    from training.seams import served_halo  # noqa: PLC0415

    largest = sorted((clean_planes(path, manifest.sensor) for path in pictures), key=np.size)[-SEAM_PICTURES:]
    halo = served_halo(engine, largest)
    engine.manifest = dataclasses.replace(manifest, halo=halo)
    shown = tqdm(pictures, desc="measuring", unit="picture", disable=None)
    results = list(scores(engine, shown, [prior_level(shot) for shot in RATIO_LEVELS]))
    print(table(results))
    return dataclasses.replace(manifest, halo=halo, error_ratios=_ratios(results), metrics=_metrics(results))


def _validation_blocks(dataset: Path) -> BlockSet:
    """The validation blocks of a folder.

    Raises:
        ConfigError: There are none.
    """
    from training.datasets.sidd_blocks import open_blocks  # noqa: PLC0415

    for blocks in open_blocks(dataset):
        if blocks.clean is not None:
            return blocks
    raise ConfigError(f"dataset: {dataset}: expected validation blocks, whose clean ones are known, found none")


def _sidd(engine: Engine, dataset: Path, blocks: BlockSet) -> dict[str, Any]:
    """Means over SIDD's validation blocks, as files are served, and per camera and ISO."""
    from training.validate import ValidateOptions, validate  # noqa: PLC0415
    from training.validation_report import describe, text_table  # noqa: PLC0415

    report = describe(engine, dataset, ValidateOptions(), (validate(engine, blocks, ValidateOptions()),))
    print(text_table(report))
    found = report["validation"]
    kept = {name: found[name] for name in ("images", "blocks_per_image", "block_size", "mean", "groups")}
    return {**kept, **{name: report[name] for name in ("packing", "convention", "hardware", "measured")}}


def _ratios(results: list[Score]) -> list[list[float]]:
    """[shot_noise, mean error ratio] per noise level."""
    return [
        [level, round(float(np.mean([r.error_ratio for r in results if r.level.shot_noise == level])), 4)]
        for level in RATIO_LEVELS
    ]


def _metrics(results: list[Score]) -> dict[str, Any]:
    """Mean decibels per noise level, with how they were measured."""
    rows = {}
    for level in RATIO_LEVELS:
        at = [result for result in results if result.level.shot_noise == level]
        rows[f"{level:g}"] = {
            "input_db": round(float(np.mean([result.noisy.psnr for result in at])), 3),
            "output_db": round(float(np.mean([result.denoised.psnr for result in at])), 3),
        }
    return {
        "psnr_by_shot_noise": rows,
        "pictures": len({result.picture for result in results}),
        "measured": "photosite models publish: blocks of 256×256 of raws of pictures not trained on, range 1, float32",
        "hardware": platform.processor() or platform.machine(),
    }


def _write_manifest(reference: ModelRef, manifest: Manifest) -> None:
    (reference.path / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to a parser, all but where the registry lies."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="folder of the training run")
    parser.add_argument("--name", required=True, help="name of the model")
    parser.add_argument("--version", help="its version, which must be new (default: the next number)")
    parser.add_argument("--description", required=True, help="one sentence about the model")
    parser.add_argument("--training-data", required=True, help="what it learned from, and the licence of that")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="photographs to measure on, not trained on")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="measure on every n-th picture only")
    parser.add_argument("--dataset", type=Path, metavar="DIR", help="SIDD's validation blocks to measure on")
    parser.add_argument("--default", action="store_true", help="make it the registry's default model")


def run(options: argparse.Namespace, folder: Path, known: Registry) -> int:
    """Run the command; returns its exit code.

    Args:
        options: As `add_options` parses them.
        folder: The registry's folder.
        known: All models that can be found by name, those of other folders too: a version is new among them.

    Raises:
        PhotositeError: It cannot be published; or it is, but cannot be the default, which is for Bayer sensors.
    """
    if not (options.pictures or options.dataset):
        raise ConfigError("publish: a model is measured first; name --pictures (photographs) or --dataset (SIDD)")
    if options.every < 1:
        raise ConfigError(f"every: got {options.every}, wanted 1 or more")
    version = options.version or known.next_version(options.name)
    check_name(options.name, version)
    check_new(known, options.name, version)
    wanted = Publication(
        name=options.name,
        version=version,
        description=options.description,
        training_data=options.training_data,
        pictures=_pictures(options.pictures, options.every),
        dataset=options.dataset,
    )
    reference = publish(options.run_folder, folder, wanted)
    print(f"published {reference}")
    if options.default:
        require_bayer(reference.manifest(), "default")
        newest = Registry([*known.folders, folder]).resolve(reference.name)
        set_default(folder, reference.name if newest.version == reference.version else str(reference))
    return 0


def _pictures(folder: Path | None, every: int) -> tuple[Path, ...]:
    from training.datasets.held_out_raws import held_out_pictures  # noqa: PLC0415

    return tuple(held_out_pictures(folder)[::every]) if folder else ()
