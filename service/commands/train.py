"""`photosite train`: train a model by preset. Its options are `training/train.py`'s, which needs no service."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from service.commands.models import installed_models
from training import train

if TYPE_CHECKING:
    import argparse


def add_parsers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("train", help="train a model by preset", description=train.DESCRIPTION)
    train.add_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Train; --base is looked up among the package's models and this installation's."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    return train.run(arguments, installed_models())
