"""Self2Self: one noisy picture is its own teacher, by pixels that are left out and neurons that are dropped.

At every step some pixels of the picture are left out (set to 0), and the network is trained to give those, which it
did not see. Dropout in its decoder makes it a different network each time; the answer is the mean of many of them.

    L = mean over left-out pixels of w (f(b ⊙ y) − y)²,    x̂ = mean over b and dropout of f(b ⊙ y)

Source: Quan, Chen, Pang, Ji: "Self2Self With Dropout: Learning Self-Supervised Denoising From Single Image", CVPR 2020,
sections 3 and 4: pixels kept with probability 0.7, dropout 0.3, flips, Adam 1e-4. Differences, all deliberate: the
network is the one that is compared, with plain convolutions instead of partial ones and dropout before each of the
decoder's; pixels are left out in all channels alike; it gives the difference to the picture's mean colour; the learning
rate is larger, because the budgets here are a hundredth of theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

from training.baselines.per_picture import fit

if TYPE_CHECKING:
    from torch import Tensor

    from training.baselines.per_picture import PictureTask

KEPT, DROPPED = 0.7, 0.3
"""Pixels that the input keeps, and neurons that are dropped, as shares."""
PASSES = 50
"""Networks that the answer is a mean of."""
LEARNING_RATE = 1e-3


def restore(task: PictureTask) -> Tensor:
    """Denoise a picture.

    Args:
        task: The picture and how long it may take.

    Returns:
        (1, C, h, w) float32.
    """
    network = task.build(task.noisy.shape[1])
    add_dropout(network)
    generator = torch.Generator(task.noisy.device).manual_seed(task.seed)
    colour, weight = task.noisy.mean(dim=(2, 3), keepdim=True), task.weight

    def predict(picture: Tensor) -> tuple[Tensor, Tensor]:
        """What is made of the pixels that are kept, and which are not."""
        kept = draw_kept(picture, generator)
        predicted: Tensor = colour + network(kept * (picture - colour))
        return predicted, 1 - kept

    def loss() -> Tensor:
        flips = [axis for axis in (2, 3) if torch.rand((), generator=generator, device=task.noisy.device) < 0.5]
        picture, weighed = task.noisy.flip(flips), weight.flip(flips)
        predicted, left_out = predict(picture)
        squares = left_out * weighed * (predicted - picture).square()
        return squares.sum() / (left_out.sum() * picture.shape[1])

    for _ in fit(network, task.budget, LEARNING_RATE, loss):
        pass
    with torch.inference_mode():
        return torch.stack([predict(task.noisy)[0] for _ in range(PASSES)]).mean(dim=0)


def draw_kept(picture: Tensor, generator: torch.Generator) -> Tensor:
    """(1, 1, h, w): 1 with probability `KEPT`, else 0."""
    drawn = torch.rand((1, 1, *picture.shape[2:]), generator=generator, device=picture.device)
    return (drawn < KEPT).to(picture.dtype)


def add_dropout(network: nn.Module) -> None:
    """Drop neurons before every convolution of the decoder, when denoising, too."""

    def drop(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (F.dropout(inputs[0], DROPPED, training=True), *inputs[1:])

    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d) and name.startswith(("decoders", "groups")):
            layer.register_forward_pre_hook(drop)
