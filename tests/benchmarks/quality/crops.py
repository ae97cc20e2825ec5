"""Pictures to look at, before and after: `make bench-crops FILES="a.dng b.dng" ARGS="--into DIR"`.

One sheet for every scene that denoisers easily spoil, and one for every file: the input, BM3D and the model side by
side (for the drawn scenes the clean one too), rendered alike.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from benchmarks.quality.golden_scenes import NEUTRAL, SCENES, draw_scene, heat
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from training.baselines import load_baseline
from training.datasets.held_out_raws import Scene, expose, phone_level, store, stored_noise
from training.datasets.synthetic import mosaic_of
from training.denoise import denoise_packed
from training.engines import load_engine
from training.errors import ConfigError
from training.noise_choice import choose_noise
from training.planes import pack_signal, unpack_mosaic
from training.raw.bayer import red_position
from training.raw.colour import CameraColour
from training.raw.dng import read_raw
from training.raw.image import RawImage
from training.raw.render import choose_rendering, render_crop
from training.registry import default_registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from training.baselines import Baseline
    from training.engines.base import Engine
    from training.noise import NoiseModel

SIZE = 320
"""Photosites of a crop's side."""
SPEEDS = (400, 3200)
BITS = 14
HALO = 16
"""Packed pixels around a crop that BM3D sees."""
CAPTION = 14


@dataclass(frozen=True)
class Methods:
    """What is shown beside the input."""

    engine: Engine
    bm3d: Baseline | None
    """None where it is not installed."""


def golden_sheet(name: str, methods: Methods) -> Image.Image:
    """One drawn scene at two ISO speeds: clean, noisy, BM3D, the model; all given the true noise."""
    clean = np.clip(mosaic_of(draw_scene(name, SIZE)), 0, 1)
    scene = Scene(name=name, group="golden", clean=clean, cfa_pattern="RGGB", bits=BITS, corners=())
    rows = []
    for iso in SPEEDS:
        level = phone_level(iso)
        seen = expose(scene, level)
        if name == "hot pixels":
            added = np.rint(heat(clean.shape) * scene.levels.signal_range.mean()).astype(np.uint16)
            seen = dataclasses.replace(seen, mosaic=np.minimum(seen.mosaic + added, np.uint16(2**BITS - 1)))
        raw, perfect = (with_colour(each) for each in (seen, store(clean, scene)))
        noise = stored_noise(level, scene.levels)
        packed = pack_signal(raw)
        stages = {"clean": perfect, f"ISO {iso}": raw}
        if methods.bm3d:
            stages["BM3D"] = with_planes(raw, packed, methods.bm3d(packed, noise), noise)
        stages[methods.engine.manifest.reference] = with_planes(
            raw, packed, denoise_packed(packed, methods.engine, noise), noise
        )
        rows.append(show(stages, raw, (0, 0)))
    return stack(rows)


def file_sheet(path: Path, methods: Methods) -> Image.Image:
    """Three places of a file, of little, middling and much detail: as it was, BM3D, the model; by the noise served."""
    raw = read_raw(path)
    packed = pack_signal(raw)
    noise = choose_noise(packed, raw.metadata).model
    ours = with_planes(raw, packed, denoise_packed(packed, methods.engine, noise), noise)
    area, (row_shift, column_shift) = raw.metadata.active_area, red_position(raw.metadata.cfa_pattern)
    rows = []
    for row, column in places(packed):
        stages = {path.stem: raw}
        if methods.bm3d:
            stages["BM3D"] = with_planes(raw, packed, denoise_window(packed, (row, column), methods.bm3d, noise), noise)
        stages[methods.engine.manifest.reference] = ours
        rows.append(show(stages, raw, (area.top + 2 * row - row_shift, area.left + 2 * column - column_shift)))
    return stack(rows)


def places(packed: NDArray[np.float32]) -> list[tuple[int, int]]:
    """Row and column, in packed pixels, of windows with little, middling and much detail."""
    side = SIZE // 2
    green = packed[1]
    corners = [
        (row, column)
        for row in range(HALO, green.shape[0] - side - HALO, side // 2)
        for column in range(HALO, green.shape[1] - side - HALO, side // 2)
    ]
    detail = []
    for row, column in corners:
        coarse = green[row : row + side, column : column + side].reshape(side // 4, 4, side // 4, 4).mean(axis=(1, 3))
        detail.append(float(np.abs(np.diff(coarse, axis=0)).mean() + np.abs(np.diff(coarse, axis=1)).mean()))
    order = np.argsort(detail)
    return [corners[order[int(share * (len(order) - 1))]] for share in (0.05, 0.5, 0.97)]


def denoise_window(
    packed: NDArray[np.float32], corner: tuple[int, int], baseline: Baseline, noise: NoiseModel
) -> NDArray[np.float32]:
    """The planes with one window of them denoised."""
    row, column = corner
    side = SIZE // 2
    wide = packed[:, row - HALO : row + side + HALO, column - HALO : column + side + HALO]
    result = packed.copy()
    result[:, row : row + side, column : column + side] = baseline(wide, noise)[:, HALO:-HALO, HALO:-HALO]
    return result


def with_planes(
    raw: RawImage, packed: NDArray[np.float32], denoised: NDArray[np.float32], noise: NoiseModel
) -> RawImage:
    """The raw with its planes denoised, clipped photosites kept as they are served."""
    return dataclasses.replace(raw, mosaic=unpack_mosaic(raw, packed, denoised, noise, 0))


def with_colour(raw: RawImage) -> RawImage:
    """The raw with the drawn scenes' white balance."""
    metadata = dataclasses.replace(raw.metadata, colour=CameraColour(as_shot_neutral=NEUTRAL))
    return RawImage(mosaic=raw.mosaic, metadata=metadata)


def show(stages: dict[str, RawImage], reference: RawImage, corner: tuple[int, int]) -> Image.Image:
    """The same crop of all stages in a row, rendered as the reference is, each under its name."""
    rendering = choose_rendering(reference)
    row = Image.new("RGB", (len(stages) * (SIZE + 2), SIZE + CAPTION), "white")
    pen = ImageDraw.Draw(row)
    for index, (name, raw) in enumerate(stages.items()):
        crop = render_crop(raw, rendering, x=corner[1], y=corner[0], width=SIZE, height=SIZE)
        row.paste(Image.fromarray(crop), (index * (SIZE + 2), CAPTION))
        pen.text((index * (SIZE + 2) + 2, 0), name, fill="black", font=ImageFont.load_default(11))
    return row


def stack(rows: Sequence[Image.Image]) -> Image.Image:
    """Rows of the same width, one under the other."""
    return Image.fromarray(np.concatenate([np.asarray(row) for row in rows]))


def find_bm3d() -> Baseline | None:
    """BM3D, or a sentence on why not."""
    try:
        return load_baseline("bm3d-colour")
    except ConfigError as error:
        print(f"left out: {error}")
        return None


def main() -> int:
    """Write one sheet a scene and one a file."""
    parser = argparse.ArgumentParser(prog="bench-crops", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="raws to show besides the drawn scenes")
    parser.add_argument("--into", type=Path, required=True, metavar="DIR", help="folder for the sheets")
    parser.add_argument("--model", help="model (default: the default)")
    parser.add_argument("--only", default="", help="draw only the scenes with this in their name; '-' for none")
    parser.add_argument("--quick", action="store_true", help="leave out BM3D, which takes nearly all of the time")
    options = parser.parse_args()
    options.into.mkdir(parents=True, exist_ok=True)
    methods = Methods(load_engine(default_registry().resolve(options.model)), None if options.quick else find_bm3d())
    for name in tqdm([name for name in SCENES if options.only in name], unit="scene", disable=None):
        golden_sheet(name, methods).save(options.into / f"{name.replace(' ', '-')}.png")
    for path in tqdm(options.files, unit="file", disable=None):
        file_sheet(path, methods).save(options.into / f"{path.stem}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
