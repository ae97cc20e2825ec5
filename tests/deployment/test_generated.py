"""What is made from something else is up to date; and every name that a deployment uses is one that the service has."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from ci_programs import ROOT, load
from metric_sources import series

from service import dashboards
from service.settings import Settings

FOLDER = ROOT / "docker" / "grafana" / "dashboards"
PROMQL_WORDS = re.compile(r"\b(photosite[a-z0-9_:]*|process_[a-z_]+|up|ALERTS)\b")
RULES = yaml.safe_load((ROOT / "docker" / "prometheus" / "rules.yml").read_text(encoding="utf-8"))
ALL_RULES = [rule for group in RULES["groups"] for rule in group["rules"]]
RECORDED = {rule["record"] for rule in ALL_RULES if "record" in rule}
FROM_PROMETHEUS = {"up", "ALERTS"}


def without_strings(expression: str) -> str:
    """An expression without the values of its selectors, which are no metrics."""
    return re.sub(r'"[^"]*"', '""', expression)


@pytest.mark.parametrize("uid", dashboards.DASHBOARDS)
def test_dashboards_are_up_to_date(uid: str) -> None:
    assert (FOLDER / f"{uid}.json").read_text(encoding="utf-8") == dashboards.render(uid)


def test_there_is_no_other_dashboard() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(dashboards.DASHBOARDS)


@pytest.mark.parametrize("uid", dashboards.DASHBOARDS)
def test_panels_lie_side_by_side_and_all_ask_something(uid: str) -> None:
    panels = json.loads(dashboards.render(uid))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & places
        assert place["x"] + place["w"] <= 24
        places |= cells
        letters = [target["refId"] for target in panel.get("targets", [])]
        assert panel["type"] == "row" or (letters and len(set(letters)) == len(letters))


@pytest.mark.parametrize(
    "expression", [*dashboards.expressions(), *(rule["expr"] for rule in ALL_RULES)], ids=lambda text: text[:60]
)
def test_every_expression_asks_for_series_and_labels_that_exist(expression: str) -> None:
    known = series()
    names = set(PROMQL_WORDS.findall(without_strings(expression)))
    assert names
    assert names <= set(known) | RECORDED | FROM_PROMETHEUS
    labels = set().union(*(known.get(name, set()) for name in names)) | {"instance", "job", "alertname", "alertstate"}
    if not names & RECORDED:
        asked = re.findall(r"\bby \(([^)]+)\)", expression) + re.findall(r"(\w+)=~?\"", expression)
        assert {label.strip() for part in asked for label in part.split(",")} <= labels


def test_rules_of_kubernetes_are_those_of_compose() -> None:
    program = load("prometheus_rule")
    assert program.TARGET.read_text(encoding="utf-8") == program.render()
    assert yaml.safe_load(program.render())["spec"] == RULES


def test_every_alert_is_tested_and_in_the_runbook() -> None:
    alerts = {rule["alert"]: rule for rule in ALL_RULES if "alert" in rule}
    tests = yaml.safe_load((ROOT / "docker" / "prometheus" / "rules_test.yml").read_text(encoding="utf-8"))["tests"]
    cases = [case for test in tests for case in test.get("alert_rule_test", [])]
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == set(alerts)
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} >= set(alerts) - {"PhotositeNoWorkers"}
    runbook = (ROOT / "k8s" / "README.md").read_text(encoding="utf-8")
    for name, rule in alerts.items():
        assert rule["annotations"]["runbook"] == f"k8s/README.md#{name.lower()}"
        assert f"\n### {name}\n" in runbook


def variables_of(value: Any) -> set[str]:
    """The names of PHOTOSITE variables anywhere in a document."""
    return set(re.findall(r"\bPHOTOSITE_[A-Z0-9_]+\b", json.dumps(value)))


def test_deployments_set_only_what_is_a_setting() -> None:
    settings = {f"PHOTOSITE_{name.upper()}" for name in Settings.model_fields}
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    given = variables_of([list(service.get("environment", {})) for service in compose["services"].values()])
    for path in [*(ROOT / "k8s").rglob("*.yaml")]:
        given |= variables_of(list(yaml.safe_load_all(path.read_text(encoding="utf-8"))))
    for path in (ROOT / "docker").glob("*.Dockerfile"):
        given |= set(re.findall(r"\bPHOTOSITE_[A-Z0-9_]+(?==)", path.read_text(encoding="utf-8")))
    assert given
    assert given <= settings


def test_time_to_stop_is_longer_than_a_worker_takes() -> None:
    soft_s = Settings.model_fields["soft_shutdown_s"].default
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    for name, service in compose["services"].items():
        if name.startswith("worker"):
            assert float(service["stop_grace_period"].removesuffix("s")) >= soft_s + 20
    for name in ("worker-denoise", "worker-preview", "worker-train"):
        [deployment] = yaml.safe_load_all((ROOT / "k8s" / "base" / f"{name}.yaml").read_text(encoding="utf-8"))
        assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= soft_s + 20


def test_compose_lets_through_what_the_service_takes() -> None:
    ingress = (ROOT / "k8s" / "base" / "ingress.yaml").read_text(encoding="utf-8")
    largest = int(re.findall(r"proxy-body-size: (\d+)m", ingress)[0]) * 1024 * 1024
    assert largest > Settings.model_fields["max_upload_bytes"].default
    waits = [int(seconds) for seconds in re.findall(r"timeout: \"(\d+)\"", ingress)]
    assert min(waits) > Settings.model_fields["max_wait_s"].default
