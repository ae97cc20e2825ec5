"""`photosite compare`: methods side by side, on the same data and budget. Its options are `training/compare.py`'s."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from training import compare

if TYPE_CHECKING:
    import argparse


def add_parsers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "compare", help="compare methods on the same data and budget", description=compare.DESCRIPTION
    )
    compare.add_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    return compare.run(arguments)
