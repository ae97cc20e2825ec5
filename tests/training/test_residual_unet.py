"""The folded residual U-Net: its size, its reach, its start, and the numbers that it multiplies in."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from training.errors import ConfigError
from training.networks import build_network
from training.networks.noise_aware import NoiseAware, input_channels
from training.networks.residual_unet import ResidualUNet

SHAPES = [
    {"widths": (4, 6, 8), "blocks": (1, 1, 1)},
    {"widths": (4, 6), "blocks": (2, 1), "fold": 1},
    {"widths": (4,), "blocks": (2,), "fold": 3},
    {"widths": (4, 4, 4), "blocks": (1, 2, 1), "fold": 1},
]


def trained_looking(**options: Any) -> ResidualUNet:
    """A small network whose last layer is not zero, in eval mode."""
    torch.manual_seed(0)
    network = build_network("residual-unet", **{"in_channels": 4, "widths": (8, 8), "blocks": (1, 1)} | options)
    assert isinstance(network, ResidualUNet)
    torch.nn.init.normal_(network.last.weight, std=0.3)
    return network.eval()


def conv(inputs: int, outputs: int, size: int = 3) -> int:
    return inputs * outputs * size * size + outputs


def test_the_parameters_are_those_counted_by_hand() -> None:
    network = build_network("residual-unet", in_channels=9, widths=(64, 128), blocks=(1, 2))
    by_hand = conv(36, 64) + conv(64, 128, 2) + conv(128, 64, 2) + conv(64, 16)
    by_hand += 2 * 2 * conv(64, 64) + 4 * conv(128, 128)
    assert sum(parameter.numel() for parameter in network.parameters()) == by_hand


@pytest.mark.parametrize("normalisation", ["variance-stabilised", "none"])
def test_an_untrained_network_returns_its_input(normalisation: str) -> None:
    network = build_network("residual-unet", in_channels=input_channels(normalisation, 4), widths=(8, 8), blocks=(1, 1))
    noisy, noise = torch.randn(2, 4, 12, 8), torch.full((2, 4), 1e-3)
    assert torch.equal(NoiseAware(network, normalisation)(noisy, noise, noise), noisy)


def test_an_untrained_network_learns_from_its_first_gradient() -> None:
    network = build_network("residual-unet", in_channels=4, widths=(8, 8), blocks=(1, 1))
    network(torch.randn(1, 4, 8, 8)).sum().backward()
    assert float(network.get_parameter("last.weight").grad.abs().sum()) > 0


@pytest.mark.parametrize("options", SHAPES)
def test_the_network_reaches_exactly_as_far_as_its_receptive_field(options: dict[str, Any]) -> None:
    network = trained_looking(**options)
    length = (2 * network.receptive_field // network.stride + 3) * network.stride
    farthest = 0
    for place in range(length // 2, length // 2 + network.stride):
        features = torch.randn(1, 4, network.stride, length, requires_grad=True)
        network(features)[..., place].sum().backward()
        assert features.grad is not None
        touched = torch.nonzero(features.grad.abs().sum(dim=(0, 1, 2))).ravel()
        farthest = max(farthest, place - int(touched.min()), int(touched.max()) - place)
    assert farthest == network.receptive_field


@pytest.mark.parametrize("options", SHAPES)
def test_a_tile_with_its_halo_gives_what_the_whole_picture_gives(options: dict[str, Any]) -> None:
    network = trained_looking(**options)
    halo = -(-network.receptive_field // network.stride) * network.stride
    picture = torch.randn(1, 4, 2 * network.stride, 4 * halo + network.stride)
    inner = slice(2 * halo, 2 * halo + network.stride)
    with torch.no_grad():
        whole = network(picture)[..., inner]
        tile = network(picture[..., halo : 3 * halo + network.stride])[..., halo : halo + network.stride]
    torch.testing.assert_close(tile, whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("options", SHAPES)
def test_any_multiple_of_the_stride_will_do(options: dict[str, Any]) -> None:
    network = trained_looking(**options, out_channels=3)
    size = network.stride, 3 * network.stride
    assert network(torch.randn(2, 4, *size)).shape == (2, 3, *size)


def test_the_first_convolution_is_float32_and_the_others_are_not() -> None:
    kept: dict[str, Tensor] = {}
    network = trained_looking()
    for name, layer in network.named_modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(lambda _layer, _inputs, output, name=name: kept.update({name: output}))
    with torch.autocast("cpu", torch.bfloat16):
        network(torch.randn(1, 4, 8, 8))
    reduced = {name for name, output in kept.items() if output.dtype == torch.bfloat16}
    assert set(kept) - reduced == {"first"}


@pytest.mark.parametrize("options", [{"widths": (8, 8), "blocks": (1,)}, {"fold": 0}, {"blocks": (1, 0)}])
def test_an_impossible_shape_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="residual-unet"):
        trained_looking(**options)
