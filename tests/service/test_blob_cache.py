"""The cache of copies: bounded, and nothing that may be in use is deleted."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from service.blob_cache import FRESH_S, IDLE_S, BlobCache
from service.storage import BlobKey

if TYPE_CHECKING:
    from pathlib import Path

OLD_S = FRESH_S + 60


@pytest.fixture
def cache(tmp_path: Path) -> BlobCache:
    return BlobCache(tmp_path / "cache", limit_bytes=100)


def key(number: int) -> BlobKey:
    """A blob's name."""
    return BlobKey("studio", f"{number:064x}")


def fill(cache: BlobCache, tmp_path: Path, *copies: tuple[int, float]) -> None:
    """Put copies 0, 1 … into the cache, past its bounds; each of so many bytes, used so many seconds ago."""
    for number, (size, used_s_ago) in enumerate(copies):
        path = cache._root / "tenants" / "studio" / "00" / "00" / key(number).sha256
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
        os.utime(path, (time.time() - used_s_ago, time.time() - used_s_ago))


def kept(cache: BlobCache) -> list[int]:
    """The keys that are in the cache."""
    return sorted(int(path.name, 16) for path in (cache._root / "tenants").rglob("*") if path.is_file())


def test_what_is_added_is_found_until_it_is_removed(cache: BlobCache, tmp_path: Path) -> None:
    assert cache.find(key(0)) is None
    (tmp_path / "file").write_bytes(b"data")
    path = cache.add(tmp_path / "file", key(0))
    assert cache.find(key(0)) == path
    assert path.read_bytes() == b"data"
    cache.remove(key(0))
    cache.remove(key(0))
    assert cache.find(key(0)) is None


@pytest.mark.parametrize(
    ("copies", "wanted", "left"),
    [
        ([(50, OLD_S), (50, OLD_S + 1)], 0, [0, 1]),
        ([(50, OLD_S), (50, OLD_S + 1)], 1, [0]),
        ([(50, OLD_S + 1), (50, OLD_S)], 51, []),
        ([(50, OLD_S), (20, OLD_S + 2), (20, OLD_S + 1)], 30, [0, 2]),
        ([(60, 10), (60, 20)], 60, [0, 1]),
        ([(60, 10), (60, 20), (60, 30)], 60, [0, 1]),
        ([(60, 10), (60, OLD_S), (60, 30)], 60, [0, 2]),
        ([(10, IDLE_S + 60), (10, IDLE_S - 60)], 0, [1]),
        ([], 1000, []),
    ],
    ids=[
        "full",
        "one too many",
        "all must go",
        "the oldest suffices",
        "fresh ones may fill it twice",
        "fresh ones may not fill it thrice",
        "old before fresh",
        "idle",
        "empty",
    ],
)
def test_room_is_made_by_the_least_recently_used(
    copies: list[tuple[int, float]], wanted: int, left: list[int], cache: BlobCache, tmp_path: Path
) -> None:
    fill(cache, tmp_path, *copies)
    cache.make_room(wanted)
    assert kept(cache) == left


def test_being_found_counts_as_use(cache: BlobCache, tmp_path: Path) -> None:
    for number in (0, 1):
        (tmp_path / "file").write_bytes(b"x" * 40)
        path = cache.add(tmp_path / "file", key(number))
        os.utime(path, (time.time() - OLD_S, time.time() - OLD_S))
    cache.find(key(0))
    cache.make_room(60)
    assert kept(cache) == [0]


def test_what_is_added_makes_room_for_itself_and_stays(cache: BlobCache, tmp_path: Path) -> None:
    fill(cache, tmp_path, (90, OLD_S))
    (tmp_path / "file").write_bytes(b"x" * 500)
    assert cache.add(tmp_path / "file", key(1)).stat().st_size == 500
    assert kept(cache) == [1]
