"""What fine-tuning gains on a camera that no model knows, and that it finds nothing on what the base learned from.

`make bench-finetune` (ARGS="--minutes 10" is the default; "--steps N" instead; "--camera new|familiar|both"). Captures
are made of photographs that the base did not learn from ("familiar": of its own training's pictures and noise),
fine-tuned on, and judged on unseen captures of the same camera against their hidden clean signal. A folder given by
--work is gone on with where it was stopped. With --http a service does it, as a customer would have it done.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from new_camera import (
    familiar_camera,
    known_pictures,
    new_camera,
    true_gain,
    unknown_pictures,
    write_captures,
    write_unseen,
)
from service_process import USUAL, serve
from tqdm import tqdm

from service.client import PhotositeClient
from service.schemas import DenoiseParameters, FinetuneParameters
from training.engines import load_engine
from training.finetuning.options import OBJECTIVE_NAMES, FinetuneOptions
from training.finetuning.pipeline import finetune
from training.finetuning.release import publish_finetuned
from training.finetuning.report import FinetuneReport, describe
from training.registry import default_registry

if TYPE_CHECKING:
    from training.registry import ModelRef

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "clean"
CAMERAS = {"new": (new_camera, unknown_pictures), "familiar": (familiar_camera, known_pictures)}
HEADER = (
    "| camera | objective | steps | seconds | true gain | without hot | judged | 95 % interval | Stein | verdict |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


def directly(
    name: str, captures: list[Path], base: ModelRef, work: Path, options: FinetuneOptions
) -> tuple[FinetuneReport, ModelRef]:
    """Fine-tune by the library."""
    with tqdm(total=100, disable=None) as bar:

        def tell(stage: str, share: float, _figures: dict[str, float]) -> None:
            show(bar, f"{name} {stage}", share)

        report = finetune(captures, base, work / "run", options, progress=tell)
    return report, publish_finetuned(work / "run", work / "models", name, known=default_registry(work / "models"))


def over_http(
    name: str, captures: list[Path], base: ModelRef, work: Path, options: FinetuneOptions
) -> tuple[FinetuneReport, ModelRef]:
    """Fine-tune by a service: captures are handed in, the job is waited for, the default looked at afterwards."""
    wishes = {"objective": options.objective, "steps": options.steps, "minutes": options.minutes}
    with serve(work / "data", **USUAL) as service, PhotositeClient(service.address) as client:
        ids = [client.add_capture(path).id for path in captures]
        for capture_id in ids:
            client.describe_capture(capture_id)
        parameters = FinetuneParameters.model_validate({"captures": ids, "name": name, "base": str(base), **wishes})
        with tqdm(total=100, disable=None) as bar:
            job = client.wait(
                client.finetune(parameters).id, on_job=lambda job: show(bar, f"{name} {job.stage}", job.progress)
            )
        if job.report is None:
            sys.exit(f"the job {job.state}: {job.error}")
        [default] = [model.reference for model in client.models() if model.default]
        print(f"{name}: the job made {job.model}; the default is now {default}", flush=True)
        client.denoise(captures[0], work / "out.dng", DenoiseParameters(model=job.model))
    registry = default_registry(work / "data" / "tenants" / "local" / "models")
    return FinetuneReport.from_json(job.report), registry.resolve(job.model)


def show(bar: tqdm, words: str, share: float) -> None:
    """Where the work stands."""
    bar.set_description(words, refresh=False)
    bar.n = round(100 * share, 1)
    bar.refresh()


def measure(  # noqa: PLR0917  (a benchmark's wishes)
    name: str, pictures: Path, work: Path, options: FinetuneOptions, base: ModelRef, http: bool
) -> str:
    """Fine-tune on a camera's captures; returns a row of the table."""
    make_camera, split = CAMERAS[name]
    camera = make_camera()
    training, unseen = split(pictures)
    captures = write_captures(work / "captures", training, camera)
    adapt = over_http if http else directly
    report, candidate = adapt(name, captures, base, work, options)
    print(describe(report), flush=True)
    gains = true_gain(load_engine(base), load_engine(candidate), write_unseen(work / "unseen", unseen, camera))
    return row(name, report, gains)


def row(name: str, report: FinetuneReport, gains: tuple[float, float]) -> str:
    """A line of the table."""
    judged = report.gains[report.judge]
    cells = [
        name,
        report.objective,
        report.training["steps"],
        report.training["seconds"],
        f"{gains[0]:+.2f}",
        f"{gains[1]:+.2f}",
        f"{judged['db']:+.2f} ({report.judge})",
        f"{judged['low']:+.2f} … {judged['high']:+.2f}",
        f"{report.gains['stein']['db']:+.2f}",
        "better" if report.better else "not better",
    ]
    return f"| {' | '.join(map(str, cells))} |"


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=Path, default=SHARED, help="folder of photographs")
    parser.add_argument("--camera", choices=[*CAMERAS, "both"], default="both")
    parser.add_argument("--base", default="photosite")
    parser.add_argument("--objective", choices=OBJECTIVE_NAMES, default="auto")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--pull", type=float, help="towards the base's weights (default: as `photosite finetune`)")
    parser.add_argument("--http", action="store_true", help="have a service do it")
    parser.add_argument("--work", type=Path, help="folder for captures and runs (default: a temporary one)")
    options = parser.parse_args()
    if not options.pictures.is_dir():
        sys.exit(f"no folder of photographs {options.pictures}; name one with --pictures")
    wanted = FinetuneOptions(
        objective=options.objective, steps=options.steps, minutes=options.minutes, pull=options.pull
    )
    with tempfile.TemporaryDirectory() as temporary:
        names = list(CAMERAS) if options.camera == "both" else [options.camera]
        folder = options.work or Path(temporary)
        base = default_registry().resolve(options.base)
        rows = [measure(each, options.pictures, folder / each, wanted, base, options.http) for each in names]
        print("\n".join([HEADER, *rows]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
