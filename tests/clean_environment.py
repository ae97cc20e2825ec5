"""A virtual environment with exactly what an image installs: linked from this one, so that no network is asked.

In the flow of the tests: docker/requirements-api.txt → **make_environment** → `photosite` as the image starts it.
"""

from __future__ import annotations

import sys
import venv
from importlib.metadata import distribution
from pathlib import Path

from ci_programs import ROOT


def make_environment(folder: Path, requirements: Path) -> Path:
    """Make it; photosite itself is linked from the tree.

    Returns:
        Its interpreter.
    """
    venv.create(folder, symlinks=True, with_pip=False)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "lib" / version / "site-packages"
    for line in requirements.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            name, _, pinned = line.partition("==")
            link_distribution(name, pinned, packages)
    for name in ("service", "training"):
        (packages / name).symlink_to(ROOT / name)
    return folder / "bin" / "python"


def link_distribution(name: str, pinned: str, packages: Path) -> None:
    """Link an installed package's files into another environment; its version must be the pinned one."""
    found = distribution(name)
    assert found.version.partition("+")[0] == pinned, f"{name} is {found.version} here"
    for file in found.files or ():
        if ".." in file.parts or "__pycache__" in file.parts:
            continue
        target = packages / file
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            target.symlink_to(Path(str(found.locate_file(file))).resolve())
