"""The decoder program: its limits bite, it dies with its parent, and its client survives its death."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from dng_factory import make_dng, sample_mosaic

from training.errors import PhotositeError, UnreadableRawError
from training.raw.decode import DecodeLimits, Decoder, default_decoder
from training.raw.layout import MosaicLayout, find_mosaic
from training.raw.tiff import open_tiff

if TYPE_CHECKING:
    from collections.abc import Iterator

MOSAIC = sample_mosaic(130, 166)
PROC = Path("/proc/self/stat")
on_linux = pytest.mark.skipif(not PROC.exists(), reason="needs /proc")


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    with Decoder() as decoder:
        yield decoder


@pytest.fixture
def dng(tmp_path: Path) -> Path:
    return make_dng(tmp_path / "a.dng", MOSAIC, layout="ljpeg-tiles")


def _layout(path: Path) -> MosaicLayout:
    with open_tiff(path) as tiff:
        return find_mosaic(tiff)


def _is_alive(process_id: int) -> bool:
    """Whether a process runs; one that has ended but was not waited for yet does not."""
    try:
        if PROC.exists():
            return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        os.kill(process_id, 0)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return True


def _dies(process_id: int) -> bool:
    deadline = time.monotonic() + 10
    while _is_alive(process_id):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_program_is_kept_warm(decoder: Decoder, dng: Path) -> None:
    assert decoder.process_id is None
    first = decoder.decode(dng, _layout(dng))
    process_id = decoder.process_id
    second = decoder.decode(dng, _layout(dng))
    assert process_id is not None
    assert decoder.process_id == process_id
    assert (first == MOSAIC).all()
    assert (second == MOSAIC).all()


def test_it_imports_neither_torch_nor_celery_nor_the_service() -> None:
    script = "import sys, training.raw.sandbox as s; s.load_codecs(); print(*sys.modules)"
    modules = {name.split(".")[0] for name in _run(script).stdout.split()}
    assert "imagecodecs" in modules
    assert not modules & {"torch", "celery", "rawpy", "tifffile", "service", "multiprocessing"}


def test_a_dead_program_is_replaced(decoder: Decoder, dng: Path) -> None:
    decoder.decode(dng, _layout(dng))
    first = decoder.process_id
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert _dies(first)
    assert (decoder.decode(dng, _layout(dng)) == MOSAIC).all()
    assert decoder.process_id not in {None, first}


def test_a_program_that_dies_at_work_is_an_error_of_the_file_and_is_replaced(decoder: Decoder, dng: Path) -> None:
    decoder.decode(dng, _layout(dng))
    first = decoder.process_id
    assert first is not None
    os.kill(first, signal.SIGSTOP)  # so that it is still at work when it dies
    threading.Timer(0.2, os.kill, (first, signal.SIGSEGV)).start()
    threading.Timer(0.3, os.kill, (first, signal.SIGCONT)).start()
    with pytest.raises(UnreadableRawError, match="cannot be decoded: the decoder died of SIGSEGV"):
        decoder.decode(dng, _layout(dng))
    assert (decoder.decode(dng, _layout(dng)) == MOSAIC).all()


def test_a_program_that_hangs_is_ended(dng: Path) -> None:
    with Decoder(DecodeLimits(wall_s=1, wall_s_per_megapixel=0)) as decoder:
        decoder.decode(dng, _layout(dng))
        first = decoder.process_id
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        with pytest.raises(UnreadableRawError, match="it took too long"):
            decoder.decode(dng, _layout(dng))
        assert _dies(first)
        assert (decoder.decode(dng, _layout(dng)) == MOSAIC).all()


@on_linux
def test_the_memory_limit_bites(tmp_path: Path) -> None:
    path = make_dng(tmp_path / "a.dng", np.zeros((4096, 4096), dtype=np.uint16), bits=16)
    base = _address_space_of_a_warm_program(path)
    with Decoder(DecodeLimits(memory_bytes=base + 16_000_000, memory_bytes_per_pixel=0)) as decoder:
        with pytest.raises(UnreadableRawError, match="more memory than is allowed"):
            decoder.decode(path, _layout(path))
        first = decoder.process_id
        small = make_dng(tmp_path / "b.dng", MOSAIC)
        assert (decoder.decode(small, _layout(small)) == MOSAIC).all()
        assert decoder.process_id == first, "refusing does not end the program"


def _address_space_of_a_warm_program(path: Path) -> int:
    small = make_dng(path.with_name("warm.dng"), MOSAIC)
    with Decoder() as decoder:
        decoder.decode(small, _layout(small))
        pages = Path(f"/proc/{decoder.process_id}/statm").read_text().split()[0]
    return int(pages) * resource.getpagesize()


def test_the_cpu_limit_bites() -> None:
    script = """if True:
        from training.raw.sandbox import confine, limit_request
        confine()
        limit_request(memory_bytes=1 << 30, cpu_s=0.1)
        while True: pass
    """
    assert _run(script).returncode == -signal.SIGXCPU


def test_a_program_without_cpu_time_left_is_an_error_of_the_file(tmp_path: Path) -> None:
    path = make_dng(tmp_path / "a.dng", MOSAIC)
    with Decoder() as decoder:
        decoder.decode(path, _layout(path))
        assert decoder.process_id is not None
        os.kill(decoder.process_id, signal.SIGSTOP)
        threading.Timer(0.2, os.kill, (decoder.process_id, signal.SIGXCPU)).start()
        threading.Timer(0.3, os.kill, (decoder.process_id, signal.SIGCONT)).start()
        with pytest.raises(UnreadableRawError, match="more computing time than is allowed"):
            decoder.decode(path, _layout(path))


@on_linux
def test_it_may_neither_write_files_nor_gain_privileges(decoder: Decoder, dng: Path) -> None:
    decoder.decode(dng, _layout(dng))
    limits = Path(f"/proc/{decoder.process_id}/limits").read_text()
    soft_and_hard = {line[:26].strip(): line[26:68].split() for line in limits.splitlines()}
    assert soft_and_hard["Max file size"] == ["0", "0"]
    assert soft_and_hard["Max core file size"] == ["0", "0"]
    assert soft_and_hard["Max open files"] == ["16", "16"]
    assert int(soft_and_hard["Max address space"][0]) == (1 << 30) + 12 * MOSAIC.size
    assert "NoNewPrivs:\t1" in Path(f"/proc/{decoder.process_id}/status").read_text()


@on_linux
def test_it_has_no_network_where_the_kernel_allows_that(decoder: Decoder, dng: Path) -> None:
    allowed = (
        "import ctypes, sys; c = ctypes.CDLL(None); sys.exit(c.unshare(1 << 30) and c.unshare((1 << 30) | (1 << 28)))"
    )
    if _run(allowed).returncode:
        pytest.skip("this kernel, or container, allows no network namespace")
    decoder.decode(dng, _layout(dng))
    interfaces = Path(f"/proc/{decoder.process_id}/net/dev").read_text().splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]
    assert not Path(f"/proc/{decoder.process_id}/net/route").read_text().splitlines()[1:]


@on_linux
def test_it_knows_nothing_of_our_environment(decoder: Decoder, dng: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOSITE_REDIS_URL", "redis://:secret@host")
    decoder.decode(dng, _layout(dng))
    assert b"secret" not in Path(f"/proc/{decoder.process_id}/environ").read_bytes()


@on_linux
def test_it_keeps_no_file_open(decoder: Decoder, dng: Path) -> None:
    decoder.decode(dng, _layout(dng))
    targets = {str(link.readlink()) for link in Path(f"/proc/{decoder.process_id}/fd").iterdir()}
    assert all(target.startswith("pipe:") for target in targets)


def test_it_dies_with_its_parent(dng: Path) -> None:
    script = """if True:
        import os, signal, sys
        from pathlib import Path
        from training.raw.decode import default_decoder
        from training.raw.dng import read_raw
        read_raw(Path(sys.argv[1]))
        print(default_decoder().process_id, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    ended = _run(script, str(dng))
    assert ended.returncode == -signal.SIGKILL
    assert _dies(int(ended.stdout))


def test_a_forked_process_starts_a_program_of_its_own(dng: Path) -> None:
    script = """if True:
        import os, sys
        from pathlib import Path
        from training.raw.decode import default_decoder
        from training.raw.dng import read_raw
        path = Path(sys.argv[1])
        parents = read_raw(path).mosaic
        first = default_decoder().process_id
        forked = os.fork()
        if not forked:
            assert default_decoder().process_id is None
            same = (read_raw(path).mosaic == parents).all()
            os._exit(0 if same and default_decoder().process_id != first else 1)
        for _ in range(5):
            read_raw(path)
        _, status = os.waitpid(forked, 0)
        assert default_decoder().process_id == first
        sys.exit(os.waitstatus_to_exitcode(status))
    """
    ended = _run(script, str(dng))
    assert (ended.returncode, ended.stderr) == (0, "")


def test_it_dies_with_its_parent_though_a_fork_of_that_lives_on(dng: Path) -> None:
    script = """if True:
        import os, sys, time
        from pathlib import Path
        from training.raw.decode import default_decoder
        from training.raw.dng import read_raw
        read_raw(Path(sys.argv[1]))
        forked = os.fork()
        if not forked:
            os.close(1), os.close(2)
            time.sleep(30)
            os._exit(0)
        print(default_decoder().process_id, forked, flush=True)
        os._exit(0)
    """
    program, forked = (int(word) for word in _run(script, str(dng)).stdout.split())
    try:
        assert _dies(program)
        assert _is_alive(forked)
    finally:
        os.kill(forked, signal.SIGKILL)


def test_threads_take_turns(decoder: Decoder, tmp_path: Path) -> None:
    paths = [make_dng(tmp_path / f"{i}.dng", sample_mosaic(64 + i, 80, seed=i)) for i in range(4)]
    results: dict[int, list[bool]] = {i: [] for i in range(4)}

    def work(index: int) -> None:
        for _ in range(5):
            mosaic = decoder.decode(paths[index], _layout(paths[index]))
            results[index].append(bool((mosaic == sample_mosaic(64 + index, 80, seed=index)).all()))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {i: [True] * 5 for i in range(4)}


def test_a_file_that_shrank_after_its_check_is_an_error(decoder: Decoder, dng: Path) -> None:
    layout = _layout(dng)
    dng.write_bytes(dng.read_bytes()[:-500])
    with pytest.raises(UnreadableRawError, match="cut off"):
        decoder.decode(dng, layout)


def test_a_file_that_vanished_is_an_error(decoder: Decoder, dng: Path) -> None:
    layout = _layout(dng)
    dng.unlink()
    with pytest.raises(UnreadableRawError, match="cannot be read"):
        decoder.decode(dng, layout)


def test_a_lossless_jpeg_that_lies_is_refused_by_the_program_too(decoder: Decoder, dng: Path) -> None:
    layout = _layout(dng)
    data = bytearray(dng.read_bytes())
    frame = data.index(b"\xff\xc3")
    data[frame + 5 : frame + 9] = b"\xff" * 4
    dng.write_bytes(data)
    with pytest.raises(UnreadableRawError, match="claims 8589672450 samples"):
        decoder.decode(dng, layout)


def test_a_request_longer_than_a_pipe_holds_is_sent_whole(decoder: Decoder, tmp_path: Path) -> None:
    mosaic = sample_mosaic(4096, 64)
    path = make_dng(tmp_path / "a.dng", mosaic, rows_per_strip=1)
    assert len(json.dumps(_layout(path).chunks)) > 65_536
    assert (decoder.decode(path, _layout(path)) == mosaic).all()


def test_an_interrupted_answer_is_not_taken_for_the_next_one(
    decoder: Decoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = make_dng(tmp_path / "a.dng", sample_mosaic(1000, 1000))
    small = make_dng(tmp_path / "b.dng", MOSAIC)
    decoder.decode(small, _layout(small))
    read, blocks = os.readv, []

    def interrupted(descriptor: int, buffers: list[memoryview]) -> int:
        if buffers[0].nbytes > 1:
            blocks.append(descriptor)
        if len(blocks) == 3:  # in the midst of the mosaic
            raise KeyboardInterrupt
        return read(descriptor, buffers)

    monkeypatch.setattr(os, "readv", interrupted)
    with pytest.raises(KeyboardInterrupt):
        decoder.decode(large, _layout(large))
    monkeypatch.undo()
    assert (decoder.decode(small, _layout(small)) == MOSAIC).all()


def test_a_program_that_cannot_start_is_no_fault_of_the_file(dng: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with Decoder() as decoder, pytest.raises(PhotositeError, match="cannot be started") as caught:
        decoder.decode(dng, _layout(dng))
    assert caught.value.code == "internal_error"


def test_the_default_decoder_is_one_for_the_process() -> None:
    assert default_decoder() is default_decoder()
