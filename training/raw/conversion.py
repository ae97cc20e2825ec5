"""A raw of any maker as a DNG, so that all that follows knows one kind of file.

In the flow: a file → **as_dng** → read_raw → … → write_dng, which rewrites it in place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from training.raw.foreign import read_foreign
from training.raw.kinds import foreign_kind
from training.raw.metadata import copy_metadata
from training.raw.new_dng import write_new_dng

if TYPE_CHECKING:
    from pathlib import Path


class AsDng(NamedTuple):
    """A raw as a DNG."""

    path: Path
    """The raw itself where it is one."""
    warnings: tuple[str, ...]
    """What got lost on the way, in sentences."""


def as_dng(source: Path, folder: Path, name: str = "") -> AsDng:
    """A raw as a DNG: itself, or one that is made of it.

    Args:
        source: A file; anything may be in it.
        folder: Where to put a DNG that has to be made; the caller removes it.
        name: What the raw is called, for OriginalRawFileName; the file's own name if empty.

    Raises:
        RawError: The file is at fault.
        OSError: The folder cannot be written to.
    """
    kind = foreign_kind(source)
    if kind is None:
        return AsDng(source, ())
    made = folder / "made.dng"
    name = name or source.name
    write_new_dng(source, made, read_foreign(source, kind), name)
    return AsDng(made, copy_metadata(source, made, name))
