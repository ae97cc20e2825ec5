"""`photosite validate`: judge a model on SIDD's blocks, and write the benchmark's submission files."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from service.commands.denoise import parse_noise
from service.commands.models import installed_models
from training.errors import ConfigError
from training.train import parse_cfa

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from training.datasets.sidd_blocks import BlockSet
    from training.engines.base import Engine
    from training.validate import ValidateOptions, Validation


def add_parsers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "validate",
        help="judge a model on SIDD's blocks",
        description="PSNR and SSIM over SIDD's validation blocks as its benchmark counts them, per camera and ISO; "
        "with --report also a page, a JSON file, the worst blocks, and the submission files for benchmark blocks. The "
        "data set `mini` ships with Photosite: it says in half a minute whether a model works.",
    )
    parser.add_argument("--model", metavar="NAME[@VERSION]", help="model to judge (default: the registry's default)")
    parser.add_argument(
        "--dataset",
        required=True,
        metavar="PATH",
        help="folder with ValidationNoisyBlocksRaw.mat and ValidationGtBlocksRaw.mat, or BenchmarkNoisyBlocksRaw.mat; "
        "or mini, a small synthetic set that needs no download",
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        help="write the report to this folder, and for SIDD's benchmark blocks the submission files",
    )
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where decoded blocks are kept (default: PATH)")
    parser.add_argument(
        "--noise", type=parse_noise, metavar="SHOT,READ", help="noise model of all images (default: estimated for each)"
    )
    parser.add_argument(
        "--packing",
        choices=["served", "stored"],
        default="served",
        help="served (default): unify the Bayer phase and keep the brightness as `denoise` does; stored: neither, as "
        "published methods",
    )
    parser.add_argument(
        "--cfa",
        type=parse_cfa,
        action="append",
        default=[],
        metavar="[CAMERA=]PATTERN",
        help="Bayer pattern of a camera (S6=GBRG), or of images whose names tell none",
    )
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="where to run the network")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check the data set, then load the model and judge it."""
    from training.datasets.validation_sets import open_validation  # noqa: PLC0415  (scipy and h5py, which `--help` does not need)
    from training.engines import load_engine  # noqa: PLC0415  (importing torch takes a second)
    from training.validate import ValidateOptions  # noqa: PLC0415
    from training.validation_report import describe, text_table, write_report  # noqa: PLC0415

    reference = installed_models().resolve(arguments.model)
    options = ValidateOptions(noise=arguments.noise, packing=arguments.packing)
    sets = open_validation(arguments.dataset, cache=arguments.cache, patterns=dict(arguments.cfa))
    engine = load_engine(reference, arguments.device)
    results = tuple(_judge(engine, blocks, options, arguments.report) for blocks in sets)
    report = describe(engine, arguments.dataset, options, results)
    if arguments.report:
        with _writing(arguments.report):
            write_report(arguments.report, report, results)
    print(json.dumps(report) if arguments.json else text_table(report))
    if arguments.report:
        print(f"report: {arguments.report / 'report.html'}", file=sys.stderr)
        if all(blocks.clean is not None for blocks in sets):
            print("no submission files: they are made of SIDD's BenchmarkNoisyBlocksRaw.mat alone", file=sys.stderr)
    return 0


def _judge(engine: Engine, blocks: BlockSet, options: ValidateOptions, folder: Path | None) -> Validation:
    """Judge a model on one block set; the benchmark's is also written for submission."""
    from training.submission import Submission  # noqa: PLC0415
    from training.validate import validate  # noqa: PLC0415

    if blocks.clean is not None or folder is None:
        return validate(engine, blocks, options)
    submission = Submission(*blocks.shape[:2])
    result = validate(engine, blocks, options, submission.add)
    with _writing(folder):
        submission.write(folder, engine.manifest.reference, result.seconds_per_benchmark_megapixel)
    return result


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Make the folder, and name it in what goes wrong with writing into it.

    Raises:
        ConfigError: It cannot be written to, or the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise ConfigError(f"--report: {folder} cannot be written to: {error.strerror or error}") from error
