"""Captures: one's own noisy raws, and what is made of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, BinaryIO

from service.client.calls import Calls
from service.client.transfers import FileBody, opened
from service.errors import ResultNotReadyError, error_of_code
from service.schemas import CaptureDeletedSchema, CaptureListSchema, CaptureSchema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from service.client.transfers import OnBytes

POLL_S = 0.5
PAGE_CAPTURES = "200"
"""Captures of a listing that are fetched at a time."""


class CaptureCalls(Calls):
    """What `PhotositeClient` does with captures."""

    def add_capture(
        self, source: Path | str | BinaryIO, *, name: str | None = None, on_sent: OnBytes | None = None
    ) -> CaptureSchema:
        """Hand in a noisy raw, to learn from; the same content again is the same capture.

        Args:
            source: A DNG, as a path or as an open binary file, which is sent from where it stands.
            name: What it is called; none: as the path or file says.
            on_sent: Told of the upload.

        Returns:
            The capture; its camera and its noise are known once a worker has looked at it (`describe_capture`).

        Raises:
            RawError: The file is at fault.
        """
        with opened(source) as file:
            body = FileBody(file, on_sent)
            return self._connection.fetch(CaptureSchema, "POST", "/captures", body=body, headers=body.headers(name))

    def capture(self, capture_id: str) -> CaptureSchema:
        """A capture as it is now.

        Raises:
            NotFoundError: There is none.
        """
        return self._connection.fetch(CaptureSchema, "GET", f"/captures/{capture_id}")

    def describe_capture(self, capture_id: str, *, timeout_s: float = 120) -> CaptureSchema:
        """Wait until a worker has looked at a capture.

        Raises:
            NotFoundError: There is none.
            ResultNotReadyError: It takes longer than `timeout_s`.
            PhotositeError: Why it cannot be used.
        """
        started = time.monotonic()
        while (capture := self.capture(capture_id)).state == "pending":
            if time.monotonic() - started >= timeout_s:
                raise ResultNotReadyError(f"nobody has looked at the capture {capture_id} within {timeout_s:g} s")
            time.sleep(POLL_S)
        if capture.error:
            raise error_of_code(capture.error.code, capture.error.message)
        return capture

    def captures(self) -> Iterator[CaptureSchema]:
        """One's own captures, newest first; fetched a page at a time, while they are gone through."""
        wanted: dict[str, Any] = {"limit": PAGE_CAPTURES}
        while True:
            page = self._connection.fetch(CaptureListSchema, "GET", "/captures", params=wanted)
            yield from page.captures
            if page.next_cursor is None:
                return
            wanted["cursor"] = page.next_cursor

    def delete_capture(self, capture_id: str) -> CaptureDeletedSchema:
        """Delete a capture; gives what had been made with it, which stays.

        Raises:
            NotFoundError: There is none.
        """
        return self._connection.fetch(CaptureDeletedSchema, "DELETE", f"/captures/{capture_id}")
