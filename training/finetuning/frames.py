"""The customer's captures as frames: decoded once, kept in the run's folder, with the noise of each.

Two noise models: the one a frame would be served with, which the network is told, and the one that is measured here for
training and judging. They differ where noise has long tails; a network that is trained by the one and told the other
learns to make up for that.

In the flow: files → **frames** → static pairs, defects, regions.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.datasets.cache import CACHE_NAME, MosaicCache
from training.datasets.captures import open_capture
from training.errors import ConfigError, RawError
from training.noise import NoiseModel
from training.noise_estimation import estimate_noise
from training.raw.bayer import pack
from training.raw.defects import fill_bad_pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from training.datasets.cache import CachedMosaic

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """One capture."""

    name: str
    path: Path
    """The file."""
    digest: str
    """Its SHA-256."""
    camera: str
    mosaic: CachedMosaic
    """(H, W) linear, not clipped, unified to RGGB."""
    told: NoiseModel
    """Its noise as it would be served."""
    actual: NoiseModel
    """Its noise as measured, with the true second moment."""
    black_clip: float
    """The smallest signal that the file can hold."""
    defects: NDArray[np.bool_] | None = None
    """(H, W) photosites that are wrong in every capture of this camera, None for none."""

    @property
    def kind(self) -> tuple[str, tuple[int, ...]]:
        """What frames share that come from one sensor: camera and size."""
        return self.camera, self.mosaic.shape

    def read(self, area: tuple[slice, slice] = (slice(None), slice(None))) -> NDArray[np.float32]:
        """A part of the mosaic, as the camera measured it."""
        return self.mosaic.read(area)

    def read_filled(self, area: tuple[slice, slice] = (slice(None), slice(None))) -> NDArray[np.float32]:
        """The same with defective photosites filled in from their neighbours."""
        signal = self.mosaic.read(area)
        return signal if self.defects is None else fill_bad_pixels(signal, self.defects[area], "RGGB")


def open_frames(
    paths: Sequence[Path], run: Path, patch_size: int, progress: Callable[[float], None]
) -> tuple[list[Frame], list[str]]:
    """Decode captures; a bad one is named and left out, and a file that is there twice is taken once.

    Args:
        paths: The files.
        run: The run's folder, for the decoded mosaics.
        patch_size: Height and width in packed pixels of the smallest patch that training needs.
        progress: Called between files with the share done; what it raises ends the work.

    Returns:
        Frames in the order of the files, and sentences about those left out.

    Raises:
        ConfigError: None of them can be used; names the first one's reason.
    """
    store = MosaicCache(run / CACHE_NAME)
    frames: dict[str, Frame] = {}
    skipped = []
    for index, path in enumerate(paths):
        progress(index / len(paths))
        try:
            frame = _open_frame(path, store, patch_size)
            if frame.digest in frames:
                skipped.append(f"{path.name}: the same file as {frames[frame.digest].name}")
            frames.setdefault(frame.digest, frame)
        except (RawError, OSError) as error:
            reason = error.message if isinstance(error, RawError) else f"{error.strerror or error}"
            skipped.append(f"{path.name}: {reason}")
            _log.warning("%s is left out: %s", path, reason)
    if not frames:
        raise ConfigError(f"captures: none of the {len(paths)} files can be used; {skipped[0] if skipped else 'none'}")
    return list(frames.values()), skipped


def with_defects(frame: Frame, defects: NDArray[np.bool_] | None) -> Frame:
    """The frame with these photosites known to be wrong, and its noise measured without them."""
    known = dataclasses.replace(frame, defects=defects)
    return dataclasses.replace(known, actual=_measure(known.read_filled(), frame.told, frame.black_clip))


def _open_frame(path: Path, store: MosaicCache, patch_size: int) -> Frame:
    """One frame.

    Raises:
        RawError: It cannot be read, its noise is unknown, or it is too small.
        OSError: There is no such file.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    capture = open_capture(path, path.name, patch_size, store)
    told = NoiseModel.uniform(shot_noise=capture.shot_noise, read_noise=capture.read_noise)
    black_clip = capture.mosaic.facts["black_clip"]
    return Frame(
        name=path.name,
        path=path,
        digest=digest,
        camera=capture.mosaic.facts["camera"],
        mosaic=capture.mosaic,
        told=told,
        actual=_measure(capture.mosaic.read(), told, black_clip),
        black_clip=black_clip,
    )


def _measure(mosaic: NDArray[np.float32], told: NoiseModel, black_clip: float) -> NoiseModel:
    """The noise that a picture shows, whatever its tails; what the network is told where it shows none."""
    estimate = estimate_noise(pack(mosaic), black_clip, flat_by="others")
    return estimate.model if estimate and estimate.is_sure else told
