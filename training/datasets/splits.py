"""Pictures that no training may see, because quality is judged on them.

Names are file stems, so that a picture is held out wherever its folder lies. They are photographs of the CLIC 2025
validation set; the Kodak set and CID22 are judged on as a whole and belong into no training folder.
"""

HELD_OUT = frozenset(
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
"""Every third of the 26 CLIC 2025 photographs, sorted by name."""
