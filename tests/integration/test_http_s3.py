"""The real service with its blobs in a bucket: the same bytes come out, and the bucket is all that they need."""

from __future__ import annotations

import os
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

pytestmark = pytest.mark.integration


@pytest.fixture
def bucket() -> Iterator[Any]:
    """A client of an empty bucket, and in its `meta.endpoint_url` the server's address."""
    with running_s3() as address:
        client = Session().client("s3", endpoint_url=address, region_name=REGION)
        yield client
        client.close()


def names(bucket: Any) -> set[str]:
    """All objects in the bucket."""
    return {found["Key"] for found in bucket.list_objects_v2(Bucket=BUCKET).get("Contents", [])}


def test_a_raw_is_denoised_by_way_of_a_bucket(
    bucket: Any, server_binary: str, models_dir: Path, raw: Path, corrupt_raw: Path, tmp_path: Path
) -> None:
    engine = load_engine(default_registry(models_dir).resolve(None), "cpu")
    denoise_file(raw, tmp_path / "expected.dng", engine=engine, options=DenoiseOptions())
    expected = (tmp_path / "expected.dng").read_bytes()
    settings = {
        "PHOTOSITE_REDIS_SERVER": server_binary,
        "PHOTOSITE_MODELS_DIR": str(models_dir),
        "PHOTOSITE_BLOBS_URL": f"s3://{BUCKET}/service",
        "PHOTOSITE_S3_ENDPOINT_URL": bucket.meta.endpoint_url,
        "PHOTOSITE_S3_REGION": REGION,
    }
    assert "AWS_ACCESS_KEY_ID" in os.environ
    with serve(tmp_path / "data", **settings) as service:
        assert service.client.get("/health/ready").json()["checks"]["storage"] == "ok"
        response = service.client.post("/denoise", content=raw.read_bytes())
        assert (response.status_code, response.content == expected) == (200, True)
        digest = response.headers["etag"].strip('"')
        kept = {name for name in names(bucket) if "/tenants/" in name}
        assert len(kept) == 2, "the upload and the result"
        assert f"service/tenants/local/{digest}" in kept
        assert not (tmp_path / "data" / "blobs").exists()
        shutil.rmtree(tmp_path / "data" / "blob-cache" / "tenants")
        again = service.client.get(f"/jobs/{response.headers['x-photosite-job']}/result")
        assert again.content == expected, "from the bucket, now that no copy is here"
        refused = service.client.post("/denoise", content=corrupt_raw.read_bytes())
        assert refused.status_code == 422
        wait_until(lambda: {name for name in names(bucket) if "/checks/" not in name} == kept)
