"""The validation sets by the names that users give them: a folder of SIDD's files, or the set that ships.

In the flow: `photosite validate --dataset` → **open_validation** → validate.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from training.datasets import mini_blocks, sidd_blocks
from training.datasets.mini_blocks import make_mini_blocks
from training.datasets.sidd_blocks import open_blocks
from training.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from training.datasets.sidd_blocks import BlockSet
    from training.raw.bayer import CfaPattern

MINI = "mini"
"""The set that ships; a folder of that name is `./mini`."""


def open_validation(
    dataset: str, *, cache: Path | None = None, patterns: Mapping[str, CfaPattern] | None = None
) -> tuple[BlockSet, ...]:
    """The block sets of a name or a folder.

    Args:
        dataset: `MINI`, or the path of a folder.
        cache: See `open_blocks`; of no use to the set that ships.
        patterns: See `open_blocks`; the patterns of the set that ships are known.

    Raises:
        ConfigError: See `open_blocks`; or patterns were given for the set that ships.
    """
    if dataset != MINI:
        return open_blocks(Path(dataset), cache=cache, patterns=patterns)
    if patterns:
        raise ConfigError(f"--cfa: the Bayer patterns of the data set {MINI!r} are known")
    return (make_mini_blocks(),)


def count_images(dataset: str) -> int:
    """How many images the block sets of a name or a folder have, without reading them.

    Raises:
        ConfigError: See `open_blocks`.
    """
    return len(mini_blocks.IMAGES) if dataset == MINI else sidd_blocks.count_images(Path(dataset))
