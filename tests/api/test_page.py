"""The files of the map page: which bytes for which client, how long they are kept, and what there is without them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.wrappers import Response

from app import create_app
from tests.worlds import CYCLE, make_bucket, make_settings

SCRIPT = b"console.log('a page');\n" * 50
PAGE = b"<!doctype html><title>HABSIM</title>"
MISSIONS = b"<!doctype html><title>Missions</title>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    make_bucket(folder / "bucket", members=1)
    (folder / "dist" / "assets").mkdir(parents=True)
    (folder / "secret").write_text("not for anybody")
    for name, body in (("index.html", PAGE), ("missions.html", MISSIONS), ("assets/index-1a2b.js", SCRIPT)):
        path = folder / "dist" / name
        path.write_bytes(body)
        # What a build leaves there is given as it is: these need not be of the format.
        path.with_name(path.name + ".br").write_bytes(b"br:" + body)
        path.with_name(path.name + ".gz").write_bytes(b"gzip:" + body)
    (folder / "dist" / "assets" / "dot-3c4d.png").write_bytes(b"\x89PNG")
    return folder


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[FlaskClient]:
    yield create_app(make_settings(folder, bucket_folder=folder / "bucket"), folder / "dist").test_client()


def asked(client: FlaskClient, path: str, encodings: str = "") -> Response:
    with client.get(path, headers={"Accept-Encoding": encodings}) as response:
        assert response.data is not None
    return response


@pytest.mark.parametrize(("path", "page"), [("/", PAGE), ("/missions", MISSIONS)])
def test_each_page_is_at_its_address_and_is_asked_for_anew_each_time(
    client: FlaskClient, path: str, page: bytes
) -> None:
    response = asked(client, path)
    assert response.data == page
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-cache"
    with client.get(path, headers={"If-None-Match": response.headers["ETag"]}) as again:
        assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize(
    ("encodings", "used"),
    [("gzip, deflate, br", "br"), ("gzip", "gzip"), ("br;q=0, gzip", "gzip"), ("", None)],
)
def test_a_script_comes_as_the_build_compressed_it(client: FlaskClient, encodings: str, used: str | None) -> None:
    response = asked(client, "/page/assets/index-1a2b.js", encodings)
    assert response.headers.get("Content-Encoding") == used
    assert response.data == (f"{used}:".encode() if used else b"") + SCRIPT
    assert response.headers["Content-Type"].startswith("text/javascript")
    assert "Accept-Encoding" in response.headers["Vary"]
    assert "immutable" in response.headers["Cache-Control"]
    assert "attachment" not in response.headers.get("Content-Disposition", "")


def test_what_has_no_compressed_form_comes_as_it_is(client: FlaskClient) -> None:
    response = asked(client, "/page/assets/dot-3c4d.png", "br, gzip")
    assert response.data == b"\x89PNG"
    assert "Content-Encoding" not in response.headers


@pytest.mark.parametrize("path", ["/page/assets/other.js", "/page/../secret", "/page/%2e%2e/secret"])
def test_nothing_else_is_there(client: FlaskClient, path: str) -> None:
    response = asked(client, path, "br")
    assert response.status_code == 404
    assert b"not for anybody" not in response.data


def test_without_a_build_the_root_says_how_to_get_the_page(folder: Path, tmp_path: Path) -> None:
    settings = make_settings(tmp_path, bucket_folder=folder / "bucket")
    client = create_app(settings, tmp_path / "dist").test_client()
    text = asked(client, "/").get_data(as_text=True)
    assert "make page" in text
    assert CYCLE in text
    # As soon as it is built it is there, without a restart.
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "index.html").write_bytes(PAGE)
    assert asked(client, "/").data == PAGE


def test_the_page_and_its_files_need_the_login(folder: Path, tmp_path: Path) -> None:
    settings = make_settings(tmp_path, bucket_folder=folder / "bucket", password="x")  # noqa: S106
    client = create_app(settings, folder / "dist").test_client()
    for path in ("/", "/page/assets/index-1a2b.js"):
        response = asked(client, path)
        assert response.status_code in {302, 401}
        assert SCRIPT not in response.data
