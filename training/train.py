"""Train a model by preset: what `photosite train` and `python -m training.train` do.

python -m training.train --preset supervised-synthetic --data PICTURES --run runs/supervised [--resume] [--dry-run]

In the flow: preset and wishes → configuration → sources → **loop**. Importing this module imports no torch.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from training.config import PrecisionName, TrainingConfig
from training.errors import ConfigError, PhotositeError
from training.presets import PRESETS, preset, started_from
from training.raw.bayer import CFA_PATTERNS, parse_cfa_pattern
from training.registry import ModelRef, Registry, default_registry
from training.run.budget import Wishes, apply_wishes

if TYPE_CHECKING:
    from training.checkpoint import Checkpoint
    from training.raw.bayer import CfaPattern

EXIT_USAGE, EXIT_INTERRUPTED = 2, 130
DESCRIPTION = (
    "Train a denoising model. A run can be stopped at any time (Ctrl-C, SIGTERM, even kill -9) and gone on with by "
    "--resume; it ends as if it had never stopped. Without --data, --dry-run tells which data the preset wants."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to a parser."""
    parser.add_argument("--preset", required=True, choices=list(PRESETS), help="which training")
    parser.add_argument("--data", type=Path, metavar="DIR", help="what to learn from: a folder, or a pack of pictures")
    parser.add_argument("--pack", type=Path, metavar="FILE", help="write the folder's pictures as a pack, and stop")
    parser.add_argument("--run", dest="folder", type=Path, metavar="DIR", help="where checkpoint, log and pictures go")
    parser.add_argument("--resume", action="store_true", help="go on from the run's checkpoint")
    parser.add_argument("--dry-run", action="store_true", help="print configuration, steps, memory and time, and stop")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--steps", type=int, metavar="N", help="steps instead of the preset's")
    budget.add_argument("--epochs", type=float, metavar="N", help="epochs instead of the preset's (SIDD)")
    budget.add_argument("--minutes", type=float, metavar="M", help="as many steps as fit, judged by the first few")
    parser.add_argument("--batch-size", type=int, metavar="N", help="patches a step")
    parser.add_argument("--patch-size", type=int, metavar="N", help="height and width of a patch in packed pixels")
    parser.add_argument("--learning-rate", type=float, metavar="LR", help="largest learning rate")
    parser.add_argument("--seed", type=int, metavar="N", help="decides weights, patches and noise")
    parser.add_argument("--base", metavar="NAME[@VERSION]", help="start from a published model's weights, gently")
    parser.add_argument(
        "--cfa",
        dest="cfa_patterns",
        type=parse_cfa,
        action="append",
        metavar="[CAMERA=]PATTERN",
        help="Bayer pattern of a camera of SIDD's (S6=GBRG), or of scenes whose names tell none",
    )
    parser.add_argument("--held-out-share", type=float, metavar="X", help="share of the images to judge on")
    parser.add_argument("--validate-steps", type=int, metavar="N", help="steps between two looks at held-out patches")
    parser.add_argument("--patience", type=int, metavar="N", help="end after so many looks without a better score")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="where to train")
    parser.add_argument("--precision", choices=get_args(PrecisionName), help="of the network's multiplications")
    parser.add_argument("--compile", action="store_const", const=True, help="compile the network first")


def parse_cfa(text: str) -> tuple[str, CfaPattern]:
    """Parse "CAMERA=PATTERN", or "PATTERN" alone.

    >>> parse_cfa("S6=GBRG"), parse_cfa("RGGB")
    (('S6', 'GBRG'), ('', 'RGGB'))
    """
    camera, _, name = text.rpartition("=")
    pattern = parse_cfa_pattern(name)
    if pattern is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not [CAMERA=]PATTERN with one of {', '.join(CFA_PATTERNS)}")
    return camera, pattern


def run(options: argparse.Namespace, registry: Registry) -> int:
    """Run the command; returns its exit code.

    Args:
        options: As `add_options` parses them.
        registry: Where --base is looked up.

    Raises:
        PhotositeError: It cannot be trained.
    """
    if options.pack:
        return _pack(options)
    if not (options.folder or options.dry_run):
        raise ConfigError("run: name a folder for the checkpoint and the log with --run")
    base = registry.resolve(options.base) if options.base else None
    previous = _previous(options)
    config = _configure(options, base, previous)
    if options.dry_run:
        print(json.dumps({**config.to_json(), "plan": _plan(config, options)}, indent=2))
        return 0
    return _train(config, options, None if previous else base)


def _pack(options: argparse.Namespace) -> int:
    """Make one file of the folder that --data names."""
    from training.datasets.pack import pack_pictures  # noqa: PLC0415

    if not (options.data and options.data.is_dir()):
        raise ConfigError("pack: name the folder of photographs with --data")
    count = pack_pictures(options.data, options.pack)
    size = options.pack.stat().st_size / 1e6
    print(f"{options.pack}: {count} photographs to learn from, {size:.1f} MB", file=sys.stderr)
    return 0


def _previous(options: argparse.Namespace) -> Checkpoint | None:
    """The checkpoint that --resume goes on from, None if there is none yet."""
    from training.checkpoint import load_checkpoint  # noqa: PLC0415  (torch, which `--help` does not need)
    from training.loop import CHECKPOINT_NAME  # noqa: PLC0415

    path = options.folder / CHECKPOINT_NAME if options.folder and options.resume else None
    return load_checkpoint(path) if path and path.exists() else None


def _configure(options: argparse.Namespace, base: ModelRef | None, previous: Checkpoint | None) -> TrainingConfig:
    """The configuration of a new run; or that of an old one, if nothing is asked for that it is not.

    Raises:
        ConfigError: Something is.
    """
    names = [field.name for field in dataclasses.fields(Wishes) if field.name != "processes"]
    processes = int(os.environ.get("WORLD_SIZE", "1"))  # torchrun says so
    wanted = {name: getattr(options, name) for name in names}
    if options.cfa_patterns:
        wanted["cfa_patterns"] = dict(options.cfa_patterns)
    wishes = Wishes(processes=processes, **wanted)
    if previous is None:
        config = preset(options.preset)
        return apply_wishes(started_from(config, base) if base else config, wishes)
    made = TrainingConfig.from_json(previous.config)
    asked = dataclasses.replace(apply_wishes(made, wishes), preset=options.preset, base=str(base or made.base))
    other = [name for name, value in asked.to_json().items() if value != made.to_json()[name]]
    if not made.agrees_with(asked, previous.step):
        raise ConfigError(f"resume: {options.folder} was made with another {', '.join(other)}")
    return asked


def _train(config: TrainingConfig, options: argparse.Namespace, base: ModelRef | None) -> int:
    """Open the data, train, and say how it ended."""
    from training.checkpoint import load_checkpoint  # noqa: PLC0415
    from training.loop import check_plan, check_unused, start_from, train  # noqa: PLC0415
    from training.run.distributed import is_first_process, training_device  # noqa: PLC0415
    from training.run.sources import open_sources  # noqa: PLC0415

    device = training_device(options.device)
    check_plan(config, device)
    if is_first_process() and not options.resume:
        check_unused(options.folder)
    sources = open_sources(config, options.data)
    if config.patience and sources.held_out is None:
        raise ConfigError(f"patience: nothing in {options.data} is held out to judge on; try --held-out-share")
    if is_first_process():
        print(f"{options.data}: {sources.summary}", file=sys.stderr)
        if base:
            start_from(base, config, options.folder)
    resume = options.resume or base is not None
    path = train(config, sources.training, options.folder, resume=resume, device=device, held_out=sources.held_out)
    if not is_first_process():
        return 0
    last = load_checkpoint(path)
    if last.progress.get("ended") == "signal":
        print(f"stopped after {last.step} of {last.config['steps']} steps; --resume goes on", file=sys.stderr)
        return EXIT_INTERRUPTED
    if last.progress.get("ended") == "patience":
        best, steps = last.progress["best_step"], last.config["steps"]
        print(f"no better since step {best}: ended after {last.step} of {steps} steps", file=sys.stderr)
    print(f"checkpoint: {path}", file=sys.stderr)
    return 0


def _plan(config: TrainingConfig, options: argparse.Namespace) -> dict[str, Any]:
    """What a dry run says beside the configuration."""
    from training.loop import check_plan  # noqa: PLC0415
    from training.run.distributed import training_device  # noqa: PLC0415
    from training.run.footprint import GIBIBYTE, measure  # noqa: PLC0415
    from training.run.sources import describe_data  # noqa: PLC0415

    try:
        data = describe_data(config, options.data)
    except ConfigError as error:
        data = f"{'unusable' if options.data else 'missing'}: {error.message}"
    device = training_device(options.device)
    check_plan(config, device)
    needs = measure(config, device)
    seconds = needs.seconds_per_patch * config.batch_size
    steps = max(1, int(config.minutes * 60 / seconds)) if config.minutes else config.steps
    patches = steps * config.batch_size * config.processes
    return {
        "data": data,
        "device": device.type,
        "steps": steps,
        "patches": patches,
        "epochs": round(patches / config.patches_per_epoch, 2) if config.patches_per_epoch else None,
        "memory_gib": round(needs.bytes_at(config.batch_size) / GIBIBYTE, 2),
        "seconds_per_step": round(seconds, 4),
        "hours": round(steps * seconds / 3600, 2),
        "estimated": "memory and time from a step on one small patch of noise, drawing of patches not included",
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the command of its own; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=DESCRIPTION)
    add_options(parser)
    parser.add_argument(
        "--registry", type=Path, metavar="DIR", help="folder of models beside the package's, for --base"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        return run(options, default_registry(*filter(None, [options.registry])))
    except PhotositeError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
