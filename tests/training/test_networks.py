"""Networks and their noise-aware frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from training.errors import ConfigError
from training.networks import build_network
from training.networks.noise_aware import NoiseAware, input_channels, noise_features, plane_groups, stabilise
from training.raw.cells import CELLS

if TYPE_CHECKING:
    from training.networks.base import Network


def noise(shot: float, read: float, batch: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.full((batch, 4), shot), torch.full((batch, 4), read)


def trained_looking(width: int = 8, in_channels: int = 9) -> Network:
    """A U-Net whose last layer is not zero."""
    torch.manual_seed(0)
    network = build_network("unet", in_channels=in_channels, width=width)
    torch.nn.init.normal_(network.last.weight, std=0.3)
    return network.eval()


def test_the_unet_has_as_many_parameters_as_the_papers() -> None:
    # 1,100,000 and some: field notes of Blind2Unblind; counted by hand from Table 4 of Laine et al. with 4 channels
    network = build_network("unet", in_channels=4)
    by_hand = conv(4, 48) + 6 * conv(48, 48) + conv(96, 96) + conv(96, 96) + 3 * (conv(144, 96) + conv(96, 96))
    by_hand += conv(100, 96) + conv(96, 96) + 2 * conv(96, 96, 1) + conv(96, 4, 1)
    assert sum(parameter.numel() for parameter in network.parameters()) == by_hand


def conv(inputs: int, outputs: int, size: int = 3) -> int:
    return inputs * outputs * size * size + outputs


@pytest.mark.parametrize("normalisation", ["variance-stabilised", "none"])
def test_an_untrained_network_returns_its_input(normalisation: str) -> None:
    torch.manual_seed(0)
    model = NoiseAware(build_network("unet", in_channels=input_channels(normalisation, 4), width=8), normalisation)
    noisy = torch.randn(2, 4, 64, 32)
    assert torch.equal(model(noisy, *noise(1e-3, 1e-6, 2)), noisy)


def test_the_residual_is_in_units_of_the_noise() -> None:
    torch.manual_seed(0)
    model = NoiseAware(trained_looking())
    flat = torch.full((1, 4, 64, 64), 0.25)
    changes = [
        float((model(flat, *noise(shot, 1e-9)) - flat).detach().abs().mean()) / shot**0.5 for shot in (1e-4, 1.1e-4)
    ]
    assert changes[0] == pytest.approx(changes[1], rel=0.05)


def test_stabilised_noise_has_unit_variance_at_every_brightness() -> None:
    rng = np.random.default_rng(0)
    shot, read = 1e-3, 4e-6
    for signal in (0.05, 0.3, 0.9):
        counted = shot * rng.poisson(signal / shot, (1, 4, 128, 128)) + rng.normal(0, read**0.5, (1, 4, 128, 128))
        stabilised, deviation = stabilise(torch.from_numpy(counted), *noise(shot, read))
        assert float(stabilised.var()) == pytest.approx(1, abs=0.05)
        assert float(deviation.mean()) == pytest.approx((shot * signal + read) ** 0.5, rel=0.02)


def test_stabilising_equals_anscombes_transform_above_black() -> None:
    signal = torch.linspace(0, 1, 64, dtype=torch.float64).reshape(1, 4, 4, 4)
    shot, read = torch.full((1, 4), 2e-3, dtype=torch.float64), torch.full((1, 4), 3e-5, dtype=torch.float64)
    stabilised, _ = stabilise(signal, shot, read)
    anscombe = 2 * torch.sqrt(signal / 2e-3 + 3e-5 / 2e-3**2 + 0.375)
    torch.testing.assert_close(stabilised, anscombe - anscombe.ravel()[0])


def test_stabilising_without_shot_noise_divides_by_the_read_noise() -> None:
    stabilised, _ = stabilise(torch.full((1, 4, 1, 1), 0.5), *noise(0.0, 1e-4))
    assert float(stabilised[0, 0, 0, 0]) == pytest.approx(50)


def test_features_are_finite_below_black_and_without_signal() -> None:
    features, _ = noise_features(torch.full((1, 4, 32, 32), -0.1), *noise(1e-5, 1e-10))
    assert features.shape == (1, 9, 32, 32)
    assert bool(torch.isfinite(features).all())


def test_a_changed_pixel_reaches_no_further_than_the_receptive_field() -> None:
    network = trained_looking()
    features = torch.randn(1, 9, 32, 512)
    changed = features.clone()
    changed[..., 256] += 10
    with torch.no_grad():
        difference = (network(features) - network(changed)).abs().amax(dim=(0, 1, 2))
    touched = torch.nonzero(difference > 0).ravel()
    assert 256 - int(touched.min()) <= network.receptive_field
    assert int(touched.max()) - 256 <= network.receptive_field


def test_an_unknown_network_or_option_is_named() -> None:
    with pytest.raises(ConfigError, match="there is no 'resnet'"):
        build_network("resnet")
    with pytest.raises(ConfigError, match="does not take"):
        build_network("unet", in_channels=4, depth=3)


def test_planes_of_one_colour_share_their_brightness() -> None:
    """The coarse picture has a plane for each colour: its mean over 3×3 cells."""
    groups = plane_groups("x-trans")
    planes = torch.rand(1, 36, 5, 5)
    level = torch.full((1, 36), 1e-3)
    features, deviation = noise_features(planes, level, level, groups)
    assert features.shape == (1, input_channels("variance-stabilised", 36, groups), 5, 5)
    assert deviation.shape == planes.shape
    greens = list(CELLS["x-trans"].planes_of("G"))
    coarse = features[0, 36 + 1, 2, 2]  # of B, G, R
    torch.testing.assert_close(coarse.square(), planes[0, greens, 1:4, 1:4].mean())
    assert plane_groups("bayer") == plane_groups("monochrome") == ()
