"""What is said about a capture, and its thumbnail."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from dng_factory import MAKE, MODEL, make_dng, rational, sample_mosaic, text
from PIL import Image

from training.capture_facts import describe_capture, thumbnail
from training.errors import RawError, UnreadableRawError
from training.raw import tags

if TYPE_CHECKING:
    from pathlib import Path

MOSAIC = sample_mosaic(240, 320)
DARKTABLE = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:darktable="http://darktable.sf.net/" darktable:neural_restore="raw-denoise"/>'
    b"</rdf:RDF></x:xmpmeta>"
)


def test_the_facts_are_the_files(tmp_path: Path) -> None:
    exif = {
        tags.EXPOSURE_TIME: rational(0.01),
        tags.F_NUMBER: rational(1.8),
        tags.DATE_TIME_ORIGINAL: text("2026:11:21 17:04:05"),
    }
    options = {"cfa_pattern": "GBRG", "orientation": 6, "black_level": 64, "noise_profile": (1e-4, 1e-6)}
    path = make_dng(tmp_path / "a.dng", MOSAIC, exif_tags=exif, **options)
    facts = describe_capture(path).to_json()
    assert (facts["make"], facts["model"], facts["iso"]) == (MAKE, MODEL, 400)
    assert (facts["exposure_time_s"], facts["f_number"], facts["captured"]) == (0.01, 1.8, "2026-11-21T17:04:05")
    assert (facts["size"], facts["orientation"], facts["cfa_pattern"]) == ([320, 240], 6, "GBRG")
    assert (facts["bits_per_sample"], facts["black_level"], facts["white_level"]) == (14, [64] * 4, 16383)
    assert facts["denoisable"] is True
    assert "refused" not in facts


def test_the_noise_of_the_picture_stands_beside_the_tags(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    signal = np.add.outer(np.linspace(0.05, 0.4, 512), np.linspace(0, 0.3, 512))
    noisy = signal + rng.normal(0, 1, signal.shape) * np.sqrt(2e-3 * signal + 1e-5)
    mosaic = np.clip(np.rint(noisy * 15000 + 1000), 0, 65535).astype(np.uint16)
    levels = {"bits": 16, "black_level": 1000, "white_level": 16000}
    told = describe_capture(make_dng(tmp_path / "a.dng", mosaic, noise_profile=(2e-3, 1e-5), **levels)).to_json()
    assert (told["noise_source"], told["noise"]["shot"], told["noise_profile"]) == ("tag", [2e-3] * 4, [2e-3, 1e-5])
    assert told["noise_estimate"]["shot"] == pytest.approx(2e-3, rel=0.15)
    seen = describe_capture(make_dng(tmp_path / "b.dng", mosaic, noise_profile=(2e-4, 1e-6), **levels)).to_json()
    assert seen["noise_source"] == "estimate"
    assert seen["noise"]["shot"][0] == seen["noise_estimate"]["shot"]
    assert "off by a factor" in seen["warnings"][0]


def test_a_refused_file_is_described_all_the_same(tmp_path: Path) -> None:
    path = make_dng(tmp_path / "a.dng", MOSAIC, xmp=DARKTABLE, noise_profile=(1e-4, 1e-6))
    facts = describe_capture(path).to_json()
    assert (facts["denoisable"], facts["refused"]) == (False, "already_denoised")
    assert "darktable" in facts["reason"]
    assert facts["noise"] is not None


def test_a_picture_without_a_flat_place_and_without_a_profile_is_refused(tmp_path: Path) -> None:
    white = np.full((240, 320), 16383, dtype=np.uint16)
    facts = describe_capture(make_dng(tmp_path / "a.dng", white)).to_json()
    assert (facts["denoisable"], facts["refused"]) == (False, "unsupported_raw")
    assert (facts["noise"], facts["noise_source"], facts["noise_estimate"]) == (None, None, None)


def test_a_file_that_is_no_raw_has_no_facts(tmp_path: Path) -> None:
    (tmp_path / "a.dng").write_bytes(b"\xff\xd8\xff\xe0" + bytes(100))
    for ask in (describe_capture, thumbnail):
        with pytest.raises(UnreadableRawError, match="it is a JPEG"):
            ask(tmp_path / "a.dng")


def test_hostile_files_have_neither_facts_nor_a_thumbnail(shared_data: Path) -> None:
    for path in sorted((shared_data / "hostile").iterdir()):
        for ask in (describe_capture, thumbnail):
            with pytest.raises(RawError):
                ask(path)


@pytest.mark.parametrize(("orientation", "size"), [(1, (100, 75)), (6, (75, 100))])
def test_a_thumbnail_is_small_turned_and_holds_no_metadata(
    tmp_path: Path, orientation: int, size: tuple[int, int]
) -> None:
    path = make_dng(tmp_path / "a.dng", MOSAIC, orientation=orientation)
    content = thumbnail(path, 100)
    with Image.open(io.BytesIO(content)) as picture:
        assert (picture.format, picture.size, picture.mode) == ("WEBP", size, "RGB")
        assert not picture.getexif()
        assert not {"exif", "xmp", "icc_profile"} & set(picture.info)
        bright = np.asarray(picture).astype(float).mean(axis=-1)
    # a quarter turn clockwise takes the dark top-left corner to the top right
    dark, light = (bright[:9, -9:], bright[-9:, :9]) if orientation == 6 else (bright[:9, :9], bright[-9:, -9:])
    assert light.mean() > dark.mean() + 50
    assert thumbnail(path, 100) == content
