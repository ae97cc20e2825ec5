"""A folder of captures: any raw that Photosite reads, noisy alone, with the noise model each would be served with.

In the flow: **captures** → read_raw → normalise, unify, pack → cache → crop → patch.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from training.datasets.augment import augment, draw_augmentation, draw_place, smallest_mosaic
from training.datasets.base import Patch
from training.datasets.cache import CACHE_NAME, CachedMosaic, MosaicCache, Steps
from training.datasets.files import files_under
from training.denoise import check_denoisable
from training.errors import ConfigError, RawError, UnsupportedRawError
from training.noise_choice import black_clip, choose_noise
from training.planes import pack_signal
from training.raw.bayer import unpack
from training.raw.dng import read_raw
from training.registry import SENSOR_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from training.raw.image import RawMetadata

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Capture:
    """One file, ready to be cropped."""

    name: str
    mosaic: CachedMosaic
    """(H, W) linear, not clipped, unified to RGGB."""
    shot_noise: float
    read_noise: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Captures:
    """Draws noisy patches from captures; the same seed draws the same patch."""

    captures: tuple[Capture, ...]
    patch_size: int
    """Height and width of a patch in packed pixels."""
    skipped: tuple[tuple[str, str], ...] = ()
    """File and reason of each that cannot be used."""

    def draw(self, seed: Sequence[int]) -> Patch:
        """One patch, wholly decided by `seed`."""
        rng = np.random.default_rng(seed)
        capture = self.captures[int(rng.integers(len(self.captures)))]
        height, width = capture.mosaic.shape
        place = draw_place(rng, (height, width), "RGGB", self.patch_size)
        return Patch(
            noisy=augment(capture.mosaic.read(place.slices), draw_augmentation(rng)),
            shot_noise=capture.shot_noise,
            read_noise=capture.read_noise,
            source=f"{capture.name} at row {place.top}, column {place.left}",
        )


def open_captures(folder: Path, *, patch_size: int, cache: Path | None = None) -> Captures:
    """Decode every raw under a folder that is not in the cache yet; a bad file is named in the log and skipped.

    Args:
        folder: Holds raws, at any depth; hidden files and folders are left alone.
        patch_size: Height and width of a patch in packed pixels.
        cache: Where decoded mosaics are kept; None for a folder inside `folder`.

    Raises:
        ConfigError: None of them can be used; names the first one's reason.
    """
    store = MosaicCache(cache or folder / CACHE_NAME)
    captures, skipped = [], []
    for path in tqdm(files_under(folder), desc="decoding captures", unit="file", disable=None):
        name = str(path.relative_to(folder))
        try:
            captures.append(open_capture(path, name, patch_size, store))
        except (RawError, OSError) as error:
            reason = error.message if isinstance(error, RawError) else f"{error.strerror or error}"
            skipped.append((name, reason))
            _log.warning("%s is skipped: %s", path, reason)
    if not captures:
        first = f"; {skipped[0][0]}: {skipped[0][1]}" if skipped else ""
        raise ConfigError(f"data: none of the {len(skipped)} files in {folder} can be used{first}")
    return Captures(captures=tuple(captures), patch_size=patch_size, skipped=tuple(skipped))


def open_capture(path: Path, name: str, patch_size: int, store: MosaicCache) -> Capture:
    """Take a capture from the cache, decoded first if it is not there.

    Args:
        path: A raw file.
        name: What messages call it.
        patch_size: Height and width in packed pixels of the patch that it must hold.
        store: The cache.

    Raises:
        RawError: It cannot be read, its noise is unknown, or it is too small.
    """
    mosaic = store.find(path) or _decode(path, store)
    smallest = smallest_mosaic(patch_size)
    if min(mosaic.shape) < smallest:
        height, width = mosaic.shape
        raise UnsupportedRawError(f"it has {height}×{width} photosites, fewer than the {smallest} that a patch needs")
    shot, read = mosaic.facts["noise"]
    return Capture(name, mosaic, shot, read)


def _decode(path: Path, store: MosaicCache) -> CachedMosaic:
    """Read, normalise and unify a capture, choose its noise model, and keep both."""
    raw = read_raw(path)
    require_bayer_capture(raw.metadata)
    check_denoisable(raw.metadata)
    packed = pack_signal(raw)
    choice = choose_noise(packed, raw.metadata)
    noise = [float(np.mean(values)) for values in (choice.model.shot_noise, choice.model.read_noise)]
    facts = {
        "noise": noise,
        "noise_source": choice.source,
        "camera": raw.metadata.camera,
        "black_clip": black_clip(raw.metadata),
    }
    return store.add(path, unpack(packed), facts, _steps(raw.metadata))


def require_bayer_capture(metadata: RawMetadata) -> None:
    """Refuse captures of other sensors: training from captures knows Bayer mosaics alone.

    Raises:
        UnsupportedRawError: It is one.
    """
    if metadata.sensor != "bayer":
        kind = SENSOR_NAMES[metadata.sensor]
        raise UnsupportedRawError(
            f"training from captures knows Bayer sensors alone, and this one is of the kind {kind}"
        )


def _steps(metadata: RawMetadata) -> Steps | None:
    """The steps of the normalised signal, None where channels differ."""
    levels = metadata.levels
    if levels.black_delta_rows or levels.black_delta_columns or len(set(levels.black_level)) > 1:
        return None
    return Steps(offset=levels.black_level[0], divisor=float(levels.signal_range[0]))
