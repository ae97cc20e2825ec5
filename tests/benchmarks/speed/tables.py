"""The tables that `make bench-speed` prints, as Markdown; medians of all runs."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Run = dict[str, Any]


def files_table(rows: Sequence[dict[str, Any]]) -> str:
    """A line for every size: rates, what of them is the network's for a process's first file and its next, memory."""
    lines = [
        "| MP | network s/MP, with halo | halo | file to file s/MP | network ÷ it | next file | command s | peak MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        runs = row["runs"]
        size = runs[0]["megapixels"]
        network, total = _median(runs, lambda run: run["network"]["seconds"]), _median(runs, lambda run: run["total"])
        share = _median(runs, lambda run: run["network"]["seconds"] / run["total"])
        next_share = _median(runs, lambda run: run["network"]["seconds"] / run["total_again"])
        command = _median(runs, lambda run: run["command"]["seconds"])
        peak = max(run["command"]["peak_mb"] for run in runs)
        halo = runs[0]["network"]["halo_overhead"]
        lines.append(
            f"| {row['size']} | {network / size:.3f} | +{halo:.0%} | {total / size:.3f} | {share:.2f} "
            f"| {next_share:.2f} | {command:.1f} | {peak:.0f} |"
        )
    return "\n".join(lines) + "\n"


def steps_table(rows: Sequence[dict[str, Any]]) -> str:
    """Milliseconds per megapixel of what is done around the network, a line for every size."""
    names = list(rows[0]["runs"][0]["steps"])
    lines = ["| MP | " + " | ".join(f"{name} ms/MP" for name in names) + " |", "|---" * (len(names) + 1) + "|"]
    for row in rows:
        runs, size = row["runs"], row["runs"][0]["megapixels"]
        cells = [f"{1000 * statistics.median(run['steps'][name] for run in runs) / size:.1f}" for name in names]
        lines.append(f"| {row['size']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def start_table(seconds: dict[str, float]) -> str:
    """A line for every command."""
    lines = ["| command, 2 MP, cold | s |", "|---|---|"]
    return "\n".join(lines + [f"| {name} | {value:.2f} |" for name, value in seconds.items()]) + "\n"


def http_table(runs: Sequence[dict[str, float]]) -> str:
    """One sentence."""
    seconds = statistics.median(run["seconds"] for run in runs)
    share = statistics.median(run["seconds"] / run["denoising"] - 1 for run in runs)
    peak = max(run["worker_peak_mb"] for run in runs)
    return (
        f"over HTTP {seconds:.1f} s: {share:+.1%} of what the worker's stages take; the worker's peak {peak:.0f} MB\n"
    )


def _median(runs: Sequence[Run], value: Callable[[Run], float]) -> float:
    return float(statistics.median(value(run) for run in runs))
