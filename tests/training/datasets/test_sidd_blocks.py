"""SIDD's blocks: the files' own pixels, read image by image, with the names that belong to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.io import savemat
from sidd_factory import make_blocks

from training.datasets.sidd_blocks import count_images, open_blocks
from training.datasets.sidd_scenes import BENCHMARK_SCENES
from training.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def test_validation_and_benchmark_blocks_are_read_by_image(tmp_path: Path) -> None:
    noisy, clean = make_blocks(tmp_path, benchmark=True)
    validation, benchmark = open_blocks(tmp_path)
    assert (validation.name, benchmark.name) == ("validation", "benchmark")
    assert validation.shape == benchmark.shape == (2, 3, 96, 96)
    for image in range(2):
        np.testing.assert_array_equal(validation.noisy_blocks(image), noisy[image])
        np.testing.assert_array_equal(validation.clean_blocks(image), clean[image])
        np.testing.assert_array_equal(benchmark.noisy_blocks(image), noisy[image])
        assert benchmark.clean_blocks(image) is None


def test_images_are_counted_without_reading_them(tmp_path: Path) -> None:
    make_blocks(tmp_path, benchmark=True)
    assert count_images(tmp_path) == sum(blocks.shape[0] for blocks in open_blocks(tmp_path, cache=tmp_path / "c")) == 4
    (tmp_path / "ValidationGtBlocksRaw.mat").unlink()
    with pytest.raises(ConfigError, match="ValidationGtBlocksRaw"):
        count_images(tmp_path)


def test_an_image_is_stored_in_one_piece(tmp_path: Path) -> None:
    make_blocks(tmp_path)
    blocks = open_blocks(tmp_path)[0]
    assert np.load(blocks.noisy.path, mmap_mode="r").flags.c_contiguous


def test_the_folders_own_names_win_over_numbers(tmp_path: Path) -> None:
    make_blocks(tmp_path)
    blocks = open_blocks(tmp_path)[0]
    assert [(scene.camera, scene.iso) for scene in blocks.scenes] == [("IP", 400), ("GP", 400)]
    assert blocks.patterns == ("RGGB", "BGGR")


def test_forty_images_are_sidds_own(tmp_path: Path) -> None:
    make_blocks(tmp_path, images=40, blocks=1, size=32)
    (tmp_path / "names.txt").unlink()
    blocks = open_blocks(tmp_path, patterns={"S6": "GBRG"})[0]
    assert tuple(scene.name for scene in blocks.scenes) == BENCHMARK_SCENES
    assert blocks.patterns[:3] == ("GBRG", "BGGR", "BGGR")


def test_images_without_a_camera_need_a_pattern(tmp_path: Path) -> None:
    make_blocks(tmp_path)
    (tmp_path / "names.txt").unlink()
    with pytest.raises(ConfigError, match=r"image 1: expected one of the cameras .* found none"):
        open_blocks(tmp_path)
    assert open_blocks(tmp_path, patterns={"": "GRBG"})[0].patterns == ("GRBG", "GRBG")


def test_a_folder_without_blocks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected ValidationNoisyBlocksRaw\.mat or .* found neither"):
        open_blocks(tmp_path)


def test_clean_blocks_of_another_shape_are_refused(tmp_path: Path) -> None:
    make_blocks(tmp_path)
    savemat(tmp_path / "ValidationGtBlocksRaw.mat", {"ValidationGtBlocksRaw": np.zeros((2, 3, 96, 64))})
    with pytest.raises(ConfigError, match=r"ValidationGtBlocksRaw\.mat: expected \(2, 3, 96, 96\) .* \(2, 3, 96, 64\)"):
        open_blocks(tmp_path)
    (tmp_path / "ValidationGtBlocksRaw.mat").unlink()
    with pytest.raises(ConfigError, match=r"ValidationGtBlocksRaw\.mat: .* found no such file"):
        open_blocks(tmp_path)
    assert not (tmp_path / ".photosite-cache").exists()


@pytest.mark.parametrize("shape", [(2, 96, 96), (2, 3, 95, 96), (2, 3, 16, 16)])
def test_arrays_that_are_no_blocks_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    savemat(tmp_path / "BenchmarkNoisyBlocksRaw.mat", {"BenchmarkNoisyBlocksRaw": np.zeros(shape)})
    with pytest.raises(ConfigError, match=r"BenchmarkNoisyBlocksRaw\.mat: expected blocks \(40, 32, 256, 256\)"):
        open_blocks(tmp_path)


def test_a_wrong_number_of_names_is_refused(tmp_path: Path) -> None:
    make_blocks(tmp_path)
    (tmp_path / "names.txt").write_text("one\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"names\.txt: expected 2 names, a line each, found 1"):
        open_blocks(tmp_path)
