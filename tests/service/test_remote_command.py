"""`photosite denoise --server`: what it asks the server for, and that it ends as the local command does."""

from __future__ import annotations

import functools
import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_server import EVENTS, FILE, JOB, RESULT, Script, answer_job, answer_problem, events, shown, succeeded
from tiny_models import publish_model

from service.cli import main
from service.client import PhotositeClient
from service.commands import remote
from service.commands.remote import request_parameters
from service.worker.denoising import denoise_options
from training.denoise import DenoiseOptions
from training.noise import NoiseModel

if TYPE_CHECKING:
    from pathlib import Path

REPORT = {
    "model": "tiny@1",
    "noise": {"shot_noise": [1e-4] * 4, "read_noise": [1e-6] * 4},
    "noise_source": "tag",
    "megapixels": 1.5,
    "warnings": ["odd but usable"],
}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "in.dng").write_bytes(b"raw")
    return tmp_path / "in.dng"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """A server that denoises everything."""
    done = succeeded()().json()
    script = Script(
        {
            "POST /denoise": [answer_job(status=202)],
            JOB: [answer_job(), lambda: httpx.Response(200, json=done)],
            EVENTS: [events(shown("running", stage="network", progress=0.5), {**done, "report": REPORT})],
            FILE: [lambda: httpx.Response(200, content=RESULT)],
        }
    )
    client = functools.partial(PhotositeClient, transport=httpx.MockTransport(script))
    monkeypatch.setattr(remote, "PhotositeClient", client)
    monkeypatch.setenv("PHOTOSITE_SERVER", "http://test")
    return script


def test_the_server_does_it_and_the_output_has_the_same_name(
    raw: Path, script: Script, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHOTOSITE_API_KEY", "a-key")
    options = ["--strength", "0.5", "--noise", "1e-4,1e-6", "--preview", "render", "--force"]
    assert main(["denoise", str(raw), *options]) == 0
    assert raw.with_name("in-denoised.dng").read_bytes() == RESULT
    sent = script.requests[0]
    asked = {"strength": "0.5", "noise": "0.0001,1e-06", "preview": "render", "force": "true"}
    assert dict(sent.url.params) == asked
    assert sent.headers["authorization"] == "Bearer a-key"
    printed = capsys.readouterr()
    assert "in-denoised.dng  (1.5 MP, tiny@1, noise 0.0001,1e-06 from the tag" in printed.out
    assert "in.dng: warning: odd but usable" in printed.err


def test_json_is_the_local_commands(raw: Path, script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["denoise", str(raw), "--in-place", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(raw), "output": str(raw), **REPORT}
    assert raw.read_bytes() == RESULT


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (answer_problem(422, "unreadable_raw"), 3, "in.dng: unreadable_raw: a sentence"),
        (answer_problem(409, "already_denoised"), 3, "in.dng: already_denoised: a sentence"),
        (answer_problem(503, "queue_full"), 1, "in.dng: queue_full: a sentence"),
        (answer_problem(500, "internal_error"), 1, "in.dng: internal_error: a sentence"),
        (answer_problem(422, "invalid_request"), 2, "photosite: invalid_request: a sentence"),
        (answer_problem(500, "model_error"), 2, "photosite: model_error: a sentence"),
    ],
)
def test_a_refusal_ends_as_it_would_without_a_server(
    raw: Path, script: Script, capsys: pytest.CaptureFixture[str], *, answer: Any, code: int, said: str
) -> None:
    script.answers["POST /denoise"] = [answer]
    assert main(["denoise", str(raw)]) == code
    assert capsys.readouterr().err.strip().endswith(said)
    assert [path.name for path in raw.parent.iterdir()] == ["in.dng"]


def test_the_rest_of_a_batch_goes_on_after_a_bad_file(raw: Path, script: Script) -> None:
    script.answers["POST /denoise"] = [answer_problem(422, "unreadable_raw"), answer_job(status=202)]
    good = raw.with_name("good.dng")
    good.write_bytes(b"raw")
    assert main(["denoise", str(raw), str(good)]) == 4
    assert good.with_name("good-denoised.dng").read_bytes() == RESULT


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--device", "cpu"], "--device: where the network runs is up to the server"),
        (["--strength", "2"], "strength: got 2, wanted 0 to 1"),
        (["--model", "../secret"], "--model: got '../secret'"),
        (["--format", "tiff"], "--server: it gives DNGs"),
        (["--strip-gps", "--preview", "none"], "--server: it gives DNGs"),
        (["--server", "localhost"], "server: wanted an address"),
        (["-o", "/no/such/folder/x.dng"], "there is no folder"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_sent(
    raw: Path, script: Script, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert main(["denoise", str(raw), *options]) == 2
    assert said in capsys.readouterr().err
    assert script.requests == []


def test_an_empty_address_means_this_machine_all_the_same(
    raw: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_model(raw.parent / "data" / "models")
    monkeypatch.setenv("PHOTOSITE_DATA_DIR", str(raw.parent / "data"))
    assert main(["denoise", str(raw), "--server", "", "--device", "cpu"]) == 3
    assert script.requests == []


def test_a_server_that_is_not_there_is_exit_code_5_and_costs_no_torch(raw: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    program = (
        "import sys; from service.cli import main\n"
        "code = main(sys.argv[1:])\n"
        "sys.exit(99 if 'torch' in sys.modules else code)"
    )
    server = ["--server", f"http://127.0.0.1:{port}"]
    command = [sys.executable, "-c", program, "denoise", str(raw), *server]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 5, ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert f"server_unreachable: the server http://127.0.0.1:{port}" in ended.stderr


@given(
    st.floats(0, 1),
    st.none() | st.tuples(st.floats(1e-12, 1), st.floats(0, 1)),
    st.sampled_from(["auto", "keep"]),
    st.booleans(),
)
def test_the_worker_gets_the_options_that_were_given(
    strength: float, noise: tuple[float, float] | None, precision: Any, force: bool
) -> None:
    model = noise and NoiseModel.uniform(shot_noise=noise[0], read_noise=noise[1])
    options = DenoiseOptions(strength=strength, noise=model, precision=precision, force=force)
    assert denoise_options(request_parameters(None, options)) == options
