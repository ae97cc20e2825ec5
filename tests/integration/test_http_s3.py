"""The real service with its blobs in a bucket: the same bytes come out, and the bucket is all that they need."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from boto3.session import Session
from s3_server import BUCKET, REGION, running_s3
from service_process import serve, wait_until

from training.denoise import DenoiseOptions, denoise_file
from training.engines import load_engine
from training.registry import default_registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from service_process import RunningService

pytestmark = pytest.mark.integration


@pytest.fixture
def bucket() -> Iterator[Any]:
    """A client of an empty bucket, and in its `meta.endpoint_url` the server's address."""
    with running_s3() as address:
        client = Session().client("s3", endpoint_url=address, region_name=REGION)
        yield client
        client.close()


@pytest.fixture
def service(bucket: Any, server_binary: str, models_dir: Path, tmp_path: Path) -> Iterator[RunningService]:
    """`photosite serve` that keeps its blobs in the bucket."""
    settings = {
        "PHOTOSITE_REDIS_SERVER": server_binary,
        "PHOTOSITE_MODELS_DIR": str(models_dir),
        "PHOTOSITE_BLOBS_URL": f"s3://{BUCKET}/service",
        "PHOTOSITE_S3_ENDPOINT_URL": bucket.meta.endpoint_url,
        "PHOTOSITE_S3_REGION": REGION,
    }
    with serve(tmp_path / "data", **settings) as service:
        yield service


def names(bucket: Any) -> set[str]:
    """All objects in the bucket."""
    return {found["Key"] for found in bucket.list_objects_v2(Bucket=BUCKET).get("Contents", [])}


@pytest.fixture
def expected(raw: Path, models_dir: Path, tmp_path: Path) -> bytes:
    """What the library makes of the raw in this process, without the service."""
    engine = load_engine(default_registry(models_dir).resolve(None), "cpu")
    denoise_file(raw, tmp_path / "expected.dng", engine=engine, options=DenoiseOptions())
    return (tmp_path / "expected.dng").read_bytes()


def test_a_raw_is_denoised_by_way_of_a_bucket(
    service: RunningService, bucket: Any, raw: Path, corrupt_raw: Path, expected: bytes
) -> None:
    assert service.client.get("/health/ready").json()["checks"]["storage"] == "ok"
    response = service.client.post("/denoise", content=raw.read_bytes())
    assert (response.status_code, response.content == expected) == (200, True)
    kept = {name for name in names(bucket) if "/tenants/" in name}
    assert len(kept) == 2, "the upload and the result"
    assert f"service/tenants/local/{response.headers['etag'].strip(chr(34))}" in kept
    assert not (service.data_dir / "blobs").exists()
    shutil.rmtree(service.data_dir / "blob-cache" / "tenants")
    again = service.client.get(f"/jobs/{response.headers['x-photosite-job']}/result")
    assert again.content == expected, "from the bucket, now that no copy is here"
    refused = service.client.post("/denoise", content=corrupt_raw.read_bytes())
    assert refused.status_code == 422
    wait_until(lambda: names(bucket) == kept)
