"""MATLAB files of both kinds read alike; broken ones are named with what was expected and found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.io import savemat
from sidd_factory import write_hdf5, write_metadata, write_metadata_hdf5

from training.datasets.matlab import array_shape, read_array, read_struct, walk
from training.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

ARRAY = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def write(path: Path, kind: str) -> Path:
    """The array as variable x."""
    if kind == "7.3":
        write_hdf5(path, "x", ARRAY)
    else:
        savemat(path, {"x": ARRAY}, do_compression=kind == "5 compressed")
    return path


@pytest.mark.parametrize("kind", ["5", "5 compressed", "7.3"])
def test_both_kinds_give_the_array_as_matlab_shows_it(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a.mat", kind)
    assert array_shape(path, "x") == (2, 3, 4)
    np.testing.assert_array_equal(read_array(path, "x"), ARRAY)


@pytest.mark.parametrize("kind", ["5", "7.3"])
def test_a_missing_variable_is_named_with_those_that_are_there(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a.mat", kind)
    for read in (array_shape, read_array):
        with pytest.raises(ConfigError, match=r"a\.mat: expected the variable y, found x"):
            read(path, "y")


@pytest.mark.parametrize("kind", ["5", "5 compressed", "7.3"])
def test_half_a_file_is_named_with_its_size(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a.mat", kind)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(ConfigError, match=rf"a\.mat: expected .*x, found {len(content) * 2 // 3} bytes"):
        read_array(path, "x")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x00" * 600, b"<html>not found</html>" * 50])
def test_what_is_no_matlab_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(content)
    for read in (array_shape, read_array):
        with pytest.raises(ConfigError, match=r"a\.mat: expected a MATLAB file with x, found \d+ bytes"):
            read(path, "x")
    with pytest.raises(ConfigError, match=r"a\.mat: expected a MATLAB file"):
        read_struct(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a\.mat: expected .* found no such file"):
        array_shape(tmp_path / "a.mat", "x")


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"x": np.array([[1.0, np.nan]])})
    with pytest.raises(ConfigError, match="expected finite numbers in x"):
        read_array(tmp_path / "a.mat", "x")


@pytest.mark.parametrize("kind", ["5", "7.3"])
def test_nested_tags_are_found_in_both_kinds(tmp_path: Path, kind: str) -> None:
    writer = write_metadata if kind == "5" else write_metadata_hdf5
    writer(tmp_path / "m.MAT", (1, 0, 2, 1), (1e-3, 1e-6))
    structs = list(walk(read_struct(tmp_path / "m.MAT")))
    values = {int(np.ravel(s["ID"])[0]): np.ravel(s["Value"]).tolist() for s in structs if "ID" in s}
    assert values[33422] == [1, 0, 2, 1]
    assert values[51041] == [1e-3, 1e-6]
    assert next(s["Make"] for s in structs if "Make" in s) == "Phantom"
