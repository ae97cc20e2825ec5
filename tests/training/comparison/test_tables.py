"""Tables of a comparison: the figures that were found, and what is missing said in words."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from training.comparison.cases import Case
from training.comparison.crops import CROPS, crop_name, keep_crop
from training.comparison.methods import METHODS
from training.comparison.plan import Budget, Plan
from training.comparison.tables import comma_separated, input_row, markdown, method_row, page, write_tables

if TYPE_CHECKING:
    from pathlib import Path

PLAN = Plan(dataset="pictures", noise="gauss25", budget=Budget(steps=5), tests={"kodak": "K"})


def score(group: str, psnr: float, ssim: float = 0.5) -> dict[str, Any]:
    return {
        "case": f"{group}/{psnr}",
        "group": group,
        "psnr": psnr,
        "ssim": ssim,
        "noisy_psnr": 20.0,
        "noisy_ssim": 0.25,
        "seconds": 0.5,
        "megapixels": 0.25,
    }


SCORES = [score("kodak", 30.0), score("kodak", 31.0), score("set14", 28.0, 0.75)]
ROWS = [
    input_row(SCORES),
    method_row(METHODS["bm3d"], SCORES),
    method_row(METHODS["sure"], SCORES, 300, 12.4),
    method_row(METHODS["supervised"], [], note="not possible: no | clean <images>"),
]


def test_the_markdown_has_means_by_group_and_marks_short_trainings() -> None:
    lines = markdown(ROWS).splitlines()
    assert lines[0] == "| method | kodak | set14 | steps | training s | s/MP | note |"
    assert lines[2] == "| (noisy input) | 20.00 / 0.250 | 20.00 / 0.250 |  |  |  |  |"
    assert lines[3] == "| bm3d | 30.50 / 0.500 | 28.00 / 0.750 |  |  | 2.00 |  |"
    assert lines[4].startswith("| sure | 30.50 / 0.500 | 28.00 / 0.750 | 300 | 12 | 2.00 | under-trained: 300 of")
    assert lines[5] == "| supervised |  |  |  |  |  | not possible: no \\| clean <images> |"


def test_a_long_training_is_not_called_short() -> None:
    assert not method_row(METHODS["sure"], SCORES, 400_000).note


def test_the_csv_has_every_figure_unrounded() -> None:
    rows = list(csv.DictReader(io.StringIO(comma_separated(ROWS))))
    assert (rows[1]["kodak psnr"], rows[1]["set14 ssim"]) == ("30.5", "0.75")
    assert rows[2]["training_seconds"] == "12.4"
    assert (rows[3]["kodak psnr"], rows[3]["note"]) == ("", "not possible: no | clean <images>")


def test_an_unknown_ssim_is_left_out() -> None:
    assert "| 30.00 |" in markdown([method_row(METHODS["bm3d"], [score("c", 30.0, float("nan"))])])


def test_the_page_has_the_table_and_crops_before_and_after(tmp_path: Path) -> None:
    planes = np.linspace(0, 1, 3 * 160 * 150, dtype=np.float32).reshape(3, 160, 150)
    case = Case(group="k", name="n", noisy=planes, clean=planes, shot_noise=0.0, read_noise=0.1, display=True)
    (tmp_path / "bm3d").mkdir()
    for index in range(CROPS + 2):
        keep_crop(tmp_path / "bm3d", index, planes, case)
    assert sorted(path.name for path in (tmp_path / "bm3d").iterdir()) == [crop_name(index) for index in range(CROPS)]
    html = page(PLAN, ROWS, tmp_path)
    assert html.count("<figure>") == CROPS
    assert "not possible: no | clean &lt;images&gt;" in html
    write_tables(PLAN, ROWS, tmp_path)
    assert (tmp_path / "comparison.html").read_text(encoding="utf-8") == html
    assert (tmp_path / "comparison.md").read_text(encoding="utf-8") == markdown(ROWS)
    assert (tmp_path / "comparison.csv").exists()


def test_a_raws_crop_is_shown_as_a_picture_and_without_a_clean_one_where_none_is_known(tmp_path: Path) -> None:
    from PIL import Image

    planes = np.full((4, 40, 30), 0.2, dtype=np.float32)
    case = Case(group="k", name="n", noisy=planes, clean=None, shot_noise=0.0, read_noise=0.1)
    keep_crop(tmp_path, 0, planes, case)
    with Image.open(tmp_path / crop_name(0)) as picture:
        assert picture.size == (64, 40)  # two of 30, and a gap
