"""What the one-command mode checks before it starts anything."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from service import embedded
from service.embedded import (
    Part,
    Supervisor,
    check_keyless,
    find_redis_server,
    is_loopback,
    listen,
    lock_folder,
    private_folder,
    redis_command,
    wheel_redis_server,
)
from service.settings import Settings
from training.errors import ConfigError, PhotositeError


def make_program(folder: Path, name: str) -> str:
    """A program that could be run."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_the_configured_server_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = make_program(tmp_path / "mine", "my-redis")
    make_program(tmp_path / "bin", "valkey-server")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert find_redis_server(Path(mine)) == mine


def test_valkey_on_the_path_wins_over_redis_and_both_over_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(embedded, "wheel_redis_server", lambda: "the wheel's")
    assert find_redis_server(None) == "the wheel's"
    redis_server = make_program(tmp_path / "bin", "redis-server")
    assert find_redis_server(None) == redis_server
    valkey_server = make_program(tmp_path / "bin", "valkey-server")
    assert find_redis_server(None) == valkey_server


def test_no_server_is_an_error_that_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(embedded, "wheel_redis_server", lambda: None)
    with pytest.raises(ConfigError, match="PHOTOSITE_REDIS_URL"):
        find_redis_server(None)


def test_a_configured_server_that_is_no_program_names_its_variable(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="PHOTOSITE_REDIS_SERVER"):
        find_redis_server(tmp_path / "nothing")


def test_the_wheel_carries_a_server() -> None:
    server = wheel_redis_server()
    assert server is not None
    assert os.access(server, os.X_OK)


def test_the_private_server_opens_no_tcp_port_and_loses_no_write(tmp_path: Path) -> None:
    command = redis_command("redis-server", tmp_path / "s.sock", tmp_path)
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--port"] == "0"
    assert (options["--appendonly"], options["--appendfsync"]) == ("yes", "always")
    assert options["--maxmemory-policy"] == "noeviction"


def test_a_port_in_use_is_one_clear_sentence() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} on 127.0.0.1 is in use"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize(("free", "said"), [(0, "is full: the Redis server"), (1 << 40, "^the Redis server")])
def test_a_server_that_ends_again_and_again_on_a_full_disk_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, said: str
) -> None:
    def give_up(_part: Part) -> None:
        raise PhotositeError("the Redis server ended 6 times within a minute; its log lines say why")

    monkeypatch.setattr(Part, "restart_if_ended", give_up)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: SimpleNamespace(free=free))
    supervisor = Supervisor(Settings(data_dir=tmp_path), "127.0.0.1", 0)
    supervisor._parts = [Part("the Redis server", [])]
    with pytest.raises(PhotositeError, match=said):
        supervisor._keep_alive()


def test_a_full_disk_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = iter([0, 0, 1 << 40])
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: SimpleNamespace(free=next(free)))
    supervisor = Supervisor(Settings(data_dir=tmp_path), "127.0.0.1", 0)
    supervisor._parts = [Part("the Redis server", [], crashes=[1.0] * 6)]
    supervisor._wait_for_room()
    assert supervisor._parts[0].crashes == [], "what happened before counts no more"
    assert next(free, None) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1.2.3", "::1"])
def test_loopback_needs_no_keys(host: str) -> None:
    assert is_loopback(host)
    check_keyless(Settings(require_keys=False), host)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])  # noqa: S104  (the point is that it is refused)
def test_an_address_that_others_reach_needs_keys(host: str) -> None:
    assert not is_loopback(host)
    check_keyless(Settings(require_keys=True), host)
    with pytest.raises(ConfigError, match="PHOTOSITE_REQUIRE_KEYS"):
        check_keyless(Settings(require_keys=False), host)


def test_a_data_folder_serves_one_at_a_time(tmp_path: Path) -> None:
    with lock_folder(tmp_path), pytest.raises(ConfigError, match="in use"):
        lock_folder(tmp_path)
    lock_folder(tmp_path).close()


def test_a_data_folder_that_cannot_be_made_names_its_variable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="PHOTOSITE_DATA_DIR"):
        lock_folder(tmp_path / "file" / "data")


def test_the_private_folder_is_short_private_and_the_same_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = private_folder(tmp_path / ("long" * 40))
    assert folder == private_folder(tmp_path / ("long" * 40)) != private_folder(tmp_path / "other")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(folder.name) < 40
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{folder}/s")


def test_a_private_folder_that_others_can_enter_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    private_folder(tmp_path).chmod(0o755)
    with pytest.raises(ConfigError, match="not a private folder"):
        private_folder(tmp_path)
