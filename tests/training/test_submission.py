"""The submission files, read as the benchmark's servers read them."""

from __future__ import annotations

import base64
import csv
from typing import TYPE_CHECKING

import numpy as np
from scipy.io import loadmat

from training.submission import Submission

if TYPE_CHECKING:
    from pathlib import Path


def test_both_files_hold_every_block_at_its_place(tmp_path: Path) -> None:
    blocks = np.random.default_rng(0).random((3, 2, 16, 16), dtype=np.float32)
    submission = Submission(3, 2)
    for image, denoised in enumerate(blocks):
        submission.add(image, denoised)
    submission.write(tmp_path, "photosite@1", 1.5)

    found = loadmat(tmp_path / "SubmitRaw.mat")
    cells = found["DenoisedBlocksRaw"]
    assert cells.shape == (3, 2)
    assert cells[0, 0].dtype == np.float32
    np.testing.assert_array_equal(np.array([[cells[i, j] for j in range(2)] for i in range(3)]), blocks)
    assert float(found["TimeMPRaw"].item()) == 1.5
    assert found["OptionalData"]["MethodName"].item().item() == "photosite@1"
    assert found["OptionalData"].dtype.names == ("MethodName", "Authors", "PaperTitle", "Venue")

    with (tmp_path / "SubmitRaw.csv").open(newline="", encoding="ascii") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["ID", "BLOCK"]
    assert [row[0] for row in rows[1:]] == [str(number) for number in range(6)]
    for row, block in zip(rows[1:], blocks.reshape(6, 16, 16), strict=True):
        decoded = np.frombuffer(base64.b64decode(row[1], validate=True), dtype=np.float32).reshape(16, 16)
        np.testing.assert_array_equal(decoded, block)


def test_a_submission_keeps_no_hold_on_what_it_was_given(tmp_path: Path) -> None:
    denoised = np.zeros((1, 4, 4), dtype=np.float32)
    submission = Submission(1, 1)
    submission.add(0, denoised)
    denoised += 1
    submission.write(tmp_path, "m", 0)
    assert float(loadmat(tmp_path / "SubmitRaw.mat")["DenoisedBlocksRaw"][0, 0].max()) == 0
