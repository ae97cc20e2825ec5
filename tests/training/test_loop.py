"""Training: stopped and resumed is the same as never stopped."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from training.checkpoint import load_checkpoint
from training.config import TrainingConfig
from training.datasets.synthetic import SyntheticRaws
from training.errors import ConfigError, ModelError
from training.loop import learning_rate, train
from training.train import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from training.objectives.base import Batch

CPU = torch.device("cpu")


def config(**changes: Any) -> TrainingConfig:
    base = TrainingConfig(
        preset="test",
        objective="supervised",
        network_options={"width": 4},
        patch_size=32,
        batch_size=2,
        steps=6,
        warmup_steps=2,
        scales=(1.0,),
    )
    return dataclasses.replace(base, **changes)


def pictures() -> SyntheticRaws:
    rng = np.random.default_rng(0)
    return SyntheticRaws(pictures=(rng.integers(0, 256, (96, 96, 3), dtype=np.uint8),), patch_size=32, scales=(1.0,))


def test_a_resumed_run_ends_with_the_same_weights_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = load_checkpoint(train(config(), pictures(), tmp_path / "whole", resume=False, device=CPU))

    monkeypatch.setattr("training.loop.CHECKPOINT_SECONDS", -1.0)  # after every step
    monkeypatch.setattr("training.loop.draw_batch", _dies_at(3))
    with pytest.raises(KeyboardInterrupt):
        train(config(), pictures(), tmp_path / "cut", resume=False, device=CPU)
    monkeypatch.undo()
    resumed = load_checkpoint(train(config(), pictures(), tmp_path / "cut", resume=True, device=CPU))

    assert whole.step == resumed.step == 6
    for group in ("network", "average", "optimiser"):
        for name, tensor in getattr(whole, group).items():
            assert torch.equal(tensor, getattr(resumed, group)[name]), name


def _dies_at(fatal_step: int) -> Callable[..., Batch]:
    from training.loop import draw_batch

    def draw(config: TrainingConfig, data: SyntheticRaws, step: int, device: torch.device) -> Batch:
        if step == fatal_step:
            raise KeyboardInterrupt
        return draw_batch(config, data, step, device)

    return draw


def test_a_used_folder_is_refused_without_resume(tmp_path: Path) -> None:
    train(config(steps=1), pictures(), tmp_path, resume=False, device=CPU)
    with pytest.raises(ConfigError, match="--resume"):
        train(config(steps=1), pictures(), tmp_path, resume=False, device=CPU)


def test_another_configuration_cannot_be_resumed(tmp_path: Path) -> None:
    train(config(steps=1), pictures(), tmp_path, resume=False, device=CPU)
    with pytest.raises(ConfigError, match="another configuration"):
        train(config(steps=2), pictures(), tmp_path, resume=True, device=CPU)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "training.objectives.supervised.Supervised.loss", lambda *_: torch.tensor(torch.nan, requires_grad=True)
    )
    with pytest.raises(ModelError, match="nan at step 0"):
        train(config(), pictures(), tmp_path, resume=False, device=CPU)
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_a_patch_that_the_network_cannot_take_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="multiple of 64"):
        train(config(objective="neighbor2neighbor"), pictures(), tmp_path, resume=False, device=CPU)


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    rates = [learning_rate(config(steps=100, warmup_steps=10), step) for step in range(101)]
    assert rates[:10] == pytest.approx(np.linspace(1e-4, 1e-3, 10).tolist())
    assert np.all(np.diff(rates[10:]) <= 0)
    assert rates[100] == pytest.approx(0, abs=1e-12)


def test_the_same_seed_draws_the_same_patch_and_another_draws_another() -> None:
    data = pictures()
    first, again, other = (data.draw((0, step, 0)) for step in (1, 1, 2))
    np.testing.assert_array_equal(first.noisy, again.noisy)
    assert not np.array_equal(first.noisy, other.noisy)


def test_the_dry_run_prints_the_whole_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--preset", "n2n-synthetic", "--data", str(tmp_path), "--run", str(tmp_path), "--dry-run"]
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["objective_options"] == {"gamma": 2.0}


def test_a_folder_without_pictures_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--preset", "n2n-synthetic", "--data", str(tmp_path), "--run", str(tmp_path / "run")]
    assert main(arguments) == 2
    assert "no picture" in capsys.readouterr().err


@pytest.mark.parametrize("field", ["steps", "batch_size", "learning_rate"])
def test_a_configuration_that_cannot_be_trained_names_its_field(field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        config(**{field: 0})
