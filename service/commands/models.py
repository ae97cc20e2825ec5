"""`photosite models`: which models there are. Imports no torch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from training.registry import Registry


def add_parsers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    parser = subparsers.add_parser("models", help="list and show models")
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="all models, the default marked")
    listing.add_argument("--json", action="store_true", help="print one JSON object a model")
    listing.set_defaults(run=run_list)
    show = actions.add_parser("show", help="the manifest of one model")
    show.add_argument("model", nargs="?", metavar="NAME[@VERSION]", help="which (default: the default model)")
    show.set_defaults(run=run_show)


def installed_models() -> Registry:
    """The models of the package, and those published on this machine."""
    from service.settings import load_settings  # noqa: PLC0415  (pydantic, which `--help` does not need)
    from training.registry import default_registry  # noqa: PLC0415

    return default_registry(load_settings().all_models_dir)


def run_list(arguments: argparse.Namespace) -> int:
    """Print a line a model; `*` marks the default."""
    registry = installed_models()
    default = str(registry.resolve())
    for manifest in registry.list():
        is_default = manifest.reference == default
        if arguments.json:
            print(json.dumps({"model": manifest.reference, "default": is_default, "description": manifest.description}))
        else:
            print(f"{'*' if is_default else ' '} {manifest.reference:<24} {manifest.description}")
    return 0


def run_show(arguments: argparse.Namespace) -> int:
    """Print a manifest as it is stored."""
    print(installed_models().resolve(arguments.model).manifest().to_json(), end="")
    return 0
