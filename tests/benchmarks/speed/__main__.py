"""Seconds per megapixel and peak memory, network alone to file over HTTP: `make bench-speed`, on a card too.

ARGS="--sizes 12,24,100 --runs 3 --http 24 --json FILE". The reference, in the same run, is the papers' U-Net as its
authors run it: eager float32, contiguous memory. Read the ratios: seconds are those of one machine on one day. Where
others use the machine, `--clock cpu` counts seconds of the processor, on one thread; then nothing is said about HTTP.
`--untrained NETWORK` measures an architecture that has no published weights yet.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import shlex
import statistics
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.speed.clocks import spread
from benchmarks.speed.tables import files_table, http_table, start_table, steps_table
from benchmarks.speed.ways import by_command, by_library, over_http, run_part, service
from tiny_models import publish_model

UNTRAINED, RESIDUAL = "untrained", "residual-unet"


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench-speed", description=__doc__)
    parser.add_argument("--sizes", default="2,12,24", help="megapixels, comma-separated (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="of each; the median is printed (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of network against reference (default: %(default)s)")
    parser.add_argument("--model", default="photosite", metavar="NAME[@VERSION]", help="default: %(default)s")
    parser.add_argument(
        "--untrained", choices=[RESIDUAL, "unet"], help="measure this architecture instead, with random weights"
    )
    parser.add_argument("--halo", type=int, default=32, help="of an untrained one (default: %(default)s)")
    parser.add_argument("--http", type=int, metavar="MP", help="measure over HTTP, too, at this size")
    parser.add_argument(
        "--clock", choices=["wall", "cpu"], default="wall", help="seconds of what (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path, help="write every figure into this file")
    options = parser.parse_args()
    if options.clock == "cpu" and options.http:
        parser.error("--http is measured on the clock: its parts are processes that wait for each other")
    return options


def make_raw(folder: Path, megapixels: int) -> Path:
    """A raw of that size, made by a process that ends."""
    run_part("raws", folder, megapixels)
    return folder / f"{megapixels}.dng"


def compare_networks(options: argparse.Namespace, models: list[str]) -> dict[str, Any]:
    """The network alone, the reference, and BM3D where it is installed, in turns."""
    names = ("reference", options.model, "bm3d")
    turns = [
        [json.loads(run_part("networks", name, options.clock, *models)) for name in names]
        for _ in range(options.rounds)
    ]
    references, ours, bm3d = ([one.get("s_per_mp") for one in column] for column in zip(*turns, strict=True))
    return {
        **turns[0][1],
        "s_per_mp": statistics.median(ours),
        "reference_s_per_mp": statistics.median(references),
        "ratios": [slow / fast for slow, fast in zip(references, ours, strict=True)],
        "bm3d_s_per_mp": statistics.median(bm3d) if all(bm3d) else None,
    }


def measure_files(folder: Path, options: argparse.Namespace, models: list[str]) -> list[dict[str, Any]]:
    """Every size by library and command line, in turns."""
    environment = {"PHOTOSITE_MODELS_DIR": models[0]} if models else {}
    rows = []
    for size in map(int, options.sizes.split(",")):
        path = make_raw(folder, size)
        words = ["denoise", str(path), "-o", str(folder / "out.dng"), "--model", options.model, "--json"]
        runs = []
        for _ in range(options.runs):
            (folder / "out.dng").unlink(missing_ok=True)
            found = by_library(path, options.model, options.clock, models)
            runs.append({**found, "command": by_command(words, options.clock, environment)})
        rows.append({"size": size, "runs": runs})
        print(f"{size} MP measured", file=sys.stderr, flush=True)
    return rows


def measure_start(folder: Path, options: argparse.Namespace, models: list[str]) -> dict[str, float]:
    """Seconds of the commands on a small raw, the least of all runs: what starting takes."""
    environment = {"PHOTOSITE_MODELS_DIR": models[0]} if models else {}
    path = make_raw(folder, 2)
    commands = {
        "photosite --help": ["--help"],
        "photosite inspect, noise estimated": ["inspect", str(path)],
        "photosite denoise, network left out": ["denoise", str(path), "-o", str(folder / "out.dng"), "--strength", "0"],
    }
    commands["photosite denoise, network left out"] += ["--model", options.model]
    least = {}
    for name, words in commands.items():
        seconds = []
        for _ in range(options.runs):
            (folder / "out.dng").unlink(missing_ok=True)
            seconds.append(by_command(words, options.clock, environment)["seconds"])
        least[name] = min(seconds)
    return least


def measure_http(folder: Path, options: argparse.Namespace, models: list[str]) -> list[dict[str, float]]:
    """The same file over HTTP, after a first time that loads the model."""
    environment = {"PHOTOSITE_MODELS_DIR": models[0]} if models else {}
    path = make_raw(folder, options.http)
    with service(folder, environment) as running:
        over_http(running, path, options.model, 0)
        return [over_http(running, path, options.model, number + 1) for number in range(options.runs)]


def main() -> int:
    """Measure, and print the tables."""
    options = parse()
    if options.clock == "cpu":
        os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    hardware = f"{platform.machine()}, {os.cpu_count()} cores, torch {version('torch')}, clock: {options.clock}"
    said: dict[str, Any] = {
        "measured": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "command": f"make bench-speed ARGS={shlex.quote(shlex.join(sys.argv[1:]))}",
        "hardware": hardware,
    }
    with tempfile.TemporaryDirectory() as name:
        folder, models = Path(name), []
        if options.untrained:
            models, options.model = [str(folder / "models")], UNTRAINED
            publish_model(
                folder / "models", UNTRAINED, residual=options.untrained == RESIDUAL, shape={}, halo=options.halo
            )
        said["networks"] = networks = compare_networks(options, models)
        print(f"{hardware}\n{networks['engine']}, tiles of {networks['tile']}, halo {networks['halo']}")
        print(f"network {networks['s_per_mp']:.3f} s/MP, reference {networks['reference_s_per_mp']:.2f}; ", end="")
        print(f"{spread(networks['ratios'])} times as fast")
        bm3d = networks["bm3d_s_per_mp"]
        print(f"BM3D {bm3d:.1f} s/MP\n" if bm3d else "BM3D is not installed\n", flush=True)
        said["start"] = measure_start(folder, options, models)
        print(start_table(said["start"]), flush=True)
        said["files"] = measure_files(folder, options, models)
        print(files_table(said["files"]), steps_table(said["files"]), sep="\n", flush=True)
        if options.http:
            said["http"] = measure_http(folder, options, models)
            print(http_table(said["http"]))
    if options.json:
        options.json.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
