"""SIDD's validation and benchmark blocks: 40 images of 32 blocks, each 256×256 photosites, linear in [0, 1].

In the flow: *BlocksRaw.mat → **blocks** → validate.

Source: Abdelhamed et al., CVPR 2018, and the data set's files: variable and file have the same name, the array is
(40, 32, 256, 256) float32. A validation set of another make is taken too, if its arrays have four axes; its images are
named by names.txt beside them, a line each, in SIDD's form or any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from training.datasets.cache import CACHE_NAME, CachedMosaic, MosaicCache
from training.datasets.matlab import array_shape, read_array
from training.datasets.sidd_scenes import BENCHMARK_SCENES, CFA_BY_CAMERA, Scene, parse_scene
from training.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from training.raw.bayer import CfaPattern

VALIDATION_NOISY, VALIDATION_CLEAN = "ValidationNoisyBlocksRaw", "ValidationGtBlocksRaw"
BENCHMARK_NOISY = "BenchmarkNoisyBlocksRaw"
OFFICIAL_SHAPE = (40, 32, 256, 256)
SMALLEST_SIDE = 32
NAMES = "names.txt"


class Mosaics(Protocol):
    """Where blocks are read from: the cache's files, or memory."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(images, blocks, H, W)."""
        ...

    def read(self, index: Any = ()) -> NDArray[np.float32]:
        """The part of the array that `index` names, as float32."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockSet:
    """Blocks of one kind, read image by image."""

    name: str
    """"validation" or "benchmark"."""
    noisy: Mosaics
    clean: Mosaics | None
    """None for the benchmark, whose clean blocks are not public."""
    scenes: tuple[Scene, ...]
    """The images, in order."""
    patterns: tuple[CfaPattern, ...]
    """Their Bayer patterns."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Images, blocks an image, rows and columns of a block."""
        images, blocks, height, width = self.noisy.shape
        return images, blocks, height, width

    def noisy_blocks(self, image: int) -> NDArray[np.float32]:
        """(blocks, H, W) float32, linear [0, 1]."""
        return self.noisy.read(image)

    def clean_blocks(self, image: int) -> NDArray[np.float32] | None:
        """(blocks, H, W) float32, linear [0, 1]; None where they are not public."""
        return None if self.clean is None else self.clean.read(image)


def open_blocks(
    folder: Path, *, cache: Path | None = None, patterns: Mapping[str, CfaPattern] | None = None
) -> tuple[BlockSet, ...]:
    """The block sets of a folder: validation, benchmark or both.

    Args:
        folder: Holds the .mat files.
        cache: Where decoded blocks are kept; None for a folder inside `folder`.
        patterns: Bayer pattern by camera ("S6"), instead of `CFA_BY_CAMERA`; by "" for images that name no camera.

    Raises:
        ConfigError: Files are missing, half there, or not what they should be; names file, expected and found.
    """
    present = _present(folder)
    store = MosaicCache(cache or folder / CACHE_NAME)
    return tuple(_open(folder, name, store, patterns or {}) for name in present)


def count_images(folder: Path) -> int:
    """How many images `open_blocks` would give, both kinds together; only shapes are looked at.

    Raises:
        ConfigError: As `open_blocks`.
    """
    return sum(array_shape(_file(folder, name), name)[0] for name in _present(folder))


def _present(folder: Path) -> list[str]:
    """The block sets that a folder has, checked.

    Raises:
        ConfigError: See `open_blocks`.
    """
    present = [name for name in (VALIDATION_NOISY, BENCHMARK_NOISY) if _file(folder, name).is_file()]
    if not present:
        raise ConfigError(f"dataset: {folder}: expected {VALIDATION_NOISY}.mat or {BENCHMARK_NOISY}.mat, found neither")
    for name in present:
        _check(folder, name)
    return present


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.mat"


def _check(folder: Path, name: str) -> None:
    """Look at shapes, before anything large is read."""
    noisy = array_shape(_file(folder, name), name)
    if len(noisy) != 4 or min(noisy[2:]) < SMALLEST_SIDE or noisy[2] % 2 or noisy[3] % 2:
        raise ConfigError(
            f"dataset: {_file(folder, name)}: expected blocks {OFFICIAL_SHAPE} or at least of even size and "
            f"{SMALLEST_SIDE}×{SMALLEST_SIDE}, found {noisy}"
        )
    if name == VALIDATION_NOISY:
        path = _file(folder, VALIDATION_CLEAN)
        clean = array_shape(path, VALIDATION_CLEAN)
        if clean != noisy:
            raise ConfigError(f"dataset: {path}: expected {noisy} as in {name}.mat, found {clean}")
    _scenes(folder, noisy[0])


def _open(folder: Path, name: str, store: MosaicCache, patterns: Mapping[str, CfaPattern]) -> BlockSet:
    """One block set; what is not in the cache is read first, a file at a time."""
    noisy = _cached(folder, name, store)
    scenes = _scenes(folder, noisy.shape[0])
    known = {**CFA_BY_CAMERA, **patterns}
    return BlockSet(
        name="validation" if name == VALIDATION_NOISY else "benchmark",
        noisy=noisy,
        clean=_cached(folder, VALIDATION_CLEAN, store) if name == VALIDATION_NOISY else None,
        scenes=scenes,
        patterns=tuple(_pattern(scene, known) for scene in scenes),
    )


def _pattern(scene: Scene, known: Mapping[str, CfaPattern]) -> CfaPattern:
    """The pattern of an image.

    Raises:
        ConfigError: Nobody says which.
    """
    if scene.camera not in known:
        cameras = ", ".join(CFA_BY_CAMERA)
        raise ConfigError(
            f"dataset: {scene.name}: expected one of the cameras {cameras} in its name, found none; "
            "the Bayer pattern can be given (--cfa)"
        )
    return known[scene.camera]


def _cached(folder: Path, name: str, store: MosaicCache) -> CachedMosaic:
    path = _file(folder, name)
    return store.find(path) or store.add(path, read_array(path, name), {})


def _scenes(folder: Path, images: int) -> tuple[Scene, ...]:
    """The images' names: the folder's own list, or SIDD's; numbers where there is neither."""
    path = folder / NAMES
    if path.is_file():
        names = path.read_text(encoding="utf-8").split("\n")
        names = [name.strip() for name in names if name.strip()]
        if len(names) != images:
            raise ConfigError(f"dataset: {path}: expected {images} names, a line each, found {len(names)}")
        return tuple(map(parse_scene, names))
    if images == len(BENCHMARK_SCENES):
        return tuple(map(parse_scene, BENCHMARK_SCENES))
    return tuple(parse_scene(f"image {index + 1}") for index in range(images))
