"""The end of a tenant: nothing of it stays, on the disk or in Redis, and nothing of others' is touched."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from service_process import RunningService, alive, serve, wait_until
from tiny_models import publish_model

from service.api.dependencies import make_services
from service.api.submission import accept, check_not_deleted
from service.cli import main
from service.erasure import OWNED, erase_tenant
from service.errors import AuthenticationError, BrokerUnavailableError, ConflictError, LeaseLostError, NotFoundError
from service.job_records import Job, new_job_id
from service.redis_access import connect_redis
from service.schemas import DenoiseParameters, FileSchema
from service.settings import Settings
from service.sweeper import remove_loose_blobs
from training.registry import set_default

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis import Redis

    from service.api.dependencies import Services

pytestmark = pytest.mark.integration

ASYNC = {"Prefer": "respond-async"}
GONE = "erased-studio"
"""A name that nothing else holds by chance."""


def photosite(*arguments: str, data_dir: Path, code: int = 0) -> str:
    """Run the command line, which finds the service by its folder; gives what it prints."""
    command = [sys.executable, "-m", "service", *arguments, "--data-dir", str(data_dir)]
    run = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert run.returncode == code, run.stderr
    return run.stdout if code == 0 else run.stderr


def keys_that_name(redis: Redis, word: str) -> list[str]:
    """All keys of the service with a word in their name or in any value; of a broker's own, too."""
    read: dict[str, Any] = {
        "string": redis.get,
        "hash": redis.hgetall,
        "set": redis.smembers,
        "list": lambda key: redis.lrange(key, 0, -1),
        "zset": lambda key: redis.zrange(key, 0, -1),
    }

    def content(key: str) -> str:
        kind = redis.type(key)
        return "" if kind == "none" else str(read[kind](key))  # none: it went meanwhile

    return [key for key in redis.scan_iter("*") if word in key or word in content(key)]


def files_that_name(folder: Path, word: str) -> list[Path]:
    """All files and folders with a word in their path or their bytes: Redis' own files, too."""
    return [
        path
        for path in folder.rglob("*")
        if word in str(path.relative_to(folder)) or (path.is_file() and word.encode() in path.read_bytes())
    ]


@contextmanager
def redis_of(service: RunningService) -> Iterator[Redis]:
    """The service's private server."""
    address = (service.data_dir / "redis" / "address").read_text(encoding="utf-8")
    with connect_redis(Settings(redis_url=address)) as client:
        yield client


@contextmanager
def client_of(service: RunningService, tenant: str) -> Iterator[httpx.Client]:
    """A tenant with a new key."""
    key = photosite("keys", "create", tenant, data_dir=service.data_dir).strip()
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=service.address, headers=headers, timeout=120, trust_env=False) as client:
        yield client


@pytest.fixture
def guarded(
    server_binary: str, models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunningService]:
    """A service that asks for keys."""
    monkeypatch.setenv("PHOTOSITE_REDIS_SERVER", server_binary)
    monkeypatch.setenv("PHOTOSITE_MODELS_DIR", str(models_dir))
    photosite("keys", "create", "operator", data_dir=tmp_path / "data")
    with serve(tmp_path / "data", PHOTOSITE_REQUIRE_KEYS="true") as running:
        yield running


def finish(client: httpx.Client, raw: Path, **query: str) -> str:
    """Have a raw denoised; gives the job's id."""
    answer = client.post("/denoise", params=query, content=raw.read_bytes(), headers={"Prefer": "wait=100"})
    assert answer.status_code == 200, answer.text
    found: str = answer.headers["x-photosite-job"]
    return found


def begin(client: httpx.Client, raw: Path, **query: str) -> str:
    """Hand a raw in; gives the job's id."""
    headers = {**ASYNC, "Idempotency-Key": f"{query}"}
    found: str = client.post("/denoise", params=query, content=raw.read_bytes(), headers=headers).json()["id"]
    return found


def test_a_tenant_is_deleted_while_the_service_works_for_it(guarded: RunningService, raw: Path, big_raw: Path) -> None:
    own = guarded.data_dir / "tenants" / GONE / "models"
    publish_model(own, "theirs")
    with client_of(guarded, GONE) as client, client_of(guarded, "lab") as lab, redis_of(guarded) as redis:
        kept = finish(lab, raw)
        finish(client, raw, model="tiny", batch="roll")
        finish(client, raw, model="theirs", batch="roll")
        captured = client.post("/captures", content=raw.read_bytes()).json()["id"]
        wait_until(lambda: client.get(f"/captures/{captured}").json()["state"] == "usable", 60)
        client.post("/uploads", headers={"Tus-Resumable": "1.0.0", "Upload-Length": "10"}).raise_for_status()
        running = begin(client, big_raw, model="slow", batch="roll")
        waiting = begin(client, raw, batch="other", strength="0.3")
        wait_until(lambda: client.get(f"/jobs/{running}").json()["stage"] == "network", 60)
        assert len(keys_that_name(redis, GONE)) > 8
        assert files_that_name(guarded.data_dir, GONE)
        said = photosite("tenants", "delete", GONE, "--yes", data_dir=guarded.data_dir)
        # How many batches had ended is chance.
        counts = r"1 keys, 1 captures, 5 jobs, \d webhooks, 1 uploads, 1 models, 5 files"
        assert re.fullmatch(f"deleted {GONE}: {counts}\n", said)
        assert client.get("/jobs").status_code == 401
        wait_until(lambda: not keys_that_name(redis, GONE), 30)
        # The worker that was at it stops at its next tile; then it takes the other one's job.
        assert finish(lab, raw, strength="0.4")
        assert keys_that_name(redis, GONE) == []
        for job_id in (running, waiting):
            assert not redis.exists(f"ps:job:{job_id}")
        assert files_that_name(guarded.data_dir, GONE) == []
        assert lab.get(f"/jobs/{kept}/result").status_code == 200
        listed = photosite("tenants", "list", "--json", data_dir=guarded.data_dir).splitlines()
        assert [json.loads(line)["tenant"] for line in listed] == ["lab", "operator"]
    assert "Traceback" not in guarded.data_dir.with_suffix(".log").read_text(encoding="utf-8")


def test_a_tenant_is_deleted_while_the_service_does_not_run(guarded: RunningService, raw: Path) -> None:
    with client_of(guarded, GONE) as client, client_of(guarded, "lab") as lab:
        shown = f"/jobs/{finish(client, raw)}/preview"
        finish(lab, raw)
        wait_until(lambda: client.get(shown).headers["content-type"] == "image/jpeg", 60)
    family = guarded.family()
    guarded.process.terminate()
    guarded.process.wait(60)
    wait_until(lambda: not any(alive(pid) for pid in family), 30)
    assert files_that_name(guarded.data_dir, GONE)
    said = photosite("tenants", "delete", GONE, "--yes", data_dir=guarded.data_dir)
    assert said == f"deleted {GONE}: 1 keys, 0 captures, 1 jobs, 0 webhooks, 0 uploads, 0 models, 3 files\n"
    assert files_that_name(guarded.data_dir, GONE) == []
    assert "there is no tenant" in photosite("tenants", "delete", GONE, "--yes", data_dir=guarded.data_dir, code=2)
    [lab_line, _] = photosite("tenants", "list", data_dir=guarded.data_dir).splitlines()
    assert lab_line.startswith("lab")
    assert "1 keys, 1 jobs, " in lab_line


# ---- the parts, on a Redis of their own ----------------------------------------------------------------------------


@pytest.fixture
def services(redis_url: str, tmp_path: Path) -> Iterator[Services]:
    services = make_services(Settings(redis_url=redis_url, data_dir=tmp_path, blob_grace_s=0.1))
    services.jobs.redis.flushall()
    yield services
    services.jobs.close()


def store(services: Services, tenant: str, data: bytes) -> FileSchema:
    """Store a blob of a tenant's."""
    with services.blobs.writer(tenant) as writer:
        writer.write(data)
        blob = writer.commit()
    return FileSchema(name="a.dng", bytes=blob.bytes, sha256=blob.key.sha256)


def make_job(services: Services, tenant: str, data: bytes = b"raw") -> Job:
    """A queued job, with a batch, and a client's key for the request."""
    upload = store(services, tenant, data)
    job = Job(id=new_job_id(), tenant=tenant, batch="roll", parameters=DenoiseParameters(), input=upload)
    return services.jobs.create(job, ("the client's own key", "fingerprint"))


def test_a_running_jobs_result_counts_for_nothing(services: Services) -> None:
    services.tenants.create_key(GONE)
    job = services.jobs.claim(make_job(services, GONE).id)
    assert job
    counts = erase_tenant(services.estate, GONE)
    assert counts == {"keys": 1, **dict.fromkeys(OWNED, 0), "jobs": 1, "webhooks": 1, "files": 1}
    late = store(services, GONE, b"result")
    for write in (
        lambda: services.jobs.check_ours(job),
        lambda: services.jobs.renew(job, "network", 0.5),
        lambda: services.jobs.succeed(job, report={}, result=late),
        lambda: services.jobs.fail(job, NotFoundError("x")),
        lambda: services.jobs.release(job, BrokerUnavailableError("x")),
    ):
        with pytest.raises(LeaseLostError):
            write()
    wait_until(lambda: bool(services.jobs.ledger.loose()))
    remove_loose_blobs(services.jobs, services.blobs)
    assert keys_that_name(services.jobs.redis, GONE) == []
    assert files_that_name(services.settings.data_dir, GONE) == []


def test_what_a_request_makes_that_was_on_its_way_is_erased(services: Services) -> None:
    services.tenants.create_key(GONE)
    upload = store(services, GONE, b"raw")
    erase_tenant(services.estate, GONE)
    job = Job(id=new_job_id(), tenant=GONE, batch="roll", parameters=DenoiseParameters(), input=upload)
    with pytest.raises(AuthenticationError):
        accept(job, services, "the client's own key")
    services.captures.create(GONE, upload)
    with pytest.raises(AuthenticationError):
        check_not_deleted(GONE, services)
    wait_until(lambda: bool(services.jobs.ledger.loose()))
    remove_loose_blobs(services.jobs, services.blobs)
    assert keys_that_name(services.jobs.redis, GONE) == []


def test_a_deletion_that_was_interrupted_is_gone_on_with(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    services.tenants.create_key(GONE)
    make_job(services, GONE)
    capture, _ = services.captures.create(GONE, store(services, GONE, b"a capture"))
    assert services.captures.get(GONE, capture.id) == capture
    publish_model(services.settings.tenant_models_dir(GONE), "theirs")

    def fail(*_: object) -> int:
        raise BrokerUnavailableError("gone")

    with monkeypatch.context() as patch:
        patch.setitem(OWNED, "models", fail)
        with pytest.raises(BrokerUnavailableError):
            erase_tenant(services.estate, GONE)
    assert (services.tenants.names(), services.tenants.leaving(), services.tenants.keys()) == ([], [GONE], [])
    with pytest.raises(ConflictError, match="being deleted"):
        services.tenants.create_key(GONE)
    assert erase_tenant(services.estate, GONE) == {
        "keys": 0,
        "captures": 0,
        "jobs": 0,
        "webhooks": 0,
        "uploads": 0,
        "models": 1,
        "files": 2,
    }
    assert keys_that_name(services.jobs.redis, GONE) == []
    assert files_that_name(services.settings.data_dir, GONE) == []
    services.tenants.create_key(GONE)
    assert services.jobs.count_of(GONE) == 0


def test_tenants_whose_names_begin_alike_are_not_confused(services: Services) -> None:
    for tenant in ("lab", "lab-2", "my-lab"):
        services.tenants.create_key(tenant)
        make_job(services, tenant)
        publish_model(services.settings.tenant_models_dir(tenant), "own")
    before = {tenant: sorted(keys_that_name(services.jobs.redis, tenant)) for tenant in ("lab-2", "my-lab")}
    erase_tenant(services.estate, "lab")
    for tenant, keys in before.items():
        assert sorted(keys_that_name(services.jobs.redis, tenant)) == keys
        assert services.jobs.ledger.stored_bytes(tenant) == 3
        assert len(files_that_name(services.settings.data_dir / "tenants" / tenant, "json")) == 1
    assert not (services.settings.data_dir / "blobs" / "tenants" / "lab").exists()


def test_nobody_is_deleted_without_being_asked_about(
    services: Services, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PHOTOSITE_REDIS_URL", services.settings.redis_url)
    command = ["tenants", "delete", GONE, "--data-dir", str(services.settings.data_dir)]
    services.tenants.create_key(GONE)
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{GONE}\n"))
    assert main(command) == 2, "there is no terminal"
    assert "--yes" in capsys.readouterr().err
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", sys.stdin)
    assert main([*command[:2], "another", *command[3:]]) == 1, "another name was typed"
    assert services.tenants.names() == [GONE]
    sys.stdin.seek(0)
    assert main(command) == 0
    assert services.tenants.names() == []


def test_who_needs_no_key_can_be_deleted_too(services: Services) -> None:
    job = make_job(services, "local")
    set_default(services.settings.tenant_models_dir("local"), "photosite")
    assert erase_tenant(services.estate, "local")["jobs"] == 1
    assert services.tenants.exists("local")
    assert keys_that_name(services.jobs.redis, job.id) == []
    assert not services.settings.tenant_dir("local").exists()
