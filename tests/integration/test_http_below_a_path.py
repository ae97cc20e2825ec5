"""The service below a proxy's path, which the proxy takes off or leaves: every address leads back through the proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from path_proxy import below_a_path
from service_process import serve

from service.client import PhotositeClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from service_process import RunningService

pytestmark = pytest.mark.integration

PATH = "/tools/photosite"


@pytest.fixture(scope="module")
def nested(server_binary: str, models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service that knows its path."""
    folder = tmp_path_factory.mktemp("nested") / "data"
    settings = {"PHOTOSITE_REDIS_SERVER": server_binary, "PHOTOSITE_MODELS_DIR": str(models_dir)}
    with serve(folder, PHOTOSITE_ROOT_PATH=PATH, **settings) as running:
        yield running


@pytest.fixture(params=[True, False], ids=["taken-off", "left"])
def outside(request: pytest.FixtureRequest, nested: RunningService) -> Iterator[httpx.Client]:
    """Somebody who only sees the proxy's host."""
    with (
        below_a_path(nested.address, PATH, strip=request.param) as address,
        httpx.Client(base_url=address.removesuffix(PATH), timeout=60, trust_env=False) as client,
    ):
        yield client


def test_a_raw_goes_there_and_back(outside: httpx.Client, raw: Path, tmp_path: Path) -> None:
    address = str(outside.base_url.join(PATH))
    with PhotositeClient(address) as client:
        client.denoise(raw, tmp_path / "out.dng")
        job = next(client.jobs())
    assert (tmp_path / "out.dng").stat().st_size > 0
    events = outside.get(f"{PATH}/jobs/{job.id}/events")
    assert events.headers["content-type"].startswith("text/event-stream")
    assert '"state":"succeeded"' in events.text


def test_locations_lead_back_through_the_proxy(outside: httpx.Client, raw: Path) -> None:
    answer = outside.post(f"{PATH}/denoise", content=raw.read_bytes(), headers={"Prefer": "respond-async"})
    assert answer.headers["location"].startswith(f"{PATH}/jobs/")
    assert outside.get(answer.headers["location"]).json()["id"] == answer.json()["id"]
    upload = outside.post(f"{PATH}/uploads", headers={"Tus-Resumable": "1.0.0", "Upload-Length": "10"})
    assert outside.head(upload.headers["location"], headers={"Tus-Resumable": "1.0.0"}).headers["upload-offset"] == "0"


def test_a_slash_too_many_is_told_the_right_address(outside: httpx.Client) -> None:
    answer = outside.get(f"{PATH}/jobs/", follow_redirects=True)
    assert (answer.status_code, answer.url.path) == (200, f"{PATH}/jobs")


@pytest.mark.parametrize("page", ["", "/", "/docs"])
def test_all_that_a_page_names_is_there(outside: httpx.Client, page: str) -> None:
    shown = outside.get(f"{PATH}{page}")
    assert "default-src 'self'" in shown.headers["content-security-policy"]
    named = [each.partition('"')[0] for each in shown.text.split('="')[1:]]
    addresses = {each for each in named if each.startswith("/")}
    assert addresses
    for address in addresses:
        assert outside.get(address).status_code == 200, address


def test_the_documentation_has_its_style(outside: httpx.Client) -> None:
    assert "style-src" in outside.get(f"{PATH}/docs").headers["content-security-policy"]
    assert outside.get(f"{PATH}/openapi.json").json()["servers"] == [{"url": PATH}]
