"""Reading DNGs: every layout bit by bit, levels by the specification, and nothing but our errors from hostile files."""

from __future__ import annotations

import itertools
import subprocess
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rawpy
from dng_factory import (
    LAYOUTS,
    OTHER_PATTERNS,
    Field,
    Layout,
    double,
    fix_bad_pixels_constant,
    fix_bad_pixels_list,
    long,
    make_dng,
    opcode,
    opcode_list,
    sample_mosaic,
    short,
    text,
)

from training.errors import RawError, UnreadableRawError, UnsupportedRawError
from training.raw import tags
from training.raw.bayer import CFA_PATTERNS, CHANNELS, CfaPattern
from training.raw.decode import Decoder, default_decoder
from training.raw.dng import read_metadata, read_raw
from training.raw.image import ActiveArea
from training.raw.patterns import channel_grid
from training.raw.tiff import open_tiff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MOSAIC = sample_mosaic(130, 166)
ODD_MOSAIC = sample_mosaic(131, 167)


@pytest.fixture(scope="module", autouse=True)
def _close_decoder() -> Iterator[None]:
    yield
    default_decoder().close()


# Pixels.


@pytest.mark.parametrize("cfa_pattern", CFA_PATTERNS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mosaic", [MOSAIC, ODD_MOSAIC], ids=["even", "odd"])
def test_every_layout_and_pattern_is_read_bit_by_bit(
    tmp_path: Path, mosaic: np.ndarray, layout: Layout, cfa_pattern: CfaPattern
) -> None:
    image = read_raw(make_dng(tmp_path / "a.dng", mosaic, layout=layout, cfa_pattern=cfa_pattern))
    assert (image.mosaic == mosaic).all()
    assert image.metadata.cfa_pattern == cfa_pattern
    assert image.bad_pixels is None


@pytest.mark.parametrize(("bits", "byte_order"), list(product([8, 10, 12, 14, 16], "<>")))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_depth_and_byte_order_is_read_bit_by_bit(
    tmp_path: Path, layout: Layout, bits: int, byte_order: Any
) -> None:
    mosaic = sample_mosaic(131, 167, bits)
    path = make_dng(
        tmp_path / "a.dng", mosaic, layout=layout, bits=bits, byte_order=byte_order, sub_ifd=True, data_first=True
    )
    image = read_raw(path)
    assert (image.mosaic == mosaic).all()
    assert image.metadata.bits_per_sample == bits
    assert image.metadata.levels.white_level == 2**bits - 1


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("layout", ["strips", "tiles", "ljpeg-strip", "ljpeg-tiles"])
def test_libraw_reads_the_same_pixels(tmp_path: Path, layout: Layout, bits: int) -> None:
    path = make_dng(tmp_path / "a.dng", sample_mosaic(130, 160, bits), layout=layout, bits=bits)
    with rawpy.imread(str(path)) as raw:
        assert (raw.raw_image == read_raw(path).mosaic).all()


@pytest.mark.parametrize(("layout", "byte_order"), list(product(LAYOUTS, "<>")))
def test_adobes_sdk_reads_the_same_pixels(tmp_path: Path, layout: Layout, byte_order: Any) -> None:
    dngpy = pytest.importorskip("dngpy")
    path = make_dng(tmp_path / "a.dng", ODD_MOSAIC, layout=layout, byte_order=byte_order, sub_ifd=True)
    pixels = np.asarray(dngpy._native.Dng(str(path))._get_pixels())
    assert (pixels.reshape(ODD_MOSAIC.shape) == read_raw(path).mosaic).all()


@pytest.mark.integration
@pytest.mark.parametrize("layout", ["strips", "ljpeg-strip", "ljpeg-tiles"])
def test_dcraw_reads_the_same_pixels(tmp_path: Path, program: Callable[[str], str], layout: Layout) -> None:
    path = make_dng(tmp_path / "a.dng", MOSAIC, layout=layout)
    answer = subprocess.run([program("dcraw"), "-D", "-4", "-c", path], capture_output=True, check=True).stdout
    pixels = np.frombuffer(answer.split(b"\n", 3)[3], dtype=">u2")
    assert (pixels.reshape(MOSAIC.shape) == read_raw(path).mosaic).all()


@pytest.mark.integration
@pytest.mark.parametrize("layout", LAYOUTS)
def test_exiftool_finds_no_fault_with_the_factory(
    tmp_path: Path, program: Callable[[str], str], layout: Layout
) -> None:
    path = make_dng(tmp_path / "a.dng", sample_mosaic(128, 192), layout=layout, sub_ifd=True, tile_shape=(64, 96))
    answer = subprocess.run(
        [program("exiftool"), "-validate", "-warning", "-error", "-a", path], capture_output=True, check=True, text=True
    )
    assert answer.stdout.split(":", 1)[1].strip() == "OK"


@pytest.mark.parametrize("name", ["canon-kiss-x4-rggb-14bit-packed.dng", "gopro-fusion-rggb-14bit.dng"])
def test_real_files_are_read_as_libraw_reads_them(shared_data: Path, name: str) -> None:
    path = shared_data / "raw" / name
    image = read_raw(path)
    with rawpy.imread(str(path)) as raw:
        assert (raw.raw_image == image.mosaic).all()
        assert image.active_mosaic.shape == raw.raw_image_visible.shape
        assert image.metadata.levels.white_level == raw.white_level
        assert set(image.metadata.levels.black_level) == set(raw.black_level_per_channel)


def test_real_metadata_is_what_the_cameras_wrote(shared_data: Path) -> None:
    canon = read_metadata(shared_data / "raw" / "canon-kiss-x4-rggb-14bit-packed.dng")
    gopro = read_metadata(shared_data / "raw" / "gopro-fusion-rggb-14bit.dng")
    assert (canon.make, canon.model, canon.iso) == ("Canon", "Canon EOS Kiss X4", None)
    assert (canon.active_area, canon.noise_profile) == (ActiveArea(26, 152, 1182, 1886), None)
    assert (gopro.make, gopro.model, gopro.iso) == ("GoPro", "FUSION", 100)
    assert gopro.noise_profile is not None
    assert gopro.noise_profile.to_profile() == pytest.approx((7.81e-5, 2.44e-8), rel=1e-3)
    assert not gopro.precision_fixed


def test_a_linearization_table_is_applied_as_libraw_applies_it(tmp_path: Path) -> None:
    table = [min(65535, i * i // 16) for i in range(1000)]
    stored = sample_mosaic(130, 160, 10)
    path = make_dng(tmp_path / "a.dng", stored, bits=10, linearization_table=table, white_level=60_000)
    image = read_raw(path)
    assert image.metadata.linearised
    assert (image.mosaic == np.array(table)[np.minimum(stored, 999)]).all()
    with rawpy.imread(str(path)) as raw:
        assert (raw.raw_image == image.mosaic).all()


# Levels.


def _black_by_the_specification(options: dict[str, Any], area: ActiveArea) -> np.ndarray:
    """BlackLevel[r % rows][c % columns] + DeltaH[c] + DeltaV[r], from the active area's corner."""
    repeat = options.get("black_repeat", (1, 1))
    levels = np.reshape(options["black_level"], repeat)
    rows, columns = np.arange(area.height), np.arange(area.width)
    black = levels[rows % repeat[0]][:, columns % repeat[1]].astype(np.float64)
    black += np.array(options.get("black_delta_v", [0.0] * area.height))[:, None]
    return black + np.array(options.get("black_delta_h", [0.0] * area.width))[None, :]


LEVELS: dict[str, dict[str, Any]] = {
    "one": {"black_level": 512},
    "row pattern": {"black_level": (512, 530), "black_repeat": (1, 2)},
    "column pattern": {"black_level": (512, 530), "black_repeat": (2, 1)},
    "cell": {"black_level": (500, 512, 530, 555), "black_repeat": (2, 2)},
    "fractional": {"black_level": (512.1, 512.5, 513, 513.5), "black_repeat": (2, 2)},
    "all in the rows": {"black_level": 0, "black_delta_v": [2047 + 0.25 * (i % 7) for i in range(101)]},
    "rows and columns": {
        "black_level": (500, 512, 530, 555),
        "black_repeat": (2, 2),
        "black_delta_v": [0.5 * (i % 3) for i in range(101)],
        "black_delta_h": [-0.25 * (i % 5) for i in range(119)],
    },
}


LARGE_CELLS: dict[str, dict[str, Any]] = {
    "half a cell": {"black_level": (500, 510, 520, 530, 540, 550, 560, 570, 580), "black_repeat": (3, 3)},
    "cell": {"black_level": tuple(range(500, 536)), "black_repeat": (6, 6)},
}
"""What X-Trans may have besides."""


@pytest.mark.parametrize(
    ("options", "cfa_pattern"),
    [
        *itertools.product(LEVELS.values(), (*CFA_PATTERNS, *OTHER_PATTERNS)),
        *itertools.product(LARGE_CELLS.values(), OTHER_PATTERNS[:-1]),
    ],
)
def test_black_is_the_specifications_at_every_photosite(
    tmp_path: Path, options: dict[str, Any], cfa_pattern: str
) -> None:
    area = ActiveArea(15, 33, 116, 152)  # an odd corner, odd sizes
    path = make_dng(tmp_path / "a.dng", MOSAIC, cfa_pattern=cfa_pattern, active_area=area, **options)
    metadata = read_metadata(path)
    assert metadata.active_area == area
    black = metadata.levels.black_plane(metadata.cfa_pattern, (area.height, area.width))
    assert black == pytest.approx(_black_by_the_specification(options, area), abs=1e-3)


@pytest.mark.parametrize("cfa_pattern", CFA_PATTERNS)
def test_black_goes_with_the_colour_libraw_gives_it(tmp_path: Path, cfa_pattern: CfaPattern) -> None:
    path = make_dng(tmp_path / "a.dng", MOSAIC, cfa_pattern=cfa_pattern, black_level=(500, 512, 530, 555))
    levels = read_metadata(path).levels
    with rawpy.imread(str(path)) as raw:
        cell = np.array(raw.black_level_per_channel)[raw.raw_pattern]
    assert (np.array(levels.black_level)[channel_grid(cfa_pattern)] == cell).all()
    assert CHANNELS[0] == "R"
    assert levels.black_level[0] == (500, 512, 530, 555)[cfa_pattern.index("R")]


@pytest.mark.parametrize(("white", "wanted"), [(None, 4095), (0, 4095), (4000, 4000)])
def test_white_defaults_to_the_largest_number(tmp_path: Path, white: int | None, wanted: int) -> None:
    path = make_dng(tmp_path / "a.dng", sample_mosaic(70, 70, 12), bits=12, white_level=white, black_level=None)
    levels = read_metadata(path).levels
    assert levels.white_level == wanted
    assert levels.black_level == (0, 0, 0, 0)


def test_the_active_area_defaults_to_the_frame(tmp_path: Path) -> None:
    assert read_metadata(make_dng(tmp_path / "a.dng", MOSAIC)).active_area == ActiveArea(0, 0, 130, 166)


BAD_LEVELS: dict[str, tuple[type[RawError], dict[str, Any]]] = {
    "make no sense": (UnreadableRawError, {"white_level": 10, "black_level": 64}),
    "wanted more than 0": (UnreadableRawError, {"white_level": 70_000}),
    "no sense: got a black": (UnreadableRawError, {"raw_tags": {tags.BLACK_LEVEL: double(float("nan"))}}),
    "denominator 0": (UnreadableRawError, {"raw_tags": {tags.BLACK_LEVEL: Field(5, (1, 0))}}),
    "2 black levels": (UnreadableRawError, {"black_level": (1, 2), "black_repeat": (2, 2)}),
    "repeats every 4×4": (UnsupportedRawError, {"black_level": [1] * 16, "black_repeat": (4, 4)}),
    "repeats every 65535×1": (UnsupportedRawError, {"raw_tags": {tags.BLACK_LEVEL_REPEAT_DIM: short(65535, 1)}}),
    "3 row and 0 column deltas": (UnreadableRawError, {"black_delta_v": [1, 2, 3]}),
    r"\(0, 0, 131, 166\) lies outside": (UnreadableRawError, {"active_area": (0, 0, 131, 166)}),
    "lies outside": (UnreadableRawError, {"active_area": (100, 0, 90, 166)}),
    "outside the frame": (UnreadableRawError, {"raw_tags": {tags.ACTIVE_AREA: long(1, 2, 3)}}),
    "64 are needed": (UnsupportedRawError, {"active_area": (0, 0, 2, 166)}),
    "makes all photosites alike": (UnreadableRawError, {"linearization_table": [7, 7, 7]}),
    "does not hold numbers of 16 bits": (UnreadableRawError, {"raw_tags": {tags.LINEARIZATION_TABLE: long(0, 65536)}}),
}


@pytest.mark.parametrize(("reason", "case"), BAD_LEVELS.items(), ids=BAD_LEVELS)
def test_levels_that_make_no_sense_are_refused(
    tmp_path: Path, reason: str, case: tuple[type[RawError], dict[str, Any]]
) -> None:
    error, options = case
    with pytest.raises(error, match=reason):
        read_raw(make_dng(tmp_path / "a.dng", MOSAIC, **options))


def test_a_black_level_of_half_a_billion_values_is_refused_unread(tmp_path: Path) -> None:
    path = make_dng(tmp_path / "a.dng", MOSAIC)
    data = bytearray(path.read_bytes())
    with open_tiff(path) as tiff:
        at = tiff.chain[0].entries[tags.BLACK_LEVEL].entry_offset
    data[at + 4 : at + 8] = (2**29).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(UnreadableRawError, match="claims 1073741824 bytes"):
        read_metadata(path)


def test_numbers_beyond_the_claimed_bits_are_refused(tmp_path: Path) -> None:
    path = make_dng(tmp_path / "a.dng", MOSAIC, layout="ljpeg-tiles", raw_tags={tags.BITS_PER_SAMPLE: short(12)})
    with pytest.raises(UnreadableRawError, match="holds 16383, which has more than 12 bits"):
        read_raw(path)


# What else the tags say.


@pytest.mark.parametrize("sub_ifd", [False, True])
def test_the_noise_profile_is_found_in_either_directory(tmp_path: Path, sub_ifd: bool) -> None:
    profile = (1e-4, 1e-6)
    in_raw = make_dng(tmp_path / "a.dng", MOSAIC, sub_ifd=sub_ifd, noise_profile=profile)
    in_ifd0 = make_dng(tmp_path / "b.dng", MOSAIC, sub_ifd=sub_ifd, ifd0_tags={tags.NOISE_PROFILE: double(*profile)})
    for path in (in_raw, in_ifd0):
        model = read_metadata(path).noise_profile
        assert model is not None
        assert model.to_profile() == profile


def test_a_noise_profile_of_three_colours_fills_the_four_channels(tmp_path: Path) -> None:
    path = make_dng(tmp_path / "a.dng", MOSAIC, noise_profile=(1e-4, 1e-6, 2e-4, 2e-6, 3e-4, 3e-6))
    model = read_metadata(path).noise_profile
    assert model is not None
    assert model.shot_noise == (1e-4, 2e-4, 2e-4, 3e-4)
    assert model.read_noise == (1e-6, 2e-6, 2e-6, 3e-6)


@pytest.mark.parametrize("profile", [(0, 0), (-1e-4, 1e-6), (float("nan"), 1e-6), (1e-4,), None])
def test_a_noise_profile_that_cannot_be_a_variance_counts_as_missing(tmp_path: Path, profile: Any) -> None:
    assert read_metadata(make_dng(tmp_path / "a.dng", MOSAIC, noise_profile=profile)).noise_profile is None


def test_noise_reduction_applied_is_read_and_may_be_unknown(tmp_path: Path) -> None:
    unknown = Field(5, (0, 0))
    paths = [
        make_dng(tmp_path / "a.dng", MOSAIC, noise_reduction_applied=0.5),
        make_dng(tmp_path / "b.dng", MOSAIC, raw_tags={tags.NOISE_REDUCTION_APPLIED: unknown}),
        make_dng(tmp_path / "c.dng", MOSAIC),
    ]
    assert [read_metadata(path).noise_reduction_applied for path in paths] == [0.5, None, None]


def test_the_iso_speed_is_read_and_may_be_unknown(tmp_path: Path) -> None:
    large = {tags.ISO_SPEED_RATINGS: short(65535), tags.RECOMMENDED_EXPOSURE_INDEX: long(102_400)}
    cases: list[tuple[dict[str, Any], int | None]] = [
        ({"iso": 1600}, 1600),
        ({"iso": 0}, None),
        ({"iso": None}, None),
        ({"iso": None, "ifd0_tags": {tags.ISO_SPEED_RATINGS: short(200)}}, 200),
        ({"exif_tags": large}, 102_400),
        ({"ifd0_tags": {tags.EXIF_IFD: long(4_000_000_000)}}, None),
    ]
    for index, (options, wanted) in enumerate(cases):
        assert read_metadata(make_dng(tmp_path / f"{index}.dng", MOSAIC, **options)).iso == wanted


def test_the_model_falls_back_to_the_unique_one(tmp_path: Path) -> None:
    path = make_dng(
        tmp_path / "a.dng",
        MOSAIC,
        ifd0_tags={tags.MAKE: None, tags.MODEL: None, tags.UNIQUE_CAMERA_MODEL: text("Phone 9")},
    )
    metadata = read_metadata(path)
    assert (metadata.make, metadata.model) == ("", "Phone 9")


XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:photosite="https://photosite.dev/ns/1.0/" '
    'xmlns:darktable="http://darktable.sf.net/" {}/></rdf:RDF></x:xmpmeta>'
)


@pytest.mark.parametrize(
    ("packet", "wanted"),
    [
        (XMP.format('photosite:Model="photosite@1"'), "photosite"),
        (XMP.format('darktable:neural_restore="raw-denoise"'), "darktable"),
        (XMP.format('darktable:history="sharpen"'), ""),
        (XMP.format(" " * 200_000), ""),
        ("<broken", ""),
    ],
    ids=["ours", "darktable's", "another's", "blanks without end", "broken"],
)
def test_the_mark_of_a_denoiser_is_found(tmp_path: Path, packet: str, wanted: str) -> None:
    assert read_metadata(make_dng(tmp_path / "a.dng", MOSAIC, xmp=packet.encode())).denoised_by == wanted


def test_bad_pixels_come_from_the_opcodes(tmp_path: Path) -> None:
    mosaic = np.maximum(MOSAIC, 1)
    mosaic[50, 60] = 0
    opcodes = opcode_list(fix_bad_pixels_constant(0), fix_bad_pixels_list([(3, 4)]))
    image = read_raw(make_dng(tmp_path / "a.dng", mosaic, opcode_list1=opcodes, active_area=(8, 8, 130, 166)))
    assert image.bad_pixels is not None
    assert list(zip(*np.nonzero(image.bad_pixels), strict=True)) == [(3, 4), (50, 60)]
    assert image.metadata.precision_fixed


def test_opcodes_by_place_leave_the_precision_free(tmp_path: Path) -> None:
    opcodes = opcode_list(fix_bad_pixels_list([(3, 4)]), opcode(9, bytes(76)))
    assert not read_metadata(make_dng(tmp_path / "a.dng", MOSAIC, opcode_list1=opcodes)).precision_fixed


def test_opcodes_before_a_linearization_table_are_unsupported(tmp_path: Path) -> None:
    options: dict[str, Any] = {"linearization_table": range(16384), "opcode_list1": opcode_list(opcode(7, bytes(64)))}
    with pytest.raises(UnsupportedRawError, match="LinearizationTable together with opcodes"):
        read_metadata(make_dng(tmp_path / "a.dng", MOSAIC, **options))


# Hostile files.


@pytest.mark.parametrize(
    ("name", "error", "reason"),
    [
        ("linear-lossy-jpeg.dng", UnsupportedRawError, "LG-H815: .* demosaiced .* lossy JPEG"),
        ("linear-lossy-lg-g4-iso800.dng", UnsupportedRawError, "LG-H815: .* demosaiced .* lossy JPEG"),
        ("truncated-leica-m10.dng", UnreadableRawError, "cut off"),
        ("vc5-compressed.gpr", UnsupportedRawError, "GoPro FUSION: .* VC-5"),
    ],
)
@pytest.mark.parametrize("read", [read_metadata, read_raw])
def test_files_of_the_hostile_folder_are_refused(
    shared_data: Path, name: str, error: type[RawError], reason: str, read: Callable[[Path], object]
) -> None:
    with pytest.raises(error, match=reason):
        read(shared_data / "hostile" / name)


@pytest.mark.parametrize("layout", ["ljpeg-tiles", "ljpeg-strips"])
def test_a_chunk_that_is_shorter_than_its_pixels_is_an_error(tmp_path: Path, layout: Layout) -> None:
    path = make_dng(tmp_path / "a.dng", MOSAIC, layout=layout)
    tag = tags.TILE_BYTE_COUNTS if layout == "ljpeg-tiles" else tags.STRIP_BYTE_COUNTS
    with open_tiff(path) as tiff:
        sizes = tiff.integers(tiff.chain[0], tag)
    for cut in (1, 2, 3, 100, 2000):
        shorter = long(*sizes[:-1], sizes[-1] - cut)
        make_dng(path, MOSAIC, layout=layout, raw_tags={tag: shorter})
        with pytest.raises(UnreadableRawError):
            read_raw(path)


def test_a_decoder_can_be_handed_in(tmp_path: Path) -> None:
    path = make_dng(tmp_path / "a.dng", MOSAIC)
    with Decoder() as decoder:
        assert (read_raw(path, decoder).mosaic == MOSAIC).all()
        assert decoder.process_id is not None
    assert decoder.process_id is None
