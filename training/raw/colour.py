"""What a camera's colours mean: from its own red, green and blue to linear sRGB.

In the flow: open_tiff → **read_colour**, beside the mosaic → render. Denoising needs none of it; what cannot be read is
left unknown, and does not spoil the file.

Source: DNG specification 1.7, chapter 6 "Mapping Camera Color Space to CIE XYZ Space": XYZtoCamera = AnalogBalance ·
CameraCalibration · ColorMatrix, adapted from the light of the picture by the linear Bradford transform. Of the
calibration illuminants the one nearest to D65 is taken, not a blend of two; ForwardMatrix is not used. sRGB: IEC
61966-2-1. Colour temperatures of the light sources: Exif 2.3, LightSource, the middle of a range.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from training.errors import UnreadableRawError
from training.raw import tags

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.raw.tiff import TiffFile

Triple = tuple[float, float, float]
Matrix = tuple[Triple, Triple, Triple]

IDENTITY: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
XYZ_FROM_SRGB = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
LUMINANCE = XYZ_FROM_SRGB[1]
"""(3,) what linear sRGB's red, green and blue add to the luminance."""
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
D65_TEMPERATURE = 6504.0
TEMPERATURES = {
    1: 5500.0,  # daylight
    2: 4150.0,  # fluorescent
    3: 2850.0,  # tungsten
    4: 5500.0,  # flash
    9: 5500.0,  # fine weather
    10: 6500.0,  # cloudy
    11: 7500.0,  # shade
    12: 6400.0,  # daylight fluorescent
    13: 5050.0,  # day white fluorescent
    14: 4150.0,  # cool white fluorescent
    15: 3525.0,  # white fluorescent
    16: 2925.0,  # warm white fluorescent
    17: 2856.0,  # standard light A
    18: 4874.0,  # standard light B
    19: 6774.0,  # standard light C
    20: 5503.0,  # D55
    21: D65_TEMPERATURE,
    22: 7504.0,  # D75
    23: 5003.0,  # D50
    24: 3200.0,  # ISO studio tungsten
}
"""Kelvin by CalibrationIlluminant."""
_LARGEST, _WORST_CONDITION = 100.0, 1e4
"""Numbers and matrices beyond these do not describe a camera."""


class _Calibration(NamedTuple):
    matrix: int
    calibration: int
    illuminant: int


_CALIBRATIONS = (
    _Calibration(tags.COLOR_MATRIX_1, tags.CAMERA_CALIBRATION_1, tags.CALIBRATION_ILLUMINANT_1),
    _Calibration(tags.COLOR_MATRIX_2, tags.CAMERA_CALIBRATION_2, tags.CALIBRATION_ILLUMINANT_2),
    _Calibration(tags.COLOR_MATRIX_3, tags.CAMERA_CALIBRATION_3, tags.CALIBRATION_ILLUMINANT_3),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CameraColour:
    """What a file says about its camera's colours."""

    as_shot_neutral: Triple | None = None
    """AsShotNeutral: the camera's red, green and blue of something grey in this picture's light; None if unknown."""
    xyz_to_camera: Matrix | None = None
    """XYZ to the camera's colours, under about D65; None if unknown."""

    def to_srgb(self, neutral: Triple) -> Matrix:
        """White-balanced camera colours to linear sRGB; grey stays grey.

        Args:
            neutral: The camera's colour of something grey, as white balance divides by it.

        Returns:
            3×3, each row summing to 1. Where the file does not describe its camera: the identity, so that grey is right
            and colours are paler than they should be.
        """
        if self.xyz_to_camera is None:
            return IDENTITY
        to_xyz = np.linalg.inv(np.array(self.xyz_to_camera)) * np.array(neutral)
        white = to_xyz.sum(axis=1)
        if (BRADFORD @ white <= 0).any():
            return IDENTITY
        to_srgb = np.linalg.inv(XYZ_FROM_SRGB) @ bradford(white, XYZ_FROM_SRGB.sum(axis=1)) @ to_xyz
        return _matrix(to_srgb / to_srgb.sum(axis=1, keepdims=True))


def bradford(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3) the linear Bradford transform of XYZ that takes the white `source` to the white `target`."""
    gains = (BRADFORD @ target) / (BRADFORD @ source)
    adapted: NDArray[np.float64] = np.linalg.inv(BRADFORD) @ (gains[:, None] * BRADFORD)
    return adapted


def read_colour(tiff: TiffFile) -> CameraColour:
    """What IFD0 says."""
    matrix = _xyz_to_camera(tiff)
    return CameraColour(as_shot_neutral=_as_shot_neutral(tiff, matrix), xyz_to_camera=matrix)


def _xyz_to_camera(tiff: TiffFile) -> Matrix | None:
    """The calibration nearest to D65 that makes sense."""
    found = [(_distance(tiff, tag.illuminant), _calibrated(tiff, tag)) for tag in _CALIBRATIONS]
    known = [(distance, matrix) for distance, matrix in found if matrix is not None]
    return min(known, key=lambda entry: entry[0])[1] if known else None


def _distance(tiff: TiffFile, tag: int) -> float:
    """How far a calibration's light is from D65, in mired; infinite where it is not said."""
    temperature = TEMPERATURES.get(int((_numbers(tiff, tag, 1) or [0])[0]))
    return math.inf if temperature is None else abs(1e6 / temperature - 1e6 / D65_TEMPERATURE)


def _calibrated(tiff: TiffFile, tag: _Calibration) -> Matrix | None:
    """AnalogBalance · CameraCalibration · ColorMatrix, None where that is no camera."""
    colour = _numbers(tiff, tag.matrix, 9)
    if colour is None:
        return None
    balance = _numbers(tiff, tags.ANALOG_BALANCE, 3)
    unit = _numbers(tiff, tag.calibration, 9) if _signatures_match(tiff) else None
    matrix = np.diag(balance or (1.0,) * 3) @ _square(unit or list(np.eye(3).flat)) @ _square(colour)
    return _matrix(matrix) if np.linalg.cond(matrix) < _WORST_CONDITION else None


def _signatures_match(tiff: TiffFile) -> bool:
    """Whether CameraCalibration was made for the profile in the file."""
    signatures = (tags.CAMERA_CALIBRATION_SIGNATURE, tags.PROFILE_CALIBRATION_SIGNATURE)
    camera, profile = (tiff.text(tiff.chain[0], tag) for tag in signatures)
    return camera == profile


def _as_shot_neutral(tiff: TiffFile, matrix: Matrix | None) -> Triple | None:
    """AsShotNeutral, else the camera's colour of AsShotWhiteXY."""
    neutral = _numbers(tiff, tags.AS_SHOT_NEUTRAL, 3)
    white = _numbers(tiff, tags.AS_SHOT_WHITE_XY, 2)
    if neutral is None and white is not None and matrix is not None and white[1] > 0:
        x, y = white
        neutral = (np.array(matrix) @ [x / y, 1.0, (1 - x - y) / y]).tolist()
    if neutral is None or min(neutral) <= 0 or max(neutral) > _LARGEST * min(neutral):
        return None
    red, green, blue = neutral
    return red, green, blue


def _numbers(tiff: TiffFile, tag: int, count: int) -> list[float] | None:
    """So many numbers of IFD0; None where they are missing or make no sense."""
    try:
        values = tiff.values(tiff.chain[0], tag, most=count)
    except UnreadableRawError:
        return None
    sound = len(values) == count and all(abs(value) <= _LARGEST for value in values)
    return [float(value) for value in values] if sound else None


def _square(values: list[float]) -> NDArray[np.float64]:
    return np.array(values).reshape(3, 3)


def _matrix(values: NDArray[np.float64]) -> Matrix:
    red, green, blue = (tuple(row) for row in values.tolist())
    return red, green, blue
