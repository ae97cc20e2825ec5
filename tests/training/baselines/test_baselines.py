"""The methods that the benchmark compares with: what they give back, and what they say where a library is missing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from training.baselines import ANY_SENSOR, BASELINES, load_baseline
from training.baselines.colour_planes import TRANSFORMS, join, separate
from training.errors import ConfigError
from training.metrics import psnr
from training.noise import NoiseModel
from training.raw.cells import CELLS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.baselines import Baseline
    from training.raw.cells import SensorKind

NOISE = NoiseModel(shot_noise=(2e-3, 1e-3, 1e-3, 3e-3), read_noise=(1e-5, 2e-5, 2e-5, 1e-5))


@pytest.fixture(params=BASELINES)
def baseline(request: pytest.FixtureRequest) -> Baseline:
    """Each of them; those that nothing installs by default are skipped where they are not there."""
    if request.param.startswith("bm3d"):
        pytest.importorskip("bm3d", reason="BM3D is not installed: pip install 'photosite[benchmark]'")
    return load_baseline(request.param)


def clean_planes(height: int = 35, width: int = 41) -> NDArray[np.float32]:
    """A slope with a hard edge, each plane brighter than the one before."""
    slope = np.linspace(0.1, 0.5, width)[None, :] + np.where(np.arange(height) < height // 2, 0.0, 0.2)[:, None]
    return (slope[None] * np.array([0.4, 1.0, 1.0, 0.6])[:, None, None]).astype(np.float32)


def noisy_planes(clean: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same with the noise."""
    rng = np.random.default_rng(0)
    return (clean + rng.normal(0, 1, clean.shape) * np.sqrt(NOISE.variance(clean))).astype(np.float32)


def test_a_method_takes_planes_of_odd_sizes_closer_to_the_clean_ones(baseline: Baseline) -> None:
    clean = clean_planes()
    noisy = noisy_planes(clean)
    denoised = baseline(noisy, NOISE)
    assert denoised.shape == clean.shape
    assert denoised.dtype == np.float32
    assert psnr(denoised, clean) > psnr(noisy, clean) + 2.5


def test_a_method_gives_the_same_again_and_leaves_its_input_alone(baseline: Baseline) -> None:
    noisy = noisy_planes(clean_planes())
    before = noisy.copy()
    np.testing.assert_array_equal(baseline(noisy, NOISE), baseline(noisy, NOISE))
    np.testing.assert_array_equal(noisy, before)


def test_a_method_keeps_the_planes_apart(baseline: Baseline) -> None:
    clean = np.broadcast_to(np.array([0.1, 0.3, 0.5, 0.7], dtype=np.float32)[:, None, None], (4, 32, 32))
    means = baseline(noisy_planes(clean), NOISE).mean(axis=(1, 2))
    np.testing.assert_allclose(means, [0.1, 0.3, 0.5, 0.7], atol=0.005)


@pytest.mark.parametrize("name", ANY_SENSOR)
@pytest.mark.parametrize("sensor", ["x-trans", "monochrome"])
def test_a_whole_mosaic_of_any_sensor(sensor: SensorKind, name: str) -> None:
    """Twelve cells of X-Trans are few for planes of their own; whole, they are as many photosites as anybody's."""
    pytest.importorskip("bm3d", reason="BM3D is not installed: pip install 'photosite[benchmark]'")
    cell = CELLS[sensor]
    rows, columns = 72 // cell.side, 60 // cell.side
    means = np.array([{"R": 0.2, "G": 0.5, "B": 0.3, "Y": 0.4}[colour] for colour in cell.plane_colours])
    clean = np.broadcast_to(means[:, None, None], (cell.channels, rows, columns)).astype(np.float32)
    rng = np.random.default_rng(0)
    noisy = (clean + rng.normal(0, 1, clean.shape) * np.sqrt(NOISE.variance(clean, cell))).astype(np.float32)
    denoised = load_baseline(name, sensor)(noisy, NOISE)
    assert psnr(denoised, clean) > psnr(noisy, clean) + 10
    with pytest.raises(ConfigError, match=f"nl-means knows Bayer mosaics alone, not {sensor} ones"):
        load_baseline("nl-means", sensor)


@pytest.mark.parametrize("count", TRANSFORMS)
def test_join_inverts_separate_and_noise_stays_white(count: int) -> None:
    planes = np.random.default_rng(0).normal(0, 1, (count, 5, 7))
    np.testing.assert_allclose(join(separate(planes)), planes, atol=1e-12)
    np.testing.assert_allclose(TRANSFORMS[count] @ TRANSFORMS[count].T, np.eye(count), atol=1e-12)


@pytest.mark.parametrize("name", ["bm3d", "bm3d-colour"])
def test_a_missing_bm3d_is_named_with_its_terms(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bm3d", None)
    monkeypatch.delitem(sys.modules, "training.baselines.bm3d", raising=False)
    with pytest.raises(ConfigError, match=r"needs bm3d, .*photosite\[benchmark\].*non-commercial"):
        load_baseline(name)


def test_an_unknown_method_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="no 'bm4d'; there are bm3d, "):
        load_baseline("bm4d")
