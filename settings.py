"""The settings of HABSIM, read once from the environment and checked at the start."""

from __future__ import annotations

import difflib
import os
import re
import sys
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

_POSTGRESQL = re.compile(
    r"(postgresql|postgres)(\+psycopg)?://([^/@#?:]*(:[^/@#?:]*)?@)?([A-Za-z0-9._%-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?(/|$)"
)


class Settings(BaseSettings):
    """One field per environment variable; the README lists them."""

    # Inputs may be secrets.
    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True, extra="ignore", hide_input_in_errors=True)

    port: int = Field(8000, ge=1, le=65535, validation_alias="PORT", description="port of the web server")
    host: str = Field("127.0.0.1", validation_alias="HABSIM_HOST", description="address to serve; `0.0.0.0` is all")
    secret_key: SecretStr | None = Field(
        None,
        min_length=16,
        validation_alias="SECRET_KEY",
        description="signs sessions and tokens; without it one is made and kept in the data folder",
    )
    password: SecretStr | None = Field(
        None, validation_alias="HABSIM_PASSWORD", description="when set, the page and every route need a login"
    )
    data_dir: Path = Field(Path("data"), validation_alias="HABSIM_DATA_DIR", description="folder for all files kept")
    bucket_folder: Path | None = Field(
        None,
        validation_alias="HABSIM_BUCKET_DIR",
        description="folder with wind files, only read; default `bucket` in the data folder",
    )
    s3_bucket_name: str | None = Field(
        None,
        validation_alias="S3_BUCKET_NAME",
        description="bucket on S3 (AWS, R2 or any other store) in the place of the folder",
    )
    s3_endpoint_url: str | None = Field(
        None,
        pattern=r"^https?://[^/]",
        validation_alias="S3_ENDPOINT_URL",
        description="address of a store that is not AWS, for example `https://ACCOUNT.r2.cloudflarestorage.com`",
    )
    aws_access_key_id: str | None = Field(
        None,
        validation_alias="AWS_ACCESS_KEY_ID",
        description="key for the store; without it the role of the machine",
    )
    aws_secret_access_key: SecretStr | None = Field(
        None, validation_alias="AWS_SECRET_ACCESS_KEY", description="secret of that key"
    )
    aws_session_token: SecretStr | None = Field(
        None, validation_alias="AWS_SESSION_TOKEN", description="only with a temporary key"
    )
    aws_region: str = Field("us-east-1", validation_alias="AWS_REGION", description="region of the bucket on AWS")
    elevation: Path | None = Field(
        None,
        validation_alias="HABSIM_ELEVATION",
        description="ground elevation file; default `worldelev.npy` of the bucket, else the embedded one",
    )
    web_workers: int = Field(4, ge=1, le=64, validation_alias="HABSIM_WEB_WORKERS", description="web processes")
    web_threads: int = Field(
        8, ge=4, le=256, validation_alias="HABSIM_WEB_THREADS", description="threads in each web process"
    )
    max_ensembles: int = Field(
        3,
        ge=1,
        le=64,
        validation_alias="HABSIM_MAX_ENSEMBLES",
        description="ensembles of `/sim` that run at once on a machine; each worker flies two more",
    )
    ensemble_wait_seconds: float = Field(
        30.0,
        ge=0,
        le=600,
        validation_alias="HABSIM_ENSEMBLE_WAIT",
        description="seconds a further ensemble waits for its turn before it gets 429",
    )
    cached_predictions: int = Field(
        200, ge=1, le=100_000, validation_alias="HABSIM_CACHE_PREDICTIONS", description="ensemble results kept"
    )
    prediction_seconds: int = Field(
        3600, ge=1, validation_alias="HABSIM_CACHE_SECONDS", description="seconds an ensemble result is kept"
    )
    cache_files: int = Field(
        30, ge=1, le=10_000, validation_alias="HABSIM_CACHE_FILES", description="wind files of S3 kept on disk"
    )
    cache_gb: float = Field(
        20.0, gt=0, le=100_000, validation_alias="HABSIM_CACHE_GB", description="GB of wind files of S3 kept on disk"
    )
    prefetch: Literal["off", "used", "all"] = Field(
        "used",
        validation_alias="HABSIM_PREFETCH",
        description="wind files of S3 that are completed in the background: `off`, those `used`, or `all` of a cycle",
    )
    prefetch_mb_per_second: float = Field(
        20.0, gt=0, le=10_000, validation_alias="HABSIM_PREFETCH_MBPS", description="MB/s at most for that"
    )
    refresh_seconds: float = Field(
        300.0, ge=1, validation_alias="HABSIM_REFRESH_SECONDS", description="seconds between looks for a new cycle"
    )
    cors_origins: str = Field(
        "*", validation_alias="HABSIM_CORS_ORIGINS", description="origins whose pages may call the API, by comma"
    )
    noaa_source: Literal["aws", "nomads"] = Field(
        "aws",
        validation_alias="HABSIM_NOAA_SOURCE",
        description="where the downloader gets forecasts: `aws` is the public bucket of NOAA, `nomads` its own server",
    )
    noaa_url: str | None = Field(
        None,
        pattern=r"^https?://[^/]",
        validation_alias="HABSIM_NOAA_URL",
        description="address of a mirror of that source",
    )

    database_url: SecretStr | None = Field(
        None,
        validation_alias="DATABASE_URL",
        description="accounts and jobs on PostgreSQL, as `postgresql://user:password@host/name`; "
        "without it `missions.sqlite` in the data folder",
    )
    admin_username: str | None = Field(
        None,
        max_length=50,
        validation_alias="HABSIM_ADMIN_USERNAME",
        description="an administrator that is made at the start where there is none of the name",
    )
    admin_password: SecretStr | None = Field(
        None, validation_alias="HABSIM_ADMIN_PASSWORD", description="password that this one begins with"
    )
    registration: Literal["open", "closed"] = Field(
        "open",
        validation_alias="HABSIM_REGISTRATION",
        description="`closed`: only administrators make accounts",
    )
    trusted_proxies: int = Field(
        0,
        ge=0,
        le=10,
        validation_alias="HABSIM_TRUSTED_PROXIES",
        description="proxies in front, whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed",
    )
    job_workers: int = Field(
        1, ge=0, le=64, validation_alias="HABSIM_JOB_WORKERS", description="worker processes that `make run` starts"
    )
    job_lease_seconds: float = Field(
        20.0,
        ge=1,
        le=3600,
        validation_alias="HABSIM_JOB_LEASE",
        description="seconds after which the job of a worker that is not heard of goes to another",
    )
    job_attempts: int = Field(
        5,
        ge=1,
        le=100,
        validation_alias="HABSIM_JOB_ATTEMPTS",
        description="times that a job may end its worker, or find a file damaged, and come no further, before it fails",
    )
    max_queued_jobs: int = Field(
        1000, ge=1, le=1_000_000, validation_alias="HABSIM_MAX_QUEUED", description="jobs of one user that may wait"
    )
    dask_scheduler: str | None = Field(
        None,
        pattern=r"^(tcp|tls|ws|wss|inproc)://[^/]",
        validation_alias="HABSIM_DASK_SCHEDULER",
        description="address of a Dask cluster that computes the jobs, as `tcp://host:8786`; without it this machine",
    )

    @field_validator("database_url")
    @classmethod
    def _is_an_address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _POSTGRESQL.match(value.get_secret_value()):
            raise ValueError(
                "it must be postgresql://user:password@host/name; @ : / # ? in a password are %40 %3A %2F %23 %3F"
            )
        return value

    @property
    def bucket_dir(self) -> Path:
        return self.bucket_folder or self.data_dir / "bucket"


def read_settings() -> Settings:
    """The settings of the environment. Ends the program with a sentence for each that is wrong.

    Says which names it does not know: one that is misspelt would be taken for left out.
    """
    known = {str(field.validation_alias) for field in Settings.model_fields.values()}
    for name in sorted(os.environ.keys() - known):
        if name.startswith("HABSIM_"):
            near = difflib.get_close_matches(name, known, n=1)
            sys.stderr.write(f"{name} is no setting{f'; is {near[0]} meant?' if near else ''}\n")
    try:
        return Settings()
    except ValidationError as error:
        raise SystemExit("\n".join(map(_sentence, error.errors(include_url=False)))) from None


def _sentence(error: ErrorDetails) -> str:
    name = str(error["loc"][0]) if error["loc"] else "the settings"
    fields = Settings.model_fields.values()
    is_secret = any(field.validation_alias == name and "SecretStr" in str(field.annotation) for field in fields)
    value = "" if is_secret else f" is {error['input']!r}"
    return f"{name}{value}: {error['msg']}"
