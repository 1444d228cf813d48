"""Settings come from the environment under documented names, and a wrong one stops the start with its name."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from settings import Settings, read_settings

NAMES = {name: str(info.validation_alias) for name, info in Settings.model_fields.items()}

# Those that architecture.md fixes and this program has, with a value for each.
GIVEN = {
    "PORT": "8123",
    "SECRET_KEY": "0123456789abcdef",
    "HABSIM_PASSWORD": "balloon",
    "HABSIM_DATA_DIR": "/srv/habsim",
    "HABSIM_BUCKET_DIR": "/srv/winds",
    "S3_BUCKET_NAME": "winds",
    "S3_ENDPOINT_URL": "https://store.example.org",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "token",
    "AWS_REGION": "eu-central-1",
    "HABSIM_ELEVATION": "/srv/worldelev.npy",
    "HABSIM_WEB_WORKERS": "2",
    "HABSIM_WEB_THREADS": "16",
    "HABSIM_MAX_ENSEMBLES": "5",
    "HABSIM_ENSEMBLE_WAIT": "1.5",
    "HABSIM_CACHE_PREDICTIONS": "10",
    "HABSIM_CACHE_SECONDS": "60",
    "HABSIM_CACHE_FILES": "50",
    "HABSIM_CACHE_GB": "100",
    "HABSIM_PREFETCH": "all",
    "HABSIM_PREFETCH_MBPS": "5.5",
    "HABSIM_REFRESH_SECONDS": "30",
    "HABSIM_CORS_ORIGINS": "https://example.org",
    "HABSIM_HOST": "0.0.0.0",
    "HABSIM_NOAA_SOURCE": "nomads",
    "HABSIM_NOAA_URL": "https://mirror.example.org",
    "DATABASE_URL": "postgresql://habsim:secret@database/habsim",
    "HABSIM_ADMIN_USERNAME": "admin",
    "HABSIM_ADMIN_PASSWORD": "hidden-password",
    "HABSIM_TRUSTED_PROXIES": "1",
    "HABSIM_REGISTRATION": "closed",
    "HABSIM_JOB_WORKERS": "2",
    "HABSIM_JOB_LEASE": "5",
    "HABSIM_JOB_ATTEMPTS": "3",
    "HABSIM_MAX_QUEUED": "10",
    "HABSIM_DASK_SCHEDULER": "tcp://scheduler:8786",
}


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES.values():
        monkeypatch.delenv(name, raising=False)


def test_every_setting_has_a_name_in_the_environment_and_a_description() -> None:
    for name, info in Settings.model_fields.items():
        assert info.description, name
        assert isinstance(info.validation_alias, str), name
        assert re.fullmatch(r"[A-Z][A-Z0-9_]+", info.validation_alias), name
    assert len(set(NAMES.values())) == len(NAMES)


def test_every_setting_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = Settings()
    for name, alias in NAMES.items():
        assert alias in GIVEN, f"give {alias} a value in this test"
        monkeypatch.setenv(alias, GIVEN[alias])
        assert getattr(Settings(), name) != getattr(defaults, name), alias
    settings = Settings()
    assert (settings.port, settings.data_dir, settings.web_threads) == (8123, Path("/srv/habsim"), 16)
    assert (settings.max_ensembles, settings.ensemble_wait_seconds) == (5, 1.5)
    assert settings.bucket_dir == Path("/srv/winds")


def test_everything_has_a_default() -> None:
    settings = Settings()
    assert settings.port == 8000
    assert (settings.web_workers, settings.web_threads, settings.max_ensembles) == (4, 8, 3)
    assert settings.bucket_dir == Path("data/bucket")
    assert settings.elevation is None
    assert settings.secret_key is None


def test_bucket_is_in_the_data_folder_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HABSIM_DATA_DIR", "/srv/habsim")
    assert Settings().bucket_dir == Path("/srv/habsim/bucket")


def test_empty_variable_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    for alias in NAMES.values():
        monkeypatch.setenv(alias, "")
    assert Settings() == Settings.model_construct()


WRONG = [
    ("PORT", "0", "greater than or equal to 1"),
    ("PORT", "65536", "less than or equal to 65535"),
    ("PORT", "http", "valid integer"),
    ("SECRET_KEY", "short", "at least 16"),
    ("S3_ENDPOINT_URL", "store.example.org", "match pattern"),
    ("HABSIM_NOAA_SOURCE", "ecmwf", "'aws' or 'nomads'"),
    ("HABSIM_NOAA_URL", "mirror.example.org", "match pattern"),
    ("HABSIM_WEB_WORKERS", "0", "greater than or equal to 1"),
    ("HABSIM_WEB_WORKERS", "2.5", "valid integer"),
    ("HABSIM_WEB_THREADS", "3", "greater than or equal to 4"),
    ("HABSIM_WEB_THREADS", "257", "less than or equal to 256"),
    ("HABSIM_MAX_ENSEMBLES", "0", "greater than or equal to 1"),
    ("HABSIM_ENSEMBLE_WAIT", "-1", "greater than or equal to 0"),
    ("HABSIM_ENSEMBLE_WAIT", "601", "less than or equal to 600"),
    ("HABSIM_ENSEMBLE_WAIT", "nan", ""),
    ("HABSIM_CACHE_PREDICTIONS", "0", "greater than or equal to 1"),
    ("HABSIM_CACHE_SECONDS", "0", "greater than or equal to 1"),
    ("HABSIM_REFRESH_SECONDS", "0", "greater than or equal to 1"),
    ("HABSIM_REFRESH_SECONDS", "nan", ""),
    ("HABSIM_REFRESH_SECONDS", "five", "valid number"),
    ("HABSIM_JOB_LEASE", "0.5", "greater than or equal to 1"),
    ("HABSIM_JOB_ATTEMPTS", "0", "greater than or equal to 1"),
    ("HABSIM_DASK_SCHEDULER", "scheduler:8786", "match pattern"),
]


WRONG += [
    ("DATABASE_URL", url, "it must be postgresql://user:password@host/name")
    for url in (
        "mysql://x/y", "nonsense", "sqlite:///x", "postgresql://u:hidden@host:5x/y", "postgresql://a:s3/cr@t#hidden@host/x",
        "postgresql://ann:a@hidden@host/x", "postgresql://ann:#hidden@host/x", "postgresql://ann:hid:den@host/x",
    )
]  # fmt: skip


@pytest.mark.parametrize(("alias", "value", "limit"), WRONG)
def test_wrong_value_is_refused_with_its_name_and_limit(
    monkeypatch: pytest.MonkeyPatch, alias: str, value: str, limit: str
) -> None:
    monkeypatch.setenv(alias, value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    text = str(caught.value)
    assert alias in text
    assert limit in text
    assert "hid" not in text


@pytest.mark.parametrize(
    "url",
    ["postgresql://u:p%40@db.example.org:5432/habsim", "postgres://u@localhost/x", "postgresql://u:p@[::1]:5432/x",
     "postgresql+psycopg:///x?host=/run/postgresql", "postgresql://host"],
)  # fmt: skip
def test_addresses_of_postgresql_are_taken(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    found = Settings().database_url
    assert found is not None
    assert found.get_secret_value() == url


def test_secrets_do_not_show_when_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "0123456789abcdef")
    monkeypatch.setenv("HABSIM_PASSWORD", "balloon")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "hidden-token")
    monkeypatch.setenv("HABSIM_ADMIN_PASSWORD", "hidden-password")
    monkeypatch.setenv("DATABASE_URL", "postgresql://habsim:hidden-password@database/habsim")
    settings = Settings()
    assert "hidden-" not in f"{settings!r}{settings}"
    assert "0123456789abcdef" not in f"{settings!r}{settings}"
    assert "balloon" not in f"{settings!r}{settings}"
    assert isinstance(settings.password, SecretStr)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1  # type: ignore[misc]


def test_unknown_variables_are_no_concern(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HABSIM_SOMETHING_ELSE", "1")
    assert os.environ["HABSIM_SOMETHING_ELSE"] == "1"
    Settings()


def test_but_programs_say_which_they_do_not_know(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HABSIM_JOB_WORKER", "3")
    monkeypatch.setenv("HABSIM_JOB_WORKERS", "2")
    assert read_settings().job_workers == 2
    assert "HABSIM_JOB_WORKER is no setting; is HABSIM_JOB_WORKERS meant?" in capsys.readouterr().err
    monkeypatch.delenv("HABSIM_JOB_WORKER")
    read_settings()
    assert "HABSIM_JOB" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("PORT", "70000", "PORT is '70000': "),
        ("SECRET_KEY", "hunter2", "SECRET_KEY: "),
        ("HABSIM_PREFETCH", "x", "'x'"),
    ],
)
def test_a_program_ends_with_what_is_wrong_and_says_no_secret(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as caught:
        read_settings()
    assert told in str(caught.value)
    assert "hunter2" not in str(caught.value)
