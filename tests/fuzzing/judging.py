"""What must hold for any file whatsoever: refused in our words, or read as others read it, and rewritten soundly.

In the flow of the tests: a damaged file → **Judge.look_at** → refused, right, or a finding.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from fuzzing.mutations import restore_description
from rewriting import changes

from training.errors import RawError
from training.raw.dng import read_metadata, read_raw
from training.raw.kinds import foreign_kind
from training.raw.rewrite import write_dng

if TYPE_CHECKING:
    from pathlib import Path

    from fuzzing.readers import Readers
    from fuzzing.seeds import Seed
    from numpy.typing import NDArray

    from training.raw.decode import Decoder
    from training.raw.image import RawImage

MOST_S = 45.0
"""The wall limit of a small file, with room for a busy machine."""


@dataclass(slots=True)
class Tally:
    """How the files of a run ended."""

    refused: int = 0
    as_before: int = 0
    """Read, with the pixels that the honest file had."""
    confirmed: int = 0
    """Read, with other pixels, which another reader sees, too."""
    slowest_s: float = 0.0
    deaths: dict[str, int] = field(default_factory=dict)
    """Why the decoder program died, by its client's words."""

    def __str__(self) -> str:
        died = "; ".join(f"{count} × {why}" for why, count in sorted(self.deaths.items())) or "never"
        return (
            f"{self.refused} refused, {self.as_before} read as before the damage, {self.confirmed} read as other "
            f"programs read them; the slowest took {self.slowest_s:.2f} s; the decoder died: {died}"
        )


@dataclass(slots=True)
class Judge:
    """Looks at files one after the other."""

    decoder: Decoder
    readers: Readers
    tally: Tally = field(default_factory=Tally)

    def look_at(self, path: Path, honest: Seed) -> str | None:
        """What is wrong with how we take a damaged file; None for nothing."""
        started = time.monotonic()
        try:
            found = self._read(path, honest)
        except RawError:
            self.tally.refused += 1
            found = None
        except Exception as error:  # noqa: BLE001  (that is what is looked for)
            found = f"{type(error).__name__}: {error}"
        seconds = time.monotonic() - started
        self.tally.slowest_s = max(self.tally.slowest_s, seconds)
        return f"it took {seconds:.0f} s" if found is None and seconds > MOST_S else found

    def _read(self, path: Path, honest: Seed) -> str | None:
        is_foreign = foreign_kind(path) is not None
        if not is_foreign:  # of another maker's raw it is the same as read_raw
            read_metadata(path)
        try:
            raw = read_raw(path, self.decoder)
        except RawError as error:
            if fault := self._note_death(error):
                return fault
            raise
        return _impossible(raw) or self._unconfirmed(path, raw, honest) or (None if is_foreign else _unsound(path, raw))

    def _note_death(self, error: RawError) -> str | None:
        """Count what ended the decoder program; says so where that was no limit and no codec, but our fault."""
        _, found, why = error.message.partition("the mosaic cannot be decoded: ")
        if found:
            self.tally.deaths[why] = self.tally.deaths.get(why, 0) + 1
        return f"{why}: {error.detail.strip()[-300:]}" if "exit code" in why else None

    def _unconfirmed(self, path: Path, raw: RawImage, honest: Seed) -> str | None:
        """Whether nobody else sees our pixels in it."""
        if np.array_equal(raw.mosaic, honest.mosaic):
            self.tally.as_before += 1
            return None
        seen: list[str] = []
        if self._is_confirmed(path, raw, seen):
            return None
        restored = path.with_name(f"restored-{honest.name}")
        for storage in (False, True):
            restored.write_bytes(restore_description(path.read_bytes(), honest.data, honest.anatomy, storage=storage))
            same = _read_again(restored, self.decoder)
            if same and np.array_equal(same.mosaic, raw.mosaic) and self._is_confirmed(restored, same, seen):
                return None
        return f"no other program reads these pixels: {'; '.join(seen) or 'all refuse the file'}"

    def _is_confirmed(self, path: Path, raw: RawImage, seen: list[str]) -> bool:
        area = raw.metadata.active_area
        ours = raw.mosaic, raw.mosaic[area.top : area.bottom, area.left : area.right]
        for theirs in self.readers.readings(path):
            if any(np.array_equal(theirs, mosaic) for mosaic in ours):
                self.tally.confirmed += 1
                return True
            seen.append(_difference(theirs, raw.mosaic))
        return False


def _read_again(path: Path, decoder: Decoder) -> RawImage | None:
    try:
        return read_raw(path, decoder)
    except RawError:
        return None


def _difference(theirs: NDArray[np.uint16], ours: NDArray[np.uint16]) -> str:
    if theirs.shape != ours.shape:
        return f"{theirs.shape}, not {ours.shape}"
    return f"{np.count_nonzero(theirs != ours)} of {ours.size} differ"


def _impossible(raw: RawImage) -> str | None:
    """Whether a mosaic contradicts what is said about it."""
    metadata = raw.metadata
    if raw.mosaic.shape != (metadata.height, metadata.width) or raw.mosaic.dtype != np.uint16:
        return f"a mosaic of {raw.mosaic.shape} {raw.mosaic.dtype}, not of {metadata.height}×{metadata.width}"
    levels = metadata.levels
    if not np.isfinite([*levels.black_level, levels.white_level]).all():
        return f"levels that are no numbers: {levels}"
    return None


def _unsound(path: Path, raw: RawImage) -> str | None:
    """Whether a rewrite, with the pixels that it had, is refused by our own reader or holds other pixels."""
    target = path.with_suffix(".rewritten.dng")
    try:
        write_dng(path, target, raw.mosaic, changes())
    except RawError:
        return None  # in words: a directory in the way, no room
    try:
        again = read_raw(target).mosaic
    except RawError as error:
        return f"what was rewritten cannot be read: {error.message}"
    return None if np.array_equal(again, raw.mosaic) else "what was rewritten holds other pixels"
