"""Methods that are trained for every picture: they take noise away from one, and stop when they are told to."""

from __future__ import annotations

import dataclasses
import time
from importlib import import_module

import numpy as np
import pytest
import torch
from torch import nn

from training.baselines.per_picture import PictureBudget, PictureTask
from training.baselines.self2self import KEPT, add_dropout, draw_kept
from training.metrics import psnr
from training.networks import build_network

pytestmark = pytest.mark.usefixtures("one_thread")


def task(channels: int, steps: int, seed: int = 0) -> tuple[PictureTask, torch.Tensor]:
    """A soft picture with much noise, and the same without it."""
    rows = torch.linspace(0, 3, 32)
    clean = 0.4 + 0.2 * torch.sin(rows[:, None] + torch.arange(channels)[:, None, None]) * torch.cos(rows)[None]
    noisy = clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    level = torch.zeros(1, channels), torch.full((1, channels), 0.01)
    options = {"widths": [8, 16], "blocks": [1, 1]}
    made = PictureTask(
        noisy=noisy[None],
        shot_noise=level[0],
        read_noise=level[1],
        network="residual-unet",
        network_options=options,
        budget=PictureBudget(steps=steps),
        seed=seed,
    )
    return made, clean


@pytest.mark.parametrize("method", ["deep_prior", "self2self"])
@pytest.mark.parametrize("channels", [3, 4])
def test_noise_goes_and_the_same_picture_gives_the_same(method: str, channels: int) -> None:
    restore = import_module(f"training.baselines.{method}").restore
    given, clean = task(channels, 120)
    before = given.noisy.clone()
    denoised = restore(given)
    assert denoised.shape == given.noisy.shape
    assert psnr(denoised[0].numpy(), clean.numpy()) > psnr(given.noisy[0].numpy(), clean.numpy()) + 3
    assert torch.equal(given.noisy, before)
    few = task(channels, 3)[0]
    assert torch.equal(restore(few), restore(few))
    assert not torch.equal(restore(few), restore(task(channels, 3, seed=1)[0]))


def test_a_budget_is_used_up_in_steps_or_in_time() -> None:
    assert list(PictureBudget(steps=4)) == [0, 1, 2, 3]
    started = time.monotonic()
    assert list(PictureBudget(seconds=0.05))
    assert time.monotonic() - started >= 0.05
    assert list(PictureBudget(seconds=1e-9)) == [0]


def test_where_nothing_is_said_of_the_noise_all_pixels_weigh_alike() -> None:
    given, _ = task(3, 1)
    silent = dataclasses.replace(given, read_noise=torch.zeros(1, 3))
    assert torch.equal(silent.weight, torch.ones_like(given.noisy))
    assert float(given.weight.mean()) == pytest.approx(1)


def test_pixels_are_left_out_in_all_channels_alike() -> None:
    kept = draw_kept(torch.zeros(1, 3, 200, 200), torch.Generator().manual_seed(0))
    assert kept.shape == (1, 1, 200, 200)
    assert float(kept.mean()) == pytest.approx(KEPT, abs=0.01)
    assert set(np.unique(kept.numpy())) == {0.0, 1.0}


@pytest.mark.parametrize("network", ["unet", "rrg", "residual-unet"])
def test_the_decoder_drops_neurons_when_denoising_too(network: str) -> None:
    torch.manual_seed(0)
    options = {"widths": [8, 8], "blocks": [1, 1]} if network == "residual-unet" else {"width": 8}
    options |= {"reduction": 4, "groups": 1, "blocks": 1} if network == "rrg" else {}
    made = build_network(network, in_channels=3, out_channels=3, **options).eval()
    nn.init.normal_(made.last.weight)
    picture = torch.rand(1, 3, 32, 32)
    assert torch.equal(made(picture), made(picture))
    add_dropout(made)
    assert not torch.equal(made(picture), made(picture))
