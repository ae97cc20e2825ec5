"""The learning rate at every step, and the moving average."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from training.config import TrainingConfig
from training.errors import ConfigError
from training.presets import preset
from training.run.muon import STEP_SIZE, Muon, is_wide, orthogonalise
from training.run.optimiser import (
    build_optimiser,
    learning_rate,
    moments,
    restore_moments,
    update_average,
)


def test_the_cosine_rises_then_falls_to_zero() -> None:
    config = TrainingConfig(preset="test", objective="supervised", steps=100, warmup_steps=10)
    rates = [learning_rate(config, step) for step in range(101)]
    assert rates[:10] == pytest.approx(np.linspace(1e-4, 1e-3, 10).tolist())
    assert np.all(np.diff(rates[10:]) <= 0)
    assert rates[100] == pytest.approx(0, abs=1e-12)


def test_the_papers_schedule_halves_every_20_of_100_epochs() -> None:
    config = preset("n2n-sidd")
    epoch = config.patches_per_epoch // config.batch_size
    assert config.steps == 100 * epoch
    rates = [learning_rate(config, at * epoch) for at in (0, 19.999, 20, 40, 60, 80, 99.999)]
    assert rates == pytest.approx([1e-4, 1e-4, 5e-5, 2.5e-5, 1.25e-5, 6.25e-6, 6.25e-6])


def test_a_cooldown_is_constant_until_its_last_steps() -> None:
    options = {"schedule": "cooldown", "steps": 100, "warmup_steps": 10, "decay_steps": 20}
    config = TrainingConfig(preset="test", objective="supervised", **options)
    rates = [learning_rate(config, step) for step in range(101)]
    assert rates[:10] == pytest.approx(np.linspace(1e-4, 1e-3, 10).tolist())
    assert rates[10:81] == [1e-3] * 71
    assert rates[80:] == pytest.approx(np.linspace(1e-3, 0, 21).tolist(), abs=1e-12)


@pytest.mark.parametrize("decay_steps", [0, 101])
def test_a_cooldown_is_part_of_the_steps(decay_steps: int) -> None:
    with pytest.raises(ConfigError, match="cooldown"):
        TrainingConfig(preset="test", objective="supervised", schedule="cooldown", steps=100, decay_steps=decay_steps)


def test_a_cooldown_can_be_moved_until_it_has_begun() -> None:
    options = {"schedule": "cooldown", "steps": 1000, "decay_steps": 250, "warmup_steps": 10}
    config = TrainingConfig(preset="test", objective="supervised", **options)
    assert config.with_steps(400).decay_steps == 100
    assert config.agrees_with(config, 999)
    assert config.agrees_with(config.with_steps(400), 300)
    assert not config.agrees_with(config.with_steps(400), 301)
    assert config.agrees_with(config.with_steps(4000), 750)
    assert not config.agrees_with(config.with_steps(4000), 751)
    assert not config.agrees_with(dataclasses.replace(config, seed=1), 0)
    cosine = dataclasses.replace(config, schedule="cosine")
    assert not cosine.agrees_with(cosine.with_steps(400), 0)


def test_restored_moments_lie_in_memory_as_the_parameters_do() -> None:
    layer = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    config = TrainingConfig(preset="test", objective="supervised")
    one, two = build_optimiser(config, layer), build_optimiser(config, layer)
    layer(torch.randn(1, 3, 8, 8)).sum().backward()
    one.step()
    kept = {name: tensor.contiguous().clone() for name, tensor in moments(one).items()}
    restore_moments(two, kept)
    for name, tensor in moments(two).items():
        assert torch.equal(tensor, kept[name])
    assert moments(two)["0.exp_avg"].stride() == layer.weight.stride()


def test_adam_adds_its_decay_to_the_gradient_and_adamw_does_not() -> None:
    network = torch.nn.Linear(1, 1)
    for name, kind in (("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)):
        config = TrainingConfig(preset="test", objective="supervised", optimiser=name, weight_decay=0.5)
        optimiser = build_optimiser(config, network)
        assert type(optimiser) is kind
        assert optimiser.param_groups[0]["weight_decay"] == 0.5


def test_an_average_over_one_step_is_the_last_weights() -> None:
    config = TrainingConfig(preset="test", objective="supervised", ema_steps=1)
    average = {"w": torch.zeros(3)}
    update_average(average, {"w": torch.tensor([1.0, 2.0, 3.0])}, config, 1000)
    assert average["w"].tolist() == [1, 2, 3]


def test_an_average_moves_by_its_share() -> None:
    config = TrainingConfig(preset="test", objective="supervised", ema_steps=4)
    average = {"w": torch.zeros(1)}
    update_average(average, {"w": torch.tensor([1.0])}, config, 1000)
    assert average["w"].item() == pytest.approx(0.25)


@pytest.mark.parametrize("field", ["steps", "batch_size", "learning_rate"])
def test_a_configuration_that_cannot_be_trained_names_its_field(field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        TrainingConfig(preset="test", objective="supervised", **{field: 0})


@pytest.mark.parametrize("field", ["dataset", "optimiser", "schedule", "precision"])
def test_an_unknown_name_is_refused_with_those_there_are(field: str) -> None:
    with pytest.raises(ConfigError, match=f"{field}: there is no 'best'; there are "):
        TrainingConfig(preset="test", objective="supervised", **{field: "best"})


def test_a_step_schedule_needs_its_steps() -> None:
    with pytest.raises(ConfigError, match="decay_steps"):
        TrainingConfig(preset="test", objective="supervised", schedule="step")


@pytest.mark.parametrize("name", ["supervised-synthetic", "n2n-sidd", "captures"])
def test_a_configuration_survives_json(name: str) -> None:
    assert TrainingConfig.from_json(preset(name).to_json()) == preset(name)


def test_a_configuration_of_version_0_1_is_read_with_what_was_then_fixed() -> None:
    config = preset("n2n-synthetic")
    old = {
        name: config.to_json()[name]
        for name in (
            "preset", "objective", "objective_options", "network", "network_options", "input_normalisation", "scales",
            "shot_noise_range", "patch_size", "batch_size", "steps", "learning_rate", "warmup_steps", "weight_decay",
            "gradient_norm", "ema_steps", "seed",
        )
    }  # fmt: skip
    assert TrainingConfig.from_json(old) == config


def singular_values(matrix: torch.Tensor) -> torch.Tensor:
    return torch.linalg.svdvals(matrix.double())


@pytest.mark.parametrize("shape", [(64, 576), (256, 64), (128, 128)])
def test_muon_makes_a_matrix_nearly_orthogonal_and_keeps_its_directions(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1)).double()
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    values = torch.logspace(0, -2, len(values), dtype=torch.float64)  # some directions a hundred times as strong
    made = orthogonalise((left * values @ right).float()).double()
    assert singular_values(made).min() > 0.3
    assert singular_values(made).max() < 1.3
    cosine = (made * (left @ right)).sum() / made.norm() / (left @ right).norm()
    assert cosine > 0.97


def test_muon_moves_wide_convolutions_by_equal_steps_and_leaves_the_rest_to_adam() -> None:
    wide, narrow, bias = torch.zeros(64, 64, 3, 3), torch.zeros(64, 9, 3, 3), torch.zeros(64)
    assert [is_wide(tensor) for tensor in (wide, narrow, bias)] == [True, False, False]
    generator = torch.Generator().manual_seed(2)
    parameters = [torch.nn.Parameter(tensor) for tensor in (wide, narrow, bias)]
    gradients = [torch.randn(tensor.shape, generator=generator) for tensor in parameters]
    twins = [parameter.detach().clone().requires_grad_() for parameter in parameters[1:]]
    ours = Muon(parameters, lr=1e-3, weight_decay=1e-2)
    theirs = torch.optim.AdamW(twins, lr=1e-3, weight_decay=1e-2)
    for factor in (1.0, 0.3, -2.0):
        for parameter, gradient in zip([*parameters, *twins], [*gradients, *gradients[1:]], strict=True):
            parameter.grad = factor * gradient
        before = parameters[0].detach().clone()
        ours.step()
        theirs.step()
        moved = (parameters[0].detach() - before * (1 - 1e-5)).square().mean().sqrt()
        assert moved == pytest.approx(1e-3 * STEP_SIZE, rel=0.3), "whatever the gradient's size"
    for parameter, twin in zip(parameters[1:], twins, strict=True):
        torch.testing.assert_close(parameter, twin)


def test_muons_state_survives_being_named_and_stored() -> None:
    def network() -> torch.nn.Module:
        torch.manual_seed(4)
        return torch.nn.Sequential(torch.nn.Conv2d(4, 64, 3), torch.nn.Conv2d(64, 64, 3)).to(
            memory_format=torch.channels_last
        )

    def step(net: torch.nn.Module, optimiser: torch.optim.Optimizer, seed: int) -> None:
        optimiser.zero_grad()
        net(torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(seed))).square().mean().backward()
        optimiser.step()

    config = TrainingConfig(preset="test", objective="supervised", optimiser="muon")
    one, other = network(), network()
    first = build_optimiser(config, one)
    for seed in range(3):
        step(one, first, seed)
    other.load_state_dict(one.state_dict())
    second = build_optimiser(config, other)
    restore_moments(second, {name: tensor.clone() for name, tensor in moments(first).items()})
    step(one, first, 9)
    step(other, second, 9)
    for ours, theirs in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)
