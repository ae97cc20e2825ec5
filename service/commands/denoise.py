"""`photosite denoise`: denoise files on this machine, without a server."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from service.commands.models import installed_models
from service.commands.results import FileResult, exit_code, print_failure
from service.errors import StorageUnavailableError
from training.errors import ConfigError, RawError
from training.noise import NoiseModel

if TYPE_CHECKING:
    from training.denoise import DenoiseOptions, DenoiseReport
    from training.engines.base import Engine

DEFAULT_SUFFIX = "-denoised"


def add_parsers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "denoise",
        help="denoise raw files on this machine",
        description="Denoise raw files. The output is the same DNG without the noise; the input is never overwritten, "
        "unless --in-place says so.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="DNG to denoise")
    parser.add_argument("-o", "--output", type=Path, help="output file, or folder (default: beside the input)")
    parser.add_argument("--suffix", help=f"added to the output's name (default: {DEFAULT_SUFFIX} beside the input)")
    parser.add_argument("--in-place", action="store_true", help="replace the input by the output")
    parser.add_argument("--model", metavar="NAME[@VERSION]", help="model to use (default: the registry's default)")
    parser.add_argument(
        "--strength", type=float, default=1.0, help="0 gives the input back, 1 (default) denoises fully"
    )
    parser.add_argument("--noise", type=parse_noise, metavar="SHOT,READ", help="noise model instead of the file's own")
    parser.add_argument(
        "--precision",
        choices=["auto", "keep"],
        default="auto",
        help="auto (default): finer steps where the file's are coarser than the denoised shadows need",
    )
    parser.add_argument("--force", action="store_true", help="denoise files that were denoised before")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="where to run the network")
    parser.add_argument("--json", action="store_true", help="print one JSON object a file")
    parser.set_defaults(run=run)


def parse_noise(text: str) -> NoiseModel:
    """Parse "SHOT,READ", both variances of the normalised signal.

    >>> parse_noise("1e-4,1e-6").shot_noise[0]
    0.0001
    """
    try:
        shot, read = (float(part) for part in text.split(","))
        return NoiseModel.uniform(shot_noise=shot, read_noise=read)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not SHOT,READ, as in 1.5e-4,1e-7") from error


def run(arguments: argparse.Namespace) -> int:
    """Denoise all files; what fails is named, and the rest goes on."""
    targets = [output_path(file, arguments) for file in arguments.files]
    _check_targets(arguments, targets)
    batch = _Batch.prepare(arguments)
    results = []
    for file, target in zip(arguments.files, targets, strict=True):
        results.append(batch.denoise(file, target))
        if arguments.json:
            print(json.dumps(results[-1].to_json()), flush=True)
    return exit_code(results)


def output_path(file: Path, arguments: argparse.Namespace) -> Path:
    """Where the output of a file goes."""
    output: Path | None = arguments.output
    if arguments.in_place:
        return file
    if output is not None and not output.is_dir() and len(arguments.files) == 1 and output.suffix:
        return output
    suffix = arguments.suffix if arguments.suffix is not None else "" if output else DEFAULT_SUFFIX
    return (output or file.parent) / f"{file.stem}{suffix}.dng"


def _check_targets(arguments: argparse.Namespace, targets: list[Path]) -> None:
    """Refuse before the first file what would overwrite an input or another output.

    Raises:
        ConfigError: It would, or the output folder is missing.
    """
    if arguments.in_place and (arguments.output or arguments.suffix):
        raise ConfigError("--in-place: the output is the input; -o and --suffix do not go with it")
    if len({target.resolve() for target in targets}) < len(targets):
        raise ConfigError("-o: several files would be written to the same output; name a folder")
    inputs = {file.resolve() for file in arguments.files}
    for target in targets:
        if target.resolve() in inputs and not arguments.in_place:
            raise ConfigError(f"-o: {target} is an input; --in-place replaces inputs")
        if not target.parent.is_dir():
            raise ConfigError(f"-o: there is no folder {target.parent}")


@dataclass(frozen=True, slots=True)
class _Batch:
    """What all files of a call share."""

    engine: Engine
    options: DenoiseOptions
    quiet: bool
    """Nothing but JSON on stdout."""

    @classmethod
    def prepare(cls, arguments: argparse.Namespace) -> _Batch:
        """Check the options, then load the model."""
        from training.denoise import DenoiseOptions  # noqa: PLC0415  (importing torch takes a second)
        from training.engines import load_engine  # noqa: PLC0415

        options = DenoiseOptions(
            strength=arguments.strength, noise=arguments.noise, precision=arguments.precision, force=arguments.force
        )
        reference = installed_models().resolve(arguments.model)
        return cls(load_engine(reference, arguments.device), options, arguments.json)

    def denoise(self, file: Path, target: Path) -> FileResult:
        """Denoise one file, with a progress bar where somebody watches."""
        from training.denoise import denoise_file  # noqa: PLC0415

        started = time.perf_counter()
        bar: tqdm[Any]
        with tqdm(total=1.0, desc=file.name, disable=None, leave=False, bar_format=_BAR) as bar:
            try:
                report = denoise_file(
                    file, target, engine=self.engine, options=self.options, progress=lambda _, share: _move(bar, share)
                )
            except RawError as error:
                bar.close()
                return print_failure(file, error)
            except OSError as error:  # about the output: an input that cannot be read is a RawError
                bar.close()
                reason = f"{target} cannot be written: {error.strerror or error}"
                return print_failure(file, StorageUnavailableError(reason))
        for warning in report.warnings:
            print(f"photosite: {file}: warning: {warning}", file=sys.stderr)
        if not self.quiet:
            print(_describe(file, target, report, time.perf_counter() - started))
        return FileResult(file, output=target, report=report.to_json())


_BAR = "{desc}: {percentage:3.0f}% |{bar}| {elapsed}<{remaining}"


def _move(bar: tqdm[Any], share: float) -> None:
    bar.update(max(0.0, share - bar.n))


def _describe(file: Path, target: Path, report: DenoiseReport, seconds: float) -> str:
    shot, read = (float(values[0]) for values in (report.noise.shot_noise, report.noise.read_noise))
    return (
        f"{file} → {target}  ({report.megapixels:.1f} MP, {report.model}, "
        f"noise {shot:.3g},{read:.3g} from the {report.noise_source}, {seconds:.1f} s)"
    )
