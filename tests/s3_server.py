"""A server on this machine that speaks S3's protocol, with a bucket.

In the flow of the tests: S3BlobStore → boto3 → **moto**.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

from boto3.session import Session
from moto.server import ThreadedMotoServer

from service import s3

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKET = "photosite-tests"
REGION = "us-east-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests"}


@contextmanager
def running_s3() -> Iterator[str]:
    """A server with an empty bucket; gives its address. Credentials are in the environment meanwhile."""
    session = Session()  # one for all: to read the service's description takes longer than most tests
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        address = f"http://{host}:{port}"
        with patch.dict(os.environ, CREDENTIALS), patch.object(s3, "Session", lambda: session):
            client = session.client("s3", endpoint_url=address, region_name=REGION)
            client.create_bucket(Bucket=BUCKET)
            client.close()
            yield address
    finally:
        server.stop()
