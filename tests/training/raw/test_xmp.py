"""The XMP mark: added, replaced and read back, and nothing of anybody else's lost."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree.ElementTree import XMLPullParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.raw.xmp import NAMESPACE, Mark, denoiser_of, mark_packet

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
MARK = Mark(
    model="photosite 1",
    model_digest="0123abcd",
    strength="1",
    noise_model="0.001 1e-06",
    noise_source="file",
    software="Photosite 0.1.0",
)
FOREIGN = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 5.5.0">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="uuid:7" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating='4'
    xmp:Label="a > b &amp; photosite:Model='no'">
   <!-- kept --> <dc:subject xmlns:dc="http://purl.org/dc/elements/1.1/"><rdf:Bag><rdf:li>Füchse</rdf:li></rdf:Bag>
   </dc:subject>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
       \n<?xpacket end="w"?>""".encode()


def elements(packet: bytes) -> list[Element]:
    """All elements of a packet, by a parser that is not the one under test."""
    parser = XMLPullParser(["start"])
    parser.feed(packet.rstrip(b"\0"))
    parser.close()
    return [element for _, element in parser.read_events()]


def properties(packet: bytes) -> dict[str, str]:
    """Attributes of our namespace."""
    found = [
        (name, value)
        for element in elements(packet)
        for name, value in element.attrib.items()
        if name.startswith(f"{{{NAMESPACE}}}")
    ]
    assert len(found) == len(dict(found)), "a property stands twice"
    return {name.removeprefix(f"{{{NAMESPACE}}}"): value for name, value in found}


WANTED = {
    "Model": "photosite 1",
    "ModelDigest": "0123abcd",
    "Strength": "1",
    "NoiseModel": "0.001 1e-06",
    "NoiseSource": "file",
    "Software": "Photosite 0.1.0",
}


@pytest.mark.parametrize("packet", [b"", b"  \n", b"\0\0", FOREIGN, FOREIGN + b"\0\0", FOREIGN.replace(b"rdf:", b"r:")])
def test_marked_packet_says_every_property_once(packet: bytes) -> None:
    packet = packet.replace(b"xmlns:rdf=", b"xmlns:r=") if b"r:RDF" in packet else packet
    assert properties(mark_packet(packet, MARK)) == WANTED


def test_marked_packet_keeps_every_foreign_byte() -> None:
    marked = mark_packet(FOREIGN, MARK)
    before, after = FOREIGN.split(b"</rdf:RDF>")
    assert marked.startswith(before)
    assert marked.endswith(b"</rdf:RDF>" + after)


def test_marked_packet_keeps_the_padding_after_it() -> None:
    assert mark_packet(FOREIGN + b"\0\0\0", MARK) == mark_packet(FOREIGN, MARK) + b"\0\0\0"


def test_all_descriptions_are_about_the_same_thing() -> None:
    descriptions = [e for e in elements(mark_packet(FOREIGN, MARK)) if e.tag == f"{{{RDF}}}Description"]
    assert len(descriptions) == 2
    assert {description.get(f"{{{RDF}}}about") for description in descriptions} == {"uuid:7"}


def test_marking_twice_is_marking_once() -> None:
    once = mark_packet(FOREIGN, replace(MARK, model="older 3"))
    assert mark_packet(once, MARK) == mark_packet(FOREIGN, MARK)
    assert mark_packet(mark_packet(b"", replace(MARK, model="older 3")), MARK) == mark_packet(b"", MARK)


def test_mark_that_another_program_rewrote_is_replaced() -> None:
    rewritten = FOREIGN.replace(
        b"xmp:Rating='4'",
        f"xmlns:ps='{NAMESPACE}' ps:Model='older 3'\n ps:Strength = \"0.5\" xmp:Rating='4'".encode(),
    ).replace(
        b"<!-- kept -->",
        f"<!-- kept --><a:NoiseSource xmlns:a='{NAMESPACE}'>estimate</a:NoiseSource>"
        "<d:neural_restore xmlns:d='http://darktable.sf.net/'/>".encode(),
    )
    marked = mark_packet(rewritten, MARK)
    assert properties(marked) == WANTED
    assert b"estimate" not in marked
    assert marked.count(b"neural_restore") == 1
    for kept in (b"xmp:Rating='4'", b"a > b &amp; photosite:Model='no'", b"<!-- kept -->", "Füchse".encode()):
        assert kept in marked


@pytest.mark.parametrize(
    "packet",
    [
        b"not XML",
        FOREIGN[:-60],
        FOREIGN.replace(b"</dc:subject>", b""),
        FOREIGN.replace(b"xmp:Rating", b"unbound:Rating"),
        b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>",
        FOREIGN.decode().encode("utf-16"),
        b'<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><rdf:RDF xmlns:rdf="'
        + RDF.encode()
        + b'">&b;</rdf:RDF>',
    ],
    ids=["text", "cut off", "unclosed", "unbound prefix", "no RDF", "UTF-16", "document type"],
)
def test_packet_that_cannot_be_edited_is_left_alone(packet: bytes) -> None:
    assert mark_packet(packet, MARK) == packet
    assert denoiser_of(packet) == ""


def test_empty_rdf_becomes_a_packet_of_ours() -> None:
    empty = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='" + RDF.encode() + b"'/></x:xmpmeta>"
    assert properties(mark_packet(empty, MARK)) == WANTED


def test_denoiser_is_read_back() -> None:
    assert denoiser_of(mark_packet(FOREIGN, MARK)) == "photosite"
    assert denoiser_of(FOREIGN) == ""
    assert denoiser_of(b"") == ""


@pytest.mark.parametrize(
    "form",
    ['<rdf:Description {ns} d:neural_restore="raw-denoise"/>',
     "<rdf:Description {ns}><d:neural_restore>raw-denoise</d:neural_restore></rdf:Description>"],
    ids=["attribute", "element"],
)  # fmt: skip
def test_darktables_mark_is_recognised(form: str) -> None:
    description = form.format(ns='xmlns:d="http://darktable.sf.net/"')
    packet = f'<rdf:RDF xmlns:rdf="{RDF}">{description}</rdf:RDF>'.encode()
    assert denoiser_of(packet) == "darktable"


def test_darktables_other_settings_are_no_mark() -> None:
    packet = f'<rdf:RDF xmlns:rdf="{RDF}"><rdf:Description xmlns:d="http://darktable.sf.net/" d:rating="1"/></rdf:RDF>'
    assert denoiser_of(packet.encode()) == ""


@pytest.mark.parametrize(
    ("inside", "usable"),
    [
        ("<rdf:Description " + " " * 2_000_000 + "/>", True),
        ("<a b='" + "=" * 2_000_000 + "'/>", True),
        ("<a/>" * 1_000_000, False),
        ("<a>" * 1_000_000, False),
    ],
    ids=["blanks", "value", "siblings", "nested"],
)
def test_hostile_packet_is_answered(inside: str, usable: bool) -> None:
    """At once: an expression that steps back would take days over it."""
    packet = f'<rdf:RDF xmlns:rdf="{RDF}">{inside}</rdf:RDF>'.encode()
    assert denoiser_of(packet) == ""
    assert denoiser_of(mark_packet(packet, MARK)) == ("photosite" if usable else "")


def test_rdf_within_a_mark_is_left_alone() -> None:
    packet = f'<p:Model xmlns:p="{NAMESPACE}"><rdf:RDF xmlns:rdf="{RDF}"> </rdf:RDF></p:Model>'.encode()
    assert mark_packet(packet, MARK) == packet


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40))
def test_any_text_survives_the_mark(text: str) -> None:
    marked = mark_packet(FOREIGN, replace(MARK, model=text))
    assert properties(marked)["Model"] == text


@given(st.binary(max_size=200))
def test_any_bytes_are_answered(noise: bytes) -> None:
    for packet in (noise, FOREIGN[:300] + noise + FOREIGN[300:]):
        marked = mark_packet(packet, MARK)
        assert marked == packet or denoiser_of(marked) == "photosite"
