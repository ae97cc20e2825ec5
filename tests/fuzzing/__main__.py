"""Fuzzes what reads a stranger's file, for as long as is wished: `make fuzz`.

    MUTATIONS=20000   so many raws, damaged where it hurts, through inspect, read_raw and the rewrite
    MINUTES=30        so long the directory parser, guided by what it has not done yet (needs atheris)

Exit code 0: nothing was found; 1: something, which is kept in the folder that is printed.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import resource
import sys
import tempfile
import time
from pathlib import Path

from fuzzing.campaign import Campaign
from fuzzing.guided import run_guided
from fuzzing.judging import Judge
from fuzzing.readers import Readers
from fuzzing.seeds import make_seeds

from training.raw.decode import Decoder


def main() -> int:
    """Run what is asked for, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="damage only files whose name holds this")
    parser.add_argument("--into", type=Path, help="folder for findings and the guided fuzzer's corpus")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("training").setLevel(logging.ERROR)  # a warning for every file says nothing new
    folder = options.into or Path(tempfile.mkdtemp(prefix="photosite-fuzz-"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"findings go to {folder}", flush=True)
    failed = options.mutations > 0 and _mutate(folder, options)
    if options.minutes > 0:
        failed |= _guide(folder, options.minutes)
    return int(failed)


def _mutate(folder: Path, options: argparse.Namespace) -> bool:
    (folder / "seeds").mkdir(exist_ok=True)
    started = time.monotonic()
    with Decoder() as decoder, Readers() as readers:
        seeds = [honest for honest in make_seeds(folder / "seeds") if options.only in honest.name]
        campaign = Campaign(seeds, Judge(decoder, readers), folder)
        campaign.run(options.mutations, options.seed)
    minutes, memory = (time.monotonic() - started) / 60, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{options.mutations} damaged raws in {minutes:.1f} minutes, seed {options.seed}: {campaign.judge.tally}")
    print(f"the reading process took at most {memory:.0f} MiB")
    print(f"{len(campaign.findings)} findings", *campaign.findings, sep="\n", flush=True)
    return bool(campaign.findings)


def _guide(folder: Path, minutes: float) -> bool:
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed (its wheels are for Linux on x86_64): no guided fuzzing")
        return False
    ended = run_guided(folder, round(60 * minutes))
    print(ended.summary, flush=True)
    return ended.failed


if __name__ == "__main__":
    sys.exit(main())
