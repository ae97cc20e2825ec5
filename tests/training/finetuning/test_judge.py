"""Base and candidate, judged without a clean signal, against the truth that the test knows."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from captured_frames import NOISE, READ, SHOT, add_gaussian, make_frame, make_scene
from engines import KnownEngine
from new_camera import long_tailed
from scipy.ndimage import median_filter, uniform_filter

from training.finetuning.character import Character, Correlation
from training.finetuning.judge import Judgement, judge
from training.finetuning.material import Material
from training.finetuning.regions import Region
from training.finetuning.verdict import decide
from training.noise import NoiseModel
from training.objectives.recorrupted import draw_noise, recorrupt
from training.raw.bayer import pack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Filter = Callable[[NDArray[np.float32]], NDArray[np.float32]]

WHOLE = Region(0, 0, 512, 512)


def blur(size: int) -> Filter:
    return lambda planes: uniform_filter(planes, (0, size, size)).astype(np.float32)


def without_outliers(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Leaves the noise alone, and takes outliers away."""
    around = median_filter(planes, (1, 3, 3))
    return np.where(np.abs(planes - around) > 0.06, around, planes)


def material(folder: Path, noisy: list[NDArray[np.float32]], groups: list[list[int]], tail: float | None) -> Material:
    return Material(
        frames=tuple(make_frame(folder, f"{n}", each) for n, each in enumerate(noisy)),
        groups=tuple(map(tuple, groups)),
        character=Character(tail, Correlation(0.0, 0.0)),
        skipped=(),
    )


def judged(seen: Material, base: Filter, candidate: Filter) -> Judgement:
    engines = KnownEngine(base, tile_size=256), KnownEngine(candidate, tile_size=256)
    return judge(engines, seen, [WHOLE] * len(seen.frames), lambda _: None)


def true_gain(clean: NDArray[np.float32], noisy: NDArray[np.float32], base: Filter, candidate: Filter) -> float:
    errors = [np.square(each(pack(noisy)) - pack(clean)).mean() for each in (base, candidate)]
    return float(10 * np.log10(errors[0] / errors[1]))


def test_every_judge_finds_the_true_gain_of_a_filter_under_gaussian_noise(tmp_path: Path) -> None:
    scene = make_scene()
    noisy = [add_gaussian(scene, 0), add_gaussian(scene, 1)]
    found = judged(material(tmp_path, noisy, [[0, 1]], None), blur(9), blur(5))
    truth = true_gain(scene, noisy[0], blur(9), blur(5))
    assert truth > 0.5
    for name in ("second frame", "recorrupted", "stein"):
        assert found.gains[name].gain.db == pytest.approx(truth, abs=0.15), name  # type: ignore[index]
    at_twice = true_gain(scene, add_gaussian(scene, 2, NOISE.scaled(2)), blur(9), blur(5))
    assert found.gains["twice the noise"].gain.db == pytest.approx(at_twice, abs=0.15)


class _BetterAtTwice(KnownEngine):
    """Leaves more of weak noise than of strong noise: what training at twice the noise alone may lead to."""

    def denoise_tile(self, tile: NDArray[np.float32], noise: NoiseModel) -> NDArray[np.float32]:
        share = 0.6 if noise.shot_noise[0] < 1.5 * SHOT else 0.0
        return (share * tile + (1 - share) * blur(3)(tile)).astype(np.float32)


def test_being_better_at_twice_the_noise_alone_is_not_better(tmp_path: Path) -> None:
    seen = material(tmp_path, [add_gaussian(make_scene(), n) for n in range(5)], [], None)
    base = KnownEngine(lambda planes: (0.6 * blur(3)(planes) + 0.4 * planes).astype(np.float32), tile_size=256)
    engines = base, _BetterAtTwice(tile_size=256)
    found = judge(engines, seen, [WHOLE] * 5, lambda _: None)
    assert found.gains["twice the noise"].gain.low > 0.5
    assert found.gains["recorrupted"].gain.high < 0
    assert not decide(found, seen.character).better


def test_equal_models_gain_nothing(tmp_path: Path) -> None:
    seen = material(tmp_path, [add_gaussian(make_scene(), 0)], [], None)
    found = judged(seen, blur(3), blur(3))
    assert {each.gain for each in found.gains.values()} == {(0.0, 0.0, 0.0)}
    assert not decide(found, seen.character).better


def test_long_tails_mislead_stein_and_not_the_others(tmp_path: Path) -> None:
    scene, tail = make_scene(), -0.2
    rng = np.random.default_rng(0)

    def expose() -> NDArray[np.float32]:
        shot = np.sqrt(SHOT * scene) * rng.standard_normal(scene.shape)
        return (scene + shot + np.sqrt(4e-4) * long_tailed(rng, scene.shape, tail)).astype(np.float32)

    noise = NoiseModel.uniform(shot_noise=SHOT, read_noise=4e-4)
    noisy = [expose(), expose()]
    frames = tuple(make_frame(tmp_path, f"{n}", each, noise=noise) for n, each in enumerate(noisy))
    seen = Material(frames=frames, groups=((0, 1),), character=Character(tail, Correlation(0.0, 0.0)), skipped=())
    found = judged(seen, np.copy, without_outliers)
    assert true_gain(scene, noisy[0], np.copy, without_outliers) > 0.5
    assert found.gains["second frame"].gain.low > 0.3
    assert found.gains["recorrupted"].gain.low > 0.1
    assert found.gains["stein"].gain.high < 0  # outliers that are kept cost it nothing


@pytest.mark.parametrize("tail", [None, -0.2])
def test_the_noise_of_the_reference_is_not_that_of_the_input(tail: float | None) -> None:
    """E[(f(y₁) − x)(y₂ − x)] = 0 for a function that takes outliers for signal: the judge is unbiased."""
    clean = torch.full((1, 4, 400, 400), 0.2)
    levels = torch.full((1, 4), SHOT), torch.full((1, 4), 20 * READ)
    generator = torch.Generator().manual_seed(1)
    own, added = (draw_noise(clean, *levels, tail, generator) for _ in range(2))
    source, target = recorrupt(clean + own, clean + own, added, 1.0)
    kept = torch.where((source - clean).abs() > 0.06, source, clean)  # keeps outliers
    product = ((kept - clean) * (target - clean)).double()
    assert abs(float(product.mean())) < 4 * float(product.std()) / product.numel() ** 0.5
    assert float((own**2).mean()) == pytest.approx(SHOT * 0.2 + 20 * READ, rel=0.03)


def test_a_shift_of_brightness_is_seen_and_forbidden(tmp_path: Path) -> None:
    seen = material(tmp_path, [add_gaussian(make_scene(), 0)], [], None)
    found = judged(seen, np.copy, lambda planes: blur(3)(planes) + np.float32(0.01))
    assert found.mean_shift == pytest.approx([0.01] * 4, abs=1e-3)
    assert any("shifts the brightness of Gr" in reason for reason in decide(found, seen.character).reasons)


def test_a_better_model_is_called_better_unless_the_noise_is_correlated(tmp_path: Path) -> None:
    seen = material(tmp_path, [add_gaussian(make_scene(), 0)], [], None)
    found = judged(seen, np.copy, blur(3))
    verdict = decide(found, seen.character)
    assert verdict.better
    assert verdict.judge == "recorrupted"
    assert len(verdict.reasons) == 1
    correlated = Character(None, Correlation(0.4, 0.4))
    assert not decide(found, correlated).better


def test_the_second_frame_is_asked_first(tmp_path: Path) -> None:
    noisy = [add_gaussian(make_scene(), n) for n in range(2)]
    seen = material(tmp_path, noisy, [[0, 1]], None)
    verdict = decide(judged(seen, np.copy, blur(3)), Character(None, Correlation(0.4, 0.4)))
    assert (verdict.judge, verdict.better) == ("second frame", True)


def test_hot_photosites_left_in_the_picture_count_against_a_model(tmp_path: Path) -> None:
    clean = make_scene()
    hot = np.random.default_rng(3).random(clean.shape) < 1 / 500
    noisy = add_gaussian(clean, 0) + np.where(hot, 0.3, 0).astype(np.float32)
    seen = material(tmp_path, [noisy], [], None)
    known = dataclasses.replace(seen, frames=(dataclasses.replace(seen.frames[0], defects=hot),))
    gain = judged(known, np.copy, without_outliers).gains["recorrupted"].gain
    assert gain.low > 0.5


def test_progress_rises_and_may_raise(tmp_path: Path) -> None:
    seen = material(tmp_path, [add_gaussian(make_scene(), n) for n in range(2)], [], None)
    shares: list[float] = []
    engines = KnownEngine(tile_size=64), KnownEngine(tile_size=64)
    judge(engines, seen, [WHOLE] * 2, shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    assert len(shares) > 100

    class CancelledError(Exception):
        pass

    def cancel(_share: float) -> None:
        raise CancelledError

    with pytest.raises(CancelledError):
        judge(engines, seen, [WHOLE] * 2, cancel)
