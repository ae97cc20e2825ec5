"""What the file commands print of one file: a result, or one line that names file, error code and reason."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from training.errors import PhotositeError

if TYPE_CHECKING:
    from pathlib import Path

EXIT_INPUT, EXIT_PARTLY = 3, 4


@dataclass(frozen=True, slots=True)
class FileResult:
    """How one file of a batch ended."""

    file: Path
    output: Path | None = None
    report: dict[str, Any] = field(default_factory=dict)
    error: dict[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        if self.error:
            return {"file": str(self.file), "error": self.error}
        output = {} if self.output is None else {"output": str(self.output)}
        return {"file": str(self.file), **output, **self.report}


def print_failure(file: Path, error: PhotositeError | OSError) -> FileResult:
    """Print the one line, and keep it for --json."""
    code = error.code if isinstance(error, PhotositeError) else "file_error"
    reason = error.message if isinstance(error, PhotositeError) else f"{error.strerror or error}"
    print(f"photosite: {file}: {code}: {reason}", file=sys.stderr)
    return FileResult(file, error={"code": code, "message": reason})
