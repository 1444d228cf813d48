"""One application per test module, on a small bucket of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from tests.worlds import make_bucket, make_settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the module's application keeps its bucket and data."""
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="module")
def app(folder: Path) -> Flask:
    """The application on one cycle of three uniform winds: member m blows (10 + m, 5) m/s; flat ground at 0 m."""
    make_bucket(folder / "bucket")
    return create_app(make_settings(folder, bucket_folder=folder / "bucket"), page_folder=folder / "page")


@pytest.fixture
def client(app: Flask) -> Iterator[FlaskClient]:
    with app.test_client() as client:
        yield client


@pytest.fixture
def another_app(tmp_path: Path) -> Callable[..., Flask]:
    """Builds an application with other settings, on an own bucket with `members` members (0: an empty one)."""

    def build(members: int = 1, **settings: Any) -> Flask:
        if members:
            make_bucket(tmp_path / "bucket", members=members)
        values = make_settings(tmp_path, bucket_folder=tmp_path / "bucket", **settings)
        return create_app(values, page_folder=tmp_path / "page")

    return build
