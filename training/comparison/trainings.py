"""The trainings of a comparison: what each method trains on, and how it denoises once it is trained.

In the flow: plan, method → **training → denoised cases** → scores → table. A training that was stopped goes on where it
was.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from training.baselines.per_picture import PictureBudget, PictureTask
from training.checkpoint import load_checkpoint
from training.comparison.cases import case_of, pad_to_square
from training.comparison.methods import METHODS
from training.config import DatasetKind, TrainingConfig
from training.datasets.distilled import DistilledPatches
from training.datasets.synthetic import load_pictures
from training.loop import CHECKPOINT_NAME, train
from training.networks import build_network
from training.networks.noise_aware import build_noise_aware
from training.objectives import build_objective
from training.objectives.base import Batch
from training.objectives.impulses import centred
from training.objectives.laine import estimates_of, output_channels
from training.run.journal import LOG_NAME, read_log
from training.run.precision import autocast, training_dtype
from training.run.sources import open_sources
from training.tiling import pad_to_stride

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from training.comparison.cases import Case, Denoise
    from training.comparison.methods import DatasetName, Method
    from training.comparison.plan import Plan
    from training.datasets.base import Patch, PatchSource

SENSOR_LIKE = 3.0
"""Pictures are enlarged so before they are mosaicked: their neighbouring pixels are then as alike as a sensor's."""
SHOT_NOISE_RANGE = (1e-4, 1.2e-2)
LONGEST_AVERAGE = 200
"""Steps that weights are averaged over, in long trainings."""
HELD_OUT_SHARE = 0.25
"""Of captures, which nothing else says what to judge on."""
NOISE_LEVELS = 64
"""Patches of the data whose noise synthetic pairs are given."""
KINDS: dict[DatasetName, DatasetKind] = {
    "synthetic": "pictures",
    "sidd": "sidd",
    "captures": "captures",
    "pictures": "srgb",
}


class Stopped(Exception):  # noqa: N818  (it is no error)
    """A signal ended the training; the same command goes on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """A method that is trained."""

    denoise: Denoise
    steps: int
    seconds: float


def train_method(method: Method, plan: Plan, run: Path, device: torch.device) -> Trained:
    """Train a method, go on with that, or find it trained.

    One that is distilled spends half of the budget on its own network, and half on the one that learns from it.

    Args:
        method: Which, with an objective.
        plan: What all methods have in common.
        run: The comparison's folder.
        device: Where to train, and to denoise.

    Raises:
        Stopped: A signal ended it.
        ConfigError: The data is not there, or there is no budget.
    """
    folder = run / "trainings" / method.training
    if not method.distilled:
        config = config_of(method, plan)
        steps, seconds = _train(config, lambda: _data_of(method, plan, config), folder, device)
        return Trained(denoise=_trained(folder, device, method.readout), steps=steps, seconds=seconds)
    shared = dataclasses.replace(plan, budget=plan.spent.half())
    teacher = train_method(dataclasses.replace(method, distilled=False), shared, run, device)
    config, folder = config_of(METHODS["supervised"], shared), folder.with_name(f"{folder.name}-distilled")
    steps, seconds = _train(config, lambda: _distilled(config, shared, teacher.denoise), folder, device)
    return Trained(denoise=_trained(folder, device, {}), steps=teacher.steps + steps, seconds=teacher.seconds + seconds)


def config_of(method: Method, plan: Plan) -> TrainingConfig:
    """The training of a method.

    A network of a method's own, which must not see the pixel that it predicts, gets the plain image; so do all that
    learn from pictures, as in the papers. Those of raws are told the noise (`networks/noise_aware.py`).
    """
    options, budget = plan.objective_options(method), plan.spent
    objective = build_objective(method.objective, **options)
    config = TrainingConfig(
        preset="compare",
        picture_noise="" if plan.is_raw else plan.noise,
        **({"dataset": "pictures"} if method.needs == "photographs" else target_fields(plan)),
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
        ema_steps=min(LONGEST_AVERAGE, max(1, budget.steps // 10)) if budget.steps else LONGEST_AVERAGE,
        minutes=budget.minutes,
        seed=plan.seed,
    )
    return config.with_steps(budget.steps) if budget.steps else config


def target_fields(plan: Plan) -> dict[str, Any]:
    """A configuration's fields of the data that is learned from and judged on."""
    share = HELD_OUT_SHARE if plan.dataset == "captures" else 0.0
    return {"dataset": KINDS[plan.dataset], "held_out_share": share}


def _own_options(method: Method, plan: Plan, options: dict[str, Any]) -> dict[str, Any]:
    """Of a blind-spot network: a prior's numbers and, where it is unknown, the noise's."""
    wanted = {name: options[name] for name in ("covariance", "noise", "kind") if name in options}
    outputs: dict[str, Any] = {"out_channels": output_channels(4 if plan.is_raw else 3, **wanted), "width": plan.width}
    noise = options.get("noise", "known")
    if method.network == "blindspot-unet" and noise != "known":
        outputs |= {"noise": noise, "estimates": estimates_of(noise, options["kind"])}
    return outputs


def _data_of(method: Method, plan: Plan, config: TrainingConfig) -> PatchSource:
    """What a method learns from."""
    if method.needs == "photographs":
        return _synthetic_pairs(config, plan)
    return open_sources(config, Path(plan.data)).training


def _synthetic_pairs(config: TrainingConfig, plan: Plan) -> PatchSource:
    """Photographs made into raws with the noise of the data that is judged on.

    Source: Zamir et al., "CycleISP: Real Image Restoration via Improved Data Synthesis", CVPR 2020, whose networks that
    learned the way from sRGB to raw are `synthetic.unprocess` here.
    """
    target = open_sources(dataclasses.replace(config, **target_fields(plan)), Path(plan.data)).training
    patches = (target.draw((config.seed, 0, index)) for index in range(NOISE_LEVELS))
    levels = tuple((patch.shot_noise, patch.read_noise) for patch in patches)
    pictures = load_pictures(Path(plan.pictures), patch_size=config.patch_size, scales=config.scales)
    return dataclasses.replace(pictures, noise_levels=levels)


def _distilled(config: TrainingConfig, plan: Plan, teacher: Denoise) -> PatchSource:
    """Pairs that a trained method makes of noisy patches alone."""

    def result(patch: Patch) -> NDArray[np.float32]:
        return teacher(case_of(patch))

    return DistilledPatches(source=open_sources(config, Path(plan.data)).training, teacher=result)


def _train(
    config: TrainingConfig, open_data: Callable[[], PatchSource], folder: Path, device: torch.device
) -> tuple[int, float]:
    """Steps and seconds of a training, which is begun, gone on with, or found finished.

    Raises:
        Stopped: A signal ended it.
    """
    path = folder / CHECKPOINT_NAME
    last = load_checkpoint(path) if path.exists() else None
    if last is None or last.progress.get("ended") != "steps":
        last = load_checkpoint(train(config, open_data(), folder, resume=True, device=device))
        if last.progress.get("ended") != "steps":
            raise Stopped(f"{folder.name} was stopped at step {last.step}")
    return last.step, float(read_log(folder / LOG_NAME)[-1]["seconds"])


def _trained(folder: Path, device: torch.device, readout: dict[str, Any]) -> Denoise:
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


def per_picture(method: Method, plan: Plan, pictures: int, device: torch.device) -> Denoise:
    """A method that is trained for every picture; minutes are shared by all of them, so many.

    Raises:
        ConfigError: There is no budget.
    """
    restore = import_module(method.per_picture).restore
    budget = PictureBudget(steps=plan.spent.steps, seconds=60 * plan.spent.minutes / pictures)
    stride = build_network(plan.network, in_channels=4, **plan.network_options).stride

    def denoise(case: Case) -> NDArray[np.float32]:
        batch = _batch(_padded(case, stride), case, device)
        task = PictureTask(
            noisy=batch.noisy if batch.impulses is None else centred(batch.noisy, batch.impulses),
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
    impulses = torch.tensor([case.impulses], device=device) if case.impulses else None
    return Batch(noisy=torch.from_numpy(noisy)[None].to(device), shot_noise=shot, read_noise=read, impulses=impulses)


def _cut(denoised: torch.Tensor, case: Case) -> NDArray[np.float32]:
    """Without the padding."""
    _, height, width = case.noisy.shape
    result: NDArray[np.float32] = denoised[0, :, :height, :width].float().cpu().numpy()
    return result
