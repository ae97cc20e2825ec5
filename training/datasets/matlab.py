"""MATLAB files of either kind: 5 (read by scipy) and 7.3 (HDF5), their arrays and structs as MATLAB shows them.

HDF5 holds MATLAB's arrays with their axes reversed, which is undone here, once.

In the flow: **.mat** → SIDD's mosaics and what is known about them.

Source: "MAT-File Format", MathWorks, for version 5; version 7.3 as h5py shows it: the attribute MATLAB_class names the
type, cells and struct arrays hold object references.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from scipy.io import loadmat, whosmat
from scipy.io.matlab import MatReadError

from training.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_UNREADABLE = (OSError, ValueError, TypeError, KeyError, IndexError, NotImplementedError, MatReadError, zlib.error)
"""What the two libraries raise on files that are no MATLAB files, or only half of one."""


def array_shape(path: Path, key: str) -> tuple[int, ...]:
    """The shape of a variable, as MATLAB shows it, without reading it.

    Raises:
        ConfigError: The file cannot be read or lacks it; names the file, what was expected and what was found.
    """
    try:
        if not h5py.is_hdf5(path):
            shapes = {name: shape for name, shape, _ in whosmat(path)}
        else:
            with h5py.File(path) as file:
                shapes = {name: item.shape[::-1] for name, item in file.items() if isinstance(item, h5py.Dataset)}
    except _UNREADABLE as error:
        raise _unreadable(path, key, error) from error
    if key not in shapes:
        raise _missing(path, key, list(shapes))
    return tuple(int(length) for length in shapes[key])


def read_array(path: Path, key: str) -> NDArray[np.float32]:
    """A numeric variable as float32, its axes as MATLAB shows them.

    Raises:
        ConfigError: See `array_shape`; or it holds something that is no finite number.
    """
    try:
        if h5py.is_hdf5(path):
            with h5py.File(path) as file:
                found = None if key not in file else file[key][()].T
                names = list(file)
        else:
            variables = loadmat(path, variable_names=[key])
            found, names = variables.get(key), [name for name, *_ in whosmat(path)]
        if found is None:
            raise _missing(path, key, names)
        array = np.asarray(found, dtype=np.float32)
    except _UNREADABLE as error:
        raise _unreadable(path, key, error) from error
    if not np.isfinite(array).all():
        raise ConfigError(f"dataset: {path}: expected finite numbers in {key}, found others")
    return array


def read_struct(path: Path) -> dict[str, Any]:
    """All variables of a file as dictionaries, lists, texts and arrays.

    Raises:
        ConfigError: The file cannot be read.
    """
    try:
        if h5py.is_hdf5(path):
            with h5py.File(path) as file:
                return {name: _plain(item, file) for name, item in file.items() if not name.startswith("#")}
        return dict(loadmat(path, simplify_cells=True))
    except _UNREADABLE as error:
        raise _unreadable(path, "a struct", error) from error


def walk(tree: Any) -> Iterator[dict[str, Any]]:
    """Every struct in a tree from `read_struct`, outer ones first."""
    if isinstance(tree, dict):
        yield tree
        for value in tree.values():
            yield from walk(value)
    elif isinstance(tree, np.ndarray) and tree.dtype == object:
        yield from walk(tree.ravel().tolist())
    elif isinstance(tree, list):
        for value in tree:
            yield from walk(value)


def _plain(item: Any, file: h5py.File) -> Any:
    """A group as a dictionary, references as what they point to, characters as text, numbers as an array."""
    if isinstance(item, h5py.Group):
        return _struct({name: _plain(value, file) for name, value in item.items()})
    if item.attrs.get("MATLAB_empty"):
        return np.empty(0)
    values = item[()]
    if item.dtype == h5py.ref_dtype:
        return [_plain(file[reference], file) for reference in np.ravel(values.T, order="F")]
    if item.attrs.get("MATLAB_class") == b"char":
        return "".join(chr(character) for character in np.ravel(values.T, order="F"))
    return np.asarray(values).T


def _struct(fields: dict[str, Any]) -> dict[str, Any] | list[dict[str, Any]]:
    """A struct; or, where every field is a list of references, the array of structs that it is."""
    if not fields or not all(isinstance(value, list) for value in fields.values()):
        return fields
    return [dict(zip(fields, values, strict=True)) for values in zip(*fields.values(), strict=False)]


def _missing(path: Path, key: str, names: list[str]) -> ConfigError:
    return ConfigError(f"dataset: {path}: expected the variable {key}, found {', '.join(names) or 'none'}")


def _unreadable(path: Path, key: str, error: Exception) -> ConfigError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    size = path.stat().st_size if path.is_file() else None
    found = "no such file" if size is None else f"{size} bytes that cannot be read ({reason})"
    return ConfigError(f"dataset: {path}: expected a MATLAB file with {key}, found {found}")
