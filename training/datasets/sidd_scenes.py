"""What SIDD's own names say: cameras, their Bayer patterns, and the 40 images that every method is judged on.

Source: Abdelhamed et al., "A High-Quality Denoising Dataset for Smartphone Cameras", CVPR 2018, and the data set's
documentation: a scene instance is named INSTANCE_SCENE_CAMERA_ISO_SHUTTER_ILLUMINANT_BRIGHTNESS. The patterns are
those of the data set's bayer_patterns.csv. The Galaxy S6's is disputed: read without undoing HDF5's transpose it
appears as GBRG. Both have green on the same diagonal, so no picture of a block can settle it; an override can.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from training.raw.bayer import CfaPattern

CAMERAS: dict[str, str] = {
    "G4": "LG G4",
    "GP": "Google Pixel",
    "IP": "Apple iPhone 7",
    "N6": "Motorola Nexus 6",
    "S6": "Samsung Galaxy S6 Edge",
}
CFA_BY_CAMERA: dict[str, CfaPattern] = {"G4": "BGGR", "GP": "BGGR", "IP": "RGGB", "N6": "BGGR", "S6": "GRBG"}
BENCHMARK_SCENES = (
    "0009_001_S6_00800_00350_3200_L",
    "0021_001_GP_10000_05000_5500_N",
    "0024_001_N6_03200_01500_5500_N",
    "0026_001_G4_00400_00160_5500_L",
    "0031_001_IP_01600_02000_3200_N",
    "0037_002_GP_06400_03200_3200_L",
    "0041_002_IP_01600_04000_5500_L",
    "0046_002_G4_00400_00350_3200_L",
    "0049_002_N6_00800_00800_5500_L",
    "0053_002_S6_03200_02000_5500_N",
    "0056_003_N6_03200_04000_5500_N",
    "0058_003_G4_00400_00500_5500_L",
    "0061_003_S6_00800_00500_4400_L",
    "0067_003_GP_01600_01500_3200_L",
    "0071_003_IP_02000_04000_5500_L",
    "0074_004_N6_00400_00040_3200_L",
    "0079_004_G4_00800_00160_3200_N",
    "0082_004_S6_03200_00500_4400_L",
    "0085_004_GP_06400_02000_4400_N",
    "0093_004_IP_01250_00250_3200_L",
    "0095_005_N6_00400_00200_3200_L",
    "0100_005_G4_00800_00400_3200_N",
    "0103_005_S6_01600_00800_4400_L",
    "0109_005_GP_10000_08000_4400_N",
    "0112_005_IP_01000_07500_5500_L",
    "0119_006_N6_00400_00100_3200_L",
    "0124_006_G4_00800_00350_3200_N",
    "0128_006_S6_03200_01600_4400_L",
    "0131_006_GP_01600_01250_4400_N",
    "0141_006_IP_01600_01620_3200_L",
    "0143_007_N6_00800_00800_4400_N",
    "0148_007_G4_00400_00400_4400_L",
    "0153_007_S6_03200_03200_5500_L",
    "0158_007_GP_03200_03200_5500_N",
    "0162_007_IP_01600_01600_3200_L",
    "0171_008_N6_03200_01600_4400_L",
    "0174_008_G4_00800_00800_4400_N",
    "0176_008_S6_00400_00100_5500_L",
    "0183_008_GP_06400_06400_5500_N",
    "0187_008_IP_01600_01600_3200_L",
)
"""The images of the validation and benchmark blocks, in the order of these files; none of them may be trained on."""

_SCENE = re.compile(r"\d{4}_\d{3}_(?P<camera>[A-Z0-9]{2})_(?P<iso>\d{5})_\d{5}_\d{4}_[LNH]")


class Scene(NamedTuple):
    """A scene instance's name, taken apart."""

    name: str
    camera: str
    """Two letters, a key of `CAMERAS`; empty if the name does not say; "synthetic" where there was none."""
    iso: int | None
    """ISO speed, None if the name does not say."""


def parse_scene(name: str) -> Scene:
    """Take a name apart.

    >>> parse_scene("0009_001_S6_00800_00350_3200_L")
    Scene(name='0009_001_S6_00800_00350_3200_L', camera='S6', iso=800)
    >>> parse_scene("my own picture")
    Scene(name='my own picture', camera='', iso=None)
    """
    found = _SCENE.fullmatch(name)
    return Scene(name, found["camera"], int(found["iso"])) if found else Scene(name, "", None)
