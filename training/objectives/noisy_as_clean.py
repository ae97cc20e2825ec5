"""Noisy-as-Clean: a noisy image taken for a clean one, and made noisy again for the network to denoise.

The training is that of Noisier2Noise, z = y + n′ → y; but then the network is used on y itself, as if clean images had
taught it: x̂ = f(y). That is right where the noise is weak against the signal.

Source: Xu, Huang, Cheng, Liu, Zhu, Xu, Shao: "Noisy-as-Clean: Learning Self-Supervised Denoising from Corrupted Image",
IEEE TIP 29, 2020, section 3. It wants the noise's distribution to be known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.objectives.base import Objective
from training.objectives.noisier2noise import Noisier2Noise

if TYPE_CHECKING:
    from torch import Tensor

    from training.networks.noise_aware import NoiseAware
    from training.objectives.base import Batch


class NoisyAsClean(Noisier2Noise):
    """mean(w (f(z) − y)²), f being told the noise that was added, which is that of what it is used on."""

    direct = True
    told = 1.0

    def denoise(self, model: NoiseAware, batch: Batch) -> Tensor:
        """See `Objective.denoise`."""
        return Objective.denoise(self, model, batch)
