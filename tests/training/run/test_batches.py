"""Batches are decided by seed, step and index alone, however they are drawn."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from training.config import TrainingConfig
from training.datasets.base import Patch
from training.run.batches import batches_ahead, draw_batch

if TYPE_CHECKING:
    from collections.abc import Sequence

CPU = torch.device("cpu")
CONFIG = TrainingConfig(preset="test", objective="supervised", batch_size=2, seed=5)


class Seeds:
    """Patches that hold their seed; the first of them takes longest."""

    def draw(self, seed: Sequence[int]) -> Patch:
        """A patch of one pixel."""
        time.sleep(0.02 if seed[1] == 0 else 0)
        planes = np.array((*seed, 0), np.float32)[:, None, None]
        return Patch(noisy=planes, shot_noise=1e-3, read_noise=1e-6, source=str(seed))


@pytest.mark.parametrize("workers", [0, 3])
def test_batches_come_in_order_whoever_draws_them(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.run.batches.WORKERS", {"cpu": workers})
    drawn = list(batches_ahead(CONFIG, Seeds(), range(3, 10), CPU, first_index=4))
    assert [batch.sources for batch in drawn] == [(f"(5, {step}, 4)", f"(5, {step}, 5)") for step in range(3, 10)]


def test_threads_end_with_whoever_stops_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.run.batches.WORKERS", {"cpu": 3})
    batches = batches_ahead(CONFIG, Seeds(), range(100), CPU)
    next(batches)
    assert any(thread.name.startswith("batches") for thread in threading.enumerate())
    batches.close()
    assert not any(thread.name.startswith("batches") for thread in threading.enumerate())


def test_two_processes_draw_what_one_would() -> None:
    together = draw_batch(TrainingConfig(preset="test", objective="supervised", batch_size=4), Seeds(), 7, CPU)
    apart = [
        draw_batch(TrainingConfig(preset="test", objective="supervised", batch_size=2), Seeds(), 7, CPU, first)
        for first in (0, 2)
    ]
    torch.testing.assert_close(together.noisy, torch.cat([batch.noisy for batch in apart]), rtol=0, atol=0)


def test_a_batch_without_clean_patches_has_none() -> None:
    batch = draw_batch(CONFIG, Seeds(), 0, CPU)
    assert batch.clean is None
    assert batch.shot_noise.shape == (2, 4)
