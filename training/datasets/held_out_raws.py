"""Raws of pictures that no training saw, whose clean signal is known: what quality is judged on.

Each picture is taken back through a camera and given one of its sensor's patterns (Bayer's four), 10 or 14 bits and the
places of its blocks, all by its name; then noise of a known level, black, rounding and clipping, as a file has them.
The noise model that counts as true holds the rounding's variance too.

In the flow: picture → **scene** → **noisy raw** → noise model of the whole, blocks → denoised → metrics.

Source: noise of a phone by ISO speed: `mini_blocks.py`; of phones and cameras in general: Brooks et al., "Unprocessing
Images for Learned Raw Denoising", CVPR 2019, section 3.1.
"""

from __future__ import annotations

import dataclasses
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.datasets.files import PICTURE_SUFFIXES
from training.datasets.mini_blocks import phone_noise
from training.datasets.splits import HELD_OUT
from training.datasets.synthetic import (
    add_noise,
    mosaic_of,
    read_picture,
    resize,
    typical_read_noise,
    unprocess,
)
from training.errors import ConfigError
from training.noise import NoiseModel
from training.planes import pack_signal
from training.raw.cells import CELLS, pack_cells, unpack_cells
from training.raw.image import ActiveArea, RawImage, RawMetadata
from training.raw.levels import Levels, denormalise, quantise
from training.raw.patterns import PATTERNS, phase_of, restore, whole_cells

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from training.raw.cells import SensorKind

SIDE = 1024
"""Photosites of a raw's side: a megapixel, enough to read the noise off."""
BLOCK = 256
"""Photosites of a block's side, as SIDD has them."""
MOST_CLIPPED, DRAWS = 0.5, 50
"""Blocks are drawn again, so often, if a larger share of them is clipped."""
FILE_LEVELS = {10: (64, 1023), 14: (1024, 16383)}
"""Black and white of a file's numbers, by their bits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NoiseLevel:
    """How noisy the sensor is, before anything is stored."""

    name: str
    noise: NoiseModel

    @property
    def shot_noise(self) -> float:
        """Variance per unit of signal."""
        return self.noise.shot_noise[0]

    @property
    def read_noise(self) -> float:
        """Variance at black."""
        return self.noise.read_noise[0]


def phone_level(iso: int) -> NoiseLevel:
    """A phone at an ISO speed."""
    return NoiseLevel(name=f"ISO {iso}", noise=phone_noise(iso))


def prior_level(shot_noise: float) -> NoiseLevel:
    """A shot noise with the read noise that usually comes with it."""
    noise = NoiseModel.uniform(shot_noise=shot_noise, read_noise=typical_read_noise(shot_noise))
    return NoiseLevel(name=f"prior {shot_noise:g}", noise=noise)


LEVELS = (prior_level(2e-5), *map(phone_level, (100, 400, 800, 1600, 3200, 6400)), prior_level(8e-3))
"""From the least noise to the most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """What a sensor saw, without noise."""

    name: str
    """The picture's."""
    group: str
    """The picture's folder."""
    clean: NDArray[np.float32]
    """(SIDE, SIDE) float32: the mosaic, linear [0, 1]."""
    cfa_pattern: str
    bits: int
    """Of the file's numbers: 10 or 14."""
    corners: tuple[tuple[int, int], ...]
    """Row and column of each block, both whole cells from the scene's."""

    @property
    def levels(self) -> Levels:
        """Black and white of the file's numbers."""
        black, white = FILE_LEVELS[self.bits]
        return Levels(black_level=(black,) * phase_of(self.cfa_pattern).cell.channels, white_level=white)


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One block of one noisy raw."""

    scene: Scene
    level: NoiseLevel
    index: int
    """Which of the scene's blocks."""
    packed: NDArray[np.float32]
    """(c, h, w) the block's signal as it is served: normalised, unified, packed."""
    noise: NoiseModel
    """Its true noise."""
    clean: NDArray[np.float32]
    """(BLOCK, BLOCK) the mosaic without noise."""

    def mosaic(self, packed: NDArray[np.float32]) -> NDArray[np.float32]:
        """(BLOCK, BLOCK): denoised planes as a mosaic of the block's own pattern."""
        pattern = self.scene.cfa_pattern
        return restore(unpack_cells(packed, phase_of(pattern).cell.side), pattern, self.clean.shape)


def held_out_pictures(folder: Path) -> list[Path]:
    """Pictures to judge on: where the folder has some that are held out, these; else all.

    Raises:
        ConfigError: There is none.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
    if not paths:
        raise ConfigError(f"pictures: none in {folder}")
    return [path for path in paths if path.stem in HELD_OUT] or paths


def make_scene(path: Path, blocks: int = 1, sensor: SensorKind = "bayer") -> Scene:
    """The scene of a picture: its middle, enlarged if it is small, as a camera drawn by its name sees it."""
    picture = read_picture(path)
    turn = zlib.crc32(path.stem.encode())
    rng = np.random.default_rng(turn)
    cell = CELLS[sensor]
    patterns = [pattern for pattern, phase in PATTERNS.items() if phase.cell == cell]
    cfa_pattern = patterns[turn % len(patterns)]
    side = SIDE + cell.side  # one cell more, so that any pattern can be cut out of it
    mosaic = mosaic_of(unprocess(_middle(picture, side), rng), cell)
    clean = np.clip(restore(mosaic, cfa_pattern, (SIDE, SIDE)), 0, 1)
    return Scene(
        name=path.stem,
        group=path.parent.name,
        clean=clean,
        cfa_pattern=cfa_pattern,
        bits=(14, 10)[turn // 4 % 2],
        corners=tuple(_draw_corner(clean, cell.side, rng) for _ in range(blocks)),
    )


def _draw_corner(clean: NDArray[np.float32], step: int, rng: np.random.Generator) -> tuple[int, int]:
    """Row and column of a block, if possible one that is mostly not clipped: white shows nothing."""
    corner = (0, 0)
    for _ in range(DRAWS):
        row, column = (step * int(place) for place in rng.integers(0, (SIDE - BLOCK) // step + 1, 2))
        corner = (row, column)
        if np.mean(clean[row : row + BLOCK, column : column + BLOCK] >= 1) < MOST_CLIPPED:
            break
    return corner


def _middle(picture: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """(side, side, 3) in [0, 1] of a picture's middle; pictures with a shorter edge are enlarged."""
    source = min(side, *picture.shape[:2])
    top, left = ((length - source) // 2 for length in picture.shape[:2])
    return resize(picture[top : top + source, left : left + source], side, side)


def clean_planes(path: Path, sensor: SensorKind = "bayer") -> NDArray[np.float32]:
    """(c, h, w) the clean signal of a picture, packed."""
    scene = make_scene(path, sensor=sensor)
    phase = phase_of(scene.cfa_pattern)
    return pack_cells(scene.clean[np.ix_(*whole_cells(phase, scene.clean.shape))], phase.cell.side)


def expose(scene: Scene, level: NoiseLevel) -> RawImage:
    """The noisy raw of a scene; the same again for the same names."""
    rng = np.random.default_rng(zlib.crc32(f"{scene.name} {level.name}".encode()))
    return store(add_noise(scene.clean, level.shot_noise, level.read_noise, rng), scene)


def store(signal: NDArray[np.float32], scene: Scene) -> RawImage:
    """A (H, W) mosaic as a file holds it: black added, rounded, cut off at 0 and at white."""
    height, width = signal.shape
    values = denormalise(signal, scene.levels, scene.cfa_pattern)
    metadata = RawMetadata(
        make="Photosite",
        model="Synthetic",
        iso=None,
        width=width,
        height=height,
        bits_per_sample=scene.bits,
        compression="uncompressed",
        cfa_pattern=scene.cfa_pattern,
        active_area=ActiveArea(0, 0, height, width),
        levels=scene.levels,
    )
    return RawImage(mosaic=quantise(values, 2**scene.bits - 1), metadata=metadata)


def stored_noise(level: NoiseLevel, levels: Levels) -> NoiseModel:
    """The noise of a level in a file's numbers: rounding adds a twelfth of a step squared."""
    rounding = 1 / 12 / float(levels.signal_range.mean()) ** 2
    return NoiseModel.uniform(shot_noise=level.shot_noise, read_noise=level.read_noise + rounding)


def make_cases(scene: Scene, level: NoiseLevel, raw: RawImage) -> list[Case]:
    """The blocks of a noisy raw."""
    cases = []
    for index, (row, column) in enumerate(scene.corners):
        place = slice(row, row + BLOCK), slice(column, column + BLOCK)
        metadata = dataclasses.replace(
            raw.metadata, width=BLOCK, height=BLOCK, active_area=ActiveArea(0, 0, BLOCK, BLOCK)
        )
        cases.append(
            Case(
                scene=scene,
                level=level,
                index=index,
                packed=pack_signal(RawImage(mosaic=raw.mosaic[place], metadata=metadata)),
                noise=stored_noise(level, scene.levels),
                clean=scene.clean[place],
            )
        )
    return cases
