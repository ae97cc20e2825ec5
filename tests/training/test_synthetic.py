"""Synthetic raws: physics that one can check."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from training.datasets.splits import HELD_OUT
from training.datasets.synthetic import (
    add_noise,
    draw_camera,
    draw_colour_matrix,
    expand_gamma,
    invert_gain,
    invert_tone_curve,
    load_pictures,
    mosaic_of,
    mosaic_planes,
    unprocess,
    unprocess_planes,
)
from training.raw.cells import CELLS, unpack_cells

if TYPE_CHECKING:
    from pathlib import Path

    from training.raw.cells import SensorKind


def test_the_noise_has_the_variance_that_was_asked_for() -> None:
    rng = np.random.default_rng(0)
    for signal in (0.0, 0.1, 0.8):
        clean = np.full((4, 256, 256), signal, dtype=np.float32)
        error = add_noise(clean, 2e-3, 5e-6, rng) - clean
        assert float(error.var()) == pytest.approx(2e-3 * signal + 5e-6, rel=0.02)
        assert abs(float(error.mean())) < 4 * np.sqrt((2e-3 * signal + 5e-6) / error.size)


def test_the_inverse_tone_curve_undoes_smoothstep() -> None:
    x = np.linspace(0, 1, 101)
    np.testing.assert_allclose(invert_tone_curve(3 * x**2 - 2 * x**3), x, atol=1e-9)


def test_expanding_gamma_undoes_srgb_encoding() -> None:
    linear = np.linspace(0, 1, 101)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(expand_gamma(encoded), linear, atol=1e-6)


def test_the_camera_matrix_keeps_grey_grey() -> None:
    for seed in range(20):
        matrix = draw_colour_matrix(np.random.default_rng(seed))
        np.testing.assert_allclose(matrix @ np.ones(3), np.ones(3))
        assert (matrix >= 0).all()


def test_inverse_gains_divide_midtones_and_keep_white() -> None:
    grey, white = np.full((1, 1), 0.5, np.float32), np.ones((1, 1), np.float32)
    for gain in (2.0, 1.0, 1.6):
        np.testing.assert_allclose(invert_gain(grey, grey, gain), 0.5 / gain, rtol=1e-6)
        np.testing.assert_allclose(invert_gain(white, white, gain), 1.0)


def test_the_planes_are_those_of_the_mosaicked_picture() -> None:
    srgb = np.random.default_rng(0).random((6, 8, 3), dtype=np.float32)
    planes = unprocess_planes(srgb, draw_camera(np.random.default_rng(5)))
    expected = mosaic_planes(unprocess(srgb, np.random.default_rng(5)))
    np.testing.assert_allclose(planes, expected, rtol=1e-6)


@pytest.mark.parametrize("kind", ["bayer", "x-trans"])
def test_every_photosite_of_a_cell_sees_its_colour(kind: SensorKind) -> None:
    cell = CELLS[kind]
    srgb = np.random.default_rng(0).random((12, 18, 3), dtype=np.float32)
    mosaic = unpack_cells(unprocess_planes(srgb, draw_camera(np.random.default_rng(5)), cell), cell.side)
    camera = unprocess(srgb, np.random.default_rng(5))
    colours = [["RGB".index(colour) for colour in row] for row in cell.colours]
    grid = np.tile(colours, (12 // cell.side, 18 // cell.side))
    np.testing.assert_allclose(mosaic, np.take_along_axis(camera, grid[..., None], axis=2)[..., 0], rtol=1e-6)


def test_a_sensor_without_filters_sees_grey() -> None:
    """The mean of the colours, before white balance: of a grey picture what green sees."""
    srgb = np.repeat(np.random.default_rng(0).random((8, 8, 1), dtype=np.float32), 3, axis=2)
    camera = draw_camera(np.random.default_rng(5))
    planes, bayer = unprocess_planes(srgb, camera, CELLS["monochrome"]), unprocess_planes(srgb, camera)
    np.testing.assert_allclose(planes[1:3], bayer[1:3], rtol=1e-5)
    assert planes.shape == (4, 4, 4)


def test_the_mosaic_takes_each_colour_at_its_place() -> None:
    camera = np.arange(2 * 2 * 3, dtype=np.float32).reshape(2, 2, 3)
    assert mosaic_of(camera).tolist() == [[0, 4], [7, 11]]
    assert mosaic_planes(camera).ravel().tolist() == [0, 4, 7, 11]


def test_held_out_pictures_are_never_trained_on(tmp_path: Path) -> None:
    held_out = min(HELD_OUT)
    for name, grey in (("seen", 10), (held_out, 200)):
        Image.new("RGB", (80, 80), (grey,) * 3).save(tmp_path / f"{name}.png")
    data = load_pictures(tmp_path, patch_size=32, scales=(1.0,))
    assert [int(picture[0, 0, 0]) for picture in data.pictures] == [10]


def test_the_noise_stays_in_the_range_that_was_asked_for(tmp_path: Path) -> None:
    Image.fromarray(np.full((80, 80, 3), 128, dtype=np.uint8)).save(tmp_path / "grey.png")
    data = load_pictures(tmp_path, patch_size=32, scales=(1.0,), shot_noise_range=(2e-4, 4e-4))
    drawn = [data.draw((0, index)).shot_noise for index in range(64)]
    assert 2e-4 <= min(drawn) < 2.2e-4
    assert 3.6e-4 < max(drawn) <= 4e-4
