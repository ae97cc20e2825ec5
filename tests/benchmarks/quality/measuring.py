"""Every column of the table, block by block."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.baselines import load_baseline
from training.datasets.held_out_raws import LEVELS, expose, make_cases, make_scene, stored_noise
from training.errors import ConfigError
from training.evaluate import quality, read_off_noise, score

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from benchmarks.quality.cache import ResultCache

    from training.baselines import Baseline
    from training.datasets.held_out_raws import Case
    from training.engines.base import Engine
    from training.evaluate import Quality
    from training.noise import NoiseModel
    from training.raw.cells import SensorKind

NOISY = "noisy"
TRUE, ESTIMATED = "true", "estimated"
GREY = 0.18


@dataclass(frozen=True, kw_only=True)
class Row:
    """One block at one noise level, as every column has it."""

    picture: str
    group: str
    level: str
    block: int
    cfa_pattern: str
    bits: int
    columns: dict[str, Quality]
    """By name: "noisy", the methods', and each model's with true and with estimated noise parameters."""
    shot_ratio: float | None
    """Estimated shot noise over the true one; None where none could be estimated."""
    deviation_ratio: float | None
    """The same of the noise's standard deviation at mid-grey."""


def column(engine: Engine, noise: str) -> str:
    """The name of a model's column."""
    return f"{engine.manifest.reference}, {noise} noise"


def sensor_of(engines: Sequence[Engine]) -> SensorKind:
    """Whose mosaics the models take; Bayer's where there is no model.

    Raises:
        ConfigError: They take different ones.
    """
    kinds: set[SensorKind] = {engine.manifest.sensor for engine in engines} or {"bayer"}
    if len(kinds) > 1:
        raise ConfigError(f"models: {', '.join(sorted(kinds))} mosaics cannot be compared")
    return kinds.pop()


def find_baselines(names: Sequence[str], sensor: SensorKind) -> tuple[dict[str, Baseline], list[str]]:
    """The methods that are installed and know the sensor, and a sentence about each that is not or does not."""
    found, missing = {}, []
    for name in names:
        try:
            found[name] = load_baseline(name, sensor)
        except ConfigError as error:
            missing.append(str(error))
    return found, missing


def measure(
    path: Path,
    blocks: int,
    engines: Sequence[Engine],
    baselines: dict[str, Baseline],
    cache: ResultCache,
) -> Iterator[Row]:
    """All blocks of a picture at all noise levels; the same arguments give the same rows."""
    sensor = sensor_of(engines)
    scene = make_scene(path, blocks, sensor)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for level in LEVELS:
            raw = expose(scene, level)
            estimate = read_off_noise(raw)
            for case in make_cases(scene, level, raw):
                pending = {
                    name: pool.submit(cache.denoise, f"{name} {sensor}", baseline, case.packed, case.noise)
                    for name, baseline in baselines.items()
                }
                ours = _judge_models(engines, case, estimate)
                classical = {name: quality(result.result(), case) for name, result in pending.items()}
                yield _row(case, {NOISY: quality(case.packed, case), **classical, **ours}, estimate)


def _judge_models(engines: Sequence[Engine], case: Case, estimate: NoiseModel | None) -> dict[str, Quality]:
    columns = {}
    for engine in engines:
        found = score(engine, case, estimate)
        columns |= {column(engine, TRUE): found.denoised, column(engine, ESTIMATED): found.estimated}
    return columns


def _row(case: Case, columns: dict[str, Quality], estimate: NoiseModel | None) -> Row:
    true = stored_noise(case.level, case.scene.levels)
    return Row(
        picture=case.scene.name,
        group=case.scene.group,
        level=case.level.name,
        block=case.index,
        cfa_pattern=case.scene.cfa_pattern,
        bits=case.scene.bits,
        columns=columns,
        shot_ratio=estimate.shot_noise[0] / true.shot_noise[0] if estimate else None,
        deviation_ratio=(_grey_variance(estimate) / _grey_variance(true)) ** 0.5 if estimate else None,
    )


def _grey_variance(noise: NoiseModel) -> float:
    return noise.shot_noise[0] * GREY + noise.read_noise[0]
