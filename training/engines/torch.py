"""The engine that runs wherever PyTorch does: CPU or CUDA, bfloat16 where the hardware has it.

Sums in units of the signal stay in float32; only the network's own multiplications are bfloat16 (see
`training/networks/noise_aware.py`).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from training.errors import ConfigError, ModelError
from training.golden import check_golden_tile
from training.networks import build_network
from training.networks.noise_aware import NoiseAware

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.manifest import Manifest
    from training.noise import NoiseModel
    from training.registry import ModelRef

TILE_SIZES = {"cpu": 768, "cuda": 1024}


class TorchEngine:
    """See `training.engines.base.Engine`.

    Args:
        reference: Which model.
        device: "auto", "cpu" or "cuda".
        precision: "auto", "float32" or "bfloat16".
    """

    def __init__(self, reference: ModelRef, device: str = "auto", precision: str = "auto") -> None:
        self.manifest = reference.manifest()
        self.device = choose_device(device)
        self.precision = choose_precision(self.device, precision)
        self.tile_size = TILE_SIZES[self.device]
        self._model = _load_model(reference, self.manifest).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        check_golden_tile(self)

    def denoise_tile(self, tile: NDArray[np.float32], noise: NoiseModel) -> NDArray[np.float32]:
        """See `training.engines.base.Engine.denoise_tile`."""
        noisy = torch.from_numpy(np.ascontiguousarray(tile))[None].to(self.device)  # (1, 4, h, w)
        shot, read = (
            torch.tensor([values], dtype=torch.float32, device=self.device)
            for values in (noise.shot_noise, noise.read_noise)
        )
        reduced = self.precision == "bfloat16"
        with torch.inference_mode(), torch.autocast(self.device, torch.bfloat16, enabled=reduced):
            denoised = self._model(noisy.contiguous(memory_format=torch.channels_last), shot, read)
        result: NDArray[np.float32] = denoised[0].float().cpu().contiguous().numpy()
        return result


def choose_device(wanted: str) -> str:
    """Choose the fastest device at hand for "auto".

    Raises:
        ConfigError: It is not there.
    """
    if wanted not in {"auto", *TILE_SIZES}:
        raise ConfigError(f"device: there is no {wanted!r}; there are auto, cpu and cuda")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: cuda is not available on this machine")
    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


def choose_precision(device: str, wanted: str) -> str:
    """Choose bfloat16 for "auto" where the hardware multiplies in it, else float32."""
    if wanted != "auto":
        return wanted
    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    return "bfloat16" if torch.cpu.get_capabilities().get("avx512_bf16", False) else "float32"


def _load_model(reference: ModelRef, manifest: Manifest) -> NoiseAware:
    try:
        with reference.weights.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != manifest.weights_sha256:
            raise ModelError(f"the weights of {reference} are not those of its manifest", detail=f"SHA-256 {digest}")
        weights = load_file(reference.weights)
        network = build_network(manifest.network, **manifest.network_options)
        network.load_state_dict(weights)
        return NoiseAware(network.eval(), manifest.input_normalisation)
    except (OSError, SafetensorError, RuntimeError, ConfigError, TypeError) as error:
        raise ModelError(f"the weights of {reference} cannot be loaded", detail=str(error)) from error
