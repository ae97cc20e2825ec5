"""Looks for what must not be left once all jobs have ended: files that nobody needs, keys that point nowhere.

In the flow of the tests: trouble → every job ends → **find_leftovers** → nothing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import redis

from service.job_records import LOOSE_KEY, RUNNING_KEY
from service.lines import PRIORITY_STEPS
from service.queue import TASK_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def find_leftovers(redis_url: str, data_dir: Path) -> list[str]:
    """What is wrong, a sentence each; empty is how it should be."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        return [
            *_unknown_holders(client),
            *_files_without_keys(client, data_dir),
            *_keys_without_files(client, data_dir),
            *_pictures_of_nothing(client),
            *_wrong_states(client),
            *_loose_ends(client),
            *_unfinished_files(data_dir),
        ]


def _blobs(data_dir: Path) -> set[str]:
    """TENANT/SHA256 of every blob on the disk."""
    found = (data_dir / "blobs" / "tenants").glob("*/*/*/*")
    return {f"{path.parents[2].name}/{path.name}" for path in found}


def _held(client: Any) -> dict[str, set[str]]:
    """Who holds each blob, by TENANT/SHA256."""
    return {key.removeprefix("ps:blob:"): client.smembers(key) for key in client.scan_iter("ps:blob:*")}


def _unknown_holders(client: Any) -> Iterator[str]:
    for blob, holders in _held(client).items():
        for holder in holders:
            if not _is_there(client, blob, holder):
                yield f"the blob {blob} is held by {holder}, which is not there"


def _is_there(client: Any, blob: str, holder: str) -> bool:
    kind, _, name = holder.rpartition(":")
    tenant = blob.partition("/")[0]
    if kind == "picture":
        return any(client.hexists(key, name) for key in client.scan_iter(f"ps:pictures:{tenant}/*"))
    key = f"ps:{kind}:{tenant}:{name}" if kind else f"ps:job:{name}"  # a capture or an upload, or else a job
    return bool(client.exists(key))


def _files_without_keys(client: Any, data_dir: Path) -> Iterator[str]:
    for blob in _blobs(data_dir) - set(_held(client)):
        yield f"nobody holds the blob {blob}"


def _keys_without_files(client: Any, data_dir: Path) -> Iterator[str]:
    there = _blobs(data_dir)
    sized = {
        f"{key.removeprefix('ps:sizes:')}/{sha256}"
        for key in client.scan_iter("ps:sizes:*")
        for sha256 in client.hkeys(key)
    }
    for blob in set(_held(client)) - there:
        yield f"the blob {blob} is held, and not there"
    for blob in sized ^ there:
        yield f"the blob {blob} has a size or a file, not both"


def _pictures_of_nothing(client: Any) -> Iterator[str]:
    held = _held(client)
    for pattern in ("pictures", "looked"):
        for key in client.scan_iter(f"ps:{pattern}:*"):
            if key.removeprefix(f"ps:{pattern}:") not in held:
                yield f"{key} is there, and not what it is of"


def _wrong_states(client: Any) -> Iterator[str]:
    jobs = {
        key.removeprefix("ps:job:"): json.loads(cast("str", client.hget(key, "state")))
        for key in client.scan_iter("ps:job:*")
    }
    listed = {RUNNING_KEY: "running", "ps:finished": None}
    listed |= {
        key: "queued" for pattern in ("queued", "waiting", "line") for key in client.scan_iter(f"ps:{pattern}:*")
    }
    for key, wanted in listed.items():
        for job_id in client.zrange(key, 0, -1):
            state = jobs.get(job_id, "unknown")
            if wanted is not None and state != wanted:
                yield f"{key} lists the job {job_id}, which is {state}"
    for job_id, state in jobs.items():
        if state not in {"succeeded", "failed", "cancelled"}:
            yield f"the job {job_id} is {state}"


def _loose_ends(client: Any) -> Iterator[str]:
    for blob in client.zrange(LOOSE_KEY, 0, -1):
        yield f"the blob {blob} is still noted as loose"
    for queue in TASK_NAMES:
        for priority in PRIORITY_STEPS:
            key = f"ps:broker:{queue}:{priority}" if priority else f"ps:broker:{queue}"
            if client.llen(key):
                yield f"{client.llen(key)} messages lie in {key}"


def _unfinished_files(data_dir: Path) -> Iterator[str]:
    for folder in ("blobs/unfinished", "runs"):
        for path in (data_dir / folder).glob("*"):
            yield f"{path.relative_to(data_dir)} is left"
    for version in (data_dir / "tenants").glob("*/models/*/*"):
        if not (version / "manifest.json").is_file():
            yield f"{version.relative_to(data_dir)} is no model"
