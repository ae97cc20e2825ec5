"""Forms are read as they come, in pieces of any size; httpx makes them, so another hand than ours."""

from __future__ import annotations

import asyncio
import io
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.uploads import FORM_OVERHEAD_BYTES, FileForm, safe_name, take_upload
from service.errors import InvalidRequestError, UploadBusyError


def encode(*files: tuple[str, tuple[str, bytes]], **fields: str) -> tuple[bytes, bytes]:
    """The boundary and the body of a form."""
    request = httpx.Request("POST", "http://test", files=list(files), data=fields)
    boundary = request.headers["content-type"].partition("boundary=")[2]
    return boundary.encode(), request.read()


def feed(form: FileForm, body: bytes, size: int) -> bytes:
    """Pass a body through a form in pieces."""
    return b"".join(form.feed(body[at : at + size]) for at in range(0, len(body), size))


@given(content=st.binary(max_size=3000), size=st.integers(1, 4000), trap=st.booleans())
def test_the_file_comes_out_whatever_the_pieces(content: bytes, size: int, trap: bool) -> None:
    boundary, body = encode(("file", ("a.dng", b"?" * 10)))
    content = content + b"\r\n--" + boundary[:-1] if trap else content  # nearly the boundary
    body = body.replace(b"?" * 10, content)
    form = FileForm(boundary)
    assert feed(form, body, size) == content
    assert form.finish() == b"a.dng"


def test_a_cut_off_form_is_refused() -> None:
    boundary, body = encode(("file", ("a.dng", b"content")))
    form = FileForm(boundary)
    feed(form, body[:-10], 100)
    with pytest.raises(InvalidRequestError, match="cut off"):
        form.finish()


def test_another_field_is_refused_by_name() -> None:
    boundary, body = encode(("file", ("a.dng", b"content")), strength="0.5")
    with pytest.raises(InvalidRequestError, match="'strength'"):
        feed(FileForm(boundary), body, 100)


def test_a_second_file_is_refused() -> None:
    boundary, body = encode(("file", ("a.dng", b"1")), ("file", ("b.dng", b"2")))
    with pytest.raises(InvalidRequestError, match="more than one file"):
        feed(FileForm(boundary), body, 100)


def test_a_form_without_a_file_is_refused() -> None:
    form = FileForm(b"x")
    feed(form, b"--x--\r\n", 100)
    with pytest.raises(InvalidRequestError, match="no field `file`"):
        form.finish()


@pytest.mark.parametrize("boundary", [b"", b"x" * 1000])
def test_a_boundary_that_makes_no_sense_is_refused(boundary: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="boundary"):
        FileForm(boundary)


def test_a_body_that_is_no_form_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="cannot be read"):
        FileForm(b"x").feed(b"II*\0 not a form")


def test_a_form_cannot_hide_a_flood_in_its_headers() -> None:
    form = FileForm(b"x")
    head = b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
    form.feed(head + b"\r\n--x--")
    with pytest.raises(InvalidRequestError, match="much more"):
        feed(form, b"\r\n" * FORM_OVERHEAD_BYTES, 1000)


@pytest.mark.parametrize(
    ("given", "safe"),
    [
        (b"IMG_0001.DNG", "IMG_0001.DNG"),
        (b"C:\\pictures\\a.dng", "a.dng"),
        (b"../../etc/passwd", "passwd"),
        (b'a"\r\nSet-Cookie: b.dng', "a___Set-Cookie_ b.dng"),
        ("Grüße.dng".encode(), "Grüße.dng"),
        (b"..", "capture.dng"),
        (b"", "capture.dng"),
        (None, "capture.dng"),
        (b"\xff\xfe.dng", "__.dng"),
        (b"x" * 300 + b".dng", "x" * 96 + ".dng"),
    ],
)
def test_names_are_made_safe(given: bytes | None, safe: str) -> None:
    assert safe_name(given) == safe


class Busy:
    """Uploads of which somebody else has taken the one that is wanted, so many times that it is asked for."""

    def __init__(self, times: int) -> None:
        self.times = times

    def open(self, _tenant: str, upload_id: str) -> io.BytesIO:
        """Something that can be closed."""
        if self.times:
            self.times -= 1
            raise UploadBusyError(f"another request works on the upload {upload_id}")
        return io.BytesIO()


def take(uploads: Busy, patience_s: float) -> bool:
    """Take an upload; tells whether it was open, and closed afterwards."""

    async def use() -> bool:
        services: Any = SimpleNamespace(uploads=uploads)
        async with take_upload("studio", "0" * 32, services, patience_s) as taken:
            was_open = not taken.closed  # type: ignore[attr-defined]
        return was_open and taken.closed  # type: ignore[attr-defined]

    return asyncio.run(use())


def test_an_upload_that_somebody_looks_at_is_waited_for() -> None:
    assert take(Busy(times=2), patience_s=30)


def test_without_patience_a_busy_upload_is_refused_at_once() -> None:
    busy = Busy(times=2)
    with pytest.raises(UploadBusyError):
        take(busy, patience_s=0)
    assert busy.times == 1
