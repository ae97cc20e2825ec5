"""The in-place rewrite: the mosaic arrives bit-exactly in other readers, and nothing else in the file moves."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from dng_factory import LAYOUTS, byte, double, make_dng, sample_mosaic, short
from rewriting import CHANGES, adobe_mosaic, changes, rawpy_mosaic, tag_values

from training.noise import NoiseModel
from training.raw import tags
from training.raw.bayer import CFA_PATTERNS
from training.raw.dng import read_raw
from training.raw.layout import find_mosaic
from training.raw.rewrite import padded_tile, write_dng
from training.raw.tiff import open_tiff
from training.raw.xmp import denoiser_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def denoised(mosaic: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Another mosaic of the same shape and range."""
    return mosaic[::-1, ::-1].copy()


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("sub_ifd", [False, True], ids=["IFD0", "SubIFD"])
@pytest.mark.parametrize("cfa_pattern", CFA_PATTERNS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_mosaic_arrives_in_every_reader(
    tmp_path: Path, layout: Any, cfa_pattern: Any, sub_ifd: bool, byte_order: Any
) -> None:
    mosaic = sample_mosaic(130, 333)
    area = (5, 7, 129, 330)
    source = make_dng(
        tmp_path / "source.dng", mosaic, layout=layout, cfa_pattern=cfa_pattern, sub_ifd=sub_ifd, byte_order=byte_order,
        active_area=area, black_level=(500, 512, 530, 555), white_level=16000,
    )  # fmt: skip
    target = tmp_path / "target.dng"
    write_dng(source, target, denoised(mosaic), CHANGES)
    result, original = read_raw(target), read_raw(source)
    np.testing.assert_array_equal(result.mosaic, denoised(mosaic))
    np.testing.assert_array_equal(rawpy_mosaic(target), denoised(mosaic))
    np.testing.assert_array_equal(adobe_mosaic(target), denoised(mosaic))
    assert result.metadata.cfa_pattern == cfa_pattern
    assert result.metadata.levels == original.metadata.levels
    assert result.metadata.denoised_by == "photosite"


@pytest.mark.parametrize("bits", [8, 9, 10, 12, 13, 14, 15, 16])
@pytest.mark.parametrize("shape", [(64, 64), (65, 67), (256, 512), (257, 513), (100, 511)])
def test_every_number_of_every_depth_survives(tmp_path: Path, shape: tuple[int, int], bits: int) -> None:
    noise = np.random.default_rng(bits).integers(0, 1 << bits, shape).astype(np.uint16)
    noise[:2] = np.resize([0, (1 << bits) - 1, (1 << bits) - 1, 0, 1 << (bits - 1)], (2, shape[1]))
    layout: Any = "strips" if bits in {8, 10, 12, 14, 16} else "ljpeg-tiles"
    source = make_dng(tmp_path / "source.dng", sample_mosaic(*shape, bits=bits), bits=bits, layout=layout)
    write_dng(source, source, noise, CHANGES)
    np.testing.assert_array_equal(read_raw(source).mosaic, noise)
    np.testing.assert_array_equal(rawpy_mosaic(source), noise)
    np.testing.assert_array_equal(adobe_mosaic(source), noise)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_adobes_sdk_accepts_the_digest(tmp_path: Path, capfd: pytest.CaptureFixture[str], bits: int) -> None:
    mosaic = sample_mosaic(300, 333, bits=bits)
    source, target = make_dng(tmp_path / "source.dng", mosaic, bits=bits), tmp_path / "target.dng"
    write_dng(source, target, denoised(mosaic), CHANGES)
    adobe_mosaic(target)
    assert "Error" not in capfd.readouterr().err
    data = target.read_bytes()
    digest = bytes(int(value) for value in tag_values(target, tags.NEW_RAW_IMAGE_DIGEST, raw=False))
    target.write_bytes(data.replace(digest, digest[::-1]))
    adobe_mosaic(target)
    assert "NewRawImageDigest does not match" in capfd.readouterr().err, "the check above could not have failed"


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("sub_ifd", [False, True], ids=["IFD0", "SubIFD"])
@pytest.mark.parametrize("data_first", [False, True], ids=["data last", "data first"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_bytes_outside_the_mosaic_stay(
    tmp_path: Path, layout: Any, data_first: bool, sub_ifd: bool, byte_order: Any
) -> None:
    mosaic = sample_mosaic(130, 333)
    source = make_dng(
        tmp_path / "source.dng", mosaic, layout=layout, sub_ifd=sub_ifd, byte_order=byte_order, data_first=data_first,
        maker_note=b"offsets in here are absolute" * 3,
    )  # fmt: skip
    target = tmp_path / "target.dng"
    write_dng(source, target, denoised(mosaic), CHANGES)
    before = np.frombuffer(source.read_bytes(), np.uint8)
    after = np.frombuffer(target.read_bytes(), np.uint8)
    with open_tiff(source) as file:
        mosaic_layout = find_mosaic(file)
    free = np.zeros(len(before), dtype=np.bool_)
    for chunk in mosaic_layout.chunks:
        free[chunk.offset : chunk.offset + chunk.size + chunk.size % 2] = True
    pointers = {4, mosaic_layout.directory.pointer_offset}
    for pointer in pointers:
        free[pointer : pointer + 4] = True
    common = min(len(before), len(after))
    changed = before[:common] != after[:common]
    assert not changed[~free[:common]].any()
    assert free[common:].all(), "only the end of the old mosaic may be cut off"
    assert changed.any()


@pytest.mark.parametrize("data_first", [False, True])
def test_no_byte_of_the_noisy_mosaic_is_left(tmp_path: Path, data_first: bool) -> None:
    noisy = np.full((300, 300), 0xABCD, dtype=np.uint16)
    source = make_dng(tmp_path / "source.dng", noisy, bits=16, data_first=data_first)
    assert b"\xcd\xab" * 4 in source.read_bytes()
    write_dng(source, source, np.zeros_like(noisy), CHANGES)
    assert b"\xcd\xab" * 4 not in source.read_bytes()


@pytest.mark.parametrize("sub_ifd", [False, True])
def test_denoising_tags_stand_in_their_directories_only(tmp_path: Path, sub_ifd: bool) -> None:
    mosaic = sample_mosaic(100, 130)
    stale = {tags.NOISE_PROFILE: double(1, 1), tags.RAW_IMAGE_DIGEST: byte(*range(16))}
    source = make_dng(
        tmp_path / "source.dng", mosaic, sub_ifd=sub_ifd, noise_profile=(1e-3, 1e-5, 2e-3, 2e-5, 3e-3, 3e-5),
        noise_reduction_applied=0.0, ifd0_tags=stale if sub_ifd else {tags.RAW_IMAGE_DIGEST: byte(*range(16))},
        raw_tags={tags.NEW_RAW_IMAGE_DIGEST: byte(*range(16))},
    )  # fmt: skip
    left = NoiseModel.uniform(shot_noise=1e-5, read_noise=1e-7)
    write_dng(source, source, mosaic, changes(noise_profile=left, noise_reduction_applied=0.75))
    assert tag_values(source, tags.NOISE_PROFILE) == (1e-5, 1e-7)
    assert tag_values(source, tags.NOISE_REDUCTION_APPLIED) == (0.75,)
    assert tag_values(source, tags.RAW_DATA_UNIQUE_ID, raw=False) == tuple(range(16))
    with open_tiff(source) as file:
        raw, ifd0 = find_mosaic(file).directory, file.chain[0]
        assert denoiser_of(file.value_bytes(ifd0.entries[tags.XMP])) == "photosite"
    assert tags.RAW_IMAGE_DIGEST not in ifd0.entries
    if sub_ifd:
        assert not {tags.NOISE_PROFILE, tags.NOISE_REDUCTION_APPLIED} & ifd0.entries.keys()
        assert not {tags.NEW_RAW_IMAGE_DIGEST, tags.RAW_DATA_UNIQUE_ID, tags.XMP} & raw.entries.keys()


def test_noise_profile_of_three_colours_is_written(tmp_path: Path) -> None:
    mosaic = sample_mosaic(64, 64)
    source = make_dng(tmp_path / "source.dng", mosaic, noise_profile=(1e-3, 1e-5))
    left = NoiseModel(shot_noise=(1e-5, 2e-5, 4e-5, 5e-5), read_noise=(1e-7, 2e-7, 2e-7, 3e-7))
    write_dng(source, source, mosaic, changes(noise_profile=left))
    assert tag_values(source, tags.NOISE_PROFILE) == pytest.approx((1e-5, 1e-7, 3e-5, 2e-7, 5e-5, 3e-7))


def test_noise_profile_stays_where_nothing_is_known(tmp_path: Path) -> None:
    mosaic = sample_mosaic(64, 64)
    source = make_dng(tmp_path / "source.dng", mosaic, noise_profile=(1e-3, 1e-5))
    write_dng(source, source, mosaic, changes(noise_profile=None))
    assert tag_values(source, tags.NOISE_PROFILE) == (1e-3, 1e-5)


def test_old_storage_tags_are_gone(tmp_path: Path) -> None:
    mosaic = sample_mosaic(100, 130, bits=16)
    source = make_dng(tmp_path / "source.dng", mosaic, bits=16, raw_tags={tags.PREDICTOR: short(1)})
    write_dng(source, source, mosaic, CHANGES)
    with open_tiff(source) as file:
        tag_set = file.chain[0].entries.keys()
        offset, head = file.chain[0].offset, file.read(file.chain[0].offset, 2)
        table = file.read(offset + 2, 12 * struct.unpack("<H", head)[0])
    assert not {tags.STRIP_OFFSETS, tags.STRIP_BYTE_COUNTS, tags.ROWS_PER_STRIP, tags.PREDICTOR} & tag_set
    order = [struct.unpack_from("<H", table, at)[0] for at in range(0, len(table), 12)]
    assert order == sorted(set(order)), "TIFF wants tags in order, each once"


def test_unchanged_entries_keep_their_value_offsets(tmp_path: Path) -> None:
    mosaic = sample_mosaic(100, 130)
    source = make_dng(
        tmp_path / "source.dng", mosaic, sub_ifd=True, maker_note=b"note" * 20, active_area=(0, 0, 100, 130)
    )
    target = tmp_path / "target.dng"
    write_dng(source, target, mosaic, CHANGES)
    with open_tiff(source) as before, open_tiff(target) as after:
        pairs = zip(before.directories, after.directories, strict=True)
        for old, new in pairs:
            kept = [entry for tag, entry in old.entries.items() if entry.size > 4 and tag in new.entries]
            assert all(entry.value_offset == new.entries[entry.tag].value_offset for entry in kept)
        old_exif, new_exif = before.parse_exif(before.chain[0]), after.parse_exif(after.chain[0])
    assert old_exif is not None
    assert new_exif is not None
    assert (old_exif.offset, old_exif.entries) == (new_exif.offset, new_exif.entries)


def test_raw_directory_after_ifd0_in_its_chain_is_found_again(tmp_path: Path) -> None:
    mosaic = sample_mosaic(100, 130)
    source = make_dng(tmp_path / "source.dng", mosaic, sub_ifd=True)
    with open_tiff(source) as file:
        ifd0, raw = file.chain[0], find_mosaic(file).directory
        (count,) = struct.unpack("<H", file.read(ifd0.offset, 2))
    data = bytearray(source.read_bytes())
    struct.pack_into("<H", data, ifd0.entries[tags.SUB_IFDS].entry_offset, tags.SUB_IFDS - 1)  # hides the SubIFDs
    struct.pack_into("<I", data, ifd0.offset + 2 + 12 * count, raw.offset)
    source.write_bytes(data)
    write_dng(source, source, denoised(mosaic), CHANGES)
    np.testing.assert_array_equal(read_raw(source).mosaic, denoised(mosaic))
    np.testing.assert_array_equal(rawpy_mosaic(source), denoised(mosaic))


def test_preview_and_other_children_stay(tmp_path: Path) -> None:
    imagecodecs = pytest.importorskip("imagecodecs")
    preview = bytes(imagecodecs.jpeg8_encode(np.zeros((48, 64, 3), np.uint8), level=90))
    mosaic = sample_mosaic(100, 130)
    source = make_dng(tmp_path / "source.dng", mosaic, sub_ifd=True, preview=preview)
    target = tmp_path / "target.dng"
    write_dng(source, target, mosaic, CHANGES)
    with open_tiff(source) as before, open_tiff(target) as after:
        old, new = before.directories[2], after.directories[2]
        assert old == new
        (offset,), (size,) = after.integers(new, tags.STRIP_OFFSETS), after.integers(new, tags.STRIP_BYTE_COUNTS)
        assert after.read(offset, size) == preview


def test_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    mosaic = sample_mosaic(600, 700)
    source = make_dng(tmp_path / "source.dng", mosaic)
    for name in ("a.dng", "b.dng"):
        write_dng(source, tmp_path / name, denoised(mosaic), CHANGES)
    assert (tmp_path / "a.dng").read_bytes() == (tmp_path / "b.dng").read_bytes()


def test_result_can_be_rewritten_again(tmp_path: Path) -> None:
    mosaic = sample_mosaic(300, 333)
    source, target = make_dng(tmp_path / "source.dng", mosaic, data_first=True), tmp_path / "target.dng"
    write_dng(source, target, mosaic, CHANGES)
    write_dng(target, target, denoised(mosaic), CHANGES)
    np.testing.assert_array_equal(read_raw(target).mosaic, denoised(mosaic))
    np.testing.assert_array_equal(rawpy_mosaic(target), denoised(mosaic))


@pytest.mark.parametrize(
    ("mosaic", "shift", "reason"),
    [
        (np.zeros((100, 131), np.uint16), 0, r"wanted \(100, 130\)"),
        (np.zeros((100, 130), np.int32), 0, "uint16"),
        (np.full((100, 130), 1024, np.uint16), 0, "10 bits"),
        (np.zeros((100, 130), np.uint16), 7, "white"),
    ],
)
def test_mosaic_that_does_not_fit_is_refused(tmp_path: Path, mosaic: Any, shift: int, reason: str) -> None:
    source = make_dng(tmp_path / "source.dng", sample_mosaic(100, 130, bits=10), bits=10)
    with pytest.raises(ValueError, match=reason):
        write_dng(source, tmp_path / "target.dng", mosaic, changes(precision_shift=shift))
    assert [path.name for path in tmp_path.iterdir()] == ["source.dng"]


@pytest.mark.parametrize(
    "differences",
    [{"precision_shift": -1}, {"precision_shift": 16}, {"noise_reduction_applied": 1.5}, {"unique_id": b"short"}],
)
def test_changes_that_no_tag_can_hold_are_refused(differences: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="wanted"):
        changes(**differences)


def test_packet_that_cannot_be_edited_stays_and_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mosaic = sample_mosaic(64, 64)
    source = make_dng(tmp_path / "source.dng", mosaic, xmp=b"<broken")
    write_dng(source, source, mosaic, CHANGES)
    assert bytes(int(value) for value in tag_values(source, tags.XMP, raw=False)) == b"<broken"
    assert "carries no mark" in caplog.text


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (3, 255), (256, 3), (256, 256)])
def test_padded_tile_keeps_its_piece_and_its_colours(shape: tuple[int, int]) -> None:
    piece = np.arange(1, shape[0] * shape[1] + 1, dtype=np.uint16).reshape(shape)
    tile = padded_tile(piece, (256, 256))
    assert tile.shape == (256, 256)
    np.testing.assert_array_equal(tile[: shape[0], : shape[1]], piece)
    if shape[1] > 1:
        np.testing.assert_array_equal(tile[: shape[0], shape[1] :], tile[: shape[0], shape[1] - 2 : -2])
