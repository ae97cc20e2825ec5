"""Methods that train nothing: what people would use instead of a network, for comparison. Importing this loads none.

All take planes and their true noise model. All but the "white" ones stabilise the noise, treat it as white and Gaussian
of unit variance, and go back to the linear signal without bias (`anscombe.py`).
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from training.errors import ConfigError
from training.raw.cells import CELLS

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from training.noise import NoiseModel
    from training.raw.cells import SensorKind

_PLACES = {
    "bm3d": ("training.baselines.bm3d", "denoise_planes"),
    "bm3d-colour": ("training.baselines.bm3d", "denoise_colour"),
    "bm3d-filled": ("training.baselines.whole_mosaic", "denoise_colours"),
    "bm3d-mosaic": ("training.baselines.whole_mosaic", "denoise"),
    "bm3d-white": ("training.baselines.bm3d", "denoise_white_planes"),
    "bm3d-white-colour": ("training.baselines.bm3d", "denoise_white_colour"),
    "nl-means": ("training.baselines.nonlocal_means", "denoise"),
    "wavelets": ("training.baselines.wavelets", "denoise"),
}
BASELINES = tuple(_PLACES)
ANY_SENSOR = ("bm3d-filled", "bm3d-mosaic")
"""Methods that take planes of any sensor's cell, but no pictures."""
INSTALL = "pip install 'photosite[benchmark]'"


class Baseline(Protocol):
    """One method."""

    def __call__(self, packed: NDArray[np.float32], noise: NoiseModel) -> NDArray[np.float32]:
        """Denoise (4, h, w) planes R Gr Gb B, linear, not clipped, or (3, h, w) R G B, to the same; never below 0."""


def load_baseline(name: str, sensor: SensorKind = "bayer") -> Baseline:
    """Find a method and the library that it stands on.

    Args:
        name: Which method.
        sensor: Whose planes it will be given: of others than Bayer's, `ANY_SENSOR` can denoise those.

    Raises:
        ConfigError: There is no such method, it does not know such sensors, or its library is not installed.
    """
    if name not in _PLACES:
        raise ConfigError(f"baseline: there is no {name!r}; there are {', '.join(BASELINES)}")
    if sensor != "bayer" and name not in ANY_SENSOR:
        raise ConfigError(f"baseline: {name} knows Bayer mosaics alone, not {sensor} ones")
    module, function = _PLACES[name]
    try:
        found: Callable[..., NDArray[np.float32]] = getattr(import_module(module), function)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("training"):
            raise
        terms = " (BM3D is free for non-commercial use only)" if name.startswith("bm3d") else ""
        raise ConfigError(f"baseline: {name} needs {error.name}, which is not installed: {INSTALL}{terms}") from error
    return partial(found, cell=CELLS[sensor]) if name in ANY_SENSOR else found
