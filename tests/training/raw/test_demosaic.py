"""The demosaic: exact where the paper's filters are, and better than bilinear."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.ndimage import convolve

from training.metrics import psnr
from training.raw.bayer import CFA_PATTERNS
from training.raw.demosaic import demosaic
from training.raw.patterns import PATTERNS, channel_grid, phase_of, tile_cell

if TYPE_CHECKING:
    from numpy.typing import NDArray


XTRANS = [pattern for pattern in PATTERNS if len(pattern) == 36]
COLOURED = (*CFA_PATTERNS, *XTRANS)


def colour_masks(shape: tuple[int, int], cfa_pattern: str) -> NDArray[np.float64]:
    """(h, w, 3) 1 where a photosite sees a colour."""
    plane_colours = phase_of(cfa_pattern).cell.plane_colours
    colours = np.array(["RGB".index(letter) for letter in plane_colours])[channel_grid(cfa_pattern)]
    return np.eye(3)[tile_cell(colours, shape)]


def smooth_picture(height: int, width: int) -> NDArray[np.float64]:
    """(height, width, 3) waves whose colours mostly agree, as in photographs after white balance."""
    y, x = np.mgrid[:height, :width]
    luma = 0.5 + 0.2 * np.sin(x / 2.5 + y / 7) + 0.15 * np.cos(y / 2.2)
    return luma[..., None] + 0.05 * np.stack([np.sin(x / 19), np.cos(y / 23), np.sin((x + y) / 29)], axis=-1)


@pytest.mark.parametrize("cfa_pattern", CFA_PATTERNS)
@pytest.mark.parametrize("shape", [(12, 16), (13, 17)])
def test_a_grey_slope_is_restored_exactly(cfa_pattern: str, shape: tuple[int, int]) -> None:
    slope = np.add.outer(0.02 * np.arange(shape[0]), 0.03 * np.arange(shape[1])).astype(np.float32)
    colours = demosaic(slope, cfa_pattern)
    np.testing.assert_allclose(colours[2:-2, 2:-2], np.repeat(slope[..., None], 3, axis=-1)[2:-2, 2:-2], atol=1e-6)


@pytest.mark.parametrize("cfa_pattern", COLOURED)
def test_a_colour_is_restored_exactly(cfa_pattern: str) -> None:
    colour = np.array([0.2, 0.5, 0.8])
    mosaic = (colour * colour_masks((17, 20), cfa_pattern)).sum(axis=-1).astype(np.float32)
    np.testing.assert_allclose(demosaic(mosaic, cfa_pattern), np.broadcast_to(colour, (17, 20, 3)), atol=1e-6)


@pytest.mark.parametrize("cfa_pattern", XTRANS)
def test_a_grey_slope_in_xtrans_is_nearly_restored(cfa_pattern: str) -> None:
    slope = np.add.outer(0.02 * np.arange(24), 0.03 * np.arange(30)).astype(np.float32)
    colours = demosaic(slope, cfa_pattern)[3:-3, 3:-3]
    np.testing.assert_allclose(colours, np.repeat(slope[3:-3, 3:-3, None], 3, axis=-1), atol=0.012)


def test_without_colour_filters_nothing_is_made_up() -> None:
    mosaic = np.random.default_rng(0).normal(0.3, 0.2, (15, 18)).astype(np.float32)
    np.testing.assert_array_equal(demosaic(mosaic, "Y"), np.stack([mosaic] * 3, axis=-1))


@pytest.mark.parametrize("cfa_pattern", COLOURED)
def test_what_was_measured_stays(cfa_pattern: str) -> None:
    mosaic = np.random.default_rng(0).normal(0.3, 0.2, (15, 18)).astype(np.float32)
    masks = colour_masks(mosaic.shape, cfa_pattern)
    np.testing.assert_allclose((demosaic(mosaic, cfa_pattern) * masks).sum(axis=-1), mosaic, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("cfa_pattern", COLOURED)
def test_it_is_better_than_bilinear_interpolation(cfa_pattern: str) -> None:
    picture = smooth_picture(64, 80)
    masks = colour_masks((64, 80), cfa_pattern)
    mosaic = (picture * masks).sum(axis=-1).astype(np.float32)
    tent = np.array([1, 2, 1] if len(cfa_pattern) == 4 else [1, 2, 3, 2, 1], dtype=np.float64)
    kernel = np.outer(tent, tent)[..., None]
    bilinear = convolve(picture * masks, kernel, mode="mirror") / convolve(masks, kernel, mode="mirror")
    assert psnr(demosaic(mosaic, cfa_pattern).astype(np.float64), picture) > psnr(bilinear, picture) + 6


GREEN = [[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]]
ALONG = [[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]]
ACROSS = np.transpose(ALONG)
OPPOSITE = [[0, 0, -1.5, 0, 0], [0, 2, 0, 2, 0], [-1.5, 0, 6, 0, -1.5], [0, 2, 0, 2, 0], [0, 0, -1.5, 0, 0]]


@pytest.mark.parametrize(
    ("pixel", "colour", "eighths"),
    [
        ((8, 8), 1, GREEN),  # green at red
        ((9, 9), 1, GREEN),  # green at blue
        ((8, 9), 0, ALONG),  # red at green in red's row
        ((9, 8), 0, ACROSS),  # red at green in red's column
        ((9, 9), 0, OPPOSITE),  # red at blue
        ((9, 8), 2, ALONG),  # blue at green in blue's row
        ((8, 9), 2, ACROSS),  # blue at green in blue's column
        ((8, 8), 2, OPPOSITE),  # blue at red
    ],
)
def test_each_filter_is_the_papers(pixel: tuple[int, int], colour: int, eighths: list[list[float]]) -> None:
    found = np.zeros((5, 5))
    for down, across in np.ndindex(5, 5):
        mosaic = np.zeros((18, 18), dtype=np.float32)
        mosaic[pixel[0] + down - 2, pixel[1] + across - 2] = 8
        found[down, across] = demosaic(mosaic, "RGGB")[(*pixel, colour)]
    np.testing.assert_array_equal(found, eighths)
