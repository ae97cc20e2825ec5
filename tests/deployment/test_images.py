"""What the images hold, without building them: their requirement sets, and that their entry points start with them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import urllib.request
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from ci_programs import ROOT, load
from clean_environment import make_environment
from service_process import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

lock = load("lock_requirements")


def names(image: str) -> set[str]:
    """The packages of an image."""
    text = (ROOT / "docker" / f"requirements-{image}.txt").read_text(encoding="utf-8")
    return {line.partition("==")[0] for line in text.splitlines() if not line.startswith("#")}


@pytest.mark.parametrize("image", lock.IMAGES)
def test_requirements_are_up_to_date(image: str) -> None:
    assert (ROOT / "docker" / f"requirements-{image}.txt").read_text(encoding="utf-8") == lock.render(image)


@pytest.mark.parametrize("image", lock.IMAGES)
def test_every_requirement_is_pinned_as_the_constraints_pin_it(image: str) -> None:
    lines = (ROOT / "docker" / f"requirements-{image}.txt").read_text(encoding="utf-8").splitlines()
    pins = (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert set(lines[1:]) <= set(pins)
    assert all("==" in line for line in lines[1:])


def test_the_api_has_no_torch_and_no_decoder() -> None:
    assert not names("api") & {"torch", "imagecodecs", "rawpy", "h5py", "scipy", "safetensors", "nvidia-ml-py"}
    assert {"torch", "imagecodecs", "rawpy"} <= names("worker") & names("training")


def test_a_requirement_that_nobody_pinned_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pins = lock.read_pins()
    monkeypatch.setattr(lock, "read_pins", lambda: {name: line for name, line in pins.items() if name != "vine"})
    with pytest.raises(KeyError, match="vine"):
        lock.render("api")


@pytest.mark.parametrize("image", lock.IMAGES)
def test_an_images_python_is_one_that_we_test(image: str) -> None:
    text = (ROOT / "docker" / f"{image}.Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.11\.\d+-slim-bookworm$", text, re.MULTILINE)
    assert 'version = "0.1.0"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert "ARG VERSION=0.1.0" in text


def test_debian_has_the_packages_that_an_image_installs(program: Callable[[str], str]) -> None:
    if "bookworm" not in Path("/etc/os-release").read_text(encoding="utf-8"):
        pytest.skip("knows the packages of another distribution")
    text = (ROOT / "docker" / "worker.Dockerfile").read_text(encoding="utf-8")
    wanted = dict(re.findall(r'"([a-z0-9-]+)=([^"]+)"', text))
    assert set(wanted) == {"tini", "libimage-exiftool-perl"}
    for name, version in wanted.items():
        told = subprocess.run([program("apt-cache"), "madison", name], capture_output=True, text=True, check=True)
        known = {line.split("|")[1].strip() for line in told.stdout.splitlines() if line.count("|") > 1}
        if not known:
            pytest.skip("this machine has no list of packages: apt-get update")
        assert any(fnmatchcase(each, version) for each in known), (name, version, known)


def entry_point(image: str) -> list[str]:
    """An image's command line, as Docker runs it: exec form only."""
    text = (ROOT / "docker" / f"{image}.Dockerfile").read_text(encoding="utf-8")
    parts = [json.loads(re.findall(rf"^{word} (\[.*\])$", text, re.MULTILINE)[-1]) for word in ("ENTRYPOINT", "CMD")]
    return [word for part in parts for word in part]


@pytest.mark.integration
def test_the_apis_entry_point_starts_with_what_its_image_has(tmp_path: Path) -> None:
    python = make_environment(tmp_path / "image", ROOT / "docker" / "requirements-api.txt")
    without = subprocess.run([python, "-c", "import torch"], capture_output=True, check=False)
    assert b"ModuleNotFoundError" in without.stderr
    program, *arguments = entry_point("api")
    assert (program, arguments) == ("photosite", ["api", "--host", "0.0.0.0"])  # noqa: S104
    with socket.create_server(("127.0.0.1", 0)) as free, socket.create_server(("127.0.0.1", 0)) as other:
        port, metrics_port = free.getsockname()[1], other.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],
        "PHOTOSITE_DATA_DIR": str(tmp_path / "data"),
        "PHOTOSITE_REDIS_URL": f"unix://{tmp_path}/nobody.sock",
        "PHOTOSITE_API_METRICS_PORT": str(metrics_port),
        "PHOTOSITE_BLOBS_URL": "",
    }
    command = [python, "-m", "service", "api", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, env=environment, cwd=tmp_path) as api:
        try:
            wait_until(lambda: _answers(f"http://127.0.0.1:{port}/health/live"), 60)
            assert _answers(f"http://127.0.0.1:{metrics_port}/metrics")
            assert _answers(f"http://127.0.0.1:{port}/")
            assert not _answers(f"http://127.0.0.1:{port}/metrics")
        finally:
            api.terminate()
            assert api.wait(20) in {0, -signal.SIGTERM}  # uvicorn ends in order, and then by the signal


@pytest.mark.integration
@pytest.mark.parametrize(
    "words",
    [
        ["-m", "service", "--help"],
        ["-m", "service", "keys", "--help"],
        ["-c", "import service.s3, service.worker.tasks"],
    ],
    ids=["command line", "keys", "bucket and queue"],
)
def test_the_apis_image_has_what_its_other_uses_need(tmp_path: Path, words: list[str]) -> None:
    python = make_environment(tmp_path / "image", ROOT / "docker" / "requirements-api.txt")
    done = subprocess.run([python, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.integration
@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("worker", ["-c", "import service.worker.pipeline, training.engines, pynvml, boto3"]),
        ("worker", ["-m", "service", "worker", "--queues", "nothing"]),
        ("training", ["-m", "torch.distributed.run", "--standalone", "-m", "training.train", "--", "--help"]),
    ],
    ids=["worker", "worker's command", "training"],
)
def test_what_computes_starts_with_what_its_image_has(tmp_path: Path, image: str, words: list[str]) -> None:
    python = make_environment(tmp_path / "image", ROOT / "docker" / f"requirements-{image}.txt")
    environment = {"PATH": os.environ["PATH"], "PHOTOSITE_DATA_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([python, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    if "nothing" in words:
        assert (done.returncode, "there is no queue 'nothing'" in done.stderr) == (2, True)
    else:
        assert done.returncode == 0, done.stderr


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  (our own address)
            return bool(answer.status == 200)
    except OSError:
        return False


def test_secrets_are_made_once_and_fit_what_reads_them(tmp_path: Path) -> None:
    script = (ROOT / "docker" / "make-secrets.sh").read_text(encoding="utf-8").replace("/secrets/", f"{tmp_path}/")
    for name in ("photosite", "grafana", "minio"):
        (tmp_path / name).mkdir()
    kept = []
    for _ in range(2):
        subprocess.run(["sh", "-c", script], check=True)
        kept.append({path.name: path.read_text(encoding="utf-8") for path in tmp_path.glob("*/*")})
    assert kept[0] == kept[1]
    password = kept[0]["redis_password"].strip()
    assert re.fullmatch("[0-9a-f]{48}", password)
    assert kept[0]["redis.conf"] == f"requirepass {password}\n"
    assert kept[0]["photosite_redis_url"] == f"redis://:{password}@redis:6379/0\n"
    [compose] = yaml.safe_load_all((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    named = set(re.findall(r"/run/secrets/([a-z_.]+)", json.dumps(compose)))
    assert named <= set(kept[0])
