"""Webhooks of the real service: told over HTTP, also when the process that was telling is killed."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import pytest
from service_process import alive, serve, wait_until
from webhook_receiver import receiving

from service.schemas import JobSchema

if TYPE_CHECKING:
    from pathlib import Path

    from service_process import RunningService

pytestmark = pytest.mark.integration

SECRET = "whsec_" + "c2VjcmV0IG9mIGEgdGVzdCwgMzIgYnl0ZXMgbG9uZyEh"
WEBHOOKS = {"PHOTOSITE_WEBHOOK_SECRET": SECRET, "PHOTOSITE_WEBHOOK_ALLOW_PRIVATE": "true"}
ASYNC = {"Prefer": "respond-async"}


def submit(service: RunningService, raw: Path, **query: str) -> str:
    """Hand a raw in without waiting; gives the job's id."""
    response = service.client.post("/denoise", params=query, headers=ASYNC, content=raw.read_bytes())
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def test_jobs_and_batches_are_told(server_binary: str, models_dir: Path, raw: Path, tmp_path: Path) -> None:
    settings = {"PHOTOSITE_REDIS_SERVER": server_binary, "PHOTOSITE_MODELS_DIR": str(models_dir)}
    with serve(tmp_path / "data", **settings, **WEBHOOKS) as service, receiving() as receiver:
        address = f"http://127.0.0.1:{receiver.port}/"
        secret = service.client.get("/webhook-secret").json()["secret"]
        job_id = submit(service, raw, webhook=address)
        wait_until(lambda: len(receiver.received) == 1)
        told = JobSchema.model_validate_json(receiver.received[0].body)
        assert (told.id, told.state) == (job_id, "succeeded")
        assert told.model_dump(mode="json") == service.job(job_id)
        batch = [submit(service, raw, batch="wedding", webhook=address) for _ in range(2)]
        wait_until(lambda: len(receiver.received) == 2)
        assert receiver.received[1].json["jobs"] == batch
        assert receiver.received[1].json["states"] == {"succeeded": 2}
        measuring = service.client.post("/jobs/validate", json={"model": "tiny", "webhook": address}).json()["id"]
        service.client.delete(f"/jobs/{measuring}").raise_for_status()
        wait_until(lambda: len(receiver.received) == 3)
        assert (receiver.received[2].json["id"], receiver.received[2].json["state"]) == (measuring, "cancelled")
        assert all(received.is_signed_by(secret) for received in receiver.received)
        metrics = service.client.get("/metrics").text
        assert 'photosite_webhooks_total{outcome="delivered"} 3.0' in metrics


def test_a_process_that_is_killed_while_it_tells_is_followed_by_one_that_tells_again(
    models_dir: Path, raw: Path, tmp_path: Path
) -> None:
    settings = {"PHOTOSITE_MODELS_DIR": str(models_dir), **WEBHOOKS}  # on one server: how each keeps it is tested apart
    killed = threading.Event()
    with receiving(before_answer=lambda: killed.wait(60)) as receiver:
        with serve(tmp_path / "data", **settings) as service:
            job_id = submit(service, raw, webhook=f"http://127.0.0.1:{receiver.port}/")
            wait_until(lambda: len(receiver.received) == 1)
            family = service.family()
            service.process.send_signal(signal.SIGKILL)
            wait_until(lambda: not any(alive(pid) for pid in family))
        killed.set()
        with serve(tmp_path / "data", **settings):
            wait_until(lambda: len(receiver.received) == 2, timeout_s=120)
    first, second = receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == f"job_{job_id}"
    assert first.body == second.body
