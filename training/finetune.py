"""Fine-tune a model on noisy captures: what `photosite finetune` does.

In the flow: captures → frames → training → judge → **registry**. Importing this module imports no torch.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from training.datasets.files import files_under
from training.errors import ConfigError
from training.finetuning.options import OBJECTIVE_NAMES, FinetuneOptions
from training.registry import check_name, check_new

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

    from training.registry import Registry

DESCRIPTION = (
    "Fine-tune a model on noisy captures of a camera: nothing else is needed. A part of every capture is held out, and"
    " the new model is judged on it. It becomes a new version; stopped (Ctrl-C), the same command goes on."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to a parser."""
    parser.add_argument("captures", nargs="+", type=Path, metavar="CAPTURE", help="raw files, or folders of them")
    parser.add_argument("--base", required=True, metavar="NAME[@VERSION]", help="the model to start from")
    parser.add_argument("--name", required=True, help="name of the new model; an existing one gets a new version")
    parser.add_argument("--objective", choices=OBJECTIVE_NAMES, default="auto", help="how it learns (default: auto)")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--steps", type=int, metavar="N", help="training steps")
    budget.add_argument("--minutes", type=float, metavar="M", help="minutes of training (default: 10)")
    parser.add_argument("--run", dest="folder", type=Path, metavar="DIR", help="its work (default: runs/NAME)")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="where to train")
    parser.add_argument("--default", action="store_true", help="make it the default model, if it is better")


def run(options: argparse.Namespace, folder: Path, known: Registry) -> int:
    """Run the command; returns its exit code.

    Args:
        options: As `add_options` parses them.
        folder: The registry's folder.
        known: All models that can be found by name.

    Raises:
        PhotositeError: It cannot be fine-tuned or published.
    """
    wanted = FinetuneOptions(objective=options.objective, steps=options.steps, minutes=options.minutes)
    captures = find_captures(options.captures)
    base = known.resolve(options.base)
    version = known.next_version(options.name)
    check_name(options.name, version)
    check_new(known, options.name, version)

    from training.finetuning.pipeline import finetune  # noqa: PLC0415  (torch, which `--help` does not need)
    from training.finetuning.release import publish_finetuned  # noqa: PLC0415
    from training.finetuning.report import describe  # noqa: PLC0415

    work = options.folder or Path("runs") / options.name
    with _bar() as progress:
        report = finetune(captures, base, work, wanted, device=options.device, progress=progress)
    print(describe(report))
    reference = publish_finetuned(work, folder, options.name, version, known=known, default=options.default)
    print(f"published {reference}")
    if options.default:
        print("it is the default model now" if report.better else "the default model stays what it was")
    return 0


def find_captures(paths: Sequence[Path]) -> list[Path]:
    """Files, and those of folders at any depth, hidden ones left alone.

    Raises:
        ConfigError: There is no such file or folder, or nothing in it.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise ConfigError(f"captures: there is no file or folder {path}")
        found += files_under(path) if path.is_dir() else [path]
    if not found:
        raise ConfigError(f"captures: there are no files in {', '.join(map(str, paths))}")
    return found


@contextmanager
def _bar() -> Iterator[Callable[[str, float, dict[str, float]], None]]:
    """A progress bar, where stderr is a terminal."""
    with tqdm(total=100, bar_format="{desc} {percentage:3.0f}% {bar} {postfix}", disable=None) as bar:

        def tell(stage: str, share: float, figures: dict[str, float]) -> None:
            bar.set_description_str(f"{stage:<6}", refresh=False)
            bar.n = 100 * share
            left = figures.get("eta_s")
            bar.set_postfix_str(f"{left / 60:.1f} min left" if left else "", refresh=False)
            bar.refresh()

        yield tell
