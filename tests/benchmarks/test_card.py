"""The table of a graphics card: its counts against PyTorch's and by hand, and all of it on a processor."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest
import torch
from benchmarks.speed import card
from benchmarks.speed.card import count_work
from tiny_models import publish_model
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from training.networks import build_network
from training.networks.base import Network

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["unet", "residual-unet"])
def test_operations_are_as_pytorch_counts_them(name: str) -> None:
    network = build_network(name, in_channels=9)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, 9, 64, 96))
    assert count_work(network, 9, 64, 96, 2).operations == counter.get_total_flops()


class _Two(Network):
    """Two layers."""

    stride = 4

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.ConvTranspose2d(5, 2, 2, stride=2))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Through both."""
        result: torch.Tensor = self.layers(features)
        return result


def test_bytes_are_those_of_input_weights_and_output() -> None:
    work = count_work(_Two(), 3, 8, 16, 2)
    first = 3 * 8 * 16 + 5 * 3 * 9 + 5 * 8 * 16
    second = 5 * 8 * 16 + 5 * 2 * 4 + 2 * 16 * 32
    assert work.bytes == 2 * (first + second)
    assert work.operations == 2 * (5 * 3 * 9 * 8 * 16 + 5 * 2 * 4 * 8 * 16)


def test_the_table_of_a_processor_holds_every_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish_model(tmp_path / "models")
    files = ["--json", str(tmp_path / "card.json"), "--markdown", str(tmp_path / "card.md")]
    words = ["--device", "cpu", "--megapixels", "2", "--frames", "2", "--at-once", "2", "--model", "tiny"]
    assert card.main([*words, "--models-dir", str(tmp_path / "models"), *files]) == 0
    found = json.loads((tmp_path / "card.json").read_text())
    rates = [found["frames_per_s"], *found["stages"].values(), *found["ceilings"].values()]
    assert all(math.isfinite(rate) and rate > 0 for rate in rates)
    network = found["network"]
    at_most = network["operations"] / found["ceilings"]["operations_per_s"] / (network["ms"] / 1000)
    assert network["share_of_ceiling"] >= at_most * 0.999
    table = capsys.readouterr().out
    assert table == (tmp_path / "card.md").read_text()
    assert "| file to file, frames/s |" in table
    assert "peak on the card" not in table, "there is none"
