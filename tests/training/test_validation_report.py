"""The report: a page that needs nothing else, JSON that any program reads, pictures of the right blocks."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines import KnownEngine, half
from PIL import Image
from sidd_factory import READ, SHOT, make_blocks

from training.datasets.sidd_blocks import open_blocks
from training.noise import NoiseModel
from training.raw.bayer import CFA_PATTERNS, CfaPattern
from training.raw.patterns import channel_grid
from training.validate import BlockScore, KeptBlock, ValidateOptions, validate
from training.validation_report import block_picture, describe, text_table, write_report

OPTIONS = ValidateOptions(noise=NoiseModel.uniform(shot_noise=SHOT, read_noise=READ), worst=2)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A report's folder, on both kinds of blocks."""
    make_blocks(tmp_path, benchmark=True)
    engine = KnownEngine(half)
    results = tuple(validate(engine, blocks, OPTIONS) for blocks in open_blocks(tmp_path))
    (tmp_path / "report").mkdir()
    write_report(tmp_path / "report", describe(engine, Path("<set>"), OPTIONS, results), results)
    return tmp_path / "report"


def strict(text: str) -> Any:
    """JSON without the extensions that other programs refuse."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    return json.loads(text, parse_constant=refuse)


class Page(HTMLParser):
    """Checks that every element that must be closed is, and keeps what the page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        if tag not in {"meta", "img", "link"}:
            self.open.append(tag)
        self.loads += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_endtag(self, tag: str) -> None:
        """An element ends."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Text."""
        self.text += data


def test_the_json_report_holds_means_groups_and_every_block(written: Path) -> None:
    report = strict((written / "report.json").read_text(encoding="utf-8"))
    assert report["model"] == "known@1"
    validation = report["validation"]
    decibels = [value for image in validation["per_image"] for value in image["block_psnr"]]
    assert len(decibels) == 6
    assert validation["mean"]["psnr"] == pytest.approx(np.mean(decibels), abs=1e-4)
    assert {row["camera"] for row in validation["groups"]} == {"GP", "IP"}
    assert validation["per_image"][0]["noise"] == {"shot": SHOT, "read": READ, "source": "request"}
    assert report["benchmark"]["mean"] is None
    assert "range 1" in report["convention"]


def test_the_page_loads_nothing_from_elsewhere_and_escapes_names(written: Path) -> None:
    text = (written / "report.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert page.open == []
    assert len(page.loads) == 2
    assert all(load.startswith("data:image/png;base64,") for load in page.loads)
    assert "url(" not in text
    assert "@import" not in text
    assert "<set>" in page.text
    assert "color-scheme: light dark" in text
    mean = strict((written / "report.json").read_text(encoding="utf-8"))["validation"]["mean"]
    assert f"{mean['psnr']:.3f} dB" in page.text


def test_the_pictures_of_the_page_lie_beside_it_too(written: Path) -> None:
    inlined = re.findall(r"base64,([^\"]+)", (written / "report.html").read_text(encoding="utf-8"))
    files = [(written / f"worst-0{rank}.png").read_bytes() for rank in (1, 2)]
    assert [base64.b64decode(picture) for picture in inlined] == files
    with Image.open(io.BytesIO(files[0])) as picture:
        width, height = picture.size
    assert height in {48, 49}  # a block that does not begin on red is shown one row larger
    assert width == 3 * height + 2 * 4


@pytest.mark.parametrize("pattern", CFA_PATTERNS)
def test_a_grey_block_of_any_pattern_is_shown_grey(pattern: CfaPattern) -> None:
    camera = np.array([0.2, 0.4, 0.4, 0.1], dtype=np.float32)[channel_grid(pattern)]
    mosaic = np.tile(camera, (16, 16))
    score = BlockScore(image=0, block=0, noisy_psnr=1, psnr=1, noisy_ssim=1, ssim=1)
    shown = block_picture(KeptBlock(score=score, noisy=mosaic, denoised=mosaic, clean=mosaic), pattern)
    with Image.open(io.BytesIO(shown)) as picture:
        pixels = np.asarray(picture)[:16, :16]
    assert len(np.unique(pixels)) == 1
    assert 230 < int(pixels[0, 0, 0]) < 255


def test_equal_blocks_are_valid_json(tmp_path: Path) -> None:
    make_blocks(tmp_path)
    blocks = open_blocks(tmp_path)[0]
    engine = KnownEngine()
    same = type(blocks)(
        name=blocks.name,
        noisy=blocks.noisy,
        clean=blocks.noisy,
        scenes=blocks.scenes,
        patterns=blocks.patterns,
    )
    with np.errstate(invalid="ignore"):  # ∞ − ∞ decibels gained
        report = describe(engine, tmp_path, OPTIONS, (validate(engine, same, OPTIONS),))
    assert strict(json.dumps(report))["validation"]["mean"]["psnr"] is None
    assert "∞" in text_table(report)


def test_the_terminals_table_has_a_line_a_group_and_a_total(tmp_path: Path) -> None:
    make_blocks(tmp_path)
    engine = KnownEngine(half)
    report = describe(engine, tmp_path, OPTIONS, (validate(engine, open_blocks(tmp_path)[0], OPTIONS),))
    lines = text_table(report).splitlines()
    assert "known@1" in lines[0]
    assert [line.split("|")[1].strip() for line in lines if line.startswith("|")][2:] == ["GP", "GP", "IP", "IP", "all"]
    assert f"{report['validation']['mean']['gain']:.3f}" in lines[-1]
