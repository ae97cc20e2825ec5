"""The command line `photosite`: parses, runs one command, and turns what went wrong into an exit code.

::

    0  done                                  3    the input cannot be denoised
    1  an error of ours                      4    some of a batch failed (a command returns it itself)
    2  wrong usage or configuration          5    the server cannot be reached
                                             130  interrupted

Each module of `service/commands/` adds its commands; importing them imports neither torch nor FastAPI. Where the first
word is a command, only its module is imported: `photosite inspect` is done before all of them would be.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import training
from service.errors import InvalidRequestError, NotFoundError, ServerUnreachableError
from training.errors import ConfigError, ModelError, PhotositeError, RawError

if TYPE_CHECKING:
    from collections.abc import Sequence

MODULES = {
    "denoise": ("denoise",),
    "inspect": ("inspect",),
    "finetune": ("finetune",),
    "train": ("train",),
    "validate": ("validate",),
    "compare": ("compare",),
    "models": ("models",),
    "keys": ("keys",),
    "tenants": ("tenants",),
    "serving": ("serve", "api", "worker"),
}
"""Of `service.commands`, and their commands, in the order of `--help`."""
EXIT_ERROR, EXIT_USAGE, EXIT_INPUT, EXIT_UNREACHABLE, EXIT_INTERRUPTED = 1, 2, 3, 5, 130


def make_parser(first_word: str = "") -> argparse.ArgumentParser:
    """The parser of all commands; of those of one module where the first word is a command."""
    parser = argparse.ArgumentParser(prog="photosite", description="Denoises camera raw files before demosaicing.")
    parser.add_argument("--version", action="version", version=f"photosite {training.__version__}")
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    named = [module for module, commands in MODULES.items() if first_word in commands]
    for module in named or MODULES:
        import_module(f"service.commands.{module}").add_parsers(subparsers)
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
    # numpy reads this when it is imported. Its matrices are small here: threads that wait for a share of them spin.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    words = sys.argv[1:] if argv is None else argv
    arguments = make_parser(*words[:1]).parse_args(words)
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
