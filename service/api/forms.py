"""Forms (multipart/form-data) read as they come: no part of a file is ever kept here.

In the flow: request's body → **form** → upload.

Source: RFC 7578, parsed by python-multipart.
"""

from __future__ import annotations

from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.errors import InvalidRequestError

FORM_OVERHEAD_BYTES = 64 * 1024
"""What a form may add to its files: boundaries, part headers, other fields."""
FILE_FIELD = "file"


@dataclass(frozen=True, slots=True)
class Part:
    """The head of a part."""

    field: str
    """Its field's name."""
    file_name: bytes
    """As the client gives it; empty for none."""


class FormReader:
    """Takes a form's body piece by piece and gives its parts' heads and contents in their order."""

    def __init__(self, boundary: bytes) -> None:
        self._found: list[Part | bytes] = []
        self._header = (bytearray(), bytearray())
        self._disposition: bytes = b""
        self._complete = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_begin": self._begin_header,
                    "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": lambda data, start, end: self._found.append(data[start:end]),
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise InvalidRequestError("the form's boundary makes no sense", detail=str(error)) from error
        if not boundary:
            raise InvalidRequestError("the form's Content-Type names no boundary")

    def feed(self, data: bytes) -> list[Part | bytes]:
        """What the next piece of the body brings: heads of parts, and pieces of the contents of the latest.

        Raises:
            InvalidRequestError: This is no form.
        """
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise InvalidRequestError("the form cannot be read", detail=str(error)) from error
        found = self._found.copy()
        self._found.clear()
        return found

    def finish(self) -> None:
        """Raise InvalidRequestError if the form is cut off."""
        if not self._complete:
            raise InvalidRequestError("the form is cut off")

    def _begin_part(self) -> None:
        self._disposition = b""

    def _begin_header(self) -> None:
        self._header = (bytearray(), bytearray())

    def _end_header(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = bytes(value)

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        field = options.get(b"name", b"").decode("utf-8", "replace")
        self._found.append(Part(field, options.get(b"filename", b"")))

    def _end(self) -> None:
        self._complete = True


class FileForm:
    """A form with one field, `file`."""

    def __init__(self, boundary: bytes) -> None:
        self._reader = FormReader(boundary)
        self._overhead = 0
        self._names: list[bytes] = []

    def feed(self, data: bytes) -> bytes:
        """The file's bytes in the next piece of the body.

        Raises:
            InvalidRequestError: This is no form, or one with other fields than one `file`.
        """
        found = bytearray()
        for item in self._reader.feed(data):
            if isinstance(item, Part):
                self._take(item)
            else:
                found += item
        self._overhead += len(data) - len(found)
        if self._overhead > FORM_OVERHEAD_BYTES:
            raise InvalidRequestError("the form has much more in it than a file")
        return bytes(found)

    def finish(self) -> bytes:
        """The file's name as the form gives it.

        Raises:
            InvalidRequestError: The form is cut off, or has no file.
        """
        self._reader.finish()
        if not self._names:
            raise InvalidRequestError("the form has no field `file`")
        return self._names[0]

    def _take(self, part: Part) -> None:
        if part.field != FILE_FIELD:
            raise InvalidRequestError(
                f"the form has a field {part.field[:40]!r}; send one field `file`, and options in the address's query"
            )
        if self._names:
            raise InvalidRequestError("the form has more than one file; send one at a time")
        self._names.append(part.file_name)
