"""Drawn pictures, and how often they and photographs are learned from."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from training.datasets import mixture
from training.datasets.drawn import KINDS, draw_pictures
from training.datasets.mixture import PHOTOGRAPHS, mix
from training.datasets.synthetic import SyntheticRaws


def photographs(**changes: object) -> SyntheticRaws:
    """Two grey ones."""
    grey = tuple(np.full((40, 40, 3), level, np.uint8) for level in (90, 160))
    options = {"pictures": grey, "names": ("dark", "light"), "patch_size": 8, "scales": (1.0,)}
    return SyntheticRaws(**{**options, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_a_drawn_picture_is_always_the_same_and_no_two_are(kind: str) -> None:
    one, two = draw_pictures(kind, count=2, size=64)
    again = next(draw_pictures(kind, count=1, size=64))
    assert one.shape == (64, 64, 3)
    assert 0 <= one.min() <= one.max() <= 255
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, two)


def test_drawn_colours_are_more_saturated_than_leaves() -> None:
    def saturation(kind: str) -> float:
        pictures = np.stack(list(draw_pictures(kind, count=4, size=128))).astype(np.float32)
        return float((pictures.max(-1) - pictures.min(-1)).mean())

    assert saturation("colours") > 2 * saturation("leaves")


def test_slopes_are_flat_and_finer_than_8_bits() -> None:
    pictures = np.stack(list(draw_pictures("slopes", size=64))).astype(np.float32)
    assert float(np.abs(np.diff(pictures, axis=1)).max()) < 4
    assert float(np.abs(pictures - np.round(pictures)).max()) > 0.2


def test_every_kind_is_drawn_as_often_as_its_share_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixture, "draw_pictures", lambda kind: draw_pictures(kind, count=3, size=32))
    source = mix(photographs(), {PHOTOGRAPHS: 5, "slopes": 3, "printed": 2})
    counts = Counter(source.draw((0, index)).source.partition(" ")[0] for index in range(2000))
    assert counts["dark"] + counts["light"] == pytest.approx(1000, abs=80)
    assert counts["dark"] == pytest.approx(500, abs=70)
    assert counts["slopes"] == pytest.approx(600, abs=70)
    assert counts["printed"] == pytest.approx(400, abs=60)


def test_without_shares_there_are_photographs_alone() -> None:
    source = mix(photographs(), {})
    assert {source.draw((0, index)).source for index in range(40)} == {"dark", "light"}


def test_shares_of_the_patches_are_dark_and_bright() -> None:
    source = photographs(dark_share=0.3, bright_share=0.2)
    plain = photographs()
    ratios = []
    for index in range(600):
        exposed, usual = (each.draw((0, index)).clean for each in (source, plain))
        assert exposed is not None
        assert usual is not None
        ratios.append(float(exposed.mean() / usual.mean()))
    assert np.mean(np.less(ratios, 0.3)) == pytest.approx(0.3, abs=0.06)
    assert np.mean(np.greater(ratios, 1.3)) == pytest.approx(0.2, abs=0.06)
    assert np.mean(np.isclose(ratios, 1)) == pytest.approx(0.5, abs=0.07)
    assert min(ratios) > 2**-7.1
    assert max(source.draw((0, index)).clean.max() for index in range(50)) <= 1  # type: ignore[union-attr]
