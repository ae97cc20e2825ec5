"""A test file that cannot be imported has to fail, not to vanish."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent


def test_a_test_file_that_cannot_be_imported_is_an_error(tmp_path: Path) -> None:
    shutil.copy(TESTS / "conftest.py", tmp_path)
    (tmp_path / "test_broken.py").write_text("import there_is_no_such_module\n\n\ndef test_it(): pass\n", "utf-8")
    settings = ["-c", str(TESTS.parent / "pyproject.toml"), "--rootdir", str(tmp_path), "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-q", *settings, str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == pytest.ExitCode.INTERRUPTED, run.stdout
    assert "there_is_no_such_module" in run.stdout
