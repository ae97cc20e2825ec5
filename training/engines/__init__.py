"""Run a published model fast on the hardware at hand. Importing this package imports torch.

In the flow: plan_tiles → **engine** → stitch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.engines.torch import TorchEngine

if TYPE_CHECKING:
    from training.engines.base import Engine
    from training.registry import ModelRef


def load_engine(reference: ModelRef, device: str = "auto") -> Engine:
    """Load a model, check it against its golden tile, and make it ready to run.

    Args:
        reference: Which model.
        device: "cpu", "cuda", or "auto" for the fastest at hand.

    Raises:
        ModelError: Weights or manifest are missing, damaged, or do not give what the manifest says.
        ConfigError: There is no such device.
    """
    return TorchEngine(reference, device)
