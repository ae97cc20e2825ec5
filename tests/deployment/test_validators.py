"""What `make lint` says of a deployment: nothing of ours, and something of every planted error."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, NamedTuple

import pytest
from ci_programs import ROOT, load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

lint = load("lint_deployment")
FILES = ("docker", "k8s", "docker-compose.yml", ".yamllint", ".dockerignore", "pyproject.toml", "README.md", "LICENSE")


class Planted(NamedTuple):
    """An error: in this file, this text in that one's place; what the check says then."""

    check: str
    file: str
    good: str
    bad: str
    said: str


PRODUCTION = "k8s/overlays/production"
ERRORS = [
    Planted("check_compose", "docker-compose.yml", "    healthcheck:", "    healthchek:", "healthchek"),
    Planted("check_compose", "docker-compose.yml", "redis: {condition:", "reddis: {condition:", "waits for reddis"),
    Planted("check_compose", "docker-compose.yml", "docker/api.D", "docker/app.D", "built from docker/app.Dockerfile"),
    Planted("check_compose", "docker-compose.yml", "./docker/prometheus:", "./prometheus:", "mounts ./prometheus"),
    Planted("check_compose", "docker-compose.yml", "- data:/data", "- dat:/data", "mounts dat"),
    Planted("check_dockerfiles", "docker/api.Dockerfile", "USER 10001:10001\n", "", "runs as root"),
    Planted("check_dockerfiles", "docker/api.Dockerfile", "WORKDIR /src", "RUN cd /src", "DL3003"),
    Planted("check_dockerfiles", "docker/worker.Dockerfile", "COPY training ", "COPY trainings ", "COPY trainings"),
    Planted("check_dockerfiles", ".dockerignore", "!LICENSE\n", "", "COPY LICENSE"),
    Planted("check_manifests", "k8s/base/api.yaml", "replicas: 1", "replicas: one", "replicas"),
    Planted("check_manifests", "k8s/base/api.yaml", "readinessProbe:", "readynessProbe:", "readynessProbe"),
    Planted("check_manifests", "k8s/training/job.yaml", "completionMode:", "completionmode:", "completionmode"),
    Planted("check_kustomizations", "k8s/base/kustomization.yaml", "- redis.yaml", "- reddis.yaml", "reddis.yaml"),
    Planted(
        "check_kustomizations", "k8s/base/kustomization.yaml", "  - ingress.yaml\n", "", "ingress.yaml is not listed"
    ),
    Planted(
        "check_kustomizations", f"{PRODUCTION}/api-replicas.yaml", "photosite-api\nspec", "api\nspec", "Deployment api"
    ),
    Planted(
        "check_kustomizations", f"{PRODUCTION}/kustomization.yaml", "name: worker-denoise", "name: w", "Deployment w"
    ),
    Planted(
        "check_kustomizations", f"{PRODUCTION}/kustomization.yaml", "name: photosite-w", "name: w", "no image worker"
    ),
    Planted("check_kustomizations", f"{PRODUCTION}/kustomization.yaml", "photosite-settings", "settings", "merge with"),
    Planted(
        "check_custom_resources", f"{PRODUCTION}/scaled-object.yaml", "    name: worker-d", "    name: d", "denoise"
    ),
    Planted("check_custom_resources", f"{PRODUCTION}/scaled-object.yaml", "backlog:jobs", "backlog", "no rule records"),
    Planted(
        "check_custom_resources", f"{PRODUCTION}/scaled-object.yaml", 'threshold: "6"', 'threshold: "0"', "above 0"
    ),
    Planted("check_custom_resources", "k8s/monitoring/service-monitor.yaml", "port: metrics", "port: m", "no port m"),
    Planted(
        "check_custom_resources",
        "k8s/monitoring/service-monitor.yaml",
        "name: photosite-api\n  e",
        "name: a\n  e",
        "no",
    ),
    Planted("check_custom_resources", "k8s/monitoring/pod-monitor.yaml", "component: worker", "component: w", "no pod"),
    Planted("check_custom_resources", "k8s/monitoring/pod-monitor.yaml", "port: metrics", "port: m", "no port m"),
    Planted(
        "check_custom_resources",
        "k8s/base/network-policies.yaml",
        "component: worker\n  policy",
        "c: w\n  policy",
        "pod",
    ),
    Planted("check_custom_resources", "k8s/base/api.yaml", "targetPort: http", "targetPort: web", "no port web"),
    Planted("check_rules", "docker/prometheus/prometheus.yml", "rules.yml", "rule.yml", "rule.yml"),
    Planted("check_rules", "docker/prometheus/rules.yml", "> 300", "> > 300", "parse error"),
    Planted("check_rules", "docker/prometheus/rules.yml", "> 300", "> 3000", "PhotositeQueueOld"),
    Planted("check_rules", "k8s/monitoring/prometheus-rule.yaml", "> 300", "> > 300", "parse error"),
    Planted("check_yaml", "k8s/base/api.yaml", "  replicas: 1", "  replicas: 1 ", "trailing spaces"),
    Planted("check_yaml", "docker-compose.yml", "    init: true", "    init: true\n    init: true", "duplication"),
    Planted("check_overlays", f"{PRODUCTION}/scaled-worker.yaml", "/spec/replicas", "/spec/replica", "production"),
    Planted("check_overlays", f"{PRODUCTION}/worker-card.yaml", "emptyDir", "emptyDirectory", "emptyDirectory"),
]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """All that describes the deployment, to be spoiled."""
    for name in FILES:
        copied = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copied(ROOT / name, tmp_path / name)
    for name in ("service", "training"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.mark.integration
def test_nothing_is_said_of_ours(program: Callable[[str], str]) -> None:
    program("promtool")
    assert [problem for check in lint.CHECKS for problem in check(ROOT)] == []


@pytest.mark.integration
@pytest.mark.parametrize("planted", ERRORS, ids=lambda planted: f"{planted.check}-{planted.said}".replace("/", " "))
def test_a_planted_error_is_found(planted: Planted, copy: Path, program: Callable[[str], str]) -> None:
    if planted.check == "check_rules":
        program("promtool")
    if planted.check == "check_overlays" and not lint._has_kubectl():
        pytest.skip("there is no kubectl of 1.28 or newer")
    path = copy / planted.file
    text = path.read_text(encoding="utf-8")
    assert planted.good in text
    path.write_text(text.replace(planted.good, planted.bad, 1), encoding="utf-8")
    assert planted.said in "".join(getattr(lint, planted.check)(copy))


def test_every_check_has_a_planted_error() -> None:
    assert {planted.check for planted in ERRORS} == {check.__name__ for check in lint.CHECKS}


def test_a_missing_validator_is_a_problem(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lint, "TOOLS", copy)
    monkeypatch.setenv("PATH", str(copy))
    assert lint.check_yaml(copy) == ["yamllint is not installed"]
    monkeypatch.setenv("CI", "true")
    assert "promtool is not installed" in lint.check_rules(copy)
