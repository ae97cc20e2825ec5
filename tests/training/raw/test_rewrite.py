"""The in-place rewrite: the mosaic arrives bit-exactly in other readers, and nothing else in the file moves."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rawpy
from dng_factory import LAYOUTS, byte, double, long, make_dng, rational, sample_mosaic, short, srational, undefined
from hypothesis import given, settings
from hypothesis import strategies as st

from training.errors import RawTooLargeError, UnreadableRawError
from training.noise import NoiseModel
from training.raw import rewrite, space, tags, tiff
from training.raw.atomic import replacing
from training.raw.bayer import CFA_PATTERNS
from training.raw.dng import read_metadata, read_raw
from training.raw.layout import find_mosaic
from training.raw.rewrite import DngChanges, padded_tile, write_dng
from training.raw.scaling import scale_fraction
from training.raw.space import Space
from training.raw.tiff import open_tiff
from training.raw.xmp import Mark, denoiser_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MARK = Mark(
    model="photosite 1",
    model_digest="0123abcd",
    strength="1",
    noise_model="0.001 1e-06",
    noise_source="file",
    software="Photosite 0.1.0",
)
CHANGES = DngChanges(noise_profile=None, noise_reduction_applied=1.0, unique_id=bytes(range(16)), mark=MARK)


def changes(**differences: Any) -> DngChanges:
    """The usual changes, with differences."""
    usual: dict[str, Any] = {name: getattr(CHANGES, name) for name in DngChanges.__slots__}
    return DngChanges(**(usual | differences))


def denoised(mosaic: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Another mosaic of the same shape and range."""
    return mosaic[::-1, ::-1].copy()


def rawpy_mosaic(path: Path) -> NDArray[np.uint16]:
    """The full frame as LibRaw reads it."""
    with rawpy.imread(str(path)) as raw:
        return np.array(raw.raw_image)


def adobe_mosaic(path: Path) -> NDArray[np.uint16]:
    """The full frame as Adobe's SDK reads it."""
    dngpy = pytest.importorskip("dngpy._native", reason="Adobe's DNG SDK (dngpy) is not installed")
    pixels = np.asarray(dngpy.Dng(str(path))._get_pixels())
    return pixels.reshape(pixels.shape[:2]).astype(np.uint16)


def tag_values(path: Path, tag: int, *, raw: bool = True) -> tuple[float, ...]:
    """A tag of the raw directory, or of IFD0."""
    with open_tiff(path) as file:
        return file.values(find_mosaic(file).directory if raw else file.chain[0], tag)


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


def test_file_gets_smaller_where_the_mosaic_lies_last(tmp_path: Path) -> None:
    mosaic = sample_mosaic(300, 300)
    last = make_dng(tmp_path / "last.dng", mosaic, layout="strips", bits=16)
    first = make_dng(tmp_path / "first.dng", mosaic, layout="strips", bits=16, data_first=True)
    sizes = last.stat().st_size, first.stat().st_size
    for path in (last, first):
        write_dng(path, path, mosaic, CHANGES)
    assert last.stat().st_size < 0.9 * sizes[0]
    assert sizes[1] < first.stat().st_size < sizes[1] + 3000


def test_mosaic_that_needs_more_room_goes_to_the_end(tmp_path: Path) -> None:
    flat = np.full((520, 520), 1000, dtype=np.uint16)
    noise = np.random.default_rng(0).integers(0, 1 << 14, flat.shape).astype(np.uint16)
    source = make_dng(tmp_path / "source.dng", flat, layout="ljpeg-tiles", data_first=True)
    size = source.stat().st_size
    write_dng(source, source, noise, CHANGES)
    np.testing.assert_array_equal(read_raw(source).mosaic, noise)
    assert source.stat().st_size > size + 400_000


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("shift", [0, 3])
def test_linearization_table_is_dropped_for_its_outputs(tmp_path: Path, shift: int, byte_order: Any) -> None:
    stored = sample_mosaic(100, 130, bits=8)
    table = [int(64 + 3600 * (i / 255) ** 2) for i in range(256)]
    source = make_dng(
        tmp_path / "source.dng", stored, bits=8, linearization_table=table, black_level=64, white_level=3664,
        byte_order=byte_order,
    )  # fmt: skip
    linear = read_raw(source)
    assert linear.mosaic.max() == 3664
    write_dng(source, source, linear.mosaic << shift, changes(precision_shift=shift))
    result = read_raw(source)
    assert not result.metadata.linearised
    assert result.metadata.bits_per_sample == 16
    assert result.metadata.levels.white_level == 3664 << shift
    assert result.metadata.levels.black_level == (64 << shift,) * 4
    for mosaic in (result.mosaic, rawpy_mosaic(source), adobe_mosaic(source)):
        np.testing.assert_array_equal(mosaic, linear.mosaic << shift)


@pytest.mark.parametrize("sub_ifd", [False, True])
@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize(
    "levels",
    [
        {"black_level": 60},
        {"black_level": (60, 61, 62, 63), "white_level": 1000},
        {"black_level": (60.1, 60.5, 61.0, 61.25)},
        {"black_level": 0, "black_delta_v": [60 + i / 100 for i in range(100)]},
        {"black_level": 50, "black_delta_h": [i / 7 - 5 for i in range(130)], "white_level": 1023},
        {"black_level": None},
        {"raw_tags": {tags.WHITE_LEVEL: short(1000), tags.BLACK_LEVEL: long(61)}},
        {"raw_tags": {tags.WHITE_LEVEL: short(0)}},
        {"raw_tags": {tags.WHITE_LEVEL: rational(1000.5)}},
    ],
    ids=["short", "pattern", "fractions", "rows", "columns", "none", "long", "white 0", "white fraction"],
)
def test_levels_follow_the_precision(tmp_path: Path, levels: Any, byte_order: Any, sub_ifd: bool) -> None:
    mosaic = sample_mosaic(100, 130, bits=10)
    source = make_dng(tmp_path / "source.dng", mosaic, bits=10, byte_order=byte_order, sub_ifd=sub_ifd, **levels)
    target = tmp_path / "target.dng"
    write_dng(source, target, mosaic << 3, changes(precision_shift=3))
    before, after = read_metadata(source), read_metadata(target)
    assert after.bits_per_sample == 16
    assert after.levels.white_level == 8 * before.levels.white_level
    np.testing.assert_allclose(after.levels.black_level, np.multiply(before.levels.black_level, 8), rtol=1e-12)
    for name in ("black_delta_rows", "black_delta_columns"):
        np.testing.assert_allclose(getattr(after.levels, name), np.multiply(getattr(before.levels, name), 8))
    with rawpy.imread(str(target)) as raw, rawpy.imread(str(source)) as original:
        assert raw.white_level == pytest.approx(8 * original.white_level, abs=8)
        assert np.allclose(raw.black_level_per_channel, np.multiply(original.black_level_per_channel, 8), atol=8)


def test_levels_stay_as_they_are_without_a_shift(tmp_path: Path) -> None:
    mosaic = sample_mosaic(100, 130, bits=10)
    source = make_dng(tmp_path / "source.dng", mosaic, bits=10, black_level=(60.1, 60.5, 61.0, 61.25))
    target = tmp_path / "target.dng"
    write_dng(source, target, mosaic, CHANGES)
    for tag in (tags.BLACK_LEVEL, tags.WHITE_LEVEL, tags.BITS_PER_SAMPLE):
        assert tag_values(target, tag) == tag_values(source, tag)


def test_black_of_sixteen_bits_gets_a_wider_type(tmp_path: Path) -> None:
    mosaic = sample_mosaic(64, 64, bits=8)
    source = make_dng(tmp_path / "source.dng", mosaic, bits=8, raw_tags={tags.BLACK_LEVEL: rational(0.5)})
    with open_tiff(source) as file:
        source.write_bytes(
            source.read_bytes()[: file.chain[0].entries[tags.BLACK_LEVEL].value_offset]
            + struct.pack("<II", 0x7FFFFFFF, 0xFFFFFFFE)
            + source.read_bytes()[file.chain[0].entries[tags.BLACK_LEVEL].value_offset + 8 :]
        )
    write_dng(source, source, mosaic << 8, changes(precision_shift=8))
    assert tag_values(source, tags.BLACK_LEVEL)[0] == pytest.approx(128, abs=1e-6)


@given(st.integers(-(2**31), 2**31 - 1), st.integers(1, 2**31 - 1), st.integers(0, 8))
def test_scaled_fraction_is_close_and_fits(numerator: int, denominator: int, shift: int) -> None:
    wanted = Fraction(numerator, denominator) * 2**shift
    largest = 2**31 - 1
    got = scale_fraction((numerator, denominator), shift, largest)
    if abs(wanted) <= 65535 * 2**8:
        assert max(map(abs, got)) <= largest
        assert abs(Fraction(*got) - wanted) <= abs(wanted) / 2**22


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


def test_strips_with_gaps_are_reused(tmp_path: Path) -> None:
    mosaic = sample_mosaic(601, 333, bits=12)  # 500 bytes a row: no strip of 3 rows can hold a tile, all together can
    source = make_dng(tmp_path / "source.dng", mosaic, bits=12, rows_per_strip=3, data_first=True)
    size = source.stat().st_size
    write_dng(source, source, mosaic, CHANGES)
    assert source.stat().st_size < size + 3000
    np.testing.assert_array_equal(rawpy_mosaic(source), mosaic)


@pytest.mark.parametrize("name", ["source.dng", "target.dng"])
def test_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    mosaic = sample_mosaic(100, 130)
    source = make_dng(tmp_path / "source.dng", mosaic)
    before = source.read_bytes()

    def disk_full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rewrite, "encode_ljpeg", disk_full)
    with pytest.raises(OSError, match="No space left"):
        write_dng(source, tmp_path / name, mosaic, CHANGES)
    assert [path.name for path in tmp_path.iterdir()] == ["source.dng"]
    assert source.read_bytes() == before


def test_replaced_file_keeps_its_mode_and_its_link(tmp_path: Path) -> None:
    mosaic = sample_mosaic(64, 64)
    source, link = make_dng(tmp_path / "source.dng", mosaic), tmp_path / "link.dng"
    source.chmod(0o640)
    link.symlink_to(source)
    write_dng(link, link, denoised(mosaic), CHANGES)
    assert link.is_symlink()
    assert source.stat().st_mode & 0o777 == 0o640
    np.testing.assert_array_equal(read_raw(source).mosaic, denoised(mosaic))


def test_replacing_keeps_the_old_file_until_the_end(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    with replacing(target) as file:
        file.write(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


def test_file_beyond_four_gigabytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mosaic = sample_mosaic(100, 130)
    source = make_dng(tmp_path / "source.dng", mosaic)
    monkeypatch.setattr(space, "MAX_FILE_BYTES", 10_000)
    with pytest.raises(RawTooLargeError, match="4 GiB"):
        write_dng(source, tmp_path / "target.dng", mosaic, CHANGES)
    assert not (tmp_path / "target.dng").exists()


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
    [{"precision_shift": -1}, {"precision_shift": 9}, {"noise_reduction_applied": 1.5}, {"unique_id": b"short"}],
)
def test_changes_that_no_tag_can_hold_are_refused(differences: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="wanted"):
        changes(**differences)


def test_mosaic_that_shares_bytes_with_a_tag_is_refused(tmp_path: Path) -> None:
    mosaic = sample_mosaic(64, 64, bits=8)
    opcodes = {tags.OPCODE_LIST_3: undefined(bytes(5000))}
    source = make_dng(tmp_path / "source.dng", mosaic, bits=8, rows_per_strip=64, raw_tags=opcodes)
    with open_tiff(source) as file:
        entries = file.chain[0].entries
        strips, at = entries[tags.STRIP_OFFSETS], entries[tags.OPCODE_LIST_3].value_offset + 8
        assert file.integers(file.chain[0], tags.STRIP_OFFSETS)[0] > at
    data = bytearray(source.read_bytes())
    struct.pack_into("<I", data, strips.value_offset, at)
    source.write_bytes(data)
    with pytest.raises(UnreadableRawError, match="share bytes"):
        write_dng(source, tmp_path / "target.dng", mosaic, CHANGES)


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


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(1, 60)), max_size=8),
    st.lists(st.integers(1, 80), max_size=12),
)
def test_placed_pieces_never_meet(starts: list[tuple[int, int]], sizes: list[int]) -> None:
    ranges = [(start, start + length) for start, length in starts]
    room = Space(ranges, size=500)
    taken = [range(offset, offset + size) for offset, size in ((room.place(size), size) for size in sizes)]
    taken += [range(start, end) for start, end in room.kept]
    used = [at for piece in taken for at in piece]
    assert len(used) == len(set(used))
    assert all(piece.start % 2 == 0 for piece in taken[: len(sizes)])
    assert room.end >= max(used, default=0)


def test_signed_deltas_keep_their_sign(tmp_path: Path) -> None:
    mosaic = sample_mosaic(64, 64, bits=10)
    delta = [-3.5 + 0.1 * i for i in range(64)]
    source = make_dng(
        tmp_path / "source.dng", mosaic, bits=10, black_level=60, raw_tags={tags.BLACK_LEVEL_DELTA_V: srational(*delta)}
    )
    write_dng(source, source, mosaic << 2, changes(precision_shift=2))
    assert tag_values(source, tags.BLACK_LEVEL_DELTA_V) == pytest.approx([4 * d for d in delta])
    with open_tiff(source) as file:
        assert file.chain[0].entries[tags.BLACK_LEVEL_DELTA_V].type == tiff.SRATIONAL
