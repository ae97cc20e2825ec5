"""Learning from noisy and clean pairs: the mean squared error in units of the noise.

What noisy-only methods are measured against ("N2C" in the papers).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from training.errors import ConfigError
from training.objectives.base import Objective, Weighting, check_choice, error_weight

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from training.networks.noise_aware import NoiseAware
    from training.objectives.base import Batch


Scale = Literal["linear", "logarithmic"]
"""Whether patches are averaged by their errors, or by their errors' logarithms."""
SMALLEST_ERROR = 0.003
"""Of a patch, in units of the noise's variance: what is below counts little more; so well flat patches become."""


class Supervised(Objective):
    """mean(w ‖f(y) − x‖²), x clean, y noisy, w one over the noise's variance.

    In strong noise a network leaves a thirtieth of the variance, in weak noise half of it. By their errors patches in
    weak noise decide nearly everything, and a decibel in strong noise counts for nothing; by their errors' logarithms,
    which are decibels, every patch counts alike.

    Args:
        weighting: "noise" as above, or "none" for plain squares, w = 1.
        scale: "linear" as above, or "logarithmic" for the mean over patches of log(mean(w ‖f(y) − x‖²) + 0.003).
    """

    def __init__(self, *, weighting: Weighting = "noise", scale: Scale = "linear") -> None:
        check_choice("weighting", weighting, Weighting)
        check_choice("scale", scale, Scale)
        self.weighting: Weighting = weighting
        self.scale: Scale = scale

    def loss(self, model: NoiseAware, batch: Batch, progress: float, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """See `Objective.loss`.

        Raises:
            ConfigError: The batch has no clean patches.
        """
        if batch.clean is None:
            raise ConfigError("objective supervised: it needs clean pictures, and this data has none")
        weight = error_weight(self.weighting, batch.clean, batch.shot_noise, batch.read_noise)  # (B, 4, h, w)
        denoised: Tensor = model(batch.noisy, batch.shot_noise, batch.read_noise)  # (B, 4, h, w)
        errors = (weight * (denoised - batch.clean).square()).mean(dim=(1, 2, 3))  # (B,)
        return (errors + SMALLEST_ERROR).log().mean() if self.scale == "logarithmic" else errors.mean()
