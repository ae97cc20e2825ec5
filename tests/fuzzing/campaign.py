"""Many damaged files, one after the other, each looked at by the judge; findings are kept as files.

In the flow of the tests: seeds.py → mutations.py, as Hypothesis draws them → **Campaign** → judging.py.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fuzzing.mutations import KINDS, Mutation, mutate
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fuzzing.judging import Judge
    from fuzzing.seeds import Seed

_log = logging.getLogger(__name__)
MOST_AT_ONCE = 4
"""Changes in one file."""
ROUND = 500
"""Files that Hypothesis draws at a time: it remembers all of a round."""


def mutation_lists() -> st.SearchStrategy[list[Mutation]]:
    """One to a few changes."""
    mutation = st.builds(
        Mutation,
        kind=st.sampled_from(sorted(KINDS)),
        place=st.integers(0, 1 << 16),
        part=st.integers(0, 255),
        number=st.integers(0, (1 << 32) - 1),
    )
    return st.lists(mutation, min_size=1, max_size=MOST_AT_ONCE)


@dataclass(slots=True)
class Campaign:
    """A run over many damaged files."""

    seeds: Sequence[Seed]
    judge: Judge
    folder: Path
    """Where the file that is looked at lies, and findings are kept."""
    findings: list[str] = field(default_factory=list)

    def look_at(self, index: int, mutations: Sequence[Mutation]) -> str | None:
        """What is wrong with how we take one damaged file; None for nothing."""
        honest = self.seeds[index]
        path = self.folder / f"damaged-{honest.name}"
        path.write_bytes(mutate(honest.data, honest.anatomy, mutations))
        found = self.judge.look_at(path, honest)
        path.with_suffix(".rewritten.dng").unlink(missing_ok=True)
        return found

    def run(self, files: int, first_seed: int) -> None:
        """Look at so many damaged files; findings are kept, and do not end the run."""
        for number, done in enumerate(range(0, files, ROUND)):
            self._run_round(min(ROUND, files - done), first_seed + number)
            _log.info("%d files, %d findings", min(files, done + ROUND), len(self.findings))

    def _run_round(self, files: int, number: int) -> None:
        def look(index: int, mutations: list[Mutation]) -> None:
            found = self.look_at(index, mutations)
            if found is not None:
                self._keep(index, mutations, found)

        drawn = given(st.integers(0, len(self.seeds) - 1), mutation_lists())(look)
        alone = settings(
            max_examples=files,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        seed(number)(alone(drawn))()

    def _keep(self, index: int, mutations: list[Mutation], found: str) -> None:
        honest = self.seeds[index]
        kept = self.folder / f"finding-{len(self.findings)}-{honest.name}"
        kept.write_bytes(mutate(honest.data, honest.anatomy, mutations))
        self.findings.append(f"{kept}: {found} ({mutations})")
