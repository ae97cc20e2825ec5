"""SIDD-Medium: patches are the files' own pixels; a wrong data set is refused before anything is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
from sidd_factory import (
    BLACK,
    READ,
    SHOT,
    WHITE,
    clean_mosaic,
    make_scene,
    noisy_mosaic,
    write_hdf5,
    write_metadata,
    write_metadata_hdf5,
)

from training.config import TrainingConfig
from training.datasets.sidd import open_sidd, read_facts
from training.datasets.sidd_scenes import BENCHMARK_SCENES, CAMERAS, CFA_BY_CAMERA, parse_scene
from training.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def find(patch: NDArray[np.float32], mosaic: NDArray[np.float32], rows: int, columns: int) -> bool:
    """Whether the patch, in one of eight orientations, lies in a mosaic whose red is at (rows, columns)."""
    red = mosaic[rows::2, columns::2]
    for turns in range(4):
        for plane in (np.rot90(patch[0], turns), np.rot90(patch[0], turns)[::-1]):
            windows = np.lib.stride_tricks.sliding_window_view(red, plane.shape)
            if (windows == plane).all(axis=(2, 3)).any():
                return True
    return False


def test_a_patch_is_cut_from_the_files_at_the_same_place(tmp_path: Path) -> None:
    make_scene(tmp_path)
    data = open_sidd(tmp_path, patch_size=16)
    clean = clean_mosaic(120, 150)
    frames = [noisy_mosaic(clean, seed=frame) for frame in range(2)]
    for seed in range(6):
        patch = data.draw((0, seed))
        assert patch.clean is not None
        assert patch.second is not None
        assert patch.noisy.shape == patch.clean.shape == patch.second.shape == (4, 16, 16)
        assert find(patch.clean, clean, 0, 1)  # GRBG
        first = "_010" not in patch.source
        assert find(patch.noisy, frames[first], 0, 1)
        assert find(patch.second, frames[not first], 0, 1)
        deviation = np.sqrt(SHOT * patch.clean + READ)
        assert abs(float(np.mean((patch.noisy - patch.clean) / deviation))) < 0.2
        assert float(np.std((patch.noisy - patch.clean) / deviation)) == pytest.approx(1, abs=0.1)


def test_the_same_seed_draws_the_same_patch(tmp_path: Path) -> None:
    make_scene(tmp_path)
    data = open_sidd(tmp_path, patch_size=16)
    one, same, other = data.draw((1, 2)), data.draw((1, 2)), data.draw((1, 3))
    np.testing.assert_array_equal(one.noisy, same.noisy)
    assert one.source == same.source
    assert not np.array_equal(one.noisy, other.noisy)


def test_the_loop_takes_these_patches(tmp_path: Path) -> None:
    import torch

    from training.run.batches import draw_batch

    make_scene(tmp_path)
    config = TrainingConfig(preset="test", objective="supervised", patch_size=16, batch_size=2)
    data: Any = open_sidd(tmp_path, patch_size=16)
    batch = draw_batch(config, data, 0, torch.device("cpu"))
    assert batch.noisy.shape == (2, 4, 16, 16)
    assert float(batch.shot_noise[0, 0]) == pytest.approx(SHOT)


def test_a_second_opening_reads_no_matlab_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_scene(tmp_path)
    before = open_sidd(tmp_path, patch_size=16).draw((0, 0))

    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("training.datasets.sidd.read_array", refuse)
    np.testing.assert_array_equal(open_sidd(tmp_path, patch_size=16).draw((0, 0)).noisy, before.noisy)


def test_noisy_frames_are_cached_in_16_bits(tmp_path: Path) -> None:
    make_scene(tmp_path)
    data = open_sidd(tmp_path, patch_size=16, cache=tmp_path / "cache")
    assert np.load(data.pairs[0].noisy.path, mmap_mode="r").dtype == np.uint16
    np.testing.assert_array_equal(data.pairs[0].noisy.read(), noisy_mosaic(clean_mosaic(120, 150)))
    assert not (tmp_path / ".photosite-cache").exists()


def test_a_frame_alone_has_no_second(tmp_path: Path) -> None:
    make_scene(tmp_path, frames=1)
    assert open_sidd(tmp_path, patch_size=16).draw((0, 0)).second is None


@pytest.mark.parametrize(
    ("cfa", "metadata", "patterns", "expected"),
    [
        ((1, 2, 0, 1), True, {}, "GBRG"),
        ((1, 2, 0, 1), True, {"S6": "BGGR"}, "BGGR"),
        ((1, 2, 0, 1), True, {"GP": "BGGR"}, "GBRG"),
        (None, True, {}, "GRBG"),
        (None, False, {}, "GRBG"),
    ],
)
def test_the_pattern_comes_from_the_caller_the_metadata_or_the_camera(
    tmp_path: Path, cfa: Any, metadata: bool, patterns: Any, expected: str
) -> None:
    make_scene(tmp_path, cfa=cfa, metadata=metadata, shape=(520, 520), frames=1)
    assert open_sidd(tmp_path, patch_size=16, patterns=patterns).pairs[0].cfa_pattern == expected


def test_an_unknown_pattern_is_an_error_not_a_guess(tmp_path: Path) -> None:
    make_scene(tmp_path, "some_scene", metadata=False)
    with pytest.raises(ConfigError, match=r"expected a Bayer pattern .* found neither"):
        open_sidd(tmp_path, patch_size=16)


def test_noise_comes_from_the_profile_or_else_from_the_pixels(tmp_path: Path) -> None:
    make_scene(tmp_path, frames=1, shape=(520, 520))
    make_scene(tmp_path, "0002_001_IP_00100_00060_3200_L", frames=1, shape=(520, 520), metadata=False)
    given, estimated = open_sidd(tmp_path, patch_size=16).pairs
    assert (given.shot_noise, given.read_noise) == (SHOT, READ)
    assert pytest.approx(estimated.shot_noise * 0.5 + estimated.read_noise, rel=0.15) == SHOT * 0.5 + READ


def test_the_images_of_the_benchmark_are_never_trained_on(tmp_path: Path) -> None:
    make_scene(tmp_path, BENCHMARK_SCENES[0])
    with pytest.raises(ConfigError, match="found none to train on"):
        open_sidd(tmp_path, patch_size=16)
    make_scene(tmp_path)
    assert {pair.name[:4] for pair in open_sidd(tmp_path, patch_size=16).pairs} == {"0001"}


@pytest.mark.parametrize("kind", ["5", "7.3"])
def test_facts_are_read_from_both_kinds_of_metadata(tmp_path: Path, kind: str) -> None:
    writer = write_metadata if kind == "5" else write_metadata_hdf5
    writer(tmp_path / "m.MAT", (2, 1, 1, 0), (1e-3, 1e-6, 2e-3, 2e-6, 3e-3, 3e-6))
    facts = read_facts(tmp_path / "m.MAT")
    assert facts.cfa_pattern == "BGGR"
    assert facts.white == WHITE - BLACK
    assert facts.noise is not None
    assert facts.noise.to_profile() == pytest.approx((2e-3, 2e-6))


def test_metadata_that_says_nothing_useful_says_nothing(tmp_path: Path) -> None:
    write_metadata(tmp_path / "m.MAT", (0, 1, 2, 3), (0.0, -1.0))
    facts = read_facts(tmp_path / "m.MAT")
    assert facts.cfa_pattern is None
    assert facts.noise is None


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:4000])


def rename_variable(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.move("x", "y")


def shrink(path: Path) -> None:
    write_hdf5(path, "x", np.zeros((60, 60), dtype=np.float32))


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (truncate, r"expected a MATLAB file with x, found 4000 bytes that cannot be read"),
        (rename_variable, r"expected the variable x, found y"),
        (shrink, r"expected 120×150 as in 0001_NOISY_RAW_010\.MAT, found 60×60"),
        (lambda path: path.unlink(), r"expected a MATLAB file with x, found no such file"),
    ],
)
def test_a_wrong_file_is_named_before_anything_is_decoded(tmp_path: Path, damage: Any, found: str) -> None:
    scene = make_scene(tmp_path)
    damage(scene / "0001_GT_RAW_010.MAT")
    with pytest.raises(ConfigError, match=rf"0001_GT_RAW_010\.MAT: {found}"):
        open_sidd(tmp_path, patch_size=16)
    assert not (tmp_path / ".photosite-cache").exists()


def test_a_clean_frame_without_its_noisy_one_is_half_a_data_set(tmp_path: Path) -> None:
    (make_scene(tmp_path) / "0001_NOISY_RAW_011.MAT").unlink()
    with pytest.raises(ConfigError, match=r"0001_NOISY_RAW_011\.MAT: expected a noisy frame, found only its clean one"):
        open_sidd(tmp_path, patch_size=16)
    assert not (tmp_path / ".photosite-cache").exists()


def test_all_wrong_files_are_counted(tmp_path: Path) -> None:
    scene = make_scene(tmp_path, frames=7)
    for path in scene.glob("*_GT_*"):
        path.unlink()
    with pytest.raises(ConfigError, match="; and 2 more") as caught:
        open_sidd(tmp_path, patch_size=16)
    assert caught.value.message.count("_GT_RAW_") == 5


def test_a_mosaic_too_small_for_a_patch_is_refused(tmp_path: Path) -> None:
    make_scene(tmp_path)
    with pytest.raises(ConfigError, match="expected a mosaic of at least 131×131, found 120×150"):
        open_sidd(tmp_path, patch_size=64)


def test_noise_cannot_be_read_off_a_frame_that_is_nowhere_flat(tmp_path: Path) -> None:
    scene = make_scene(tmp_path, frames=1, metadata=False)
    write_hdf5(scene / "0001_NOISY_RAW_010.MAT", "x", np.ones((120, 150), dtype=np.float32))
    with pytest.raises(ConfigError, match=r"0001_NOISY_RAW_010\.MAT: expected a NoiseProfile .* flat enough"):
        open_sidd(tmp_path, patch_size=16)


def test_the_forty_images_are_spread_over_the_five_cameras() -> None:
    scenes = [parse_scene(name) for name in BENCHMARK_SCENES]
    assert len({scene.name for scene in scenes}) == 40
    assert [scene.name for scene in scenes] == sorted(scene.name for scene in scenes)
    assert {camera: sum(scene.camera == camera for scene in scenes) for camera in CAMERAS} == dict.fromkeys(CAMERAS, 8)
    assert set(CFA_BY_CAMERA) == set(CAMERAS)


def test_red_and_blue_change_places_with_the_other_pattern(tmp_path: Path) -> None:
    make_scene(tmp_path, frames=1, cfa=(1, 2, 0, 1))
    mosaic = clean_mosaic(120, 150)
    patch = open_sidd(tmp_path, patch_size=16).draw((0, 0))
    assert patch.clean is not None
    assert find(patch.clean, mosaic, 1, 0)
    assert not find(patch.clean, mosaic, 0, 1)
