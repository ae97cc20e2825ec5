"""What the file commands print of one file: a result, or one line that names file, error code and reason."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from training.errors import PhotositeError, RawError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

EXIT_ERROR, EXIT_INPUT, EXIT_PARTLY = 1, 3, 4


@dataclass(frozen=True, slots=True)
class FileResult:
    """How one file of a batch ended."""

    file: Path
    output: Path | None = None
    report: dict[str, Any] = field(default_factory=dict)
    error: PhotositeError | None = None
    skipped: bool = False
    """Done before."""
    seconds: float = 0.0
    """That it took."""

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        if self.error:
            return {"file": str(self.file), "error": {"code": self.error.code, "message": self.error.message}}
        output = {} if self.output is None else {"output": str(self.output)}
        skipped = {"skipped": True} if self.skipped else {}
        return {"file": str(self.file), **output, **skipped, **self.report}


def print_failure(file: Path, error: PhotositeError) -> FileResult:
    """Print the one line, and keep it for --json."""
    print(f"photosite: {file}: {error.code}: {error.message}", file=sys.stderr)
    return FileResult(file, error=error)


def exit_code(results: Sequence[FileResult]) -> int:
    """How a batch ended: 4 where some files failed; where all did, 3 if the files are at fault, else 1."""
    errors = [result.error for result in results if result.error]
    if not errors:
        return 0
    if len(errors) < len(results):
        return EXIT_PARTLY
    return EXIT_INPUT if all(isinstance(error, RawError) for error in errors) else EXIT_ERROR
