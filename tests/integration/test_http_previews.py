"""Previews over HTTP: rendered by a worker, kept with what they show, the same for before and after."""

from __future__ import annotations

import base64
import io
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import redis
from dng_factory import make_dng, sample_mosaic
from PIL import Image
from service_process import wait_until

from training.raw.dng import read_raw
from training.raw.image import Rectangle
from training.raw.render import choose_rendering, render_view, turn_back

if TYPE_CHECKING:
    from pathlib import Path

    import httpx
    from numpy.typing import NDArray
    from service_process import RunningService

pytestmark = pytest.mark.integration

TUS = {"Tus-Resumable": "1.0.0"}


def upload(service: RunningService, path: Path) -> str:
    """Send a raw in one piece, as the page does; returns the upload's address."""
    name = base64.b64encode(path.name.encode()).decode()
    data = path.read_bytes()
    headers = {
        **TUS,
        "Upload-Length": str(len(data)),
        "Upload-Metadata": f"filename {name}",
        "Content-Type": "application/offset+octet-stream",
    }
    answer = service.client.post("/uploads", content=data, headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.headers["location"])


def fetch(service: RunningService, address: str, **query: Any) -> httpx.Response:
    """A preview, asked for until it is made."""
    while True:
        answer = service.client.get(address, params=query)
        if answer.status_code != 202:
            return answer


def pixels(answer: httpx.Response) -> NDArray[np.float64]:
    """(h, w, 3) of a picture in an answer."""
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg"), answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)), dtype=float)


def difference(picture: NDArray[Any], other: NDArray[Any]) -> float:
    """Root mean square difference, in 8-bit steps."""
    assert picture.shape == other.shape
    return float(np.sqrt(np.mean((picture.astype(float) - other) ** 2)))


def denoised(service: RunningService, path: Path, **query: Any) -> dict[str, Any]:
    """A job that has denoised a raw."""
    answer = service.client.post("/denoise", params=query, content=path.read_bytes())
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = service.client.get(f"/jobs/{answer.headers['x-photosite-job']}").json()
    return job


def expected(path: Path, crop: tuple[int, int, int, int] | None, size: int) -> NDArray[np.uint8]:
    """The library's own rendering of what a preview shows."""
    raw = read_raw(path)
    area = raw.metadata.visible_area
    if crop:
        x, y, width, height = crop
        area = turn_back(Rectangle(y, x, y + height, x + width), area, raw.metadata.orientation)
    return render_view(raw, choose_rendering(raw), area, size)


def test_before_and_after_are_the_librarys_rendering_of_both(
    service: RunningService, raw: Path, tmp_path: Path
) -> None:
    job = denoised(service, raw)
    address = f"/jobs/{job['id']}/preview"
    crop = (100, 40, 128, 96)
    query = {"crop": ",".join(map(str, crop)), "size": 128}
    before = pixels(fetch(service, address, **query))
    after = pixels(fetch(service, address, stage="after", **query))
    assert difference(before, expected(raw, crop, 128)) < 4
    (tmp_path / "out.dng").write_bytes(service.client.get(f"/jobs/{job['id']}/result").content)
    result = read_raw(tmp_path / "out.dng")
    area = result.metadata.visible_area
    cut = Rectangle(area.top + 40, area.left + 100, area.top + 136, area.left + 228)
    assert difference(after, render_view(result, choose_rendering(read_raw(raw)), cut, 128)) < 4
    assert difference(before, after) > 0.5, "something was denoised"


def test_the_whole_comes_at_the_wanted_size_and_half_size_at_most(service: RunningService, raw: Path) -> None:
    address = f"/jobs/{denoised(service, raw)['id']}/preview"
    assert pixels(fetch(service, address)).shape == (146, 204, 3)
    small = pixels(fetch(service, address, size=64))
    assert small.shape == (46, 64, 3)
    assert difference(small, expected(raw, None, 64)) < 4


def test_a_picture_is_made_once_and_kept_by_the_browser(service: RunningService, raw: Path) -> None:
    address = f"/jobs/{denoised(service, raw)['id']}/preview"
    first = fetch(service, address, size=100)
    assert first.headers["cache-control"] == "private, max-age=86400, immutable"
    again = fetch(service, address, size=100)
    assert (again.content, again.headers["etag"]) == (first.content, first.headers["etag"])
    headers = {"If-None-Match": first.headers["etag"]}
    assert service.client.get(address, params={"size": 100}, headers=headers).status_code == 304


def test_a_preview_is_no_job(service: RunningService, raw: Path) -> None:
    job = denoised(service, raw)
    before = service.client.get("/jobs?limit=200").json()
    fetch(service, f"/jobs/{job['id']}/preview", size=77)
    assert service.client.get("/jobs?limit=200").json() == before


def test_what_waits_is_seen_before_it_is_denoised(service: RunningService, big_raw: Path) -> None:
    query = {"model": "slow", "strength": 0.5}
    content = big_raw.read_bytes()
    job = service.client.post("/denoise", params=query, content=content, headers={"Prefer": "respond-async"}).json()
    address = f"/jobs/{job['id']}/preview"
    assert pixels(fetch(service, address, size=200)).shape[1] == 200
    early = service.client.get(address, params={"stage": "after"})
    assert (early.status_code, early.json()["code"]) == (409, "conflict")
    assert early.headers["retry-after"] == "1"
    service.client.delete(f"/jobs/{job['id']}")
    gone = service.client.get(address)
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")


def test_the_facts_of_a_raw_are_told_before_it_is_denoised(service: RunningService, raw: Path) -> None:
    address = upload(service, raw)
    facts = fetch(service, f"{address}/preview-info").json()
    assert facts["picture"] == {"width": 408, "height": 292}
    assert facts["noise_source"] == "estimate"  # the file's own profile says something else
    assert facts["noise"]["read"] == pytest.approx([1e-4] * 4, rel=0.2)
    assert facts["denoisable"] is True
    assert fetch(service, f"/jobs/{denoised(service, raw)['id']}/preview-info").json() == facts


def test_a_crop_is_denoised_for_a_look_as_the_whole_will_be(service: RunningService, raw: Path) -> None:
    address = upload(service, raw)
    query = {"crop": "64,64,160,128", "strength": 0.8, "model": "tiny"}
    look = pixels(fetch(service, f"{address}/preview", stage="after", **query))
    assert look.shape == (128, 160, 3)
    answer = service.client.post("/denoise", params={"upload": address.rpartition("/")[2], "strength": 0.8})
    assert answer.status_code == 200, answer.text
    job = answer.headers["x-photosite-job"]
    whole = pixels(fetch(service, f"/jobs/{job}/preview", stage="after", crop="64,64,160,128"))
    noisy = pixels(fetch(service, f"/jobs/{job}/preview", crop="64,64,160,128"))
    assert difference(look, whole) < difference(noisy, whole) / 2
    assert service.client.get(f"{address}/preview").status_code == 404, "it was used up"


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ({"crop": "0,0,4000,4000", "stage": "after"}, "crop"),
        ({"stage": "after"}, "crop"),
        ({"crop": "9000,0,10,10"}, "crop"),
        ({"crop": "1,2,3"}, "crop"),
        ({"crop": "0,0,0,10"}, "crop"),
        ({"size": 63}, "size"),
        ({"size": 2049}, "size"),
        ({"crop": "0,0,9,9", "stage": "after", "model": "nobody"}, "model"),
    ],
)
def test_what_cannot_be_shown_is_refused(service: RunningService, raw: Path, query: dict[str, Any], where: str) -> None:
    answer = fetch(service, f"{upload(service, raw)}/preview", **query)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert where in answer.json()["detail"]


def test_a_file_whose_pixels_are_damaged_says_so(service: RunningService, corrupt_raw: Path) -> None:
    answer = fetch(service, f"{upload(service, corrupt_raw)}/preview")
    assert (answer.status_code, answer.json()["code"]) == (422, "unreadable_raw")


def test_what_is_no_raw_is_never_kept(service: RunningService, tmp_path: Path) -> None:
    (tmp_path / "letter.dng").write_bytes(b"dear Sirs")
    before = service.blobs()
    address = upload(service, tmp_path / "letter.dng")
    answer = service.client.get(f"{address}/preview")
    assert (answer.status_code, answer.json()["code"]) == (422, "unreadable_raw")
    assert service.blobs() <= before


def test_a_turned_picture_is_cropped_as_it_is_seen(service: RunningService, tmp_path: Path) -> None:
    path = tmp_path / "portrait.dng"
    make_dng(path, sample_mosaic(200, 300, seed=11), orientation=6)
    address = upload(service, path)
    assert fetch(service, f"{address}/preview-info").json()["picture"] == {"width": 200, "height": 300}
    crop = pixels(fetch(service, f"{address}/preview", crop="150,20,80,100"))
    assert crop.shape == (100, 50, 3), "what hangs over the edge is cut off"
    assert difference(crop, expected(path, (150, 20, 80, 100), 100)) < 4


def test_pictures_go_with_what_they_show(service: RunningService, tmp_path: Path) -> None:
    make_dng(tmp_path / "short-lived.dng", sample_mosaic(300, 400, seed=123), noise_profile=(1e-3, 1e-6))
    known = service.blobs()
    address = upload(service, tmp_path / "short-lived.dng")
    fetch(service, f"{address}/preview", size=99)
    fetch(service, f"{address}/preview", crop="0,0,64,64", stage="after")
    assert len(service.blobs() - known) == 3
    assert service.client.delete(address, headers=TUS).status_code == 204
    wait_until(lambda: not service.blobs() - known, 30)
    with closing(redis.Redis.from_url(service.redis_url, decode_responses=True)) as client:
        shown = [key for name in ("pictures", "looked") for key in client.scan_iter(f"ps:{name}:*")]
        assert not [key for key in shown if key.rpartition("/")[2] not in service.blobs()]


def test_captures_are_shown_too(service: RunningService, raw: Path) -> None:
    capture = service.client.post("/captures", content=raw.read_bytes()).json()
    shown = fetch(service, f"/captures/{capture['id']}/preview", size=80)
    assert difference(pixels(shown), expected(raw, None, 80)) < 4
    look = fetch(service, f"/captures/{capture['id']}/preview", stage="after", crop="0,0,64,64")
    assert look.headers["cache-control"] == "private, no-cache", "the default model may change"
    assert pixels(look).shape == (64, 64, 3)
    assert fetch(service, f"/captures/{capture['id']}/preview-info").json()["picture"]["width"] == 408
