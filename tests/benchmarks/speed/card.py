"""What a graphics card makes of a raw, and of what it could do at most: `make bench-gpu`.

ARGS="--megapixels 24 --frames 32 --at-once 4 --json FILE --markdown FILE". The ceilings are measured: a product of
large matrices in the network's numbers, and a copy within the device's memory. The network's operations and bytes are
counted from its layers. `--device cpu` prints the same table of a processor.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import resource
import shlex
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from benchmarks.speed.networks import NOISE
from benchmarks.speed.raws import SIZES, make_raw
from torch import nn

from training.brightness import keep_brightness
from training.denoise import DenoiseOptions, denoise_file, run_tiled
from training.engines.torch import BATCH_SIZES, TorchEngine
from training.networks import build_network
from training.planes import PackedSignal, unpack_mosaic
from training.raw.dng import read_raw
from training.raw.rewrite import DngChanges, write_dng
from training.registry import default_registry
from training.tiling import plan_image

if TYPE_CHECKING:
    from collections.abc import Callable

    from training.networks.base import Network

SIDES, COPIED_BYTES = {"cuda": 8192, "cpu": 1024}, {"cuda": 1 << 30, "cpu": 1 << 26}
"""Of the matrices, and of what is copied."""
REPEATS = 5


class Work(NamedTuple):
    """What a network has to do."""

    operations: int
    """Multiplications and additions."""
    bytes: int
    """That its convolutions read and write: each its input, its weights and its output, once."""


def count_work(network: Network, channels: int, height: int, width: int, bytes_per_number: int) -> Work:
    """Count what one run over (1, channels, height, width) takes, layer by layer: on a small piece, and scaled up."""
    side = 2 * network.stride
    pieces = height * width / side**2
    operations = numbers = 0.0

    def count(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal operations, numbers
        weight = layer.weight  # (out, in, k, k); of a transposed convolution (in, out, k, k)
        places = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        operations += 2 * weight.numel() * places.shape[2] * places.shape[3] * pieces
        numbers += weight.numel() + (inputs[0].numel() + output.numel()) * pieces

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        network(torch.zeros(1, channels, side, side))
    return Work(round(operations), round(bytes_per_number * numbers))


def seconds_of(run: Callable[[], object], device: str) -> float:
    """The median of a few runs, after one that does not count; of a card until it is idle again."""
    seconds = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def measure_ceilings(device: str, precision: str) -> dict[str, float]:
    """Operations and bytes per second that the device reaches at most."""
    side, dtype = SIDES[device], getattr(torch, precision)
    one, other = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
    source = torch.zeros(COPIED_BYTES[device], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return {
        "operations_per_s": 2 * side**3 / seconds_of(lambda: one @ other, device),
        "bytes_per_s": 2 * source.numel() / seconds_of(lambda: target.copy_(source), device),
    }


def measure_network(engine: TorchEngine, signal: PackedSignal, ceilings: dict[str, float]) -> dict[str, float]:
    """A frame's tiles on the device alone, and how near that is to the lower ceiling for its own work."""
    _, height, width = signal.shape
    plan = plan_image(height, width, engine.tile_size, engine.manifest.halo, engine.manifest.stride)
    size = [span.stop - span.start for span in (plan[0].rows, plan[0].columns)]
    batches = [
        min(BATCH_SIZES[engine.device], len(plan) - at) for at in range(0, len(plan), BATCH_SIZES[engine.device])
    ]
    noisy = torch.rand(batches[0], 4, *size, device=engine.device)
    seconds = seconds_of(lambda: [engine.compute(noisy[:batch], NOISE) for batch in batches], engine.device)
    options = engine.manifest.network_options
    network = build_network(engine.manifest.network, **options)
    work = count_work(network, options["in_channels"], *size, 2 if engine.precision == "bfloat16" else 4)
    least = {
        "operations": work.operations * len(plan) / ceilings["operations_per_s"],
        "bytes": work.bytes * len(plan) / ceilings["bytes_per_s"],
    }
    return {
        "tiles": len(plan),
        "tile": size,
        "operations": work.operations * len(plan),
        "bytes": work.bytes * len(plan),
        "ms": 1000 * seconds,
        "limit": max(least, key=least.__getitem__),
        "share_of_ceiling": max(least.values()) / seconds,
    }


def measure_stages(engine: TorchEngine, path: Path, frames: int, at_once: int) -> dict[str, float]:
    """Frames per second of each stage by itself, as many at once as in the whole; the network's with its copies."""
    raw = read_raw(path)
    signal = PackedSignal(raw)
    tile = {"tile": engine.tile_size, "halo": engine.manifest.halo}
    denoised = run_tiled(signal, engine, NOISE, **tile)
    changes = DngChanges(noise_profile=None, noise_reduction_applied=1.0, unique_id=bytes(16), mark=None)

    def finish(number: int) -> None:
        mosaic = unpack_mosaic(raw, signal, keep_brightness(signal, denoised.copy()), NOISE, 0)
        write_dng(path, path.with_name(f"out-{number}.dng"), mosaic, changes)

    return {
        "decode": frames_per_s(lambda _: read_raw(path), frames, at_once),
        "network": frames_per_s(lambda _: run_tiled(signal, engine, NOISE, **tile), frames, at_once),
        "encode": frames_per_s(finish, frames, at_once),
    }


def frames_per_s(work: Callable[[int], object], frames: int, at_once: int) -> float:
    """How many are done in a second, so many at once."""
    started = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        for _ in pool.map(work, range(frames)):
            pass
    return frames / (time.perf_counter() - started)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Every figure of the table."""
    engine = TorchEngine(default_registry(*options.models_dir).resolve(options.model), options.device)
    path = make_raw(folder, options.megapixels)
    is_card = engine.device == "cuda"
    ceilings = measure_ceilings(engine.device, engine.precision)
    found: dict[str, Any] = {
        "measured": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "command": f"make bench-gpu ARGS={shlex.quote(shlex.join(sys.argv[1:]))}",
        "device": torch.cuda.get_device_name() if is_card else platform.machine(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "engine": f"{engine.manifest.reference} ({engine.manifest.network}), {engine.precision}",
        "megapixels": options.megapixels,
        "at_once": options.at_once,
        "ceilings": ceilings,
        "network": measure_network(engine, PackedSignal(read_raw(path)), ceilings),
        "stages": measure_stages(engine, path, options.frames, options.at_once),
    }

    def denoise(number: int) -> None:
        denoise_file(path, folder / f"{number}.out.dng", engine=engine, options=DenoiseOptions())

    denoise(0)
    found["frames_per_s"] = frames_per_s(denoise, options.frames, options.at_once)
    found["share_of_slowest_stage"] = found["frames_per_s"] / min(found["stages"].values())
    found["device_peak_mb"] = torch.cuda.max_memory_allocated() / 1e6 if is_card else None
    unit = 1 if sys.platform == "darwin" else 1024
    found["process_peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    return found


def card_table(found: dict[str, Any]) -> str:
    """As Markdown."""
    ceilings, network, stages = found["ceilings"], found["network"], found["stages"]
    rows = {
        "matrix product, TFLOP/s": f"{ceilings['operations_per_s'] / 1e12:.2f}",
        "copy, read and write, TB/s": f"{ceilings['bytes_per_s'] / 1e12:.3f}",
        "network, TFLOP a frame": f"{network['operations'] / 1e12:.3f}",
        "network, GB a frame": f"{network['bytes'] / 1e9:.2f}",
        "network alone, ms a frame": f"{network['ms']:.1f}",
        f"of what {network['limit']} allow": f"{network['share_of_ceiling']:.0%}",
        **{f"{stage} alone, frames/s": f"{rate:.2f}" for stage, rate in stages.items()},
        "file to file, frames/s": f"{found['frames_per_s']:.2f}",
        "of what the slowest stage allows": f"{found['share_of_slowest_stage']:.0%}",
        "peak of the process, MB": f"{found['process_peak_mb']:.0f}",
    }
    if found["device_peak_mb"] is not None:
        rows["peak on the card, MB"] = f"{found['device_peak_mb']:.0f}"
    tile = "×".join(map(str, network["tile"]))
    head = (
        f"{found['device']}, {found['cores']} cores, torch {found['torch']}, {found['measured']}; {found['engine']}; "
        f"{found['megapixels']} MP in {network['tiles']} tiles of {tile}, {found['at_once']} files at once\n\n"
        f"| {found['megapixels']} MP | |\n|---|---|\n"
    )
    return head + "".join(f"| {name} | {value} |\n" for name, value in rows.items())


def parse(words: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench-gpu", description=__doc__)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="default: %(default)s")
    parser.add_argument("--megapixels", type=int, choices=SIZES, default=24, help="default: %(default)s")
    parser.add_argument("--frames", type=int, default=32, help="of each rate (default: %(default)s)")
    parser.add_argument("--at-once", type=int, default=4, help="files under way (default: %(default)s)")
    parser.add_argument("--model", default="photosite", metavar="NAME[@VERSION]", help="default: %(default)s")
    parser.add_argument("--models-dir", type=Path, action="append", default=[], help="a registry besides our own")
    parser.add_argument("--json", type=Path, help="write every figure into this file")
    parser.add_argument("--markdown", type=Path, help="write the table into this file, too")
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    """Measure, print, write."""
    options = parse(words)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(options, Path(folder))
    print(card_table(found), end="")
    if options.markdown:
        options.markdown.write_text(card_table(found), encoding="utf-8")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
