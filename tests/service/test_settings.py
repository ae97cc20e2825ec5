"""Settings: read once, checked at the start, all of them documented."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from service.settings import Settings, load_settings
from training.errors import ConfigError

README = Path(__file__).resolve().parents[2] / "service" / "README.md"


def test_the_environment_sets_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOSITE_LEASE_S", "7.5")
    assert load_settings().lease_s == 7.5


def test_an_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PHOTOSITE_DATA_DIR", "/elsewhere")
    assert load_settings(data_dir=tmp_path).data_dir == tmp_path
    assert load_settings(data_dir=None).data_dir == Path("/elsewhere")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PHOTOSITE_MAX_UPLOAD_BYTES", "0"),
        ("PHOTOSITE_LEASE_S", "soon"),
        ("PHOTOSITE_LEASE_RENEWAL_S", "10"),
        ("PHOTOSITE_REDIS_URL", "http://localhost"),
        ("PHOTOSITE_DEVICE", "abacus"),
        ("PHOTOSITE_BLOBS_URL", "https://bucket"),
        ("PHOTOSITE_BLOBS_URL", "s3://"),
        ("PHOTOSITE_BLOBS_URL", "s3://Bucket_/a"),
        ("PHOTOSITE_BLOBS_URL", "s3://bucket//a"),
        ("PHOTOSITE_S3_ENDPOINT_URL", "minio:9000"),
        ("PHOTOSITE_S3_CACHE_BYTES", "0"),
        ("PHOTOSITE_WEBHOOK_ALLOW_PRIVATE", "perhaps"),
        ("PHOTOSITE_WORKER_METRICS_PORT", "65536"),
        ("PHOTOSITE_API_METRICS_PORT", "-1"),
        ("PHOTOSITE_ROOT_PATH", "/photosite/"),
    ],
)
def test_a_bad_value_names_its_variable(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=variable) as caught:
        load_settings()
    assert value in caught.value.message


def test_a_lease_outlasts_its_renewal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOSITE_LEASE_S", "2")
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert caught.value.message == (
        "PHOTOSITE_LEASE_RENEWAL_S: wanted less than PHOTOSITE_LEASE_S (2), or every lease lapses before it (got 3)"
    )


@pytest.mark.parametrize("secret", ["hunter2", "whsec_aHVudGVyMg=="])
def test_a_bad_secret_is_refused_without_being_shown(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv("PHOTOSITE_WEBHOOK_SECRET", secret)
    with pytest.raises(ConfigError, match="PHOTOSITE_WEBHOOK_SECRET: wanted whsec_") as caught:
        load_settings()
    shown = "".join(traceback.format_exception(caught.value))
    assert secret not in shown
    assert secret not in caught.value.detail


@pytest.mark.parametrize(
    ("url", "kept"), [("s3://bucket", "s3://bucket"), ("s3://my.bucket-1/a/b/", "s3://my.bucket-1/a/b")]
)
def test_a_bucket_is_named_with_or_without_a_prefix(monkeypatch: pytest.MonkeyPatch, url: str, kept: str) -> None:
    monkeypatch.setenv("PHOTOSITE_BLOBS_URL", url)
    assert load_settings().blobs_url == kept


def test_only_a_server_address_that_was_given_counts_as_given(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "redis_url" not in load_settings().model_fields_set
    monkeypatch.setenv("PHOTOSITE_REDIS_URL", "redis://127.0.0.1:6379/0")
    assert "redis_url" in load_settings().model_fields_set


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_the_readme_describes_every_setting(name: str) -> None:
    field = Settings.model_fields[name]
    assert f"| `PHOTOSITE_{name.upper()}` | " in README.read_text(encoding="utf-8")
    assert " ".join((field.description or "?").split()) in README.read_text(encoding="utf-8")
    if isinstance(field.default, int | float | str):
        assert f"| `PHOTOSITE_{name.upper()}` | `{field.default}` |" in README.read_text(encoding="utf-8")


def test_a_file_stands_in_for_a_variable_and_the_variable_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("service.settings.SECRETS_DIR", tmp_path)
    (tmp_path / "photosite_redis_url").write_text("redis://:secret@redis:6379/0\n", encoding="utf-8")
    assert load_settings().redis_url == "redis://:secret@redis:6379/0"
    monkeypatch.setenv("PHOTOSITE_REDIS_URL", "redis://elsewhere")
    assert load_settings().redis_url == "redis://elsewhere"


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOSITE_BLOBS_URL", "")
    assert load_settings().blobs_url is None
