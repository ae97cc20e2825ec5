"""The name of the camera that another maker's raw comes from: LibRaw's wrapper does not tell it.

In the flow: read_foreign → **foreign_camera**. What cannot be read is left empty, and does not spoil the file.

Source: TIFF 6.0, Make (271) and Model (272), which RW2, ORF and Canon's CR3 hold as well; the header of a Fujifilm RAF:
its camera's name, 32 bytes at 28; CR3: ISO 14496-12 boxes, of which CMT1 holds a TIFF directory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.errors import RawError
from training.raw import tags
from training.raw.tiff import open_first_directory

if TYPE_CHECKING:
    from pathlib import Path

_HEAD_BYTES = 65_536
_CMT1 = b"CMT1"


def foreign_camera(path: Path) -> tuple[str, str]:
    """Make and model as the file spells them; both may be empty."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head.startswith(b"FUJIFILM"):
        return "Fujifilm", head[28:60].split(b"\0", 1)[0].decode("ascii", "replace").strip()
    at = head.find(_CMT1) + len(_CMT1) if _CMT1 in head else 0
    try:
        with open_first_directory(path, at) as tiff:
            ifd0 = tiff.chain[0]
            return tiff.text(ifd0, tags.MAKE), tiff.text(ifd0, tags.MODEL)
    except RawError:
        return "", ""
