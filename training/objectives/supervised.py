"""Learning from noisy and clean pairs: the mean squared error in units of the noise.

What noisy-only methods are measured against ("N2C" in the papers).
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


class Supervised(Objective):
    """mean(w ‖f(y) − x‖²), x clean, y noisy, w one over the noise's variance.

    Args:
        weighting: "noise" as above, or "none" for plain squares, w = 1.
    """

    def __init__(self, *, weighting: Weighting = "noise") -> None:
        check_choice("weighting", weighting, Weighting)
        self.weighting: Weighting = weighting

    def loss(self, model: NoiseAware, batch: Batch, progress: float, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """See `Objective.loss`.

        Raises:
            ConfigError: The batch has no clean patches.
        """
        if batch.clean is None:
            raise ConfigError("objective supervised: it needs clean pictures, and this data has none")
        weight = error_weight(self.weighting, batch.clean, batch.shot_noise, batch.read_noise)  # (B, 4, h, w)
        denoised: Tensor = model(batch.noisy, batch.shot_noise, batch.read_noise)  # (B, 4, h, w)
        return (weight * (denoised - batch.clean).square()).mean()
