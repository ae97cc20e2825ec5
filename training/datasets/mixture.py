"""Photographs and drawn pictures, mixed by stated shares.

In the flow: **photographs, drawn pictures** → patches → objective → step.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from training.datasets.drawn import draw_pictures

if TYPE_CHECKING:
    from collections.abc import Mapping

    from training.datasets.synthetic import SyntheticRaws

PHOTOGRAPHS = "photographs"


def mix(photographs: SyntheticRaws, content: Mapping[str, float]) -> SyntheticRaws:
    """The source with drawn pictures added, every kind drawn as often as its share says.

    Args:
        photographs: What there is.
        content: Shares of `PHOTOGRAPHS` and of kinds of `drawn.KINDS`; empty for photographs alone.
    """
    pictures, names = list(photographs.pictures), list(photographs.names)
    weights = [content.get(PHOTOGRAPHS, 1.0) / len(pictures)] * len(pictures)
    for kind, share in content.items():
        if kind == PHOTOGRAPHS:
            continue
        drawn = list(draw_pictures(kind))
        pictures += drawn
        names += [f"{kind} {index}" for index in range(len(drawn))]
        weights += [share / len(drawn)] * len(drawn)
    return dataclasses.replace(photographs, pictures=tuple(pictures), names=tuple(names), weights=tuple(weights))
