"""Laine et al.: likelihood and posterior mean equal closed forms that a library or plain matrices give."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import nn
from toy_objective import READ, SHOT, draws, pixels, toy_batch
from toy_prior import matrix, model_of, noisy, prior

from training.errors import ConfigError
from training.networks import build_network
from training.networks.noise_aware import NoiseAware
from training.objectives import build_objective
from training.objectives.base import Batch, surround_mean
from training.objectives.laine import (
    FIRST_SPREAD,
    Prior,
    covariance_root,
    negative_log_likelihood,
    posterior_mean,
)


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_the_likelihood_is_that_of_a_normal_distribution_over_the_channels(covariance: str) -> None:
    said, y = prior(covariance), noisy()
    found = negative_log_likelihood(y, said)
    for b, _, i, j in pixels(torch.empty(2, 1, 3, 5)):
        root = matrix(said.root, b, i, j)
        total = root @ root.T + torch.diag(said.noise[b, :, i, j])
        normal = torch.distributions.MultivariateNormal(said.mean[b, :, i, j], total)
        expected = -normal.log_prob(y[b, :, i, j]) - 2 * math.log(2 * math.pi)
        assert found[b, i, j] == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_the_posterior_mean_equals_the_product_of_both_normal_distributions(covariance: str) -> None:
    said, y = prior(covariance), noisy()
    found = posterior_mean(y, said)
    for b, _, i, j in pixels(torch.empty(2, 1, 3, 5)):
        root = matrix(said.root, b, i, j)
        signal, noise = torch.linalg.inv(root @ root.T), torch.diag(1 / said.noise[b, :, i, j])
        mean = torch.linalg.inv(signal + noise) @ (signal @ said.mean[b, :, i, j] + noise @ y[b, :, i, j])
        torch.testing.assert_close(found[b, :, i, j], mean, rtol=1e-6, atol=1e-9)


def test_the_posterior_mean_goes_from_the_measured_to_the_expected_as_the_noise_grows() -> None:
    said, y = prior(), noisy()
    quiet, loud = (said._replace(noise=torch.full_like(y, variance)) for variance in (1e-9, 1e9))
    torch.testing.assert_close(posterior_mean(y, quiet), y, rtol=0, atol=2e-3)
    torch.testing.assert_close(posterior_mean(y, loud), said.mean, rtol=0, atol=1e-5)


def test_the_posterior_mean_has_the_least_error_where_its_model_is_right() -> None:
    generator, count = torch.Generator().manual_seed(1), 40_000
    outputs = torch.tensor([0.3, 0.2, 0.1, -0.2, 0.1, 0.2, 0.4, 0.0, 0.1, 0.3], dtype=torch.float64)
    planes = outputs[None, :, None, None].expand(1, -1, 1, count)
    root = covariance_root(planes, 4, "full")
    drawn = torch.randn((1, 4, 1, count), generator=generator, dtype=torch.float64)
    clean = 0.5 + torch.stack(
        [sum(entry * drawn[:, k] for k, entry in enumerate(row)) for row in root],
        dim=1,  # type: ignore[misc]
    )
    noise = torch.full_like(clean, 0.05)
    y = clean + noise.sqrt() * torch.randn(clean.shape, generator=generator, dtype=torch.float64)
    said = Prior(torch.full_like(clean, 0.5), root, noise)
    error = (posterior_mean(y, said) - clean).square().mean()
    assert error < 0.9 * min((y - clean).square().mean(), (said.mean - clean).square().mean())
    for wrong in (0.25, 4.0):
        worse = posterior_mean(y, said._replace(noise=wrong * noise))
        assert (worse - clean).square().mean() > error


def test_the_loss_is_the_mean_likelihood_per_channel_with_the_noise_of_the_mean() -> None:
    batch, model = toy_batch(), model_of()
    loss = build_objective("laine").loss(model, batch, 0.0, draws())
    outputs = model.network.outputs.detach()
    mean = surround_mean(batch.noisy) + outputs.float()[:, :4]
    root = covariance_root(outputs.float()[:, 4:].expand(2, -1, 8, 12), 4, "full")
    said = Prior(mean, root, SHOT * mean.clamp(min=0) + READ + 0.375 * SHOT**2)
    assert loss.item() == pytest.approx(negative_log_likelihood(batch.noisy, said).mean().item() / 4, rel=1e-5)


def test_of_two_readouts_of_one_network_one_is_its_mean() -> None:
    batch, model = toy_batch(), model_of()
    mean = build_objective("laine", readout="mu").denoise(model, batch)
    torch.testing.assert_close(mean, surround_mean(batch.noisy) + model.network.outputs[:, :4].detach().float())
    assert not torch.allclose(build_objective("laine").denoise(model, batch), mean)


def test_the_ablation_without_covariance_is_trained_by_squares_in_units_of_the_noise() -> None:
    batch, model = toy_batch(), model_of(4)
    objective = build_objective("laine", covariance="none")
    mean = objective.denoise(model, batch)
    variance = SHOT * mean.clamp(min=0) + READ + 0.375 * SHOT**2
    expected = ((mean - batch.noisy).square() / variance).mean()
    assert objective.loss(model, batch, 0.0, draws()).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize(("kind", "estimates"), [("gaussian", 1), ("poisson", 1), ("poisson-gaussian", 2)])
def test_unknown_noise_is_taken_from_the_network_and_preferred(kind: str, estimates: int) -> None:
    batch, model = toy_batch(), model_of(14 + estimates)
    objective = build_objective("laine", noise="constant", kind=kind)
    said = objective.prior(model, batch)
    learned = (nn.functional.softplus(10 * model.network.outputs[0, 14:, 0, 0].float() - 4) + 1e-3).square().tolist()
    lit = said.mean.clamp(min=0)
    expected = {
        "gaussian": learned[0] + 0 * lit,
        "poisson": learned[0] * lit.clamp(min=1e-3),
        "poisson-gaussian": learned[0] * lit.clamp(min=1e-3) + learned[-1],
    }[kind]
    torch.testing.assert_close(said.noise, expected, check_dtype=False)
    likelihood = negative_log_likelihood(batch.noisy, said).mean()
    loss = objective.loss(model, batch, 0.0, draws())
    assert loss.item() == pytest.approx((likelihood - 0.1 * said.noise.sqrt().mean()).item() / 4, rel=1e-5)
    other = dataclasses.replace(batch, shot_noise=9 * batch.shot_noise, read_noise=9 * batch.read_noise)
    assert objective.loss(model, other, 0.0, draws()) == loss


def test_an_untrained_networks_prior_is_the_surroundings_mean_and_blind() -> None:
    torch.manual_seed(0)
    network = build_network("blindspot-unet", in_channels=4, out_channels=14, width=4)
    for layer in (network.last,):
        nn.init.zeros_(layer.weight)
    noisy_images = torch.rand(1, 4, 32, 32, requires_grad=True)
    level = torch.full((1, 4), 1e-3)
    batch = Batch(noisy=noisy_images, shot_noise=level, read_noise=level)
    said = build_objective("laine").prior(NoiseAware(network, "none"), batch)
    torch.testing.assert_close(said.mean, surround_mean(noisy_images))
    torch.testing.assert_close(said.root[2][2], torch.full((1, 32, 32), FIRST_SPREAD))
    (gradient,) = torch.autograd.grad(said.mean[0, :, 9, 9].sum() + said.root[3][1][0, 9, 9], noisy_images)
    assert gradient[..., 9, 9].abs().max() < 1e-6  # a window's sum less the pixel: zero but for rounding


def test_nothing_is_learned_from_clean_or_second_images() -> None:
    batch, model = toy_batch(), model_of()
    blind = dataclasses.replace(batch, clean=None, second=None)
    objective = build_objective("laine")
    assert objective.loss(model, blind, 0.5, draws()) == objective.loss(model, batch, 0.5, draws())


@pytest.mark.parametrize("options", [{"covariance": "round"}, {"noise": "loud"}, {"kind": "pink"}, {"readout": "mode"}])
def test_an_unknown_option_is_named(options: dict[str, str]) -> None:
    (name,) = options
    with pytest.raises(ConfigError, match=f"{name}: there is no"):
        build_objective("laine", **options)


def test_squares_cannot_teach_the_noise() -> None:
    with pytest.raises(ConfigError, match="nothing of it can be learned"):
        build_objective("laine", covariance="none", noise="constant")
