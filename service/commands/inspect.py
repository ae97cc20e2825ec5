"""`photosite inspect`: what a raw file is, and whether it can be denoised. Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.commands.batch import raws_under
from service.commands.results import FileResult, exit_code, print_failure
from training.errors import RawError

if TYPE_CHECKING:
    import argparse


def add_parsers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "inspect",
        help="say what a raw file is, and whether it can be denoised",
        description="Camera, colour pattern, levels, storage and noise model of raw files; or why they are refused.",
    )
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="raw file, or a folder: a table of all raws in it"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a file")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Inspect all files; 3 if none can be denoised, 4 if some cannot."""
    results = []
    for given in arguments.files:
        table = Table(given) if given.is_dir() and not arguments.json else None
        for file in raws_under(given) if given.is_dir() else [given]:
            results.append(result := inspect(file, quiet=table is not None))
            if table is not None:
                table.print_row(result)
            elif arguments.json:
                print(json.dumps(result.to_json()), flush=True)
            elif not result.error:
                print("\n".join(_lines(file, result.report)))
    return exit_code(results)


class Table:
    """A folder's raws, one a line, as they are found out about.

    Args:
        folder: Names are shown relative to it.
    """

    COLUMNS = (("file", 28), ("camera", 26), ("ISO", 6), ("size", 11), ("pattern", 7), ("bits", 4), ("storage", 16))
    """Title and width; a verdict follows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._print([title for title, _ in self.COLUMNS], "verdict")

    def print_row(self, result: FileResult) -> None:
        """A file's line."""
        name = str(result.file.relative_to(self._folder))
        if result.error:
            self._print([name, *(len(self.COLUMNS) - 1) * ["-"]], f"{result.error.code}: {result.error.message}")
            return
        report = result.report
        size = "{}×{}".format(*report["size"])
        storage = report["compression"].removesuffix(", decoded by LibRaw")
        facts = [
            report["camera"],
            report["iso"] or "-",
            size,
            report["cfa_pattern"],
            report["bits_per_sample"],
            storage,
        ]
        self._print([name, *map(str, facts)], "; ".join(["can be denoised", *report["warnings"]]))

    def _print(self, cells: list[str], verdict: str) -> None:
        padded = (cell.ljust(width) for cell, (_, width) in zip(cells, self.COLUMNS, strict=True))
        print("  ".join([*padded, verdict]), flush=True)


def inspect(file: Path, *, quiet: bool = False) -> FileResult:
    """Everything that the file and its pixels say; a failure, printed unless `quiet`, where it cannot be denoised."""
    from training.capture_facts import describe_capture  # noqa: PLC0415  (numpy, which `--help` does not need)

    try:
        facts = describe_capture(file)
    except RawError as error:
        return FileResult(file, error=error) if quiet else print_failure(file, error)
    if facts.refusal:
        return FileResult(file, error=facts.refusal) if quiet else print_failure(file, facts.refusal)
    return FileResult(file, report=facts.to_json())


def _lines(file: Path, report: dict[str, Any]) -> list[str]:
    """For people."""
    width, height = report["size"]
    top, left, bottom, right = report["active_area"]
    estimate = report["noise_estimate"]
    black = report["black_level"]
    rows = [
        ("camera", report["camera"] + (f", ISO {report['iso']}" if report["iso"] else "")),
        *([("taken", taken)] if (taken := _taken(report)) else []),
        ("size", f"{width}×{height}, of which rows {top}–{bottom}, columns {left}–{right} saw light"),
        ("pattern", report["cfa_pattern"]),
        ("storage", f"{report['bits_per_sample']} bits, {report['compression']}"),
        ("black", f"{black[0]:g}" if len(set(black)) == 1 else "R {:g}, Gr {:g}, Gb {:g}, B {:g}".format(*black)),
        ("white", f"{report['white_level']:g}"),
        ("noise", f"{_pair([report['noise']['shot'][0], report['noise']['read'][0]])} ({report['noise_source']})"),
        ("tag", "no noise profile" if report["noise_profile"] is None else _pair(report["noise_profile"])),
        ("picture", "nowhere flat enough to see the noise" if estimate is None else _estimate(estimate)),
        *(("warning", warning) for warning in report["warnings"]),
        ("verdict", "can be denoised"),
    ]
    return [str(file), *(f"  {name:<8} {text}" for name, text in rows)]


def _taken(report: dict[str, Any]) -> str:
    """Exposure and time, as far as they are known."""
    seconds, f_number, captured = report["exposure_time_s"], report["f_number"], report["captured"]
    parts = [
        seconds and (f"{seconds:g} s" if seconds >= 0.3 else f"1/{1 / seconds:.0f} s"),
        f_number and f"f/{f_number:g}",
        captured and captured.replace("T", " "),
    ]
    return ", ".join(part for part in parts if part)


def _pair(profile: list[float]) -> str:
    return f"shot {profile[0]:.3g}, read {profile[1]:.3g}" + (" (of red)" if len(profile) > 2 else "")


def _estimate(estimate: dict[str, float]) -> str:
    return (
        f"shot {estimate['shot']:.3g} ± {estimate['shot_error']:.1g}, "
        f"read {estimate['read']:.3g} ± {estimate['read_error']:.1g}"
    )
