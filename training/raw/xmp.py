"""The mark that Photosite leaves in a file's XMP packet: that it was denoised, by what, and how.

In the flow: read_metadata asks `denoiser_of`; write_dng stores what `mark_packet` returns. The packet is edited as
bytes: every byte that is not a mark of ours stays where it was, relative to its neighbours, because other programs keep
their settings in it and no two of them agree on how to write XML.

Source: XMP specification part 1 (ISO 16684-1), chapter 7, and part 3, chapter 1. darktable marks what its own raw
denoiser has seen with `Xmp.darktable.neural_restore`, and then leaves its denoising off; so do we.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

NAMESPACE = "https://photosite.dev/ns/1.0/"
_DARKTABLE = "http://darktable.sf.net/"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_TAG = re.compile(rb"<(?:[^>\"']++|\"[^\"]*+\"|'[^']*+')*+>")
_ATTRIBUTE = re.compile(rb"(?<=\s)([^\s=]++)\s*+=\s*+(?:\"[^\"]*+\"|'[^']*+')")
"""Neither steps back, so that no packet makes them slow."""
_MAX_ELEMENTS = 50_000
"""A packet with more counts as unusable; honest ones have thousands."""
_PACKET_HEAD = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
_PACKET_TAIL = '\n</x:xmpmeta>\n<?xpacket end="w"?>'


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """How a file was denoised, in the words of our XMP properties."""

    model: str
    """Name and version of the model."""
    model_digest: str
    """Digest of its weights."""
    strength: str
    """0 … 1."""
    noise_model: str
    """Shot and read noise that the input had."""
    noise_source: str
    """Where these came from: the request, the file, or an estimate."""
    software: str
    """Photosite and its version."""
    burst: str = ""
    """The frames that were merged, by name; empty for a single raw."""

    @property
    def properties(self) -> list[tuple[str, str]]:
        """Name and value of each property: `model_digest` is `ModelDigest`; a single raw has no `Burst`."""
        names = [f.name for f in fields(self) if f.name != "burst" or self.burst]
        return [(name.title().replace("_", ""), getattr(self, name)) for name in names]


class _UnusablePacketError(ValueError):
    """A packet that cannot be edited without harm."""


def denoiser_of(packet: bytes) -> str:
    """Who marked a file as denoised: "photosite", "darktable", or empty for nobody.

    A packet that cannot be parsed counts as unmarked.
    """
    try:
        marks = _Scan(packet.rstrip(b"\0")).marks
    except (expat.ExpatError, _UnusablePacketError):
        return ""
    return next((name for uri, name in ((NAMESPACE, "photosite"), (_DARKTABLE, "darktable")) if uri in marks), "")


def mark_packet(packet: bytes, mark: Mark) -> bytes:
    """Add the mark to an XMP packet, instead of an older one of ours.

    Args:
        packet: The packet as the file holds it; empty for none.
        mark: What to say.

    Returns:
        The new packet; the same bytes where the old one is not well-formed, holds no RDF, has a document type, or is
        not UTF-8: what other programs put there is not ours to lose.
    """
    body = packet.rstrip(b"\0")  # some programs end the packet as they end text
    padding = packet[len(body) :]
    if not body.strip():
        return _new_packet(mark)
    try:
        scan = _Scan(body)
    except (expat.ExpatError, _UnusablePacketError):
        return packet
    if scan.rdf_is_empty:
        return _new_packet(mark)
    addition = (_description(mark, scan.about) + "\n").encode()
    edits = [(start, end, b"") for start, end in scan.cuts] + [(scan.rdf_end, scan.rdf_end, addition)]
    return _edited(body, edits) + padding


def _edited(data: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """Put other bytes in the place of [start, end), for several places that do not overlap."""
    pieces, at = [], 0
    for start, end, text in sorted(edits):
        pieces += [data[at:start], text]
        at = end
    return b"".join([*pieces, data[at:]])


def _new_packet(mark: Mark) -> bytes:
    rdf = f'<rdf:RDF xmlns:rdf="{_RDF}">\n{_description(mark, "")}\n</rdf:RDF>'
    return f"{_PACKET_HEAD}{rdf}{_PACKET_TAIL}".encode()


def _description(mark: Mark, about: str) -> str:
    """One rdf:Description that needs nothing from around it; all of a packet's must have the same rdf:about."""
    own = "".join(f"\n    photosite:{name}={quoteattr(value)}" for name, value in mark.properties)
    return (
        f'<rdf:Description xmlns:rdf="{_RDF}" rdf:about={quoteattr(about)}\n    xmlns:photosite="{NAMESPACE}"\n'
        f'    xmlns:darktable="{_DARKTABLE}"{own}\n    darktable:neural_restore="raw-denoise"/>'
    )


@dataclass(slots=True)
class _Element:
    """An element that is open while the packet is read."""

    name: str
    """Namespace and local name, a blank between."""
    start: int
    tag: bytes
    """Its start tag."""
    first_cut: int
    """How many cuts there were before it."""
    foreign: bool
    """Holds an attribute or an element that is no mark of ours."""


class _Scan:
    """One pass over a packet: the marks in it, and where to cut them out and put a new one, as byte positions."""

    def __init__(self, packet: bytes) -> None:
        self.packet = packet
        self.marks: set[str] = set()
        """Namespaces of the marks that were found."""
        self.cuts: list[tuple[int, int]] = []
        self.about = ""
        self.rdf_end = -1
        """Where the end tag of rdf:RDF begins."""
        self.rdf_is_empty = False
        self._open: list[_Element] = []
        self._elements = 0
        self._parser = expat.ParserCreate("utf-8", " ")
        self._parser.namespace_prefixes = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._refuse_doctype
        self._parser.Parse(packet, True)  # noqa: FBT003  (the C function takes no keyword)
        if self.rdf_end < 0:
            raise _UnusablePacketError("the packet holds no RDF")
        if any(start < self.rdf_end < end for start, end in self.cuts):
            raise _UnusablePacketError("the packet's RDF lies within a mark")

    def _refuse_doctype(self, *_: object) -> None:
        raise _UnusablePacketError("the packet has a document type, which XMP forbids")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if self._elements > _MAX_ELEMENTS:
            raise _UnusablePacketError("the packet has more elements than makes sense")
        start = self._parser.CurrentByteIndex
        names = [_expanded(attribute) for attribute in attributes]
        foreign = any(not _is_mark(uri, local) and (uri, local) != (_RDF, "about") for uri, local, _ in names)
        tag = _tag(self.packet, start)
        self._open.append(_Element(" ".join(_expanded(name)[:2]), start, tag, len(self.cuts), foreign))
        self.about = self.about or next((attributes[a] for a in attributes if a.startswith(f"{_RDF} about")), "")
        ours = {f"{prefix}:{local}".encode() for uri, local, prefix in names if _is_mark(uri, local)}
        self.marks |= {uri for uri, local, _ in [*names, _expanded(name)] if _is_mark(uri, local)}
        for found in _ATTRIBUTE.finditer(tag):
            if found.group(1) in ours:
                self.cuts.append((start + found.start(), start + found.end()))

    def _end(self, _: str) -> None:
        element, position = self._open.pop(), self._parser.CurrentByteIndex
        is_empty = element.tag.endswith(b"/>")
        end = element.start + len(element.tag) if is_empty else position + len(_tag(self.packet, position))
        has_marks = len(self.cuts) > element.first_cut
        is_ours = element.name == f"{_RDF} Description" and has_marks and not element.foreign
        if is_ours or _is_mark(*element.name.rpartition(" ")[::2]):
            newline = self.packet.startswith(b"\n", end)
            self.cuts[element.first_cut :] = [(element.start, end + newline)]
        elif self._open:
            self._open[-1].foreign = True
        if element.name == f"{_RDF} RDF":
            self.rdf_end, self.rdf_is_empty = position, is_empty


def _expanded(name: str) -> tuple[str, str, str]:
    """Namespace, local name and prefix; expat joins them by blanks and leaves out what is missing."""
    if " " not in name:
        return "", name, ""
    uri, local, *prefix = name.split(" ")
    return uri, local, "".join(prefix)


def _is_mark(uri: str, local: str) -> bool:
    return uri == NAMESPACE or (uri, local) == (_DARKTABLE, "neural_restore")


def _tag(packet: bytes, start: int) -> bytes:
    """The start or end tag that begins there."""
    found = _TAG.match(packet, start)
    if found is None:
        raise _UnusablePacketError("the packet's tags cannot be told apart")
    return found.group()
