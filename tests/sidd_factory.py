"""Makes files in SIDD's layout from nothing: scene folders in MATLAB 7.3, metadata in both kinds, block files.

In the flow of the tests: **make_scene, make_blocks** → training.datasets.

Source: the layout that SIDD's files have: variable x as HDF5 shows it, transposed; tags by number in UnknownTags, a
struct array, in 7.3 as object references.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from scipy.io import savemat

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

WHITE, BLACK = 1023, 64
SHOT, READ = 2e-3, 4e-6
NAME = "0001_001_S6_00100_00060_3200_L"


def clean_mosaic(height: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    """(height, width) float32 in [0, 1]: smooth, different everywhere."""
    phase = np.random.default_rng(seed).uniform(0, 6, 2)
    waves = np.add.outer(np.sin(np.arange(height) / 23 + phase[0]), np.cos(np.arange(width) / 31 + phase[1]))
    return (0.45 + 0.2 * waves).astype(np.float32)


def noisy_mosaic(clean: NDArray[np.float32], seed: int = 0) -> NDArray[np.float32]:
    """The clean mosaic with noise, in a 10-bit camera's steps, cut off at black and white."""
    rng = np.random.default_rng(seed)
    noisy = clean + rng.normal(0, 1, clean.shape) * np.sqrt(SHOT * clean + READ)
    steps = WHITE - BLACK
    return (np.clip(np.rint(noisy * steps), 0, steps) / steps).astype(np.float32)


def write_hdf5(path: Path, key: str, array: NDArray[Any]) -> None:
    """A numeric variable in a MATLAB 7.3 file, its axes reversed as MATLAB stores them."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset(key, data=array.T, compression="gzip")
        file[key].attrs["MATLAB_class"] = np.bytes_("single")
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


def write_metadata(path: Path, cfa: Sequence[int] | None, noise_profile: Sequence[float] | None) -> None:
    """A metadata file of the older kind, tags nested as MATLAB's imfinfo nests them."""
    tags = [{"ID": 271, "Value": "Phantom"}]
    tags += [] if cfa is None else [{"ID": 33422, "Value": np.array(cfa, dtype=np.uint8)}]
    tags += [] if noise_profile is None else [{"ID": 51041, "Value": np.array(noise_profile)}]
    struct = {
        "Make": "Phantom",
        "SubIFDs": np.array([{"UnknownTags": np.array(tags, dtype=object)}], dtype=object),
        "BlackLevel": np.array([BLACK] * 4),
        "WhiteLevel": WHITE,
    }
    savemat(path, {"metadata": struct})


def write_metadata_hdf5(path: Path, cfa: Sequence[int], noise_profile: Sequence[float]) -> None:
    """A metadata file of the newer kind: UnknownTags is a group of references, one for each tag."""
    with h5py.File(path, "w", userblock_size=512) as file:
        group = file.create_group("metadata")
        group.create_dataset("BlackLevel", data=np.full((4, 1), float(BLACK)))
        group.create_dataset("WhiteLevel", data=[[float(WHITE)]])
        make = group.create_dataset("Make", data=np.array([[ord(letter)] for letter in "Phantom"], dtype=np.uint16))
        make.attrs["MATLAB_class"] = np.bytes_("char")
        tags = group.create_group("UnknownTags")
        references = {"ID": [], "Value": []}
        for number, value in ((33422, cfa), (51041, noise_profile)):
            for field, content in (("ID", [number]), ("Value", value)):
                place = file.create_dataset(f"#refs#/{field}{number}", data=np.array(content, dtype=float)[:, None])
                references[field].append(place.ref)
        for field, targets in references.items():
            tags.create_dataset(field, data=np.array([targets], dtype=h5py.ref_dtype))


def make_scene(
    folder: Path,
    name: str = NAME,
    *,
    shape: tuple[int, int] = (120, 150),
    frames: int = 2,
    cfa: Sequence[int] | None = (1, 0, 2, 1),
    noise_profile: Sequence[float] | None = (SHOT, READ),
    metadata: bool = True,
) -> Path:
    """A scene instance's folder; frame n has the numbers 010, 011 …."""
    scene = folder / name
    scene.mkdir(parents=True)
    clean = clean_mosaic(*shape)
    for frame in range(frames):
        stem, suffix = name[:4], f"RAW_{10 + frame:03}.MAT"
        write_hdf5(scene / f"{stem}_NOISY_{suffix}", "x", noisy_mosaic(clean, seed=frame))
        write_hdf5(scene / f"{stem}_GT_{suffix}", "x", clean)
        if metadata:
            write_metadata(scene / f"{stem}_METADATA_{suffix}", cfa, noise_profile)
    return scene


def make_blocks(
    folder: Path, images: int = 2, blocks: int = 3, size: int = 96, *, benchmark: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Validation files, and the benchmark's where wanted, of any size; returns noisy and clean blocks."""
    clean = np.stack([clean_mosaic(size, size, seed=index) for index in range(images * blocks)])
    noisy = np.stack([noisy_mosaic(block, seed=index) for index, block in enumerate(clean)])
    noisy, clean = (array.reshape(images, blocks, size, size) for array in (noisy, clean))
    savemat(folder / "ValidationNoisyBlocksRaw.mat", {"ValidationNoisyBlocksRaw": noisy})
    savemat(folder / "ValidationGtBlocksRaw.mat", {"ValidationGtBlocksRaw": clean}, do_compression=True)
    if benchmark:
        write_hdf5(folder / "BenchmarkNoisyBlocksRaw.mat", "BenchmarkNoisyBlocksRaw", noisy)
    names = [f"{index:04}_001_{'GP' if index % 2 else 'IP'}_00400_00100_3200_N" for index in range(images)]
    (folder / "names.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    return noisy, clean
