"""Which files of a folder are tried.

In the flow: folder → **files** → captures, pictures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"}
"""What photographs end in."""


def files_under(folder: Path) -> list[Path]:
    """Files at any depth of a folder, by name; hidden ones, and those of hidden folders, are left alone."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in files if not any(part[0] == "." for part in path.relative_to(folder).parts))
