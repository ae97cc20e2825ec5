"""Fuzzes the directory parser, guided by which of its branches a file reaches: atheris, on libFuzzer.

Run as `python -m fuzzing.guided CORPUS -max_total_time=SECONDS …` by `run_guided`: libFuzzer ends its process, and
whatever is found leaves a file `crash-…`, `timeout-…` or `oom-…` in the folder it runs in.

In the flow of the tests: make_seeds → corpus → **look_at**: open_tiff, find_mosaic, read_metadata.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MOST_BYTES = 20_000
"""Of a file: every seed has fewer."""
MOST_SECONDS, MOST_MIB = 5, 1024


_LAUNCHER = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:], check=False).returncode)"
"""Linux counts what the starting process had to a program's peak memory, and the fuzzer would take that for its own: so
a small process starts it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What came of a run."""

    failed: bool
    summary: str


def run_guided(folder: Path, seconds: int) -> Ended:
    """Fuzz for so long in a process of its own; its corpus and its findings stay in `folder`."""
    (folder / "corpus").mkdir(exist_ok=True)
    command = [
        sys.executable, "-m", "fuzzing.guided", str(folder / "corpus"), f"-max_total_time={seconds}",
        f"-max_len={MOST_BYTES}", f"-timeout={MOST_SECONDS}", f"-rss_limit_mb={MOST_MIB}", "-print_final_stats=1",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests"), *sys.path[1:]])}
    command = [sys.executable, "-c", _LAUNCHER, *command]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    (folder / "guided.log").write_text(ended.stderr, encoding="utf-8")
    figures = re.findall(r"^stat::(\w+): *(\d+)$", ended.stderr, re.MULTILINE)
    reached = re.findall(r"cov: (\d+)", ended.stderr)
    found = sorted(path.name for kind in ("crash", "timeout", "oom") for path in folder.glob(f"{kind}-*"))
    words = ", ".join(f"{name.replace('_', ' ')} {number}" for name, number in figures)
    branches = f"branches reached {reached[0]} → {reached[-1]}" if reached else "nothing was reached"
    return Ended(
        failed=ended.returncode != 0 or bool(found),
        summary=f"guided for {seconds} s: {branches}; {words}; findings: {', '.join(found) or 'none'}",
    )


def main() -> None:
    """Become the fuzzer."""
    import atheris

    with atheris.instrument_imports(include=["training.raw", "training.noise"]):
        from training.errors import RawError
        from training.raw.dng import read_metadata
        from training.raw.foreign import _check_directories
        from training.raw.kinds import foreign_kind
        from training.raw.layout import find_mosaic
        from training.raw.previews import find_previews, preview_ranges
        from training.raw.tiff import open_tiff

    corpus = Path(sys.argv[1])
    if not any(corpus.iterdir()):
        _plant(corpus)
    file = os.memfd_create("fuzzed")
    path = Path(f"/proc/self/fd/{file}")

    def look_at(data: bytes) -> None:
        os.ftruncate(file, 0)
        os.pwrite(file, data, 0)
        try:
            _check_directories(path)
            with open_tiff(path) as tiff:
                for place in find_previews(tiff):
                    preview_ranges(tiff, place.directory)
                find_mosaic(tiff)
            if foreign_kind(path) is None:  # else LibRaw would be asked
                read_metadata(path)
        except RawError:
            return

    atheris.Setup(sys.argv, look_at)
    atheris.Fuzz()


def _plant(corpus: Path) -> None:
    """Begin with honest files."""
    import tempfile

    from fuzzing.seeds import make_seeds

    with tempfile.TemporaryDirectory() as folder:
        for seed in make_seeds(Path(folder)):
            (corpus / seed.name).write_bytes(seed.data)


if __name__ == "__main__":
    main()
