"""What several tests ask for: the optional data folder, and programs nobody here wrote."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy, as the commands do: the same sums to the last bit
_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Look for no doctests in tests: where a test's import fails, that would skip the file instead of failing it.

    Whoever looks first imports, forgives (`--doctest-ignore-import-errors` is meant for optional parts of our
    packages), and leaves half a module behind, which pytest's own look at the tests then takes for all there is.
    """
    found = yield
    if not file_path.name.startswith("test_"):
        return found
    return [collector for collector in found if type(collector).__name__ != "DoctestModule"]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder ../shared/data beside the repository; skips where it is missing."""
    if not _DATA.is_dir():
        pytest.skip("the optional data folder ../shared/data is missing")
    return _DATA


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """Find a program on PATH: skips where it is missing, fails where CI is set."""

    def find(name: str) -> str:
        found = shutil.which(name)
        if found is None and os.environ.get("CI"):
            pytest.fail(f"{name} is not installed")
        if found is None:
            pytest.skip(f"{name} is not installed")
        return found

    return find


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For tiny networks, which wait longer for a second thread than they compute."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
