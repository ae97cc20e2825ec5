"""Noisier2Noise and Noisy-as-Clean: their loss equals its equation; what they make of a noisy image, too."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from toy_objective import Toy, draws, pixels, toy_at, toy_batch, value_and_gradient, weight_at

from training.objectives import build_objective
from training.objectives.base import Batch
from training.objectives.noisier2noise import SEED, add_alike


@pytest.mark.parametrize("weighting", ["noise", "none"])
@pytest.mark.parametrize(("name", "told"), [("noisier2noise", 2.0), ("noisy-as-clean", 1.0)])
def test_the_loss_is_the_square_of_what_is_not_taken_away_again(name: str, told: float, weighting: str) -> None:
    batch, model = toy_batch(), Toy()
    loss = build_objective(name, weighting=weighting).loss(model, batch, 0.0, draws())
    noisier = add_alike(batch, draws())
    total = torch.zeros((), dtype=torch.float64)
    for b, c, i, j in pixels(batch.noisy):
        error = toy_at(model.parameters_abc, noisier[b, c], i, j, told) - batch.noisy[b, c, i, j]
        total = total + weight_at(weighting, noisier[b, c], i, j) * error**2
    expected = value_and_gradient(total / batch.noisy.numel(), model.parameters_abc)
    found = value_and_gradient(loss, model.parameters_abc)
    assert found[0] == pytest.approx(expected[0], rel=1e-9)
    assert found[1] == pytest.approx(expected[1], rel=1e-9)


def test_added_noise_has_no_mean_and_the_images_own_variance() -> None:
    level = torch.full((1, 3), 0.02), torch.full((1, 3), 0.003)
    batch = Batch(noisy=torch.full((1, 3, 200, 200), 0.4), shot_noise=level[0], read_noise=level[1])
    added = add_alike(batch, draws()) - batch.noisy
    assert float(added.mean()) == pytest.approx(0, abs=1e-3)
    assert float(added.var()) == pytest.approx(0.02 * 0.4 + 0.003, rel=0.02)


class Gain(nn.Module):
    """f(y) = g·y, the best linear denoiser of signals without mean."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain, dtype=torch.float64))

    def forward(self, noisy: Tensor, *_: Tensor) -> Tensor:
        """The picture, fainter."""
        return self.gain * noisy


def test_where_signal_and_noise_are_normal_the_readout_is_the_posterior_mean_of_the_noisier_image() -> None:
    signal, noise = 1.0, 0.5  # variances
    generator = draws()
    size = (1, 1, 400, 400)
    clean = signal**0.5 * torch.randn(size, generator=generator, dtype=torch.float64)
    noisy = clean + noise**0.5 * torch.randn(size, generator=generator, dtype=torch.float64)
    level = torch.zeros(1, 1, dtype=torch.float64), torch.full((1, 1), noise, dtype=torch.float64)
    batch = Batch(noisy=noisy, shot_noise=level[0], read_noise=level[1])
    objective = build_objective("noisier2noise", weighting="none")
    model = Gain((signal + noise) / (signal + 2 * noise))
    (slope,) = torch.autograd.grad(objective.loss(model, batch, 0.0, draws()), model.gain)
    assert float(slope) == pytest.approx(0, abs=0.03)  # it is the loss's minimum
    noisier = add_alike(batch, torch.Generator().manual_seed(SEED))
    best = signal / (signal + 2 * noise) * noisier
    torch.testing.assert_close(objective.denoise(model, batch), best)


def test_noisy_as_clean_denoises_the_image_itself() -> None:
    batch, model = toy_batch(), Toy()
    denoised = build_objective("noisy-as-clean").denoise(model, batch)
    torch.testing.assert_close(denoised, model(batch.noisy, batch.shot_noise, batch.read_noise))
