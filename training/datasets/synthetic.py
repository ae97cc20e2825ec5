"""Synthetic raws: photographs taken back through the camera to linear, packed Bayer planes, then given noise.

In the flow: pictures → **patches** → objective → step.

Source: Brooks et al., "Unprocessing Images for Learned Raw Denoising", CVPR 2019, section 3: inverse tone curve,
inverse gamma, inverse colour matrix, inverse white balance with highlights kept, mosaic; the ranges of gains are
theirs. The colour matrices are drawn at random around the shape that camera matrices have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from training.datasets.base import Patch
from training.datasets.files import PICTURE_SUFFIXES
from training.datasets.pack import unpack_pictures
from training.datasets.photons import draw_noisy
from training.datasets.splits import HELD_OUT
from training.errors import ConfigError
from training.raw.bayer import pack
from training.raw.cells import CELLS, Cell
from training.raw.patterns import tile_cell

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SHOT_NOISE_RANGE = (1e-5, 1.2e-2)
DARK_STOPS, BRIGHT_STOPS = (2.0, 7.0), (0.5, 2.5)
_READ_SLOPE, _READ_OFFSET, _READ_SPREAD = 2.18, 1.2, 0.35
"""ln read = 2.18 · ln shot + 1.2, measured on phones (Brooks et al., section 3.1); the spread covers other sensors."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SyntheticRaws:
    """Draws noisy patches from a set of pictures; the same seed draws the same patch."""

    pictures: tuple[NDArray[np.uint8] | NDArray[np.float16], ...]
    """Each (H, W, 3) sRGB, 0 … 255."""
    patch_size: int
    """Height and width of a patch in packed pixels."""
    scales: tuple[float, ...]
    """Pictures are resized by one of these before mosaicking; 2 looks like a real sensor's smooth pixels."""
    cell: Cell = CELLS["bayer"]
    """Of the sensor."""
    shot_noise_range: tuple[float, float] = SHOT_NOISE_RANGE
    """Shot noise is drawn log-uniformly between these."""
    noise_levels: tuple[tuple[float, float], ...] = ()
    """Shot and read noise, of which every patch is given one; empty for the range above."""
    names: tuple[str, ...] = ()
    """The pictures' names, for error messages; empty to number them."""
    weights: tuple[float, ...] = ()
    """How often each picture is drawn, relatively; empty for all alike."""
    dark_share: float = 0.0
    """Share of the patches that are exposed `DARK_STOPS` less."""
    bright_share: float = 0.0
    """Share of the patches that are exposed `BRIGHT_STOPS` more: parts of them are white."""
    pairs: bool = False
    """Whether a second noisy frame of each patch is drawn, too."""

    def draw(self, seed: Sequence[int]) -> Patch:
        """One patch, wholly decided by `seed`."""
        rng = np.random.Generator(np.random.SFC64(seed))  # a third faster than NumPy's usual one
        index = self._draw_picture(rng)
        side = self.cell.side * self.patch_size
        srgb = draw_crop(self.pictures[index], side, float(rng.choice(self.scales)), rng)  # (2h, 2w, 3)
        exposure = np.float32(self._draw_exposure(rng))
        clean = np.minimum(exposure * unprocess_planes(srgb, draw_camera(rng), self.cell), 1)  # (4, h, w)
        shot, read = self._draw_noise(rng)
        noisy = draw_noisy(clean, shot, read, rng)
        if rng.random() < 0.5:  # a file can hold no more than white; a sensor's signal often ends there
            noisy = np.minimum(noisy, 1)
        second = draw_noisy(clean, shot, read, rng) if self.pairs else None
        name = self.names[index] if self.names else f"picture {index}"
        return Patch(noisy=noisy, clean=clean, second=second, shot_noise=shot, read_noise=read, source=name)

    def _draw_picture(self, rng: np.random.Generator) -> int:
        if not self.weights:
            return int(rng.integers(len(self.pictures)))
        steps = np.cumsum(self.weights)
        return int(np.searchsorted(steps, rng.random() * steps[-1], side="right"))

    def _draw_noise(self, rng: np.random.Generator) -> tuple[float, float]:
        """Shot and read noise."""
        if self.noise_levels:
            return self.noise_levels[int(rng.integers(len(self.noise_levels)))]
        return draw_noise_levels(rng, self.shot_noise_range)

    def _draw_exposure(self, rng: np.random.Generator) -> float:
        """What the signal is multiplied by; every patch draws as many numbers."""
        kind, place = rng.random(2)
        if kind < self.dark_share:
            return float(2 ** -np.interp(place, (0, 1), DARK_STOPS))
        if kind < self.dark_share + self.bright_share:
            return float(2 ** np.interp(place, (0, 1), BRIGHT_STOPS))
        return 1.0


def load_pictures(
    place: Path,
    *,
    patch_size: int,
    scales: tuple[float, ...],
    shot_noise_range: tuple[float, float] = SHOT_NOISE_RANGE,
    held_out: bool = False,
    cell: Cell = CELLS["bayer"],
) -> SyntheticRaws:
    """All pictures of a folder or a pack that are large enough for a patch, but for those held out.

    Args:
        place: A folder that holds them, at any depth, or a file that `pack.py` made of one.
        patch_size: Height and width of a patch in packed pixels.
        scales: See `SyntheticRaws`.
        shot_noise_range: See `SyntheticRaws`.
        held_out: Load those held out instead.
        cell: Of the sensor.

    Raises:
        ConfigError: There is none.
    """
    large = read_pictures(place, int(np.ceil(cell.side * patch_size / min(scales))), held_out=held_out)
    return SyntheticRaws(
        pictures=tuple(large.values()),
        patch_size=patch_size,
        scales=scales,
        shot_noise_range=shot_noise_range,
        names=tuple(large),
        cell=cell,
    )


def read_pictures(place: Path, smallest: int, *, held_out: bool = False) -> dict[str, NDArray[np.uint8]]:
    """All pictures of a folder or a pack that have so many pixels each way, by name, but for those held out.

    Args:
        place: See `load_pictures`.
        smallest: Pixels of the shorter edge at least.
        held_out: Read those held out instead.

    Raises:
        ConfigError: There is none.
    """
    pictures = unpack_pictures(place, held_out=held_out) if place.is_file() else _folder(place, held_out=held_out)
    large = {name: picture for name, picture in pictures if min(picture.shape[:2]) >= smallest}
    if not large:
        raise ConfigError(f"data: no picture of at least {smallest}×{smallest} pixels in {place}")
    return large


def _folder(folder: Path, *, held_out: bool) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Path and picture of those that are held out by name, or of all others."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
    return ((str(path), read_picture(path)) for path in paths if (path.stem in HELD_OUT) == held_out)


def read_picture(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 sRGB.

    Raises:
        ConfigError: It is no picture, or half of one.
    """
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        size = path.stat().st_size if path.is_file() else 0
        raise ConfigError(f"data: {path}: expected a picture, found {size} bytes that are none: {error}") from error


def resize(picture: NDArray[np.uint8] | NDArray[np.float16], width: int, height: int) -> NDArray[np.float32]:
    """(height, width, 3) float32 in [0, 1], each channel resized in float so that no 8-bit step is added."""
    if picture.shape[:2] == (height, width):
        return picture.astype(np.float32) / np.float32(255)
    channels = [Image.fromarray(picture[..., c].astype(np.float32)) for c in range(3)]
    resized = [np.asarray(c.resize((width, height), Image.Resampling.BICUBIC)) for c in channels]
    clipped: NDArray[np.float32] = np.clip(np.stack(resized, axis=-1) / np.float32(255), 0, 1)
    return clipped


def draw_crop(
    picture: NDArray[np.uint8] | NDArray[np.float16], size: int, scale: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """A random (size, size, 3) crop of the picture resized by `scale`, flipped and turned at random."""
    source = int(np.ceil(size / scale))
    top, left = (int(rng.integers(length - source + 1)) for length in picture.shape[:2])
    crop = resize(picture[top : top + source, left : left + source], size, size)
    crop = np.rot90(crop, int(rng.integers(4)))
    return crop[:, ::-1] if rng.random() < 0.5 else crop


@dataclass(frozen=True, slots=True)
class Camera:
    """What makes a displayed picture out of a sensor's signal, to be undone."""

    matrix: NDArray[np.float32]
    """(3, 3) linear sRGB to camera RGB."""
    gains: NDArray[np.float32]
    """(3,) white balance and exposure, for R, G, B."""


def draw_camera(rng: np.random.Generator) -> Camera:
    """A camera's colour matrix, white balance and exposure."""
    matrix = draw_colour_matrix(rng)
    gains = np.array([rng.uniform(1.9, 2.4), 1.0, rng.uniform(1.5, 1.9)]) / rng.uniform(0.6, 1.4)
    return Camera(matrix.astype(np.float32), gains.astype(np.float32))


def unprocess(srgb: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """An sRGB picture back to the linear signal of a camera drawn at random.

    Args:
        srgb: (H, W, 3) in [0, 1].
        rng: Draws the camera's colour matrix, white balance and exposure.

    Returns:
        (H, W, 3) float32 camera R, G, B; can exceed 1 a little where highlights are kept.
    """
    camera, linear = draw_camera(rng), linearise(srgb)
    return np.stack([sensor_signal(linear, camera, colour) for colour in range(3)], axis=-1)


def unprocess_planes(srgb: NDArray[np.float32], camera: Camera, cell: Cell = CELLS["bayer"]) -> NDArray[np.float32]:
    """(2h, 2w, 3) sRGB to the (4, h, w) planes of an RGGB mosaic, or of another cell's; computes only what they take.

    What has no colour filter sees what the three together see, at green's gain.
    """
    linear = linearise(srgb)
    planes = []
    for place, colour in enumerate(cell.plane_colours):
        row, column = divmod(place, cell.side)
        seen = linear[row :: cell.side, column :: cell.side]
        planes.append(sensor_signal(seen, camera, "RGB".find(colour)) if colour != "Y" else grey_signal(seen, camera))
    return np.stack(planes)


def linearise(srgb: NDArray[np.float32]) -> NDArray[np.float32]:
    """Displayed sRGB in [0, 1] to linear sRGB of the same shape: tone curve and transfer function undone.

    Looked up, a hundredth of an 8-bit step apart: several times as fast, on a million numbers a training step.
    """
    return _LINEAR[(srgb * np.float32(_LINEAR.size - 1) + np.float32(0.5)).astype(np.uint16)]


def sensor_signal(linear: NDArray[np.float32], camera: Camera, colour: int) -> NDArray[np.float32]:
    """(h, w) of one colour (0, 1, 2 for R, G, B) of a camera, from (h, w, 3) linear sRGB."""
    rows = np.stack([camera.matrix[colour], camera.matrix.mean(axis=0)], axis=1)  # the colour, and the colours' mean
    balanced, grey = np.moveaxis(linear @ rows, -1, 0)  # (h, w) each
    return invert_gain(balanced, grey, float(camera.gains[colour]))


def grey_signal(linear: NDArray[np.float32], camera: Camera) -> NDArray[np.float32]:
    """(h, w) of a sensor without colour filters, from (h, w, 3) linear sRGB."""
    grey = linear @ camera.matrix.mean(axis=0)
    return invert_gain(grey, grey, float(camera.gains[1]))


def invert_tone_curve(displayed: NDArray[np.floating]) -> NDArray[np.floating]:
    """Undo a global S-curve, the smoothstep 3x² − 2x³.

    >>> invert_tone_curve(np.array([0.0, 0.5, 1.0])).round(6).tolist()
    [0.0, 0.5, 1.0]
    """
    curve: NDArray[np.floating] = 0.5 - np.sin(np.arcsin(1 - 2 * displayed) / 3)
    return curve


def expand_gamma(encoded: NDArray[np.floating]) -> NDArray[np.floating]:
    """Undo the sRGB transfer function (IEC 61966-2-1).

    >>> expand_gamma(np.array([0.0, 0.04045, 1.0])).round(6).tolist()
    [0.0, 0.003131, 1.0]
    """
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


_LINEAR = expand_gamma(invert_tone_curve(np.linspace(0, 1, 2**15))).astype(np.float32)
"""Linear sRGB by displayed sRGB."""


def draw_colour_matrix(rng: np.random.Generator) -> NDArray[np.float64]:
    """(3, 3) linear sRGB to camera RGB; rows sum to 1, so that grey stays grey."""
    own = rng.uniform([0.45, 0.65, 0.5], [0.85, 0.95, 0.9])
    share = rng.uniform([0.7, 0.3, 0.0], [1.0, 0.7, 0.25])  # how much of the rest goes to the nearer neighbour
    rest = 1 - own
    return np.array(
        [
            [own[0], rest[0] * share[0], rest[0] * (1 - share[0])],
            [rest[1] * share[1], own[1], rest[1] * (1 - share[1])],
            [rest[2] * share[2], rest[2] * (1 - share[2]), own[2]],
        ]
    )


def invert_gain(balanced: NDArray[np.float32], grey: NDArray[np.float32], gain: float) -> NDArray[np.float32]:
    """Divide a colour by its gain, bending back to 1 near white so that highlights stay white.

    Args:
        balanced: (h, w) linear, one colour.
        grey: (h, w) the mean of the colours there.
        gain: White balance times exposure; only one above 1 is bent.
    """
    keep = np.square(np.clip(10 * grey - 9, 0, 1))
    unbalanced: NDArray[np.float32] = balanced * np.maximum(keep + (1 - keep) / gain, 1 / gain)
    return unbalanced


def mosaic_planes(camera: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W, 3) camera RGB to the (4, H/2, W/2) planes of an RGGB mosaic."""
    return pack(mosaic_of(camera))


def mosaic_of(camera: NDArray[np.float32], cell: Cell = CELLS["bayer"]) -> NDArray[np.float32]:
    """(H, W, 3) camera RGB to the (H, W) RGGB mosaic, or another cell's; without colour filters the colours' mean."""
    seen = np.concatenate([camera, camera.mean(axis=2, keepdims=True)], axis=2)
    colours = np.vectorize("RGBY".index)(cell.grid)
    return np.take_along_axis(seen, tile_cell(colours, camera.shape[:2])[..., None], axis=2)[..., 0]


def draw_noise_levels(rng: np.random.Generator, shot_noise_range: tuple[float, float]) -> tuple[float, float]:
    """Shot noise log-uniform in its range, read noise around the line measured on phones."""
    shot = float(np.exp(rng.uniform(*np.log(shot_noise_range))))
    return shot, typical_read_noise(shot) * float(np.exp(rng.normal(0, _READ_SPREAD)))


def typical_read_noise(shot_noise: float) -> float:
    """The read noise that usually comes with a shot noise, both variances.

    >>> round(typical_read_noise(1e-3) * 1e6, 3)
    0.958
    """
    return float(np.exp(_READ_SLOPE * np.log(shot_noise) + _READ_OFFSET))


def add_noise(
    clean: NDArray[np.float32], shot_noise: float, read_noise: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Photons counted (Poisson) and read out (Gaussian): variance shot_noise · clean + read_noise; not clipped."""
    counted = shot_noise * rng.poisson(np.maximum(clean, 0) / shot_noise)
    return (counted + rng.normal(0, np.sqrt(read_noise), clean.shape)).astype(np.float32)
