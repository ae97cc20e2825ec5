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
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tqdm import tqdm

from training.baselines import load_baseline
from training.baselines.per_picture import PictureBudget, PictureTask
from training.checkpoint import load_checkpoint
from training.comparison.cases import (
    DRAWS,
    Case,
    estimated_quality,
    pad_to_square,
    patch_cases,
    picture_cases,
    quality_of,
    raw_cases,
)
from training.comparison.crops import keep_crop
from training.config import DatasetKind, TrainingConfig
from training.datasets.held_out_raws import held_out_pictures
from training.errors import ConfigError
from training.loop import CHECKPOINT_NAME, train
from training.networks import build_network
from training.networks.noise_aware import build_noise_aware
from training.noise import NoiseModel
from training.objectives import build_objective
from training.objectives.base import Batch
from training.objectives.laine import estimates_of, output_channels
from training.raw.atomic import replacing
from training.run.journal import LOG_NAME, read_log
from training.run.precision import autocast, training_dtype
from training.run.sources import open_sources
from training.tiling import pad_to_stride

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from training.comparison.cases import Denoise
    from training.comparison.methods import DatasetName, Method
    from training.comparison.plan import Plan

SCORES_NAME = "scores.jsonl"
SENSOR_LIKE = 3.0
"""Pictures are enlarged so before they are mosaicked: their neighbouring pixels are then as alike as a sensor's."""
SHOT_NOISE_RANGE = (1e-4, 1.2e-2)
LONGEST_AVERAGE = 200
"""Steps that weights are averaged over, in long trainings."""
HELD_OUT_SHARE = 0.25
"""Of captures, which nothing else says what to judge on."""
PATCH_CASES, PATCH_CASE_SIZE = 32, 128
KINDS: dict[DatasetName, DatasetKind] = {
    "synthetic": "pictures",
    "sidd": "sidd",
    "captures": "captures",
    "pictures": "srgb",
}


class Stopped(Exception):  # noqa: N818  (it is no error)
    """A signal ended the training; the same command goes on."""


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
    refusal = method.refusal(plan.dataset)
    if refusal:
        raise ConfigError(refusal)
    if method.baseline:
        return Result(scores=_judge(_classical(method, plan), plan, run / method.name))
    if method.per_picture:
        return Result(scores=_judge(_per_picture(method, plan, device), plan, run / method.name))
    config = config_of(method, plan)
    folder = run / "trainings" / method.training
    steps, seconds = _train(config, plan, folder, device)
    scores = _judge(trained(folder, device, method.readout), plan, run / method.name)
    return Result(steps=steps, training_seconds=seconds, scores=scores)


def config_of(method: Method, plan: Plan) -> TrainingConfig:
    """The training of a method.

    A network of a method's own, which must not see the pixel that it predicts, gets the plain image; so do all that
    learn from pictures, as in the papers. Those of raws are told the noise (`networks/noise_aware.py`).
    """
    options = plan.objective_options(method)
    objective = build_objective(method.objective, **options)
    config = TrainingConfig(
        preset="compare",
        dataset=KINDS[plan.dataset],
        picture_noise="" if plan.is_raw else plan.noise,
        held_out_share=HELD_OUT_SHARE if plan.dataset == "captures" else 0.0,
        objective=method.objective,
        objective_options=options,
        network=method.network or plan.network,
        network_options=_own_options(method, plan, options) if method.network else plan.network_options,
        input_normalisation="none" if method.network or not plan.is_raw else "variance-stabilised",
        scales=(SENSOR_LIKE,),
        shot_noise_range=SHOT_NOISE_RANGE,
        patch_size=plan.patch_size * objective.subsampling,
        batch_size=plan.batch_size,
        learning_rate=plan.learning_rate,
        ema_steps=min(LONGEST_AVERAGE, max(1, plan.budget.steps // 10)) if plan.budget.steps else LONGEST_AVERAGE,
        minutes=plan.budget.minutes,
        seed=plan.seed,
    )
    return config.with_steps(plan.budget.steps) if plan.budget.steps else config


def _own_options(method: Method, plan: Plan, options: dict[str, Any]) -> dict[str, Any]:
    """Of a blind-spot network: a prior's numbers and, where it is unknown, the noise's."""
    wanted = {name: options[name] for name in ("covariance", "noise", "kind") if name in options}
    outputs: dict[str, Any] = {"out_channels": output_channels(4 if plan.is_raw else 3, **wanted), "width": plan.width}
    noise = options.get("noise", "known")
    if method.network == "blindspot-unet" and noise != "known":
        outputs |= {"noise": noise, "estimates": estimates_of(noise, options["kind"])}
    return outputs


def _train(config: TrainingConfig, plan: Plan, folder: Path, device: torch.device) -> tuple[int, float]:
    """Steps and seconds of a training, which is begun, gone on with, or found finished.

    Raises:
        Stopped: A signal ended it.
    """
    path = folder / CHECKPOINT_NAME
    last = load_checkpoint(path) if path.exists() else None
    if last is None or last.progress.get("ended") != "steps":
        data = open_sources(config, Path(plan.data)).training
        last = load_checkpoint(train(config, data, folder, resume=True, device=device))
        if last.progress.get("ended") != "steps":
            raise Stopped(f"{folder.name} was stopped at step {last.step}")
    return last.step, float(read_log(folder / LOG_NAME)[-1]["seconds"])


def trained(folder: Path, device: torch.device, readout: dict[str, Any]) -> Denoise:
    """A trained method as it denoises.

    Args:
        folder: Of its run.
        device: Where to denoise.
        readout: Options of its objective other than in training.
    """
    checkpoint = load_checkpoint(folder / CHECKPOINT_NAME)
    config = TrainingConfig.from_json(checkpoint.config)
    model = build_noise_aware(config)
    model.network.load_state_dict(checkpoint.average)
    model.to(device).eval()
    objective = build_objective(config.objective, **{**config.objective_options, **readout})
    dtype = training_dtype(device, config.precision)

    def denoise(case: Case) -> NDArray[np.float32]:
        padded = _padded(case, model.network.stride)
        with torch.inference_mode(), autocast(device, dtype):
            denoised = objective.denoise(model, _batch(padded, case, device))
        return _cut(denoised, case)

    return denoise


def _classical(method: Method, plan: Plan) -> Denoise:
    """A method that trains nothing."""
    name = method.raw_baseline or method.baseline if plan.is_raw else method.baseline
    baseline = load_baseline(name)

    def denoise(case: Case) -> NDArray[np.float32]:
        return baseline(case.noisy, NoiseModel.uniform(shot_noise=case.shot_noise, read_noise=case.read_noise))

    return denoise


def _per_picture(method: Method, plan: Plan, device: torch.device) -> Denoise:
    """A method that is trained for every picture; minutes are shared by all of them."""
    restore = import_module(method.per_picture).restore
    seconds = 60 * plan.budget.minutes / sum(1 for _ in cases_of(plan)) if plan.budget.minutes else 0.0
    budget = PictureBudget(steps=plan.budget.steps, seconds=seconds)
    stride = build_network(plan.network, in_channels=4, **plan.network_options).stride

    def denoise(case: Case) -> NDArray[np.float32]:
        batch = _batch(_padded(case, stride), case, device)
        task = PictureTask(
            noisy=batch.noisy,
            shot_noise=batch.shot_noise,
            read_noise=batch.read_noise,
            network=plan.network,
            network_options=plan.network_options,
            budget=budget,
            seed=plan.seed,
        )
        return _cut(restore(task), case)

    return denoise


def _padded(case: Case, stride: int) -> NDArray[np.float32]:
    """(C, h', w') as the network wants it: pictures as the papers pad them."""
    return pad_to_stride(pad_to_square(case.noisy) if case.display else case.noisy, stride)


def _batch(noisy: NDArray[np.float32], case: Case, device: torch.device) -> Batch:
    """A batch of one."""
    shot, read = (torch.full((1, len(noisy)), each, device=device) for each in (case.shot_noise, case.read_noise))
    return Batch(noisy=torch.from_numpy(noisy)[None].to(device), shot_noise=shot, read_noise=read)


def _cut(denoised: torch.Tensor, case: Case) -> NDArray[np.float32]:
    """Without the padding."""
    _, height, width = case.noisy.shape
    result: NDArray[np.float32] = denoised[0, :, :height, :width].float().cpu().numpy()
    return result


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
            dataset=KINDS[plan.dataset],
            held_out_share=HELD_OUT_SHARE if plan.dataset == "captures" else 0.0,
            objective="supervised",
            patch_size=PATCH_CASE_SIZE,
        )
        held_out = open_sources(config, Path(plan.data)).held_out
        if held_out is None:
            wanted = "SIDD's validation blocks" if plan.dataset == "sidd" else "at least two captures"
            raise ConfigError(f"data: nothing in {plan.data} to judge on; {wanted} are wanted")
        group = "validation blocks" if plan.dataset == "sidd" else "captures, estimated"
        yield from patch_cases(held_out, group, -(-PATCH_CASES // plan.every))


def check_cases(plan: Plan) -> None:
    """Refuse what has nothing to judge on, before hours are spent on training.

    Raises:
        ConfigError: See `cases_of`.
    """
    for name, folder in plan.tests.items():
        next(cases_of(dataclasses.replace(plan, tests={name: folder})))
    if not plan.tests:
        next(cases_of(plan))


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
