"""Black and white levels: stored numbers ↔ the linear signal.

In the flow: read_raw → **normalise** → unify … restore → **denormalise** → write_dng.

Source: DNG specification 1.4, chapter 5 "Mapping Raw Values to Linear Reference Values": BlackLevel (50714) with its
BlackLevelDeltaH (50715) and BlackLevelDeltaV (50716), WhiteLevel (50717). We divide by white − black per CFA position.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.raw.bayer import channel_grid, tile_cell

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.raw.bayer import CfaPattern


@dataclass(frozen=True, kw_only=True, slots=True)
class Levels:
    """Where black and white lie in a file's own numbers, over the active area."""

    black_level: tuple[float, float, float, float]
    """Per channel R, Gr, Gb, B; may be fractional."""
    white_level: float
    """The number at which a photosite counts as clipped."""
    black_delta_rows: tuple[float, ...] = ()
    """Added to the black of each row of the active area (BlackLevelDeltaV); empty for none."""
    black_delta_columns: tuple[float, ...] = ()
    """Added to the black of each column of the active area (BlackLevelDeltaH); empty for none."""

    def __post_init__(self) -> None:
        """Reject levels that leave no signal between black and white."""
        if not 0 < self.white_level <= 65535:
            raise ValueError(f"got a white level of {self.white_level:g}, wanted more than 0 and at most 65535")
        if not (np.isfinite(self.signal_range) & (self.signal_range > 0)).all():
            raise ValueError(f"got a black level of {self.black_level}, wanted less than white ({self.white_level:g})")

    @property
    def mean_black(self) -> NDArray[np.float64]:
        """(4,) black per channel R, Gr, Gb, B, the rows' and columns' mean deltas included."""
        deltas = [np.mean(delta) for delta in (self.black_delta_rows, self.black_delta_columns) if delta]
        return np.asarray(self.black_level, dtype=np.float64) + float(sum(deltas))

    @property
    def signal_range(self) -> NDArray[np.float64]:
        """(4,) stored numbers between black and white, per channel R, Gr, Gb, B."""
        return self.white_level - self.mean_black

    def scaled(self, shift: int) -> Levels:
        """The levels of the same signal in numbers times 2 ** shift, which `white_level` must bear."""
        factor = 2**shift
        first, second, third, fourth = (factor * black for black in self.black_level)
        return Levels(
            black_level=(first, second, third, fourth),
            white_level=factor * self.white_level,
            black_delta_rows=tuple(factor * delta for delta in self.black_delta_rows),
            black_delta_columns=tuple(factor * delta for delta in self.black_delta_columns),
        )

    def black_plane(
        self, cfa_pattern: CfaPattern, shape: tuple[int, int], origin: tuple[int, int] = (0, 0)
    ) -> NDArray[np.float32]:
        """(H, W) float32: black at every photosite of the active area, or of a window that begins at `origin`.

        >>> levels = Levels(black_level=(1, 2, 3, 4), white_level=99, black_delta_rows=(0, 10, 20, 30))
        >>> levels.black_plane("RGGB", (1, 2), (2, 0)).tolist()
        [[21.0, 22.0]]
        """
        cell = np.asarray(self.black_level, dtype=np.float32)[channel_grid(cfa_pattern)]
        black = tile_cell(cell, shape)
        if self.black_delta_rows:
            black = black + np.asarray(self.black_delta_rows, dtype=np.float32)[origin[0] :][: shape[0], None]
        if self.black_delta_columns:
            black = black + np.asarray(self.black_delta_columns, dtype=np.float32)[None, origin[1] :][:, : shape[1]]
        return black

    def black_of(
        self, channel: int, rows: NDArray[np.intp], columns: NDArray[np.intp]
    ) -> np.float32 | NDArray[np.float32]:
        """Black of one channel at these rows and columns of the active area, as `black_plane` has it there.

        Args:
            channel: 0 … 3 for R, Gr, Gb, B.
            rows: Of any shape.
            columns: Of a shape that goes with it.

        Returns:
            One number where the file has no deltas, else what broadcasts to the shape of rows with columns.

        >>> levels = Levels(black_level=(1, 2, 3, 4), white_level=99, black_delta_rows=(0, 10, 20, 30))
        >>> levels.black_of(2, np.array([[1], [3]]), np.array([[0, 2]])).tolist()
        [[13.0], [33.0]]
        """
        black: np.float32 | NDArray[np.float32] = np.float32(self.black_level[channel])
        if self.black_delta_rows:
            black = black + np.asarray(self.black_delta_rows, dtype=np.float32)[rows]
        if self.black_delta_columns:
            black = black + np.asarray(self.black_delta_columns, dtype=np.float32)[columns]
        return black

    def range_plane(self, cfa_pattern: CfaPattern, shape: tuple[int, int]) -> NDArray[np.float32]:
        """(H, W) float32: stored numbers between black and white at every photosite of the active area."""
        return tile_cell(self.signal_range.astype(np.float32)[channel_grid(cfa_pattern)], shape)


def normalise(mosaic: NDArray[np.uint16], levels: Levels, cfa_pattern: CfaPattern) -> NDArray[np.float32]:
    """Stored numbers to the linear signal: black becomes 0, white 1.

    Never clipped: noise below black must stay zero-mean.

    Args:
        mosaic: (H, W) uint16, the active area.
        levels: Its levels.
        cfa_pattern: Its pattern.

    Returns:
        (H, W) float32, linear, nominally [0, 1].

    >>> levels = Levels(black_level=(100, 110, 500, 130), white_level=1100)
    >>> normalise(np.array([[600, 110], [200, 1100]], dtype=np.uint16), levels, "RGGB").tolist()
    [[0.5, 0.0], [-0.5, 1.0]]
    """
    black = levels.black_plane(cfa_pattern, mosaic.shape)
    return (mosaic.astype(np.float32) - black) / levels.range_plane(cfa_pattern, mosaic.shape)


def denormalise(signal: NDArray[np.float32], levels: Levels, cfa_pattern: CfaPattern) -> NDArray[np.float32]:
    """Undo `normalise`: the linear signal to the file's numbers, neither rounded nor clipped."""
    return signal * levels.range_plane(cfa_pattern, signal.shape) + levels.black_plane(cfa_pattern, signal.shape)


def quantise(values: NDArray[np.float32], largest: int) -> NDArray[np.uint16]:
    """Round to the nearest whole number and clip to what the file can hold, 0 … `largest`; no dither.

    >>> quantise(np.array([-3.0, 1.5, 2.5, 70000.0], dtype=np.float32), 65535).tolist()
    [0, 2, 2, 65535]
    """
    rounded = np.rint(values)
    return np.clip(rounded, 0, largest, out=rounded).astype(np.uint16)
