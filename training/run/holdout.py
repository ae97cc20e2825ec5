"""Held-out patches: what the averaged weights make of data that no step sees, as a number and as pictures.

In the flow: step → **held-out score** → log, early stop.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from training.errors import ConfigError
from training.metrics import psnr
from training.pictures import encode_png, side_by_side
from training.raw.atomic import replacing
from training.run.batches import collate
from training.run.precision import autocast

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from training.datasets.base import Patch, PatchSource
    from training.networks.noise_aware import NoiseAware
    from training.objectives.base import Objective

PATCHES = 16
PICTURES = 4
FOLDER_NAME = "pictures"


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the held-out patches found."""

    score: float
    """More is better: decibels, or minus the objective's loss where no clean patch is known."""
    figures: dict[str, float]
    """For the log."""


class HoldOut:
    """The same patches at every look, whatever the run's seed.

    Args:
        source: Where they come from.
        model: The network in its frame; copied, so that a look leaves it alone.
        objective: Judges where no clean patches are known.
        device: Where to run.
        dtype: What the network multiplies in.
    """

    def __init__(
        self, source: PatchSource, model: NoiseAware, objective: Objective, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._patches = [source.draw((0, 0, index)) for index in range(PATCHES)]
        self._model = copy.deepcopy(model).eval()
        self._objective, self._device, self._dtype = objective, device, dtype

    @torch.no_grad()
    def look(self, weights: Mapping[str, torch.Tensor], step: int, run: Path) -> Look:
        """Judge weights, and leave pictures in the run's folder.

        Raises:
            ConfigError: The pictures cannot be written.
        """
        self._model.network.load_state_dict(weights)
        denoised = [self._denoise(patch) for patch in self._patches]
        _write_pictures(run / FOLDER_NAME / f"step-{step:07}.png", self._patches[:PICTURES], denoised[:PICTURES])
        known = [
            (patch, output) for patch, output in zip(self._patches, denoised, strict=True) if patch.clean is not None
        ]
        if not known:
            loss = float(np.mean([self._loss(patch) for patch in self._patches]))
            return Look(-loss, {"held_out_loss": loss})
        before, after = (
            float(np.mean([psnr(signal, patch.clean) for patch, signal in pairs if patch.clean is not None]))
            for pairs in ([(patch, patch.noisy) for patch, _ in known], known)
        )
        return Look(after, {"psnr_noisy": before, "psnr": after})

    def _denoise(self, patch: Patch) -> NDArray[np.float32]:
        """(4, h, w) float32."""
        batch = collate([patch], self._device)
        with autocast(self._device, self._dtype):
            denoised = self._objective.denoise(self._model, batch)
        result: NDArray[np.float32] = denoised[0].float().cpu().numpy()
        return result

    def _loss(self, patch: Patch) -> float:
        """The objective's loss at the end of its schedule, with the same draws every time."""
        generator = torch.Generator(self._device).manual_seed(0)
        with autocast(self._device, self._dtype):
            return float(self._objective.loss(self._model, collate([patch], self._device), 1.0, generator))


def _write_pictures(path: Path, patches: list[Patch], denoised: list[NDArray[np.float32]]) -> None:
    """A row a patch: noisy, denoised and, where it is known, clean."""
    rows = []
    for patch, output in zip(patches, denoised, strict=True):
        clean = [] if patch.clean is None else [patch.clean]
        rows.append(side_by_side([patch.noisy, output, *clean], reference=clean[0] if clean else output))
    try:
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as file:
            file.write(encode_png(np.concatenate(rows)))
    except OSError as error:
        raise ConfigError(f"run: {path} cannot be written: {error.strerror or error}") from error
