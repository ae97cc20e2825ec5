"""Run one method of a comparison: train it, or go on training it, then judge it case by case.

In the flow: plan, method → **training → denoised cases → scores** → table. Everything that is done is kept in the
method's folder, so that a comparison that was stopped goes on where it was.
"""

from __future__ import annotations

import dataclasses
import json
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from training.baselines import load_baseline
from training.comparison.cases import (
    DRAWS,
    Case,
    estimated_quality,
    patch_cases,
    picture_cases,
    quality_of,
    raw_cases,
)
from training.comparison.crops import keep_crop
from training.comparison.trainings import SENSOR_LIKE, per_picture, target_fields, train_method
from training.config import TrainingConfig
from training.datasets.files import PICTURE_SUFFIXES
from training.datasets.held_out_raws import held_out_pictures
from training.datasets.splits import HELD_OUT
from training.errors import ConfigError
from training.noise import NoiseModel
from training.raw.atomic import replacing
from training.run.sources import open_sources

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from training.comparison.cases import Denoise
    from training.comparison.methods import Method
    from training.comparison.plan import Plan

SCORES_NAME = "scores.jsonl"
PATCH_CASES, PATCH_CASE_SIZE = 32, 128


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What a method gave."""

    steps: int = 0
    """Of its training."""
    training_seconds: float = 0.0
    scores: tuple[dict[str, Any], ...] = ()
    """One a case."""


def run_method(method: Method, plan: Plan, run: Path, device: torch.device) -> Result:
    """Train a method if it is to be trained, and judge it on all cases that it has not been judged on.

    Args:
        method: Which.
        plan: What all methods have in common.
        run: The comparison's folder.
        device: Where to run.

    Raises:
        Stopped: A signal ended the training.
        ConfigError: The data set cannot serve it, a library is missing, or the data is not there.
    """
    refusal = method.refusal(plan)
    if refusal:
        raise ConfigError(refusal)
    if method.baseline:
        return Result(scores=_judge(_classical(method, plan), plan, run / method.name))
    if method.per_picture:
        denoise = per_picture(method, plan, sum(1 for _ in cases_of(plan)), device)
        return Result(scores=_judge(denoise, plan, run / method.name))
    trained = train_method(method, plan, run, device)
    scores = _judge(trained.denoise, plan, run / method.name)
    return Result(steps=trained.steps, training_seconds=trained.seconds, scores=scores)


def _classical(method: Method, plan: Plan) -> Denoise:
    """A method that trains nothing."""
    name = method.raw_baseline or method.baseline if plan.is_raw else method.baseline
    baseline = load_baseline(name)

    def denoise(case: Case) -> NDArray[np.float32]:
        return baseline(case.noisy, NoiseModel.uniform(shot_noise=case.shot_noise, read_noise=case.read_noise))

    return denoise


def cases_of(plan: Plan) -> Iterator[Case]:
    """What a plan's methods are judged on.

    Raises:
        ConfigError: The data is not there, or has nothing to judge on.
    """
    if plan.dataset == "pictures":
        for name, folder in plan.tests.items():
            yield from picture_cases(Path(folder), name, plan.noise, plan.draws or DRAWS.get(name, 1), plan.every)
    elif plan.dataset == "synthetic":
        for folder in plan.tests.values():
            yield from raw_cases(held_out_pictures(Path(folder))[:: plan.every], SENSOR_LIKE)
    else:
        config = TrainingConfig(
            preset="compare",
            objective="supervised",
            patch_size=PATCH_CASE_SIZE,
            **target_fields(plan),
        )
        held_out = open_sources(config, Path(plan.data)).held_out
        if held_out is None:
            wanted = "SIDD's validation blocks" if plan.dataset == "sidd" else "at least two captures"
            raise ConfigError(f"data: nothing in {plan.data} to judge on; {wanted} are wanted")
        group = "validation blocks" if plan.dataset == "sidd" else "captures, estimated"
        yield from patch_cases(held_out, group, -(-PATCH_CASES // plan.every))


def check_cases(plan: Plan) -> None:
    """Refuse what has nothing to judge on, or only what was learned from, before hours are spent on training.

    Raises:
        ConfigError: See `cases_of`; or a picture is both learned from and judged on.
    """
    for name, folder in plan.tests.items():
        next(cases_of(dataclasses.replace(plan, tests={name: folder})))
    if not plan.tests:
        next(cases_of(plan))
    both = sorted(_learned_pictures(plan) & _judged_pictures(plan))
    if both:
        raise ConfigError(f"test: {both[0]} is learned from, too (one of {len(both)}); judge on other pictures")


def _learned_pictures(plan: Plan) -> set[Path]:
    """Files; those held out by name are not learned from, and a pack's have no files."""
    if not plan.data or plan.dataset not in {"pictures", "synthetic"}:
        return set()
    return {path for path in _pictures_under(plan.data) if path.stem not in HELD_OUT}


def _judged_pictures(plan: Plan) -> set[Path]:
    """Files."""
    if plan.dataset == "synthetic":
        return {path.resolve() for folder in plan.tests.values() for path in held_out_pictures(Path(folder))}
    return {path for folder in plan.tests.values() for path in _pictures_under(folder)}


def _pictures_under(folder: str) -> set[Path]:
    return {path.resolve() for path in Path(folder).rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES}


def _judge(denoise: Denoise, plan: Plan, folder: Path) -> tuple[dict[str, Any], ...]:
    """Scores of all cases, those found before and new ones, each written down at once."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SCORES_NAME
    known = {score["case"]: score for score in read_scores(path)}
    with replacing(path) as file:  # without a line that was cut off
        file.write("".join(json.dumps(score) + "\n" for score in known.values()).encode())
    scores = []
    with closing(tqdm(cases_of(plan), desc=folder.name, unit="case", disable=None)) as bar:
        for index, case in enumerate(bar):
            if case.key not in known:
                known[case.key] = _score(denoise, case, folder, index)
                with path.open("a", encoding="utf-8") as lines:
                    lines.write(json.dumps(known[case.key]) + "\n")
            scores.append(known[case.key])
    return tuple(scores)


def _score(denoise: Denoise, case: Case, folder: Path, index: int) -> dict[str, Any]:
    """Denoise one case, keep a crop of the first ones, and say how well it went."""
    started = time.perf_counter()
    denoised = denoise(case)
    seconds = time.perf_counter() - started
    keep_crop(folder, index, denoised, case)
    if case.clean is None:
        found, noisy = estimated_quality(denoise, denoised, case), estimated_quality(_nothing, case.noisy, case)
    else:
        found, noisy = quality_of(denoised, case), quality_of(case.noisy, case)
    return {
        "case": case.key,
        "group": case.group,
        "psnr": found.psnr,
        "ssim": found.ssim,
        "noisy_psnr": noisy.psnr,
        "noisy_ssim": noisy.ssim,
        "seconds": seconds,
        "megapixels": case.noisy[0].size * (4 if not case.display else 1) / 1e6,
    }


def _nothing(case: Case) -> NDArray[np.float32]:
    return case.noisy


def read_scores(path: Path) -> list[dict[str, Any]]:
    """The scores in a file, none if there is none; a line that was cut off ends them."""
    if not path.exists():
        return []
    scores = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            scores.append(json.loads(line))
        except ValueError:
            break
    return scores
