"""The log and the event files: a resumed run goes on in them as if it had never stopped."""

from __future__ import annotations

import errno
import json
import logging
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest

from training.errors import ConfigError
from training.run.journal import Journal, read_log

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def without_tensorboard(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the package is not installed."""
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)


def test_lines_beyond_the_checkpoint_are_cut_off(tmp_path: Path, without_tensorboard: None) -> None:
    with Journal(tmp_path, 0) as journal:
        for step in (20, 40, 60):
            journal.write(step, {"loss": step / 10})
    with (tmp_path / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 80, "lo')  # a power cut
    with Journal(tmp_path, 45) as journal:
        journal.write(60, {"loss": 7.0})
    assert read_log(tmp_path / "log.jsonl") == [
        {"step": 20, "loss": 2.0},
        {"step": 40, "loss": 4.0},
        {"step": 60, "loss": 7.0},
    ]


def test_a_log_line_that_was_cut_off_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps({"step": 20, "loss": 1.0}) + '\n{"step": 40, "lo')
    assert read_log(path) == [{"step": 20, "loss": 1.0}]


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path, without_tensorboard: None) -> None:
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(ConfigError, match=r"log\.jsonl or the event files cannot be written"):
        Journal(tmp_path, 0)


def test_without_tensorboard_one_line_says_so(
    tmp_path: Path, without_tensorboard: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "training.run.journal"), Journal(tmp_path, 0) as journal:
        journal.write(20, {"loss": 1.0})
    assert [record.message for record in caplog.records] == [
        "no TensorBoard event files: photosite[tensorboard] is not installed"
    ]
    assert not (tmp_path / "tensorboard").exists()


@pytest.mark.parametrize("broken", ["add_scalar", "close"])
def test_a_full_disk_is_named_for_event_files_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    class Events:
        """Fails where TensorBoard's writer tells what its thread could not write."""

        def add_scalar(self, *_: object) -> None:
            self._fail("add_scalar")

        def close(self) -> None:
            self._fail("close")

        def _fail(self, method: str) -> None:
            if method == broken:
                raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("training.run.journal._event_writer", lambda *_: Events())
    refused = pytest.raises(ConfigError, match="event files cannot be written: No space left on device")
    with refused if broken == "add_scalar" else nullcontext(), Journal(tmp_path, 0) as journal:
        journal.write(20, {"loss": 1.0})
    assert ("could not be written" in caplog.text) == (broken == "close")
    assert read_log(tmp_path / "log.jsonl") == [{"step": 20, "loss": 1.0}]


def test_event_files_that_cannot_be_made_are_named(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="photosite[tensorboard] is not installed")
    (tmp_path / "tensorboard").write_text("in the way")
    with pytest.raises(ConfigError, match="event files cannot be written"):
        Journal(tmp_path, 0)


def test_event_files_hold_the_same_numbers(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="photosite[tensorboard] is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with Journal(tmp_path, 0) as journal:
        for step in (20, 40, 60):
            journal.write(step, {"loss": step / 10, "lr": 1e-3})
    with Journal(tmp_path, 45) as journal:
        journal.write(60, {"loss": 7.0, "lr": 1e-4})
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(20, 2.0), (40, 4.0), (60, 7.0)]
    assert [event.value for event in events.Scalars("lr")] == pytest.approx([1e-3, 1e-3, 1e-4])
