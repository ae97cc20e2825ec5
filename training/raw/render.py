"""A mosaic as a picture for the screen: thumbnails, and before and after side by side.

How it looks is decided once, from the noisy input (`choose_rendering`), and applied to every mosaic of that picture, so
that what differs between two renderings is the mosaic and nothing else. It is no raw editor's rendering: no sharpening,
no profile's look.

In the flow: read_raw → **render_screen, render_crop, render_view** → an image file.

Source: white balance and matrix: `colour.py`. Shoulder: Reinhard et al., "Photographic Tone Reproduction for Digital
Images", SIGGRAPH 2002, equation 4, applied above a knee. Transfer function: IEC 61966-2-1 (sRGB).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from training.raw.colour import LUMINANCE
from training.raw.defects import fill_bad_pixels
from training.raw.demosaic import REACH, demosaic
from training.raw.image import Rectangle
from training.raw.patterns import channel_grid, pattern_from, tile_cell

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.raw.cells import Cell, SensorKind
    from training.raw.colour import Matrix, Triple
    from training.raw.image import RawImage

KNEE = 0.6
"""Linear display signal above which highlights are compressed; below it the picture is as it was shot."""
MIDDLE = 0.18
"""Where the exposure puts the median of the picture, unless that would burn out the highlights …"""
BURNT = 2.0
"""… which may reach this (the 99th percentile), and are compressed into white."""
MOST_EXPOSURE = 32.0
"""Five stops: a capped lens stays dark."""
MOST_WHITE = 8.0
"""The shoulder compresses three stops; what is brighter, a few lamps in the dark, is white."""
TONE_STEPS = 65_536
"""Entries of the tone curve's table: a step is less than half an 8-bit step even at the curve's steepest."""
LOOK_SIZE = 512
"""Long edge at which a picture is looked at to choose its exposure."""
_NO_BALANCE: Triple = (1.0, 1.0, 1.0)
BLOCK_SIDES: dict[SensorKind, int] = {"bayer": 2, "x-trans": 3, "monochrome": 2}
"""Photosites each way of a block that is one pixel of a small picture: it has all colours."""
GREY_WORLD_TOP = 0.9
"""Blocks brighter than this do not count towards a grey world: they may be clipped."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendering:
    """How a picture is rendered: the same for its noisy input and its denoised result."""

    gains: Triple
    """White balance of R, G, B; the smallest is 1, so that what is clipped in every colour is white."""
    matrix: Matrix
    """White-balanced camera colours to linear sRGB; rows sum to 1."""
    exposure: float
    """Gain of the linear display signal, at least 1."""
    white: float
    """Display signal, after `exposure`, that becomes white; at least 1."""
    orientation: int = 1
    """How the picture is turned for viewing, as TIFF's Orientation."""


def choose_rendering(raw: RawImage) -> Rendering:
    """Choose the rendering of a picture from its file and its pixels.

    Without AsShotNeutral the picture's own mean counts as grey; without ColorMatrix camera colours count as sRGB's.

    Args:
        raw: The noisy input.
    """
    colour, area = raw.metadata.colour, raw.metadata.visible_area
    size = _screen_size(raw, area, LOOK_SIZE)
    neutral = _NO_BALANCE
    if raw.metadata.sensor != "monochrome":
        neutral = colour.as_shot_neutral or _grey_world(_binned(raw, _NO_BALANCE, size, area))
    gains = _gains(neutral)
    matrix = colour.to_srgb(neutral)
    luminance = _binned(raw, gains, size, area) @ np.array(matrix).T @ LUMINANCE
    exposure, white = _expose(luminance)
    return Rendering(gains=gains, matrix=matrix, exposure=exposure, white=white, orientation=raw.metadata.orientation)


def render_screen(raw: RawImage, rendering: Rendering, long_edge: int) -> NDArray[np.uint8]:
    """The whole visible picture at the size of a screen: blocks as pixels, averaged over areas.

    Args:
        raw: Any mosaic of the picture that `rendering` was made for.
        rendering: From `choose_rendering`.
        long_edge: Pixels of the longer side; there are fewer where the mosaic has fewer blocks.

    Returns:
        (h, w, 3) uint8 sRGB, turned for viewing.

    Raises:
        ValueError: `long_edge` is below 1.
    """
    if long_edge < 1:
        raise ValueError(f"got a long edge of {long_edge}, wanted at least 1 pixel")
    area = raw.metadata.visible_area
    balanced = _binned(raw, rendering.gains, _screen_size(raw, area, long_edge), area)
    return turn(_develop(balanced, rendering), rendering.orientation)


def render_crop(raw: RawImage, rendering: Rendering, *, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
    """A part of the picture, photosite by photosite.

    Args:
        raw: Any mosaic of the picture that `rendering` was made for.
        rendering: From `choose_rendering`.
        x: Left column, in full-frame coordinates as the mosaic lies.
        y: Top row.
        width: Columns; what lies outside the visible area is left out.
        height: Rows.

    Returns:
        (h, w, 3) uint8 sRGB, turned for viewing.

    Raises:
        ValueError: Nothing of it lies in the visible area.
    """
    wanted = Rectangle(y, x, y + height, x + width)
    crop = raw.metadata.visible_area.intersection(wanted)
    if not (crop.height and crop.width):
        area = raw.metadata.visible_area
        raise ValueError(
            f"got a crop of columns {x}–{x + width} and rows {y}–{y + height}, wanted a part of columns "
            f"{area.left}–{area.right} and rows {area.top}–{area.bottom}"
        )
    return turn(_develop(_demosaiced(raw, rendering, crop), rendering), rendering.orientation)


def render_view(raw: RawImage, rendering: Rendering, area: Rectangle, long_edge: int) -> NDArray[np.uint8]:
    """A part of the picture at the size of a screen: of blocks where these are enough, else of photosites.

    Both are averaged over areas in linear light, never enlarged.

    Args:
        raw: Any mosaic of the picture that `rendering` was made for.
        rendering: From `choose_rendering`.
        area: Which part, in full-frame coordinates as the mosaic lies; within the visible area, not empty.
        long_edge: Pixels of the longer side; there are fewer where the part has fewer photosites.

    Returns:
        (h, w, 3) uint8 sRGB, turned for viewing.
    """
    longer = max(area.height, area.width)
    if BLOCK_SIDES[raw.metadata.sensor] * long_edge <= longer:
        blocks = _binned(raw, rendering.gains, _screen_size(raw, area, long_edge), area)
        return turn(_develop(blocks, rendering), rendering.orientation)
    colours = _demosaiced(raw, rendering, area)
    scale = min(1.0, long_edge / longer)
    size = max(1, round(area.height * scale)), max(1, round(area.width * scale))
    return turn(_develop(average_areas(colours, size), rendering), rendering.orientation)


def turned_size(area: Rectangle, orientation: int) -> tuple[int, int]:
    """Width and height of a part of the mosaic once it is turned for viewing.

    >>> turned_size(Rectangle(0, 0, 2, 3), 6)
    (2, 3)
    """
    return (area.height, area.width) if orientation >= 5 else (area.width, area.height)


def turn_back(crop: Rectangle, area: Rectangle, orientation: int) -> Rectangle:
    """Where a crop of the turned picture lies in the mosaic: what `turn` does to a picture, undone for a rectangle.

    Args:
        crop: In pixels of the turned picture; what hangs over its edge is cut off.
        area: The part of the mosaic that the picture shows, in full-frame coordinates.
        orientation: How it is turned, 1 … 8.

    Returns:
        In full-frame coordinates; empty where the crop lies outside.

    >>> turn_back(Rectangle(0, 0, 1, 1), Rectangle(10, 20, 12, 23), 6)  # the turned picture's top left was bottom left
    Rectangle(top=11, left=20, bottom=12, right=21)
    """
    width, height = turned_size(area, orientation)
    top, left, bottom, right = crop.intersection(Rectangle(0, 0, height, width))
    if orientation in {2, 3, 6, 7}:
        left, right = width - right, width - left
    if orientation in {3, 4, 7, 8}:
        top, bottom = height - bottom, height - top
    if orientation >= 5:
        top, left, bottom, right = left, top, right, bottom
    return Rectangle(area.top + top, area.left + left, area.top + bottom, area.left + right)


def turn(picture: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn a picture as TIFF's Orientation says.

    >>> turn(np.array([[1, 2], [3, 4]], dtype=np.uint8), 6).tolist()  # a quarter turn clockwise
    [[3, 1], [4, 2]]
    """
    turned = picture.swapaxes(0, 1) if orientation >= 5 else picture
    if orientation in {3, 4, 7, 8}:
        turned = turned[::-1]
    if orientation in {2, 3, 6, 7}:
        turned = turned[:, ::-1]
    return np.ascontiguousarray(turned)


def compress_highlights(linear: NDArray[np.floating], white: float) -> NDArray[np.floating]:
    """The shoulder: nothing below the knee, then ever flatter until `white` becomes 1; smooth at the knee.

    >>> compress_highlights(np.array([0.3, 0.6, 1.5, 3.0]), 3.0).round(3).tolist()
    [0.3, 0.6, 0.894, 1.0]
    """
    above = np.clip((linear - KNEE) / (1 - KNEE), 0, None)
    top = (white - KNEE) / (1 - KNEE)
    compressed: NDArray[np.floating] = np.minimum(linear, KNEE)
    compressed += (1 - KNEE) * above * (1 + above / top**2) / (1 + above)
    return compressed


def compress_gamma(linear: NDArray[np.floating]) -> NDArray[np.floating]:
    """The sRGB transfer function, for 0 … 1.

    >>> compress_gamma(np.array([0.0, 0.0031308, 1.0])).round(5).tolist()
    [0.0, 0.04045, 1.0]
    """
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055)


def _develop(balanced: NDArray[np.float32], rendering: Rendering) -> NDArray[np.uint8]:
    """(h, w, 3) white-balanced camera colours, black 0 and clipped at 1, to sRGB."""
    steps = TONE_STEPS - 1
    scale = rendering.exposure * steps / rendering.white
    matrix = (np.array(rendering.matrix) * scale).astype(np.float32)
    linear = np.clip(np.minimum(balanced, 1) @ matrix.T, 0, steps)
    tones = compress_gamma(compress_highlights(np.linspace(0, rendering.white, TONE_STEPS), rendering.white))
    picture: NDArray[np.uint8] = np.rint(255 * tones).astype(np.uint8)[np.rint(linear).astype(np.uint16)]
    return picture


def _expose(luminance: NDArray[np.floating]) -> tuple[float, float]:
    """Exposure and white of a picture by its linear luminance, 1 where the sensor is clipped."""
    median, bright, brightest = np.maximum(np.quantile(luminance, [0.5, 0.99, 0.9995]), 1e-6)
    exposure = float(np.clip(min(MIDDLE / median, BURNT / bright), 1, MOST_EXPOSURE))
    return exposure, float(np.clip(min(brightest, 1) * exposure, 1, MOST_WHITE))


def _gains(neutral: Triple) -> Triple:
    red, green, blue = (max(neutral) / value for value in neutral)
    return red, green, blue


def _grey_world(blocks: NDArray[np.float32]) -> Triple:
    """The mean colour of the blocks that are surely not clipped; grey where there is none."""
    sound = blocks[blocks.max(axis=-1) < GREY_WORLD_TOP]  # (n, 3)
    means = sound.mean(axis=0).tolist() if len(sound) else [1.0] * 3
    red, green, blue = means if min(means) > 0 else [1.0] * 3
    return red, green, blue


def _screen_size(raw: RawImage, area: Rectangle, long_edge: int) -> tuple[int, int]:
    """Rows and columns of a part of the picture before it is turned: at most one pixel a block."""
    side = BLOCK_SIDES[raw.metadata.sensor]
    rows, columns = area.height // side, area.width // side
    scale = min(1.0, long_edge / max(rows, columns))
    return max(1, round(rows * scale)), max(1, round(columns * scale))


def _binned(raw: RawImage, gains: Triple, size: tuple[int, int], area: Rectangle) -> NDArray[np.float32]:
    """(*size, 3) float32: white-balanced blocks of an area, clipped at 1, then averaged over areas.

    Clipped before averaging: where red is clipped in some cells and green in others, their means would be coloured.
    """
    levels, cell = raw.metadata.levels, raw.metadata.phase.cell
    if cell.side != BLOCK_SIDES[cell.kind]:
        return average_areas(_blocks(raw, gains, area), size)
    mosaic = _good_mosaic(raw, area)
    blocks = np.zeros((*size, 3), dtype=np.float32)
    for (row, column), channel in np.ndenumerate(_grid_at(raw, area)):
        letter = cell.plane_colours[channel]
        colours = [0, 1, 2] if letter == "Y" else ["RGB".index(letter)]
        scale = gains[colours[0]] / levels.signal_range[channel]
        clipped = np.float32(levels.mean_black[channel] + 1 / scale)
        photosites = mosaic[row : area.height // 2 * 2 : 2, column : area.width // 2 * 2 : 2]
        stored = average_areas(np.minimum(photosites, clipped), size)
        black = levels.black_level[channel] + _mean_deltas(raw, area, (row, column), size)
        signal = scale / cell.plane_colours.count(letter) * (stored - black)
        for colour in colours:
            blocks[..., colour] += signal
    return blocks


def _blocks(raw: RawImage, gains: Triple, area: Rectangle) -> NDArray[np.float32]:
    """(h // 3, w // 3, 3) float32: white-balanced 3×3 blocks of an area of X-Trans, clipped at 1.

    Four blocks make a cell. Each has all colours, but not equally many photosites of each.
    """
    levels, cell, active = raw.metadata.levels, raw.metadata.phase.cell, raw.metadata.active_area
    block, step = BLOCK_SIDES[cell.kind], cell.side
    rows, columns = area.height // block * block, area.width // block * block
    down, across = np.arange(rows) + area.top - active.top, np.arange(columns) + area.left - active.left
    mosaic, grid = _good_mosaic(raw, area), _grid_at(raw, area)
    colours = np.array(["RGB".index(cell.plane_colours[channel]) for channel in grid.flat]).reshape(grid.shape)
    blocks = np.zeros((rows // block, columns // block, 3), dtype=np.float32)
    for (row, column), channel in np.ndenumerate(grid):
        (top, left), colour = (row // block, column // block), colours[row, column]
        alike = np.sum(colours[block * top :, block * left :][:block, :block] == colour)
        places = slice(row, rows, step), slice(column, columns, step)
        black = levels.black_of(int(channel), down[places[0], None], across[None, places[1]])
        signal = (mosaic[places] - black) * np.float32(gains[colour] / levels.signal_range[channel])
        blocks[top :: step // block, left :: step // block, colour] += np.minimum(signal, 1) / np.float32(alike)
    return blocks


def average_areas(plane: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float32]:
    """Shrink a plane, or those of (h, w, n): each pixel is the mean of the area it stands for.

    Edges are counted by their share.

    >>> average_areas(np.array([[0.0, 3.0, 6.0]]), (1, 2)).tolist()
    [[1.0, 5.0]]
    """
    return _average_axis(_average_axis(plane, size[0], 0), size[1], 1)


def _average_axis(values: NDArray[Any], count: int, axis: int) -> NDArray[np.float32]:
    """Shrink one axis to `count`, which is at most its length."""
    values = values.astype(np.float32, copy=False)
    length = values.shape[axis]
    if count == length:
        return values
    edges = np.linspace(0, length, count + 1)[:-1]
    first = edges.astype(int)
    along = tuple(-1 if of == axis else 1 for of in range(values.ndim))
    before = (edges - first).astype(np.float32).reshape(along) * values.take(first, axis)  # is the area before's
    after = np.roll(before, -1, axis)  # the last area takes the first edge's share, which is 0
    sums: NDArray[np.float32] = np.add.reduceat(values, first, axis) - before + after
    return sums * np.float32(count / length)


def _mean_deltas(raw: RawImage, area: Rectangle, corner: tuple[int, int], size: tuple[int, int]) -> NDArray[np.float32]:
    """What BlackLevelDeltaV and H add to the black of one position of the cells: (rows or 1, columns or 1)."""
    active, levels = raw.metadata.active_area, raw.metadata.levels
    added = np.zeros((1, 1), dtype=np.float32)
    if levels.black_delta_rows:
        rows = np.array(levels.black_delta_rows)[area.top - active.top :][corner[0] : area.height // 2 * 2 : 2]
        added = added + _average_axis(rows, size[0], 0)[:, None]
    if levels.black_delta_columns:
        columns = np.array(levels.black_delta_columns)[area.left - active.left :][corner[1] : area.width // 2 * 2 : 2]
        added = added + _average_axis(columns, size[1], 0)[None, :]
    return added


def _grid_at(raw: RawImage, area: Rectangle) -> NDArray[np.intp]:
    """(side, side) which channel each position of the area's top-left cell belongs to."""
    active = raw.metadata.active_area
    shift = (active.top - area.top, active.left - area.left)
    return np.roll(channel_grid(raw.metadata.cfa_pattern), shift, axis=(0, 1))


def _demosaiced(raw: RawImage, rendering: Rendering, crop: Rectangle) -> NDArray[np.float32]:
    """(h, w, 3) float32: white-balanced camera colours of a part of the visible area, photosite by photosite."""
    window = _window(raw, crop)
    colours = demosaic(_balanced_window(raw, rendering.gains, window), raw.metadata.cfa_pattern)
    top, left = crop.top - window.top, crop.left - window.left
    return colours[top : top + crop.height, left : left + crop.width]


def _window(raw: RawImage, crop: Rectangle) -> Rectangle:
    """The crop and what its demosaic reaches for; it begins on a whole cell, so that its pattern is the file's."""
    active, cell = raw.metadata.active_area, raw.metadata.phase.cell
    reach, side = REACH[cell.kind], cell.side
    window = active.intersection(
        Rectangle(crop.top - reach, crop.left - reach, crop.bottom + reach, crop.right + reach)
    )
    return window._replace(
        top=window.top - (window.top - active.top) % side, left=window.left - (window.left - active.left) % side
    )


def _balanced_window(raw: RawImage, gains: Triple, window: Rectangle) -> NDArray[np.float32]:
    """(h, w) float32: the white-balanced signal of a window, clipped at 1, the white of the smallest gain."""
    active, pattern, levels = raw.metadata.active_area, raw.metadata.cfa_pattern, raw.metadata.levels
    shape, origin = (window.height, window.width), (window.top - active.top, window.left - active.left)
    balance = np.array(_plane_gains(gains, raw.metadata.phase.cell))
    cell = (balance / levels.signal_range).astype(np.float32)[channel_grid(pattern)]
    signal = _good_mosaic(raw, window) - levels.black_plane(pattern, shape, origin)
    balanced: NDArray[np.float32] = np.minimum(signal * tile_cell(cell, shape), np.float32(1))
    return balanced


def _plane_gains(gains: Triple, cell: Cell) -> list[float]:
    """White balance of every plane of a cell; 1 where there are no colours."""
    return [1.0 if letter == "Y" else gains["RGB".index(letter)] for letter in cell.plane_colours]


def _good_mosaic(raw: RawImage, area: Rectangle) -> NDArray[np.float32] | NDArray[np.uint16]:
    """(h, w) an area of the mosaic, photosites that the file marks as bad filled from their neighbours."""
    mosaic, active = raw.mosaic[area.slices], raw.metadata.active_area
    if raw.bad_pixels is None:
        return mosaic
    pattern = pattern_from(raw.metadata.cfa_pattern, area.top - active.top, area.left - active.left)
    return fill_bad_pixels(mosaic.astype(np.float32), raw.bad_pixels[area.slices], pattern)
