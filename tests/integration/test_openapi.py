"""The interface against its own description: thousands of requests, right and wrong, each answered as it says.

No worker runs: jobs stay queued, but for those that are put into every other state before.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from dng_factory import make_dng, sample_mosaic
from hypothesis import strategies as st
from redis_servers import find_server, running_server
from schemathesis.engine import events, from_schema
from schemathesis.python import asgi
from tiny_models import publish_model

from service.api.app import create_app
from service.captures import CaptureStore
from service.job_records import LOCAL_TENANT, Job, new_job_id
from service.schemas import DenoiseParameters, FileSchema, JobParameters, ValidateParameters
from service.settings import Settings
from training.errors import UnreadableRawError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fastapi import FastAPI

    from service.api.dependencies import Services

pytestmark = pytest.mark.integration

EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "15"))
"""Random requests for each operation and kind of test; a thorough run takes 1000."""
OPEN = {"GET /health/live", "GET /health/ready", "GET /metrics", "GET /session", "DELETE /session"}
DONE = "gemessen-日本"
FILES = "/jobs/{job_id}/files/{name}"

RARE = {"POST /uploads", "PATCH /uploads/{upload_id}", "GET /jobs/results.zip", "POST /session"}
"""What needs values that belong together, which chance may miss; asked for by hand."""

ANY_BYTES = "a body of any bytes is as described, but not every one is a raw"
A_CURSOR = "a cursor is what the listing gave, and only it can tell"
ANY_RANGE = "any text is a Range as described, but not every one is one"
ANY_CROP = "what is to be denoised for a look needs a crop, and a model that is there"
NO_RAW = "not every job has a raw to show, nor a result yet"
CANCELS = "DELETE only cancels, and erases where it is asked to: what is cancelled can still be looked at"
EXCLUDED = {
    "POST /denoise": {"positive_data_acceptance": ANY_BYTES},
    "POST /captures": {
        "positive_data_acceptance": ANY_BYTES,
        "ensure_resource_availability": "a capture has no thumbnail before a worker has made one",
    },
    "GET /captures": {"positive_data_acceptance": A_CURSOR},
    "POST /uploads": {"positive_data_acceptance": "base64, and no more than the limit of bytes: no schema says so"},
    "PATCH /uploads/{upload_id}": {"positive_data_acceptance": "a checksum in base64, and that of the bytes"},
    "GET /jobs/results.zip": {"positive_data_acceptance": "at least one of a job and a batch"},
    "POST /jobs/finetune": {"positive_data_acceptance": "not both of steps and minutes; a model that is there; raws"},
    "POST /jobs/validate": {"positive_data_acceptance": "a data set and a model that are there; a noise above 0"},
    "GET /jobs": {"positive_data_acceptance": A_CURSOR},
    "GET /jobs/{job_id}": {"use_after_free": CANCELS},
    "GET /jobs/{job_id}/events": {"use_after_free": CANCELS},
    "GET /jobs/{job_id}/result": {"use_after_free": CANCELS, "positive_data_acceptance": ANY_RANGE},
    f"GET {FILES}": {"use_after_free": CANCELS, "positive_data_acceptance": ANY_RANGE},
    "DELETE /jobs/{job_id}": {"use_after_free": CANCELS},
    "GET /batches/{batch}": {"use_after_free": CANCELS},
    "DELETE /batches/{batch}": {"use_after_free": CANCELS},
    "POST /session": {"positive_data_acceptance": "a key that was made here"},
    "GET /jobs/{job_id}/preview": {"use_after_free": CANCELS, "positive_data_acceptance": NO_RAW},
    "GET /jobs/{job_id}/preview-info": {"use_after_free": CANCELS, "positive_data_acceptance": NO_RAW},
    "GET /captures/{capture_id}/preview": {"positive_data_acceptance": ANY_CROP},
    "GET /uploads/{upload_id}/preview": {"positive_data_acceptance": ANY_CROP},
    "GET /uploads/{upload_id}/preview-info": {"positive_data_acceptance": "an upload that is complete"},
    "GET /captures/{capture_id}/thumbnail": {"positive_data_acceptance": ANY_RANGE},
}
"""Checks that an operation cannot pass, and why."""


REFUSALS = {
    "negative_data_rejection": [400, 401, 403, 404, 405, 409, 412, 413, 415, 422],
    "missing_required_header": [400, 401, 412, 422],
}
"""How a request may be refused that is not as described; 412 where tus wants its version named."""


def often(dictionary: str) -> dict[str, Any]:
    """A parameter whose value is mostly one of those that there are."""
    return {"dictionary": dictionary, "probability": 0.8}


PARAMETERS = [
    {
        "include-method": "GET",
        "exclude-path": FILES,
        "parameters": {
            **{f"path.{name}": often(name) for name in ("job_id", "capture_id", "batch", "model")},
            "path.upload_id": often("complete"),  # all that is read of an upload is what it shows
        },
    },
    {"include-path": FILES, "parameters": {"path.job_id": often("measured"), "path.name": often("name")}},
    {"include-path": "/uploads/{upload_id}", "parameters": {"path.upload_id": often("upload_id")}},
    {"include-path": "/jobs/finetune", "parameters": {"body.captures[*]": often("capture_id")}},
    {
        "include-path": "/models/{model}",
        "include-method": "DELETE",
        "parameters": {"path.model": often("own_model")},
    },
]


@pytest.fixture(scope="module")
def redis_url(program: Callable[[str], str]) -> Iterator[str]:
    """The address of one server; that both answer alike is shown elsewhere."""
    with running_server(find_server("wheel", program)) as url:
        yield url


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small DNG; from now on also what bodies are made of, some whole, some not."""
    path = tmp_path_factory.mktemp("raw") / "in.dng"
    make_dng(path, sample_mosaic(64, 64), layout="ljpeg-tiles")
    good = path.read_bytes()
    length = st.integers(0, len(good))
    cut_off = length.map(lambda end: good[:end])
    overwritten = st.builds(lambda at, data: good[:at] + data + good[at + len(data) :], length, st.binary(max_size=40))
    hostile = st.one_of(st.just(good), overwritten, cut_off, st.binary(max_size=400))
    for media_type in ("image/x-adobe-dng", "application/octet-stream", "application/offset+octet-stream"):
        schemathesis.openapi.media_type(media_type, hostile)
    return good


@pytest.fixture
def make_app(redis_url: str, raw: bytes, tmp_path: Path) -> Iterator[Callable[[bool], FastAPI]]:
    """Makes an application that never waits for a worker, and is never full; what schemathesis starts ends here."""

    def make(require_keys: bool) -> FastAPI:
        settings = Settings(
            redis_url=redis_url,
            data_dir=tmp_path,
            require_keys=require_keys,
            default_wait_s=0,
            max_wait_s=0.1,
            max_queued_jobs=1_000_000,
            max_queued_jobs_per_tenant=1_000_000,
            max_wrong_keys_per_minute=0,
            webhook_secret="whsec_" + "QUJD" * 8,
        )
        app = create_app(settings)
        app.state.services.jobs.redis.flushall()
        return app

    yield make
    asgi.shutdown_lifespans()


class Stock:
    """What one tenant has before the first request."""

    def __init__(self, services: Services, tenant: str, raw: bytes) -> None:
        self._services = services
        self._tenant = tenant
        self._raw = raw
        self._upload = self._keep("in.dng", raw)
        self._parameters = DenoiseParameters()

    def fill(self) -> dict[str, list[str]]:
        """Jobs in every state, a capture, a model of the tenant's own.

        Returns:
            What they are called, by what stands for it in a path.
        """
        models = (
            "mine",
            "ours",
            "portraits",
            "nights",
            "studio",
            "latest",
        )  # the last is the default, which has to stay
        for name in models:
            publish_model(self._services.settings.tenant_models_dir(self._tenant), name)
        return {
            "job_id": self._make_jobs(),
            "measured": [self._measure()],
            "name": ["a.html", "a.csv", "a.zip"],
            "batch": ["roll-1"],
            "upload_id": [self._begin_upload() for _ in range(5)],
            "complete": [self._complete_upload()],
            "capture_id": [self._make_capture()],
            "model": ["photosite"],
            "own_model": list(models),
        }

    def _keep(self, name: str, data: bytes) -> FileSchema:
        with self._services.blobs.writer(self._tenant) as writer:
            writer.write(data)
            blob = writer.commit()
        return FileSchema(name=name, bytes=blob.bytes, sha256=blob.key.sha256)

    def _begin_upload(self) -> str:
        return self._services.uploads.create(self._tenant, name="in.dng", length=1_000_000, metadata="").record.id

    def _complete_upload(self) -> str:
        uploads = self._services.uploads
        upload_id = uploads.create(self._tenant, name="in.dng", length=len(self._raw), metadata="").record.id
        with uploads.open(self._tenant, upload_id) as upload:
            upload.write(self._raw)
        return upload_id

    def _begin(self, parameters: JobParameters, batch: str = "roll-1", **what: Any) -> Job:
        fresh = Job(id=new_job_id(), tenant=self._tenant, batch=batch, parameters=parameters, **what)
        return self._services.jobs.create(fresh)

    def _claim(self, job: Job) -> Job:
        claimed = self._services.jobs.claim(job.id)
        assert claimed is not None
        return claimed

    def _make_jobs(self) -> list[str]:
        done, failed, cancelled, running, queued = (
            self._begin(DenoiseParameters(), input=self._upload) for _ in range(5)
        )
        jobs = self._services.jobs
        jobs.succeed(self._claim(done), result=self._upload, model="photosite@1", report={"noise_source": "tag"})
        jobs.fail(self._claim(failed), UnreadableRawError("it is cut off"))
        jobs.cancel(cancelled.id)
        self._claim(running)
        return [job.id for job in (done, failed, cancelled, running, queued)]

    def _measure(self) -> str:
        contents = {"a.html": b"<p>", "a.csv": b"1,2", "a.zip": b"PK"}
        files = {name: self._keep(name, data) for name, data in contents.items()}
        job = self._claim(self._begin(ValidateParameters(), kind="validate", batch=DONE))
        report = self._keep("report.json", b"{}")
        return self._services.jobs.succeed(job, result=report, files=files, model="photosite@1", report={}).id

    def _make_capture(self) -> str:
        store = CaptureStore(self._services.jobs)
        capture, describing = store.create(self._tenant, self._upload)
        begun = self._services.jobs.claim(describing.id) if describing else None
        if begun:
            store.change(begun, capture.id, state="usable", thumbnail=self._keep("thumbnail.webp", b"RIFF"))
        return capture.id


@dataclass
class Findings:
    """What came of all the requests."""

    faults: dict[str, str] = field(default_factory=dict)
    """What is wrong, by operation and check, with the first request that shows it."""
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    """How often which operation answered with which status."""

    def answered(self, *statuses: int) -> set[str]:
        """The operations that have answered so."""
        return {label for label, status in self.statuses if status in statuses}

    def read(self, recorder: Any) -> None:
        """Take in the requests and checks of one scenario."""
        for case_id, interaction in recorder.interactions.items():
            if interaction.response is not None:
                label = recorder.cases[case_id].value.operation.label
                self.statuses[label, interaction.response.status_code] += 1
                if interaction.response.status_code >= 400 and not is_problem(interaction.response):
                    self.faults.setdefault(f"{label}: no problem", repr(interaction.response.content[:100]))
            for check in recorder.checks.get(case_id, []):
                if check.failure_info is not None:
                    sent, failure = interaction.request, check.failure_info.failure
                    request = f"{sent.method} {sent.uri[:300]} {(sent.body or b'')[:60]!r}"
                    self.faults.setdefault(f"{failure.operation}: {check.name}", f"{failure.message[:300]}\n{request}")


def is_problem(response: Any) -> bool:
    """Whether an error answer is one of ours."""
    if response.headers["content-type"] != ["application/problem+json"]:
        return False
    if response.request.method == "HEAD":
        return not response.content
    problem = json.loads(response.content)
    return problem["status"] == response.status_code and bool(problem["code"] and problem["detail"])


def explore(app: FastAPI, headers: dict[str, str], known: dict[str, list[str]], *, chains: bool = True) -> Findings:
    """Send what schemathesis thinks of: examples, borders, random requests and, if asked, chains of requests."""
    excluded = [
        {"include-name": operation, "checks": {check: {"enabled": False} for check in checks}}
        for operation, checks in EXCLUDED.items()
    ]
    config = schemathesis.Config.from_dict(
        {
            "seed": 1,
            "headers": headers,
            "continue-on-failure": True,
            "max-stream-events": 1,  # the events of a job that no worker does have no end
            "request-timeout": 60,
            "generation": {"max-examples": EXAMPLES, "deterministic": True, "database": "none"},
            "checks": {name: {"expected-statuses": statuses} for name, statuses in REFUSALS.items()},
            "dictionaries": {name: {"values": values} for name, values in known.items()},
            "phases": {"stateful": {"enabled": chains}},
            "operations": [*PARAMETERS, *excluded],
        }
    )
    findings = Findings()
    for event in from_schema(schemathesis.openapi.from_asgi("/openapi.json", app, config=config)).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            findings.faults[type(event).__name__] = str(event)
        if isinstance(event, events.ScenarioFinished):
            findings.read(event.recorder)
    return findings


@pytest.mark.parametrize("require_keys", [False, True])
def test_every_answer_is_as_described(make_app: Callable[[bool], FastAPI], raw: bytes, require_keys: bool) -> None:
    app = make_app(require_keys)
    services: Services = app.state.services
    tenant = "studio" if require_keys else LOCAL_TENANT
    headers = {"Authorization": f"Bearer {services.tenants.create_key(tenant)[1]}"} if require_keys else {}
    findings = explore(app, headers, Stock(services, tenant, raw).fill())
    assert findings.faults == {}
    assert findings.answered(200, 201, 202, 204) | RARE == {label for label, _ in findings.statuses}
    assert sum(findings.statuses.values()) > 1000


@pytest.mark.parametrize(
    ("method", "path", "status", "what"),
    [
        ("PATCH", "/uploads/{upload_id}", 204, {"headers": {"Upload-Offset": "0"}, "body": b"II*"}),
        (
            "PATCH",
            "/uploads/{upload_id}",
            460,
            {"headers": {"Upload-Offset": "0", "Upload-Checksum": "sha1 AAAA"}, "body": b"II*"},
        ),
        ("POST", "/uploads", 201, {"headers": {"Upload-Length": "9"}, "body": b"II*"}),
        ("POST", "/uploads", 413, {"headers": {"Upload-Length": "9" * 18}, "body": b"II*"}),
        ("GET", "/batches/{batch}", 404, {"path_parameters": {"batch": "nothing"}}),
        ("DELETE", "/batches/{batch}", 404, {"path_parameters": {"batch": "nothing"}}),
        ("GET", "/jobs/results.zip", 200, {"query": {"batch": DONE}}),
        ("GET", "/jobs/{job_id}/result", 206, {"headers": {"Range": "bytes=0-3"}}),
        ("GET", "/jobs/{job_id}/result", 206, {"headers": {"Range": "bytes=0-3,8-9"}}),
        ("GET", "/jobs/{job_id}/result", 304, {"headers": {"If-None-Match": "*"}}),
        ("GET", "/jobs/{job_id}/result", 416, {"headers": {"Range": "bytes=999999-"}}),
        ("GET", "/jobs/{job_id}/result", 400, {"headers": {"Range": "bytes=x-"}}),
    ],
)
def test_what_chance_does_not_ask_for_is_answered_as_described(
    make_app: Callable[[bool], FastAPI], raw: bytes, method: str, path: str, *, status: int, what: dict[str, Any]
) -> None:
    app = make_app(False)  # noqa: FBT003  (a fixture's function has no names)
    known = Stock(app.state.services, LOCAL_TENANT, raw).fill()
    operation = schemathesis.openapi.from_asgi("/openapi.json", app)[path][method]
    headers = {"Tus-Resumable": "1.0.0", **what.pop("headers", {})}
    media_type = "application/offset+octet-stream" if "body" in what else None
    places = {name: values[0] for name, values in known.items() if f"{{{name}}}" in path}
    case = operation.Case(**{"path_parameters": places, "headers": headers, "media_type": media_type, **what})
    assert case.call_and_validate().status_code == status


@pytest.mark.parametrize("header", [None, "Bearer ps_000000000000_" + "A" * 43])
def test_without_a_good_key_nothing_but_what_is_open_answers(
    make_app: Callable[[bool], FastAPI], raw: bytes, header: str | None
) -> None:
    app = make_app(True)  # noqa: FBT003  (the same)
    known = Stock(app.state.services, "studio", raw).fill()
    findings = explore(app, {"Authorization": header} if header else {}, known, chains=False)
    assert findings.faults == {}
    assert findings.answered(200, 201, 202, 204, 206, 304) == OPEN
    assert findings.answered(401) == {label for label, _ in findings.statuses} - OPEN
