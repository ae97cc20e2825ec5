"""Noise2Noise: learning from two noisy frames of one scene.

The second frame's noise is independent and has no mean, so that the best prediction of it is the signal itself.

Source: Lehtinen et al., "Noise2Noise: Learning Image Restoration without Clean Data", ICML 2018, section 2, equation 6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.errors import ConfigError
from training.objectives.base import Objective, Weighting, check_choice, error_weight

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from training.networks.noise_aware import NoiseAware
    from training.objectives.base import Batch


class Noise2Noise(Objective):
    """mean(w ‖f(y) − y′‖²), y and y′ two frames, w one over the noise's variance, decided by y alone.

    Args:
        weighting: "noise" as above, or "none" for the paper's plain squares, w = 1.
    """

    def __init__(self, *, weighting: Weighting = "noise") -> None:
        check_choice("weighting", weighting, Weighting)
        self.weighting: Weighting = weighting

    def loss(self, model: NoiseAware, batch: Batch, progress: float, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """See `Objective.loss`.

        Raises:
            ConfigError: The batch has no second frames.
        """
        if batch.second is None:
            raise ConfigError("objective noise2noise: it needs two frames of each scene, and this data has one")
        weight = error_weight(self.weighting, batch.noisy, batch.shot_noise, batch.read_noise)  # (B, 4, h, w)
        denoised: Tensor = model(batch.noisy, batch.shot_noise, batch.read_noise)  # (B, 4, h, w)
        return (weight * (denoised - batch.second).square()).mean()
