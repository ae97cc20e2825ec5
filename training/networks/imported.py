"""Published weights of other projects' U-Nets, in our U-Net's names.

Both are the U-Net of Laine et al. (2019) and predict the signal itself. They differ from ours in the names of their
layers, and Neighbor2Neighbor's also in its upsampling (transposed convolutions) and the slope of its rectifiers.

In the flow: another project's checkpoint → **translate** → registry.

Source: the published architecture files, arch_unet.py in TaoHuang2018/Neighbor2Neighbor and in zejinwang/Blind2Unblind:
layer names, slopes, upsampling.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from training.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

LEVELS = range(5)
# PyTorch's refusal of anything but tensors has no name of its own
_REFUSED = torch.serialization.pickle.UnpicklingError  # type: ignore[attr-defined]
_UNREADABLE = (_REFUSED, OSError, RuntimeError, ValueError, EOFError, LookupError, AttributeError, TypeError)
"""What PyTorch raises on a file that is no checkpoint, or one that wants more than to give tensors."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a project names its layers, and what it does otherwise than we do."""

    origin: str
    """The method whose code it is."""
    layers: dict[str, str]
    """Its layer by ours."""
    options: dict[str, Any]
    """Options of our U-Net that make it the same."""


NEIGHBOR2NEIGHBOR = Layout(
    "Neighbor2Neighbor",
    {
        "first": "enc_conv0",
        **{f"encoders.{index}": f"enc_conv{index + 1}" for index in range(6)},
        **{f"decoders.{level}.up": f"up{5 - level}.deconv" for level in LEVELS},
        **{f"decoders.{level}.first": f"dec_conv{5 - level}a" for level in LEVELS},
        **{f"decoders.{level}.second": f"dec_conv{5 - level}b" for level in LEVELS},
        "mixers.0": "nin_a",
        "mixers.1": "nin_b",
        "last": "nin_c",
    },
    {"slope": 0.2, "upsampling": "transposed", "predicts": "signal"},
)
BLIND2UNBLIND = Layout(
    "Blind2Unblind",
    {
        "first": "head.0.block.0",
        "encoders.0": "head.1.block.0",
        **{f"encoders.{level + 1}": f"down_path.{level}.block.0" for level in LEVELS},
        **{f"decoders.{level}.first": f"up_path.{level}.conv_1.block.0" for level in LEVELS},
        **{f"decoders.{level}.second": f"up_path.{level}.conv_2.block.0" for level in LEVELS},
        "mixers.0": "last.0.block.0",
        "mixers.1": "last.1.block.0",
        "last": "last.2",
    },
    {"slope": 0.1, "upsampling": "nearest", "predicts": "signal"},
)
LAYOUTS = (NEIGHBOR2NEIGHBOR, BLIND2UNBLIND)


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a PyTorch checkpoint; nothing else in it is executed.

    Raises:
        ModelError: It is missing, cannot be read, or holds anything but tensors by name.
    """
    if not path.is_file():
        raise ModelError(f"there is no file {path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise ModelError(f"{path} is no checkpoint that can be read safely", detail=str(error)) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ModelError(f"{path}: expected tensors by name, as state_dict() gives them, found something else")
    return {str(name).removeprefix("module."): value for name, value in state.items()}


def translate(state: Mapping[str, Tensor]) -> tuple[Layout, dict[str, Tensor], dict[str, Any]]:
    """Find out whose weights these are, and give them our names.

    Args:
        state: Tensors by that project's names.

    Returns:
        The layout, our state dict in float32, and the options of our U-Net that it belongs to.

    Raises:
        ModelError: It is none of the known layouts, or not made for packed raws.
    """
    layout = next((layout for layout in LAYOUTS if f"{layout.layers['first']}.weight" in state), None)
    if layout is None:
        names = " and ".join(layout.origin for layout in LAYOUTS)
        raise ModelError(f"the checkpoint is not in one of the known layouts, which are those of {names}")
    wanted = {
        f"{ours}.{part}": f"{theirs}.{part}" for ours, theirs in layout.layers.items() for part in ("weight", "bias")
    }
    different = set(wanted.values()) ^ set(state)
    if different:
        raise ModelError(
            f"the checkpoint looks like {layout.origin}'s, but differs in {', '.join(sorted(different)[:5])}"
        )
    translated = {ours: state[theirs].float().contiguous() for ours, theirs in wanted.items()}
    width, channels = translated["first.weight"].shape[:2]
    if channels != 4 or translated["last.weight"].shape[0] != 4:
        raise ModelError(f"the checkpoint was made for {channels} channels; packed raws have 4")
    return layout, translated, {"in_channels": 4, "width": int(width), **layout.options}
