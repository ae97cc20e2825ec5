"""Which files a batch is of, where their results go, how far it is: folders, names, what is done already, the summary.

In the flow: arguments → **plan_batch** → denoise, a few at once (**in_flight**) → summary. Memory is that of those few.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from training.errors import ConfigError, UnsupportedRawError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from threading import Event

    from service.commands.results import FileResult

DEFAULT_SUFFIX = "-denoised"
FORMAT_SUFFIXES = {"dng": ".dng", "tiff": ".tif", "npy": ".npy"}


@dataclass(frozen=True, slots=True)
class BatchItem:
    """A file of a batch."""

    file: Path
    target: Path
    """Where its result goes."""
    frames: tuple[Path, ...] = ()
    """All frames of a burst, of which `file` is the first; empty for a single raw."""

    @property
    def is_done(self) -> bool:
        """Whether its result is there, and not older than the file: results appear whole or not at all."""
        try:
            return self.target.stat().st_mtime_ns >= self.file.stat().st_mtime_ns
        except OSError:
            return False


def plan_batch(arguments: argparse.Namespace) -> list[BatchItem]:
    """All files of a batch and their results' names, checked before the first one is touched.

    Raises:
        ConfigError: Something would be overwritten, or a folder is missing or holds no raw.
    """
    items = []
    for given in arguments.files:
        items += (
            _folder_items(given, arguments) if given.is_dir() else [BatchItem(given, output_path(given, arguments))]
        )
    _check(arguments, items)
    return items


def plan_burst(arguments: argparse.Namespace) -> BatchItem:
    """The one item of a burst: its frames, and the result's name, that of the first frame unless it is given.

    Raises:
        ConfigError: Less than two frames, or what does not go with a burst.
    """
    if arguments.in_place or arguments.resume:
        raise ConfigError("--burst: it makes one file of several; --in-place and --resume do not go with it")
    frames = [file for given in arguments.files for file in (raws_under(given) if given.is_dir() else [given])]
    if len(frames) < 2:
        raise ConfigError("--burst: it takes at least two files, or a folder of them")
    target = _named_file(arguments) or _result_path(frames[0], arguments)
    item = BatchItem(frames[0], target, tuple(frames))
    _check(arguments, [item])
    return item


def raws_under(folder: Path) -> list[Path]:
    """The raws of a folder, at any depth, by their names' ends.

    Raises:
        ConfigError: There is none.
    """
    from training.datasets.files import files_under  # noqa: PLC0415  (numpy, which `--help` does not need)
    from training.raw.kinds import RAW_SUFFIXES  # noqa: PLC0415

    found = [path for path in files_under(folder) if path.suffix.lower() in RAW_SUFFIXES]
    if not found:
        raise ConfigError(f"FILE: there is no raw in the folder {folder}")
    return found


def output_path(file: Path, arguments: argparse.Namespace) -> Path:
    """Where the result of a file goes."""
    if arguments.in_place:
        return file
    named = _named_file(arguments) if len(arguments.files) == 1 else None
    return named or _result_path(file, arguments)


def _named_file(arguments: argparse.Namespace) -> Path | None:
    """The file that -o names; None where it names a folder, or nothing."""
    output: Path | None = arguments.output
    return output if output is not None and not output.is_dir() and output.suffix else None


def _result_path(file: Path, arguments: argparse.Namespace) -> Path:
    """In the output folder, or beside the input."""
    name = f"{file.stem}{_suffix(arguments)}{FORMAT_SUFFIXES[arguments.format]}"
    return (arguments.output or file.parent) / name


def _suffix(arguments: argparse.Namespace) -> str:
    suffix: str | None = arguments.suffix
    return suffix if suffix is not None else "" if arguments.output else DEFAULT_SUFFIX


def _folder_items(folder: Path, arguments: argparse.Namespace) -> list[BatchItem]:
    """A folder's raws; in an output folder they lie as they do in the folder. Results of before are no inputs."""
    suffix, end = _suffix(arguments), FORMAT_SUFFIXES[arguments.format]
    files = [file for file in raws_under(folder) if not (suffix and file.name.endswith(suffix + end))]
    if arguments.in_place:
        return [BatchItem(file, file) for file in files]
    places = [(arguments.output or folder) / file.relative_to(folder).parent for file in files]
    times = Counter((place, file.stem) for place, file in zip(places, files, strict=True))
    return [  # a raw and its DNG of the same name keep their ends apart
        BatchItem(file, place / f"{file.name if times[place, file.stem] > 1 else file.stem}{suffix}{end}")
        for place, file in zip(places, files, strict=True)
    ]


def _check(arguments: argparse.Namespace, items: list[BatchItem]) -> None:
    """Refuse before the first file what would overwrite an input or another output."""
    if arguments.in_place and (arguments.output or arguments.suffix or arguments.format != "dng"):
        raise ConfigError("--in-place: the output is the input; -o, --suffix and --format do not go with it")
    if len({item.target.resolve() for item in items}) < len(items):
        raise ConfigError("-o: several files would be written to the same output; name a folder")
    inputs = {file.resolve() for item in items for file in (item.file, *item.frames)}
    for item in items:
        if item.target.resolve() in inputs and not arguments.in_place:
            raise ConfigError(f"-o: {item.target} is an input; --in-place replaces inputs")
    many = any(given.is_dir() for given in arguments.files) and not arguments.burst
    folder = arguments.output if many else None
    for place in {folder} if folder else {item.target.parent for item in items}:
        if not place.is_dir():
            raise ConfigError(f"-o: there is no folder {place}")


def check_replaceable(item: BatchItem, arguments: argparse.Namespace) -> None:
    """Refuse to put a DNG in the place of another maker's raw, under that one's name.

    Raises:
        UnsupportedRawError: It would be.
        UnreadableRawError: It is no raw.
    """
    from training.raw.kinds import foreign_kind  # noqa: PLC0415

    if arguments.in_place and (kind := foreign_kind(item.file)) is not None:
        raise UnsupportedRawError(f"{kind} cannot be replaced in place: what comes out is a DNG")


def write_sidecar(file: Path, target: Path, report: dict[str, Any]) -> None:
    """Write what was done to a file beside its result, as JSON.

    Raises:
        OSError: It cannot be written.
    """
    from training.raw.atomic import replacing  # noqa: PLC0415

    done = {"file": file.name, "output": target.name, **report}
    with replacing(target.with_name(f"{target.name}.json")) as sidecar:
        sidecar.write(json.dumps(done, indent=2).encode() + b"\n")


def in_flight(
    work: Callable[[int, BatchItem], FileResult], items: Sequence[BatchItem], at_once: int, stopping: Event
) -> Iterator[FileResult]:
    """Work on so many items at once, each in a thread of its own; results come in the items' order.

    Args:
        work: Gets an item's number, from 1 on, and the item; lets go of the interpreter while it computes.
        items: All of a batch.
        at_once: 1 to stay in this thread.
        stopping: Set where the batch ends early, by an interrupt or by what `work` raises: what is under way stops.
    """
    if min(at_once, len(items)) == 1:
        yield from map(work, count(1), items)
        return
    with ThreadPoolExecutor(at_once) as pool:
        try:
            yield from pool.map(work, count(1), items)
        except BaseException:
            stopping.set()
            raise


class Pace:
    """How far a batch is, and how long the rest takes if it goes on like this.

    Args:
        total: Files of the batch.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._denoised = self._failed = self._skipped = 0
        self._started = time.monotonic()

    @property
    def is_batch(self) -> bool:
        """Whether there is more than one file."""
        return self._total > 1

    def place(self, number: int) -> str:
        """Before a file's name: which of how many it is, and how long is left; empty for a single one."""
        if not self.is_batch:
            return ""
        worked = self._denoised + self._failed
        left = (time.monotonic() - self._started) / worked * (self._total - number + 1) if worked else 0
        return f"[{number}/{self._total}{f', {_duration(left)} left' if worked else ''}] "

    def count(self, result: FileResult) -> None:
        """A file is through."""
        if result.skipped:
            self._skipped += 1
        elif result.error:
            self._failed += 1
        else:
            self._denoised += 1

    def summary(self) -> str:
        """How the batch went, in a line."""
        skipped = f", {self._skipped} skipped" if self._skipped else ""
        spent = _duration(time.monotonic() - self._started)
        return f"{self._denoised} denoised, {self._failed} failed{skipped} in {spent}"


def _duration(seconds: float) -> str:
    """In words.

    >>> _duration(42), _duration(600)
    ('42 s', '10 min')
    """
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
