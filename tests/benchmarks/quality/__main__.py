"""Decibels on raws of pictures that no training saw, beside what people use otherwise: `make bench-quality`.

ARGS="--models photosite,photosite-n2n --every 3 --cache DIR --json FILE", or of another sensor's models: ARGS="--models
photosite-xtrans". Without a folder of pictures it judges on
those that scikit-image carries. Seeded: the same models give the same table. The first run on all 53 pictures takes
about half an hour on two cores, nearly all of it BM3D's; with --cache the next one takes minutes.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import json
import platform
import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.quality.cache import ResultCache
from benchmarks.quality.measuring import Row, find_baselines, measure, sensor_of
from benchmarks.quality.tables import noise_table, quality_table
from PIL import Image
from skimage import data
from tqdm import tqdm

from training.baselines import BASELINES
from training.datasets.held_out_raws import held_out_pictures
from training.engines.torch import TorchEngine
from training.registry import default_registry

if TYPE_CHECKING:
    from collections.abc import Sequence

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "clean"
STABILISED = [name for name in BASELINES if "white" not in name]
"""A raw's noise is not white."""
BUNDLED = ("astronaut", "cat", "coffee", "rocket")


def bundled_pictures(folder: Path) -> list[Path]:
    """The photographs that come with scikit-image, as files."""
    for name in BUNDLED:
        Image.fromarray(getattr(data, name)()).save(folder / f"{name}.png")
    return sorted(folder.iterdir())


def write_json(path: Path, engines: Sequence[TorchEngine], rows: Sequence[Row]) -> None:
    """Every block's figures, and how they came about."""
    said = {
        "measured": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "command": shlex.join(["make", "bench-quality", f"ARGS={shlex.join(sys.argv[1:])}"]),
        "hardware": platform.processor() or platform.machine(),
        "models": [f"{engine.manifest.reference} on {engine.device} in {engine.precision}" for engine in engines],
        "convention": "SIDD: PSNR and SSIM of the mosaic of each block, range 1, output clipped to it",
        "rows": [dataclasses.asdict(row) for row in rows],
    }
    path.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench-quality", description=__doc__)
    parser.add_argument("--pictures", type=Path, help="folder of pictures (default: ../shared/data/clean, if there)")
    parser.add_argument("--models", default="photosite,photosite-n2n", help="models, comma-separated")
    parser.add_argument("--models-dir", type=Path, action="append", default=[], help="a further registry of models")
    parser.add_argument("--baselines", default=",".join(STABILISED), help="methods, comma-separated; '' for none")
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--every", type=int, default=1, help="judge on every n-th picture only")
    parser.add_argument("--blocks", type=int, default=1, help="blocks of each picture")
    parser.add_argument("--cache", type=Path, help="folder that keeps what the classical methods made")
    parser.add_argument("--json", type=Path, help="write every block's figures into this file")
    return parser.parse_args()


def main() -> int:
    """Measure, and print the tables."""
    options = parse()
    registry = default_registry(*options.models_dir)
    names = [name for name in options.models.split(",") if name]
    engines = [TorchEngine(registry.resolve(name), options.device, options.precision) for name in names]
    baselines, missing = find_baselines([name for name in options.baselines.split(",") if name], sensor_of(engines))
    cache = ResultCache(options.cache)
    folder = options.pictures or (SHARED if SHARED.is_dir() else None)
    with tempfile.TemporaryDirectory() as temporary:
        pictures = held_out_pictures(folder) if folder else bundled_pictures(Path(temporary))
        pictures = pictures[:: options.every]
        rows: list[Row] = []
        for path in tqdm(pictures, unit="picture", disable=None):
            rows += measure(path, options.blocks, engines, baselines, cache)
    for engine in engines:
        print(f"{engine.manifest.reference} on {engine.device} in {engine.precision}")
    print(f"{len(pictures)} pictures, {options.blocks} blocks each; PSNR in dB / SSIM\n")
    print(quality_table(rows))
    for sentence in missing:
        print(f"\nleft out: {sentence}")
    print(f"\nNoise parameters read off the raws, median (nine in ten):\n\n{noise_table(rows)}")
    if options.json:
        write_json(options.json, engines, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
