"""`photosite inspect`: what a raw file is, and whether it can be denoised. Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.commands.results import FileResult, exit_code, print_failure
from training.errors import RawError

if TYPE_CHECKING:
    import argparse

    from training.noise_choice import NoiseChoice
    from training.raw.image import RawMetadata


def add_parsers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "inspect",
        help="say what a raw file is, and whether it can be denoised",
        description="Camera, colour pattern, levels, storage and noise model of raw files; or why they are refused.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="raw file")
    parser.add_argument("--json", action="store_true", help="print one JSON object a file")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Inspect all files; 3 if none can be denoised, 4 if some cannot."""
    results = []
    for file in arguments.files:
        results.append(result := inspect(file))
        if arguments.json:
            print(json.dumps(result.to_json()), flush=True)
        elif not result.error:
            print("\n".join(_lines(file, result.report)))
    return exit_code(results)


def inspect(file: Path) -> FileResult:
    """Everything that the file and its pixels say."""
    from training.denoise import check_denoisable, pack_signal  # noqa: PLC0415  (numpy, which `--help` does not need)
    from training.noise_choice import choose_noise  # noqa: PLC0415
    from training.raw.dng import read_raw  # noqa: PLC0415

    try:
        raw = read_raw(file)
        warnings = check_denoisable(raw.metadata)
        choice = choose_noise(pack_signal(raw), raw.metadata)
    except RawError as error:
        return print_failure(file, error)
    return FileResult(file, report=describe(raw.metadata, choice, (*warnings, *choice.warnings)))


def describe(metadata: RawMetadata, choice: NoiseChoice, warnings: tuple[str, ...]) -> dict[str, Any]:
    """Plain JSON types, in the order in which they are printed."""
    estimate = choice.estimate
    return {
        "camera": metadata.camera,
        "iso": metadata.iso,
        "size": [metadata.width, metadata.height],
        "active_area": list(metadata.active_area),
        "cfa_pattern": metadata.cfa_pattern,
        "bits_per_sample": metadata.bits_per_sample,
        "compression": metadata.compression,
        "black_level": [round(float(black), 4) for black in metadata.levels.mean_black],
        "white_level": metadata.levels.white_level,
        "noise": {"shot": list(choice.model.shot_noise), "read": list(choice.model.read_noise)},
        "noise_source": choice.source,
        "noise_profile": None if metadata.noise_profile is None else list(metadata.noise_profile.to_profile()),
        "noise_estimate": None
        if estimate is None
        else {
            "shot": estimate.model.shot_noise[0],
            "shot_error": estimate.shot_error,
            "read": estimate.model.read_noise[0],
            "read_error": estimate.read_error,
        },
        "denoisable": True,
        "warnings": list(warnings),
    }


def _lines(file: Path, report: dict[str, Any]) -> list[str]:
    """For people."""
    width, height = report["size"]
    top, left, bottom, right = report["active_area"]
    estimate = report["noise_estimate"]
    black = report["black_level"]
    rows = [
        ("camera", report["camera"] + (f", ISO {report['iso']}" if report["iso"] else "")),
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


def _pair(profile: list[float]) -> str:
    return f"shot {profile[0]:.3g}, read {profile[1]:.3g}" + (" (of red)" if len(profile) > 2 else "")


def _estimate(estimate: dict[str, float]) -> str:
    return (
        f"shot {estimate['shot']:.3g} ± {estimate['shot_error']:.1g}, "
        f"read {estimate['read']:.3g} ± {estimate['read_error']:.1g}"
    )
