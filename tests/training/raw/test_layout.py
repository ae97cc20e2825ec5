"""Where a mosaic lies: every layout is found, and every other kind of file refused with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
from dng_factory import LAYOUTS, Layout, assemble, byte, long, make_dng, sample_mosaic, short, text

from training.errors import RawError, RawTooLargeError, UnreadableRawError, UnsupportedRawError
from training.raw import tags
from training.raw.layout import MosaicLayout, find_mosaic
from training.raw.patterns import PATTERNS
from training.raw.tiff import open_tiff

if TYPE_CHECKING:
    from pathlib import Path

MOSAIC = sample_mosaic(130, 166)


def _find(path: Path) -> MosaicLayout:
    with open_tiff(path) as tiff:
        return find_mosaic(tiff)


def _replaced(**raw_tags: Any) -> dict[str, Any]:
    """Options of make_dng that replace tags of the raw directory, by their names here."""
    return {"raw_tags": {getattr(tags, name): field for name, field in raw_tags.items()}}


@pytest.mark.parametrize("sub_ifd", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_chunks_cover_the_frame_without_gap_or_overlap(tmp_path: Path, layout: Layout, sub_ifd: bool) -> None:
    found = _find(make_dng(tmp_path / "a.dng", MOSAIC, layout=layout, sub_ifd=sub_ifd))
    covered = np.zeros((256, 256), dtype=int)
    for chunk in found.chunks:
        covered[chunk.row : chunk.row + chunk.height, chunk.column : chunk.column + chunk.width] += 1
    assert (covered[:130, :166] == 1).all()
    assert (found.height, found.width, found.bits_per_sample) == (130, 166, 14)
    assert found.in_ifd0 is not sub_ifd
    assert found.tiled is ("tile" in layout)
    assert found.compression_name == ("lossless JPEG" if layout.startswith("ljpeg") else "uncompressed")


@pytest.mark.parametrize("letters", PATTERNS)
def test_the_pattern_is_read_from_its_tag(tmp_path: Path, letters: str) -> None:
    assert _find(make_dng(tmp_path / "a.dng", MOSAIC, cfa_pattern=letters)).cfa_pattern == letters


UNSUPPORTED = {
    "not X-Trans'": _replaced(CFA_REPEAT_PATTERN_DIM=short(6, 6), CFA_PATTERN=byte(*[1] * 36)),
    "quad-Bayer": _replaced(CFA_REPEAT_PATTERN_DIM=short(4, 4), CFA_PATTERN=byte(*[0, 0, 1, 1] * 4)),
    "65535×65535": _replaced(CFA_REPEAT_PATTERN_DIM=short(65535, 65535)),
    r"RG\?B": _replaced(CFA_PATTERN=byte(0, 1, 3, 2)),
    "RGBG, not": _replaced(CFA_PATTERN=byte(0, 1, 2, 1)),
    "missing, not": _replaced(CFA_PATTERN=None),
    "not red, green and blue": _replaced(CFA_PLANE_COLOR=byte(3, 4, 5)),
    "rectangular": _replaced(CFA_LAYOUT=short(2)),
    "linear DNG, lossy JPEG": _replaced(
        PHOTOMETRIC_INTERPRETATION=short(34892), COMPRESSION=short(34892), SAMPLES_PER_PIXEL=short(3)
    ),
    "only pictures": _replaced(PHOTOMETRIC_INTERPRETATION=short(2)),
    "floating-point": _replaced(SAMPLE_FORMAT=short(3), BITS_PER_SAMPLE=short(16)),
    "deflated numbers of 14 bits": _replaced(COMPRESSION=short(8)),
    "predictor 34892 is not defined for rows of": {
        "layout": "deflate-strips",
        "bits": 16,
        **_replaced(PREDICTOR=short(34892), IMAGE_WIDTH=long(95)),
    },
    "with predictor 3 ": {"layout": "deflate-tiles", "bits": 16, **_replaced(PREDICTOR=short(3))},
    "9, VC-5": _replaced(COMPRESSION=short(9)),
    "34892, lossy JPEG": _replaced(COMPRESSION=short(34892)),
    "4242, unknown": _replaced(COMPRESSION=short(4242)),
    "several samples": _replaced(SAMPLES_PER_PIXEL=short(3)),
    "of 32 bits": _replaced(BITS_PER_SAMPLE=short(32)),
    "of 4 bits": _replaced(BITS_PER_SAMPLE=short(4)),
    "stored in 9×1 fields": _replaced(ROW_INTERLEAVE_FACTOR=short(9)),
    "tiles or bits are stored interleaved": _replaced(SUB_TILE_BLOCK_SIZE=short(2)),
    "bits are stored interleaved": _replaced(FILL_ORDER=short(2)),
    "at least 64×64": _replaced(IMAGE_WIDTH=long(12)),
    "not a DNG": {"ifd0_tags": {tags.DNG_VERSION: None}},
}
TOO_LARGE = {
    "60000×60000": _replaced(IMAGE_WIDTH=long(60_000), IMAGE_LENGTH=long(60_000)),
    "150 megapixels": _replaced(IMAGE_WIDTH=long(19_000), IMAGE_LENGTH=long(19_000)),
    "166×20001": _replaced(IMAGE_LENGTH=long(20_001)),
    "far beyond its frame": {"layout": "tiles", **_replaced(TILE_WIDTH=long(2**31), TILE_LENGTH=long(2**31))},
}
UNREADABLE = {
    "holds 2 numbers, not one": _replaced(COLUMN_INTERLEAVE_FACTOR=short(2, 2)),
    "tag 257 is missing": _replaced(IMAGE_LENGTH=None),
    "claim 0×64": {"layout": "tiles", **_replaced(TILE_WIDTH=long(0))},
    "claim 96×0": {"layout": "tiles", **_replaced(TILE_LENGTH=long(0))},
    "claim 166×0": _replaced(ROWS_PER_STRIP=long(0)),
    "tag 325 describes 0": {"layout": "tiles", **_replaced(TILE_BYTE_COUNTS=None)},
    "tag 273 describes 2": _replaced(STRIP_OFFSETS=long(8, 9)),
    "at most 65536 make sense": {
        "layout": "tiles",
        **_replaced(TILE_WIDTH=long(1), TILE_LENGTH=long(1), IMAGE_WIDTH=long(9999)),
    },
    "has 21580 strips": {"layout": "tiles", **_replaced(TILE_WIDTH=long(1), TILE_LENGTH=long(1))},
    "both as strips and as tiles": {"layout": "tiles", **_replaced(STRIP_OFFSETS=long(8))},
    "overlap": {"layout": "ljpeg-tiles", **_replaced(TILE_OFFSETS=long(*[2000] * 6))},
    "overlap at 4": _replaced(ROWS_PER_STRIP=None, STRIP_OFFSETS=long(4), STRIP_BYTE_COUNTS=long(37830)),
    "cut off: its mosaic ends at": {
        "layout": "tiles",
        **_replaced(TILE_OFFSETS=long(*range(10**6, 10**6 + 6 * 99_999, 99_999))),
    },
    "is empty": {"layout": "tiles", **_replaced(TILE_BYTE_COUNTS=long(0, 1, 1, 1, 1, 1))},
    "has 12000 bytes, wanted 12804": _replaced(STRIP_BYTE_COUNTS=long(12000, 12804, 12222)),
    "wanted 14608": _replaced(BITS_PER_SAMPLE=short(16)),
    "which cannot be": {"layout": "ljpeg-strip", **_replaced(STRIP_BYTE_COUNTS=long(2000))},
    "128×64 photosites holds a JPEG that claims 6144": {"layout": "ljpeg-tiles", **_replaced(TILE_WIDTH=long(128))},
    "not a lossless JPEG": {"layout": "strips", **_replaced(COMPRESSION=short(7))},
    "of type 2": _replaced(IMAGE_WIDTH=text("wide")),
}
CASES = [
    *((UnsupportedRawError, reason, options) for reason, options in UNSUPPORTED.items()),
    *((RawTooLargeError, reason, options) for reason, options in TOO_LARGE.items()),
    *((UnreadableRawError, reason, options) for reason, options in UNREADABLE.items()),
]


@pytest.mark.parametrize(("error", "reason", "options"), CASES, ids=[reason for _, reason, _ in CASES])
def test_other_kinds_of_file_are_refused_with_their_reason(
    tmp_path: Path, error: type[RawError], reason: str, options: dict[str, Any]
) -> None:
    path = make_dng(tmp_path / "a.dng", MOSAIC, **options)
    with pytest.raises(error, match=reason):
        _find(path)


def test_a_refusal_names_the_camera(tmp_path: Path) -> None:
    path = make_dng(tmp_path / "a.dng", MOSAIC, make="Fuji", model="X-1", **UNSUPPORTED["not X-Trans'"])
    with pytest.raises(UnsupportedRawError, match=r"^Fuji X-1: "):
        _find(path)


def test_two_main_mosaics_are_refused(tmp_path: Path) -> None:
    path = make_dng(
        tmp_path / "a.dng", MOSAIC, sub_ifd=True, ifd0_tags={tags.NEW_SUBFILE_TYPE: long(0)}
    )  # the thumbnail's tags win in IFD0, so its kind is changed below
    data = bytearray(path.read_bytes())
    for tag, value in ((tags.NEW_SUBFILE_TYPE, 0), (tags.PHOTOMETRIC_INTERPRETATION, tags.COLOR_FILTER_ARRAY)):
        with open_tiff(path) as tiff:
            at = tiff.chain[0].entries[tag].value_offset
        data[at : at + 2] = value.to_bytes(2, "little")
    path.write_bytes(data)
    with pytest.raises(UnsupportedRawError, match="2 mosaics"):
        _find(path)


def test_a_plain_tiff_is_no_raw_file(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(assemble({"ifd0": {tags.IMAGE_WIDTH: long(100)}}, {}, "<"))
    with pytest.raises(UnreadableRawError, match="a TIFF file, but not a raw"):
        _find(path)


def test_a_lossless_jpeg_that_claims_billions_of_samples_is_refused_unread(tmp_path: Path) -> None:
    path = make_dng(tmp_path / "a.dng", MOSAIC, layout="ljpeg-tiles")
    data = bytearray(path.read_bytes())
    frame = data.index(b"\xff\xc3")
    data[frame + 5 : frame + 9] = b"\xff" * 4
    path.write_bytes(data)
    with pytest.raises(UnreadableRawError, match="claims 8589672450"):
        _find(path)


def test_a_lossy_jpeg_in_place_of_a_lossless_one_is_refused(tmp_path: Path) -> None:
    lossy = imagecodecs.jpeg8_encode((MOSAIC >> 6).astype(np.uint8))
    path = make_dng(tmp_path / "a.dng", MOSAIC, layout="ljpeg-strip")
    data = path.read_bytes()
    start = data.index(b"\xff\xd8")
    path.write_bytes(data[:start] + lossy.ljust(len(data) - start, b"\0"))
    with pytest.raises(UnreadableRawError, match="not a lossless one"):
        _find(path)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_that_is_cut_off_anywhere_is_refused(tmp_path: Path, layout: Layout) -> None:
    whole = make_dng(tmp_path / "a.dng", MOSAIC, layout=layout).read_bytes()
    path = tmp_path / "cut.dng"
    cuts = [len(whole) * part // 64 for part in range(1, 64)] + [len(whole) - 2]  # an odd end may be padding
    for size in cuts:
        path.write_bytes(whole[:size])
        with pytest.raises(UnreadableRawError):
            _find(path)
