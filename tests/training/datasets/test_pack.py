"""Packs carry pictures unchanged, of held-out ones no more than is judged on, and their licence."""

from __future__ import annotations

import hashlib
import json
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from training.datasets.pack import HELD_OUT_SIDE, MANIFEST_NAME, pack_pictures, unpack_pictures
from training.datasets.splits import HELD_OUT
from training.datasets.synthetic import load_pictures
from training.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

KEPT = min(HELD_OUT)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photographs, a held-out one, and a licence."""
    folder = tmp_path / "pictures"
    (folder / "inner").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, shape in (("a", (70, 90)), ("inner/b", (90, 70)), (KEPT, (530, 600))):
        Image.fromarray(rng.integers(0, 256, (*shape, 3), dtype=np.uint8)).save(folder / f"{name}.png")
    (folder / "LICENSE").write_text("free\n")
    return folder


def test_pictures_come_back_as_they_were(folder: Path, tmp_path: Path) -> None:
    pack = tmp_path / "pack.zip"
    assert pack_pictures(folder, pack) == 2
    unpacked = dict(unpack_pictures(pack, held_out=False))
    assert sorted(unpacked) == ["a.webp", "b.webp"]
    np.testing.assert_array_equal(unpacked["a.webp"], np.asarray(Image.open(folder / "a.png")))
    np.testing.assert_array_equal(unpacked["b.webp"], np.asarray(Image.open(folder / "inner" / "b.png")))


def test_of_a_held_out_picture_the_middle_alone_is_kept_to_judge_by(folder: Path, tmp_path: Path) -> None:
    pack = tmp_path / "pack.zip"
    pack_pictures(folder, pack)
    ((name, middle),) = unpack_pictures(pack, held_out=True)
    assert name == f"{KEPT}.webp"
    whole = np.asarray(Image.open(folder / f"{KEPT}.png"))
    np.testing.assert_array_equal(middle, whole[9 : 9 + HELD_OUT_SIDE, 44 : 44 + HELD_OUT_SIDE])


def test_a_pack_names_its_sources_and_their_licence(folder: Path, tmp_path: Path) -> None:
    pack = tmp_path / "pack.zip"
    pack_pictures(folder, pack)
    with zipfile.ZipFile(pack) as archive:
        facts = json.loads(archive.read(MANIFEST_NAME))
        assert archive.read("LICENSE") == b"free\n"
    assert facts["sha256"]["a"] == hashlib.sha256((folder / "a.png").read_bytes()).hexdigest()


def test_the_same_folder_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    packs = [tmp_path / "one.zip", tmp_path / "two.zip"]
    for pack in packs:
        pack_pictures(folder, pack)
    assert packs[0].read_bytes() == packs[1].read_bytes()


def test_patches_of_a_pack_are_those_of_its_folder(folder: Path, tmp_path: Path) -> None:
    pack = tmp_path / "pack.zip"
    pack_pictures(folder, pack)
    sources = [load_pictures(place, patch_size=16, scales=(1.0,)) for place in (folder, pack)]
    for index in range(4):
        one, two = (source.draw((0, index)) for source in sources)
        np.testing.assert_array_equal(one.noisy, two.noisy)


def test_two_pictures_of_one_name_are_refused(folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(folder / "inner" / "a.png")
    with pytest.raises(ConfigError, match="two pictures are named a"):
        pack_pictures(folder, tmp_path / "pack.zip")


def test_what_is_no_picture_leaves_no_pack(folder: Path, tmp_path: Path) -> None:
    (folder / "c.png").write_bytes(b"no picture")
    with pytest.raises(ConfigError, match=r"c\.png"):
        pack_pictures(folder, tmp_path / "pack.zip")
    assert not (tmp_path / "pack.zip").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no picture in"):
        pack_pictures(tmp_path / "empty", tmp_path / "pack.zip")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_what_is_no_pack_or_half_of_one_is_refused(folder: Path, tmp_path: Path, share: float) -> None:
    pack = tmp_path / "pack.zip"
    pack_pictures(folder, pack)
    content = pack.read_bytes()
    pack.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ConfigError, match="expected a pack of pictures"):
        list(unpack_pictures(pack, held_out=False))
