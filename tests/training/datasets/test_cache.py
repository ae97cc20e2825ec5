"""The cache: exact, found again, and never half there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.datasets.cache import MosaicCache, Steps, smallest_exact
from training.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file to keep something for."""
    path = tmp_path / "frame.MAT"
    path.write_bytes(b"content")
    return path


@given(
    offset=st.integers(0, 4000),
    divisor=st.integers(1, 65535),
    numbers=st.lists(st.integers(0, 65535), min_size=1, max_size=20),
)
def test_what_has_steps_is_kept_in_16_bits_exactly(offset: int, divisor: int, numbers: list[int]) -> None:
    steps = Steps(offset=offset, divisor=divisor)
    values = steps.decode(np.array(numbers, dtype=np.uint16))
    stored, used = smallest_exact(values, steps)
    assert used == steps
    assert stored.dtype == np.uint16
    np.testing.assert_array_equal(steps.decode(stored), values)


@pytest.mark.parametrize("values", [[0.1, 0.2], [-0.001, 0.1], [1e6, 0.1], [1e-9, 0.3]])
def test_what_16_bits_cannot_hold_stays_as_it_is(values: list[float]) -> None:
    array = np.array(values, dtype=np.float32)
    stored, used = smallest_exact(array, Steps(divisor=1023))
    assert used is None
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, array)


def test_an_entry_gives_back_values_parts_and_facts(tmp_path: Path, source: Path) -> None:
    store = MosaicCache(tmp_path / "cache")
    array = (np.arange(48, dtype=np.float32) / 100).reshape(6, 8)
    store.add(source, array, {"noise": [0.1, 0.2]}, Steps(divisor=100))
    found = store.find(source)
    assert found is not None
    assert found.shape == (6, 8)
    assert found.facts == {"noise": [0.1, 0.2]}
    assert np.load(found.path, mmap_mode="r").dtype == np.uint16
    np.testing.assert_array_equal(found.read(), array)
    np.testing.assert_array_equal(found.read((slice(2, 4), slice(1, 3))), array[2:4, 1:3])
    assert found.read().dtype == np.float32


def test_a_changed_file_is_another_entry(tmp_path: Path, source: Path) -> None:
    store = MosaicCache(tmp_path / "cache")
    store.add(source, np.ones((2, 2), dtype=np.float32), {})
    os.utime(source, ns=(0, 0))
    assert store.find(source) is None
    os.utime(source, ns=(0, 0))
    store.add(source, np.zeros((2, 2), dtype=np.float32), {})
    source.write_bytes(b"longer content")
    os.utime(source, ns=(0, 0))
    assert store.find(source) is None


def test_files_of_one_name_in_two_folders_do_not_meet(tmp_path: Path, source: Path) -> None:
    other = tmp_path / "other" / source.name
    other.parent.mkdir()
    other.write_bytes(source.read_bytes())
    store = MosaicCache(tmp_path / "cache")
    store.add(source, np.ones((2, 2), dtype=np.float32), {})
    assert store.find(other) is None


def test_an_entry_without_its_facts_does_not_exist(tmp_path: Path, source: Path) -> None:
    store = MosaicCache(tmp_path / "cache")
    entry = store.add(source, np.ones((2, 2), dtype=np.float32), {})
    facts = entry.path.with_suffix(".json")
    facts.write_text(facts.read_text()[:10])
    assert store.find(source) is None
    facts.unlink()
    assert store.find(source) is None


def test_a_failed_write_leaves_nothing(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.lib.format.write_array", full)
    store = MosaicCache(tmp_path / "cache")
    with pytest.raises(ConfigError, match=r"cache: .* cannot be written to: No space left on device"):
        store.add(source, np.ones((2, 2), dtype=np.float32), {})
    assert list((tmp_path / "cache").iterdir()) == []
