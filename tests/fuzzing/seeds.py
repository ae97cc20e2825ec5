"""Small honest raws of every layout and maker: what the fuzzers damage.

In the flow of the tests: **make_seeds** → mutations.py, or the corpus that guided.py begins with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from dng_factory import (
    LAYOUTS,
    MODERN_LAYOUTS,
    byte,
    encode_jpeg,
    fix_bad_pixels_constant,
    fix_bad_pixels_list,
    make_dng,
    opcode_list,
    sample_mosaic,
    short,
    xtrans_pattern,
)
from fuzzing.mutations import dissect
from vendor_factory import make_arw, make_cr2, make_nef, make_pef

from training.raw import tags

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fuzzing.mutations import Anatomy
    from numpy.typing import NDArray

HEIGHT, WIDTH = 80, 96
"""A multiple of no tile, so that some reach beyond the frame; as small as is taken, so that thousands can be read."""
TILE = {"tile_shape": (48, 64)}
FULL: dict[str, Any] = {
    "sub_ifd": True,
    "active_area": (4, 6, 76, 92),
    "black_level": (500, 512, 530, 555),
    "black_delta_v": [0.5] * 72,
    "white_level": 16_000,
    "noise_profile": (1e-4, 1e-6),
    "opcode_list1": opcode_list(fix_bad_pixels_list([(1, 1)])),
    "xmp": b'<x:xmpmeta xmlns:x="adobe:ns:meta/"></x:xmpmeta>',
    "preview": encode_jpeg(64, 48),
    "maker_note": b"a maker's own",
}
"""All that a DNG may say."""
NEWEST: dict[int, Any] = dict.fromkeys((tags.DNG_VERSION, tags.DNG_BACKWARD_VERSION), byte(1, 7, 0, 0))


@dataclass(frozen=True, slots=True)
class Seed:
    """An honest file."""

    name: str
    data: bytes
    mosaic: NDArray[np.uint16]
    """(H, W) uint16: what it holds, after its own table."""
    anatomy: Anatomy


def make_seeds(folder: Path) -> list[Seed]:
    """One file of each layout, plain and with all that a DNG may say; variants; four makers' own."""
    return [_seed(folder / name, make) for name, make in _makers().items()]


def _seed(path: Path, make: Callable[[Path], NDArray[np.uint16]]) -> Seed:
    mosaic = make(path)
    return Seed(path.name, path.read_bytes(), mosaic, dissect(path))


def _makers() -> dict[str, Callable[[Path], NDArray[np.uint16]]]:
    makers: dict[str, Callable[[Path], NDArray[np.uint16]]] = {}
    for layout in (*LAYOUTS, *MODERN_LAYOUTS):
        bits = 14 if layout in LAYOUTS else 16
        makers[f"{layout}.dng"] = _dng(bits=bits, layout=layout, **TILE)
        makers[f"{layout}-full.dng"] = _dng(bits=bits, layout=layout, **TILE, **FULL)
    ten = {"bits": 10, "byte_order": ">", "data_first": True}
    makers |= {
        "big-tiff.dng": _dng(layout="ljpeg-tiles", big_tiff=True, sub_ifd=True, **TILE),
        "ten-bits.dng": _dng(layout="strips", **ten),
        "ten-bits-tiles.dng": _dng(layout="ljpeg-tiles", **ten, **TILE),
        "eight-bits.dng": _dng(layout="ljpeg-strips", bits=8),
        "predictor-7.dng": _dng(layout="ljpeg-tiles", ljpeg_predictor=7, ljpeg_components=1, **TILE),
        "differences.dng": _dng(layout="deflate-tiles", bits=16, deflate_predictor=34892, **TILE),
        "table.dng": _dng(bits=8, layout="ljpeg-tiles", linearization_table=[4 * i + 3 for i in range(256)], **TILE),
        "constant.dng": _dng(opcode_list1=opcode_list(fix_bad_pixels_constant(0))),
        "interleaved.dng": _dng(raw_tags={tags.ROW_INTERLEAVE_FACTOR: short(2)}, ifd0_tags=NEWEST, fields=2),
        "x-trans.dng": _dng(layout="ljpeg-tiles", cfa_pattern=xtrans_pattern(1, 2), **TILE, **FULL),
        "monochrome.dng": _dng(layout="ljpeg-tiles", cfa_pattern="Y", ljpeg_components=1, **TILE, **FULL),
        "nikon.nef": _foreign(make_nef, 12),
        "sony.arw": _foreign(make_arw, 14),
        "pentax.pef": _foreign(make_pef, 12),
        "canon.cr2": _foreign(make_cr2, 14),
        "canon-slices.cr2": _foreign(lambda path, mosaic: make_cr2(path, mosaic, (1, 32, 64)), 14),
    }
    return makers


def _dng(*, bits: int = 14, fields: int = 1, **options: Any) -> Callable[[Path], NDArray[np.uint16]]:
    def make(path: Path) -> NDArray[np.uint16]:
        stored = sample_mosaic(HEIGHT, WIDTH, bits)
        make_dng(path, stored, bits=bits, **options)
        table = options.get("linearization_table")
        meant = stored if table is None else np.array(table, dtype=np.uint16)[stored]
        if fields == 1:
            return meant
        joined = np.empty_like(meant)
        joined[0::2], joined[1::2] = meant[: HEIGHT // 2], meant[HEIGHT // 2 :]
        return joined

    return make


def _foreign(write: Callable[[Path, NDArray[np.uint16]], Path], bits: int) -> Callable[[Path], NDArray[np.uint16]]:
    def make(path: Path) -> NDArray[np.uint16]:
        mosaic = sample_mosaic(HEIGHT, WIDTH, bits)
        write(path, mosaic)
        return mosaic

    return make
