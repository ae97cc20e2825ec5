"""The rows as Markdown: quality per noise level, then the mean, then the mean of each set of pictures; noise models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from benchmarks.quality.measuring import ESTIMATED, TRUE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.quality.measuring import Row


def quality_table(rows: Sequence[Row]) -> str:
    """PSNR / SSIM of every column, and by how much the first model is ahead."""
    names = list(rows[0].columns)
    model = next((name.removesuffix(f", {TRUE} noise") for name in names if name.endswith(f", {TRUE} noise")), None)
    differences = ["first model − best BM3D", "estimated − true"] if model else []
    lines = _head(["noise", "blocks", *names, *differences])
    for title, chosen in _groups(rows):
        means = {name: _mean_quality(chosen, name) for name in names}
        cells = [f"{decibels:.2f} / {similarity:.4f}" for decibels, similarity in means.values()]
        if model:
            true, estimated = (means[f"{model}, {noise} noise"] for noise in (TRUE, ESTIMATED))
            best = max((means[name] for name in names if name.startswith("bm3d")), default=None)
            cells += [_difference(true, best) if best else "BM3D is missing", _difference(estimated, true)]
        lines.append(_line([title, str(len(chosen)), *cells]))
    return "\n".join(lines)


def noise_table(rows: Sequence[Row]) -> str:
    """How far the estimated noise parameters are from the true ones, one estimate a raw."""
    raws = [row for row in rows if row.block == 0]
    lines = _head(["noise", "raws", "without estimate", "shot ÷ true", "deviation at mid-grey ÷ true"])
    for level in dict.fromkeys(row.level for row in raws):
        at = [row for row in raws if row.level == level]
        lines.append(
            _line(
                [
                    level,
                    str(len(at)),
                    str(sum(row.shot_ratio is None for row in at)),
                    _spread(row.shot_ratio for row in at),
                    _spread(row.deviation_ratio for row in at),
                ]
            )
        )
    return "\n".join(lines)


def _groups(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """The rows of every level, all of them, and those of every set of pictures."""
    by_level = [(level, [row for row in rows if row.level == level]) for level in dict.fromkeys(r.level for r in rows)]
    sets = dict.fromkeys(row.group for row in rows)
    by_set = [(f"mean, {group}", [row for row in rows if row.group == group]) for group in sets]
    return [*by_level, ("**mean**", list(rows)), *(by_set if len(by_set) > 1 else [])]


def _mean_quality(rows: Sequence[Row], name: str) -> tuple[float, float]:
    """PSNR and SSIM, each a mean over blocks."""
    values = [(row.columns[name].psnr, row.columns[name].ssim) for row in rows]
    decibels, similarity = np.mean(values, axis=0)
    return float(decibels), float(similarity)


def _difference(first: tuple[float, float], second: tuple[float, float]) -> str:
    return f"{first[0] - second[0]:+.2f} / {first[1] - second[1]:+.4f}"


def _spread(values: Iterable[float | None]) -> str:
    """The median, and the range of nine in ten."""
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    low, middle, high = np.quantile(known, [0.05, 0.5, 0.95])
    return f"{middle:.2f} ({low:.2f} … {high:.2f})"


def _head(titles: Sequence[str]) -> list[str]:
    return [_line(titles), _line(["---"] * len(titles))]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
