"""Other makers' raws: what LibRaw says in our words, and the DNG that is made of one."""

from __future__ import annotations

import shutil
import struct
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from dng_factory import OTHER_PATTERNS, encode_jpeg, make_dng, sample_mosaic, xtrans_pattern
from rewriting import adobe_mosaic, rawpy_mosaic
from vendor_factory import RAF_PATTERN, make_arw, make_cr2, make_nef, make_pef, make_raf

from training.errors import RawTooLargeError, UnreadableRawError, UnsupportedRawError
from training.raw import metadata as exiftool
from training.raw import tags
from training.raw.conversion import as_dng
from training.raw.decode import DecodeLimits, Decoder
from training.raw.dng import read_metadata, read_raw
from training.raw.foreign import ForeignRaw, _metadata, read_foreign
from training.raw.kinds import foreign_kind
from training.raw.layout import find_mosaic
from training.raw.libraw import decode_foreign
from training.raw.new_dng import write_new_dng
from training.raw.tiff import open_tiff

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from training.raw.tiff import Entry

    Make = Callable[..., Path]

MAKERS: list[Any] = [
    pytest.param(make_nef, 12, id="NEF"),
    pytest.param(make_arw, 14, id="ARW"),
    pytest.param(make_pef, 12, id="PEF"),
    pytest.param(make_cr2, 14, id="CR2"),
    pytest.param(make_raf, 14, id="RAF"),
]
FACTS: dict[str, Any] = {
    "pattern": "RGGB", "colour_ids": [0, 1, 3, 2], "black_by_id": [500, 510, 520, 530], "white": 16383,
    "margins": [0, 0], "visible": [100, 120], "crop_corner": [0, 0], "crop": [0, 0], "flip": 0,
    "camera_gains": [2.0, 1.0, 1.6, 0.0], "daylight_gains": [1.0, 1.0, 1.0, 0.0],
    "xyz_to_camera": np.eye(3).tolist(), "iso": 0.0, "time_s": 0.0, "f_number": 0.0, "captured": None,
}  # fmt: skip


MADE = pytest.mark.parametrize(("make", "bits"), MAKERS)


def mosaic_entries(path: Path) -> dict[int, Entry]:
    """The tags of the directory that describes the mosaic."""
    with open_tiff(path) as tiff:
        return next(directory for directory in tiff.directories if tags.CFA_PATTERN in directory.entries).entries


def metadata_of(**differences: Any) -> Any:
    """What becomes of LibRaw's facts about a frame of 110×130."""
    return _metadata(FACTS | differences, (110, 130), "Phantom", "One", "a raw of Phantom")


@MADE
def test_libraws_mosaic_is_the_makers(tmp_path: Path, make: Make, bits: int) -> None:
    mosaic = sample_mosaic(300, 420, bits=bits)
    path = make(tmp_path / "a.raw", mosaic)
    raw = read_raw(path)
    np.testing.assert_array_equal(raw.mosaic, mosaic)
    assert (raw.metadata.iso, raw.metadata.exposure.f_number) == (1600, pytest.approx(2.8))
    assert raw.metadata.cfa_pattern == {make_pef: "BGGR", make_raf: RAF_PATTERN}.get(make, "RGGB")
    assert raw.metadata.levels.white_level >= 2**bits * 0.98
    assert read_metadata(path) == raw.metadata


def test_canons_slices_are_put_together(tmp_path: Path) -> None:
    mosaic = sample_mosaic(300, 420)
    path = make_cr2(tmp_path / "a.cr2", mosaic, slices=(2, 144, 132))
    np.testing.assert_array_equal(read_raw(path).mosaic, mosaic)


@MADE
def test_the_new_dng_says_the_same_as_the_raw(tmp_path: Path, make: Make, bits: int) -> None:
    path = make(tmp_path / "a.raw", sample_mosaic(300, 420, bits=bits))
    before = read_raw(path)
    dng = as_dng(path, tmp_path, "IMG_1.ARW").path
    after = read_raw(dng)
    np.testing.assert_array_equal(after.mosaic, before.mosaic)
    np.testing.assert_array_equal(rawpy_mosaic(dng), before.mosaic)
    np.testing.assert_array_equal(adobe_mosaic(dng), before.mosaic)
    assert after.metadata.make.lower() == before.metadata.make.lower(), "Fujifilm's header spells it otherwise"
    for name in ("model", "iso", "cfa_pattern", "active_area", "levels", "orientation"):
        assert getattr(after.metadata, name) == getattr(before.metadata, name), name
    old, new = before.metadata.colour, after.metadata.colour
    np.testing.assert_allclose(new.as_shot_neutral, old.as_shot_neutral, atol=1e-6)
    np.testing.assert_allclose(new.xyz_to_camera, old.xyz_to_camera, atol=1e-4)
    assert after.metadata.exposure.time_s == pytest.approx(1 / 125)


def test_the_cameras_preview_and_sonys_lens_corrections_come_along(tmp_path: Path) -> None:
    path = make_arw(tmp_path / "a.arw", sample_mosaic(300, 420))
    preview = read_foreign(path, "a raw of SONY").preview
    with open_tiff(as_dng(path, tmp_path).path) as tiff:
        raw = find_mosaic(tiff).directory
        assert tiff.values(raw, 0x7037) == (16, *range(-160, 0, 10))
        _, shown = tiff.sub_directories[tiff.chain[0].offset]
        (at,), (size,) = (tiff.integers(shown, tag) for tag in (tags.STRIP_OFFSETS, tags.STRIP_BYTE_COUNTS))
        assert tiff.read(at, size) == preview
        assert tiff.integer(shown, tags.IMAGE_WIDTH) == 160


def test_without_exiftool_a_warning_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exiftool, "PROGRAM", "no-such-program")
    path = make_nef(tmp_path / "a.nef", sample_mosaic(100, 120, bits=12))
    made = as_dng(path, tmp_path)
    assert made.warnings == (
        "exiftool is not installed: EXIF, GPS, XMP, IPTC and maker notes were not copied into the new DNG",
    )
    assert read_raw(made.path).metadata.iso == 1600, "LibRaw knows that much"


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
def test_a_source_whose_name_exiftool_would_take_for_a_format_is_copied(tmp_path: Path) -> None:
    (tmp_path / "-100%d").mkdir()
    path = make_nef(tmp_path / "-100%d" / "%f -x.nef", sample_mosaic(100, 120, bits=12))
    made = as_dng(path, tmp_path)
    assert made.warnings == ()
    assert b"Phantom 50mm" in made.path.read_bytes()


def test_what_exiftool_complains_about_becomes_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exiftool, "PROGRAM", "false")
    path = make_nef(tmp_path / "a.nef", sample_mosaic(100, 120, bits=12))
    (warning,) = as_dng(path, tmp_path).warnings
    assert warning.startswith("not all of EXIF, XMP and maker notes could be copied: false ended with exit code 1")


@pytest.mark.parametrize(
    ("margins", "pattern"),
    [([0, 0], "RGGB"), ([2, 4], "RGGB"), ([0, 1], "GRBG"), ([1, 0], "GBRG"), ([5, 7], "BGGR")],
)
def test_pattern_and_black_are_read_from_the_active_areas_corner(margins: list[int], pattern: str) -> None:
    metadata = metadata_of(margins=margins)  # of the colour ids R, G1, B, G2 this frame's greens in red rows are G1
    assert metadata.cfa_pattern == pattern
    assert metadata.levels.black_level == (500, 510, 530, 520)


def test_an_active_area_beyond_the_frame_is_cut() -> None:
    assert tuple(metadata_of(margins=[8, 8], visible=[110, 130]).active_area) == (8, 8, 110, 130)


def test_a_crop_lies_within_the_active_area() -> None:
    metadata = metadata_of(margins=[8, 6], crop_corner=[10, 16], crop=[80, 70])
    assert tuple(metadata.default_crop) == (10, 16, 90, 86)
    assert metadata_of().default_crop is None


@pytest.mark.parametrize("margins", [(0, 0), (6, 6), (5, 7), (9, 16)])
def test_libraws_words_for_xtrans_are_read_from_the_active_area(margins: tuple[int, int]) -> None:
    pattern = xtrans_pattern(6 - margins[0] % 6, 6 - margins[1] % 6)  # of the full frame
    ids = ["RGB".index(letter) for letter in pattern]
    metadata = metadata_of(pattern=pattern, colour_ids=ids, black_by_id=[500, 510, 520, 0], margins=[*margins])
    assert metadata.sensor == "x-trans"
    assert metadata.cfa_pattern == xtrans_pattern()
    by_colour = {"R": 500, "G": 510, "B": 520}
    wanted = [by_colour[letter] for letter in metadata.phase.cell.plane_colours]
    assert list(metadata.levels.black_level) == wanted


def test_libraws_words_for_a_sensor_without_colour_filters() -> None:
    metadata = metadata_of(pattern="Y", colour_ids=[0], black_by_id=[500, 0, 0, 0], margins=[3, 5])
    assert (metadata.sensor, metadata.cfa_pattern) == ("monochrome", "Y")
    assert metadata.levels.black_level == (500.0,) * 4


@pytest.mark.parametrize("pattern", OTHER_PATTERNS)
@pytest.mark.parametrize("area", [(0, 0, 301, 333), (5, 7, 300, 331), (14, 20, 300, 331)])
def test_libraw_decodes_other_sensors_whatever_their_margins(
    tmp_path: Path, pattern: str, area: tuple[int, int, int, int]
) -> None:
    mosaic = sample_mosaic(301, 333)
    path = make_dng(
        tmp_path / "a.dng", mosaic, cfa_pattern=pattern, layout="ljpeg-tiles", active_area=area, black_level=500,
        white_level=16000, ljpeg_components=1,
    )  # fmt: skip
    frame = decode_foreign(str(path), lambda _photosites: None)
    np.testing.assert_array_equal(frame.mosaic, mosaic)
    metadata = _metadata(frame.facts, mosaic.shape, "Phantom", "One", "a raw of Phantom")
    ours = read_metadata(path)
    for name in ("cfa_pattern", "active_area", "levels"):
        assert getattr(metadata, name) == getattr(ours, name), name


@pytest.mark.parametrize("pattern", OTHER_PATTERNS)
def test_the_new_dng_of_another_sensor_says_the_same_as_the_raw(tmp_path: Path, pattern: str) -> None:
    mosaic = sample_mosaic(301, 333)
    source = make_dng(tmp_path / "a.dng", mosaic, cfa_pattern=pattern, black_level=500, active_area=(5, 7, 300, 331))
    before = read_raw(source)
    write_new_dng(source, tmp_path / "new.dng", ForeignRaw(raw=before, preview=encode_jpeg(96, 64)), "a.RAF")
    after = read_raw(tmp_path / "new.dng")
    np.testing.assert_array_equal(after.mosaic, mosaic)
    np.testing.assert_array_equal(rawpy_mosaic(tmp_path / "new.dng"), mosaic)
    np.testing.assert_array_equal(adobe_mosaic(tmp_path / "new.dng"), mosaic)
    for name in ("make", "model", "cfa_pattern", "active_area", "levels", "orientation"):
        assert getattr(after.metadata, name) == getattr(before.metadata, name), name


def test_without_the_cameras_white_balance_daylights_counts() -> None:
    assert metadata_of().colour.as_shot_neutral == (0.5, 1.0, 0.625)
    assert metadata_of(camera_gains=[0.0, 1.0, 0.0, 0.0]).colour.as_shot_neutral == (1.0, 1.0, 1.0)
    assert metadata_of(camera_gains=[0.0] * 4, daylight_gains=[0.0] * 4).colour.as_shot_neutral is None


@pytest.mark.parametrize(
    ("error", "reason", "facts"),
    [
        (UnsupportedRawError, "RGGG, neither one of the four of Bayer nor X-Trans'", {"pattern": "RGGG"}),
        (UnsupportedRawError, "64 are needed", {"visible": [30, 100]}),
        (UnreadableRawError, "levels make no sense", {"white": 510}),
        (UnreadableRawError, "levels make no sense", {"white": 0}),
    ],
)
def test_facts_that_make_no_sense_are_refused(error: type[Exception], reason: str, facts: dict[str, Any]) -> None:
    with pytest.raises(error, match=reason):
        metadata_of(**facts)


HOSTILE = {
    "FUJIFILM header only": b"FUJIFILMCCD-RAW 0201FF383501FinePix".ljust(200, b"\0"),
    "CR3 header only": b"\0\0\0\x18ftypcrx ".ljust(400, b"\0"),
    "RW2 header only": b"IIU\0\x08\0\0\0".ljust(64, b"\0"),
    "ORF header only": b"IIRO\x08\0\0\0".ljust(64, b"\0"),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_what_only_looks_like_a_raw_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(data)
    assert foreign_kind(path)
    with pytest.raises(UnreadableRawError):
        read_raw(path)


def test_a_raw_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = make_cr2(tmp_path / "a.cr2", sample_mosaic(300, 420))
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(UnreadableRawError):
        read_raw(path)


def test_a_claim_of_too_many_photosites_is_refused_before_they_are_decoded(tmp_path: Path) -> None:
    path = make_pef(tmp_path / "a.pef", sample_mosaic(100, 120, bits=12))
    data = bytearray(path.read_bytes())
    with open_tiff(path) as tiff:
        for tag in (tags.IMAGE_WIDTH, tags.IMAGE_LENGTH):
            at = tiff.chain[0].entries[tag].value_offset
            data[at : at + 4] = (30_000).to_bytes(4, "big")
    path.write_bytes(data)
    with pytest.raises((RawTooLargeError, UnreadableRawError)):
        read_raw(path)


def test_computing_time_is_limited_for_libraw_too(tmp_path: Path) -> None:
    path = make_cr2(tmp_path / "a.cr2", sample_mosaic(2000, 3000))
    limits = DecodeLimits(cpu_s=0, foreign_cpu_s_per_megapixel=0)
    with Decoder(limits) as decoder, pytest.raises(UnreadableRawError, match="computing time"):
        deque((decoder.decode_foreign(path) for _ in range(40)), maxlen=0)  # the limit counts in whole seconds


def test_a_dng_is_no_foreign_raw(tmp_path: Path) -> None:
    path = make_dng(tmp_path / "a.dng", sample_mosaic(100, 120))
    assert foreign_kind(path) is None
    assert as_dng(path, tmp_path) == (path, ())


def test_a_tiff_that_names_no_camera_is_no_raw(tmp_path: Path) -> None:
    path = make_dng(
        tmp_path / "a.tif", sample_mosaic(100, 120),
        ifd0_tags={tags.DNG_VERSION: None, tags.MAKE: None, tags.MODEL: None},
    )  # fmt: skip
    with pytest.raises(UnreadableRawError, match="names no camera"):
        foreign_kind(path)


def test_the_kodak_raw_is_read_and_becomes_a_dng(tmp_path: Path, shared_data: Path) -> None:
    path = shared_data / "raw" / "kodak-dc50-grbg.kdc"
    raw = read_raw(path)
    assert (raw.metadata.cfa_pattern, raw.mosaic.shape, raw.metadata.iso) == ("GRBG", (512, 768), 84)
    np.testing.assert_array_equal(raw.mosaic, rawpy_mosaic(path))
    np.testing.assert_array_equal(read_raw(as_dng(path, tmp_path).path).mosaic, raw.mosaic)


def test_a_file_that_does_not_say_where_its_mosaic_lies_is_refused(tmp_path: Path) -> None:
    path = make_arw(tmp_path / "a.arw", sample_mosaic(100, 120))
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, mosaic_entries(path)[tags.STRIP_OFFSETS].value_offset, 0)  # the header as pixels
    path.write_bytes(data)
    with pytest.raises(UnreadableRawError, match="does not say where its mosaic lies"):
        read_raw(path)


def test_what_makes_no_sense_in_its_directories_does_not_hide_that(tmp_path: Path) -> None:
    path = make_arw(tmp_path / "a.arw", sample_mosaic(100, 120))
    data, entries = bytearray(path.read_bytes()), mosaic_entries(path)
    struct.pack_into("<H", data, entries[tags.STRIP_OFFSETS].entry_offset + 2, 99)  # of no type that there is
    struct.pack_into("<I", data, entries[tags.PHOTOMETRIC_INTERPRETATION].entry_offset + 4, 1 << 31)  # so many numbers
    path.write_bytes(data)
    with pytest.raises(UnreadableRawError, match="does not say where its mosaic lies"):
        read_raw(path)


@pytest.mark.parametrize("missing", [1, 22, 2000])
def test_zeros_are_not_made_up_at_the_end_of_a_file_that_is_cut_off(tmp_path: Path, missing: int) -> None:
    path = make_nef(tmp_path / "a.nef", sample_mosaic(100, 120, bits=12))
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(UnreadableRawError, match="cut off"):
        read_raw(path)


@pytest.mark.parametrize("missing", [22, 2000])
def test_nor_where_its_directories_make_no_sense(tmp_path: Path, missing: int) -> None:
    path = make_pef(tmp_path / "a.pef", sample_mosaic(100, 120, bits=12))
    with open_tiff(path) as tiff:
        after_ifd0 = tiff.chain[0].offset + tiff.form.directory_size(len(tiff.chain[0].entries)) - 4
    data = bytearray(path.read_bytes()[:-missing])
    struct.pack_into(">I", data, after_ifd0, 0xFFFF_FFFF)
    path.write_bytes(data)
    with pytest.raises(UnreadableRawError, match="cut off"):
        read_raw(path)


@pytest.mark.parametrize(("make", "bits"), MAKERS[:-1])  # a RAF is no TIFF
def test_a_mosaic_whose_size_in_bytes_is_said_wrongly_is_read(tmp_path: Path, make: Make, bits: int) -> None:
    """Some honest cameras say it wrongly; the mosaic is there."""
    mosaic = sample_mosaic(100, 120, bits=bits)
    path = make(tmp_path / "a.raw", mosaic)
    data = bytearray(path.read_bytes())
    order = {b"II": "<", b"MM": ">"}[bytes(data[:2])]
    with open_tiff(path) as tiff:
        size = [d.entries[tags.STRIP_BYTE_COUNTS] for d in tiff.directories if tags.STRIP_BYTE_COUNTS in d.entries][-1]
    struct.pack_into(f"{order}I", data, size.value_offset, 2 * len(data))
    path.write_bytes(data)
    np.testing.assert_array_equal(read_raw(path).mosaic, mosaic)


def test_a_table_that_only_dngs_have_is_not_applied(tmp_path: Path) -> None:
    path = make_pef(tmp_path / "a.pef", sample_mosaic(100, 120, bits=12))
    data = bytearray(path.read_bytes())
    with open_tiff(path) as tiff:
        artist = tiff.chain[0].entries[0x013B].entry_offset
    struct.pack_into(">HH", data, artist, tags.LINEARIZATION_TABLE, 3)
    path.write_bytes(data)
    with pytest.raises(UnreadableRawError, match="LinearizationTable"):
        read_raw(path)


def test_what_was_in_memory_is_never_shown(tmp_path: Path) -> None:
    path = make_pef(tmp_path / "a.pef", sample_mosaic(100, 120, bits=12))
    data = bytearray(path.read_bytes())
    with open_tiff(path) as tiff:
        compression = tiff.chain[0].entries[tags.COMPRESSION].value_offset
    struct.pack_into(">H", data, compression, tags.JPEG)  # which it is not: LibRaw decodes nothing, and says nothing
    path.write_bytes(data)
    with pytest.raises(UnreadableRawError, match="makes a part of the mosaic up"):
        read_raw(path)
