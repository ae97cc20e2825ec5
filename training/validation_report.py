"""The report of a validation: report.json for programs, report.html for people, the worst blocks as pictures.

In the flow: validate → **report**.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
import platform
from html import escape
from typing import TYPE_CHECKING, Any

from training import __version__
from training.pictures import encode_png, side_by_side
from training.raw.atomic import replacing
from training.raw.bayer import pack, unify
from training.validate import CONVENTION, groups, means

if TYPE_CHECKING:
    from pathlib import Path

    from training.engines.base import Engine
    from training.raw.bayer import CfaPattern
    from training.validate import KeptBlock, ValidateOptions, Validation

JSON_NAME, HTML_NAME = "report.json", "report.html"
"""Pixels between the pictures of a block."""


def describe(
    engine: Engine, dataset: Path | str, options: ValidateOptions, results: tuple[Validation, ...]
) -> dict[str, Any]:
    """Everything that was found, in plain JSON types; scores are rounded to what they are good for."""
    return {
        "model": engine.manifest.reference,
        "engine": f"{engine.device} {engine.precision}",
        "dataset": str(dataset),
        "packing": options.packing,
        "convention": CONVENTION,
        "software": f"Photosite {__version__}",
        "hardware": platform.processor() or platform.machine(),
        "measured": dt.datetime.now(tz=dt.UTC).isoformat(timespec="seconds"),
        **{result.blocks.name: _describe(result) for result in results},
    }


def _describe(result: Validation) -> dict[str, Any]:
    """One block set."""
    shape = result.blocks.shape
    return {
        "images": shape[0],
        "blocks_per_image": shape[1],
        "block_size": list(shape[2:]),
        "seconds_per_megapixel": round(result.seconds_per_megapixel, 4),
        "seconds_per_1024x1024": round(result.seconds_per_benchmark_megapixel, 4),
        "mean": _rounded(means(result.scores)) if result.scores else None,
        "groups": [_rounded(row) for row in groups(result)],
        "per_image": [_image(result, image) for image in range(shape[0])],
        "worst": [
            {**_score(block), "scene": result.blocks.scenes[block.score.image].name, "file": picture_name(rank)}
            for rank, block in enumerate(result.worst, 1)
        ],
    }


def _image(result: Validation, image: int) -> dict[str, Any]:
    """One image: its noise model, its means and the figures of its blocks."""
    scene, noise = result.blocks.scenes[image], result.noise[image]
    scores = [score for score in result.scores if score.image == image]
    return {
        "scene": scene.name,
        "camera": scene.camera,
        "iso": scene.iso,
        "cfa_pattern": result.blocks.patterns[image],
        "noise": {"shot": noise.shot_noise, "read": noise.read_noise, "source": noise.source},
        "mean": _rounded(means(scores)) if scores else None,
        "block_psnr": [_number(score.psnr) for score in scores],
        "block_ssim": [_number(score.ssim) for score in scores],
    }


def _score(block: KeptBlock) -> dict[str, Any]:
    score = block.score
    figures = {"noisy_psnr": score.noisy_psnr, "psnr": score.psnr, "gain": score.gain, "ssim": score.ssim}
    return {"image": score.image, "block": score.block, **_rounded(figures)}


def _rounded(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: _number(value) if isinstance(value, float) else value for name, value in figures.items()}


def _number(value: float) -> float | None:
    """What JSON can hold: equal blocks have infinitely many decibels."""
    return round(value, 5) if math.isfinite(value) else None


def picture_name(rank: int) -> str:
    """File name of a picture of the worst blocks.

    >>> picture_name(1)
    'worst-01.png'
    """
    return f"worst-{rank:02}.png"


def write_report(folder: Path, report: dict[str, Any], results: tuple[Validation, ...]) -> None:
    """Write report.json, report.html and the pictures.

    Args:
        folder: Where they go; it exists.
        report: From `describe`.
        results: What it describes.

    Raises:
        OSError: The folder cannot be written to, or the disk is full.
    """
    pictures = {
        picture_name(rank): block_picture(block, result.blocks.patterns[block.score.image])
        for result in results
        for rank, block in enumerate(result.worst, 1)
    }
    files = {**pictures, JSON_NAME: json.dumps(report, indent=1, ensure_ascii=False).encode()}
    files[HTML_NAME] = html_page(report, pictures).encode()
    for name, content in files.items():
        with replacing(folder / name) as file:
            file.write(content)


def block_picture(block: KeptBlock, cfa_pattern: CfaPattern) -> bytes:
    """Noisy, denoised and clean side by side as a PNG: half size, grey balanced by the clean one, brightened alike."""
    noisy, denoised, clean = (pack(unify(mosaic, cfa_pattern)) for mosaic in (block.noisy, block.denoised, block.clean))
    return encode_png(side_by_side([noisy, denoised, clean], clean))


def text_table(report: dict[str, Any]) -> str:
    """The figures as a Markdown table a block set, for a terminal."""
    lines = [f"{report['model']} ({report['engine']}) on {report['dataset']}, packing {report['packing']}"]
    for name in ("validation", "benchmark"):
        found = report.get(name)
        if found:
            size = f"{found['images']} images × {found['blocks_per_image']} blocks"
            lines += ["", f"{name}: {size}, {found['seconds_per_megapixel']:.3f} s per megapixel"]
        if found and found["mean"]:
            lines += ["", "| " + " | ".join(HEADINGS) + " |", "|---" * len(HEADINGS) + "|"]
            lines += ["| " + " | ".join(cells) + " |" for cells in _rows(found)]
    return "\n".join(lines)


HEADINGS = ("camera", "ISO", "blocks", "input dB", "output dB", "gain dB", "input SSIM", "output SSIM")


def _rows(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """The table's cells: groups, then the mean of all blocks."""
    everything = {"camera": "all", "iso": None, "blocks": found["images"] * found["blocks_per_image"], **found["mean"]}
    return [
        (
            str(row["camera"]),
            "all" if row["iso"] is None else str(row["iso"] or "unknown"),
            str(row["blocks"]),
            _decibels(row["noisy_psnr"]),
            _decibels(row["psnr"]),
            _decibels(row["gain"]),
            f"{row['noisy_ssim']:.4f}",
            f"{row['ssim']:.4f}",
        )
        for row in [*found["groups"], everything]
    ]


def _decibels(value: float | None) -> str:
    return "∞" if value is None else f"{value:.3f}"


STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 25%, transparent); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .75rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; }
tr.sum { font-weight: 600; }
figure { margin: 0 0 1.5rem; } img { width: 100%; image-rendering: pixelated; } figcaption { opacity: .8; }
dt { float: left; clear: left; min-width: 11rem; opacity: .8; } dd { margin-left: 11rem; }
"""


def html_page(report: dict[str, Any], pictures: dict[str, bytes]) -> str:
    """The report as one page that needs nothing else.

    Args:
        report: From `describe`.
        pictures: PNGs by file name; they are put into the page.
    """
    title = f"Validation of {report['model']}"
    facts = {name: report[name] for name in ("dataset", "engine", "packing", "convention", "software", "measured")}
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items())
    parts = [_section(name, report[name], pictures) for name in ("validation", "benchmark") if name in report]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body><h1>{escape(title)}</h1><dl>{listed}</dl>{''.join(parts)}</body></html>\n"
    )


def _section(name: str, found: dict[str, Any], pictures: dict[str, bytes]) -> str:
    """One block set: headline, table, worst blocks."""
    size = f"{found['images']} images of {found['blocks_per_image']} blocks"
    speed = f"{found['seconds_per_megapixel']:.3f} s per megapixel"
    head = f"<h2>{escape(name.capitalize())} blocks</h2><p>{size}; {speed}."
    if not found["mean"]:
        return f"{head} Their clean blocks are not public: the submission files lie beside this page.</p>"
    mean = found["mean"]
    headline = f" <strong>{_decibels(mean['psnr'])} dB, SSIM {mean['ssim']:.4f}</strong></p>"
    figures = "".join(_figure(worst, pictures[worst["file"]]) for worst in found["worst"])
    gallery = f"<h2>Blocks with the least gain</h2><p>Noisy, denoised, clean.</p>{figures}" if figures else ""
    return f"{head}{headline}{_table(found)}{gallery}"


def _table(found: dict[str, Any]) -> str:
    heads = "".join(f"<th>{escape(heading)}</th>" for heading in HEADINGS)
    body = "".join(
        f"<tr{' class=sum' if cells[1] == 'all' else ''}>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
        for cells in _rows(found)
    )
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def _figure(worst: dict[str, Any], picture: bytes) -> str:
    place = f"{worst['scene']}, block {worst['block'] + 1}"
    figures = f"{_decibels(worst['noisy_psnr'])} → {_decibels(worst['psnr'])} dB, SSIM {worst['ssim']:.4f}"
    source = f"data:image/png;base64,{base64.b64encode(picture).decode('ascii')}"
    caption = f"{escape(place)}: {escape(figures)}"
    return f'<figure><img src="{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
