"""Raws that quality is judged on: patterns, levels, clipping, and that what is called true noise is the noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from training.datasets.held_out_raws import (
    BLOCK,
    FILE_LEVELS,
    LEVELS,
    SIDE,
    Scene,
    clean_planes,
    expose,
    held_out_pictures,
    make_cases,
    make_scene,
    phone_level,
    prior_level,
    store,
    stored_noise,
)
from training.datasets.splits import CID22, CLIC_2025, HELD_OUT, KODAK
from training.errors import ConfigError
from training.planes import pack_signal
from training.raw.bayer import CFA_PATTERNS, pack, unify
from training.raw.patterns import phase_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from training.raw.bayer import CfaPattern
    from training.raw.cells import SensorKind


def write_picture(path: Path, height: int = 300, width: int = 400) -> Path:
    """A smooth coloured picture."""
    down, across = np.mgrid[:height, :width] / max(height, width)
    picture = np.stack([200 * down, 220 * across, 255 * (1 - down)], axis=-1)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.astype(np.uint8)).save(path)
    return path


def scene(
    clean: NDArray[np.float32], cfa_pattern: CfaPattern = "RGGB", bits: int = 14, corner: tuple[int, int] = (0, 0)
) -> Scene:
    """A scene of this mosaic with one block."""
    return Scene(name="a", group="b", clean=clean, cfa_pattern=cfa_pattern, bits=bits, corners=(corner,))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raws of 64×64 photosites with blocks of 32×32, where their size does not matter."""
    monkeypatch.setattr("training.datasets.held_out_raws.SIDE", 64)
    monkeypatch.setattr("training.datasets.held_out_raws.BLOCK", 32)


def test_the_benchmark_has_the_pictures_it_promises() -> None:
    assert (len(CLIC_2025), len(CID22), len(KODAK)) == (8, 21, 24)
    assert HELD_OUT == CLIC_2025 | CID22 | KODAK


def test_where_some_pictures_are_held_out_only_they_are_judged_on(tmp_path: Path) -> None:
    seen, held_out = write_picture(tmp_path / "x" / "seen.png"), write_picture(tmp_path / "y" / "kodim01.png")
    assert held_out_pictures(tmp_path) == [held_out]
    assert held_out_pictures(tmp_path / "x") == [seen]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="none in"):
        held_out_pictures(tmp_path / "empty")


def test_a_scene_is_decided_by_its_name_and_has_a_megapixel(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "kodim01.png")
    one, again = make_scene(path, blocks=2), make_scene(path, blocks=2)
    np.testing.assert_array_equal(one.clean, again.clean)
    assert one.corners == again.corners
    assert one.clean.shape == (SIDE, SIDE)
    assert one.clean.dtype == np.float32
    assert 0 <= one.clean.min() < one.clean.max() <= 1
    assert len(set(one.corners)) == 2
    assert all(row % 2 == column % 2 == 0 and max(row, column) <= SIDE - BLOCK for row, column in one.corners)


def test_all_patterns_and_both_depths_occur_in_the_benchmark(tmp_path: Path, small: None) -> None:
    names = sorted(HELD_OUT)[:16]
    scenes = [make_scene(write_picture(tmp_path / f"{name}.png", 64, 64)) for name in names]
    assert {each.cfa_pattern for each in scenes} == set(CFA_PATTERNS)
    assert {each.bits for each in scenes} == set(FILE_LEVELS)


def test_blocks_are_drawn_where_the_picture_is_not_white(tmp_path: Path) -> None:
    picture = np.full((600, 600, 3), 255, dtype=np.uint8)
    picture[:, :300] = 90
    Image.fromarray(picture).save(tmp_path / "half.png")
    half = make_scene(tmp_path / "half.png", blocks=8)
    for row, column in half.corners:
        assert np.mean(half.clean[row : row + BLOCK, column : column + BLOCK] >= 1) < 0.5


@pytest.mark.parametrize("bits", FILE_LEVELS)
def test_the_true_noise_is_what_the_file_shows(bits: int) -> None:
    grey = scene(np.full((SIDE, SIDE), 0.3, dtype=np.float32), bits=bits)
    for level in (prior_level(2e-5), phone_level(800)):
        packed = pack_signal(expose(grey, level))
        noise = stored_noise(level, grey.levels)
        measured = float(packed.var(axis=(1, 2)).mean())
        assert measured == pytest.approx(float(noise.variance(np.full((4, 1, 1), 0.3)).mean()), rel=0.01)
        assert float(packed.mean()) == pytest.approx(0.3, abs=1e-4)


def test_a_file_ends_at_white_and_at_its_own_zero() -> None:
    ends = np.concatenate([np.full((2, 4), -1.0), np.full((2, 4), 2.0)]).astype(np.float32)
    raw = store(ends, scene(ends, bits=10))
    assert raw.mosaic.tolist() == [[0] * 4] * 2 + [[1023] * 4] * 2
    np.testing.assert_allclose(np.unique(pack_signal(raw)), [-64 / 959, 1], rtol=1e-6)


def test_noise_grows_from_level_to_level_and_is_the_same_again() -> None:
    assert [level.shot_noise for level in LEVELS] == sorted(level.shot_noise for level in LEVELS)
    assert [level.name for level in LEVELS[1:-1]] == [f"ISO {iso}" for iso in (100, 400, 800, 1600, 3200, 6400)]
    assert (LEVELS[3].shot_noise, LEVELS[3].read_noise) == pytest.approx((5.0917e-4, 1.1871e-6), rel=1e-3)
    grey = scene(np.full((64, 64), 0.3, dtype=np.float32))
    first, second = (expose(grey, LEVELS[0]).mosaic for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert (first != expose(grey, LEVELS[1]).mosaic).any()


@pytest.mark.parametrize("cfa_pattern", CFA_PATTERNS)
def test_a_block_is_cut_out_of_its_raw_in_its_pattern(cfa_pattern: CfaPattern) -> None:
    clean = np.random.default_rng(0).uniform(0.2, 0.8, (BLOCK + 64, BLOCK + 64)).astype(np.float32)
    seen = scene(clean, cfa_pattern, corner=(4, 10))
    (case,) = make_cases(seen, LEVELS[0], expose(seen, LEVELS[0]))
    np.testing.assert_array_equal(case.clean, clean[4 : 4 + BLOCK, 10 : 10 + BLOCK])
    perfect = pack(unify(case.clean, cfa_pattern))
    assert case.packed.shape == perfect.shape
    np.testing.assert_array_equal(case.mosaic(perfect), case.clean)
    assert float(np.abs(case.mosaic(case.packed) - case.clean).mean()) < 0.004


def test_clean_planes_are_the_scene_packed(tmp_path: Path, small: None) -> None:
    path = write_picture(tmp_path / "kodim05.png")
    seen = make_scene(path)
    np.testing.assert_array_equal(clean_planes(path), pack(unify(seen.clean, seen.cfa_pattern)))


@pytest.mark.parametrize("sensor", ["x-trans", "monochrome"])
def test_blocks_of_other_sensors(sensor: SensorKind, tmp_path: Path, small: None) -> None:
    seen = make_scene(write_picture(tmp_path / "kodim05.png"), blocks=2, sensor=sensor)
    phase = phase_of(seen.cfa_pattern)
    assert phase.cell.kind == sensor
    for case in make_cases(seen, LEVELS[0], expose(seen, LEVELS[0])):
        assert case.packed.shape[0] == phase.cell.channels
        difference = case.mosaic(case.packed) - case.clean
        assert float(np.sqrt(np.mean(np.square(difference)))) < 0.006
    planes = clean_planes(tmp_path / "kodim05.png", sensor)
    assert planes.shape[0] == phase.cell.channels
