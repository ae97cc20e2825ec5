"""`photosite finetune`: fine-tune a model on noisy captures. Its options are `training/finetune.py`'s."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from service.commands.models import installed_models, models_folder
from training import finetune

if TYPE_CHECKING:
    import argparse


def add_parsers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "finetune", help="fine-tune a model on noisy captures", description=finetune.DESCRIPTION
    )
    finetune.add_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Fine-tune; the base is looked up among all models, and the new one goes into this installation's folder."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    return finetune.run(arguments, models_folder(), installed_models())
