"""What kind of file something is: a DNG, another maker's raw, or no raw at all; by its first bytes and first directory.

In the flow: the first question that is put to an upload. No pixel is decoded, and nothing but one directory is read.

Source: TIFF 6.0, section 2; the signatures as the file utility and exiftool know them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.errors import UnreadableRawError
from training.raw import tags
from training.raw.tiff import foreign_signature, open_first_directory

if TYPE_CHECKING:
    from pathlib import Path


RAW_SUFFIXES = {
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef", ".mos", ".mrw",
    ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw",
}  # fmt: skip
"""What raws end in, in small letters: which files of a folder are tried."""


def foreign_kind(path: Path) -> str | None:
    """What another maker's raw a file is, in words; None for all else: a DNG, or what `open_tiff` will find fault with.

    Args:
        path: A file; anything may be in it.

    Returns:
        "a Fujifilm RAF", "a raw of Nikon", …: what is to be decoded by LibRaw. It may still turn out to be none.

    Raises:
        UnreadableRawError: A picture, not a raw; or it cannot be opened.
    """
    found = foreign_signature(path)
    if found is not None:
        return found
    try:
        with open_first_directory(path) as tiff:
            is_dng = tags.DNG_VERSION in tiff.chain[0].entries
            maker = tiff.text(tiff.chain[0], tags.MAKE) or tiff.text(tiff.chain[0], tags.MODEL)
    except UnreadableRawError:
        return None
    if is_dng:
        return None
    if not maker:
        raise UnreadableRawError("a TIFF file, but not a raw: it has no DNGVersion and names no camera")
    return f"a raw of {maker}"
