"""Put published weights of another project into a registry, so that they can be scored and served like ours.

python -m training.import_checkpoint CHECKPOINT --name NAME --version 1 --registry DIR --licence LICENCE

In the flow: another project's checkpoint → **registry** → validate, serve.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import hashlib
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from training.engines.torch import TorchEngine
from training.errors import ModelError, PhotositeError
from training.golden import make_golden_tile
from training.manifest import Manifest
from training.networks import build_network
from training.networks.imported import Layout, read_state, translate
from training.registry import MANIFEST_NAME, ModelRef, Registry, new_version

LEAST_NOISE, MOST_NOISE = 1e-5, 1.2e-2
"""Shot noise of SIDD's cameras, about: what such weights are for."""


def import_checkpoint(checkpoint: Path, registry: Path, *, name: str, version: str, licence: str) -> ModelRef:
    """Translate a checkpoint and publish it.

    Args:
        checkpoint: A PyTorch state dict in Neighbor2Neighbor's or Blind2Unblind's layout.
        registry: The registry's folder; the version must not exist in it yet.
        name: The model's name.
        version: Its version.
        licence: Licence of the weights.

    Raises:
        ConfigError: The version exists, cannot be called so, or the registry cannot be written to.
        ModelError: The checkpoint cannot be read, or is of another layout.
    """
    layout, weights, options = translate(read_state(checkpoint))
    network = build_network("unet", **options)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelError(
            f"{checkpoint}: its layers have other sizes than {layout.origin}'s", detail=str(error)
        ) from error
    with new_version(registry, name, version) as reference:
        save_file(weights, reference.weights)
        manifest = Manifest(
            name=name,
            version=version,
            description=f"Weights published for {layout.origin}, imported.",
            network="unet",
            network_options=options,
            input_normalisation="none",
            stride=network.stride,
            receptive_field=network.receptive_field,
            halo=network.receptive_field,
            weights_sha256=hashlib.sha256(reference.weights.read_bytes()).hexdigest(),
            objective=layout.origin.lower(),
            training_data="as its authors state; not trained by Photosite",
            noise_range={"shot_noise": [LEAST_NOISE, MOST_NOISE]},
            training=_origin(checkpoint, layout),
            licence=licence,
        )
        _write(reference, manifest)
        golden = make_golden_tile(TorchEngine(reference, "cpu", "float32"))
        _write(reference, dataclasses.replace(manifest, golden_tile=golden))
    return Registry([registry]).resolve(str(reference))


def _origin(checkpoint: Path, layout: Layout) -> dict[str, str]:
    """Where the weights came from."""
    return {
        "imported_from": checkpoint.name,
        "sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        "layout": layout.origin,
        "torch": torch.__version__,
        "published": dt.datetime.now(tz=dt.UTC).date().isoformat(),
    }


def _write(reference: ModelRef, manifest: Manifest) -> None:
    (reference.path / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training.import_checkpoint", description="Publish another project's weights as a model."
    )
    parser.add_argument("checkpoint", type=Path, help="state dict of Neighbor2Neighbor's or Blind2Unblind's U-Net")
    parser.add_argument("--name", required=True, help="name of the model")
    parser.add_argument("--version", required=True, help="its version, which must be new")
    parser.add_argument("--registry", required=True, type=Path, help="folder of the registry")
    parser.add_argument("--licence", required=True, help="licence of the weights, as their authors state it")
    options = parser.parse_args(arguments)
    try:
        reference = import_checkpoint(
            options.checkpoint, options.registry, name=options.name, version=options.version, licence=options.licence
        )
    except PhotositeError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 2
    print(f"published {reference}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
