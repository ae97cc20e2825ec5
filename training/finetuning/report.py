"""What a fine-tuning found out, as JSON for the service and the manifest, and as text for a terminal."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from training.errors import ConfigError
from training.raw.atomic import replacing

if TYPE_CHECKING:
    from pathlib import Path

REPORT_NAME = "report.json"
_LABELS = {
    "second frame": "the scene's other frame",
    "recorrupted": "recorrupted copies, at the captures' noise",
    "twice the noise": "the same, at twice their noise",
    "stein": "Stein's estimate",
    "neighbours": "neighbours (favours blur; not asked)",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneReport:
    """A fine-tuning, from the captures to the verdict; plain JSON types."""

    base: str
    """NAME@VERSION."""
    better: bool
    """Whether the new model is surely better than the base on captures like these."""
    reasons: list[str]
    """Why, in sentences."""
    warnings: list[str]
    """What whoever sent the captures should know."""
    objective: str
    """How it learned."""
    judge: str
    """Who decided."""
    gains: dict[str, dict[str, float]]
    """Of each judge: gain in decibels, its 95 % interval, and the tiles that it is from."""
    captures: list[dict[str, Any]]
    """Name, SHA-256, camera, noise as served and as measured, and the scene's other frame, of each."""
    skipped: list[str]
    """Captures that were left out, and why."""
    defects: int
    """Photosites that are wrong in every capture."""
    tail: float | None
    """Shape of the read noise, Tukey's λ; None for a Gaussian one."""
    noise_correlation: list[float]
    """Of neighbours along rows and columns, in the noise itself."""
    residual_correlation: list[float]
    """The same in what the new model takes away."""
    mean_shift: list[float]
    """What the new network adds to the mean of R, Gr, Gb, B; full scale is 1."""
    base_shift: list[float]
    """What the base's adds to it."""
    error_ratio: float
    """Root-mean-square error of the new model over that of the noisy captures."""
    halo: int
    """The halo it is served with, in packed pixels."""
    training: dict[str, Any]
    """Steps, patch size, batch size, seconds."""
    curve: list[list[float]] = field(default_factory=list)
    """Step and loss, thinned."""
    pictures: list[dict[str, Any]] = field(default_factory=list)
    """Crops of some captures' held-out parts: capture, crop, and the files that show it noisy and denoised by both."""

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Undo `to_json`."""
        known = {each.name for each in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in fields.items() if name in known})


def save_report(report: FinetuneReport, run: Path) -> None:
    """Keep a report in its run's folder.

    Raises:
        ConfigError: It cannot be written.
    """
    try:
        with replacing(run / REPORT_NAME) as file:
            file.write(json.dumps(report.to_json(), indent=2, ensure_ascii=False).encode())
    except OSError as error:
        raise ConfigError(f"run: {run / REPORT_NAME} cannot be written: {error.strerror or error}") from error


def load_report(run: Path) -> FinetuneReport:
    """Read a run's report.

    Raises:
        ConfigError: There is none: the fine-tuning has not come to its end.
    """
    try:
        return FinetuneReport.from_json(json.loads((run / REPORT_NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"run: {run} holds no finished fine-tuning", detail=str(error)) from error


def describe(report: FinetuneReport) -> str:
    """The report as lines for a terminal."""
    lines = [f"{'better' if report.better else 'not better'} than {report.base}:"]
    lines += [f"  {reason}" for reason in report.reasons]
    lines += [f"warning: {warning}" for warning in report.warnings]
    for name, gain in report.gains.items():
        interval = f"{gain['low']:+.2f} … {gain['high']:+.2f}"
        lines.append(f"  {_LABELS[name]:<42} {gain['db']:+.2f} dB  ({interval})  {gain['tiles']:.0f} tiles")
    lines.append(
        f"  noise left {100 * report.error_ratio:.0f} %; correlation of neighbours in the noise"
        f" {_pair(report.noise_correlation)}, in what was taken away {_pair(report.residual_correlation)}"
    )
    shifts, before = (
        " ".join(f"{100 * shift:+.3f}" for shift in each) for each in (report.mean_shift, report.base_shift)
    )
    lines.append(f"  mean shift of R Gr Gb B in %: {shifts} (before: {before}); defective photosites: {report.defects}")
    return "\n".join(lines)


def _pair(correlation: list[float]) -> str:
    """Along rows and columns.

    >>> _pair([0.01, -0.02])
    '+0.01/-0.02'
    """
    return "/".join(f"{value:+.2f}" for value in correlation)
