"""Training: stopped and resumed is the same as never stopped."""

from __future__ import annotations

import dataclasses
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from training.checkpoint import load_checkpoint
from training.config import TrainingConfig
from training.datasets.synthetic import SyntheticRaws
from training.errors import ConfigError, ModelError
from training.loop import StepReport, train
from training.networks.noise_aware import build_noise_aware
from training.run.batches import draw_batch
from training.run.journal import read_log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from training.checkpoint import Checkpoint
    from training.datasets.base import Patch
    from training.objectives.base import Batch

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
TESTS = Path(__file__).parents[1]


def config(**changes: Any) -> TrainingConfig:
    base = TrainingConfig(
        preset="test",
        objective="supervised",
        network_options={"width": 4},
        patch_size=32,
        batch_size=2,
        steps=6,
        warmup_steps=2,
        scales=(1.0,),
    )
    return dataclasses.replace(base, **changes)


def pictures(seed: int = 0) -> SyntheticRaws:
    rng = np.random.default_rng(seed)
    return SyntheticRaws(pictures=(rng.integers(0, 256, (96, 96, 3), dtype=np.uint8),), patch_size=32, scales=(1.0,))


def curve(run: Path) -> list[dict[str, Any]]:
    """A run's log without the times in it."""
    lines = read_log(run / "log.jsonl")
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def assert_same(one: Checkpoint, other: Checkpoint) -> None:
    assert one.step == other.step
    for group in ("network", "average", "optimiser"):
        for name, tensor in getattr(one, group).items():
            assert torch.equal(tensor, getattr(other, group)[name]), name


def dies_at(fatal_step: int) -> Callable[..., Batch]:
    def draw(config: TrainingConfig, data: SyntheticRaws, step: int, *others: Any) -> Batch:
        if step == fatal_step:
            raise KeyboardInterrupt
        return draw_batch(config, data, step, *others)

    return draw


@pytest.mark.parametrize("optimiser", ["adamw", "adam"])
def test_a_resumed_run_ends_with_the_same_weights_and_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimiser: Any
) -> None:
    settings = config(steps=45, validate_steps=10, optimiser=optimiser)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    path = train(settings, pictures(), whole, resume=False, device=CPU, held_out=pictures(1))

    monkeypatch.setattr("training.loop.CHECKPOINT_SECONDS", -1.0)  # after every step
    monkeypatch.setattr("training.run.batches.draw_batch", dies_at(33))
    with pytest.raises(KeyboardInterrupt):
        train(settings, pictures(), cut, resume=False, device=CPU, held_out=pictures(1))
    monkeypatch.undo()
    assert load_checkpoint(cut / "checkpoint.safetensors").step == 33
    resumed = train(settings, pictures(), cut, resume=True, device=CPU, held_out=pictures(1))

    assert_same(load_checkpoint(path), load_checkpoint(resumed))
    assert curve(cut) == curve(whole)
    assert [line["step"] for line in curve(whole) if "loss" in line] == [20, 40, 45]
    assert [line["step"] for line in curve(whole) if "psnr" in line] == [10, 20, 30, 40, 45]


def test_a_run_whose_end_is_chosen_late_ends_as_if_it_had_been_chosen_at_once(tmp_path: Path) -> None:
    network = {"network": "residual-unet", "network_options": {"widths": [4, 6], "blocks": [1, 1]}}
    long, short = (config(schedule="cooldown", steps=n, decay_steps=n // 4, **network) for n in (40, 16))
    risen_late = dataclasses.replace(long, warmup_steps=12)
    assert risen_late.agrees_with(short, 12)
    assert not risen_late.agrees_with(short, 11)  # a step's rate would differ

    def stop_at_12(report: StepReport) -> None:
        if report.done == 12:
            raise KeyboardInterrupt

    whole = train(short, pictures(), tmp_path / "whole", resume=False, device=CPU)
    with pytest.raises(KeyboardInterrupt):
        train(long, pictures(), tmp_path / "cut", resume=False, device=CPU, after_step=stop_at_12)
    resumed = load_checkpoint(train(short, pictures(), tmp_path / "cut", resume=True, device=CPU))
    assert_same(load_checkpoint(whole), resumed)
    assert TrainingConfig.from_json(resumed.config) == short


def test_an_end_whose_fall_would_have_begun_is_refused(tmp_path: Path) -> None:
    def stop_at_13(report: StepReport) -> None:
        if report.done == 13:
            raise KeyboardInterrupt

    long, short = (config(schedule="cooldown", steps=n, decay_steps=n // 4) for n in (40, 16))
    with pytest.raises(KeyboardInterrupt):
        train(long, pictures(), tmp_path, resume=False, device=CPU, after_step=stop_at_13)
    with pytest.raises(ConfigError, match="another configuration"):
        train(short, pictures(), tmp_path, resume=True, device=CPU)


PROGRAM = """
import sys, pathlib, torch
sys.path[:0] = [{tests!r}, {here!r}]
import training.loop
from test_loop import config, pictures
training.loop.CHECKPOINT_SECONDS = 0.05
torch.set_num_threads(1)
training.loop.train(config(steps=400), pictures(), pathlib.Path({run!r}), resume=True, device=torch.device("cpu"))
"""


def program(run: Path) -> list[str]:
    return [sys.executable, "-c", PROGRAM.format(tests=str(TESTS), here=str(Path(__file__).parent), run=str(run))]


@pytest.mark.slow
def test_a_run_killed_at_any_moment_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    subprocess.run(program(whole), check=True, timeout=120, cwd=TESTS.parent)
    chance, kills = random.Random(), 0  # noqa: S311  (when to kill)
    while kills < 3:
        process = subprocess.Popen(program(cut), cwd=TESTS.parent)
        before = (cut / "checkpoint.safetensors").stat().st_mtime_ns if kills else 0
        while not (cut / "checkpoint.safetensors").exists() or _time_of(cut) == before:
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.3))
        process.kill()
        assert process.wait() == -signal.SIGKILL
        kills += 1
    subprocess.run(program(cut), check=True, timeout=120, cwd=TESTS.parent)
    one, other = (load_checkpoint(run / "checkpoint.safetensors") for run in (whole, cut))
    assert one.step == 400
    assert_same(one, other)
    assert curve(cut) == curve(whole)
    assert [line["step"] for line in curve(cut)] == list(range(20, 401, 20))


def _time_of(run: Path) -> int:
    return (run / "checkpoint.safetensors").stat().st_mtime_ns


def test_a_signal_stops_the_run_after_a_step_and_the_handlers_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(config: TrainingConfig, data: SyntheticRaws, step: int, *others: Any) -> Batch:
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return draw_batch(config, data, step, *others)

    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    monkeypatch.setattr("training.run.batches.draw_batch", draw)
    stopped = load_checkpoint(train(config(steps=50), pictures(), tmp_path, resume=False, device=CPU))
    monkeypatch.undo()
    assert 1 <= stopped.step <= 5
    assert stopped.progress["ended"] == "signal"
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
    resumed = load_checkpoint(train(config(steps=50), pictures(), tmp_path, resume=True, device=CPU))
    assert (resumed.step, resumed.progress["ended"]) == (50, "steps")


def test_time_is_counted_while_training_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.loop.CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr("training.run.batches.draw_batch", dies_at(20))
    with pytest.raises(KeyboardInterrupt):
        train(config(steps=21), pictures(), tmp_path, resume=False, device=CPU)
    monkeypatch.undo()
    path = tmp_path / "checkpoint.safetensors"
    earlier = load_checkpoint(path).progress["seconds"]
    clock = time.monotonic
    monkeypatch.setattr("training.loop.time.monotonic", lambda: clock() + 5000)  # the machine slept in between
    train(config(steps=21), pictures(), tmp_path, resume=True, device=CPU)
    assert earlier <= read_log(tmp_path / "log.jsonl")[-1]["seconds"] < earlier + 100


def test_a_checkpoint_names_versions_and_seed(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(train(config(steps=1, seed=7), pictures(), tmp_path, resume=False, device=CPU))
    assert checkpoint.versions["torch"] == torch.__version__
    assert checkpoint.versions["numpy"] == np.__version__
    assert set(checkpoint.versions) == {"photosite", "torch", "numpy"}
    assert checkpoint.config["seed"] == 7
    shot = checkpoint.progress["noise_range"]["shot_noise"]
    assert 1e-5 * 0.999 <= shot[0] < shot[1] <= 1.2e-2


def test_a_full_disk_is_named_and_the_last_checkpoint_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = train(config(steps=2), pictures(), tmp_path, resume=False, device=CPU)
    good = path.read_bytes()
    longer = config(steps=3)
    monkeypatch.setattr("training.loop._previous", lambda *_, **__: load_checkpoint(path))
    monkeypatch.setattr("training.loop.TrainingConfig.from_json", lambda _: longer)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(good) // 2, hard))
    try:
        with pytest.raises(ConfigError, match=r"checkpoint\.safetensors cannot be written.*the checkpoint before it"):
            train(longer, pictures(), tmp_path, resume=True, device=CPU)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == good
    assert sorted(each.name for each in tmp_path.iterdir() if each.is_file()) == ["checkpoint.safetensors", "log.jsonl"]


def test_held_out_patches_become_pictures_and_decibels(tmp_path: Path) -> None:
    train(config(validate_steps=3), pictures(), tmp_path, resume=False, device=CPU, held_out=pictures(1))
    lines = [line for line in curve(tmp_path) if "psnr" in line]
    assert [line["step"] for line in lines] == [3, 6]
    assert 15 < lines[0]["psnr_noisy"] < 60
    assert lines[0]["psnr"] != lines[0]["psnr_noisy"]
    with Image.open(tmp_path / "pictures" / "step-0000006.png") as picture:
        assert picture.size == (3 * 32 + 2 * 4, 4 * 32)  # noisy, denoised, clean; four patches


def test_without_clean_patches_the_objective_judges(tmp_path: Path) -> None:
    settings = config(objective="neighbor2neighbor", patch_size=64, steps=2, validate_steps=1)
    data = dataclasses.replace(pictures(), patch_size=64, pictures=(np.zeros((140, 140, 3), np.uint8) + 90,))

    class Clueless:  # gives noisy patches alone
        def draw(self, seed: Sequence[int]) -> Patch:
            return dataclasses.replace(data.draw(seed), clean=None)

    train(settings, Clueless(), tmp_path, resume=False, device=CPU, held_out=Clueless())
    lines = [line for line in curve(tmp_path) if "held_out_loss" in line]
    assert [line["step"] for line in lines] == [1, 2]
    assert all(0.5 < line["held_out_loss"] < 20 for line in lines)
    with Image.open(tmp_path / "pictures" / "step-0000002.png") as picture:
        assert picture.size == (2 * 64 + 4, 4 * 64)


def test_a_run_that_gets_no_better_ends_and_keeps_its_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([30.0, 31.0, 30.5, 30.9, 40.0])
    monkeypatch.setattr("training.run.progress.Progress.judge", _judging(scores))
    settings = config(steps=20, validate_steps=2, patience=2)
    last = load_checkpoint(train(settings, pictures(), tmp_path, resume=False, device=CPU, held_out=pictures(1)))
    assert (last.step, last.progress["ended"]) == (8, "patience")
    assert load_checkpoint(tmp_path / "best.safetensors").step == 4
    assert load_checkpoint(train(settings, pictures(), tmp_path, resume=True, device=CPU)).step == 8


def _judging(scores: Any) -> Callable[..., bool]:
    from training.run.progress import Progress

    judge = Progress.judge
    return lambda self, _score, step: judge(self, next(scores), step)


def test_a_used_folder_is_refused_without_resume(tmp_path: Path) -> None:
    train(config(steps=1), pictures(), tmp_path, resume=False, device=CPU)
    with pytest.raises(ConfigError, match="--resume"):
        train(config(steps=1), pictures(), tmp_path, resume=False, device=CPU)


def test_another_configuration_cannot_be_resumed(tmp_path: Path) -> None:
    train(config(steps=1), pictures(), tmp_path, resume=False, device=CPU)
    with pytest.raises(ConfigError, match="another configuration"):
        train(config(steps=2), pictures(), tmp_path, resume=True, device=CPU)


def test_minutes_become_steps_that_a_resumed_run_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.loop.steps_in", lambda *_: 7)
    settings = config(minutes=0.5, schedule="step", decay_steps=3, steps=6)
    first = load_checkpoint(train(settings, pictures(), tmp_path, resume=False, device=CPU))
    assert (first.step, first.config["steps"], first.config["decay_steps"]) == (7, 7, 4)
    monkeypatch.setattr("training.loop.steps_in", lambda *_: 9)
    assert load_checkpoint(train(settings, pictures(), tmp_path, resume=True, device=CPU)).config["steps"] == 7


@pytest.mark.parametrize(("later_s", "steps"), [(1.0, 60), (2.0, 40), (4.0, 30), (0.5, 101), (60.0, 21)])
def test_minutes_are_kept_when_the_machine_gets_slower_or_faster(
    later_s: float, steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("training.loop.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("training.loop.steps_in", lambda *_: 60)

    def tick(step: StepReport) -> None:
        clock[0] += 1.0 if step.done < 20 else later_s

    ended = load_checkpoint(train(config(minutes=1.0), pictures(), tmp_path, resume=False, device=CPU, after_step=tick))
    assert ended.step == pytest.approx(steps, abs=2)
    assert ended.step == ended.config["steps"]
    assert clock[0] <= 60 + later_s


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "training.objectives.supervised.Supervised.loss", lambda *_: torch.tensor(torch.nan, requires_grad=True)
    )
    with pytest.raises(ModelError, match=r"nan at step 0; its patches: picture 0, picture 0$"):
        train(config(), pictures(), tmp_path, resume=False, device=CPU)
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_a_loss_that_is_not_finite_names_the_checkpoint_that_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as dying:
        dying.setattr("training.loop.CHECKPOINT_SECONDS", -1.0)  # after every step
        dying.setattr("training.run.batches.draw_batch", dies_at(2))
        with pytest.raises(KeyboardInterrupt):
            train(config(), pictures(), tmp_path, resume=False, device=CPU)
    monkeypatch.setattr(
        "training.objectives.supervised.Supervised.loss", lambda *_: torch.tensor(torch.nan, requires_grad=True)
    )
    with pytest.raises(ModelError, match=r"nan at step 2; .*; kept: .*checkpoint\.safetensors$"):
        train(config(), pictures(), tmp_path, resume=True, device=CPU)
    assert load_checkpoint(tmp_path / "checkpoint.safetensors").step == 2


@pytest.mark.parametrize(
    ("error", "batch_size", "advice"),
    [
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), 8, "[1-4] would"),
        (torch.OutOfMemoryError("CUDA out of memory"), 8, "[1-4] would"),
        (MemoryError(), 1, "not even one does.*patch_size"),
    ],
)
def test_running_out_of_memory_names_what_would_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, batch_size: int, advice: str
) -> None:
    def fail(*_: object) -> None:
        monkeypatch.undo()
        raise error

    monkeypatch.setattr("training.objectives.supervised.Supervised.loss", fail)
    with pytest.raises(ConfigError, match=rf"{batch_size} patches of 32² do not fit into memory; {advice}"):
        train(config(batch_size=batch_size), pictures(), tmp_path, resume=False, device=CPU)


def test_another_runtime_error_is_not_taken_for_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr("training.objectives.supervised.Supervised.loss", fail)
    with pytest.raises(RuntimeError, match="shapes differ"):
        train(config(), pictures(), tmp_path, resume=False, device=CPU)


def test_a_patch_that_the_network_cannot_take_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="multiple of 64"):
        train(config(objective="neighbor2neighbor"), pictures(), tmp_path, resume=False, device=CPU)


def test_float16_on_a_processor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="float16 needs CUDA"):
        train(config(precision="float16"), pictures(), tmp_path, resume=False, device=CPU)


def test_the_same_seed_draws_the_same_patch_and_another_draws_another() -> None:
    data = pictures()
    first, again, other = (data.draw((0, step, 0)) for step in (1, 1, 2))
    np.testing.assert_array_equal(first.noisy, again.noisy)
    assert not np.array_equal(first.noisy, other.noisy)


def test_a_gradient_scaler_goes_on_where_it_stood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scaler(device: torch.device, _dtype: torch.dtype) -> torch.amp.GradScaler:
        return torch.amp.GradScaler(device.type, init_scale=1024.0, growth_interval=3)

    monkeypatch.setattr("training.loop.gradient_scaler", scaler)
    settings = config(steps=8)
    whole = load_checkpoint(train(settings, pictures(), tmp_path / "whole", resume=False, device=CPU))
    assert whole.progress["scaler"]["scale"] == 4096.0  # it grew twice
    monkeypatch.setattr("training.loop.CHECKPOINT_SECONDS", -1.0)
    with monkeypatch.context() as patched:
        patched.setattr("training.run.batches.draw_batch", dies_at(5))
        with pytest.raises(KeyboardInterrupt):
            train(settings, pictures(), tmp_path / "cut", resume=False, device=CPU)
    cut = load_checkpoint(train(settings, pictures(), tmp_path / "cut", resume=True, device=CPU))
    assert cut.progress["scaler"] == whole.progress["scaler"]
    assert_same(whole, cut)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch", "ignore::FutureWarning:torch")  # the compiler's own
def test_a_compiled_network_trains_as_an_interpreted_one(tmp_path: Path) -> None:
    settings = config(precision="float32", steps=3)
    plain = load_checkpoint(train(settings, pictures(), tmp_path / "plain", resume=False, device=CPU))
    compiled = dataclasses.replace(settings, compile=True)
    path = train(compiled, pictures(), tmp_path / "compiled", resume=False, device=CPU, held_out=pictures(1))
    for name, tensor in load_checkpoint(path).average.items():
        torch.testing.assert_close(plain.average[name], tensor, rtol=1e-3, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_an_accelerator_learns_in_any_precision_and_resumes(tmp_path: Path, precision: Any) -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    device = torch.device("cuda")
    settings = config(steps=40, precision=precision, learning_rate=1e-3, batch_size=8)
    path = train(settings, pictures(), tmp_path, resume=False, device=device, held_out=pictures(1))
    last = load_checkpoint(path)
    assert (last.step, bool(last.progress["scaler"])) == (40, precision == "float16")
    losses = [line["loss"] for line in curve(tmp_path) if "loss" in line]
    assert losses[1] < losses[0]


class StopError(Exception):
    """What a caller raises between two steps."""


def test_a_run_stopped_by_its_caller_goes_on_bit_for_bit(tmp_path: Path) -> None:
    def stop(step: StepReport) -> None:
        assert step.steps == 45
        assert step.loss > 0
        if step.done == 33:
            raise StopError

    settings = config(steps=45)
    path = train(settings, pictures(), tmp_path / "whole", resume=False, device=CPU)
    with pytest.raises(StopError):
        train(settings, pictures(), tmp_path / "cut", resume=False, device=CPU, after_step=stop)
    assert load_checkpoint(tmp_path / "cut" / "checkpoint.safetensors").step == 33
    resumed = train(settings, pictures(), tmp_path / "cut", resume=True, device=CPU)
    assert_same(load_checkpoint(path), load_checkpoint(resumed))
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")


def test_the_caller_hears_of_every_step_but_the_last(tmp_path: Path) -> None:
    heard: list[int] = []
    train(config(), pictures(), tmp_path, resume=False, device=CPU, after_step=lambda step: heard.append(step.done))
    assert heard == [1, 2, 3, 4, 5]


def test_weights_are_drawn_back_to_where_they_began(tmp_path: Path) -> None:
    free = load_checkpoint(train(config(), pictures(), tmp_path / "free", resume=False, device=CPU))
    torch.manual_seed(0)
    home = {name: tensor.clone() for name, tensor in build_noise_aware(config()).network.state_dict().items()}
    runs = {}
    for pull in (1e-6, 300.0):
        folder = tmp_path / f"{pull}"
        path = train(config(pull=pull), pictures(), folder, resume=False, device=CPU, anchor=home)
        runs[pull] = load_checkpoint(path).network

    def distance(weights: dict[str, torch.Tensor]) -> float:
        return float(sum((weights[name] - tensor).square().sum() for name, tensor in home.items()))

    assert distance(runs[1e-6]) == pytest.approx(distance(free.network), rel=1e-3)
    assert distance(runs[300.0]) < 0.8 * distance(free.network)
    with pytest.raises(ConfigError, match="pull: there are no weights to go back to"):
        train(config(pull=1.0), pictures(), tmp_path / "none", resume=False, device=CPU)
