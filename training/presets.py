"""Whole training configurations by name.

The presets of papers are the papers' own: plain input, plain squares, every image trained on, last weights published.

Source: Huang et al., "Neighbor2Neighbor", CVPR 2021, section 4.1 and its published tools for raw data; Wang et al.,
"Blind2Unblind", CVPR 2022, section 4.1 and its published training on SIDD; Pang et al., "Recorrupted-to-Recorrupted",
CVPR 2021. Ours alone are "photosite", "supervised-synthetic", "n2n-synthetic", "r2r-synthetic" and "captures".
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from training.config import TrainingConfig
from training.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from training.registry import ModelRef

SIDD_PATCHES_PER_EPOCH = 60_000
"""The papers' tools cut SIDD-Medium's 320 noisy frames into 512×512 photosites, every 256: 165 to 220 a frame, some
60,000 in all. An epoch takes one patch of 256×256 out of each. Ours are drawn anywhere in a frame, as many."""
_SIDD_BATCH, _SIDD_EPOCHS = 4, 100
_SIDD_STEPS_PER_EPOCH = SIDD_PATCHES_PER_EPOCH // _SIDD_BATCH
BASE_LEARNING_RATE_SHARE = 0.1
"""Of a preset's learning rate when it starts from a published model: enough to adapt, too little to forget."""


def supervised_synthetic() -> TrainingConfig:
    """Noisy and clean pairs from pictures: the first default model, `photosite@1`."""
    return TrainingConfig(preset="supervised-synthetic", objective="supervised")


def photosite() -> TrainingConfig:
    """The long training of the default model: everything a sensor sees, on hours of a CPU or less of a GPU.

    The rate is constant until half of the steps are done, and until then the number of steps can still be chosen:
    `--resume --steps N` begins the fall earlier or later, and a run that is stopped before it has its averaged weights.
    """
    return TrainingConfig(
        preset="photosite",
        objective="supervised",
        objective_options={"scale": "logarithmic"},
        network="residual-unet",
        network_options={"widths": [64, 128, 256], "blocks": [2, 2, 2]},
        content={
            "photographs": 0.64,
            "leaves": 0.08,
            "colours": 0.07,
            "printed": 0.08,
            "texture": 0.05,
            "slopes": 0.03,
            "gradients": 0.03,
            "night": 0.02,
        },
        dark_share=0.12,
        bright_share=0.06,
        steps=120_000,
        optimiser="muon",
        learning_rate=1.2e-3,
        warmup_steps=500,
        schedule="cooldown",
        decay_steps=60_000,
        ema_steps=1000,
        validate_steps=1000,
    )


def photosite_xtrans() -> TrainingConfig:
    """The same for X-Trans sensors, whose cell of 6×6 photosites is 36 planes: `photosite-xtrans`.

    Steps are smaller and weights decay: with the default model's 2300 steps made a network of this width no good.
    """
    return dataclasses.replace(
        photosite(),
        preset="photosite-xtrans",
        sensor="x-trans",
        network_options={"widths": [128, 192, 256], "blocks": [2, 2, 2], "fold": 1},
        patch_size=28,
        learning_rate=8e-4,
        weight_decay=0.05,
    )


def photosite_monochrome() -> TrainingConfig:
    """The same for sensors without colour filters: `photosite-monochrome`."""
    return dataclasses.replace(photosite(), preset="photosite-monochrome", sensor="monochrome")


def n2n_synthetic() -> TrainingConfig:
    """Neighbor2Neighbor on noisy synthetic raws alone, on content as smooth as a sensor's: `photosite-n2n`.

    On sharp pictures, and at low noise, neighbouring pixels differ by more than the noise, and the method blurs.
    """
    return TrainingConfig(
        preset="n2n-synthetic",
        objective="neighbor2neighbor",
        objective_options={"gamma": 2.0},
        scales=(2.0, 3.0),
        shot_noise_range=(2e-4, 1.2e-2),
        patch_size=128,
        steps=2000,
    )


def r2r_synthetic() -> TrainingConfig:
    """Recorrupted-to-Recorrupted on noisy synthetic raws alone, whose noise model is known."""
    return TrainingConfig(preset="r2r-synthetic", objective="recorrupted", objective_options={"alpha": 0.5})


def _sidd_paper(name: str, objective: str) -> TrainingConfig:
    """What Neighbor2Neighbor and Blind2Unblind have in common on SIDD: Adam, 100 epochs, halved every 20."""
    return TrainingConfig(
        preset=name,
        dataset="sidd",
        objective=objective,
        input_normalisation="none",
        patch_size=128,
        batch_size=_SIDD_BATCH,
        steps=_SIDD_EPOCHS * _SIDD_STEPS_PER_EPOCH,
        patches_per_epoch=SIDD_PATCHES_PER_EPOCH,
        optimiser="adam",
        learning_rate=1e-4,
        warmup_steps=0,
        schedule="step",
        decay_steps=20 * _SIDD_STEPS_PER_EPOCH,
        weight_decay=0.0,
        gradient_norm=0.0,
        ema_steps=1,
        validate_steps=_SIDD_STEPS_PER_EPOCH,
    )


def n2n_sidd() -> TrainingConfig:
    """Neighbor2Neighbor on SIDD-Medium's noisy frames: 51.06 dB on its validation blocks in the paper."""
    config = _sidd_paper("n2n-sidd", "neighbor2neighbor")
    return dataclasses.replace(config, objective_options={"gamma": 1.0, "sampler": "random", "weighting": "none"})


def n2n_sidd_rrg() -> TrainingConfig:
    """The same with the paper's larger network: 51.39 dB."""
    return dataclasses.replace(n2n_sidd(), preset="n2n-sidd-rrg", network="rrg")


def b2u_sidd() -> TrainingConfig:
    """Blind2Unblind on SIDD-Medium's noisy frames: 51.36 dB; a step costs 28 of Neighbor2Neighbor's."""
    config = _sidd_paper("b2u-sidd", "blind2unblind")
    return dataclasses.replace(config, objective_options={"masks": 16, "weighting": "none"}, weight_decay=1e-8)


def supervised_sidd() -> TrainingConfig:
    """SIDD-Medium's noisy and clean frames, noise-aware: what learning from noisy frames alone is measured against."""
    return TrainingConfig(
        preset="supervised-sidd",
        dataset="sidd",
        held_out_share=0.05,
        objective="supervised",
        patch_size=128,
        steps=20 * SIDD_PATCHES_PER_EPOCH // 8,
        patches_per_epoch=SIDD_PATCHES_PER_EPOCH,
        validate_steps=2000,
    )


def noise2noise_sidd() -> TrainingConfig:
    """The same network and budget on the two noisy frames of every scene of SIDD-Medium, without clean ones."""
    return dataclasses.replace(supervised_sidd(), preset="noise2noise-sidd", objective="noise2noise")


def captures() -> TrainingConfig:
    """Recorrupted-to-Recorrupted on a folder of captures of any camera; best begun from a published model (--base)."""
    return TrainingConfig(
        preset="captures",
        dataset="captures",
        held_out_share=0.1,
        objective="recorrupted",
        objective_options={"alpha": 1.0, "signal": "denoised", "noise": "own"},
        patch_size=128,
        batch_size=6,
        steps=1000,
        validate_steps=100,
    )


PRESETS: dict[str, Callable[[], TrainingConfig]] = {
    "photosite": photosite,
    "photosite-xtrans": photosite_xtrans,
    "photosite-monochrome": photosite_monochrome,
    "supervised-synthetic": supervised_synthetic,
    "n2n-synthetic": n2n_synthetic,
    "r2r-synthetic": r2r_synthetic,
    "supervised-sidd": supervised_sidd,
    "noise2noise-sidd": noise2noise_sidd,
    "n2n-sidd": n2n_sidd,
    "n2n-sidd-rrg": n2n_sidd_rrg,
    "b2u-sidd": b2u_sidd,
    "captures": captures,
}


def preset(name: str) -> TrainingConfig:
    """The configuration of that name.

    Raises:
        ConfigError: There is no such preset.
    """
    if name not in PRESETS:
        raise ConfigError(f"preset: there is no {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]()


def started_from(config: TrainingConfig, base: ModelRef) -> TrainingConfig:
    """A preset that starts from a model: of its architecture, and with gentler steps."""
    manifest = base.manifest()
    options = {name: value for name, value in manifest.network_options.items() if name != "in_channels"}
    return dataclasses.replace(
        config,
        base=str(base),
        network=manifest.network,
        network_options=options,
        input_normalisation=manifest.input_normalisation,
        learning_rate=config.learning_rate * BASE_LEARNING_RATE_SHARE,
    )
