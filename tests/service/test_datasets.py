"""The data sets that the server has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidd_factory import make_blocks

from service.datasets import dataset_names, dataset_path, list_datasets
from service.settings import Settings
from training.datasets.mini_blocks import make_mini_blocks
from training.datasets.validation_sets import MINI, open_validation

if TYPE_CHECKING:
    from pathlib import Path


def place(settings: Settings, name: str) -> Path:
    """A folder of the operator's."""
    folder = settings.datasets_dir / name
    folder.mkdir(parents=True)
    return folder


def listed(settings: Settings) -> list[tuple[str, str, int | None]]:
    """The listing, in short."""
    return [(each.name, each.kind, each.images) for each in list_datasets(settings).datasets]


def test_without_a_folder_of_data_sets_the_one_that_ships_is_there(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert listed(settings) == [(MINI, "shipped", 16)]
    assert make_mini_blocks(size=32).shape[0] == 16


def test_the_operators_folders_follow_by_name(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    make_blocks(place(settings, "sidd"), images=3, benchmark=True)
    make_blocks(place(settings, "lab"))
    (settings.datasets_dir / "notes.txt").write_text("no folder", encoding="utf-8")
    assert listed(settings) == [(MINI, "shipped", 16), ("lab", "placed", 2), ("sidd", "placed", 6)]


def test_a_folder_without_blocks_says_so(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    place(settings, "empty")
    (place(settings, "damaged") / "BenchmarkNoisyBlocksRaw.mat").write_bytes(b"no such file")
    assert listed(settings)[1:] == [("damaged", "placed", None), ("empty", "placed", None)]


def test_a_folder_with_the_name_of_the_set_that_ships_is_not_listed_twice(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    make_blocks(place(settings, MINI))
    assert dataset_names(settings) == [MINI]
    assert dataset_path(settings, MINI) == MINI


def test_what_is_listed_can_be_opened(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    make_blocks(place(settings, "sidd"), benchmark=True)
    for name, _, images in listed(settings)[1:]:
        sets = open_validation(dataset_path(settings, name))
        assert sum(blocks.shape[0] for blocks in sets) == images
