"""The command line `photosite`: parses, runs one command, and turns what went wrong into an exit code.

::

    0  done                                  3    the input cannot be denoised
    1  an error of ours                      4    some of a batch failed (a command returns it itself)
    2  wrong usage or configuration          5    the server cannot be reached
                                             130  interrupted

Each module of `service/commands/` adds its commands; importing them imports neither torch nor FastAPI.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

import training
from service.commands import compare, denoise, finetune, inspect, keys, models, serving, tenants, train, validate
from service.errors import InvalidRequestError, NotFoundError, ServerUnreachableError
from training.errors import ConfigError, ModelError, PhotositeError, RawError

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = (denoise, inspect, finetune, train, validate, compare, models, keys, tenants, serving)
EXIT_ERROR, EXIT_USAGE, EXIT_INPUT, EXIT_UNREACHABLE, EXIT_INTERRUPTED = 1, 2, 3, 5, 130


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(prog="photosite", description="Denoises camera raw files before demosaicing.")
    parser.add_argument("--version", action="version", version=f"photosite {training.__version__}")
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for group in COMMANDS:
        group.add_parsers(subparsers)
    return parser


def exit_code(error: PhotositeError) -> int:
    """The exit code of an error."""
    if isinstance(error, RawError):
        return EXIT_INPUT
    if isinstance(error, ServerUnreachableError):
        return EXIT_UNREACHABLE
    return (
        EXIT_USAGE if isinstance(error, ConfigError | ModelError | InvalidRequestError | NotFoundError) else EXIT_ERROR
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code says how it ended."""
    arguments = make_parser().parse_args(argv)
    try:
        code = int(arguments.run(arguments))
        sys.stdout.flush()
    except PhotositeError as error:
        print(f"photosite: {error.code}: {error.message}", file=sys.stderr)
        return exit_code(error)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # whoever read has left (`| head`); what is still buffered must not fail at exit again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR
    return code
