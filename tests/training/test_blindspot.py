"""Blind-spot networks: no output pixel depends on the input pixel at its place, and each on as much as is stated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from training.errors import ConfigError
from training.networks import build_network
from training.networks.blindspot import move_down

if TYPE_CHECKING:
    from training.networks.base import Network

pytestmark = pytest.mark.usefixtures("one_thread")

NETWORKS: dict[str, dict[str, Any]] = {
    "blindspot-unet": {"width": 4, "out_channels": 3},
    "dilated-blindspot": {"width": 4, "out_channels": 3, "blocks": 2},
}


def network_of(name: str, **options: Any) -> Network:
    torch.manual_seed(0)
    return build_network(name, in_channels=2, **NETWORKS[name], **options)


def influence(network: Network, size: tuple[int, int], place: tuple[int, int]) -> torch.Tensor:
    """(h, w): how much any output channel at a place depends on each input pixel."""
    features = torch.rand(1, 2, *size, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(features)[0, :, place[0], place[1]].sum(), features)
    return gradient[0].abs().sum(dim=0)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("place", [(0, 0), (13, 18), (31, 31), (32, 40), (63, 95), (47, 16)])
def test_an_output_pixel_does_not_depend_on_its_own_input_pixel(name: str, place: tuple[int, int]) -> None:
    felt = influence(network_of(name), (64, 96), place)
    assert felt[place] == 0
    row, column = place
    around = [(row + y, column + x) for y, x in ((-1, 0), (1, 0), (0, -1), (0, 1))]
    assert all(felt[y, x] > 0 for y, x in around if 0 <= y < 64 and 0 <= x < 96)


@pytest.mark.parametrize("blocks", [1, 2, 6])
def test_the_dilated_network_reaches_as_far_as_it_says(blocks: int) -> None:
    torch.manual_seed(0)
    network = build_network("dilated-blindspot", in_channels=2, out_channels=1, width=4, blocks=blocks)
    assert reach_of(network, (65, 65), (32, 32)) == network.receptive_field


@pytest.mark.parametrize("upright", [True, False])
def test_the_half_plane_network_reaches_as_far_as_it_says(upright: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # a maximum has the gradient of one pixel of four, and could have that of any
    monkeypatch.setattr(torch.nn.functional, "max_pool2d", torch.nn.functional.avg_pool2d)
    network = network_of("blindspot-unet")
    for layer in network.modules():  # whatever can be reached is, and by numbers that float32 holds
        if isinstance(layer, torch.nn.Conv2d):
            layer.weight.data.fill_(1 / (3 * layer.in_channels))
    size = (736, 32) if upright else (32, 736)
    reaches = [reach_of(network, size, (352 + place, 5) if upright else (5, 352 + place)) for place in (3, 16, 28)]
    assert max(reaches) == network.receptive_field


def reach_of(network: Network, size: tuple[int, int], place: tuple[int, int]) -> int:
    """How many pixels away, at most, an input pixel lies that an output pixel depends on."""
    rows, columns = (influence(network, size, place) > 0).nonzero(as_tuple=True)
    return int(max((rows - place[0]).abs().max(), (columns - place[1]).abs().max()))


def test_four_views_cover_all_directions_alike() -> None:
    network = network_of("blindspot-unet")
    for mixer in (network.mixers[0],):
        joined = mixer.weight.data.unflatten(1, (4, -1))
        joined[:] = joined.mean(dim=1, keepdim=True)
    features = torch.rand(1, 2, 32, 32)
    turned = network(torch.rot90(features, 1, (2, 3)))
    torch.testing.assert_close(torch.rot90(turned, -1, (2, 3)), network(features))


def test_moving_down_drops_the_last_row() -> None:
    rows = torch.arange(6.0).reshape(1, 1, 3, 2)
    assert move_down(rows).ravel().tolist() == [0, 0, 0, 1, 2, 3]


@pytest.mark.parametrize("noise", ["constant", "variable"])
def test_unknown_parameters_of_the_noise_are_the_last_channels_and_the_same_everywhere(noise: str) -> None:
    network = network_of("blindspot-unet", noise=noise, estimates=2)
    features = torch.rand(3, 2, 32, 64)
    if noise == "variable":
        torch.nn.init.normal_(network.estimator.last.weight)
    output = network(features)
    assert output.shape == (3, 3, 32, 64)
    estimates = output[:, 1:]
    torch.testing.assert_close(estimates, estimates[..., :1, :1].expand_as(estimates))
    assert (estimates[0] == estimates[1]).all() == (noise == "constant")
    estimates.sum().backward()
    learned = network.constant if noise == "constant" else network.estimator.last.weight
    assert learned.grad.abs().sum() > 0
    assert network.last.weight.grad is None or not network.last.weight.grad.any()


@pytest.mark.parametrize(("noise", "estimates"), [("known", 1), ("constant", 0), ("guessed", 1)])
def test_an_impossible_noise_is_named(noise: str, estimates: int) -> None:
    with pytest.raises(ConfigError, match=f"got noise '{noise}' with {estimates} estimates"):
        network_of("blindspot-unet", noise=noise, estimates=estimates)
