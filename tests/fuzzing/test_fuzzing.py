"""A short run of the fuzzers; `make fuzz` is the long one. And what makes them worth running: that they can find."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fuzzing.campaign import Campaign, mutation_lists
from fuzzing.guided import run_guided
from fuzzing.judging import Judge
from fuzzing.mutations import KINDS, Mutation, mutate
from fuzzing.readers import Readers
from fuzzing.seeds import make_seeds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from training.raw import decode, dng
from training.raw.decode import Decoder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fuzzing.seeds import Seed
    from numpy.typing import NDArray

    from training.raw.layout import MosaicLayout


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    folder = tmp_path_factory.mktemp("fuzzing")
    with Decoder() as decoder, Readers() as readers:
        yield Campaign(make_seeds(folder), Judge(decoder, readers), folder)


def honest(campaign: Campaign, name: str) -> tuple[int, Seed]:
    """One of the seeds, and its number."""
    return next((index, seed) for index, seed in enumerate(campaign.seeds) if seed.name == name)


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), mutations=mutation_lists())
def test_a_damaged_file_is_refused_or_read_as_others_read_it(
    campaign: Campaign, data: st.DataObject, mutations: list[Mutation]
) -> None:
    index = data.draw(st.integers(0, len(campaign.seeds) - 1))
    assert campaign.look_at(index, mutations) is None


def test_the_honest_files_are_read_as_they_were_made(campaign: Campaign) -> None:
    before = campaign.judge.tally.as_before
    assert [campaign.look_at(index, []) for index in range(len(campaign.seeds))] == [None] * len(campaign.seeds)
    assert campaign.judge.tally.as_before == before + len(campaign.seeds)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_damage_changes_some_file(campaign: Campaign, kind: str) -> None:
    mutations = [Mutation(kind, 3 + part, part, 1234) for part in range(8)]
    assert any(mutate(seed.data, seed.anatomy, [one]) != seed.data for seed in campaign.seeds for one in mutations)


def test_pixels_that_nobody_else_sees_are_found(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(_self: Decoder, _path: Path, layout: MosaicLayout) -> NDArray[np.uint16]:
        return np.full((layout.height, layout.width), 7, dtype=np.uint16)

    monkeypatch.setattr(decode.Decoder, "decode", wrong)
    index, _ = honest(campaign, "strips.dng")
    assert "no other program reads these pixels" in str(campaign.look_at(index, []))


def test_an_error_that_is_not_ours_is_found(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_path: Path) -> None:
        raise ZeroDivisionError("by the width")

    monkeypatch.setattr(dng, "open_tiff", broken)
    index, _ = honest(campaign, "strips.dng")
    assert campaign.look_at(index, []) == "ZeroDivisionError: by the width"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
def test_the_guided_fuzzer_reaches_the_parser_and_finds_nothing(tmp_path: Path) -> None:
    ended = run_guided(tmp_path, 5)
    assert not ended.failed, ended.summary
    assert "branches reached" in ended.summary
