"""EXIF, GPS, XMP, IPTC and MakerNotes: copied by exiftool from another maker's raw into the DNG that was made of it.

exiftool is a program that may be missing: then the DNG says no more than the mosaic needs, and a warning says so. It
runs with limits and without our environment, because the files are not ours.

In the flow: write_new_dng → **copy_metadata** → denoise as a DNG.

Source: exiftool 12.57, "-TagsFromFile". Not all of IFD0 is copied: it would bring TIFF/EP's tags, which describe the
old mosaic.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import training

PROGRAM = "exiftool"
TIMEOUT_S = 60.0
MEMORY_BYTES = 2 << 30
CPU_S = 30
_ROOM_BYTES = 64 << 20
"""What metadata may add to a file."""
_COPIED = (
    "-IFD0:Make", "-IFD0:Model", "-IFD0:Orientation", "-IFD0:ModifyDate", "-IFD0:Artist", "-IFD0:Copyright",
    "-ExifIFD:all", "-GPS:all", "-MakerNotes", "-XMP:all", "-IPTC:all",
)  # fmt: skip
_GPS = ("-GPS:all=", "-XMP-exif:GPS*=", "-XMP:GPS*=")
_INHERITED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PERL5LIB")
_MISSING = "exiftool is not installed"


def exiftool_is_there() -> bool:
    """Whether exiftool can be found."""
    return shutil.which(PROGRAM) is not None


def copy_metadata(source: Path, target: Path, name: str) -> tuple[str, ...]:
    """Copy what describes the picture, all but the pixels, from a raw into a DNG.

    Args:
        source: A raw of any maker.
        target: The DNG; rewritten.
        name: What the raw is called; exiftool goes by its end, too.

    Returns:
        Warnings, in sentences: what could not be copied, and why.
    """
    if not exiftool_is_there():
        return (f"{_MISSING}: EXIF, GPS, XMP, IPTC and maker notes were not copied into the new DNG",)
    with tempfile.TemporaryDirectory(prefix="photosite-exif-") as folder:
        # exiftool reads "%" in a file's name as a format, and "-" at its begin as an option
        link = Path(folder) / f"original{re.sub('[^.A-Za-z0-9]', '', Path(name).suffix)}"
        link.symlink_to(source.resolve())
        problem = _run(target, "-TagsFromFile", str(link), *_COPIED)
    return (f"not all of EXIF, XMP and maker notes could be copied: {problem}",) if problem else ()


def strip_gps(path: Path) -> str:
    """Take where it was taken out of a DNG: the GPS directory, and its kin in XMP.

    Args:
        path: A DNG; rewritten.

    Returns:
        Why it was not done; empty where it was.
    """
    return _run(path, *_GPS) if exiftool_is_there() else _MISSING


def _run(target: Path, *options: str) -> str:
    """Have exiftool change a file; what went wrong in its words, empty for nothing."""
    before = target.stat().st_size
    limits = [str(MEMORY_BYTES), str(CPU_S), str(before + _ROOM_BYTES)]
    command = [sys.executable, "-P", "-m", "training.raw.confined", *limits, PROGRAM]
    options = ("-config", "", "-q", "-q", "-m", "-overwrite_original", *options, str(target.absolute()))
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    environment["PYTHONPATH"] = str(Path(training.__file__).parents[1])
    try:
        ended = subprocess.run(
            [*command, *options],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=TIMEOUT_S,
            cwd="/",
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{PROGRAM}: {error}"
    if ended.returncode == 0:
        return ""
    words = ended.stderr.decode("utf-8", "replace").strip().splitlines()
    return words[0].rpartition(" - ")[0] if words else f"{PROGRAM} ended with exit code {ended.returncode}"
