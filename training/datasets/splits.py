"""What no training may see, because quality is judged on it: pictures by name, and a share of any other data.

Names are file stems, so that a picture is held out wherever its folder lies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

CLIC_2025 = frozenset(
    {
        "100a02c269c5948392f283b2aa3bb4da",
        "14ab4af28901fbeb1356b06d2d08ae06",
        "2a2420f929cd47122eae364a2bc27710",
        "4cd6910a0b7b39365fda5df87618d091",
        "8bb119b8ca17492392e1e3ea4b811b32",
        "aed95e005df28e790519eefb6eb1e565",
        "b939ac34faa94b5d0e753d570edc7048",
        "d79d465ac77c36518e0f0d626bf97ec4",
    }
)
"""Every third of the 26 photographs of its validation set, sorted by name."""

CID22 = frozenset(
    {
        "1001682",
        "1147124",
        "1424246",
        "1536017106",
        "1624307",
        "1938351",
        "2123337",
        "2291004",
        "2600340",
        "2866385",
        "3363331",
        "3779187",
        "4843579",
        "5739122",
        "6763758",
        "7394483",
        "Performance-Graph",
        "pexels-photo-1130297",
        "pexels-photo-3193731",
        "pexels-photo-4405455",
        "pexels-photo-7263002",
    }
)
"""Every fourth of the 83 pictures of its training part, sorted by name."""

KODAK = frozenset(f"kodim{number:02}" for number in range(1, 25))
"""All of it."""

HELD_OUT = CLIC_2025 | CID22 | KODAK
"""The pictures of the quality benchmark."""


def held_out_groups(groups: Sequence[str], share: float) -> frozenset[str]:
    """Choose groups to hold out, spread evenly, the same for the same names; none where there is only one.

    Args:
        groups: The group of each image, those of one scene being alike.
        share: Of the groups; at least one is chosen where it is above 0.

    >>> sorted(held_out_groups(["a", "a", "b", "c", "d"], 0.25))
    ['c']
    """
    names = list(dict.fromkeys(groups))
    if share <= 0 or len(names) < 2:
        return frozenset()
    count = min(len(names) - 1, max(1, round(share * len(names))))
    return frozenset(names[int((index + 0.5) * len(names) / count)] for index in range(count))
