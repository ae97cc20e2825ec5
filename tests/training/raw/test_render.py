"""The screen rendering: one picture has the same colours in every layout, before and after, and in dcraw."""

from __future__ import annotations

import io
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from dng_factory import OTHER_PATTERNS
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from training.datasets.synthetic import expand_gamma
from training.raw.bayer import CFA_PATTERNS
from training.raw.colour import CameraColour
from training.raw.dng import read_raw
from training.raw.image import ActiveArea, RawImage, RawMetadata, Rectangle
from training.raw.levels import Levels
from training.raw.patterns import channel_grid, phase_of, tile_cell
from training.raw.render import (
    MOST_EXPOSURE,
    Rendering,
    average_areas,
    choose_rendering,
    compress_gamma,
    compress_highlights,
    render_crop,
    render_screen,
    render_view,
    turn,
    turn_back,
    turned_size,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

MATRIX = ((0.6461, -0.1164, -0.0857), (-0.3825, 1.1597, 0.2534), (-0.0416, 0.1540, 0.6039))
COLOUR = CameraColour(as_shot_neutral=(0.5, 1.0, 0.625), xyz_to_camera=MATRIX)
BLACKS, WHITE = (500.0, 512.0, 530.0, 555.0), 16000.0
XTRANS = OTHER_PATTERNS[:-1]
PATCHES = np.array(  # camera colours of six patches: a grey ramp of three, then a reddish, a greenish and a bluish one
    [[0.02, 0.04, 0.025], [0.1, 0.2, 0.125], [0.3, 0.6, 0.375], [0.3, 0.2, 0.05], [0.1, 0.4, 0.1], [0.05, 0.2, 0.4]]
)


def picture_of_patches(height: int, width: int) -> NDArray[np.float64]:
    """(height, width, 3) camera colours: the patches side by side."""
    return np.broadcast_to(PATCHES[np.arange(width) * len(PATCHES) // width], (height, width, 3)).copy()


def raw_of(
    camera: NDArray[np.float64],
    cfa_pattern: str = "RGGB",
    *,
    levels: Levels | None = None,
    margin: tuple[int, int] = (0, 0),
    colour: CameraColour = COLOUR,
    orientation: int = 1,
    default_crop: Rectangle | None = None,
) -> RawImage:
    """A raw of (h, w, 3) camera colours, 0 black and 1 white, below and right of a masked margin."""
    cell = phase_of(cfa_pattern).cell
    levels = levels or Levels(black_level=tuple(np.resize(BLACKS, cell.channels)), white_level=WHITE)
    shape = height, width = camera.shape[0], camera.shape[1]
    colours = np.array(["RGB".find(letter) for letter in cell.plane_colours])[channel_grid(cfa_pattern)]
    seen = np.concatenate([camera, camera.mean(axis=2, keepdims=True)], axis=2)  # without a filter, all of it
    signal = np.take_along_axis(seen, tile_cell(colours, shape)[..., None], axis=2)[..., 0]
    values = signal * levels.range_plane(cfa_pattern, shape) + levels.black_plane(cfa_pattern, shape)
    mosaic = np.full((height + margin[0], width + margin[1]), 60000, dtype=np.uint16)
    mosaic[margin[0] :, margin[1] :] = np.clip(np.rint(values), 0, levels.white_level)
    metadata = RawMetadata(
        make="",
        model="",
        iso=None,
        width=mosaic.shape[1],
        height=mosaic.shape[0],
        bits_per_sample=16,
        compression="uncompressed",
        cfa_pattern=cfa_pattern,
        active_area=ActiveArea(margin[0], margin[1], *mosaic.shape),
        levels=levels,
        colour=colour,
        orientation=orientation,
        default_crop=default_crop,
    )
    return RawImage(mosaic=mosaic, metadata=metadata)


def patch_colours(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(6, 3) the mean colour of the middle of each patch."""
    width = picture.shape[1] / len(PATCHES)
    middles = [picture[4:-4, int(width * (i + 0.3)) : int(width * (i + 0.7))] for i in range(len(PATCHES))]
    return np.array([middle.mean(axis=(0, 1)) for middle in middles])


def crop_all(raw: RawImage, rendering: Rendering) -> NDArray[np.uint8]:
    """The whole active area, photosite by photosite."""
    area = raw.metadata.active_area
    return render_crop(raw, rendering, x=area.left, y=area.top, width=area.width, height=area.height)


@pytest.mark.parametrize("cfa_pattern", [*CFA_PATTERNS, *XTRANS])
@pytest.mark.parametrize("margin", [(0, 0), (15, 33)])
def test_every_layout_of_a_picture_has_the_same_colours(cfa_pattern: str, margin: tuple[int, int]) -> None:
    even = raw_of(picture_of_patches(120, 240))
    other = raw_of(picture_of_patches(121, 241), cfa_pattern, margin=margin)
    rendering = choose_rendering(even)
    assert choose_rendering(other).exposure == pytest.approx(rendering.exposure, rel=2e-3)
    wanted = patch_colours(render_screen(even, rendering, 60))
    assert np.abs(patch_colours(render_screen(other, rendering, 60)) - wanted).max() < 0.5
    assert np.abs(patch_colours(crop_all(other, rendering)) - wanted).max() < 0.5


def test_colours_are_those_of_the_matrix() -> None:
    raw = raw_of(picture_of_patches(64, 120))
    rendering = replace(choose_rendering(raw), exposure=1.0, white=1.0)
    found = expand_gamma(patch_colours(render_screen(raw, rendering, 60)) / 255)
    balanced = PATCHES / np.array(COLOUR.as_shot_neutral)
    wanted = np.clip(balanced @ np.array(COLOUR.to_srgb((0.5, 1.0, 0.625))).T, 0, 1)
    np.testing.assert_allclose(found, wanted, atol=0.005)
    assert np.ptp(wanted[:3], axis=1).max() < 1e-6  # the ramp is grey
    assert wanted[3].argmax() == 0
    assert wanted[4].argmax() == 1
    assert wanted[5].argmax() == 2


@pytest.mark.parametrize("cfa_pattern", [*CFA_PATTERNS, *XTRANS])
def test_clipped_highlights_are_white(cfa_pattern: str) -> None:
    camera = picture_of_patches(80, 120)
    camera[20:60, 30:90] = 1.0  # every colour at the sensor's white: magenta if white balance were all that happens
    raw = raw_of(camera, cfa_pattern)
    rendering = choose_rendering(raw)
    screen = render_screen(raw, rendering, 60)
    height, width = screen.shape[:2]
    assert (screen[int(0.29 * height) : int(0.71 * height), int(0.28 * width) : int(0.72 * width)] == 255).all()
    assert (crop_all(raw, rendering)[24:56, 34:86] == 255).all()


def test_highlights_clipped_here_and_there_are_not_coloured() -> None:
    camera = np.full((96, 96, 3), 0.2) * np.array(COLOUR.as_shot_neutral)
    camera[::4], camera[1::4] = 1.0, 1.0  # every second row of cells
    rendering = choose_rendering(raw_of(camera))
    averaged = render_screen(raw_of(camera), rendering, 12).astype(int)
    assert np.ptp(averaged, axis=-1).max() <= 1


def test_a_denoised_file_with_finer_steps_looks_the_same() -> None:
    before = raw_of(picture_of_patches(80, 120))
    finer = Levels(black_level=tuple(2 * black for black in BLACKS), white_level=2 * WHITE)
    after = RawImage(mosaic=before.mosaic * 2, metadata=replace(before.metadata, levels=finer))
    rendering = choose_rendering(before)
    np.testing.assert_array_equal(render_screen(after, rendering, 40), render_screen(before, rendering, 40))
    np.testing.assert_array_equal(crop_all(after, rendering), crop_all(before, rendering))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_pillow_turns_them(orientation: int) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    image = Image.fromarray(picture)
    image.getexif()[0x0112] = orientation
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=image.getexif())
    turned = np.asarray(ImageOps.exif_transpose(Image.open(buffer)))
    np.testing.assert_array_equal(turn(picture, orientation), turned)
    raw = raw_of(picture_of_patches(64, 96), orientation=orientation)
    wanted = (24, 16, 3) if orientation >= 5 else (16, 24, 3)
    assert render_screen(raw, choose_rendering(raw), 24).shape == wanted
    crop = render_crop(raw, choose_rendering(raw), x=3, y=5, width=20, height=9)
    assert crop.shape == ((20, 9, 3) if orientation >= 5 else (9, 20, 3))


@pytest.mark.parametrize("cfa_pattern", [*CFA_PATTERNS, *XTRANS])
@given(x=st.integers(0, 60), y=st.integers(0, 60), width=st.integers(1, 40), height=st.integers(1, 40))
def test_a_crop_is_a_part_of_the_whole(cfa_pattern: str, x: int, y: int, width: int, height: int) -> None:
    noise = np.random.default_rng(1).uniform(0, 0.6, (69, 71, 3))
    rows, columns = np.linspace(-3, 4, 69), np.linspace(2, -5, 71)
    levels = Levels(
        black_level=tuple(np.resize(BLACKS, channel_grid(cfa_pattern).size)),
        white_level=WHITE,
        black_delta_rows=tuple(rows),
        black_delta_columns=tuple(columns),
    )
    raw = raw_of(noise, cfa_pattern, margin=(3, 6), levels=levels)
    rendering = choose_rendering(raw)
    part = render_crop(raw, rendering, x=6 + x, y=3 + y, width=width, height=height)
    np.testing.assert_array_equal(part, crop_all(raw, rendering)[y : y + height, x : x + width])


@pytest.mark.parametrize("long_edge", [20, 59, 77, 120])
def test_without_colour_filters_everything_is_grey(long_edge: int) -> None:
    colour = replace(COLOUR, as_shot_neutral=(0.3, 1.0, 0.7))  # which means nothing here
    raw = raw_of(picture_of_patches(80, 120), "Y", colour=colour)
    rendering = replace(choose_rendering(raw), exposure=1.0, white=1.0)
    picture = render_view(raw, rendering, raw.metadata.visible_area, long_edge)
    assert np.ptp(picture, axis=-1).max() == 0
    found = expand_gamma(patch_colours(picture)[:, 0] / 255)
    np.testing.assert_allclose(found, compress_highlights(PATCHES.mean(axis=1), 1.0), atol=0.01)


def test_the_default_crop_is_all_that_is_shown() -> None:
    camera = picture_of_patches(100, 120)
    raw = raw_of(camera, margin=(7, 9), default_crop=Rectangle(17, 20, 77, 109))
    rendering = choose_rendering(raw)
    assert render_screen(raw, rendering, 1000).shape == (30, 44, 3)
    assert render_crop(raw, rendering, x=0, y=0, width=500, height=500).shape == (60, 89, 3)
    whole = replace(raw.metadata, default_crop=None)
    wanted = crop_all(RawImage(mosaic=raw.mosaic, metadata=whole), rendering)[10:70, 11:100]
    np.testing.assert_array_equal(render_crop(raw, rendering, x=20, y=17, width=89, height=60), wanted)


def test_a_crop_outside_is_refused() -> None:
    raw = raw_of(picture_of_patches(64, 64), margin=(7, 9))
    with pytest.raises(ValueError, match="wanted a part of columns 9–73 and rows 7–71"):
        render_crop(raw, choose_rendering(raw), x=0, y=0, width=9, height=50)


def test_black_that_differs_by_row_and_column_does_not_show() -> None:
    levels = Levels(
        black_level=(0, 10, 20, 30),
        white_level=WHITE,
        black_delta_rows=tuple(np.linspace(500, 900, 83)),
        black_delta_columns=tuple(np.linspace(0, 300, 121)),
    )
    plain, uneven = raw_of(picture_of_patches(83, 121)), raw_of(picture_of_patches(83, 121), levels=levels)
    rendering = choose_rendering(plain)
    for size in (7, 60):
        difference = render_screen(uneven, rendering, size).astype(int) - render_screen(plain, rendering, size)
        assert np.abs(difference).max() <= 1


def test_a_window_whose_black_lies_above_white_is_rendered_too() -> None:
    rows = np.zeros(96)
    rows[:40] = 20_000.0  # hostile, but the mean leaves a signal
    levels = Levels(black_level=(0, 0, 0, 0), white_level=WHITE, black_delta_rows=tuple(rows))
    raw = raw_of(np.full((96, 64, 3), 0.1), levels=levels)
    crop = render_crop(raw, choose_rendering(raw), x=0, y=0, width=64, height=30)
    assert crop.shape == (30, 64, 3)
    assert (crop == 0).all()


@pytest.mark.parametrize("cfa_pattern", ["RGGB", XTRANS[1]])
def test_bad_photosites_do_not_show(cfa_pattern: str) -> None:
    good = raw_of(picture_of_patches(64, 96), cfa_pattern)
    mosaic, bad = good.mosaic.copy(), np.zeros(good.mosaic.shape, dtype=bool)
    bad[::7, ::5] = True
    mosaic[bad] = 0
    spotted = RawImage(mosaic=mosaic, metadata=good.metadata, bad_pixels=bad)
    rendering = choose_rendering(good)
    for found, wanted in (
        (render_screen(spotted, rendering, 48), render_screen(good, rendering, 48)),
        (crop_all(spotted, rendering), crop_all(good, rendering)),
    ):
        assert np.abs(patch_colours(found) - patch_colours(wanted)).max() < 0.5


def test_without_a_matrix_grey_is_still_grey() -> None:
    raw = raw_of(picture_of_patches(64, 120), colour=CameraColour(as_shot_neutral=(0.5, 1.0, 0.625)))
    shown = patch_colours(render_screen(raw, choose_rendering(raw), 60))
    assert np.ptp(shown[:3], axis=1).max() < 0.5
    assert np.ptp(shown[3:], axis=1).min() > 20


def test_without_a_neutral_the_mean_of_the_picture_counts_as_grey() -> None:
    camera = np.random.default_rng(0).uniform(0.1, 0.3, (64, 64, 1)) * np.array([0.4, 1.0, 0.7])
    camera[:8, :8] = 1.0  # clipped: does not count
    rendering = choose_rendering(raw_of(camera, colour=CameraColour(xyz_to_camera=MATRIX)))
    np.testing.assert_allclose(rendering.gains, [2.5, 1.0, 1 / 0.7], rtol=0.03)


@pytest.mark.parametrize("signal", [0.0, 1.0])
def test_a_capped_and_an_overexposed_picture_stay_what_they_are(signal: float) -> None:
    raw = raw_of(np.full((64, 64, 3), signal), colour=CameraColour())
    rendering = choose_rendering(raw)
    assert rendering.exposure == (MOST_EXPOSURE if signal == 0 else 1)
    assert (render_screen(raw, rendering, 9) == 255 * signal).all()


def test_the_median_becomes_middle_grey_unless_highlights_would_burn_out() -> None:
    dim = raw_of(np.full((64, 64, 3), 0.03) * np.array(COLOUR.as_shot_neutral))
    assert choose_rendering(dim).exposure == pytest.approx(6, rel=0.01)
    camera = np.full((64, 64, 3), 0.03)
    camera[:, :16] = 0.8
    assert choose_rendering(raw_of(camera * np.array(COLOUR.as_shot_neutral))).exposure == pytest.approx(2.5, rel=0.01)


@given(
    rows=st.integers(1, 23),
    columns=st.integers(1, 23),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_areas_are_averaged_by_their_share(rows: int, columns: int, size: tuple[int, int]) -> None:
    size = (min(size[0], rows), min(size[1], columns))
    plane = np.random.default_rng(0).uniform(0, 1000, (rows, columns))
    fine = plane.repeat(size[0], axis=0).repeat(size[1], axis=1)  # every area now has whole pixels
    wanted = fine.reshape(size[0], rows, size[1], columns).mean(axis=(1, 3))
    np.testing.assert_allclose(average_areas(plane, size), wanted, rtol=1e-4, atol=1e-3)


def test_gamma_is_undone_by_its_inverse() -> None:
    linear = np.linspace(0, 1, 1001)
    np.testing.assert_allclose(expand_gamma(compress_gamma(linear)), linear, atol=1e-6)


@given(white=st.floats(1, 8))
def test_the_shoulder_rises_to_white_without_a_kink(white: float) -> None:
    linear = np.linspace(0, white, 20_001)
    slopes = np.diff(compress_highlights(linear, white)) / np.diff(linear)
    assert compress_highlights(np.array([white]), white)[0] == pytest.approx(1)
    assert slopes.min() > 0
    assert np.abs(np.diff(slopes)).max() < 0.01


@pytest.mark.integration
@pytest.mark.parametrize("name", ["canon-kiss-x4-rggb-14bit-packed.dng", "gopro-fusion-rggb-14bit.dng"])
def test_colours_agree_with_dcraw(name: str, shared_data: Path, program: Callable[[str], str]) -> None:
    path = shared_data / "raw" / name
    raw = read_raw(path)
    ours = render_screen(raw, replace(choose_rendering(raw), exposure=1.0, white=1.0), 10_000)
    options = ["-w", "-o", "1", "-q", "0", "-h", "-W", "-g", "2.4", "12.92", "-T", "-c"]
    command = [program("dcraw"), *options, str(path)]
    theirs = tifffile.imread(io.BytesIO(subprocess.run(command, check=True, capture_output=True).stdout))
    assert ours.shape == theirs.shape
    difference = np.abs(block_means(ours) - block_means(theirs))
    # measured: mean 0.4 … 1.2 and at most 4.0 of 255, in saturated colours; dcraw adapts to the light without Bradford
    assert difference.mean(axis=(0, 1)).max() < 1.5
    assert difference.max() < 5


def block_means(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(12, 12, 3) mean colours of blocks."""
    height, width = (length // 12 for length in picture.shape[:2])
    cut = picture[: 12 * height, : 12 * width].astype(np.float64)
    return cut.reshape(12, height, 12, width, 3).mean(axis=(1, 3))


@pytest.mark.parametrize("orientation", range(1, 9))
@given(
    crop=st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(1, 9), st.integers(1, 9)),
    corner=st.tuples(st.integers(0, 3), st.integers(0, 3)),
)
def test_turning_back_finds_the_photosites_that_are_seen(
    orientation: int, crop: tuple[int, int, int, int], corner: tuple[int, int]
) -> None:
    frame = np.arange(10 * 9, dtype=np.uint8).reshape(10, 9)
    area = Rectangle(corner[0], corner[1], 10, 9)
    seen = turn(frame[area.slices], orientation)
    assert turned_size(area, orientation) == seen.shape[::-1]
    top, left, height, width = crop
    wanted = Rectangle(top, left, top + height, left + width)
    found = turn_back(wanted, area, orientation)
    np.testing.assert_array_equal(turn(frame[found.slices], orientation), seen[wanted.slices])


@pytest.mark.parametrize("cfa_pattern", [*CFA_PATTERNS, *XTRANS])
@pytest.mark.parametrize("long_edge", [40, 61, 79, 122, 500])
def test_a_view_has_the_same_colours_at_every_size(cfa_pattern: str, long_edge: int) -> None:
    raw = raw_of(picture_of_patches(81, 123), cfa_pattern, margin=(3, 2))
    rendering = choose_rendering(raw)
    picture = render_view(raw, rendering, raw.metadata.visible_area, long_edge)
    assert picture.shape[1] == min(long_edge, 123)
    assert abs(picture.shape[0] - picture.shape[1] * 81 / 123) <= 1
    wanted = patch_colours(crop_all(raw, rendering))
    assert np.abs(patch_colours(picture) - wanted).max() < 1


def test_a_view_at_full_size_is_the_crop() -> None:
    raw = raw_of(picture_of_patches(80, 120), margin=(2, 2), orientation=8)
    rendering = choose_rendering(raw)
    area = Rectangle(20, 31, 57, 90)
    crop = render_crop(raw, rendering, x=31, y=20, width=59, height=37)
    np.testing.assert_array_equal(render_view(raw, rendering, area, 59), crop)
