"""Other makers' raws and the DNGs that are made of them, as programs that nobody here wrote see both.

dcraw, LibRaw, darktable, RawTherapee, exiftool, Adobe's SDK. Their exit codes lie: pixels and tags are compared.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rawpy
import tifffile
from dng_factory import encode_jpeg, sample_mosaic
from PIL import Image
from raw_programs import (
    darktable_picture,
    dcraw_mosaic,
    libraw_mosaic,
    run,
    tags_of,
    warnings_of,
)
from rewriting import adobe_mosaic
from tiny_models import publish_model
from vendor_factory import make_arw, make_cr2, make_nef, make_pef, make_raf

from training.denoise import DenoiseOptions, denoise_file
from training.engines import load_engine
from training.noise import NoiseModel
from training.output import OutputOptions
from training.raw.dng import read_raw
from training.registry import SENSOR_MODELS, default_registry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from training.denoise import EngineFor

    Program = Callable[[str], str]

pytestmark = pytest.mark.integration

MAKERS: dict[str, tuple[Callable[..., Path], int]] = {
    "nef": (make_nef, 12), "arw": (make_arw, 14), "pef": (make_pef, 12), "cr2": (make_cr2, 14),
    "raf": (make_raf, 14),
}  # fmt: skip
PLACE = b"Behind the waterfall"
COPIED = {
    "IFD0:Artist": "Somebody", "ExifIFD:LensModel": "Phantom 50mm", "ExifIFD:FNumber": 2.8, "ExifIFD:ISO": 1600,
    "GPS:GPSLatitude": 12.5, "XMP-xmp:Rating": 4, "XMP-dc:Subject": "raw", "IPTC:Keywords": "raw",
    "ExifIFD:UserComment": "as it was",
}  # fmt: skip


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> EngineFor:
    folder = tmp_path_factory.mktemp("models")
    publish_model(folder, "tiny")
    publish_model(folder, SENSOR_MODELS["x-trans"], version="99", sensor="x-trans")
    models = default_registry(folder)
    return cache(lambda sensor: load_engine(models.resolve_for(sensor), "cpu"))


@pytest.fixture(params=[*MAKERS, "kdc"])
def raw(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A raw of each maker."""
    if request.param == "kdc":
        source = request.getfixturevalue("shared_data") / "raw" / "kodak-dc50-grbg.kdc"
        (tmp_path / "in.kdc").write_bytes(source.read_bytes())
        return tmp_path / "in.kdc"
    make, bits = MAKERS[request.param]
    return make(tmp_path / f"in.{request.param}", sample_mosaic(600, 900, bits=bits))


def expected(warning: str) -> bool:
    """Where darktable looks for Sony's lens corrections exiftool knows none in a DNG, which it calls minor."""
    return "[minor] Non-standard SubIFD tag 0x703" in warning


def denoised(source: Path, engine: EngineFor, strength: float, **output: Any) -> Path:
    """What comes out."""
    target = source.with_name(f"out-{strength:g}.dng")
    options = DenoiseOptions(strength=strength, noise=NoiseModel.uniform(shot_noise=1e-3, read_noise=1e-6))
    denoise_file(source, target, engine=engine, options=options, output=OutputOptions(**output))
    return target


@pytest.mark.parametrize("strength", [0, 1])
def test_four_programs_read_the_same_mosaic(raw: Path, engine: EngineFor, program: Program, strength: float) -> None:
    target = denoised(raw, engine, strength)
    result = read_raw(target)
    if strength == 0:
        np.testing.assert_array_equal(result.mosaic, read_raw(raw).mosaic)
        np.testing.assert_array_equal(dcraw_mosaic(program, target), dcraw_mosaic(program, raw))
        np.testing.assert_array_equal(libraw_mosaic(program, target), libraw_mosaic(program, raw))
    else:
        assert (result.mosaic != read_raw(raw).mosaic).mean() > 0.3
    np.testing.assert_array_equal(dcraw_mosaic(program, target), result.active_mosaic)
    np.testing.assert_array_equal(libraw_mosaic(program, target), result.mosaic)
    np.testing.assert_array_equal(adobe_mosaic(target), result.mosaic)


def test_adobes_sdk_finds_no_fault(raw: Path, engine: EngineFor, capfd: pytest.CaptureFixture[str]) -> None:
    adobe_mosaic(denoised(raw, engine, 1))
    said = capfd.readouterr().err
    assert "Error" not in said
    assert {line for line in said.splitlines() if "Warning" in line and "Too little padding" not in line} == set()


def test_exiftool_finds_no_new_fault(raw: Path, engine: EngineFor, program: Program) -> None:
    assert {line for line in warnings_of(program, denoised(raw, engine, 1)) if not expected(line)} == set()


@pytest.mark.parametrize("maker", [maker for maker in MAKERS if maker != "raf"])  # into which exiftool writes no GPS
def test_all_metadata_comes_along(tmp_path: Path, engine: EngineFor, program: Program, maker: str) -> None:
    make, bits = MAKERS[maker]
    source = make(tmp_path / f"in.{maker}", sample_mosaic(200, 300, bits=bits))
    run(
        program("exiftool"), "-q", "-overwrite_original", "-n", *(f"-{name}={value}" for name, value in COPIED.items()),
        "-GPS:GPSLatitudeRef=N", source,
    )  # fmt: skip
    before, after = tags_of(program, source), tags_of(program, denoised(source, engine, 1))
    for name in COPIED:
        key = (name.split(":")[0], name.split(":")[1])
        assert after[key] == before[key], name
    if maker == "arw":
        names = ("VignettingCorrParams", "ChromaticAberrationCorrParams", "DistortionCorrParams")
        assert [after["SubIFD", name] for name in names] == [before["SubIFD", name] for name in names]


def preview_with_place(folder: Path, program: Program) -> bytes:
    """A JPEG whose own metadata say where it was taken, as a camera may put it into its raw."""
    (folder / "preview.jpg").write_bytes(encode_jpeg(160, 120))
    run(
        program("exiftool"), "-q", "-overwrite_original", "-n", "-GPS:GPSLatitude=12.5", "-GPS:GPSLatitudeRef=N",
        f"-GPS:GPSAreaInformation={PLACE.decode()}", folder / "preview.jpg",
    )  # fmt: skip
    return (folder / "preview.jpg").read_bytes()


def test_where_it_was_taken_can_be_taken_out(tmp_path: Path, engine: EngineFor, program: Program) -> None:
    source = make_arw(tmp_path / "in.arw", sample_mosaic(200, 300), preview=preview_with_place(tmp_path, program))
    run(
        program("exiftool"), "-q", "-overwrite_original", "-n", "-GPS:GPSLatitude=12.5", "-GPS:GPSLatitudeRef=N",
        "-XMP-exif:GPSLongitude=7", "-XMP-xmp:Rating=4", source,
    )  # fmt: skip
    kept = {name for name in tags_of(program, denoised(source, engine, 1)) if "GPS" in name[1]}
    assert {("GPS", "GPSLatitude"), ("XMP-exif", "GPSLongitude")} <= kept
    stripped = denoised(source, engine, 0, strip_gps=True)
    after = tags_of(program, stripped)
    assert {name for name in after if "GPS" in name[1] or name[0] == "GPS"} == set()
    assert after["XMP-xmp", "Rating"] == ["4"]
    assert PLACE not in stripped.read_bytes()
    assert PLACE in denoised(source, engine, 1).read_bytes()
    assert run(program("exiftool"), "-b", "-SubIFD1:PreviewImage", stripped).startswith(b"\xff\xd8")
    np.testing.assert_array_equal(read_raw(stripped).mosaic, read_raw(source).mosaic)
    np.testing.assert_array_equal(adobe_mosaic(stripped), read_raw(source).mosaic)
    assert {line for line in warnings_of(program, stripped) if not expected(line)} == set()


@pytest.mark.parametrize("preview", ["render", "none"])
def test_a_new_preview_or_none_leaves_a_sound_file(
    tmp_path: Path, engine: EngineFor, program: Program, preview: Any
) -> None:
    source = make_arw(tmp_path / "in.arw", sample_mosaic(300, 400))
    kept = denoised(source, engine, 0)
    before = run(program("exiftool"), "-b", "-SubIFD1:PreviewImage", kept)
    target = denoised(source, engine, 1, preview=preview)
    after = run(program("exiftool"), "-b", "-SubIFD1:PreviewImage", target)
    assert before.startswith(b"\xff\xd8")
    if preview == "none":
        assert after == b""
        assert before not in target.read_bytes()
    else:
        (tmp_path / "preview.jpg").write_bytes(after)
        with Image.open(tmp_path / "preview.jpg") as picture:
            assert max(picture.size) == 160
            assert np.asarray(picture).std() > 10
        assert before not in target.read_bytes()
    assert {line for line in warnings_of(program, target) if not expected(line)} == set()
    np.testing.assert_array_equal(adobe_mosaic(target), read_raw(target).mosaic)
    np.testing.assert_array_equal(dcraw_mosaic(program, target), read_raw(target).active_mosaic)


def libraw_picture(_program: Program, path: Path) -> np.ndarray[Any, Any]:
    """The picture that LibRaw makes of a file, with the camera's white balance."""
    with rawpy.imread(str(path)) as opened:
        return opened.postprocess(use_camera_wb=True, no_auto_bright=True, output_bps=16).astype(np.int32)


def dcraw_picture(program: Program, path: Path) -> np.ndarray[Any, Any]:
    """The picture that dcraw makes of a file: no thresholds, the camera's white balance."""
    written = path.with_name(f"{path.name}.ppm")
    written.write_bytes(run(program("dcraw"), "-w", "-W", "-S", "16000", "-6", "-c", path))
    size = np.fromstring(b" ".join(written.read_bytes().split(b"\n", 3)[1:2]), dtype=int, sep=" ")
    pixels = np.frombuffer(written.read_bytes()[-int(size.prod()) * 6 :], ">u2")
    return pixels.reshape(size[1], size[0], 3).astype(np.int32)


def neutral_rawtherapee_picture(program: Program, path: Path) -> np.ndarray[Any, Any]:
    """The picture that RawTherapee makes without its default profile, whose tone curve follows the preview."""
    picture = path.with_name(f"{path.stem}.neutral.tif")
    run(program("rawtherapee-cli"), "-q", "-Y", "-b16", "-t", "-o", picture, "-c", path)
    return np.array(tifffile.imread(picture))


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        ("nef", libraw_picture, 0.001),
        ("nef", dcraw_picture, 0.001),
        ("nef", neutral_rawtherapee_picture, 0.001),
        ("raf", libraw_picture, 0.001),
        ("raf", dcraw_picture, 0.001),
        ("raf", neutral_rawtherapee_picture, 0.02),
        ("arw", libraw_picture, 0.001),
        ("arw", dcraw_picture, 0.001),
        ("arw", neutral_rawtherapee_picture, 0.02),  # it has levels of its own for this camera's ARW
    ],
    ids=lambda case: f"{case[0]}-{case[1].__name__}",
)
def test_the_dng_looks_like_the_raw(
    tmp_path: Path, engine: EngineFor, program: Program, case: tuple[str, Callable[..., Any], float]
) -> None:
    maker, picture, most = case
    make, bits = MAKERS[maker]
    source = make(tmp_path / f"in.{maker}", sample_mosaic(600, 900, bits=bits))
    target = denoised(source, engine, 0)
    before, after = (picture(program, path).astype(np.int32) for path in (source, target))
    assert before.std() > 1000, "a black or grey picture would prove nothing"
    assert np.abs(after - before).mean() < most * before.mean()


@pytest.mark.slow
def test_darktable_shows_the_dng(raw: Path, engine: EngineFor, program: Program) -> None:
    target = denoised(raw, engine, 0)
    picture = darktable_picture(program, target)
    shape = read_raw(target).active_mosaic.shape
    assert all(abs(side - wanted) < 32 for side, wanted in zip(picture.shape, shape, strict=False))
    assert picture.std() > 1000
