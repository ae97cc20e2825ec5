"""Deep Image Prior: a network learns one noisy picture by heart, and is stopped before it knows the noise.

From fixed random features a network is trained to give the noisy picture. It learns what is alike in many places first;
the noise comes last. The answer is the running mean of its outputs when the steps are used up.

Source: Ulyanov, Vedaldi, Lempitsky: "Deep Image Prior", CVPR 2018, section 2, with the noise on the input (σ = 1/30),
the 32 input features of uniform noise up to 0.1, and the exponential mean of outputs of its supplement. Differences,
all deliberate: the network is the one that is compared, without normalisation layers; it gives the difference to the
picture's mean colour; squares are weighed by the noise's variance, which is the same where the noise is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from training.baselines.per_picture import fit

if TYPE_CHECKING:
    from torch import Tensor

    from training.baselines.per_picture import PictureTask

FEATURES, FEATURE_SIZE, JITTER = 32, 0.1, 1 / 30
LEARNING_RATE = 1e-3
KEPT, RECENT = 0.99, 10
"""Of the running mean, at every step; less at first, so that it forgets what came before anything was learned."""


def restore(task: PictureTask) -> Tensor:
    """Denoise a picture.

    Args:
        task: The picture and how long it may take.

    Returns:
        (1, C, h, w) float32.
    """
    network = task.build(FEATURES)
    generator = torch.Generator(task.noisy.device).manual_seed(task.seed)
    size = (1, FEATURES, *task.noisy.shape[2:])
    features = FEATURE_SIZE * torch.rand(size, generator=generator, device=task.noisy.device)
    colour, weight = task.noisy.mean(dim=(2, 3), keepdim=True), task.weight
    seen: list[Tensor] = []

    def loss() -> Tensor:
        jitter = torch.randn(size, generator=generator, device=task.noisy.device)
        output = colour + network(features + FEATURE_SIZE * JITTER * jitter)
        seen[:] = [output.detach()]
        squares: Tensor = weight * (output - task.noisy).square()
        return squares.mean()

    mean = torch.zeros_like(task.noisy)
    for step in fit(network, task.budget, LEARNING_RATE, loss):
        mean.lerp_(seen[0], max(1 - KEPT, RECENT / (step + RECENT)))
    return mean
