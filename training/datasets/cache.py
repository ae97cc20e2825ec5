"""Decoded mosaics on disk, mapped into memory: a patch is read without its image, an image without its data set.

A mosaic is decoded once and kept as a .npy file, in 16 bits where that loses nothing; what is known about it lies
beside it as JSON, which is written last, so that an entry without it does not exist. An entry is found by its source's
path, size and time of change: another file at the same place is another entry.

In the flow: file → **cache** → crop → patch.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from training.errors import ConfigError
from training.raw.atomic import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FORMAT_VERSION = 1
CACHE_NAME = ".photosite-cache"
"""Folder beside the data, where nobody names another."""


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps a mosaic was digitised in: value = (stored − offset) / divisor, computed in float32."""

    offset: float = 0.0
    divisor: float = 1.0

    def encode(self, values: NDArray[np.float32]) -> NDArray[np.uint16] | None:
        """The stored numbers, None where 16 bits cannot hold these values exactly."""
        stored = np.rint(values * np.float32(self.divisor) + np.float32(self.offset))
        if not (np.isfinite(stored).all() and stored.min() >= 0 and stored.max() <= 65535):
            return None
        numbers = stored.astype(np.uint16)
        return numbers if np.array_equal(self.decode(numbers), values) else None

    def decode(self, numbers: NDArray[np.uint16]) -> NDArray[np.float32]:
        """Undo `encode`."""
        return (numbers.astype(np.float32) - np.float32(self.offset)) / np.float32(self.divisor)


@dataclass(frozen=True, slots=True)
class CachedMosaic:
    """One entry: opened for every read, so that thousands of entries need no open file."""

    path: Path
    """The .npy file."""
    shape: tuple[int, ...]
    steps: Steps | None
    """How 16-bit integers become values, None where values are stored as they are."""
    facts: dict[str, Any]
    """What else is known, as plain JSON types."""

    def read(self, index: Any = ()) -> NDArray[np.float32]:
        """The part of the array that `index` names, as float32."""
        part = np.load(self.path, mmap_mode="r")[index]
        return np.array(part, dtype=np.float32) if self.steps is None else self.steps.decode(part)


@dataclass(frozen=True, slots=True)
class MosaicCache:
    """A folder of decoded mosaics."""

    folder: Path

    def find(self, source: Path) -> CachedMosaic | None:
        """The entry of a file as it is now, None if there is none."""
        path = self._path(source)
        try:
            entry = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            steps = None if entry["steps"] is None else Steps(*entry["steps"])
            found = CachedMosaic(path, tuple(entry["shape"]), steps, entry["facts"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if path.is_file() else None

    def add(
        self, source: Path, array: NDArray[np.float32], facts: dict[str, Any], steps: Steps | None = None
    ) -> CachedMosaic:
        """Keep an array for a file.

        Args:
            source: The file it was decoded from.
            array: Any shape, float32.
            facts: What else is known about it, as plain JSON types.
            steps: The steps it was digitised in, if it was.

        Raises:
            ConfigError: The folder cannot be written to, or the disk is full.
        """
        stored, used = smallest_exact(array, steps)
        path = self._path(source)
        entry = {
            "source": str(source),
            "shape": list(array.shape),
            "steps": None if used is None else [used.offset, used.divisor],
            "facts": facts,
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                np.lib.format.write_array(file, np.ascontiguousarray(stored), allow_pickle=False)
            with replacing(path.with_suffix(".json")) as file:
                file.write(json.dumps(entry).encode())
        except OSError as error:
            raise ConfigError(f"cache: {self.folder} cannot be written to: {error.strerror or error}") from error
        return CachedMosaic(path, array.shape, used, facts)

    def _path(self, source: Path) -> Path:
        """Where the entry of a file lies, as it is now."""
        status = source.stat()
        identity = f"{source.resolve()}|{status.st_size}|{status.st_mtime_ns}|{FORMAT_VERSION}"
        return self.folder / f"{source.stem}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.npy"


def smallest_exact(array: NDArray[np.float32], steps: Steps | None) -> tuple[NDArray[Any], Steps | None]:
    """The array in the fewest bits that lose nothing: 16-bit integers, half precision, or as it is.

    >>> smallest_exact(np.array([0, 0.1, 1], dtype=np.float32), Steps(divisor=10))[0].tolist()
    [0, 1, 10]
    >>> smallest_exact(np.array([0, 0.5, 1], dtype=np.float32), None)[0].dtype
    dtype('float16')
    """
    numbers = steps.encode(array) if steps else None
    if numbers is not None:
        return numbers, steps
    with np.errstate(over="ignore"):  # what half precision cannot hold becomes infinite, and is seen below
        half = array.astype(np.float16)
    return (half if np.array_equal(half, array) else array), None
