"""The engine that runs wherever PyTorch does: CPU or CUDA, bfloat16 where the hardware has it.

Sums in units of the signal stay in float32; only the network's own multiplications are bfloat16 (see
`training/networks/noise_aware.py`).
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
from collections import deque
from contextlib import suppress
from itertools import islice
from threading import Lock
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
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from training.manifest import Manifest
    from training.networks.base import Network
    from training.noise import NoiseModel
    from training.registry import ModelRef

_log = logging.getLogger(__name__)

_M_TRIM_THRESHOLD, _M_MMAP_MAX, _INT_MAX = -1, -4, (1 << 31) - 1

MEMORY_BYTES = {"cpu": 280 << 20, "cuda": 2 << 30}
"""What a tile may take on a device. The larger it is, the less is computed twice, in halos; a processor computes the
faster the more of a tile its caches hold, and a service runs beside others."""
BATCH_SIZES = {"cpu": 1, "cuda": 4}
"""Tiles at once: the threads of a processor already share one."""


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
        self.turn = Lock()
        self._batch_size = BATCH_SIZES[self.device]
        self._streams: tuple[torch.cuda.Stream, torch.cuda.Stream] | None = None
        if self.device == "cuda":
            self._streams = torch.cuda.Stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        model = _load_model(reference, self.manifest)
        self.tile_size = choose_tile_size(model.network, MEMORY_BYTES[self.device], self.precision)
        keep_freed_memory()
        self._model = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        check_golden_tile(self)

    def denoise_tile(self, tile: NDArray[np.float32], noise: NoiseModel) -> NDArray[np.float32]:
        """See `training.engines.base.Engine.denoise_tile`."""
        return next(self.denoise_tiles([tile], noise))

    def denoise_tiles(self, tiles: Iterable[NDArray[np.float32]], noise: NoiseModel) -> Iterator[NDArray[np.float32]]:
        """See `training.engines.base.Engine.denoise_tiles`.

        On a card one batch is computed while the one before it is handed out and the next is read.
        """
        tiles = iter(tiles)
        ahead = 1 if self.device == "cuda" else 0
        running: deque[_Running] = deque()
        while batch := list(islice(tiles, self._batch_size)):
            running.extend(self._start(np.stack(batch), noise))
            while len(running) > ahead:
                yield from running.popleft().finish()
        for part in running:
            yield from part.finish()

    def _start(self, batch: NDArray[np.float32], noise: NoiseModel) -> list[_Running]:
        """Start computing a batch; where memory is short, in smaller ones, now and from now on."""
        try:
            return [self._launch(batch, noise)]
        except torch.OutOfMemoryError as error:
            if len(batch) == 1:
                size = "×".join(map(str, batch.shape[2:]))
                raise ModelError(
                    f"{self.device} has too little memory for a tile of {size}", detail=str(error)
                ) from error
        self._batch_size = -(-len(batch) // 2)
        _log.warning("too little memory for %d tiles at once: going on with %d", len(batch), self._batch_size)
        torch.cuda.empty_cache()
        parts = np.split(batch, range(self._batch_size, len(batch), self._batch_size))
        return [running for part in parts for running in self._start(part, noise)]

    def _launch(self, batch: NDArray[np.float32], noise: NoiseModel) -> _Running:
        """Queue upload, network and download of (B, 4, h, w), each on a stream of its own where there are any."""
        noisy = torch.from_numpy(batch)
        if self._streams is None:
            return _Running(self.compute(noisy, noise))
        uploads, downloads = self._streams
        with torch.cuda.stream(uploads):
            uploaded = noisy.pin_memory().to(self.device, non_blocking=True)
        computing = torch.cuda.current_stream()
        computing.wait_stream(uploads)
        uploaded.record_stream(computing)  # its memory is not given to others before it was read
        return _Running(self.compute(uploaded, noise), downloads)

    def compute(self, noisy: torch.Tensor, noise: NoiseModel) -> torch.Tensor:
        """Denoise what is on the device, and leave the result there, perhaps not computed yet.

        Args:
            noisy: (B, 4, h, w) float32, linear, not clipped, channels R Gr Gb B.
            noise: Its noise.

        Returns:
            (B, 4, h, w) float32, linear, not clipped.
        """
        shot, read = (
            torch.tensor([values] * len(noisy), dtype=torch.float32, device=self.device)
            for values in (noise.shot_noise, noise.read_noise)
        )
        reduced = self.precision == "bfloat16"
        with torch.inference_mode(), torch.autocast(self.device, torch.bfloat16, enabled=reduced):
            denoised: torch.Tensor = self._model(noisy.contiguous(memory_format=torch.channels_last), shot, read)
            return denoised.float().contiguous()  # (B, 4, h, w)


class _Running:
    """A batch on its way back from the device.

    Args:
        denoised: (B, 4, h, w) float32, perhaps not computed yet.
        downloads: The stream on which it comes back; None where it need not.
    """

    def __init__(self, denoised: torch.Tensor, downloads: torch.cuda.Stream | None = None) -> None:
        self._denoised, self._done = denoised, None
        if downloads is not None:
            self._denoised = torch.empty_like(denoised, device="cpu", pin_memory=True)
            downloads.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(downloads):
                self._denoised.copy_(denoised, non_blocking=True)
                self._done = downloads.record_event()
            denoised.record_stream(downloads)

    def finish(self) -> NDArray[np.float32]:
        """(B, 4, h, w), as soon as it is there."""
        if self._done is not None:
            self._done.synchronize()
        result: NDArray[np.float32] = self._denoised.numpy()
        return result


def choose_tile_size(network: Network, memory_bytes: int, precision: str) -> int:
    """The side of the largest square tile that fits, halo included: a multiple of the network's stride.

    Args:
        network: Says what a pixel takes.
        memory_bytes: What a tile may take.
        precision: Of the multiplications.
    """
    per_pixel = network.bytes_per_pixel * (1 if precision == "bfloat16" else 2)
    return max(int((memory_bytes / per_pixel) ** 0.5) // network.stride, 1) * network.stride


def keep_freed_memory() -> None:
    """Have the C library keep what is freed for the next tile, and take nothing from the kernel page by page again.

    A convolution's planes are tens of megabytes; clearing their pages for each anew takes up to a third of the time.
    Encoding a raw's tiles takes three times as long without it.
    Source: mallopt(3) of the GNU C library; others know nothing of the kind.
    """
    with suppress(AttributeError, OSError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_MAX, 0)
        library.mallopt(_M_TRIM_THRESHOLD, _INT_MAX)


def choose_device(wanted: str) -> str:
    """Choose the fastest device at hand for "auto".

    Raises:
        ConfigError: It is not there.
    """
    if wanted not in {"auto", *MEMORY_BYTES}:
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
