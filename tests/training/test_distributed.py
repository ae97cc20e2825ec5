"""Two processes train as one with the doubled batch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from training.checkpoint import load_checkpoint
from training.run.distributed import Group
from training.run.journal import read_log

TESTS = Path(__file__).parents[1]
PROGRAM = """
import sys, pathlib, torch
sys.path[:0] = [{tests!r}, {here!r}]
import training.loop
from test_loop import config, pictures
torch.set_num_threads(1)
settings = config(steps=25, batch_size={batch_size}, precision="float32", validate_steps=10)
run = pathlib.Path({run!r})
training.loop.train(settings, pictures(), run, resume=False, device=torch.device("cpu"), held_out=pictures(1))
"""


def train(folder: Path, processes: int) -> Path:
    """Train by 4 patches a step, in one process or more."""
    run = folder / f"by-{processes}"
    script = folder / f"by-{processes}.py"
    text = PROGRAM.format(tests=str(TESTS), here=str(Path(__file__).parent), run=str(run), batch_size=4 // processes)
    script.write_text(text, encoding="utf-8")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(torchrun if processes > 1 else []), str(script)]
    environment = {"PYTHONPATH": str(TESTS.parent), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return run


@pytest.mark.slow
def test_two_processes_train_as_one_with_the_doubled_batch(tmp_path: Path) -> None:
    one, two = (train(tmp_path, processes) for processes in (1, 2))
    alone, together = (load_checkpoint(run / "checkpoint.safetensors") for run in (one, two))
    assert alone.step == together.step == 25
    for name, tensor in alone.average.items():
        torch.testing.assert_close(together.average[name], tensor, rtol=1e-3, atol=1e-5)
    assert float(alone.average["last.weight"].abs().max()) > 1e-4  # it begins at zero
    lines = [read_log(run / "log.jsonl") for run in (one, two)]
    assert [line["step"] for line in lines[1]] == [10, 20, 20, 25, 25]  # the first process alone writes
    for line, other in zip(*lines, strict=True):
        assert line["step"] == other["step"]
        for name in {"loss", "psnr", "psnr_noisy"} & line.keys():
            assert other[name] == pytest.approx(line[name], rel=1e-4)


def test_one_process_needs_no_library() -> None:
    group = Group(torch.device("cpu"))
    module = torch.nn.Linear(1, 1)
    assert group.is_first
    assert group.share(module) is module
    assert group.mean(torch.tensor(2.5)) == 2.5
    assert (group.any(flag=True), group.any(flag=False), group.first(7)) == (True, False, 7)
