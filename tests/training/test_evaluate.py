"""Quality on held-out raws, with engines whose output is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from engines import KnownEngine
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from training.datasets.held_out_raws import SIDE, Scene, expose, make_cases, phone_level, prior_level, stored_noise
from training.errors import UnsupportedRawError
from training.evaluate import quality, read_off_noise, score, scores, table

if TYPE_CHECKING:
    from pathlib import Path

    from training.datasets.held_out_raws import Case

LEVEL = phone_level(1600)


def blurring() -> KnownEngine:
    """An engine that gives back each plane's mean."""
    return KnownEngine(lambda tile: np.broadcast_to(tile.mean(axis=(1, 2), keepdims=True), tile.shape), tile_size=512)


def grey_case() -> Case:
    """A block of a level grey in a 10-bit GBRG file."""
    clean = np.full((SIDE, SIDE), 0.25, dtype=np.float32)
    scene = Scene(name="a", group="b", clean=clean, cfa_pattern="GBRG", bits=10, corners=((6, 8),))
    (case,) = make_cases(scene, LEVEL, expose(scene, LEVEL))
    return case


def test_quality_is_that_of_the_block_in_its_own_pattern() -> None:
    case = grey_case()
    found, noisy = quality(case.packed, case), case.mosaic(case.packed)
    assert found.psnr == pytest.approx(peak_signal_noise_ratio(case.clean, noisy, data_range=1), abs=1e-4)
    reference = structural_similarity(
        case.clean, noisy, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert found.ssim == pytest.approx(reference, abs=2e-3)


def test_a_model_is_told_the_true_noise_and_then_the_estimated_one() -> None:
    case, engine = grey_case(), blurring()
    estimate = case.noise.scaled(2)
    found = score(engine, case, estimate)
    assert engine.noises == [case.noise, estimate]
    assert case.noise == stored_noise(LEVEL, case.scene.levels)
    assert found.noisy == quality(case.packed, case)
    assert found.gain > 15
    assert found.error_ratio < 0.2
    assert found.error_ratio == pytest.approx(10 ** (-found.gain / 20), rel=0.02)


def test_a_raw_that_would_be_refused_counts_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    case, engine = grey_case(), blurring()
    found = score(engine, case, None)
    assert found.estimated == found.noisy
    assert found.denoised.psnr > found.noisy.psnr

    def refuse(*_: object) -> None:
        raise UnsupportedRawError("nothing flat")

    monkeypatch.setattr("training.evaluate.choose_noise", refuse)
    assert read_off_noise(expose(case.scene, LEVEL)) is None


def test_the_noise_is_read_off_the_whole_raw() -> None:
    case = grey_case()
    estimate = read_off_noise(expose(case.scene, LEVEL))
    assert estimate is not None
    at = np.full((4, 1, 1), 0.25)
    np.testing.assert_allclose(estimate.variance(at), case.noise.variance(at), rtol=0.03)


def test_pictures_are_judged_level_by_level_and_the_table_has_their_means(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(90, 110, (80, 80, 3)).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    levels = [prior_level(2e-3), prior_level(8e-3)]
    results = list(scores(blurring(), [tmp_path / "a.png"], levels, blocks=2))
    assert [(result.picture, result.level) for result in results] == [
        ("a", level) for level in levels for _ in range(2)
    ]
    first = table(results).splitlines()[2].split("|")
    assert first[1].strip() == "0.002"
    assert float(first[2]) == pytest.approx(np.mean([result.noisy.psnr for result in results[:2]]), abs=0.006)
    assert float(first[5]) == pytest.approx(min(result.gain for result in results[:2]), abs=0.006)
