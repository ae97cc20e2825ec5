"""Fine-tune a model on noisy captures: the list of steps in `finetune` is the whole flow.

A run can be stopped between any two training steps, by what `progress` raises, by SIGTERM or Ctrl-C, and gone on with
by the same call: training resumes bit for bit from its checkpoint, and what comes before and after is done again.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from training.checkpoint import load_checkpoint, load_weights
from training.engines import load_engine
from training.errors import ConfigError
from training.finetuning.character import correlation_warning
from training.finetuning.curve import LossCurve
from training.finetuning.judge import judge
from training.finetuning.material import gather
from training.finetuning.patches import FramePatches
from training.finetuning.pictures import draw_verdict
from training.finetuning.plan import choose_objective, draft, fit_batch, fit_patches, patch_unit
from training.finetuning.regions import split_frames
from training.finetuning.release import publish_candidate
from training.finetuning.report import FinetuneReport, save_report
from training.finetuning.verdict import decide
from training.loop import CHECKPOINT_NAME, start_from, train
from training.raw.atomic import replacing
from training.registry import require_bayer
from training.run.distributed import training_device
from training.run.journal import LOG_NAME, read_log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import torch

    from training.checkpoint import Checkpoint
    from training.config import TrainingConfig
    from training.finetuning.frames import Frame
    from training.finetuning.judge import Judgement
    from training.finetuning.material import Material
    from training.finetuning.options import FinetuneOptions
    from training.finetuning.regions import Split
    from training.loop import StepReport
    from training.registry import ModelRef

    Progress = Callable[[str, float, dict[str, Any]], None]

REQUEST_NAME = "finetune.json"


def finetune(
    captures: Sequence[Path],
    base: ModelRef,
    run: Path,
    options: FinetuneOptions,
    *,
    device: str = "auto",
    progress: Progress | None = None,
) -> FinetuneReport:
    """Fine-tune a model on noisy captures, and judge what became of it on their held-out parts.

    Args:
        captures: Raw files of one camera or several.
        base: The model to start from.
        run: Folder for checkpoint, log, decoded captures, candidate and report.
        options: How.
        device: "cpu", "cuda", or "auto" for the fastest at hand.
        progress: Called with a stage ("read", "noise", "train", "judge", "draw"), its share done, 0 … 1, and figures:
            loss, step, steps, eta_s in training, and from then on the curve of the loss; between every two training
            steps and between judged tiles. What it raises ends the work and leaves the run to be gone on with by the
            same call.

    Returns:
        What was found out; the candidate lies in the run's folder, for `publish_finetuned`.

    Raises:
        ConfigError: The captures are too few or too small, an option does not fit, the base is not for Bayer mosaics,
            or the run is another's.
        ModelError: The base cannot be read, or the loss became infinite.
        KeyboardInterrupt: SIGTERM or Ctrl-C came while it trained; the run can be gone on with.
    """
    require_bayer(base.manifest(), "base")
    tell, target = progress or _tell_nobody, training_device(device)
    material = gather(captures, run, _smallest_patch(base, options), lambda stage, share: tell(stage, share, {}))
    _claim(run, base, material, options)
    config = _plan(base, material, options, run, target)
    splits = split_frames(material.frames, material.groups, options.held_out_share, config.patch_size)
    curve = LossCurve(_logged(run))
    trained = _train(config, base, run, _patches(material, splits, config), device=target, tell=tell, curve=curve)
    candidate = publish_candidate(run, base, material.frames[0])
    engines = load_engine(base, device), load_engine(candidate, device)
    shown, held_out = {"curve": curve.points()}, [each.held_out for each in splits]
    judgement = judge(engines, material, held_out, lambda share: tell("judge", share, shown))
    report = _report(base, material, judgement, trained, candidate.manifest().halo)
    drawn = draw_verdict(material.frames, held_out, engines, run, lambda share: tell("draw", share, shown))
    report = dataclasses.replace(report, curve=curve.points(), pictures=drawn)
    save_report(report, run)
    return report


def _tell_nobody(_stage: str, _share: float, _figures: dict[str, Any]) -> None:
    """For callers who want no progress."""


def _smallest_patch(base: ModelRef, options: FinetuneOptions) -> int:
    """Packed pixels of the smallest patch that the objective takes: smaller captures are left out."""
    objective = "recorrupted" if options.objective == "auto" else options.objective
    return options.patch_size or patch_unit(draft(base, options, objective, None))


def _claim(run: Path, base: ModelRef, material: Material, options: FinetuneOptions) -> None:
    """Write down whose run this is.

    Raises:
        ConfigError: It is another's.
    """
    request = {"base": str(base), "captures": [frame.digest for frame in material.frames], "options": options.to_json()}
    path = run / REQUEST_NAME
    try:
        if path.exists():
            known = json.loads(path.read_text(encoding="utf-8"))
            other = [name for name, value in request.items() if known.get(name) != value]
            if other:
                raise ConfigError(f"run: {run} holds a fine-tuning with other {' and '.join(other)}")
            return
        run.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(json.dumps(request, indent=2).encode())
    except (OSError, ValueError) as error:
        raise ConfigError(f"run: {path} cannot be read or written: {error}") from error


def _plan(
    base: ModelRef, material: Material, options: FinetuneOptions, run: Path, device: torch.device
) -> TrainingConfig:
    """The configuration of the run; the memory that is free decides when it begins, not when it is resumed."""
    objective = choose_objective(options.objective, len(material.frames), len(material.partners))
    config = fit_patches(draft(base, options, objective, material.character.tail), options, material.frames)
    begun = _checkpoint(run)
    if begun:
        return dataclasses.replace(config, batch_size=begun.config["batch_size"])
    return fit_batch(config, options, device)


def _checkpoint(run: Path) -> Checkpoint | None:
    """Where the run stands, None at its beginning."""
    path = run / CHECKPOINT_NAME
    return load_checkpoint(path) if path.exists() else None


def _logged(run: Path) -> list[dict[str, Any]]:
    """What an earlier part of the run has logged of its training."""
    path, begun = run / LOG_NAME, _checkpoint(run)
    if begun is None or not path.exists():
        return []
    return [line for line in read_log(path) if "loss" in line and line["step"] <= begun.step]


def _patches(material: Material, splits: Sequence[Split], config: TrainingConfig) -> FramePatches:
    return FramePatches(
        frames=material.frames,
        regions=tuple(parts.training for parts in splits),
        patch_size=config.patch_size,
        partners=material.partners if config.objective == "noise2noise" else {},
    )


def _train(
    config: TrainingConfig,
    base: ModelRef,
    run: Path,
    patches: FramePatches,
    *,
    device: torch.device,
    tell: Progress,
    curve: LossCurve,
) -> dict[str, Any]:
    """Begin or resume the training; returns its figures.

    Raises:
        KeyboardInterrupt: A signal ended it.
    """

    def after_step(step: StepReport) -> None:
        done_here = step.done - first
        eta = step.seconds / done_here * (step.steps - step.done)
        curve.add(step.done, step.loss)
        figures = {"loss": step.loss, "step": step.done, "steps": step.steps, "eta_s": round(eta, 1)}
        tell("train", step.done / step.steps, {**figures, "curve": curve.points()})

    begun = _checkpoint(run)
    first = begun.step if begun else 0
    if begun is None:
        start_from(base, config, run)
    tell("train", first / config.steps if not config.minutes else 0.0, {"step": first, "curve": curve.points()})
    path = train(config, patches, run, resume=True, device=device, after_step=after_step, anchor=load_weights(base))
    ended = load_checkpoint(path)
    if ended.progress.get("ended") == "signal":
        raise KeyboardInterrupt
    curve.end(_logged(run))
    return {
        "steps": ended.step,
        "patch_size": config.patch_size,
        "batch_size": config.batch_size,
        "seconds": ended.progress.get("seconds"),
        "device": device.type,
        "objective": config.objective,
        "objective_options": config.objective_options,
    }


def _report(
    base: ModelRef, material: Material, judgement: Judgement, trained: dict[str, Any], halo: int
) -> FinetuneReport:
    """Everything that was found out."""
    verdict = decide(judgement, material.character)
    warning = correlation_warning(material.character.correlation)
    other = {index: material.frames[partner].name for index, partner in material.partners.items()}
    return FinetuneReport(
        base=str(base),
        better=verdict.better,
        reasons=list(verdict.reasons),
        warnings=([warning] if warning else []) + [f"left out: {each}" for each in material.skipped],
        objective=trained["objective"],
        judge=verdict.judge,
        gains={name: {**found.gain._asdict(), "tiles": found.tiles} for name, found in judgement.gains.items()},
        captures=[_describe_frame(frame, other.get(index)) for index, frame in enumerate(material.frames)],
        skipped=list(material.skipped),
        defects=material.defect_count,
        tail=material.character.tail,
        noise_correlation=list(material.character.correlation),
        residual_correlation=list(judgement.residual_correlation),
        mean_shift=list(judgement.mean_shift),
        base_shift=list(judgement.base_shift),
        error_ratio=judgement.error_ratio,
        halo=halo,
        training=trained,
    )


def _describe_frame(frame: Frame, partner: str | None) -> dict[str, Any]:
    """A capture for the report."""
    noises = {"served": asdict(frame.told), "measured": asdict(frame.actual)}
    levels = {which: [noise["shot_noise"][0], noise["read_noise"][0]] for which, noise in noises.items()}
    return {"name": frame.name, "sha256": frame.digest, "camera": frame.camera, "noise": levels, "other_frame": partner}
