"""`photosite models`: which models there are, which is the default, and how a run becomes one. Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from training import publish
from training.registry import Registry, default_registry, require_bayer, set_default

if TYPE_CHECKING:
    import argparse


def add_parsers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    parser = subparsers.add_parser("models", help="list, show and publish models, choose the default")
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="all models, the default marked")
    listing.add_argument("--json", action="store_true", help="print one JSON object a model")
    listing.set_defaults(run=run_list)
    show = actions.add_parser("show", help="the manifest of one model")
    show.add_argument("model", nargs="?", metavar="NAME[@VERSION]", help="which (default: the default model)")
    show.set_defaults(run=run_show)
    publishing = actions.add_parser("publish", help="measure a training run and make it a model")
    publish.add_options(publishing)
    publishing.add_argument(
        "--registry", type=Path, metavar="DIR", help="folder of models (default: the installation's)"
    )
    publishing.set_defaults(run=run_publish)
    default = actions.add_parser("default", help="print the default model, or choose it")
    default.add_argument("model", nargs="?", metavar="NAME[@VERSION]", help="make it the default")
    default.set_defaults(run=run_default)


def installed_models() -> Registry:
    """The models of the package, and those published on this machine."""
    return default_registry(models_folder())


def models_folder() -> Path:
    """Where the models published on this machine lie."""
    from service.settings import load_settings  # noqa: PLC0415  (pydantic, which `--help` does not need)

    return load_settings().all_models_dir


def run_list(arguments: argparse.Namespace) -> int:
    """Print a line a model; `*` marks the default."""
    registry = installed_models()
    default = str(registry.resolve())
    for manifest in registry.list():
        is_default = manifest.reference == default
        if arguments.json:
            shown = {"model": manifest.reference, "default": is_default, "sensor": manifest.sensor}
            print(json.dumps({**shown, "description": manifest.description}))
        else:
            print(f"{'*' if is_default else ' '} {manifest.reference:<24} {manifest.description}")
    return 0


def run_show(arguments: argparse.Namespace) -> int:
    """Print a manifest as it is stored."""
    print(installed_models().resolve(arguments.model).manifest().to_json(), end="")
    return 0


def run_publish(arguments: argparse.Namespace) -> int:
    """Publish a run, in this installation's folder unless another is named."""
    if arguments.registry:
        return publish.run(arguments, arguments.registry, Registry([arguments.registry]))
    return publish.run(arguments, models_folder(), installed_models())


def run_default(arguments: argparse.Namespace) -> int:
    """Print the default model, after choosing it where one is named."""
    if arguments.model:
        require_bayer(installed_models().resolve(arguments.model).manifest(), "default")
        set_default(models_folder(), arguments.model)
    print(installed_models().resolve())
    return 0
