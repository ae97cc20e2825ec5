"""What classical methods made of blocks, kept so that judging another model does not run BM3D again.

A result is found by the content of everything that decides it: the noisy block, its noise model, the method, its source
and its libraries. Noisy blocks themselves are made again from their seeds, which takes less time than reading them.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import training.baselines
from training.raw.atomic import replacing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.baselines import Baseline
    from training.noise import NoiseModel

LIBRARIES = ("bm3d", "bm4d", "numpy", "PyWavelets", "scikit-image")


class ResultCache:
    """Denoised blocks in a folder; without one nothing is kept.

    Args:
        folder: Made if it is not there; may be deleted at any time.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._salt = _sources_digest()
        if folder:
            folder.mkdir(parents=True, exist_ok=True)

    def denoise(
        self, name: str, baseline: Baseline, packed: NDArray[np.float32], noise: NoiseModel
    ) -> NDArray[np.float32]:
        """The kept result of a method, or a new one."""
        if not self._folder:
            return baseline(packed, noise)
        path = self._folder / f"{self._key(name, packed, noise)}.npz"
        if path.exists():
            with np.load(path, allow_pickle=False) as kept:
                return np.asarray(kept["denoised"])
        denoised = baseline(packed, noise)
        with replacing(path) as file:
            np.savez(file, denoised=denoised)
        return denoised

    def _key(self, name: str, packed: NDArray[np.float32], noise: NoiseModel) -> str:
        said = f"{self._salt} {name} {packed.shape} {noise.shot_noise} {noise.read_noise}"
        return hashlib.sha256(said.encode() + np.ascontiguousarray(packed).tobytes()).hexdigest()


def _sources_digest() -> str:
    """Of the methods' source files and the versions of what they stand on."""
    digest = hashlib.sha256()
    for path in sorted(Path(training.baselines.__path__[0]).glob("*.py")):
        digest.update(path.read_bytes())
    for library in LIBRARIES:
        try:
            digest.update(f"{library} {version(library)}".encode())
        except PackageNotFoundError:
            digest.update(f"{library} missing".encode())
    return digest.hexdigest()
