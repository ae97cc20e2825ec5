"""Impulse noise: moments and posterior mean equal plain matrices and what many draws give."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor
from toy_objective import draws, pixels, toy_batch
from toy_prior import SHAPE, matrix, model_of, noisy, prior

from training.objectives import build_objective, impulses
from training.objectives.base import surround_mean
from training.objectives.laine import Prior, negative_log_likelihood, posterior_mean

SHARES = torch.tensor([0.5, 0.2], dtype=torch.float64)[:, None, None, None]
"""One for each of two images."""
ROOT = torch.tensor([[0.06, 0.0, 0.0], [0.02, 0.04, 0.0], [-0.01, 0.02, 0.05]], dtype=torch.float64)
MEAN = torch.tensor([0.4, 0.55, 0.6], dtype=torch.float64)
SHARE, COUNT = 0.4, 200_000


def said(covariance: str = "full") -> Prior:
    """Random numbers, as a network would give them."""
    return prior(covariance)._replace(noise=torch.full(SHAPE, 1e-6, dtype=torch.float64), impulses=SHARES)


def kept_at(given: Prior, b: int, i: int, j: int) -> Tensor:
    """Σₓ in one pixel."""
    root = matrix(given.root, b, i, j)
    return root @ root.T + 1e-6 * torch.eye(4, dtype=torch.float64)


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_the_loss_is_the_normal_distribution_with_the_mixtures_moments(covariance: str) -> None:
    given, y = said(covariance), noisy()
    found = negative_log_likelihood(y, given)
    identity, ones = torch.eye(4, dtype=torch.float64), torch.ones(4, 4, dtype=torch.float64)
    for b, _, i, j in pixels(torch.empty(2, 1, 3, 5)):
        share, mean = float(SHARES[b]), given.mean[b, :, i, j]
        moved = share / 2 + (1 - share) * mean
        second = share * (ones / 4 + identity / 12) + (1 - share) * (kept_at(given, b, i, j) + torch.outer(mean, mean))
        normal = torch.distributions.MultivariateNormal(moved, second - torch.outer(moved, moved))
        expected = -normal.log_prob(y[b, :, i, j]) - 2 * math.log(2 * math.pi)
        assert found[b, i, j] == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_the_posterior_mean_weighs_both_by_how_probably_the_pixel_was_kept(covariance: str) -> None:
    given, y = said(covariance), noisy()
    found = posterior_mean(y, given)
    for b, _, i, j in pixels(torch.empty(2, 1, 3, 5)):
        share, mean = float(SHARES[b]), given.mean[b, :, i, j]
        normal = torch.distributions.MultivariateNormal(mean, kept_at(given, b, i, j))
        density = (1 - share) * math.exp(normal.log_prob(y[b, :, i, j]))
        weight = density / (share + density)
        torch.testing.assert_close(found[b, :, i, j], weight * y[b, :, i, j] + (1 - weight) * mean, rtol=0, atol=1e-9)


def test_where_nothing_or_everything_is_replaced_the_measured_or_the_expected_is_left() -> None:
    given, y = said(), noisy()
    none, all_of_them = (given._replace(impulses=torch.full_like(SHARES, share)) for share in (0.0, 1.0))
    torch.testing.assert_close(posterior_mean(y, none), y)
    torch.testing.assert_close(posterior_mean(y, all_of_them), given.mean)


def drawn(generator: torch.Generator, *, normal: bool = True) -> tuple[Tensor, Tensor]:
    """Clean colours of mean `MEAN` and covariance ROOT·ROOTᵀ, and the same with impulses: (1, 3, 1, COUNT) each."""
    size = (COUNT, 3)
    options = {"generator": generator, "dtype": torch.float64}
    spread = torch.randn(size, **options) if normal else math.sqrt(12) * (torch.rand(size, **options) - 0.5)
    clean = MEAN + spread @ ROOT.T
    replaced = torch.rand((COUNT, 1), **options) < SHARE
    measured = torch.where(replaced, torch.rand(size, **options), clean)
    return clean.T[None, :, None], measured.T[None, :, None]


def planes_of(mean: Tensor, root: Tensor) -> tuple[Tensor, list[list[Tensor]]]:
    """The same prior in every pixel, and its covariance's lower half."""
    covariance = root @ root.T
    lower = [[covariance[i, j].expand(1, 1, COUNT) for j in range(i + 1)] for i in range(3)]
    return mean[None, :, None, None].expand(1, 3, 1, COUNT), lower


def test_many_draws_have_the_signal_for_their_mean_once_centred() -> None:
    clean, measured = drawn(torch.Generator().manual_seed(2))
    gap = impulses.centred(measured, torch.tensor(SHARE, dtype=torch.float64)) - clean
    assert bool((gap.mean(dim=-1).abs() < 4 * gap.std(dim=-1) / math.sqrt(COUNT)).all())


@pytest.mark.parametrize("normal", [True, False])
def test_the_loss_is_least_at_the_true_mean_and_covariance_whatever_the_distribution(normal: bool) -> None:
    _, measured = drawn(torch.Generator().manual_seed(3), normal=normal)
    share = torch.full((1, 1, 1, 1), SHARE, dtype=torch.float64)
    mean, root = (each.clone().requires_grad_() for each in (MEAN, ROOT))
    total = impulses.negative_log_likelihood(measured, *planes_of(mean, root), share)
    parts = total.reshape(100, -1).mean(dim=1)  # for the spread of the gradient
    gradients = torch.stack(
        [torch.cat([g.flatten() for g in torch.autograd.grad(part, [mean, root], retain_graph=True)]) for part in parts]
    )
    error = gradients.std(dim=0) / math.sqrt(len(gradients))
    assert bool((gradients.mean(dim=0).abs() <= 4 * error + 1e-12).all())
    shifted = impulses.negative_log_likelihood(measured, *planes_of(MEAN + 0.05, ROOT), share).mean()
    wider = impulses.negative_log_likelihood(measured, *planes_of(MEAN, 2 * ROOT), share).mean()
    assert total.mean() < min(shifted, wider)


def test_the_posterior_means_error_is_unrelated_to_all_that_was_measured() -> None:
    clean, measured = drawn(torch.Generator().manual_seed(4))
    share = torch.full((1, 1, 1, 1), SHARE, dtype=torch.float64)
    found = impulses.posterior_mean(measured, *planes_of(MEAN, ROOT), share)
    for known in (torch.ones_like(measured), measured, found, measured.square()):  # so is E[x | y] defined
        product = (found - clean) * known
        assert bool((product.mean(dim=-1).abs() < 4 * product.std(dim=-1) / math.sqrt(COUNT)).all())
    error = (found - clean).square().mean()
    prior_error, measured_error = ((each - clean).square().mean() for each in (MEAN[None, :, None, None], measured))
    assert error < 0.6 * prior_error < 0.1 * measured_error


def test_a_batch_with_impulses_is_learned_from_as_such() -> None:
    batch, model = toy_batch(), model_of()
    given = dataclasses.replace(batch, impulses=SHARES.flatten().float())
    objective = build_objective("laine")
    said_of_it = objective.prior(model, given)
    around = (surround_mean(batch.noisy) - SHARES / 2) / (1 - SHARES)
    torch.testing.assert_close(
        said_of_it.mean, around.float() + model.network.outputs[:, :4].float(), check_dtype=False, rtol=1e-5, atol=1e-6
    )
    expected = negative_log_likelihood(batch.noisy, said_of_it).mean() / 4
    assert objective.loss(model, given, 0.0, draws()).item() == pytest.approx(expected.item(), rel=1e-6)
    assert objective.loss(model, batch, 0.0, draws()).item() != pytest.approx(expected.item(), rel=1e-3)
    torch.testing.assert_close(objective.denoise(model, given), posterior_mean(batch.noisy, said_of_it))
    torch.testing.assert_close(build_objective("laine", readout="mu").denoise(model, given), said_of_it.mean)


def test_an_unknown_share_is_learned_without_being_told() -> None:
    batch, model = toy_batch(), model_of(15)
    objective = build_objective("laine", noise="constant", kind="impulse")
    found = objective.prior(model, batch).impulses
    expected = torch.sigmoid(10 * model.network.outputs[:, 14:].float() - 4)
    torch.testing.assert_close(found, expected.expand_as(found))
    loss = objective.loss(model, batch, 0.0, draws())
    likelihood = negative_log_likelihood(batch.noisy, objective.prior(model, batch)).mean()
    assert loss.item() == pytest.approx((likelihood - 0.1 * found.mean()).item() / 4, rel=1e-5)
    told = dataclasses.replace(batch, impulses=torch.tensor([0.9, 0.9]))
    assert objective.loss(model, told, 0.0, draws()) == loss
    (gradient,) = torch.autograd.grad(loss, model.network.outputs)
    assert gradient[0, 14] != 0


def test_two_moments_do_not_tell_impulses_from_a_wide_prior_which_is_why_the_loss_prefers_them() -> None:
    y = noisy()[:, :3]
    share = torch.full((2, 1, 1, 1), SHARE, dtype=torch.float64)
    offset, identity = 0.5 - MEAN, torch.eye(3, dtype=torch.float64)
    narrow = 1e-4 * identity
    wide = SHARE * identity / 12 + (1 - SHARE) * narrow + SHARE * (1 - SHARE) * torch.outer(offset, offset)

    def everywhere(mean: Tensor, covariance: Tensor) -> tuple[Tensor, list[list[Tensor]]]:
        lower = [[covariance[i, j].expand(2, 3, 5) for j in range(i + 1)] for i in range(3)]
        return mean[None, :, None, None].expand(2, 3, 3, 5), lower

    by_impulses = impulses.negative_log_likelihood(y, *everywhere(MEAN, narrow), share)
    by_prior = impulses.negative_log_likelihood(y, *everywhere(MEAN + SHARE * offset, wide), torch.zeros_like(share))
    torch.testing.assert_close(by_impulses, by_prior)
