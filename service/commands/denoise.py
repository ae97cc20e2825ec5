"""`photosite denoise`: denoise files on this machine, or have a server do it (`remote.py`)."""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from tqdm import tqdm

from service.commands.batch import (
    DEFAULT_SUFFIX,
    Pace,
    check_replaceable,
    in_flight,
    plan_batch,
    plan_burst,
    write_sidecar,
)
from service.commands.models import installed_models
from service.commands.results import FileResult, exit_code, print_failure
from service.errors import InvalidRequestError, ServerUnreachableError, StorageUnavailableError
from training.errors import ConfigError, ModelError, PhotositeError
from training.noise import NoiseModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from service.commands.batch import BatchItem
    from service.schemas import DenoiseParameters
    from service.settings import Settings
    from training.denoise import DenoiseOptions, Progress
    from training.engines.base import Engine
    from training.output import OutputOptions
    from training.raw.cells import SensorKind

    Denoise = Callable[[BatchItem, Progress], dict[str, Any]]
    """Denoises a file, or a burst, into another; gives the report. Wherever it is done, it raises the same."""

SHOWN_STAGES = {
    "upload": "upload",
    "queued": "waiting",
    "load": "loading the model",
    "merge": "merging",
    "network": "denoising",
    "download": "download",
}
"""Stages that a progress bar names; the others are short."""
FILES_AT_ONCE = {"cpu": 1, "cuda": 4}
"""While the network works on one file, others are read and written: beside a card both take longer than the network, on
a processor they take little, and each file its memory."""
_FINAL_ERRORS = (ConfigError, ModelError, InvalidRequestError, ServerUnreachableError)
"""What is no single file's fault: the next one would fail the same way."""


def add_parsers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "denoise",
        help="denoise raw files, on this machine or on a server",
        description="Denoise raw files. The output is the same DNG without the noise, or a DNG made of another maker's "
        "raw; the input is never overwritten, unless --in-place says so.",
    )
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="raw to denoise, or a folder: all raws in it, at any depth"
    )
    parser.add_argument(
        "--burst",
        action="store_true",
        help="the files are frames of one static scene: merge them onto the first one, and denoise that",
    )
    parser.add_argument("-o", "--output", type=Path, help="output file, or folder (default: beside the input)")
    parser.add_argument(
        "--format",
        choices=["dng", "tiff", "npy"],
        default="dng",
        help="dng (default); tiff: the 16-bit mosaic with its levels in tags; npy: the mosaic alone",
    )
    parser.add_argument(
        "--preview",
        choices=["keep", "render", "none"],
        default="keep",
        help="the camera's preview (default), one made of the denoised mosaic, or none",
    )
    parser.add_argument("--strip-gps", action="store_true", help="take out where it was taken (needs exiftool)")
    parser.add_argument("--sidecar", action="store_true", help="write OUTPUT.json, which says what was done")
    parser.add_argument("--resume", action="store_true", help="skip what was denoised before and has not changed since")
    parser.add_argument("--suffix", help=f"added to the output's name (default: {DEFAULT_SUFFIX} beside the input)")
    parser.add_argument("--in-place", action="store_true", help="replace the input by the output")
    parser.add_argument(
        "--model",
        metavar="NAME[@VERSION]",
        help="model to use (default: the registry's; for X-Trans and monochrome sensors the one for these)",
    )
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
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], help="where to run the network (default: auto)")
    parser.add_argument(
        "--at-once",
        type=parse_count,
        metavar="N",
        help="files under way at a time, each of which takes its memory (default: 1, on a GPU 4)",
    )
    parser.add_argument(
        "--server", metavar="URL", help="let this service do it (PHOTOSITE_SERVER); '' for this machine all the same"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a file")
    parser.set_defaults(run=run)


def parse_count(text: str) -> int:
    """Parse a number of at least 1.

    >>> parse_count("2")
    2
    """
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 1")
    return int(text)


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


class Worker(NamedTuple):
    """Whoever does the work."""

    denoise: Denoise
    at_once: int = 1
    """Files that are under way at a time."""


def run(arguments: argparse.Namespace) -> int:
    """Denoise all files; what fails is named, and the rest goes on."""
    items = [plan_burst(arguments)] if arguments.burst else plan_batch(arguments)
    pace, results, stopping = Pace(len(items)), [], Event()
    with _prepare(arguments) as worker:

        def work(number: int, item: BatchItem) -> FileResult:
            if arguments.resume and item.is_done:
                return FileResult(item.file, output=item.target, skipped=True)
            with _Bar(f"{pace.place(number)}{item.file.name}", stopping) as bar:
                return _denoise(worker.denoise, item, arguments, bar)

        for result in in_flight(work, items, worker.at_once, stopping):
            pace.count(result)
            results.append(result)
            with tqdm.external_write_mode():  # takes the bars of the next files away meanwhile
                _tell(result, as_json=arguments.json)
    if pace.is_batch:
        print(f"photosite: {pace.summary()}", file=sys.stderr)
    return exit_code(results)


def _prepare(arguments: argparse.Namespace) -> AbstractContextManager[Worker]:
    """Check the options, and get ready whoever is to do the work."""
    from service.settings import load_settings  # noqa: PLC0415  (pydantic, which `--help` does not need)
    from training.denoise import DenoiseOptions  # noqa: PLC0415
    from training.output import OutputOptions  # noqa: PLC0415
    from training.raw.metadata import exiftool_is_there  # noqa: PLC0415

    settings = load_settings(server=arguments.server)
    options = DenoiseOptions(
        strength=arguments.strength, noise=arguments.noise, precision=arguments.precision, force=arguments.force
    )
    output = OutputOptions(format=arguments.format, preview=arguments.preview, strip_gps=arguments.strip_gps)
    if output.strip_gps and not exiftool_is_there():
        raise ConfigError("--strip-gps: exiftool does it, which is not installed")
    if not settings.server:
        return _here(arguments, options, output)
    if arguments.burst:
        raise ConfigError("--burst: it is done on this machine; it does not go with --server")
    if output != OutputOptions(preview=output.preview):
        raise ConfigError("--server: it gives DNGs; --format and --strip-gps do not go with it")
    if arguments.at_once:
        raise ConfigError("--at-once: files go to a server one by one; it does not go with --server")
    if arguments.device:
        raise ConfigError("--device: where the network runs is up to the server; it does not go with --server")
    from service.commands.remote import request_parameters  # noqa: PLC0415

    return _there(settings, request_parameters(arguments.model, options, output.preview))


@contextmanager
def _there(settings: Settings, parameters: DenoiseParameters) -> Iterator[Worker]:
    """Have a server do it."""
    from service.commands.remote import denoise_remotely  # noqa: PLC0415

    with denoise_remotely(settings, parameters) as denoise:
        yield Worker(denoise)


@contextmanager
def _here(arguments: argparse.Namespace, options: DenoiseOptions, output: OutputOptions) -> Iterator[Worker]:
    """Denoise in this process: loads a model when the first file needs it, so that it fits that file's sensor."""
    from training.burst.denoise import denoise_burst  # noqa: PLC0415
    from training.denoise import denoise_file  # noqa: PLC0415
    from training.engines import load_engine  # noqa: PLC0415  (importing torch takes a second)
    from training.engines.torch import choose_device  # noqa: PLC0415

    models, loading = installed_models(), Lock()
    device = choose_device(arguments.device or "auto")
    if arguments.model:
        models.resolve(arguments.model)
    load = cache(lambda reference: load_engine(reference, device))

    def engine_for(sensor: SensorKind) -> Engine:
        with loading:
            return load(models.resolve_for(sensor, arguments.model))

    how: dict[str, Any] = {"engine": engine_for, "options": options, "output": output}

    def denoise(item: BatchItem, progress: Progress) -> dict[str, Any]:
        if item.frames:
            return denoise_burst(item.frames, item.target, progress=progress, **how).to_json()
        return denoise_file(item.file, item.target, progress=progress, **how).to_json()

    yield Worker(denoise, arguments.at_once or FILES_AT_ONCE[device])


def _denoise(denoise: Denoise, item: BatchItem, arguments: argparse.Namespace, bar: _Bar) -> FileResult:
    """Denoise one file, with a progress bar where somebody watches."""
    file, target, started = item.file, item.target, time.perf_counter()
    try:
        check_replaceable(item, arguments)
        target.parent.mkdir(parents=True, exist_ok=True)
        report = denoise(item, bar.move)
        if arguments.sidecar:
            write_sidecar(file, target, report)
    except _FINAL_ERRORS:
        raise
    except PhotositeError as error:
        return FileResult(file, error=error)
    except OSError as error:  # about the output: an input that cannot be read is a RawError
        reason = f"{target} cannot be written: {error.strerror or error}"
        return FileResult(file, error=StorageUnavailableError(reason))
    return FileResult(file, output=target, report=report, seconds=time.perf_counter() - started)


def _tell(result: FileResult, *, as_json: bool) -> None:
    """Print how a file ended."""
    if result.error:
        print_failure(result.file, result.error)
    for warning in result.report.get("warnings", ()):
        print(f"photosite: {result.file}: warning: {warning}", file=sys.stderr)
    if as_json:
        print(json.dumps(result.to_json()), flush=True)
    elif result.report:
        print(_describe(result))


class _Bar:
    """The progress of one file, where stderr is a terminal.

    Args:
        name: Of the file.
        stopping: When it is set, the next move raises, which ends the work.
    """

    def __init__(self, name: str, stopping: Event) -> None:
        self._name = self._shown = name
        self._stopping = stopping
        form = "{desc}: {percentage:3.0f}% |{bar}| {elapsed}<{remaining}"
        self._bar: tqdm[Any] = tqdm(total=1.0, desc=self._name, disable=None, leave=False, bar_format=form)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self._bar.close()

    def move(self, stage: str, share: float) -> None:
        """Show the share done of a stage; one that has a name begins at zero."""
        if self._stopping.is_set():
            raise KeyboardInterrupt
        shown = f"{self._name} ({SHOWN_STAGES[stage]})" if stage in SHOWN_STAGES else self._shown
        if shown != self._shown:
            self._shown = shown
            self._bar.reset()
            self._bar.set_description(shown)
        self._bar.update(max(0.0, share - self._bar.n))


def _describe(result: FileResult) -> str:
    report = result.report
    shot, read = (float(report["noise"][name][0]) for name in ("shot_noise", "read_noise"))
    frames = f"{len(report['frames'])} frames, " if "frames" in report else ""
    return (
        f"{result.file} → {result.output}  ({frames}{report['megapixels']:.1f} MP, {report['model']}, "
        f"noise {shot:.3g},{read:.3g} from the {report['noise_source']}, {result.seconds:.1f} s)"
    )
