"""A part is denoised as the whole would be: what the network sees of it is the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from dng_factory import OTHER_PATTERNS, make_dng, sample_mosaic
from engines import KnownEngine

from training import denoise
from training.denoise import DenoiseOptions, denoise_file
from training.denoise_part import denoise_part
from training.noise import NoiseModel
from training.raw.bayer import CFA_PATTERNS
from training.raw.dng import read_raw
from training.raw.image import Rectangle
from training.raw.levels import normalise

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from training.raw.image import RawImage

NOISE = NoiseModel.uniform(shot_noise=1e-3, read_noise=1e-6)


def blur(packed: NDArray[np.float32]) -> NDArray[np.float32]:
    """A network that reaches two packed pixels far."""
    padded = np.pad(packed, ((0, 0), (2, 2), (2, 2)), mode="edge")
    shifts = [(down, across) for down in range(5) for across in range(5)]
    height, width = packed.shape[1:]
    mean = sum(padded[:, down : down + height, across : across + width] for down, across in shifts) / 25
    return np.asarray(mean, dtype=np.float32)


def signal_of(raw: RawImage, area: Rectangle) -> NDArray[np.float32]:
    """The normalised signal of an area in full-frame coordinates."""
    active = raw.metadata.active_area
    signal = normalise(raw.active_mosaic, raw.metadata.levels, raw.metadata.cfa_pattern)
    return signal[area.top - active.top : area.bottom - active.top, area.left - active.left : area.right - active.left]


@pytest.mark.parametrize("cfa_pattern", [*CFA_PATTERNS, *OTHER_PATTERNS])
@pytest.mark.parametrize("area", [Rectangle(3, 5, 40, 60), Rectangle(101, 77, 160, 133), Rectangle(200, 170, 260, 209)])
def test_a_part_is_what_the_whole_has_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cfa_pattern: str, area: Rectangle
) -> None:
    monkeypatch.setattr(
        denoise, "keep_brightness", lambda _noisy, denoised, _cell: denoised
    )  # it looks at all there is
    source = make_dng(
        tmp_path / "in.dng", sample_mosaic(261, 212, bits=12), bits=12, cfa_pattern=cfa_pattern,
        active_area=(3, 5, 260, 209), black_level=(60, 61, 62, 63), black_repeat=(2, 2),
    )  # fmt: skip
    options = DenoiseOptions(strength=0.75, noise=NOISE)
    engine = KnownEngine(blur, sensor=read_raw(source).metadata.sensor)
    denoise_file(source, tmp_path / "out.dng", engine=engine, options=options)
    part, within = denoise_part(read_raw(source), area, engine, NOISE, 0.75)
    whole = read_raw(tmp_path / "out.dng")
    assert within.height == area.height
    assert part.metadata.levels.white_level == whole.metadata.levels.white_level, "in steps as fine"
    np.testing.assert_allclose(signal_of(part, within), signal_of(whole, area), atol=1e-6)
    assert np.abs(signal_of(part, within) - signal_of(read_raw(source), area)).max() > 0.01


def test_little_more_than_the_part_is_denoised(tmp_path: Path) -> None:
    source = make_dng(tmp_path / "in.dng", sample_mosaic(800, 900))
    part, _ = denoise_part(read_raw(source), Rectangle(400, 400, 464, 464), KnownEngine(halo=8), NOISE)
    assert max(part.mosaic.shape) <= 64 + 2 * (2 * 8 + 4) + 2 * 16
