"""A service that asks for keys: each tenant sees its own, and nothing else exists."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from service_process import serve, wait_until
from tiny_models import publish_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from service_process import RunningService

pytestmark = pytest.mark.integration

OPEN_ROUTES = {"/health/live", "/health/ready", "/metrics", "/session"}
TUS = {"Tus-Resumable": "1.0.0"}


def photosite(*arguments: str) -> str:
    """Run the command line; gives what it prints."""
    command = [sys.executable, "-m", "service", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def guarded(server_binary: str, models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """`photosite serve` that asks for keys on loopback, too; the first key is made before it runs."""
    folder = tmp_path_factory.mktemp("guarded") / "data"
    settings = {"PHOTOSITE_REDIS_SERVER": server_binary, "PHOTOSITE_MODELS_DIR": str(models_dir)}
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PHOTOSITE_REDIS_SERVER", server_binary)
        key = photosite("keys", "create", "studio", "--label", "first", "--data-dir", str(folder)).strip()
        with serve(
            folder, PHOTOSITE_REQUIRE_KEYS="true", PHOTOSITE_MAX_WRONG_KEYS_PER_MINUTE="0", **settings
        ) as running:
            running.client.headers["Authorization"] = f"Bearer {key}"
            yield running


@pytest.fixture(scope="module")
def stranger(guarded: RunningService) -> Iterator[httpx.Client]:
    """Another tenant, with a key that was made while the service runs."""
    key = photosite("keys", "create", "lab", "--data-dir", str(guarded.data_dir)).strip()
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=guarded.address, headers=headers, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def job_id(guarded: RunningService, raw: Path) -> str:
    """A job of the first tenant's that is done."""
    answer = guarded.client.post("/denoise?batch=roll-1", content=raw.read_bytes(), headers={"Prefer": "respond-async"})
    found: str = answer.json()["id"]
    guarded.wait_for_state(found, "succeeded")
    return found


@pytest.fixture(scope="module")
def own_model(guarded: RunningService) -> str:
    """A model of the first tenant's alone."""
    publish_model(guarded.data_dir / "tenants" / "studio" / "models", "studio-x")
    guarded.client.put("/models/tiny/default").raise_for_status()
    return "studio-x@1"


@pytest.fixture(scope="module")
def capture_id(guarded: RunningService, raw: Path) -> str:
    """A capture of the first tenant's."""
    found: str = guarded.client.post("/captures", content=raw.read_bytes()).raise_for_status().json()["id"]
    return found


def upload(client: httpx.Client, raw: Path) -> str:
    """Upload a whole file by the upload protocol; gives the upload's id."""
    headers = {**TUS, "Upload-Length": str(raw.stat().st_size), "Content-Type": "application/offset+octet-stream"}
    location: str = client.post("/uploads", headers=headers, content=raw.read_bytes()).headers["location"]
    return location.removeprefix("/uploads/")


def owned_routes(guarded: RunningService) -> list[tuple[str, str, dict[str, Any]]]:
    """Every route of the description that is not open to all: method, path, operation."""
    paths = guarded.client.get("/openapi.json").json()["paths"]
    return [
        (method, path, operation)
        for path, operations in paths.items()
        for method, operation in operations.items()
        if path not in OPEN_ROUTES
    ]


@pytest.mark.parametrize("header", [None, "Bearer x", "Bearer ps_000000000000_" + "A" * 43, "Basic abc", "nonsense"])
def test_no_route_answers_without_a_good_key(guarded: RunningService, header: str | None) -> None:
    with httpx.Client(base_url=guarded.address, trust_env=False) as client:
        for method, path, _ in owned_routes(guarded):
            filled = re.sub(r"\{\w+\}", "0" * 32, path)
            answer = client.request(method, filled, headers={"Authorization": header} if header else {})
            assert (method, path, answer.status_code) == (method, path, 401)
            assert method == "head" or answer.json()["code"] == "unauthenticated"
            assert answer.headers["www-authenticate"] == "Bearer"


def test_anothers_id_is_not_found_on_every_route(
    guarded: RunningService, stranger: httpx.Client, job_id: str, own_model: str, capture_id: str
) -> None:
    begun = guarded.client.post("/uploads", headers={**TUS, "Upload-Length": "10"})
    upload_id = begun.headers["location"].removeprefix("/uploads/")
    ids = {
        "job_id": job_id,
        "batch": "roll-1",
        "name": "report.json",
        "model": own_model,
        "capture_id": capture_id,
        "upload_id": upload_id,
    }
    asked = 0
    for method, path, _ in owned_routes(guarded):
        if "{" not in path:
            continue
        filled = re.sub(r"\{(\w+)\}", lambda match: ids[match[1]], path)
        answer = stranger.request(method, filled, headers=TUS)
        assert (method, path, answer.status_code) == (method, path, 404)
        assert method == "head" or answer.json()["code"] == "not_found"
        asked += 1
    assert asked >= 20
    assert guarded.job(job_id)["state"] == "succeeded"
    assert guarded.client.get(f"/models/{own_model}").json()["own"] is True
    assert guarded.client.head(f"/uploads/{upload_id}", headers=TUS).headers["upload-offset"] == "0"


def test_a_tenants_listing_has_its_own_jobs_only(guarded: RunningService, stranger: httpx.Client, job_id: str) -> None:
    assert [job["id"] for job in guarded.client.get("/jobs?kind=denoise").json()["jobs"]] == [job_id]
    assert stranger.get("/jobs").json() == {"jobs": [], "next_cursor": None}
    assert stranger.get("/jobs?batch=roll-1").json()["jobs"] == []


def test_the_same_key_word_of_two_tenants_is_two_requests(
    guarded: RunningService, stranger: httpx.Client, raw: Path
) -> None:
    headers = {"Idempotency-Key": "mine", "Prefer": "respond-async"}
    ids = {
        client.post("/denoise", content=raw.read_bytes(), headers=headers).json()["id"]
        for client in (guarded.client, stranger)
    }
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("GET", "/jobs/results.zip?id={job_id}"),
        ("GET", "/jobs/results.zip?batch=roll-1"),
        ("POST", "/denoise?upload={upload_id}"),
    ],
)
def test_anothers_id_in_a_query_is_not_found(
    guarded: RunningService, stranger: httpx.Client, job_id: str, raw: Path, *, method: str, address: str
) -> None:
    upload_id = upload(guarded.client, raw)
    filled = address.format(job_id=job_id, upload_id=upload_id)
    answer = stranger.request(method, filled)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert guarded.client.request(method, filled).status_code == 200


def test_a_revoked_key_is_worthless_at_once(guarded: RunningService) -> None:
    folder = str(guarded.data_dir)
    secret = photosite("keys", "create", "lab", "--label", "short-lived", "--data-dir", folder).strip()
    headers = {"Authorization": f"Bearer {secret}"}
    assert httpx.get(f"{guarded.address}/jobs", headers=headers, trust_env=False).status_code == 200
    listed = [json.loads(line) for line in photosite("keys", "list", "--json", "--data-dir", folder).splitlines()]
    [key] = [key for key in listed if key["label"] == "short-lived"]
    assert secret not in json.dumps(listed)
    photosite("keys", "revoke", key["id"], "--data-dir", folder)
    assert httpx.get(f"{guarded.address}/jobs", headers=headers, trust_env=False).status_code == 401


ALLOWED = {
    "read": {"get", "head", "options"},
    "denoise": {"post /denoise", "delete /jobs/{job_id}", "delete /batches/{batch}"},
    "train": {"post /jobs/finetune", "post /jobs/validate", "post /captures", "delete /captures/{capture_id}"},
    "models": {"put /models/{model}/default", "delete /models/{model}"},
}
"""What keys of one scope may do, as methods or as operations; and whoever hands in raws may upload them in pieces."""


@pytest.mark.parametrize("scope", ALLOWED)
def test_a_key_is_good_for_what_it_was_made_for_alone(guarded: RunningService, scope: str) -> None:
    key = photosite("keys", "create", "lab", "--scopes", scope, "--data-dir", str(guarded.data_dir)).strip()
    allowed = ALLOWED[scope] | ({"delete /jobs/{job_id}"} if scope == "train" else set())
    with httpx.Client(
        base_url=guarded.address, headers={"Authorization": f"Bearer {key}", **TUS}, timeout=60, trust_env=False
    ) as client:
        for method, path, _ in owned_routes(guarded):
            answer = client.request(method, re.sub(r"\{\w+\}", "0" * 32, path))
            uploads = path in {"/uploads", "/uploads/{upload_id}"}
            may = (uploads and scope in {"denoise", "train"}) or bool({method, f"{method} {path}"} & allowed)
            assert (method, path, answer.status_code != 403) == (method, path, may)
            assert may or method == "head" or answer.json()["code"] == "permission_denied"


def test_a_session_is_for_no_more_than_its_key(guarded: RunningService) -> None:
    key = photosite("keys", "create", "lab", "--scopes", "read,train", "--data-dir", str(guarded.data_dir)).strip()
    with httpx.Client(base_url=guarded.address, trust_env=False) as browser:
        browser.post("/session", json={"key": key}).raise_for_status()
        assert browser.get("/jobs").status_code == 200
        refused = browser.put("/models/tiny/default", headers={"Sec-Fetch-Site": "same-origin"})
        assert (refused.status_code, refused.json()["detail"]) == (
            403,
            "the API key is not for that: it needs the scope models",
        )


def test_a_key_and_its_successor_are_both_good_for_a_while(guarded: RunningService) -> None:
    folder = ("--data-dir", str(guarded.data_dir))
    old = photosite("keys", "create", "lab", "--label", "to be replaced", "--scopes", "read", *folder).strip()
    new = photosite("keys", "rotate", old.split("_")[1], "--grace", "3", *folder).strip()
    listed = [json.loads(line) for line in photosite("keys", "list", "--json", *folder).splitlines()]
    pair = [key for key in listed if key["label"] == "to be replaced"]
    assert {key["id"]: (key["tenant"], key["scopes"], key["expires_at"] is None) for key in pair} == {
        new.split("_")[1]: ("lab", ["read"], True),
        **({old.split("_")[1]: ("lab", ["read"], False)} if len(pair) == 2 else {}),  # it may be over already
    }

    def status(key: str) -> int:
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.get(f"{guarded.address}/jobs", headers=headers, trust_env=False).status_code

    assert status(new) == 200
    wait_until(lambda: status(old) == 401, 30)
    assert status(new) == 200
    assert old.split("_")[1] not in photosite("keys", "list", *folder)


def test_a_key_can_be_replaced_at_once(guarded: RunningService) -> None:
    folder = ("--data-dir", str(guarded.data_dir))
    old = photosite("keys", "create", "lab", *folder).strip()
    photosite("keys", "rotate", old.split("_")[1], "--grace", "0", *folder)
    headers = {"Authorization": f"Bearer {old}"}
    assert httpx.get(f"{guarded.address}/jobs", headers=headers, trust_env=False).status_code == 401


@pytest.mark.parametrize(
    "arguments", [("create", "lab", "--scopes", "read,fly"), ("create", "lab", "--scopes", ""), ("rotate", "0" * 12)]
)
def test_keys_that_cannot_be_are_not_made(guarded: RunningService, arguments: tuple[str, ...]) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        photosite("keys", *arguments, "--data-dir", str(guarded.data_dir))


def test_keys_are_not_kept_in_clear(guarded: RunningService) -> None:
    secret = guarded.client.headers["Authorization"].removeprefix("Bearer ")
    for path in guarded.data_dir.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes()


def test_a_tenants_models_and_default_are_its_own(
    guarded: RunningService, stranger: httpx.Client, own_model: str, raw: Path
) -> None:
    mine, theirs = (
        {model["reference"]: model for model in client.get("/models").json()["models"]}
        for client in (guarded.client, stranger)
    )
    assert mine.keys() - theirs.keys() == {own_model}
    assert [name for name, model in mine.items() if model["own"]] == [own_model]
    assert not any(model["own"] for model in theirs.values())
    try:
        assert guarded.client.put(f"/models/{own_model}/default").status_code == 200
        used = [
            client.post("/denoise?strength=0.71", content=raw.read_bytes()).headers["x-photosite-model"]
            for client in (guarded.client, stranger)
        ]
        assert used == [own_model, "tiny@1"]
    finally:
        guarded.client.put("/models/tiny/default").raise_for_status()
    for client in (guarded.client, stranger):
        refused = client.delete("/models/tiny")
        assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    refused = stranger.post(f"/denoise?model={own_model}", content=raw.read_bytes())
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")


def test_a_single_job_does_not_wait_for_all_of_another_tenants(
    guarded: RunningService, stranger: httpx.Client, raw: Path
) -> None:
    """It begins when the job that runs is done, or after one more that a worker had begun before it came."""
    later = {"Prefer": "respond-async"}
    greedy = [
        guarded.client.post(f"/denoise?strength=0.{number}", content=raw.read_bytes(), headers=later).json()["id"]
        for number in range(10, 40)
    ]
    accepted = stranger.post("/denoise?model=tiny", content=raw.read_bytes(), headers=later).json()
    place = stranger.get(accepted["links"]["self"]).json()["place"]
    assert place is None or place["ahead"] <= 1, "others' 30 jobs are one to it"
    for job in [accepted["id"], *greedy]:
        owner = stranger if job == accepted["id"] else guarded.client
        wait_until(lambda job=job, owner=owner: owner.get(f"/jobs/{job}").json()["state"] == "succeeded", 120)  # type: ignore[misc]
    began = sorted(guarded.client.get(f"/jobs/{job}").json()["started_at"] for job in greedy)
    shown = stranger.get(f"/jobs/{accepted['id']}").json()
    assert sum(shown["created_at"] < other < shown["started_at"] for other in began) <= 2
