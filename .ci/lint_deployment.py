"""Checks what describes a deployment, without a container engine: Dockerfiles, compose, manifests, rules.

    python .ci/lint_deployment.py [ROOT]        # prints each problem; exit code 1 if there are any

Validators that somebody else wrote look at what they know: check-jsonschema (compose), kubernetes-validate (the core
kinds), promtool (Prometheus), hadolint (Dockerfiles), yamllint; kubectl, where there is one of 1.28 or newer, builds
the overlays. What no validator knows offline is looked at here: that every file named exists, every target resolves.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

Check = Callable[[Path], list[str]]
TOOLS = Path(sys.executable).parent
CUSTOM_GROUPS = ("monitoring.coreos.com/", "keda.sh/", "kustomize.config.k8s.io/")
OLDEST_KUBECTL = (1, 28)
OVERLAYS = ("k8s/overlays/single-node", "k8s/overlays/production", "k8s/training")


def run(*command: str | Path, cwd: Path) -> list[str]:
    """What a validator complains of: nothing if it is content; in its own words otherwise.

    Tools of the virtual environment come before others.
    """
    program = shutil.which(str(command[0]), path=os.pathsep.join([str(TOOLS), os.environ.get("PATH", "")]))
    if program is None:
        if command[0] == "promtool" and not os.environ.get("CI"):
            sys.stderr.write("promtool is not installed (Debian: prometheus): rules are not checked\n")
            return []
        return [f"{command[0]} is not installed"]
    done = subprocess.run([program, *map(str, command[1:])], cwd=cwd, capture_output=True, text=True, check=False)
    return [f"{command[0]}: {done.stdout.strip()} {done.stderr.strip()}"] if done.returncode else []


def documents(path: Path) -> list[dict[str, Any]]:
    """The objects of a YAML file."""
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


def check_compose(root: Path) -> list[str]:
    """The compose file by its schema, and what it names by our own eyes."""
    found = run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml", cwd=root)
    [compose] = documents(root / "docker-compose.yml")
    services, volumes = compose["services"], compose["volumes"]
    for name, service in services.items():
        found += [
            f"compose: {name} waits for {other}" for other in service.get("depends_on", {}) if other not in services
        ]
        dockerfile = service.get("build", {}).get("dockerfile", "docker-compose.yml")
        found += [] if (root / dockerfile).is_file() else [f"compose: {name} is built from {dockerfile}"]
        for source in (volume.partition(":")[0] for volume in service.get("volumes", [])):
            known = (root / source).exists() if source.startswith("./") else source in volumes
            found += [] if known else [f"compose: {name} mounts {source}"]
        found += [
            f"compose: {name} is in network {network}"
            for network in service.get("networks", [])
            if network not in compose["networks"]
        ]
    return found


def check_dockerfiles(root: Path) -> list[str]:
    """Dockerfiles by hadolint; what they copy exists and is let through; nobody is root."""
    found: list[str] = []
    for path in sorted((root / "docker").glob("*.Dockerfile")):
        found += run("hadolint", path, cwd=root)
        text = re.sub(r"\\\n", " ", path.read_text(encoding="utf-8"))
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
            found += [f"{path.name}: COPY {source}" for source in line.split()[:-1] if not _is_copied(root, source)]
        users = re.findall(r"^USER (\S+)$", text, re.MULTILINE)
        found += [] if users and users[-1].partition(":")[0] not in {"0", "root"} else [f"{path.name}: runs as root"]
    return found


def _is_copied(root: Path, source: str) -> bool:
    """Whether a file exists, and .dockerignore lets it through: our own leaves everything out but what it names."""
    lines = (root / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_through = [line[1:] for line in lines if line.startswith("!")]
    return (root / source).exists() and any(Path(source).match(pattern) for pattern in let_through)


def kustomizations(root: Path) -> list[Path]:
    """All kustomizations."""
    return sorted([*(root / "k8s").rglob("kustomization.yaml"), *(root / "docker").rglob("kustomization.yaml")])


def resources_of(kustomization: Path) -> list[Path]:
    """The manifests that a kustomization lists itself."""
    [content] = documents(kustomization)
    paths = [kustomization.parent / name for name in content.get("resources", [])]
    return [path for path in paths if path.is_file()]


def manifests(root: Path) -> list[dict[str, Any]]:
    """Every object of every kustomization, patches left out."""
    return [document for path in kustomizations(root) for file in resources_of(path) for document in documents(file)]


def check_manifests(root: Path) -> list[str]:
    """The core kinds by kubernetes-validate; of others it knows nothing."""
    core = [
        file
        for path in kustomizations(root)
        for file in resources_of(path)
        if not any(str(document.get("apiVersion")).startswith(CUSTOM_GROUPS) for document in documents(file))
    ]
    return run("kubernetes-validate", "--strict", *core, cwd=root)


def check_kustomizations(root: Path) -> list[str]:
    """Every file listed exists, every file there is listed, every patch's target and every image's name resolves."""
    found: list[str] = []
    names = {(document["kind"], document["metadata"]["name"]) for document in manifests(root)}
    images = {
        container["image"].partition(":")[0]
        for document in manifests(root)
        for container in _pod_spec(document).get("containers", [])
    }
    for path in kustomizations(root):
        [content] = documents(path)
        patches = content.get("patches", [])
        generators = content.get("configMapGenerator", [])
        listed = [
            *content.get("resources", []),
            *(patch["path"] for patch in patches),
            *(file for generator in generators for file in generator.get("files", [])),
        ]
        where = path.relative_to(root)
        found += [f"{where}: {name} does not exist" for name in listed if not (path.parent / name).exists()]
        there = {file.name for file in path.parent.glob("*.yaml")} - {path.name}
        found += [f"{where}: {name} is not listed" for name in sorted(there - set(listed))]
        found += [
            f"{where}: no image {image['name']}" for image in content.get("images", []) if image["name"] not in images
        ]
        found += [
            f"{where}: no ConfigMap {generator['name']} to merge with"
            for generator in generators
            if generator.get("behavior") == "merge" and ("ConfigMap", generator["name"]) not in names
        ]
        for patch in patches:
            if (path.parent / patch["path"]).is_file():
                found += [f"{where}: {problem}" for problem in _unresolved(path.parent, patch, names, root)]
    return found


def _unresolved(folder: Path, patch: dict[str, Any], names: set[tuple[str, str]], root: Path) -> Iterator[str]:
    """What a patch is for and is not there."""
    target = patch.get("target")
    if target is None:
        for document in documents(folder / patch["path"]):
            if (document["kind"], document["metadata"]["name"]) not in names:
                yield f"{patch['path']}: there is no {document['kind']} {document['metadata']['name']}"
    elif "name" in target:
        if (target["kind"], target["name"]) not in names:
            yield f"{patch['path']}: there is no {target['kind']} {target['name']}"
    else:
        wanted = dict(pair.split("=") for pair in target["labelSelector"].split(","))
        matching = [
            document
            for document in manifests(root)
            if document["kind"] == target["kind"] and wanted.items() <= document["metadata"].get("labels", {}).items()
        ]
        if not matching:
            yield f"{patch['path']}: no {target['kind']} has {target['labelSelector']}"


def _pod_spec(document: dict[str, Any]) -> dict[str, Any]:
    return dict(document.get("spec", {}).get("template", {}).get("spec", {})) if "spec" in document else {}


def check_custom_resources(root: Path) -> list[str]:
    """ScaledObject, ServiceMonitor, PodMonitor and policies name what exists; every port and label meets its match."""
    objects = manifests(root)
    found: list[str] = []
    for document in objects:
        check = CUSTOM_CHECKS.get(document["kind"])
        name = f"{document['kind']} {document['metadata']['name']}"
        found += [f"{name}: {problem}" for problem in (check(document, objects, root) if check else ())]
    return found


def _check_scaled_object(document: dict[str, Any], objects: list[dict[str, Any]], root: Path) -> Iterator[str]:
    spec = document["spec"]
    target = spec["scaleTargetRef"]["name"]
    if not any(other["kind"] == "Deployment" and other["metadata"]["name"] == target for other in objects):
        yield f"there is no Deployment {target}"
    if not 0 <= spec["minReplicaCount"] <= spec["maxReplicaCount"]:
        yield "minReplicaCount is above maxReplicaCount"
    [rules] = documents(root / "docker" / "prometheus" / "rules.yml")
    recorded = {rule.get("record") for group in rules["groups"] for rule in group["rules"]}
    for trigger in spec["triggers"]:
        metadata = trigger["metadata"]
        if trigger["type"] != "prometheus" or metadata["query"] not in recorded:
            yield f"no rule records {metadata.get('query')}"
        if not all(isinstance(value, str) for value in metadata.values()) or not float(metadata["threshold"]) > 0:
            yield "a trigger's metadata are strings, its threshold above 0"


def _check_service_monitor(document: dict[str, Any], objects: list[dict[str, Any]], _root: Path) -> Iterator[str]:
    labels = document["spec"]["selector"]["matchLabels"]
    services = [
        other
        for other in objects
        if other["kind"] == "Service" and labels.items() <= other["metadata"].get("labels", {}).items()
    ]
    if not services:
        yield f"no Service has {labels}"
    ports = {port["name"] for service in services for port in service["spec"]["ports"]}
    yield from (f"no port {end['port']}" for end in document["spec"]["endpoints"] if end["port"] not in ports)


def _check_pod_monitor(document: dict[str, Any], objects: list[dict[str, Any]], _root: Path) -> Iterator[str]:
    labels = document["spec"]["selector"]["matchLabels"]
    pods = _pods(objects, labels)
    if not pods:
        yield f"no pod has {labels}"
    for end in document["spec"]["podMetricsEndpoints"]:
        if any(end["port"] not in _ports(pod) for pod in pods):
            yield f"no port {end['port']}"


def _check_service(document: dict[str, Any], objects: list[dict[str, Any]], _root: Path) -> Iterator[str]:
    pods = _pods(objects, document["spec"]["selector"])
    if not pods:
        yield f"no pod has {document['spec']['selector']}"
    for port in document["spec"]["ports"]:
        target = port.get("targetPort")
        if isinstance(target, str) and any(target not in _ports(pod) for pod in pods):
            yield f"no port {target}"


def _check_selector(document: dict[str, Any], objects: list[dict[str, Any]], _root: Path) -> Iterator[str]:
    spec = document["spec"]
    selector = spec.get("podSelector", spec.get("selector", {}))
    if not _pods(objects, selector.get("matchLabels", {})):
        yield f"no pod has {selector}"


def _pods(objects: list[dict[str, Any]], labels: dict[str, str]) -> list[dict[str, Any]]:
    templates = [document["spec"]["template"] for document in objects if "template" in document.get("spec", {})]
    return [pod for pod in templates if labels.items() <= pod["metadata"]["labels"].items()]


def _ports(pod: dict[str, Any]) -> set[str]:
    return {port["name"] for container in pod["spec"]["containers"] for port in container.get("ports", [])}


CUSTOM_CHECKS: dict[str, Callable[[dict[str, Any], list[dict[str, Any]], Path], Iterator[str]]] = {
    "ScaledObject": _check_scaled_object,
    "ServiceMonitor": _check_service_monitor,
    "PodMonitor": _check_pod_monitor,
    "Service": _check_service,
    "NetworkPolicy": _check_selector,
    "PodDisruptionBudget": _check_selector,
}


def check_rules(root: Path) -> list[str]:
    """Prometheus' configuration, rules and their tests by promtool; so are the groups that Kubernetes has."""
    folder = root / "docker" / "prometheus"
    found = run("promtool", "check", "config", "prometheus.yml", cwd=folder)
    found += run("promtool", "check", "rules", "rules.yml", cwd=folder)
    found += run("promtool", "test", "rules", "rules_test.yml", cwd=folder)
    rules = [document for document in manifests(root) if document["kind"] == "PrometheusRule"]
    if not rules:
        found.append("k8s: there is no PrometheusRule")
    for document in rules:
        with tempfile.TemporaryDirectory() as extracted:
            path = Path(extracted) / "rules.yml"
            path.write_text(json.dumps(document["spec"]), encoding="utf-8")  # JSON is YAML
            found += run("promtool", "check", "rules", path, cwd=root)
    return found


def check_yaml(root: Path) -> list[str]:
    """Every YAML file by yamllint."""
    return run("yamllint", "--strict", "docker-compose.yml", "docker", "k8s", ".yamllint", cwd=root)


def check_overlays(root: Path) -> list[str]:
    """The overlays as kubectl builds them, by kubernetes-validate; nothing where there is no kubectl that knows how."""
    if not _has_kubectl():
        return []
    found: list[str] = []
    for overlay in OVERLAYS:
        built = subprocess.run(["kubectl", "kustomize", overlay], cwd=root, capture_output=True, text=True, check=False)
        if built.returncode:
            found.append(f"kubectl kustomize {overlay}: {built.stderr.strip()}")
            continue
        core = [
            document
            for document in yaml.safe_load_all(built.stdout)
            if not document["apiVersion"].startswith(CUSTOM_GROUPS)
        ]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "built.yaml"
            path.write_text(yaml.safe_dump_all(core), encoding="utf-8")
            found += run("kubernetes-validate", "--strict", path, cwd=root)
    return found


def _has_kubectl() -> bool:
    if shutil.which("kubectl") is None:
        return False
    shown = subprocess.run(["kubectl", "version", "--client"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"Client Version: v(\d+)\.(\d+)", shown)
    return version is not None and (int(version[1]), int(version[2])) >= OLDEST_KUBECTL


CHECKS: tuple[Check, ...] = (
    check_compose,
    check_dockerfiles,
    check_manifests,
    check_kustomizations,
    check_custom_resources,
    check_rules,
    check_yaml,
    check_overlays,
)


def main(root: Path) -> int:
    """Print what is wrong."""
    found = [problem for check in CHECKS for problem in check(root)]
    sys.stderr.write("".join(f"{problem}\n" for problem in found))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parents[1])))
