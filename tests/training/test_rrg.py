"""Recursive residual groups: their size, their reach, and what their attention sees."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from training.errors import ConfigError
from training.networks import build_network, rrg
from training.networks.noise_aware import NoiseAware, input_channels


def trained_looking(**options: int) -> rrg.RRG:
    """A small network whose last layer is not zero, in eval mode."""
    torch.manual_seed(0)
    network = build_network("rrg", **{"in_channels": 4, "width": 8, "reduction": 4, "groups": 2, "blocks": 2} | options)
    torch.nn.init.normal_(network.last.weight, std=0.3)
    return network.eval()


def conv(inputs: int, outputs: int, size: int = 3) -> int:
    return inputs * outputs * size * size + outputs


def test_the_network_has_the_parameters_of_the_papers() -> None:
    attention = 2 * 9 + conv(64, 4, 1) + conv(4, 64, 1)  # by place, without a bias, and by channel
    block = 2 * conv(64, 64) + 64 + attention + conv(128, 64, 1)
    by_hand = conv(4, 64) + 4 * (8 * block + conv(64, 64)) + conv(64, 64) + 64 + conv(64, 4)
    network = build_network("rrg", in_channels=4)
    assert sum(parameter.numel() for parameter in network.parameters()) == by_hand


@pytest.mark.parametrize("normalisation", ["variance-stabilised", "none"])
def test_an_untrained_network_returns_its_input(normalisation: str) -> None:
    options = {"width": 8, "reduction": 4, "groups": 1, "blocks": 1}
    model = NoiseAware(build_network("rrg", in_channels=input_channels(normalisation, 4), **options), normalisation)
    noisy, noise = torch.randn(2, 4, 11, 6), torch.full((2, 4), 1e-3)
    assert torch.equal(model(noisy, noise, noise), noisy)


def test_an_untrained_network_learns_from_its_first_gradient() -> None:
    network = build_network("rrg", in_channels=4, width=8, reduction=4, groups=1, blocks=1)
    network(torch.randn(1, 4, 8, 8)).sum().backward()
    assert float(network.last.weight.grad.abs().min()) > 0


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (8, 12)])
def test_any_size_is_a_multiple_of_the_stride(size: tuple[int, int]) -> None:
    network = trained_looking(out_channels=3)
    assert network.stride == 1
    assert network(torch.randn(2, 4, *size)).shape == (2, 3, *size)


@pytest.mark.parametrize(("groups", "blocks"), [(1, 1), (2, 1), (1, 3), (2, 2)])
def test_the_convolutions_reach_exactly_as_far_as_the_receptive_field(
    groups: int, blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the channel attention's means reach everywhere: they are held, and what is left is what the convolutions reach
    means = rrg.picture_means
    monkeypatch.setattr(rrg, "picture_means", lambda planes: means(planes).detach())
    network = trained_looking(groups=groups, blocks=blocks)
    features = torch.randn(1, 4, 1, 61, requires_grad=True)
    network(features)[..., 30].sum().backward()
    touched = torch.nonzero(features.grad.abs().sum(dim=(0, 1, 2))).ravel()
    assert 30 - int(touched.min()) == network.receptive_field
    assert int(touched.max()) - 30 == network.receptive_field


def test_a_far_pixel_changes_the_output_by_the_channel_attention_alone_and_little() -> None:
    network = trained_looking()
    features = torch.randn(1, 4, 8, 512)
    changed = features.clone()
    changed[..., 500:] += 1
    with torch.no_grad():
        before, after = network(features), network(changed)
    far, near = ((after - before).abs()[..., part].mean() for part in (slice(0, 400), slice(500, 512)))
    assert 0 < float(far) < 0.01 * float(near)


def test_blocks_weigh_by_place_and_by_channel() -> None:
    block = trained_looking(groups=1, blocks=1).groups[0].blocks[0]
    x = torch.randn(1, 8, 6, 6)
    with torch.no_grad():
        residual = block.convolutions(x)
        by_place = torch.sigmoid(block.place(torch.stack([residual.max(1).values, residual.mean(1)], 1)))
        by_channel = torch.sigmoid(block.channel(torch.nn.functional.adaptive_avg_pool2d(residual, 1)))
        expected = x + block.mixer(torch.cat([residual * by_place, residual * by_channel], 1))
        torch.testing.assert_close(block(x), expected)
    assert by_place.shape == (1, 1, 6, 6)
    assert by_channel.shape == (1, 8, 1, 1)


def test_the_first_convolution_keeps_what_bfloat16_cannot_hold() -> None:
    kept: list[Tensor] = []
    network = trained_looking()
    network.first.register_forward_hook(lambda _layer, inputs, output: kept.extend([*inputs, output]))
    with torch.autocast("cpu", torch.bfloat16):
        network(torch.randn(1, 4, 8, 8))
    assert [each.dtype for each in kept] == [torch.float32, torch.float32]


def test_a_reduction_that_leaves_no_channel_is_refused() -> None:
    with pytest.raises(ConfigError, match="reduction of 16"):
        build_network("rrg", in_channels=4, width=8)
