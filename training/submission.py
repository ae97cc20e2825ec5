"""The benchmark's submission files: SubmitRaw.mat for its first server, SubmitRaw.csv for its present one.

In the flow: benchmark blocks → validate → **submission**.

Source: the SIDD benchmark's instructions. SubmitRaw.mat holds DenoisedBlocksRaw, a cell array of images × blocks with
a single-precision mosaic in each, TimeMPRaw, the seconds per 1024×1024 photosites, and OptionalData, a struct of
texts. SubmitRaw.csv has a row a block, image by image: ID from 0 on, and BLOCK, the base64 of the mosaic's bytes
(float32, little-endian, row by row).
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import numpy as np
from scipy.io import savemat

from training.raw.atomic import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MAT_NAME, CSV_NAME = "SubmitRaw.mat", "SubmitRaw.csv"


class Submission:
    """Collects denoised images; 40 of SIDD's take 335 MB.

    Args:
        images: How many there are.
        blocks: How many blocks each has.
    """

    def __init__(self, images: int, blocks: int) -> None:
        self._cells = np.empty((images, blocks), dtype=object)

    def add(self, image: int, denoised: NDArray[np.float32]) -> None:
        """Take the denoised blocks of one image, (blocks, H, W) float32 in [0, 1]."""
        for index, block in enumerate(denoised):
            self._cells[image, index] = block.astype("<f4")

    def write(self, folder: Path, method: str, seconds_per_megapixel: float) -> None:
        """Write both files.

        Args:
            folder: Where they go; it exists.
            method: Name of the method.
            seconds_per_megapixel: Per 1024×1024 photosites.

        Raises:
            OSError: The folder cannot be written to, or the disk is full.
        """
        with replacing(folder / CSV_NAME) as file:
            file.write(b"ID,BLOCK\n")
            for row, block in enumerate(self._cells.ravel()):
                file.write(b"%d,%b\n" % (row, base64.b64encode(block.tobytes())))
        variables = {
            "DenoisedBlocksRaw": self._cells,
            "TimeMPRaw": seconds_per_megapixel,
            "OptionalData": {"MethodName": method, "Authors": "", "PaperTitle": "", "Venue": ""},
        }
        with replacing(folder / MAT_NAME) as file:
            savemat(file, variables)
