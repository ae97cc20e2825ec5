"""Blind2Unblind: learning from noisy images alone, with blind spots that are made visible again.

Every pixel is predicted from its surroundings only (a blind spot), which cannot teach the identity; a second term adds
the prediction that saw the pixel, without gradient, so that what it knows is not lost.

Source: Wang, Liu, Li, Han: "Blind2Unblind: Self-Supervised Image Denoising with Visible Blind Spots", CVPR 2022: its
global-aware mask mapper and its regularised re-visible loss. The filling of masked pixels, the constants and the rise
of β are those of the authors' raw training, train_sidd_b2u.py in zejinwang/Blind2Unblind. Differences, both deliberate:
pixels beyond the border are mirrored (theirs are 0, which darkens masked pixels there); β rises from step to step
(theirs from epoch to epoch).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from training.errors import ConfigError
from training.objectives.base import Objective, Weighting, check_choice, error_weight

if TYPE_CHECKING:
    from torch import Tensor

    from training.networks.noise_aware import NoiseAware
    from training.objectives.base import Batch

CELL = 4
"""One pixel of each 4×4 cell is masked at a time."""
MASKS = CELL * CELL
RISE_FROM = 0.4
"""Share of the training after which β rises."""


class Blind2Unblind(Objective):
    """‖d + β (f(y) − y)‖² + α ‖d‖², d = h(f(Ω(y))) − y, with no gradient through f(y).

    Ω masks pixels, h gathers the predictions at the masked ones. A training step costs as much as `masks` supervised
    ones. The weight of a pixel is decided by its surroundings.

    Args:
        masks: How many of the 16 masks a step draws; the loss is taken over their pixels.
        alpha: Weight α of the blind term.
        beta: Weight β of the visible prediction in the first 40 % of the training, and at its end.
        weighting: "noise" for squares in units of the noise's variance, or "none" for the paper's plain ones.

    Raises:
        ConfigError: An option has none of these values.
    """

    def __init__(
        self,
        *,
        masks: int = MASKS,
        alpha: float = 1.0,
        beta: tuple[float, float] = (2.0, 20.0),
        weighting: Weighting = "noise",
    ) -> None:
        check_choice("weighting", weighting, Weighting)
        if not 1 <= masks <= MASKS:
            raise ConfigError(f"masks: got {masks}, wanted 1 … {MASKS}")
        if not (alpha >= 0 and min(beta) >= 0):
            raise ConfigError(f"alpha, beta: got {alpha} and {beta}, wanted 0 or more")
        self.masks, self.alpha, self.beta = masks, alpha, beta
        self.weighting: Weighting = weighting

    def loss(self, model: NoiseAware, batch: Batch, progress: float, generator: torch.Generator) -> Tensor:
        """See `Objective.loss`; h and w are multiples of 4."""
        noise = batch.shot_noise, batch.read_noise
        positions = draw_masks(self.masks, generator)
        blind = predict_blind(model, batch, positions)  # (B, 4·masks, h/4, w/4)
        noisy = gather(batch.noisy, positions)
        with torch.no_grad():
            visible = gather(model(batch.noisy, *noise), positions)
        weight = gather(error_weight(self.weighting, batch.noisy, *noise), positions)
        difference = blind - noisy  # (B, 4·masks, h/4, w/4)
        revisible = difference + self.beta_at(progress) * (visible - noisy)
        return (weight * (revisible.square() + self.alpha * difference.square())).mean()

    def beta_at(self, progress: float) -> float:
        """β after this share of the training.

        >>> [round(Blind2Unblind().beta_at(progress), 6) for progress in (0, 0.4, 0.7, 1)]
        [2.0, 2.0, 11.0, 20.0]
        """
        start, end = self.beta
        return start + (end - start) * max(0.0, progress - RISE_FROM) / (1 - RISE_FROM)


def draw_masks(count: int, generator: torch.Generator) -> list[int]:
    """That many different masks: positions of pixels in their 4×4 cells, counted row by row."""
    order: list[int] = torch.randperm(MASKS, generator=generator, device=generator.device).tolist()
    return order[:count]


def predict_blind(model: NoiseAware, batch: Batch, positions: list[int]) -> Tensor:
    """Predict pixels by a network that does not see them, each mask in a pass of its own.

    Args:
        model: The network.
        batch: Noisy patches, h and w multiples of 4.
        positions: Masks, as `draw_masks` gives them.

    Returns:
        (B, 4·len(positions), h/4, w/4): the predictions at the masked pixels.
    """
    count = len(positions)
    masked = torch.cat([mask(batch.noisy, position) for position in positions])  # (masks·B, 4, h, w)
    predicted = model(masked, batch.shot_noise.repeat(count, 1), batch.read_noise.repeat(count, 1))
    each = zip(predicted.chunk(count), positions, strict=True)
    return torch.cat([gather(prediction, [position]) for prediction, position in each], dim=1)


def mask(images: Tensor, position: int) -> Tensor:
    """Replace a pixel of each 4×4 cell by a mean of its eight neighbours, those beside it counting twice.

    Args:
        images: (B, C, h, w).
        position: Of the pixel in its cell, 0 … 15, counted row by row.

    Returns:
        (B, C, h, w).
    """
    height, width = images.shape[2:]
    around = F.pad(images, (1, 1, 1, 1), mode="reflect")  # (B, C, h + 2, w + 2)
    moved = {(y, x): around[..., y : y + height, x : x + width] for y in range(3) for x in range(3)}
    sides = moved[0, 1] + moved[1, 0] + moved[1, 2] + moved[2, 1]
    corners = moved[0, 0] + moved[0, 2] + moved[2, 0] + moved[2, 2]
    row, column = divmod(position, CELL)
    masked = images.clone()
    masked[..., row::CELL, column::CELL] = ((sides + corners / 2) / 6)[..., row::CELL, column::CELL]
    return masked


def gather(images: Tensor, positions: list[int]) -> Tensor:
    """(B, C·len(positions), h/4, w/4): the pixels at these positions of each 4×4 cell, one mask after another."""
    places = [divmod(position, CELL) for position in positions]
    return torch.cat([images[..., row::CELL, column::CELL] for row, column in places], dim=1)
