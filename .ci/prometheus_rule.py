"""Writes `k8s/monitoring/prometheus-rule.yaml`: the groups of `docker/prometheus/rules.yml` as Kubernetes has them.

python .ci/prometheus_rule.py; `make generated` does the same.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

ROOT = Path(__file__).resolve().parents[1]
RULES = ROOT / "docker" / "prometheus" / "rules.yml"
TARGET = ROOT / "k8s" / "monitoring" / "prometheus-rule.yaml"
HEAD = """\
# Made by .ci/prometheus_rule.py from docker/prometheus/rules.yml: change that, then `make generated`.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: photosite
spec:
"""


def render() -> str:
    """The resource's text."""
    _, _, groups = RULES.read_text(encoding="utf-8").partition("\ngroups:\n")
    return HEAD + indent("groups:\n" + groups, "  ")


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
