"""Compare methods on the same data and budget: what `photosite compare` and `python -m training.compare` do.

python -m training.compare --methods supervised,neighbor2neighbor,bm3d --dataset pictures --noise gauss25
    --data PICTURES --test kodak=KODAK --budget steps=2000 --run runs/kodak

In the flow: options → plan → **methods, one after another** → table. Importing this module imports no torch.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from training.comparison.methods import DEFAULT, DatasetName, find_methods, listing
from training.comparison.plan import RAW_NOISE, Budget, NetworkName, Plan
from training.datasets.picture_noise import PICTURE_NOISE
from training.errors import ConfigError, PhotositeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.comparison.methods import Method

EXIT_USAGE, EXIT_INTERRUPTED = 2, 130
DESCRIPTION = (
    "Compare methods on the same data, network and budget: one table with decibels and seconds, as Markdown, CSV and a "
    "page with crops. What was done is kept in --run: a comparison can be stopped at any time, and the same command "
    "goes on; more methods can be added to it later. Trained rows say how far they are from the papers' trainings."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to a parser."""
    parser.add_argument("--list", action="store_true", help="list the methods, and stop")
    parser.add_argument(
        "--methods", default=",".join(DEFAULT), metavar="A,B,…", help="which (default: all but the ablations)"
    )
    parser.add_argument("--dataset", choices=get_args(DatasetName), help="pictures: sRGB photographs as they are")
    parser.add_argument("--data", type=Path, metavar="DIR", help="what to learn from; captures are judged on, too")
    parser.add_argument(
        "--pictures",
        type=Path,
        metavar="DIR",
        help="photographs for the method synthetic-pairs, beside sidd or captures",
    )
    parser.add_argument(
        "--test",
        dest="tests",
        type=parse_test,
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="pictures to judge on, for pictures and synthetic; can be repeated; kodak, bsd300 and set14 get 10, 3 and "
        "20 noisy frames each, as in the papers",
    )
    words = "; ".join(f"{name}: {noise.words}" for name, noise in PICTURE_NOISE.items())
    parser.add_argument(
        "--noise",
        choices=[RAW_NOISE, *PICTURE_NOISE],
        default=RAW_NOISE,
        help=f"of pictures ({words}); raws have their own",
    )
    parser.add_argument("--network", choices=get_args(NetworkName), default="unet", help="for methods that take any")
    parser.add_argument("--width", type=int, default=48, metavar="N", help="its channels (default: %(default)s)")
    parser.add_argument(
        "--budget",
        metavar="steps=N|minutes=M",
        help="steps of each training, or of each picture's; minutes of each training, or of all pictures' together; "
        "not needed by methods that train nothing",
    )
    parser.add_argument(
        "--draws", type=int, default=0, metavar="N", help="noisy frames of each test picture (default: as above)"
    )
    parser.add_argument("--every", type=int, default=1, metavar="N", help="judge on every n-th picture only")
    parser.add_argument("--batch-size", type=int, default=8, metavar="N", help="patches a step (default: %(default)s)")
    parser.add_argument(
        "--patch-size",
        type=int,
        default=64,
        metavar="N",
        help="pixels that the network sees each way (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="decides weights, patches and noise (default: %(default)s)"
    )
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="where to run")
    parser.add_argument(
        "--run", dest="folder", type=Path, metavar="DIR", help="where everything goes, comparison.html among it"
    )


def parse_test(text: str) -> tuple[str, str]:
    """Parse "NAME=DIR".

    >>> parse_test("kodak=pictures/kodak")
    ('kodak', 'pictures/kodak')
    """
    name, separator, folder = text.partition("=")
    if not (name and separator and folder):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=DIR")
    return name, folder


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code.

    Args:
        options: As `add_options` parses them.

    Raises:
        PhotositeError: It cannot be compared.
    """
    if options.list:
        print(listing())
        return 0
    methods = find_methods([name for name in options.methods.split(",") if name])
    _check_given(options, methods)
    plan = Plan(
        dataset=options.dataset,
        data=str(options.data or ""),
        pictures=str(options.pictures or ""),
        noise=options.noise,
        network=options.network,
        width=options.width,
        budget=Budget.parse(options.budget) if options.budget else None,
        batch_size=options.batch_size,
        patch_size=options.patch_size,
        seed=options.seed,
        tests=dict(options.tests),
        draws=options.draws,
        every=options.every,
    )
    from training.comparison.rows import compare  # noqa: PLC0415  (torch, which `--help` does not need)

    plan.claim(options.folder)
    return 0 if compare(methods, plan, options.folder, options.device) else EXIT_INTERRUPTED


def _check_given(options: argparse.Namespace, methods: Sequence[Method]) -> None:
    """Refuse options without which nothing can begin.

    Raises:
        ConfigError: One is missing, or names what is not there.
    """
    learns = any(method.objective for method in methods) or options.dataset in {"sidd", "captures"}
    spend = [method.name for method in methods if method.spends]
    if options.dataset is None:
        raise ConfigError(f"dataset: it has to be given, as one of {', '.join(get_args(DatasetName))}")
    if options.budget is None and spend:
        others = f" and {len(spend) - 1} others" if len(spend) > 1 else ""
        raise ConfigError(f"budget: it has to be given, as steps=N or minutes=M, for {spend[0]}{others}")
    if options.folder is None:
        raise ConfigError("run: it has to be given, as a folder for everything that is made")
    if options.data is None and learns:
        raise ConfigError("data: it has to be given, as a folder to learn from")
    for name in ("data", "pictures"):
        place = getattr(options, name)
        if place is not None and not place.exists():
            raise ConfigError(f"{name}: there is no {place}")


def main(arguments: list[str] | None = None) -> int:
    """Run the command of its own; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.compare", description=DESCRIPTION)
    add_options(parser)
    try:
        return run(parser.parse_args(arguments))
    except PhotositeError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
