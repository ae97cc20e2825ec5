"""The optimiser, its learning rate at every step, its state as named tensors, and the moving average of the weights.

Source: Kingma and Ba, "Adam", ICLR 2015; Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019,
and for the cosine their "SGDR", ICLR 2017; for the cooldown Hägele et al., "Scaling Laws and Compute-Optimal Training
Beyond Fixed Training Durations", NeurIPS 2024: as good as a cosine, its length chosen late.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from training.run.muon import Muon

if TYPE_CHECKING:
    from collections.abc import Mapping

    from training.config import TrainingConfig


def build_optimiser(config: TrainingConfig, network: torch.nn.Module) -> torch.optim.Optimizer:
    """The configuration's optimiser over a network's parameters."""
    parameters, rate, decay = network.parameters(), config.learning_rate, config.weight_decay
    if config.optimiser == "muon":
        return Muon(parameters, lr=rate, weight_decay=decay)
    adam = torch.optim.AdamW if config.optimiser == "adamw" else torch.optim.Adam
    return adam(parameters, lr=rate, weight_decay=decay, fused=True)  # fused: a quarter of the time on a CPU


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Linear rise; then half a cosine to 0, a fall every `decay_steps`, or nothing until the last `decay_steps`."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.schedule == "step":
        return float(config.learning_rate * config.decay_factor ** (step // config.decay_steps))
    if config.schedule == "cooldown":
        return config.learning_rate * min(1.0, (config.steps - step) / config.decay_steps)
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Use this rate from now on."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def moments(optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimiser's state as tensors, named PARAMETER_INDEX.NAME."""
    state = optimiser.state_dict()["state"]
    return {f"{index}.{name}": tensor for index, values in state.items() for name, tensor in values.items()}


def restore_moments(optimiser: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Undo `moments`."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        parameter = parameters[int(index)]
        if tensor.shape == parameter.shape:  # a fused step wants both in the same order in memory
            state.setdefault(int(index), {})[name] = torch.empty_like(parameter).copy_(tensor)
        else:
            state.setdefault(int(index), {})[name] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


@torch.no_grad()
def pull_back(network: torch.nn.Module, anchor: Mapping[str, torch.Tensor], share: float) -> None:
    """Move a network's parameters this share of the way back to other weights: a decay towards them, not towards 0.

    Source: Li, Grandvalet, Davoine, "Explicit Inductive Bias for Transfer Learning with Convolutional Networks",
    ICML 2018 (L²-SP), decoupled from the gradient as in AdamW.
    """
    for name, parameter in network.named_parameters():
        parameter.lerp_(anchor[name], share)


@torch.no_grad()
def update_average(
    average: dict[str, torch.Tensor], current: dict[str, torch.Tensor], config: TrainingConfig, step: int
) -> None:
    """Move the average towards the current weights; early steps count more, so that it forgets the beginning."""
    share = max(1 / config.ema_steps, 1 / (step + 1))
    for name, tensor in current.items():
        average[name].lerp_(tensor, share)
