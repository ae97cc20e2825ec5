"""A fine-tuned candidate as a model: first in its run's folder, to be judged as it would be served, then in a registry.

In the flow: checkpoint → **candidate** → judge; report → **new version** in the registry.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from training.finetuning.report import load_report
from training.publish import Publication, publish
from training.raw.bayer import pack
from training.registry import Registry, check_name, set_default
from training.seams import CORE, is_seamless

if TYPE_CHECKING:
    from pathlib import Path

    from training.finetuning.frames import Frame
    from training.finetuning.report import FinetuneReport
    from training.manifest import Manifest
    from training.registry import ModelRef

CANDIDATE_FOLDER, CANDIDATE_NAME = "candidate", "candidate"


def publish_candidate(run: Path, base: ModelRef, frame: Frame) -> ModelRef:
    """Make a run's weights a model in the run's own folder, with the halo that it is to be served with.

    Args:
        run: The run's folder, with its checkpoint.
        base: The model it came from.
        frame: A capture to look for seams on.
    """
    folder = run / CANDIDATE_FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    wanted = Publication(
        name=CANDIDATE_NAME,
        version="1",
        description="A fine-tuned model that is being judged.",
        training_data="",
        known={"halo": base.manifest().halo},
    )
    candidate = publish(run, folder, wanted)
    if _keeps_halo(candidate, frame):
        return candidate
    shutil.rmtree(folder)
    return publish(run, folder, _without_halo(wanted))


def publish_finetuned(
    run: Path,
    registry: Path,
    name: str,
    version: str | None = None,
    *,
    known: Registry | None = None,
    default: bool = False,
    made_by: str = "",
    unfinished_dir: Path | None = None,
) -> ModelRef:
    """Publish the candidate of a finished run as a new version of a model.

    Args:
        run: The run's folder, with its report.
        registry: The registry's folder.
        name: Name of the model.
        version: Its version, which must be new; None for the next number.
        known: All models that can be found by name; None for those of `registry` alone.
        made_by: What made it, for whoever has to know it again: kept in the manifest.
        default: Make it the registry's default model, if it is better than its base; else the default stays.
        unfinished_dir: See `new_version`.

    Raises:
        ConfigError: The run is not finished, the version exists, or the folder cannot be written to.
        ModelError: The base cannot be found any more, or the checkpoint cannot be read.
    """
    models = known or Registry([registry])
    report = load_report(run)
    version = version or models.next_version(name)
    check_name(name, version)
    parent = models.resolve(report.base).manifest()
    reference = publish(
        run,
        registry,
        Publication(
            name=name,
            version=version,
            description=_description(report),
            training_data=f"{len(report.captures)} noisy captures ({_cameras(report)}), no clean pictures. Its parent: "
            + parent.training_data,
            known=_known(report, parent, made_by),
            unfinished_dir=unfinished_dir,
        ),
    )
    if default and report.better:
        set_default(registry, str(reference))
    return reference


def _keeps_halo(candidate: ModelRef, frame: Frame) -> bool:
    """Whether the base's halo leaves no seams that can be measured, on the middle of a capture."""
    from training.engines.torch import TorchEngine  # noqa: PLC0415  (torch, which `--help` does not need)

    engine = TorchEngine(candidate, "auto", "float32")
    halo = engine.manifest.halo
    side = 4 * (CORE + halo)  # photosites of two cores with their halos
    height, width = frame.mosaic.shape
    if min(height, width) < side:
        return True  # too small for a second tile, as most captures like it will be
    top, left = ((length - side) // 4 * 2 for length in (height, width))
    clean = pack(frame.read_filled((slice(top, top + side), slice(left, left + side)))).clip(0, 1)
    return is_seamless(engine, halo, clean, frame.told.shot_noise[0])


def _without_halo(wanted: Publication) -> Publication:
    """The same with the receptive field for a halo."""
    return Publication(
        name=wanted.name, version=wanted.version, description=wanted.description, training_data=wanted.training_data
    )


def _description(report: FinetuneReport) -> str:
    gain = report.gains[report.judge]
    found = f"{gain['db']:+.2f} dB, {'better' if report.better else 'not surely better'}"
    return f"{report.base} fine-tuned on {len(report.captures)} captures of {_cameras(report)}: {found}."


def _cameras(report: FinetuneReport) -> str:
    return ", ".join(sorted({capture["camera"] for capture in report.captures}))


def _known(report: FinetuneReport, parent: Manifest, made_by: str) -> dict[str, Any]:
    """What the manifest says beside what the run says."""
    gain = report.gains[report.judge]["db"]
    ratios = [[level, round(min(1.0, ratio * 10 ** (-gain / 20)), 4)] for level, ratio in parent.error_ratios]
    captures = [capture["sha256"] for capture in report.captures]
    return {
        "halo": report.halo,
        "error_ratios": ratios,
        "metrics": {"finetuning": report.to_json()},
        "training": {"captures": captures, **({"made_by": made_by} if made_by else {})},
        "licence": parent.licence,
    }
