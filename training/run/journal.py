"""What a run leaves to read: one JSON object a line in log.jsonl, and TensorBoard's event files where it is installed.

A resumed run goes on as if it had never stopped: lines beyond its checkpoint are cut off and written again.
"""

from __future__ import annotations

import json
import logging
import os
from typing import TYPE_CHECKING, Any, Self

from training.errors import ConfigError
from training.raw.atomic import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from torch.utils.tensorboard import SummaryWriter

LOG_NAME = "log.jsonl"
EVENTS_NAME = "tensorboard"

_log = logging.getLogger(__name__)


class Journal:
    """Appends to the log; a context, closed at its end.

    Args:
        run: The run's folder.
        first_step: Steps that the run has done; later lines are those of a run that was killed.

    Raises:
        ConfigError: Log or event files cannot be written, or the disk is full.
    """

    def __init__(self, run: Path, first_step: int) -> None:
        self.path = run / LOG_NAME
        try:
            _cut(self.path, first_step)
            self._events = _event_writer(run / EVENTS_NAME, first_step)
            self._file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise self._unwritable(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._file, self._events):
            try:
                if each:
                    each.close()
            except OSError:
                _log.warning("the end of %s or %s could not be written", self.path, EVENTS_NAME)

    def write(self, step: int, figures: dict[str, Any]) -> None:
        """Add a line, and its numbers to the event files."""
        try:
            self._file.write(json.dumps({"step": step, **figures}) + "\n")
            self._file.flush()
            for name, value in figures.items():
                if self._events and isinstance(value, int | float):
                    self._events.add_scalar(name, value, step)  # raises here what its thread could not write
        except OSError as error:
            raise self._unwritable(error) from error

    def sync(self) -> None:
        """Make what is written survive a power cut: before a checkpoint that counts on it."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> ConfigError:
        return ConfigError(f"run: {self.path} or the event files cannot be written: {error.strerror or error}")


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; half a line at the end, left by a power cut, does not count."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines


def _cut(path: Path, last_step: int) -> None:
    """Keep the lines up to a step."""
    if not path.exists():
        return
    kept = [line for line in read_log(path) if line["step"] <= last_step]
    with replacing(path) as file:
        file.write("".join(json.dumps(line) + "\n" for line in kept).encode())


def _event_writer(folder: Path, first_step: int) -> SummaryWriter | None:
    """TensorBoard's writer, None where the package is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  (an optional extra)
    except ImportError:
        _log.info("no TensorBoard event files: photosite[tensorboard] is not installed")
        return None
    return SummaryWriter(folder, purge_step=first_step + 1)
