"""The page below a proxy's path: signing in, files in, pictures, the result taken home, nothing asked for elsewhere."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser_pages import visit
from path_proxy import below_a_path
from playwright.sync_api import expect
from redis_servers import SERVERS, find_server
from service_process import serve
from tiny_models import publish_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

PATH = "/tools/photosite"


@pytest.mark.parametrize("strip", [True, False], ids=["taken-off", "left"])
def test_a_person_signs_in_denoises_and_downloads(
    browser: Browser, program: Callable[[str], str], tmp_path: Path, raw: Path, *, strip: bool
) -> None:
    publish_model(tmp_path / "models", "tiny")
    folder = tmp_path / "data"
    settings = {
        "PHOTOSITE_REDIS_SERVER": find_server(SERVERS[0], program),
        "PHOTOSITE_MODELS_DIR": str(tmp_path / "models"),
        "PHOTOSITE_REQUIRE_KEYS": "true",
        "PHOTOSITE_ROOT_PATH": PATH,
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "service", "keys", "create", "studio", "--data-dir", str(folder)]
    made = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=True)
    with (
        serve(folder, **settings) as service,
        below_a_path(service.address, PATH, strip=strip) as address,
        visit(browser, address, "desktop", "light") as visitor,
    ):
        page = visitor.page
        visitor.go()
        page.get_by_label("Your key").fill(made.stdout.strip())
        page.get_by_role("button", name="Open").click()
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        [cookie] = page.context.cookies()
        assert cookie["path"] == PATH
        visitor.drop(raw)
        visitor.wait_for_result()
        with page.expect_download() as found:
            page.get_by_role("link", name="Download DNG").click()
        job_id = page.url.rpartition("/")[2]
        key = {"Authorization": f"Bearer {made.stdout.strip()}"}
        told = service.client.get(f"/jobs/{job_id}", headers=key).json()["result"]["sha256"]
        assert hashlib.sha256(Path(found.value.path()).read_bytes()).hexdigest() == told
        visitor.go("#/jobs")
        with page.expect_download() as again:
            page.get_by_role("link", name="Download IMG 0001-denoised.dng").click()
        assert Path(again.value.path()).stat().st_size > 0
        asked = page.evaluate("performance.getEntriesByType('resource').map(({name}) => new URL(name).pathname)")
        assert [each for each in asked if not each.startswith(f"{PATH}/")] == []
