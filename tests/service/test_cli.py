"""The command line's exit codes, and how little it loads before it knows what to do."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from service.cli import MODULES, exit_code, main, make_parser
from service.commands import serving
from service.errors import InvalidRequestError, QueueFullError, ServerUnreachableError
from training.errors import AlreadyDenoisedError, ConfigError, ModelError, PhotositeError, UnreadableRawError

if TYPE_CHECKING:
    import argparse
    from pathlib import Path


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnreadableRawError("cut off"), 3),
        (AlreadyDenoisedError("already"), 3),
        (ConfigError("bad"), 2),
        (ModelError("there is none"), 2),
        (InvalidRequestError("there is none"), 2),
        (ServerUnreachableError("refused"), 5),
        (QueueFullError("later"), 1),
        (PhotositeError("other"), 1),
    ],
)
def test_exit_codes_say_whose_fault_it_is(error: PhotositeError, code: int) -> None:
    assert exit_code(error) == code


def run_raising(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a command that raises."""

    def fail(_arguments: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr(serving, "run_api", fail)
    return main(["api"])


def test_an_error_is_one_line_with_its_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_raising(ConfigError("PHOTOSITE_X: bad"), monkeypatch) == 2
    assert capsys.readouterr().err == "photosite: invalid_configuration: PHOTOSITE_X: bad\n"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_alone_adds_just_the_commands_that_are_said_to_be_its(module: str) -> None:
    for command in MODULES[module]:
        usage = make_parser(command).format_usage()
        assert "{" + ",".join(MODULES[module]) + "}" in usage.replace("\n", "").replace(" ", "") or "COMMAND" in usage
        with pytest.raises(SystemExit) as caught:
            main([command, "--help"])
        assert caught.value.code == 0


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_raising(KeyboardInterrupt(), monkeypatch) == 130


def test_wrong_usage_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["no-such-command"])
    assert caught.value.code == 2
    assert "no-such-command" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["65536", "99999", "-1", "http"])
def test_a_port_that_cannot_be_is_wrong_usage(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["serve", "--port", port])
    assert caught.value.code == 2
    assert "--port" in capsys.readouterr().err


def test_a_bad_setting_is_2_and_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PHOTOSITE_LEASE_S", "-1")
    assert main(["worker"]) == 2
    assert "PHOTOSITE_LEASE_S" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["serve", "api"])
def test_a_port_in_use_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("PHOTOSITE_DATA_DIR", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        program = [sys.executable, "-m", "service", command, "--port", port]
        run = subprocess.run(program, capture_output=True, text=True, timeout=30, check=False)
    assert run.returncode == 2
    assert (
        run.stderr
        == f"photosite: invalid_configuration: port {port} on 127.0.0.1 is in use; choose another with --port\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_leaves_early_gets_no_traceback() -> None:
    command = f"{sys.executable} -m service models show photosite | head -c 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)  # noqa: S602
    assert (done.stdout, done.stderr) == ("{", "")
