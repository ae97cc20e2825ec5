"""All methods of a comparison, one after another: a row each, and the table written anew after every one.

In the flow: options → plan → **methods, one after another** → table.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from training.comparison.running import check_cases, run_method
from training.comparison.tables import Row, input_row, markdown, method_row, write_tables
from training.comparison.trainings import Stopped
from training.errors import ConfigError
from training.run.distributed import training_device

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from training.comparison.methods import Method
    from training.comparison.plan import Plan


def compare(methods: Sequence[Method], plan: Plan, run: Path, device: str) -> bool:
    """Run methods and print their table; what is missing for one of them is said in its row.

    Args:
        methods: Which, in the table's order.
        plan: What they have in common.
        run: Folder for everything, claimed by the plan.
        device: "auto", "cpu" or "cuda".

    Returns:
        Whether all of them were run; not, where a signal came between.

    Raises:
        ConfigError: There is nothing to judge on, or the folder cannot be written to.
    """
    check_cases(plan)
    rows: list[Row] = []
    noisy: Row | None = None
    done = True
    for method in methods:
        print(f"{method.name}: {method.words}", file=sys.stderr)
        try:
            result = run_method(method, plan, run, training_device(device))
        except ConfigError as error:
            rows.append(method_row(method, [], note=f"not possible: {error.message}"))
            continue
        except Stopped as stop:
            print(f"{stop}; the same command goes on", file=sys.stderr)
            done = False
            break
        rows.append(method_row(method, result.scores, result.steps, result.training_seconds, _note(method, plan)))
        noisy = noisy or input_row(result.scores)
        _write(plan, [noisy, *rows], run)
    table = [*([noisy] if noisy else []), *rows]
    _write(plan, table, run)
    print(markdown(table), end="")
    return done


def _note(method: Method, plan: Plan) -> str:
    """How a method spent its budget, where that is not plain."""
    if method.per_picture:
        return f"{plan.budget} for {'each picture' if plan.spent.steps else 'all pictures'}"
    return f"{plan.budget} shared by its two networks" if method.distilled else ""


def _write(plan: Plan, rows: Sequence[Row], run: Path) -> None:
    try:
        write_tables(plan, rows, run)
    except OSError as error:
        raise ConfigError(f"run: {run} cannot be written to: {error.strerror or error}") from error
