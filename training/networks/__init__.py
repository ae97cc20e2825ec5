"""Network architectures, one per file, found by name.

A network maps (B, in_channels, h, w) to (B, out_channels, h, w) with h and w multiples of its `stride`; what its input
means is decided by `training/networks/noise_aware.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from training.errors import ConfigError
from training.networks.blindspot import BlindSpotUNet, DilatedBlindSpot
from training.networks.residual_unet import ResidualUNet
from training.networks.rrg import RRG
from training.networks.unet import UNet

if TYPE_CHECKING:
    from collections.abc import Callable

    from training.networks.base import Network

NETWORKS: dict[str, Callable[..., Network]] = {
    "blindspot-unet": BlindSpotUNet,
    "dilated-blindspot": DilatedBlindSpot,
    "residual-unet": ResidualUNet,
    "rrg": RRG,
    "unet": UNet,
}


def build_network(name: str, **options: Any) -> Network:
    """A freshly initialised network.

    Raises:
        ConfigError: There is no such network, or it does not take these options.
    """
    if name not in NETWORKS:
        raise ConfigError(f"network: there is no {name!r}; there are {', '.join(sorted(NETWORKS))}")
    try:
        return NETWORKS[name](**options)
    except TypeError as error:
        raise ConfigError(f"network {name}: it does not take the options {options}", detail=str(error)) from error
