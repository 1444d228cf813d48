"""With a password nothing is open that should not be; without one everything is."""

from __future__ import annotations

import re
import stat
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from itsdangerous import TimestampSigner, URLSafeTimedSerializer
from werkzeug.test import TestResponse

from app import create_app
from missions.tokens import TOKEN_SECONDS
from tests.asking import error_text, single, tawhiri, url
from tests.worlds import make_bucket, make_settings

PASSWORD = "correct horse \N{BALLOON}"
KEY = "0123456789abcdef" * 2
OPEN = {"/login", "/logout", "/health", "/ready", "/static/<path:filename>", "/api/v1/auth/login"}
HTML = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
DAY = 24 * 3600


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """The service with a password."""
    folder = tmp_path_factory.mktemp("locked")
    make_bucket(folder / "bucket", members=1)
    values = make_settings(folder, bucket_folder=folder / "bucket", password=PASSWORD, secret_key=KEY)
    return create_app(values, page_folder=folder / "page")


def sign_in(client: FlaskClient, password: str = PASSWORD, target: str | None = None) -> TestResponse:
    address = "/login" if target is None else f"/login?next={quote(target, safe='')}"
    return client.post(address, data={"password": password})


def token(client: FlaskClient, password: str = PASSWORD) -> str:
    body = client.post("/login", json={"password": password}).json
    assert body is not None
    return str(body["token"])


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def pass_time(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _: int(time.time() + seconds))


class TestLocked:
    def test_no_route_is_left_open(self, app: Flask) -> None:
        """Every rule with every method that it takes, but a preflight."""
        asked = 0
        for rule in app.url_map.iter_rules():
            if rule.rule in OPEN:
                continue
            address = re.sub(r"<uuid:[^>]+>", "00000000-0000-0000-0000-000000000000", rule.rule)
            address = re.sub(r"<[^>]+>", "css/swagger-ui.css", address)
            for method in (rule.methods or set()) - {"OPTIONS"}:
                response = app.test_client().open(address, method=method)
                assert response.status_code == 401, (method, address)
                assert response.headers["WWW-Authenticate"].startswith("Bearer")
                if method != "HEAD":
                    assert "/login" in response.text
                asked += 1
        assert asked > 30

    def test_what_is_open_gives_nothing_away(self, app: Flask) -> None:
        client = app.test_client()
        assert {rule.rule for rule in app.url_map.iter_rules()} > OPEN
        assert client.get("/health").json == {"status": "ok"}
        assert client.get("/ready").status_code == 200
        with client.get("/static/style.css") as style:
            assert style.status_code == 200
        assert client.get("/login").status_code == 200

    @pytest.mark.parametrize("path", ["/nowhere", "/static", "/api/v2/", "/sim/singlezpb/x", "/%00"])
    def test_not_even_what_is_not_there(self, app: Flask, path: str) -> None:
        assert app.test_client().get(path).status_code == 401

    def test_the_tawhiri_route_refuses_in_its_own_shape(self, app: Flask) -> None:
        response = app.test_client().get(url("/api/v1/", tawhiri()))
        assert response.status_code == 401
        assert response.json["error"]["type"] == "RequestException"  # type: ignore[index]

    def test_a_browser_is_sent_to_the_login_and_back(self, app: Flask) -> None:
        client = app.test_client()
        response = client.get(single(), headers=HTML)
        assert response.status_code == 302
        location = response.headers["Location"]
        assert location.startswith("/login?next=")
        back = client.post(location, data={"password": PASSWORD})
        assert back.headers["Location"] == single()
        assert client.get(single(), headers=HTML).status_code == 200

    def test_only_what_a_browser_opens_is_sent_to_the_login(self, app: Flask) -> None:
        for accept in ("*/*", "application/json", "application/json, text/html;q=0.9", ""):
            assert app.test_client().get(single(), headers={"Accept": accept}).status_code == 401
        assert app.test_client().post("/sim/refresh", headers=HTML).status_code == 401

    def test_a_preflight_passes_and_tells_nothing(self, app: Flask) -> None:
        """A browser sends it without credentials, before a request that carries the token."""
        asked = {
            "Origin": "https://map.example",
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "authorization",
        }
        response = app.test_client().options("/sim/singlezpb", headers=asked)
        assert response.status_code == 200
        assert response.headers["Access-Control-Allow-Headers"] == "authorization"
        assert response.data == b""

    def test_refusals_may_be_read_from_other_pages(self, app: Flask) -> None:
        response = app.test_client().get("/sim/which", headers={"Origin": "https://map.example"})
        assert response.headers["Access-Control-Allow-Origin"] in {"*", "https://map.example"}


class TestSession:
    def test_the_right_password_opens_all(self, app: Flask) -> None:
        client = app.test_client()
        response = sign_in(client)
        assert response.status_code == 302
        assert response.headers["Location"] == "/"
        for path in ("/", "/docs", "/openapi.json", "/metrics", "/sim/which", single(), url("/api/v1/", tawhiri())):
            assert client.get(path).status_code == 200, path

    @pytest.mark.parametrize(
        "password", ["", "wrong", PASSWORD + " ", PASSWORD.upper(), PASSWORD[:-1], "x" * 10000, "\x00"]
    )
    def test_a_wrong_one_does_not(self, app: Flask, password: str) -> None:
        client = app.test_client()
        response = sign_in(client, password)
        assert response.status_code == 401
        assert "That is not the password" in response.text
        assert "Set-Cookie" not in response.headers
        assert client.get("/sim/which").status_code == 401
        refused = client.post("/login", json={"password": password})
        assert refused.status_code == 401
        assert refused.json == {"error": "wrong password", "details": None}

    def test_the_cookie_is_kept_from_scripts_and_other_sites(self, app: Flask) -> None:
        cookie = sign_in(app.test_client()).headers["Set-Cookie"]
        attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert {"httponly", "samesite=lax", "path=/"} <= attributes
        assert any(attribute.startswith("expires=") for attribute in attributes)
        assert "correct" not in cookie

    def test_logout_ends_it(self, app: Flask) -> None:
        client = app.test_client()
        sign_in(client)
        response = client.get("/logout")
        assert response.status_code == 302
        assert response.headers["Location"] == "/login"
        assert client.get("/sim/which").status_code == 401

    def test_no_answer_that_was_under_way_at_the_logout_brings_it_back(self, app: Flask) -> None:
        client = app.test_client()
        sign_in(client)
        response = client.get("/sim/which")
        assert response.status_code == 200
        assert "Set-Cookie" not in response.headers

    def test_it_ends_after_a_week(self, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
        client = app.test_client()
        sign_in(client)
        cookie = client.get_cookie("session")
        assert cookie is not None
        for seconds, status in ((7 * DAY - 60, 200), (7 * DAY + 60, 401)):
            later = app.test_client()
            later.set_cookie("session", cookie.value)
            pass_time(monkeypatch, seconds)
            assert later.get("/sim/which").status_code == status

    def test_a_forged_one_is_refused(self, app: Flask) -> None:
        client = app.test_client()
        sign_in(client)
        cookie = client.get_cookie("session")
        assert cookie is not None
        for forged in (cookie.value[:-2] + "xx", "e30.x.y", "eyJzaWduZWRfaW4iOnRydWV9", "", "." * 100, "\x00"):
            stranger = app.test_client()
            stranger.set_cookie("session", forged)
            assert stranger.get("/sim/which").status_code == 401

    @pytest.mark.parametrize(
        "target",
        [
            "https://evil.example/", "//evil.example/", "/\\evil.example", "\\\\evil.example", "http:evil.example",
            "evil.example", "/\t/evil.example", "\t//evil.example", "/\n/evil.example", " //evil.example",
            "javascript:alert(1)",
            "", "?", "@evil.example", ".evil.example", "https:/evil.example", "///evil.example",
        ],
    )  # fmt: skip
    def test_the_login_sends_nobody_elsewhere(self, app: Flask, target: str) -> None:
        location = sign_in(app.test_client(), target=target).headers["Location"]
        # What a browser makes of it: it drops tabs and line ends, and takes a backslash for a slash.
        seen = re.sub(r"[\t\r\n]", "", location).replace("\\", "/").strip()
        assert re.match(r"/(?!/)", seen), location
        assert "\t" not in location
        assert "\n" not in location

    def test_the_login_leads_back_to_a_path_of_ours(self, app: Flask) -> None:
        for target in ("/", "/docs", single(), "/sim/which?x=1"):
            assert sign_in(app.test_client(), target=target).headers["Location"] == target


class TestToken:
    def test_json_gets_one_that_opens_all(self, app: Flask) -> None:
        response = app.test_client().post("/login", json={"password": PASSWORD})
        body = response.json
        assert body is not None
        assert set(body) == {"token", "expires_in_seconds"}
        assert body["expires_in_seconds"] == TOKEN_SECONDS == 7 * DAY
        assert "Set-Cookie" not in response.headers
        for scheme in ("Bearer", "bearer", "BEARER"):
            headers = {"Authorization": f"{scheme} {body['token']}"}
            assert app.test_client().get("/sim/which", headers=headers).status_code == 200

    def test_it_ends_after_a_week(self, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
        headers = bearer(token(app.test_client()))
        for seconds, status in ((7 * DAY - 60, 200), (7 * DAY + 60, 401)):
            pass_time(monkeypatch, seconds)
            assert app.test_client().get("/sim/which", headers=headers).status_code == status

    def test_a_forged_one_is_refused(self, app: Flask) -> None:
        good = token(app.test_client())
        salt = "habsim bearer token"
        cookie = sign_in(client := app.test_client()) and client.get_cookie("session")
        assert cookie
        forged = [
            "", "x", "null", good[:-2] + "xx", good + "x", good.upper(), cookie.value,
            str(URLSafeTimedSerializer("another key of thirty-two bytes.", salt=salt).dumps("signed in")),
            str(URLSafeTimedSerializer(KEY, salt="another salt").dumps("signed in")),
            str(URLSafeTimedSerializer(KEY, salt=salt).dumps("signed out")),
            str(URLSafeTimedSerializer(KEY, salt=salt).dumps(True)),
            str(URLSafeTimedSerializer(KEY, salt=salt).dumps(None)),
        ]  # fmt: skip
        for text in forged:
            assert app.test_client().get("/sim/which", headers=bearer(text)).status_code == 401, text
        for header in (good, f"Basic {good}", f"Token {good}", f"Bearer{good}", "Bearer", " "):
            assert app.test_client().get("/sim/which", headers={"Authorization": header}).status_code == 401, header

    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b"[]", b"null", b"{}", b'{"password": 1}', b'{"password": null}', b'{"password": ["x"]}', b'"x"',
         b'{"password": "\\ud800"}', b"\xff\xfe", b"[" * 5000],
    )  # fmt: skip
    def test_a_body_that_holds_no_password_is_401(self, app: Flask, body: bytes) -> None:
        response = app.test_client().post("/login", data=body, content_type="application/json")
        assert response.status_code == 401
        assert response.json == {"error": "wrong password", "details": None}

    def test_a_form_without_the_field_is_401(self, app: Flask) -> None:
        for content_type in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", ""):
            response = app.test_client().post("/login", data=b"\xff=\xfe", content_type=content_type)
            assert response.status_code == 401


class TestKeys:
    def test_too_many_wrong_ones_are_told_how_long_to_wait(
        self, another_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("missions.lockout.FIRST_WAIT_SECONDS", 100.0)
        client = another_app(password=PASSWORD).test_client()
        responses = [sign_in(client, "wrong") for _ in range(21)]
        assert [response.status_code for response in responses] == [401] * 20 + [429]
        assert responses[-1].mimetype == "text/html"
        assert "Too many failed attempts; try again in" in responses[-1].text
        assert 1 < int(responses[-1].headers["Retry-After"]) <= 100
        refused = client.post("/login", json={"password": PASSWORD})
        assert "try again in" in error_text(refused, 429, "/login")

    def test_a_new_password_signs_everybody_out(self, tmp_path: Path, another_app: Callable[..., Flask]) -> None:
        before = another_app(password="old", secret_key=KEY)  # noqa: S106
        client = before.test_client()
        sign_in(client, "old")
        cookie, old_token = client.get_cookie("session"), token(client, "old")
        assert cookie is not None
        after = another_app(members=0, password="new", secret_key=KEY)  # noqa: S106
        stranger = after.test_client()
        assert stranger.get("/sim/which", headers=bearer(old_token)).status_code == 401
        stranger.set_cookie("session", cookie.value)
        assert stranger.get("/sim/which").status_code == 401

    def test_without_a_secret_key_all_processes_share_one_that_is_kept(
        self, tmp_path: Path, another_app: Callable[..., Flask]
    ) -> None:
        one = another_app(password=PASSWORD)
        other = another_app(members=0, password=PASSWORD)
        assert other.test_client().get("/sim/which", headers=bearer(token(one.test_client()))).status_code == 200
        file = tmp_path / "data" / "secret_key"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert len(file.read_text()) >= 32


class TestWithoutPassword:
    def test_everything_is_open(self, another_app: Callable[..., Flask]) -> None:
        client = another_app().test_client()
        for path in ("/", "/docs", "/metrics", "/sim/which", single(), url("/api/v1/", tawhiri())):
            assert client.get(path).status_code == 200
        for path in ("/login", "/logout"):
            assert client.get(path).headers["Location"] == "/"
        assert client.post("/login", data={"password": "x"}).headers["Location"] == "/"

    def test_an_empty_password_in_the_environment_is_none(
        self, another_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HABSIM_PASSWORD", "")
        assert another_app().test_client().get("/sim/which").status_code == 200


def test_a_browser_that_asks_for_more_than_pages_gets_the_login_page(client: FlaskClient) -> None:
    chromium = (
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
        "application/signed-exchange;v=b3;q=0.7"
    )
    response = client.get("/", headers={"Accept": chromium})
    assert response.status_code == 302
    assert response.headers["Location"].startswith("/login")
