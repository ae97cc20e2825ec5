"""What a DNG says about its camera's colours and its exposure, and what happens where it says nonsense."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from dng_factory import COLOR_MATRIX, Field, make_dng, rational, sample_mosaic, short, srational, text

from training.raw import tags
from training.raw.colour import IDENTITY, XYZ_FROM_SRGB, CameraColour, bradford
from training.raw.dng import read_metadata
from training.raw.exposure import Exposure
from training.raw.image import RawMetadata, Rectangle

if TYPE_CHECKING:
    from pathlib import Path

MOSAIC = sample_mosaic(100, 120)
OTHER_MATRIX = (0.9, -0.3, -0.1, -0.4, 1.2, 0.2, 0.0, 0.1, 0.5)
D65 = XYZ_FROM_SRGB.sum(axis=1)


def metadata_of(folder: Path, **ifd0_tags: Field | None) -> RawMetadata:
    """The metadata of a file with these tags in IFD0, by the names of `tags`."""
    by_number = {getattr(tags, name): field for name, field in ifd0_tags.items()}
    return read_metadata(make_dng(folder / "a.dng", MOSAIC, ifd0_tags=by_number))


def test_neutral_and_matrix_are_read(tmp_path: Path) -> None:
    colour = metadata_of(tmp_path).colour
    assert colour.as_shot_neutral == (0.5, 1.0, 0.625)
    np.testing.assert_allclose(np.ravel(colour.xyz_to_camera), COLOR_MATRIX, atol=1e-4)


@pytest.mark.parametrize(
    ("first", "second", "chosen"), [(17, 21, 2), (21, 17, 1), (23, 20, 2), (0, 17, 2), (255, 0, 1)]
)
def test_the_light_nearest_to_daylight_is_taken(tmp_path: Path, first: int, second: int, chosen: int) -> None:
    lights = {"CALIBRATION_ILLUMINANT_1": short(first), "CALIBRATION_ILLUMINANT_2": short(second)}
    colour = metadata_of(tmp_path, COLOR_MATRIX_2=srational(*OTHER_MATRIX), **lights).colour
    np.testing.assert_allclose(np.ravel(colour.xyz_to_camera), COLOR_MATRIX if chosen == 1 else OTHER_MATRIX, atol=1e-4)


def test_balance_and_calibration_are_applied_in_the_specifications_order(tmp_path: Path) -> None:
    unit = (1.1, 0.05, 0.0, 0.0, 0.9, 0.0, 0.0, 0.1, 1.0)
    options = {"ANALOG_BALANCE": rational(2, 1, 1.5), "CAMERA_CALIBRATION_1": srational(*unit)}
    wanted = np.diag([2, 1, 1.5]) @ np.reshape(unit, (3, 3)) @ np.reshape(COLOR_MATRIX, (3, 3))
    np.testing.assert_allclose(metadata_of(tmp_path, **options).colour.xyz_to_camera, wanted, atol=1e-3)
    options["CAMERA_CALIBRATION_SIGNATURE"] = text("somebody else's")
    uncalibrated = np.diag([2, 1, 1.5]) @ np.reshape(COLOR_MATRIX, (3, 3))
    np.testing.assert_allclose(metadata_of(tmp_path, **options).colour.xyz_to_camera, uncalibrated, atol=1e-3)


def test_a_white_point_stands_in_for_a_neutral(tmp_path: Path) -> None:
    options = {"AS_SHOT_NEUTRAL": None, "AS_SHOT_WHITE_XY": rational(0.3127, 0.3290)}
    neutral = metadata_of(tmp_path, **options).colour.as_shot_neutral
    np.testing.assert_allclose(neutral, np.reshape(COLOR_MATRIX, (3, 3)) @ D65, rtol=2e-3)


@pytest.mark.parametrize(
    "nonsense",
    [
        {"COLOR_MATRIX_1": None},
        {"COLOR_MATRIX_1": srational(1, 0, 0)},
        {"COLOR_MATRIX_1": srational(*[1] * 9)},  # singular
        {"COLOR_MATRIX_1": Field(10, (1, 0) * 9)},  # fractions with denominator 0
        {"COLOR_MATRIX_1": Field(11, (float("nan"),) * 9)},
        {"COLOR_MATRIX_1": Field(12, (1e300,) * 9)},
        {"ANALOG_BALANCE": rational(0, 1, 1)},
        {"COLOR_MATRIX_1": short(*range(2000))},
    ],
)
def test_a_matrix_that_is_no_camera_is_left_out(tmp_path: Path, nonsense: dict[str, Any]) -> None:
    colour = metadata_of(tmp_path, **nonsense).colour
    assert colour.xyz_to_camera is None
    assert colour.to_srgb((0.5, 1.0, 0.625)) == IDENTITY


@pytest.mark.parametrize(
    "neutral", [None, rational(0, 1, 1), rational(1, 1), rational(1, 200, 1), Field(5, (1, 0) * 3), text("grey")]
)
def test_a_neutral_that_makes_no_sense_is_left_out(tmp_path: Path, neutral: Field | None) -> None:
    assert metadata_of(tmp_path, AS_SHOT_NEUTRAL=neutral).colour.as_shot_neutral is None


def test_under_daylight_the_matrix_alone_decides() -> None:
    matrix = np.reshape(COLOR_MATRIX, (3, 3))
    neutral = tuple((matrix @ D65).tolist())
    balanced = np.diag(1 / np.array(neutral)) @ matrix @ XYZ_FROM_SRGB  # what the camera sees of sRGB's primaries
    found = CameraColour(xyz_to_camera=tuple(map(tuple, matrix.tolist()))).to_srgb(neutral)
    np.testing.assert_allclose(found @ balanced, np.eye(3), atol=1e-9)


def test_grey_stays_grey_in_every_light() -> None:
    colour = CameraColour(xyz_to_camera=tuple(map(tuple, np.reshape(COLOR_MATRIX, (3, 3)).tolist())))
    for neutral in ((0.5, 1.0, 0.6), (0.9, 1.0, 0.3), (0.35, 1.0, 0.9)):
        np.testing.assert_allclose(np.sum(colour.to_srgb(neutral), axis=1), 1)


def test_adaptation_takes_white_to_white() -> None:
    light_a = np.array([1.09850, 1.0, 0.35585])
    np.testing.assert_allclose(bradford(light_a, D65) @ light_a, D65)
    # standard light A to D65, from Lindbloom's table
    wanted = [
        [0.8446965, -0.1179225, 0.3948108],
        [-0.1366303, 1.1041226, 0.1291718],
        [0.0798489, -0.1348999, 3.1924009],
    ]
    np.testing.assert_allclose(bradford(light_a, np.array([0.95047, 1.0, 1.08883])), wanted, atol=1e-5)


def test_the_exposure_is_read(tmp_path: Path) -> None:
    exif = {
        tags.EXPOSURE_TIME: rational(1 / 250),
        tags.F_NUMBER: rational(2.8),
        tags.DATE_TIME_ORIGINAL: text("2026:11:21 17:04:05"),
    }
    found = read_metadata(make_dng(tmp_path / "a.dng", MOSAIC, exif_tags=exif)).exposure
    assert found == Exposure(time_s=0.004, f_number=2.8, captured=dt.datetime(2026, 11, 21, 17, 4, 5))  # noqa: DTZ001


def test_an_exposure_that_makes_no_sense_is_unknown(tmp_path: Path) -> None:
    exif = {
        tags.EXPOSURE_TIME: Field(5, (0, 0)),
        tags.F_NUMBER: rational(0),
        tags.DATE_TIME_ORIGINAL: text("0000:00:00 00:00:00"),
    }
    assert read_metadata(make_dng(tmp_path / "a.dng", MOSAIC, exif_tags=exif)).exposure == Exposure()


@pytest.mark.parametrize(("stored", "wanted"), [(6, 6), (0, 1), (9, 1), (1, 1)])
def test_the_orientation_is_read(tmp_path: Path, stored: int, wanted: int) -> None:
    assert read_metadata(make_dng(tmp_path / "a.dng", MOSAIC, orientation=stored)).orientation == wanted


@pytest.mark.parametrize(
    ("origin", "size", "wanted"),
    [
        (rational(4, 2), rational(60, 50), Rectangle(7, 13, 57, 73)),
        (rational(4.5, 2.2), rational(60.4, 49.6), Rectangle(7, 13, 57, 73)),
        (None, short(60, 50), Rectangle(5, 9, 55, 69)),
        (short(4, 2), short(5000, 5000), Rectangle(7, 13, 95, 110)),
        (short(4, 2), short(3, 0), None),
        (short(4000, 2), short(60, 50), None),
        (short(4, 2), None, None),
        (Field(5, (4, 0, 2, 0)), short(60, 50), None),
        (short(1, 2, 3), short(60, 50), None),
    ],
)
def test_the_default_crop_lies_in_the_active_area(
    tmp_path: Path, origin: Field | None, size: Field | None, wanted: Rectangle | None
) -> None:
    crop = {tags.DEFAULT_CROP_ORIGIN: origin, tags.DEFAULT_CROP_SIZE: size}
    path = make_dng(tmp_path / "a.dng", MOSAIC, active_area=(5, 9, 95, 110), raw_tags=crop)
    metadata = read_metadata(path)
    assert metadata.default_crop == wanted
    assert metadata.visible_area == (wanted or metadata.active_area)
