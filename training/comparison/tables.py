"""The comparison as a table: Markdown, CSV, and a page with crops.

In the flow: scores → **table**. Importing this imports no torch.
"""

from __future__ import annotations

import base64
import csv
import io
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from training.comparison.crops import CROPS, crop_name
from training.comparison.plan import ENOUGH, PAPERS_STEPS
from training.raw.atomic import replacing
from training.validation_report import STYLE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    from training.comparison.methods import Method
    from training.comparison.plan import Plan

NAME = "comparison"
INPUT = "(noisy input)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A line of the table."""

    name: str
    words: str = ""
    groups: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Mean PSNR and SSIM by group; SSIM is not a number where it is not known."""
    steps: int = 0
    training_seconds: float = 0.0
    seconds_per_megapixel: float = 0.0
    note: str = ""


def method_row(
    method: Method, scores: Sequence[dict[str, Any]], steps: int = 0, training_seconds: float = 0.0, note: str = ""
) -> Row:
    """A method's line; a short training is called what it is."""
    short = 0 < steps < ENOUGH * PAPERS_STEPS
    notes = [note, f"under-trained: {steps:,} of the papers' {PAPERS_STEPS:,} steps" if short else ""]
    return Row(
        name=method.name,
        words=method.words,
        groups=group_means(scores, ""),
        steps=steps,
        training_seconds=training_seconds,
        seconds_per_megapixel=float(np.median([s["seconds"] / s["megapixels"] for s in scores])) if scores else 0.0,
        note="; ".join(filter(None, notes)),
    )


def input_row(scores: Sequence[dict[str, Any]]) -> Row:
    """The line of what all methods were given."""
    return Row(name=INPUT, groups=group_means(scores, "noisy_"))


def group_means(scores: Sequence[dict[str, Any]], prefix: str) -> dict[str, tuple[float, float]]:
    """Mean PSNR and SSIM of every group, in the groups' order."""
    means = {}
    for group in dict.fromkeys(score["group"] for score in scores):
        rows = [(score[f"{prefix}psnr"], score[f"{prefix}ssim"]) for score in scores if score["group"] == group]
        psnr, ssim = np.mean(rows, axis=0)
        means[group] = float(psnr), float(ssim)
    return means


def headings(rows: Sequence[Row]) -> list[str]:
    """Of all columns."""
    groups = dict.fromkeys(group for row in rows for group in row.groups)
    return ["method", *groups, "steps", "training s", "s/MP", "note"]


def cells(row: Row, heads: Sequence[str]) -> list[str]:
    """A line's cells as text."""
    found = {group: _quality(*values) for group, values in row.groups.items()}
    found |= {
        "method": row.name,
        "steps": str(row.steps or ""),
        "training s": f"{row.training_seconds:.0f}" if row.steps else "",
        "s/MP": f"{row.seconds_per_megapixel:.2f}" if row.seconds_per_megapixel else "",
        "note": row.note,
    }
    return [found.get(head, "") for head in heads]


def _quality(psnr: float, ssim: float) -> str:
    """PSNR in dB / SSIM.

    >>> _quality(31.8712, float("nan"))
    '31.87'
    """
    return f"{psnr:.2f}" if np.isnan(ssim) else f"{psnr:.2f} / {ssim:.3f}"


def markdown(rows: Sequence[Row]) -> str:
    """The table for a terminal and for Markdown files."""
    heads = headings(rows)
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in cells(row, heads)] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def comma_separated(rows: Sequence[Row]) -> str:
    """The table for programs: PSNR and SSIM in columns of their own, not rounded."""
    groups = headings(rows)[1:-4]
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    scores = [f"{group} {name}" for group in groups for name in ("psnr", "ssim")]
    table.writerow(["method", *scores, "steps", "training_seconds", "seconds_per_megapixel", "note"])
    for row in rows:
        values = [value for group in groups for value in row.groups.get(group, ("", ""))]
        table.writerow([row.name, *values, row.steps, row.training_seconds, row.seconds_per_megapixel, row.note])
    return written.getvalue()


def page(plan: Plan, rows: Sequence[Row], run: Path) -> str:
    """The table as one page that needs nothing else, with crops before and after.

    Args:
        plan: What was compared.
        rows: The table.
        run: The comparison's folder, where the crops lie.
    """
    heads = headings(rows)
    facts = {name: value for name, value in plan.describe().items() if value not in ("", None)}
    facts |= {"budget": plan.budget or "none"}
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items())
    head = "".join(f"<th>{escape(each)}</th>" for each in heads)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells(row, heads))}</tr>" for row in rows)
    table = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    crops = "".join(_crops(row, run) for row in rows)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Methods side by side</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body><h1>Methods side by side</h1><dl>{listed}</dl>{table}"
        f"<h2>Crops: noisy, denoised, clean</h2>{crops}</body></html>\n"
    )


def _crops(row: Row, run: Path) -> str:
    """A method's crops as figures."""
    figures = ""
    for index in range(CROPS):
        path = run / row.name / crop_name(index)
        if path.exists():
            source = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
            caption = escape(f"{row.name}: {row.words}")
            figures += f'<figure><img src="{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
    return figures


def write_tables(plan: Plan, rows: Sequence[Row], run: Path) -> None:
    """Write comparison.md, comparison.csv and comparison.html.

    Raises:
        OSError: The folder cannot be written to, or the disk is full.
    """
    files = {"md": markdown(rows), "csv": comma_separated(rows), "html": page(plan, rows, run)}
    for suffix, text in files.items():
        with replacing(run / f"{NAME}.{suffix}") as file:
            file.write(text.encode())
