"""Writing TIFF directories: the old one's entries byte for byte, but for those that change.

In the flow: `rewrite.py` says which fields change; the bytes made here are appended to the file. An entry that stays
keeps pointing to its old value, so that nothing in the file moves.

Source: TIFF 6.0 (Adobe, 1992), section 2.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from training.raw import tiff as types

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from training.raw.tiff import TiffForm

_CODES = {
    types.BYTE: "B",
    types.SHORT: "H",
    types.LONG: "I",
    types.RATIONAL: "I",
    types.UNDEFINED: "B",
    types.SSHORT: "h",
    types.SLONG: "i",
    types.SRATIONAL: "i",
    types.FLOAT: "f",
    types.DOUBLE: "d",
}
"""How `struct` writes a number of each type that we write; a rational is two of them."""


class Field(NamedTuple):
    """A tag and its value."""

    tag: int
    type: int
    """TIFF field type, one of `TYPE_SIZES`."""
    value: bytes
    """In the file's byte order."""


def number_field(tag: int, kind: int, numbers: Sequence[float], byte_order: str) -> Field:
    r"""A tag that holds numbers; a rational is given as numerator and denominator.

    >>> number_field(258, types.SHORT, [14], ">")
    Field(tag=258, type=3, value=b'\x00\x0e')
    """
    return Field(tag, kind, struct.pack(f"{byte_order}{len(numbers)}{_CODES[kind]}", *numbers))


def directory_size(head: bytes, byte_order: str, form: TiffForm = types.CLASSIC) -> int:
    r"""Bytes of a directory, without its values, by its first bytes, which count its entries.

    >>> directory_size(b"\x00\x03", ">")
    42
    """
    (count,) = struct.unpack(byte_order + form.counter, head)
    return form.directory_size(int(count))


def rewrite_directory(
    old: bytes,
    *,
    drop: Collection[int],
    put: Iterable[Field],
    offset: int,
    byte_order: str,
    form: TiffForm = types.CLASSIC,
) -> bytes:
    """A directory with some of its fields dropped and others put in their place or added.

    Args:
        old: The whole old directory, as it lies in the file.
        drop: Tags to leave out.
        put: Fields to have; they replace those of the same tags.
        offset: Where the new directory will begin in the file; even.
        byte_order: "<" or ">".
        form: TIFF or BigTIFF.

    Returns:
        The new directory, followed by the values of `put` that do not fit into it.
    """
    fields = {field.tag: field for field in put}
    places = range(form.count_size, len(old) - form.offset_size, form.entry_size)
    entries = [old[at : at + form.entry_size] for at in places]
    records = [(_tag(entry, byte_order), entry) for entry in entries]
    records = [(tag, entry) for tag, entry in records if tag not in fields and tag not in drop]
    values = b""
    values_offset = offset + form.directory_size(len(records) + len(fields))
    for field in fields.values():
        record, value = _entry(field, values_offset + len(values), byte_order, form)
        records.append((field.tag, record))
        values += value
    table = b"".join(entry for _, entry in sorted(records, key=lambda record: record[0]))
    return struct.pack(byte_order + form.counter, len(records)) + table + old[-form.offset_size :] + values


def _tag(entry: bytes, byte_order: str) -> int:
    (tag,) = struct.unpack_from(byte_order + "H", entry)
    return int(tag)


def _entry(field: Field, value_offset: int, byte_order: str, form: TiffForm) -> tuple[bytes, bytes]:
    """Its own bytes, and the bytes that belong at `value_offset`; a value begins on an even byte."""
    count = len(field.value) // types.TYPE_SIZES[field.type]
    head = struct.pack(f"{byte_order}HH{form.number}", field.tag, field.type, count)
    if len(field.value) <= form.offset_size:
        return head + field.value.ljust(form.offset_size, b"\0"), b""
    return head + struct.pack(byte_order + form.number, value_offset), field.value + b"\0" * (len(field.value) % 2)
