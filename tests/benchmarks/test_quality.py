"""The quality benchmark's own parts: what is kept, what is left out and said, and what the tables say."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from benchmarks.quality.cache import ResultCache
from benchmarks.quality.golden_scenes import SCENES, draw_scene, heat
from benchmarks.quality.measuring import Row, find_baselines
from benchmarks.quality.tables import noise_table, quality_table

from training.evaluate import Quality
from training.noise import NoiseModel

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

NOISE = NoiseModel.uniform(shot_noise=1e-3, read_noise=1e-6)


class Halving:
    """A method that remembers what it was asked."""

    def __init__(self) -> None:
        self.told: list[NoiseModel] = []

    @property
    def calls(self) -> int:
        """How often it was asked."""
        return len(self.told)

    def __call__(self, packed: NDArray[np.float32], noise: NoiseModel) -> NDArray[np.float32]:
        """Half of everything."""
        self.told.append(noise)
        return packed / 2


def row(level: str, decibels: float, estimated: float, bm3d: tuple[float, float], **changes: object) -> Row:
    """A block with these figures."""
    found = {"noisy": 30.0, "bm3d": bm3d[0], "bm3d-colour": bm3d[1]}
    found |= {"m@1, true noise": decibels, "m@1, estimated noise": estimated}
    known = {"picture": "a", "group": "g", "level": level, "block": 0, "cfa_pattern": "RGGB", "bits": 14}
    ratios = {"shot_ratio": 1.1, "deviation_ratio": 1.05}
    columns = {name: Quality(value, value / 100) for name, value in found.items()}
    return Row(columns=columns, **(known | ratios | changes))


def cells(table: str, title: str) -> list[str]:
    """The cells of the row with this title."""
    (line,) = (line for line in table.splitlines() if line.startswith(f"| {title} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_kept_result_is_not_made_again(tmp_path: Path) -> None:
    packed, method = np.random.default_rng(0).random((4, 3, 5)).astype(np.float32), Halving()
    results = [ResultCache(tmp_path).denoise("half", method, packed, NOISE) for _ in range(2)]
    assert method.calls == 1
    for result in results:
        np.testing.assert_array_equal(result, packed / 2)


@pytest.mark.parametrize("change", ["name", "pixel", "noise"])
def test_a_result_is_kept_for_its_own_input_alone(tmp_path: Path, change: str) -> None:
    packed, method, cache = np.ones((4, 3, 5), dtype=np.float32), Halving(), ResultCache(tmp_path)
    cache.denoise("half", method, packed, NOISE)
    packed = packed + np.float32(change == "pixel")
    noise = NOISE.scaled(2) if change == "noise" else NOISE
    np.testing.assert_array_equal(cache.denoise("x" if change == "name" else "half", method, packed, noise), packed / 2)
    assert method.calls == 2


def test_nothing_is_kept_without_a_folder() -> None:
    method = Halving()
    for _ in range(2):
        ResultCache(None).denoise("half", method, np.ones((4, 2, 2), dtype=np.float32), NOISE)
    assert method.calls == 2


def test_what_is_not_installed_is_left_out_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bm3d", None)
    monkeypatch.delitem(sys.modules, "training.baselines.bm3d", raising=False)
    found, missing = find_baselines(["bm3d", "nl-means"], "bayer")
    assert list(found) == ["nl-means"]
    assert len(missing) == 1
    assert "bm3d" in missing[0]


def test_the_table_sets_the_model_against_the_better_bm3d() -> None:
    rows = [
        row("ISO 100", 50.0, 49.9, (48.0, 49.0)),
        row("ISO 100", 52.0, 51.7, (50.0, 50.4), group="h"),
        row("ISO 800", 44.0, 44.1, (45.0, 43.0)),
    ]
    table = quality_table(rows)
    assert cells(table, "ISO 100")[1:3] == ["2", "30.00 / 0.3000"]
    assert cells(table, "ISO 100")[-2:] == ["+1.30 / +0.0130", "-0.20 / -0.0020"]
    assert cells(table, "ISO 800")[-2:] == ["-1.00 / -0.0100", "+0.10 / +0.0010"]
    assert cells(table, "**mean**")[1] == "3"
    assert cells(table, "mean, h")[5] == "52.00 / 0.5200"


def test_the_noise_table_counts_what_could_not_be_estimated() -> None:
    rows = [
        row("ISO 100", 1, 1, (1, 1)),
        row("ISO 100", 1, 1, (1, 1), shot_ratio=None, deviation_ratio=None),
        row("ISO 100", 1, 1, (1, 1), block=1, shot_ratio=9.0),
    ]
    assert cells(noise_table(rows), "ISO 100") == ["ISO 100", "2", "1", "1.10 (1.10 … 1.10)", "1.05 (1.05 … 1.05)"]


@pytest.mark.parametrize("name", SCENES)
def test_every_drawn_scene_is_a_sensors_signal_and_the_same_again(name: str) -> None:
    scene = draw_scene(name, 96)
    assert scene.shape == (96, 96, 3)
    assert scene.min() >= 0
    assert scene.max() > scene.min()
    np.testing.assert_array_equal(scene, draw_scene(name, 96))


def test_the_scenes_show_what_they_are_named_after() -> None:
    assert draw_scene("clipped highlights", 96).max() > 1
    assert draw_scene("deep shadows", 96).max() < 0.1
    red, green, blue = np.moveaxis(draw_scene("saturated red and blue", 96), -1, 0)
    assert (np.maximum(red, blue) > 4 * green).mean() > 0.8
    hot = heat((96, 96)) > 0
    assert 0 < hot.sum() < 0.01 * hot.size
