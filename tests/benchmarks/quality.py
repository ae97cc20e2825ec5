"""Decibels on synthetic raws of pictures that no training saw: `make bench-quality` (ARGS="--pictures DIR" for others).

Without a folder of pictures it judges on those that scikit-image carries. Seeded: the same model gives the same table.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from PIL import Image
from skimage import data
from tqdm import tqdm

from training.engines.torch import TorchEngine
from training.evaluate import SHOT_LEVELS, Score, clean_planes, held_out_pictures, score, table
from training.registry import default_registry

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "clean"
BUNDLED = ("astronaut", "cat", "coffee", "rocket")


def bundled_pictures(folder: Path) -> list[Path]:
    """The photographs that come with scikit-image, as files."""
    for name in BUNDLED:
        Image.fromarray(getattr(data, name)()).save(folder / f"{name}.png")
    return sorted(folder.iterdir())


def judge(model: str | None, precision: str, pictures: list[Path]) -> list[Score]:
    """All pictures at all levels."""
    engine = TorchEngine(default_registry().resolve(model), "auto", precision)
    print(f"\n{engine.manifest.reference} on {engine.device} in {engine.precision}, {len(pictures)} pictures\n")
    results = []
    for path in tqdm(pictures, disable=None):
        clean = clean_planes(path)
        results += [score(engine, path.stem, clean, level) for level in SHOT_LEVELS]
    print(table(results))
    return results


def main() -> int:
    """Print one table a model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=Path, help="folder of pictures (default: ../shared/data/clean, if there)")
    parser.add_argument("--models", default="photosite,photosite-n2n", help="models, comma-separated")
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto")
    parser.add_argument("--every", type=int, default=1, help="judge on every n-th picture only")
    options = parser.parse_args()
    folder = options.pictures or (SHARED if SHARED.is_dir() else None)
    with tempfile.TemporaryDirectory() as temporary:
        pictures = held_out_pictures(folder) if folder else bundled_pictures(Path(temporary))
        for model in options.models.split(","):
            judge(model, options.precision, pictures[:: options.every])
    return 0


if __name__ == "__main__":
    sys.exit(main())
