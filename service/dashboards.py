"""Grafana's dashboards, written from typed Python: `python -m service.dashboards` makes `docker/grafana/dashboards`.

In the flow: beside it; monitoring names the metrics → **dashboards** → JSON files → Grafana, provisioned with them.
Needs `grafana-foundation-sdk`, which only the extra "dev" has. Each expression is asked of a real Prometheus in the
tests.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from string import ascii_uppercase
from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import prometheus, timeseries
from grafana_foundation_sdk.builders.common import VizLegendOptions, VizTooltipOptions
from grafana_foundation_sdk.builders.dashboard import Dashboard, DatasourceVariable, Row
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, TooltipDisplayMode
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DataSourceRef

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = Path("docker/grafana/dashboards")
DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
LEGEND = (
    VizLegendOptions()
    .placement(LegendPlacement.BOTTOM)
    .display_mode(LegendDisplayMode.LIST)
    .show_legend(show_legend=True)
)
HEIGHT, SPAN = 8, 12
RATE = "[5m]"


@dataclass(frozen=True, slots=True)
class Graph:
    """One panel: a question in its title, its answer over time."""

    title: str
    unit: str
    """Grafana's name of it: s, bytes, short, percentunit …"""
    queries: Mapping[str, str]
    """Expressions by legend; {{label}} stands for a label's value."""
    description: str = ""

    def build(self, panel_id: int) -> timeseries.Panel:
        """As Grafana's panel."""
        panel = timeseries.Panel().id(panel_id).title(self.title).unit(self.unit).datasource(DATASOURCE)
        panel = panel.description(self.description).height(HEIGHT).span(SPAN).min(0)
        panel = panel.legend(LEGEND).tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
        for letter, (legend, expression) in zip(ascii_uppercase, self.queries.items(), strict=False):
            panel = panel.with_target(prometheus.Dataquery().ref_id(letter).expr(expression).legend_format(legend))
        return panel


def quantiles(metric: str, by: str = "", selector: str = "") -> dict[str, str]:
    """Median and 95th percentile of a histogram, by legend.

    >>> quantiles("photosite_upload_bytes")["p95"]
    'histogram_quantile(0.95, sum by (le) (rate(photosite_upload_bytes_bucket[5m])))'
    """
    labels = f"le, {by}" if by else "le"
    named = f" {{{{{by}}}}}" if by else ""
    return {
        f"p{share * 100:.0f}{named}": (
            f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket{selector}{RATE})))"
        )
        for share in (0.5, 0.95)
    }


SERVICE: dict[str, list[Graph]] = {
    "Is it well?": [
        Graph("Processes that answer", "short", {"{{job}}": "sum by (job) (up)"}),
        Graph("Alerts", "short", {"{{alertname}}": 'sum by (alertname) (ALERTS{alertstate="firing"}) or vector(0)'}),
        Graph("Requests per second", "reqps", {"{{code}}": "photosite:http_requests:rate5m"}),
        Graph(
            "Attempts at jobs per second",
            "ops",
            {"{{kind}} {{outcome}}": "photosite:jobs:rate5m"},
            "queued: given back for another attempt; abandoned: it was no longer this worker's.",
        ),
    ],
    "Do clients wait?": [
        Graph("Waiting jobs", "short", {"{{queue}}": "max by (queue) (photosite_queue_depth)"}),
        Graph("Wait of the oldest", "s", {"{{queue}}": "max by (queue) (photosite_queue_oldest_seconds)"}),
        Graph("Wait for a worker", "s", quantiles("photosite_queue_wait_seconds", "kind")),
        Graph("Time to answer", "s", quantiles("photosite_http_request_duration_seconds", "route")),
        Graph("Requests being answered", "short", {"requests": "sum(photosite_http_requests_in_progress)"}),
        Graph(
            "Refused requests per second",
            "reqps",
            {"{{reason}}": f"sum by (reason) (rate(photosite_rejected_total{RATE})) or vector(0)"},
        ),
    ],
    "What do workers do?": [
        Graph("Running jobs", "short", {"{{queue}}": "max by (queue) (photosite_jobs_running)"}),
        Graph("Jobs by worker", "short", {"{{instance}}": "sum by (instance) (photosite_jobs_in_progress)"}),
        Graph("Megapixels per second", "short", {"denoised": "photosite:megapixels:rate5m"}),
        Graph("Time of a job", "s", quantiles("photosite_job_duration_seconds", "kind")),
        Graph("Time to make a picture for the screen", "s", quantiles("photosite_render_duration_seconds")),
        Graph("Time of each stage of a picture", "s", {"{{stage}}": "photosite:stage_seconds:mean5m"}),
        Graph(
            "Attempts after the first, and leases that lapsed",
            "short",
            {
                "again {{kind}}": "sum by (kind) (increase(photosite_redeliveries_total[15m]))",
                "lapsed {{queue}}": "sum by (queue) (increase(photosite_lapsed_leases_total[15m]))",
            },
        ),
    ],
    "How much is there?": [
        Graph("Size of uploads", "bytes", quantiles("photosite_upload_bytes")),
        Graph(
            "Data folder",
            "bytes",
            {"free": "min(photosite_data_free_bytes)", "size": "min(photosite_data_size_bytes)"},
        ),
        Graph("Memory of the API", "bytes", {"{{instance}}": 'process_resident_memory_bytes{job="photosite-api"}'}),
        Graph(
            "Webhooks per second",
            "ops",
            {"{{outcome}}": f"sum by (outcome) (rate(photosite_webhooks_total{RATE})) or vector(0)"},
        ),
    ],
}
QUALITY: dict[str, list[Graph]] = {
    "What comes": [
        Graph(
            "Shot noise",
            "sci",
            quantiles("photosite_shot_noise"),
            "Variance per unit of signal, on [0, 1]. A jump means other cameras or another light.",
        ),
        Graph("Read noise", "sci", quantiles("photosite_read_noise"), "Variance at black, on [0, 1]."),
        Graph(
            "Where noise models come from",
            "ops",
            {"{{source}}": f"sum by (source) (rate(photosite_noise_models_total{RATE}))"},
            "tag: the file's own; estimate: read off the picture; request: the client's.",
        ),
        Graph("Megapixels per second", "short", {"denoised": "photosite:megapixels:rate5m"}),
    ],
    "How well it goes": [
        Graph(
            "How alike neighbours of the residual are",
            "short",
            {**quantiles("photosite_residual_correlation"), "mean, 1 h": "photosite:residual_correlation:mean1h"},
            "0 to 1. Noise alone is white; detail that was taken away is not.",
        ),
        Graph("Share of jobs that fail", "percentunit", {"failed": "photosite:jobs_failed:ratio10m"}),
        Graph(
            "Models that could not be loaded",
            "short",
            {"failures": "sum(increase(photosite_model_load_failures_total[15m]))"},
        ),
        Graph(
            "Time to load a model",
            "s",
            {"mean": "sum(photosite_model_load_seconds_sum) / sum(photosite_model_load_seconds_count)"},
        ),
    ],
    "Training": [
        Graph("Loss of fine-tunings", "short", {"{{instance}}": "photosite_training_loss"}),
        Graph(
            "Share of the time that trainings make way for pictures",
            "percentunit",
            {"paused": f"sum(rate(photosite_training_paused_seconds_total{RATE}))"},
        ),
    ],
}
GPU: dict[str, list[Graph]] = {
    "Cards": [
        Graph(
            "Utilisation",
            "percentunit",
            {"{{instance}} {{gpu}}": "max by (instance, gpu) (photosite_gpu_utilisation_ratio)"},
        ),
        Graph(
            "Memory in use",
            "bytes",
            {
                "{{instance}} {{gpu}}": "max by (instance, gpu) (photosite_gpu_memory_used_bytes)",
                "size {{instance}} {{gpu}}": "max by (instance, gpu) (photosite_gpu_memory_size_bytes)",
            },
        ),
        Graph("Waiting pictures", "short", {"jobs": "photosite:denoise_backlog:jobs"}),
        Graph("Time of each stage of a picture", "s", {"{{stage}}": "photosite:stage_seconds:mean5m"}),
    ],
}
DASHBOARDS = {
    "photosite-service": ("Photosite: service", SERVICE),
    "photosite-quality": ("Photosite: quality", QUALITY),
    "photosite-gpu": ("Photosite: graphics cards", GPU),
}
"""Title and panels by uid, which is the file's name, too."""


def render(uid: str) -> str:
    """A dashboard as Grafana reads it: JSON."""
    title, rows = DASHBOARDS[uid]
    dashboard = Dashboard(title).uid(uid).tags(["photosite"]).refresh("30s").time("now-3h", "now").timezone("browser")
    dashboard = dashboard.tooltip(DashboardCursorSync.CROSSHAIR).readonly()
    dashboard = dashboard.with_variable(DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    numbers = count(1)
    for question, graphs in rows.items():
        dashboard = dashboard.with_row(Row(question).id(next(numbers)))
        for graph in graphs:
            dashboard = dashboard.with_panel(graph.build(next(numbers)))
    return JSONEncoder(sort_keys=True, indent=2).encode(dashboard.build()) + "\n"


def expressions() -> list[str]:
    """What all panels ask."""
    graphs = [graph for _, rows in DASHBOARDS.values() for row in rows.values() for graph in row]
    return [expression for graph in graphs for expression in graph.queries.values()]


def main(folder: Path = FOLDER) -> None:
    """Write all dashboards."""
    for uid in DASHBOARDS:
        (folder / f"{uid}.json").write_text(render(uid), encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
