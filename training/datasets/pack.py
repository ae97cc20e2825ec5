"""Pictures to learn from as one file that can be carried to any machine.

A pack is a zip archive, nothing in it compressed twice: every photograph as lossless WebP under its name, of those that
are held out the middle alone, to be judged by; whatever the folder says about its licence; and `manifest.json`, which
names every photograph with the SHA-256 of the file that it was. Drawn pictures are not in it: `drawn.py` makes them.

In the flow: folder of pictures → **pack** → patches.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from training.datasets.files import PICTURE_SUFFIXES, files_under
from training.datasets.splits import HELD_OUT
from training.errors import ConfigError
from training.raw.atomic import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

HELD_OUT_SIDE = 512
"""Of a held-out photograph so many pixels each way, at most, are kept."""
MANIFEST_NAME = "manifest.json"
_EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The archive's clock: the same folder gives the same bytes."""


def pack_pictures(folder: Path, target: Path) -> int:
    """Write the pictures of a folder into a pack.

    Args:
        folder: Holds them, at any depth; their names without suffix have to differ.
        target: The file, replaced in one step.

    Returns:
        How many photographs there are to learn from.

    Raises:
        ConfigError: There are none, two have the same name, one is no picture, or the file cannot be written.
    """
    paths = [path for path in files_under(folder) if path.suffix.lower() in PICTURE_SUFFIXES]
    stems = [path.stem for path in paths]
    doubled = next((stem for stem in stems if stems.count(stem) > 1), None)
    if doubled or not paths:
        raise ConfigError(f"pack: two pictures are named {doubled}" if doubled else f"pack: no picture in {folder}")
    facts = {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    licences = [path for path in files_under(folder) if path.stem.upper() in {"LICENSE", "LICENCE"}]
    try:
        with replacing(target) as file, zipfile.ZipFile(file, "w") as archive:
            _add(archive, MANIFEST_NAME, json.dumps({"sha256": facts}, indent=1).encode())
            for path in licences:
                _add(archive, str(path.relative_to(folder)), path.read_bytes())
            for path in paths:
                _add(archive, f"{path.stem}.webp", _encode(path))
    except OSError as error:
        raise ConfigError(f"pack: {target} cannot be written: {error.strerror or error}") from error
    return len(set(stems) - HELD_OUT)


def unpack_pictures(pack: Path, *, held_out: bool) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Name and (H, W, 3) sRGB picture of those that are held out by name, or of all others.

    Raises:
        ConfigError: It is no pack, or is damaged.
    """
    try:
        with zipfile.ZipFile(pack) as archive:
            for name in sorted(archive.namelist()):
                stem, _, suffix = name.rpartition(".")
                if f".{suffix}" in PICTURE_SUFFIXES and (stem in HELD_OUT) == held_out:
                    with archive.open(name) as file, Image.open(file) as picture:
                        yield name, np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError, ValueError, zipfile.BadZipFile, Image.DecompressionBombError) as error:
        raise ConfigError(f"data: {pack}: expected a pack of pictures, found none or a damaged one: {error}") from error


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, _EARLIEST), content)


def _encode(path: Path) -> bytes:
    """Lossless WebP of a picture, or of the middle of one that is held out."""
    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ConfigError(f"pack: {path} is no picture: {error}") from error
    if path.stem in HELD_OUT:
        left, top = (max(0, (length - HELD_OUT_SIDE) // 2) for length in picture.size)
        width, height = (min(length, HELD_OUT_SIDE) for length in picture.size)
        picture = picture.crop((left, top, left + width, top + height))
    encoded = io.BytesIO()
    picture.save(encoded, "WEBP", lossless=True, quality=50, method=4)
    return encoded.getvalue()
