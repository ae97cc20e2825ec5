"""Publishes models with random weights, small ones unless asked: what they give is neither the input nor a constant.

In the flow of the tests: **publish_model** → registry → engine → denoise_file.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file

from training.manifest import Manifest
from training.networks import build_network
from training.networks.noise_aware import input_channels, plane_groups
from training.raw.cells import CELLS
from training.registry import BUNDLED_MODELS, MANIFEST_NAME, WEIGHTS_NAME, Registry, set_default

if TYPE_CHECKING:
    from pathlib import Path

    from training.raw.cells import SensorKind

SHIPPED = tuple(str(reference) for reference in Registry([BUNDLED_MODELS]).references())
"""The models that come with the package, as listings have them."""
SMALL_RESIDUAL = {"widths": [4, 8, 8], "blocks": [1, 1, 1]}
"""Options of a small residual U-Net, with the stride of the large one."""


def publish_model(
    folder: Path,
    name: str = "tiny",
    *,
    version: str = "1",
    width: int = 4,
    halo: int = 32,
    residual: bool = False,
    shape: dict[str, Any] | None = None,
    sensor: SensorKind = "bayer",
    **changes: Any,
) -> None:
    """Write a U-Net with random weights into a registry folder, and make it the default.

    Args:
        folder: The registry's folder.
        name: Name of the model.
        version: Its version; decides the weights, too.
        width: Channels of its encoder: the larger, the slower.
        halo: Served halo in packed pixels.
        residual: Whether to make a small residual U-Net of it, the shipped model's architecture.
        shape: Options of the network instead of small ones; {} for those of the network itself.
        sensor: Whose mosaics it takes; one for others than Bayer's does not become the default.
        changes: Other fields of the manifest, as they are to be.
    """
    torch.manual_seed(int(version))
    kind = "residual-unet" if residual else "unet"
    small: dict[str, Any] = SMALL_RESIDUAL if residual else {"width": width}
    channels = CELLS[sensor].channels
    inputs = input_channels("variance-stabilised", channels, plane_groups(sensor))
    options = {"in_channels": inputs, "out_channels": channels, **(small if shape is None else shape)}
    network = build_network(kind, **options)
    torch.nn.init.normal_(network.get_parameter("last.weight"), std=0.3 if shape is None else 0.003)
    place = folder / name / version
    place.mkdir(parents=True)
    save_file(network.state_dict(), place / WEIGHTS_NAME)
    manifest = Manifest(
        name=name,
        version=version,
        description="Random weights, for tests.",
        network=kind,
        network_options=options,
        input_normalisation="variance-stabilised",
        sensor=sensor,
        stride=network.stride,
        receptive_field=network.receptive_field,
        halo=halo,
        weights_sha256=hashlib.sha256((place / WEIGHTS_NAME).read_bytes()).hexdigest(),
        objective="none",
        training_data="none",
        noise_range={},
    )
    manifest = dataclasses.replace(manifest, **changes)
    (place / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
    if sensor == "bayer":
        set_default(folder, name)
