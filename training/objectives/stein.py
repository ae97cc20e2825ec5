"""Stein's unbiased risk estimate as a loss: learning from noisy images alone, where the noise is Gaussian and known.

The expected squared error to the clean signal, written without it; the divergence is probed with a random direction b
of ±1:

    L = mean(w [(f(y) − y)² − v + 2 σ b (f(y + εσb) − f(y)) / ε]),    v = σ² the noise's variance

Source: Stein, "Estimation of the Mean of a Multivariate Normal Distribution", Annals of Statistics 9(6), 1981; Ramani,
Blu, Unser, "Monte-Carlo SURE", IEEE TIP 17(9), 2008; as a loss for networks: Soltanayev and Chun, "Training Deep
Learning Based Denoisers without Ground Truth Data", NeurIPS 2018, equation 8. Of noise that depends on the signal it is
a first-order approximation, v being taken at the mean of the pixels around each. The judge of fine-tunings uses the
same estimate pixel by pixel, with NumPy (`training/finetuning/stein.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from training.errors import ConfigError
from training.finetuning.stein import STEP
from training.objectives.base import Objective, Weighting, check_choice, error_weight, surround_mean
from training.objectives.recorrupted import noise_deviation

if TYPE_CHECKING:
    from torch import Tensor

    from training.networks.noise_aware import NoiseAware
    from training.objectives.base import Batch


class Stein(Objective):
    """See the module; the loss can be negative.

    Args:
        step: ε, in standard deviations of the noise.
        weighting: "noise" for w of one over the noise's variance, or "none" for plain squares, w = 1.

    Raises:
        ConfigError: An option has none of these values.
    """

    def __init__(self, *, step: float = STEP, weighting: Weighting = "noise") -> None:
        check_choice("weighting", weighting, Weighting)
        if not step > 0:
            raise ConfigError(f"step: got {step}, wanted more than 0")
        self.step = step
        self.weighting: Weighting = weighting

    def loss(self, model: NoiseAware, batch: Batch, progress: float, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """See `Objective.loss`."""
        noise = batch.shot_noise, batch.read_noise
        deviation = noise_deviation(surround_mean(batch.noisy), *noise)  # (B, C, h, w)
        probe = torch.randint(2, deviation.shape, generator=generator, device=deviation.device) * 2 - 1
        denoised: Tensor = model(batch.noisy, *noise)
        moved: Tensor = model(batch.noisy + self.step * deviation * probe, *noise)
        divergence = deviation * probe * (moved - denoised) / self.step
        risk = (denoised - batch.noisy).square() - deviation.square() + 2 * divergence
        return (error_weight(self.weighting, batch.noisy, *noise) * risk).mean()
