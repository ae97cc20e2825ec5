"""In which numbers a network multiplies while it trains: 16 bits where the hardware is faster with them.

Weights, moments, sums in units of the signal, and losses stay float32.

Source: Micikevicius et al., "Mixed Precision Training", ICLR 2018; the scaling of its section 3.2 is needed for
float16, whose small gradients vanish, and not for bfloat16, which has the exponents of float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from training.engines.torch import choose_precision
from training.errors import ConfigError

if TYPE_CHECKING:
    from training.config import PrecisionName

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def training_dtype(device: torch.device, wanted: PrecisionName) -> torch.dtype:
    """What to multiply in: for "auto" bfloat16 where the hardware has it, else float16 on CUDA and float32 on a CPU.

    Raises:
        ConfigError: The device cannot.
    """
    if wanted == "float16" and device.type != "cuda":
        raise ConfigError("precision: float16 needs CUDA; there are float32 and bfloat16")
    if wanted != "auto":
        return _DTYPES[wanted]
    chosen = choose_precision(device.type, "auto")
    if device.type == "cuda" and chosen == "float32":
        return torch.float16
    return _DTYPES[chosen]


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """The context of a forward pass."""
    reduced = dtype != torch.float32
    return torch.autocast(device.type, dtype if reduced else torch.bfloat16, enabled=reduced)


def gradient_scaler(device: torch.device, dtype: torch.dtype) -> torch.amp.GradScaler:
    """Scales losses up, and gradients down again, for float16; does nothing for the others."""
    return torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
