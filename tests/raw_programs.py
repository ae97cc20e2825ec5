"""Raw programs that nobody here wrote, as tests run them: the mosaic, the tags, the picture that each sees in a file.

Their exit codes lie, so only what they print or write counts.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import tifffile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Program = Callable[[str], str]


def run(*command: str | Path) -> bytes:
    """What a program prints on stdout; on one thread, as RawTherapee's race for the same pixels now and then."""
    alone = os.environ | {"OMP_NUM_THREADS": "1"}
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, check=False, timeout=300, env=alone).stdout


def dcraw_mosaic(program: Program, path: Path) -> NDArray[np.uint16]:
    """The active area as dcraw reads it, neither scaled nor demosaiced nor turned."""
    tiff = path.with_suffix(".dcraw.tiff")
    tiff.write_bytes(run(program("dcraw"), "-D", "-4", "-t", "0", "-T", "-c", path))
    return np.array(tifffile.imread(tiff))


def libraw_mosaic(program: Program, path: Path) -> NDArray[np.uint16]:
    """The full frame as an old LibRaw reads it."""
    tiff = path.with_name(path.name + ".tiff")
    tiff.unlink(missing_ok=True)
    run(program("unprocessed_raw"), "-T", path)
    return np.array(tifffile.imread(tiff))


def warnings_of(program: Program, path: Path) -> set[str]:
    """What exiftool finds wrong with a file."""
    lines = run(program("exiftool"), "-validate", "-warning", "-error", "-a", path).decode().splitlines()
    assert any(line.startswith("Validate") for line in lines)
    return {line for line in lines if line.startswith(("Warning", "Error"))}


def tags_of(program: Program, path: Path) -> dict[tuple[str, str], list[str]]:
    """Every value that exiftool knows, by directory and tag; a tag may stand several times."""
    (found,) = json.loads(run(program("exiftool"), "-j", "-G1:4", "-a", "-u", "-n", "-b", path))
    found.pop("SourceFile")
    values: dict[tuple[str, str], list[str]] = {}
    for name, value in found.items():
        directory, *_, tag = name.split(":")
        if directory not in {"System", "ExifTool", "Composite"}:
            values.setdefault((directory, tag), []).append(str(value))
    return {name: sorted(several) for name, several in values.items()}


def darktable_picture(program: Program, path: Path) -> NDArray[np.uint16]:
    """The picture that darktable makes of a file."""
    picture = path.with_name(f"{path.stem}.darktable.tif")
    folder = path.parent / "darktable"
    run(
        program("darktable-cli"), path, picture, "--hq", "true", "--core", "--configdir", folder, "--cachedir",
        folder / "cache", "--library", ":memory:", "--conf", "plugins/imageio/format/tiff/bpp=16", "--disable-opencl",
    )  # fmt: skip
    return np.array(tifffile.imread(picture))


def rawtherapee_picture(program: Program, path: Path) -> NDArray[np.uint16]:
    """The picture that RawTherapee makes of a file."""
    picture = path.with_name(f"{path.stem}.rawtherapee.tif")
    run(program("rawtherapee-cli"), "-q", "-Y", "-d", "-b16", "-t", "-o", picture, "-c", path)
    return np.array(tifffile.imread(picture))
