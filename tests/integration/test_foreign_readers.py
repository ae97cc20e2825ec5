"""What programs that nobody here wrote say about a rewritten DNG.

dcraw, LibRaw, exiftool, exiv2, darktable, RawTherapee. Their exit codes lie, so pixels and tags are compared, never
return values.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from dng_factory import LAYOUTS, OTHER_PATTERNS, make_dng, sample_mosaic
from raw_programs import (
    darktable_picture,
    dcraw_mosaic,
    libraw_mosaic,
    rawtherapee_picture,
    run,
    tags_of,
    warnings_of,
)
from rewriting import adobe_mosaic, changes

from training.noise import NoiseModel
from training.raw import tags
from training.raw.bayer import CFA_PATTERNS
from training.raw.dng import read_raw
from training.raw.rewrite import write_dng
from training.raw.tiff import open_tiff

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from training.raw.rewrite import DngChanges

    Program = Callable[[str], str]

pytestmark = pytest.mark.integration

REAL = ["canon-kiss-x4-rggb-14bit-packed.dng", "gopro-fusion-rggb-14bit.dng"]
CHANGED_STORAGE = {
    "Compression", "BitsPerSample", "StripOffsets", "StripByteCounts", "RowsPerStrip",
    "TileWidth", "TileLength", "TileOffsets", "TileByteCounts",
}  # fmt: skip
CHANGED_RAW = CHANGED_STORAGE | {"NoiseProfile", "NoiseReductionApplied"}
CHANGED_IFD0 = {"NewRawImageDigest", "RawDataUniqueID", "SubIFD"}
"""All that may differ, besides our own XMP properties: the list that the documentation promises."""


def full(shift: int = 0) -> DngChanges:
    """What a full denoising writes."""
    return changes(noise_profile=NoiseModel.uniform(shot_noise=1e-6, read_noise=1e-9), precision_shift=shift)


def differing_tags(program: Program, source: Path, target: Path) -> set[tuple[str, str]]:
    """Tags that are not the same in both files."""
    before, after = tags_of(program, source), tags_of(program, target)
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def allowed(name: tuple[str, str], raw_directory: str) -> bool:
    """Whether a tag is on the list of those that may differ."""
    directory, tag = name
    if directory in {"XMP-photosite", "XMP-darktable"}:
        return True
    return (directory == raw_directory and tag in CHANGED_RAW) or (directory == "IFD0" and tag in CHANGED_IFD0)


@pytest.mark.parametrize("kind", [*itertools.product((False, True), "<>")], ids=str)
@pytest.mark.parametrize("cfa_pattern", CFA_PATTERNS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_dcraw_and_libraw_read_the_new_mosaic(
    tmp_path: Path, program: Program, layout: Any, cfa_pattern: Any, kind: tuple[bool, Any]
) -> None:
    mosaic = sample_mosaic(301, 333)
    source = make_dng(
        tmp_path / "source.dng", mosaic, layout=layout, cfa_pattern=cfa_pattern, sub_ifd=kind[0], byte_order=kind[1],
        active_area=(5, 7, 300, 331), black_level=500, white_level=16000,
    )  # fmt: skip
    target, wanted = tmp_path / "target.dng", mosaic[::-1, ::-1].copy()
    write_dng(source, target, wanted, full())
    np.testing.assert_array_equal(dcraw_mosaic(program, target), wanted[5:300, 7:331])
    np.testing.assert_array_equal(libraw_mosaic(program, target), wanted)


@pytest.mark.parametrize("sub_ifd", [False, True], ids=["IFD0", "SubIFD"])
@pytest.mark.parametrize("cfa_pattern", OTHER_PATTERNS)
@pytest.mark.parametrize("layout", [*LAYOUTS, "deflate-tiles", "jxl-tiles"])
def test_dcraw_libraw_and_adobe_read_the_new_mosaic_of_other_sensors(
    tmp_path: Path, program: Program, layout: Any, cfa_pattern: str, sub_ifd: bool
) -> None:
    mosaic = sample_mosaic(301, 333, bits=16 if layout.startswith("deflate") else 14)
    source = make_dng(
        tmp_path / "source.dng", mosaic, layout=layout, cfa_pattern=cfa_pattern, sub_ifd=sub_ifd,
        bits=16 if layout.startswith("deflate") else 14, active_area=(5, 7, 300, 331), black_level=500,
    )  # fmt: skip
    np.testing.assert_array_equal(read_raw(source).mosaic, mosaic)
    target, wanted = tmp_path / "target.dng", mosaic[::-1, ::-1].copy()
    write_dng(source, target, wanted, full())
    np.testing.assert_array_equal(dcraw_mosaic(program, target), wanted[5:300, 7:331])
    np.testing.assert_array_equal(libraw_mosaic(program, target), wanted)
    np.testing.assert_array_equal(adobe_mosaic(target), wanted)
    assert {
        name for name in differing_tags(program, source, target) if not allowed(name, "SubIFD" if sub_ifd else "IFD0")
    } == set()
    assert warnings_of(program, target) <= warnings_of(program, source)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("shape", [(64, 64), (65, 67), (256, 512), (600, 513), (130, 1024)])
def test_dcraw_and_libraw_read_every_size_and_depth(
    tmp_path: Path, program: Program, shape: tuple[int, int], bits: int
) -> None:
    noise = np.random.default_rng(bits).integers(0, 1 << bits, shape).astype(np.uint16)
    source = make_dng(tmp_path / "source.dng", sample_mosaic(*shape, bits=bits), bits=bits)
    write_dng(source, source, noise, full())
    np.testing.assert_array_equal(dcraw_mosaic(program, source), noise)
    np.testing.assert_array_equal(libraw_mosaic(program, source), noise)


def test_dcraw_and_libraw_read_scaled_numbers_of_a_linearised_file(tmp_path: Path, program: Program) -> None:
    table = [int(64 + 3600 * (i / 255) ** 2) for i in range(256)]
    source = make_dng(
        tmp_path / "source.dng", sample_mosaic(301, 333, bits=8), bits=8, linearization_table=table, black_level=64,
        white_level=3664,
    )  # fmt: skip
    wanted = read_raw(source).mosaic << 3
    write_dng(source, source, wanted, full(3))
    np.testing.assert_array_equal(dcraw_mosaic(program, source), wanted)
    np.testing.assert_array_equal(libraw_mosaic(program, source), wanted)


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("sub_ifd", [False, True], ids=["IFD0", "SubIFD"])
@pytest.mark.parametrize("layout", ["strips", "ljpeg-tiles"])
def test_exiftool_finds_only_the_documented_changes(
    tmp_path: Path, program: Program, layout: Any, sub_ifd: bool, byte_order: Any
) -> None:
    mosaic = sample_mosaic(301, 333)
    source = make_dng(
        tmp_path / "source.dng", mosaic, layout=layout, sub_ifd=sub_ifd, byte_order=byte_order, black_level=500,
        white_level=16000, active_area=(5, 7, 300, 331), noise_profile=(1e-3, 1e-5), maker_note=b"Phantom\0" * 9,
        xmp=b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            b'<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4"/></rdf:RDF>'
            b"</x:xmpmeta>",
    )  # fmt: skip
    target = tmp_path / "target.dng"
    write_dng(source, target, mosaic[::-1, ::-1].copy(), full())
    differing = differing_tags(program, source, target)
    raw_directory = "SubIFD" if sub_ifd else "IFD0"
    assert {name for name in differing if not allowed(name, raw_directory)} == set()
    assert {(raw_directory, "NoiseProfile"), ("IFD0", "NewRawImageDigest"), ("XMP-photosite", "Strength")} <= differing
    assert tags_of(program, target)["XMP-xmp", "Rating"] == ["4"]
    assert warnings_of(program, target) <= warnings_of(program, source)


@pytest.mark.parametrize("name", REAL)
def test_real_file_keeps_its_mosaic_and_tags(tmp_path: Path, program: Program, shared_data: Path, name: str) -> None:
    source, target = shared_data / "raw" / name, tmp_path / "target.dng"
    raw = read_raw(source)
    write_dng(source, target, raw.mosaic, full())
    np.testing.assert_array_equal(read_raw(target).mosaic, raw.mosaic)
    np.testing.assert_array_equal(dcraw_mosaic(program, target), raw.active_mosaic)
    np.testing.assert_array_equal(libraw_mosaic(program, target), raw.mosaic)
    assert {tag for tag in differing_tags(program, source, target) if not allowed(tag, "IFD0")} == set()
    assert warnings_of(program, target) <= warnings_of(program, source)


@pytest.mark.parametrize("name", REAL)
def test_adobes_sdk_finds_no_fault_with_a_real_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], shared_data: Path, name: str
) -> None:
    dngpy = pytest.importorskip("dngpy._native", reason="Adobe's DNG SDK (dngpy) is not installed")
    source, target, saved = shared_data / "raw" / name, tmp_path / "target.dng", tmp_path / "saved.dng"
    mosaic = read_raw(source).mosaic
    write_dng(source, target, mosaic, full())
    opened = dngpy.Dng(str(target))
    np.testing.assert_array_equal(np.asarray(opened._get_pixels()).reshape(mosaic.shape), mosaic)
    opened._save(str(saved))
    assert "Error" not in capfd.readouterr().err
    digests = [digest_of(path) for path in (target, saved)]
    assert digests[0] == digests[1]


def digest_of(path: Path) -> bytes:
    """NewRawImageDigest."""
    with open_tiff(path) as tiff:
        return tiff.value_bytes(tiff.chain[0].entries[tags.NEW_RAW_IMAGE_DIGEST])


def test_exiv2_reads_our_mark_beside_what_was_there(tmp_path: Path, program: Program, shared_data: Path) -> None:
    source, target = shared_data / "raw" / REAL[1], tmp_path / "target.dng"
    write_dng(source, target, read_raw(source).mosaic, full())
    before = run(program("exiv2"), "-PXkv", source).decode().splitlines()
    after = run(program("exiv2"), "-PXkv", target).decode().splitlines()
    assert before
    assert set(before) <= set(after)
    added = dict(line.split(maxsplit=1) for line in after if line not in before)
    assert added["Xmp.photosite.Model"] == "photosite 1"
    assert added["Xmp.darktable.neural_restore"] == "raw-denoise"


@pytest.mark.slow
@pytest.mark.parametrize("picture", [darktable_picture, rawtherapee_picture], ids=["darktable", "RawTherapee"])
@pytest.mark.parametrize("name", REAL)
def test_editor_shows_the_same_picture(
    tmp_path: Path, program: Program, shared_data: Path, name: str, picture: Callable[..., NDArray[np.uint16]]
) -> None:
    source, target = tmp_path / "source.dng", tmp_path / "target.dng"
    source.write_bytes((shared_data / "raw" / name).read_bytes())
    write_dng(source, target, read_raw(source).mosaic, full())
    before, after = (picture(program, path).astype(np.int32) for path in (source, target))
    assert before.std() > 1000, "a black or grey picture would prove nothing"
    np.testing.assert_array_equal(after, before)


@pytest.mark.slow
@pytest.mark.parametrize("picture", [darktable_picture, rawtherapee_picture], ids=["darktable", "RawTherapee"])
@pytest.mark.parametrize("cfa_pattern", OTHER_PATTERNS)
def test_editor_shows_the_same_picture_of_other_sensors(
    tmp_path: Path, program: Program, cfa_pattern: str, picture: Callable[..., NDArray[np.uint16]]
) -> None:
    source, target = tmp_path / "source.dng", tmp_path / "target.dng"
    make_dng(
        source,
        sample_mosaic(600, 902),
        cfa_pattern=cfa_pattern,
        black_level=512,
        white_level=16000,
        layout="ljpeg-tiles",
        ljpeg_components=1,
    )
    write_dng(source, target, read_raw(source).mosaic, full())
    before, after = (picture(program, path).astype(np.int32) for path in (source, target))
    assert before.std() > 1000, "a black or grey picture would prove nothing"
    whole = slice(None, -2)  # darktable shows one plane's numbers as three colours, and what lies behind the last two
    np.testing.assert_array_equal(after[:, whole], before[:, whole])


@pytest.mark.slow
@pytest.mark.parametrize("picture", [darktable_picture, rawtherapee_picture], ids=["darktable", "RawTherapee"])
@pytest.mark.parametrize("shift", [0, 3])
def test_editor_shows_the_same_picture_whatever_the_precision(
    tmp_path: Path, program: Program, shift: int, picture: Callable[..., NDArray[np.uint16]]
) -> None:
    mosaic = sample_mosaic(600, 901, bits=10)
    source, target = tmp_path / "source.dng", tmp_path / "target.dng"
    make_dng(source, mosaic, bits=10, black_level=64, white_level=1000, layout="ljpeg-tiles", byte_order=">")
    write_dng(source, target, mosaic << shift, full(shift))
    before, after = (picture(program, path).astype(np.int32) for path in (source, target))
    assert before.std() > 1000
    assert np.abs(after - before).max() <= 2  # of 65535: floating-point numbers of another size are rounded
