"""Who may import whom: what keeps the API small, the decoder apart, and the library independent of the service."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted([*ROOT.glob("training/**/*.py"), *ROOT.glob("service/**/*.py")])
TESTS = sorted(ROOT.glob("tests/**/*.py"))
PROBE = "import sys, {module}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"

ONLY_IMPORTERS = {
    "rawpy": {"training/raw/libraw.py"},
    "imagecodecs": {"training/raw/codecs.py"},
    "bm3d": {"training/baselines/bm3d.py"},
    "boto3": {"service/s3.py"},
    "botocore": {"service/s3.py"},
    "celery": {"service/worker/celery_app.py", "service/worker/tasks.py", "service/commands/serving.py"},
    "httpx": {
        *(path.relative_to(ROOT).as_posix() for path in ROOT.glob("service/client/*.py")),
        "service/outbound.py",
        "service/webhook_sender.py",
    },
    "grafana_foundation_sdk": {"service/dashboards.py"},
    "opentelemetry": {"service/traces.py"},
    "httpx_sse": {"service/client/jobs.py"},
    "fastapi": {path.relative_to(ROOT).as_posix() for path in ROOT.glob("service/api/**/*.py")},
}
"""Who may import a library at all; those who only name its types do so under TYPE_CHECKING."""


def relative(path: Path) -> str:
    """A file's path in the repository."""
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> set[str]:
    """The modules that a file imports when it runs, at its top or later; those for type checkers are left out."""
    found: set[str] = set()
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        pending.extend(ast.iter_child_nodes(node))
    return found


def loaded_by(module: str) -> set[str]:
    """The packages that importing a module loads, in a fresh interpreter."""
    run = subprocess.run(
        [sys.executable, "-c", PROBE.format(module=module)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(run.stdout.split())


@pytest.mark.parametrize("path", [path for path in SOURCES if relative(path).startswith("training/")], ids=relative)
def test_the_library_never_imports_the_service(path: Path) -> None:
    assert not {name for name in imports(path) if name.partition(".")[0] == "service"}


@pytest.mark.parametrize(("library", "allowed"), ONLY_IMPORTERS.items(), ids=ONLY_IMPORTERS)
def test_a_library_has_few_importers(library: str, allowed: set[str]) -> None:
    importers = {relative(path) for path in SOURCES if library in {name.partition(".")[0] for name in imports(path)}}
    assert importers <= allowed


def test_only_one_file_makes_the_celery_app() -> None:
    makers = {
        relative(path)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "Celery"
    }
    assert makers == {"service/worker/celery_app.py"}


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=relative)
def test_nothing_is_pickled(path: Path) -> None:
    assert not {name.partition(".")[0] for name in imports(path)} & {
        "pickle",
        "cPickle",
        "dill",
        "cloudpickle",
        "shelve",
    }
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert options.get("weights_only") == "True"


@pytest.mark.parametrize(
    "module", ["service.api.app", "service.queue", "service.worker.celery_app", "service.worker.tasks"]
)
def test_what_serves_and_forks_loads_no_torch_and_no_decoder(module: str) -> None:
    assert not loaded_by(module) & {"torch", "rawpy", "imagecodecs"}


def test_a_worker_that_renders_and_describes_needs_no_torch() -> None:
    modules = "model_cache", "opened", "rendering", "pipeline", "describing", "turns", "lease"
    assert "torch" not in loaded_by(", ".join(f"service.worker.{name}" for name in modules))


def test_a_bucket_costs_nothing_where_there_is_none() -> None:
    assert not loaded_by("service.api.app, service.worker.tasks") & {"boto3", "botocore"}


def test_traces_and_graphics_cards_cost_nothing_where_they_are_not_wished() -> None:
    found = loaded_by("service.traces, service.api.tracing, service.monitoring, service.gpu")
    assert not found & {"pynvml", "grafana_foundation_sdk"}


def test_the_command_line_loads_little_before_it_knows_the_command() -> None:
    assert not loaded_by("service.cli") & {"torch", "fastapi", "celery", "rawpy", "imagecodecs", "uvicorn"}


def test_looking_at_a_raw_loads_little() -> None:
    found = loaded_by("service.cli; service.cli.make_parser('inspect'); import training.capture_facts")
    assert "numpy" in found
    assert not found & {"torch", "scipy", "pydantic", "tqdm", "rawpy"}


def test_the_client_loads_nothing_of_the_server() -> None:
    assert not loaded_by("service.client") & {"torch", "fastapi", "celery", "redis", "rawpy", "imagecodecs", "uvicorn"}


def test_the_decoder_loads_neither_torch_nor_celery() -> None:
    assert not loaded_by("training.raw.sandbox") & {"torch", "celery"}


def test_tests_are_no_package() -> None:
    assert [relative(path) for path in TESTS if path.name == "__init__.py"] == []


@pytest.mark.parametrize("word", ["utils", "util", "helpers", "helper", "common", "misc", "core"])
def test_files_are_named_after_what_they_hold(word: str) -> None:
    assert [relative(path) for path in [*SOURCES, *TESTS] if word in {path.stem, path.parent.name}] == []
