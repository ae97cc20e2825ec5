"""What a burst gains over a single frame: `make bench-burst` (ARGS="--every 14" for fewer pictures).

Pictures that no training saw are seen several times by a hand that trembles, as raws with known noise: by whole cells,
and by single photosites, which whole cells can only follow to a half. All methods get the true noise. PSNR in dB of the
mosaic where all frames see, range 1, averaged over the pictures.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.burst.denoise import denoise_merged
from training.burst.merging import Merge
from training.datasets.held_out_raws import held_out_pictures, phone_level
from training.datasets.synthetic import add_noise, mosaic_planes, read_picture, resize, unprocess
from training.denoise import denoise_packed
from training.engines import load_engine
from training.registry import default_registry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.datasets.held_out_raws import NoiseLevel
    from training.engines.base import Engine

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "clean"
SIDE, REACH = 512, 16
"""Photosites of a frame's side, and how far a hand moves it."""
ISO_SPEEDS = (100, 800, 6400)
HANDS = {"whole cells": 2, "photosites": 1}
"""What a shift is a multiple of, in photosites."""
COLUMNS = ("noisy", "one frame, denoised", "merged", "merged, denoised")


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", nargs="?", type=Path, default=SHARED, help="folder (default: %(default)s)")
    parser.add_argument("--every", type=int, default=14, help="use every n-th picture (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--model", default="photosite")
    options = parser.parse_args()
    engine = load_engine(default_registry().resolve(options.model))
    paths = held_out_pictures(options.pictures)[:: options.every]
    print(f"{engine.manifest.reference}, {len(paths)} pictures, {options.frames} frames\n")
    print(f"| noise | shifts of | {' | '.join(COLUMNS)} | gain of merging |\n|{7 * '---|'}")
    for level in map(phone_level, ISO_SPEEDS):
        for hand, step in HANDS.items():
            rows = np.array([measure(path, level, step, options.frames, engine) for path in paths])
            means = rows.mean(axis=0)
            cells = " | ".join(f"{value:.2f}" for value in [*means, means[2] - means[0]])
            print(f"| {level.name} | {hand} | {cells} |", flush=True)
    return 0


def measure(path: Path, level: NoiseLevel, step: int, count: int, engine: Engine) -> list[float]:
    """PSNR of each column on one picture; the same for the same arguments."""
    rng = np.random.default_rng(0)
    camera = make_camera_picture(path, rng)
    shifts = [(0, 0), *(step * rng.integers(-REACH // step, REACH // step + 1, (count - 1, 2)))]
    cleans = [mosaic_planes(camera[REACH + y : REACH + y + SIDE, REACH + x : REACH + x + SIDE]) for y, x in shifts]
    frames = [add_noise(clean, level.shot_noise, level.read_noise, rng) for clean in cleans]
    merge = Merge(frames[0], level.noise)
    for frame in frames[1:]:
        merge.add(frame)
    merged = merge.result()
    results = [
        frames[0],
        denoise_packed(frames[0], engine, level.noise),
        merged.packed,
        denoise_merged(merged, engine, level.noise),
    ]
    inside = np.s_[:, REACH // 2 : -REACH // 2, REACH // 2 : -REACH // 2]
    return [float(-10 * np.log10(np.square((result - cleans[0])[inside]).mean())) for result in results]


def make_camera_picture(path: Path, rng: np.random.Generator) -> NDArray[np.float32]:
    """(side, side, 3) the middle of a picture as a camera sees it, as large as all frames together."""
    picture, side = read_picture(path), SIDE + 2 * REACH
    source = min(side, *picture.shape[:2])
    top, left = ((length - source) // 2 for length in picture.shape[:2])
    return np.clip(unprocess(resize(picture[top : top + source, left : left + source], side, side), rng), 0, 1)


if __name__ == "__main__":
    sys.exit(main())
