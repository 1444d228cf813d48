"""One error shape and the right status over all routes of the URL map."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from api.errors import STATUS, status_of
from app import create_app
from habsim import errors
from habsim.errors import BusyError, ElevationError, FlightError, HabsimError, WindFileError
from simulate import Orchestrator
from tests.asking import TAWHIRI_PATH, error_text, launch, single, spaceshot, tawhiri, url
from tests.worlds import START, make_settings

LOGIN = {"password": "correct horse"}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "BREW")
POINT = {"lat": "10", "lon": "20", "alt": "1000", "timestamp": f"{START:.0f}"}
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
}
# What needs a cycle, and what does without one.
NEEDS_CYCLE = {
    "/sim/singlezpb": single(),
    "/sim/spaceshot": spaceshot(),
    "/sim/wind": url("/sim/wind", {**POINT, "model": "0"}),
    "/sim/windensemble": url("/sim/windensemble", POINT),
    "/sim/windprofile": url("/sim/windprofile", POINT),
    "/sim/models": "/sim/models",
    "/sim/which": "/sim/which",
    "/sim/status": "/sim/status",
    "/sim/refresh": "/sim/refresh",
    "/ready": "/ready",
    TAWHIRI_PATH: url(TAWHIRI_PATH, tawhiri()),
}
NEEDS_NO_CYCLE = {
    "/health", "/metrics", "/", "/missions", "/page/<path:name>", "/docs", "/docs/<path:name>", "/openapi.json",
    "/login", "/logout",
    "/static/<path:filename>", "/sim/elev", "/sim/progress", "/sim/progress-stream", "/sim/cache-status",
    "/api/v1/balloon-specs",
}  # fmt: skip
PLATFORM = ("/api/v1/auth/", "/api/v1/simulations/", "/api/v1/reverse/", "/api/v1/history/")


def routes(app: Flask) -> list[Rule]:
    return list(app.url_map.iter_rules())


def address(rule: Rule) -> str:
    """A path of the rule, with something that is not there for its variable part."""
    nobody = "00000000-0000-0000-0000-000000000000"
    return re.sub(r"<[^>]+>", lambda part: nobody if "uuid" in part[0] else "not-there", rule.rule)


def message(response: TestResponse, status: int, path: str = "/") -> str:
    """The text of an error in the shape of its route."""
    return error_text(response, status, path)


def assert_headers_of_every_answer(response: TestResponse) -> None:
    for name, value in SECURITY_HEADERS.items():
        assert response.headers.getlist(name) == [value], name
    (policy,) = response.headers.getlist("Content-Security-Policy")
    assert "default-src 'self'" in policy
    assert "object-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in policy  # so scripts are as narrow as the default
    assert re.fullmatch("[0-9a-f-]{8,40}", response.headers["X-Request-Id"])
    assert "Server" not in response.headers or "Werkzeug" not in response.headers["Server"]


class TestEveryRoute:
    def test_every_route_is_known_here(self, app: Flask) -> None:
        known = {rule.rule for rule in routes(app) if not rule.rule.startswith(PLATFORM)}
        assert known == set(NEEDS_CYCLE) | NEEDS_NO_CYCLE

    def test_a_method_that_is_not_taken_is_405(self, app: Flask, client: FlaskClient) -> None:
        allowed: dict[str, set[str]] = {}
        for rule in routes(app):
            allowed.setdefault(rule.rule, set()).update(rule.methods or ())
        for rule in routes(app):
            for method in set(METHODS) - allowed[rule.rule]:
                response = client.open(address(rule), method=method)
                text = message(response, 405, rule.rule)
                assert method in text
                assert set(response.headers["Allow"].split(", ")) == allowed[rule.rule]
                assert_headers_of_every_answer(response)

    def test_every_answer_has_the_headers(self, app: Flask, client: FlaskClient) -> None:
        for rule in routes(app):
            for method in ("GET", "OPTIONS", "HEAD"):
                response = client.open(NEEDS_CYCLE.get(rule.rule, address(rule)), method=method)
                assert response.status_code < 500
                assert_headers_of_every_answer(response)

    def test_bad_methods_and_paths_do_not_make_new_metrics(self, client: FlaskClient) -> None:
        def series() -> int:
            return client.get("/metrics").text.count("\n")

        client.open("/nowhere", method="BREW0")
        series()  # which is itself counted, after it has counted
        before = series()
        for number in range(20):
            client.open(f"/nowhere/{number}", method=f"BREW{number}")
        assert series() == before

    @pytest.mark.parametrize(
        "path",
        [
            "/nowhere", "/sim", "/sim/", "/sim/nowhere", "/sim/singlezpb/", "/sim/singlezpb%00", "/SIM/singlezpb",
            "/static/", "/static/nowhere.css", "/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py",
            "/static/%00", "/docs/nowhere", "/docs/../../../etc/passwd", "/docs/%2e%2e/%2e%2e/x",
            "/docs/%00", "/api", "/api/v2/", "/api/v1/nowhere", "/.env", "/favicon.ico/x", "/%F0%9F%8E%88", "/%ff%fe",
            "/data/secret_key", "/" + "x" * 7000, "/static/" + "x" * 7000,
        ],
    )  # fmt: skip
    def test_what_is_not_there_is_404(self, client: FlaskClient, path: str) -> None:
        text = message(client.get(path), 404)
        assert re.match("there is no '?/", text)
        assert len(text) < 100
        assert text.isprintable()

    def test_a_big_body_is_413(self, app: Flask, client: FlaskClient) -> None:
        posts = [rule for rule in routes(app) if "POST" in (rule.methods or ())]
        assert posts
        for rule in posts:
            response = client.post(address(rule), data=b"x" * (2 << 20), content_type="application/json")
            # A route that reads no body has no use for a limit.
            assert response.status_code in {200, 302, 401, 413}

    def test_the_login_refuses_a_big_body_with_413(self, another_app: Callable[..., Flask]) -> None:
        client = another_app(**LOGIN).test_client()
        for content_type in ("application/json", "application/x-www-form-urlencoded"):
            response = client.post("/login", data=b"password=" + b"x" * (2 << 20), content_type=content_type)
            assert message(response, 413) == "the body of the request is too large"

    def test_a_route_without_a_slash_is_redirected_to_the_one_with(self, client: FlaskClient) -> None:
        response = client.get(url("/api/v1", tawhiri()))
        assert response.status_code == 308
        assert response.headers["Location"].endswith(url(TAWHIRI_PATH, tawhiri()))
        assert_headers_of_every_answer(response)


class TestStatusTable:
    def test_every_failure_has_a_status(self) -> None:
        kinds = [
            kind
            for _, kind in inspect.getmembers(errors, inspect.isclass)
            if issubclass(kind, HabsimError) and kind.__module__ == errors.__name__
        ]
        assert len(kinds) > 8
        for kind in kinds:
            error = Exception.__new__(kind)
            assert status_of(error) in {400, 401, 403, 404, 409, 429, 500, 503}

    def test_the_first_that_fits_is_the_nearest(self) -> None:
        """A class stands before the classes it derives from."""
        seen: list[type[HabsimError]] = []
        for kind in STATUS:
            assert not any(issubclass(kind, earlier) for earlier in seen)
            seen.append(kind)

    @pytest.mark.parametrize(
        ("error", "status", "kind"),
        [
            (FlightError("the flight took more than 9 steps", 1.0, 2.0, 3.0, 4.0), 500, "PredictionException"),
            (WindFileError("2026111900_00.npz has changed"), 503, "InternalException"),
            (ElevationError("the ground is gone"), 500, "InternalException"),
            (BusyError("3 ensembles are running", 7), 429, "RequestException"),
        ],
    )
    def test_failures_of_a_prediction(
        self, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, error: HabsimError, status: int, kind: str
    ) -> None:
        def fails(*_: Any) -> None:
            raise error

        monkeypatch.setattr(Orchestrator, "predict", fails)
        response = client.get(single())
        assert message(response, status) == error.message
        details = response.json["details"]  # type: ignore[index]
        if status == 500:
            assert details["request_id"] == response.headers["X-Request-Id"]
            assert (error.details or {}).items() <= details.items()
        assert ("Retry-After" in response.headers) == (status in {429, 503})
        if status == 429:
            assert response.headers["Retry-After"] == "7"
        there = client.get(url(TAWHIRI_PATH, tawhiri()))
        assert message(there, status, TAWHIRI_PATH) == error.message
        assert there.json["error"]["type"] == kind  # type: ignore[index]


class TestUnexpected:
    @pytest.mark.parametrize("path", [single(), spaceshot(), url(TAWHIRI_PATH, tawhiri()), "/", "/ready"])
    def test_it_is_500_with_the_id_that_the_log_has(
        self, app: Flask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, path: str
    ) -> None:
        def fails(*_: Any, **__: Any) -> None:
            raise ZeroDivisionError("secret detail /etc/passwd")

        for name in ("predict", "on_cycle", "simulator"):
            monkeypatch.setattr(Orchestrator, name, fails)
        with caplog.at_level(logging.ERROR):
            response = app.test_client().get(path)
        route = path.partition("?")[0]
        message(response, 500, route)
        assert "secret" not in response.text
        assert "ZeroDivision" not in response.text
        request_id = response.headers["X-Request-Id"]
        assert any(request_id in record.getMessage() and record.exc_info for record in caplog.records)
        if route != TAWHIRI_PATH:
            assert response.json["details"] == {"request_id": request_id}  # type: ignore[index]
        assert_headers_of_every_answer(response)

    def test_ids_of_requests_differ(self, client: FlaskClient) -> None:
        assert len({client.get("/health").headers["X-Request-Id"] for _ in range(50)}) == 50

    def test_after_it_the_service_goes_on(self, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Orchestrator, "_fly_members", None)
            assert client.get(spaceshot(seed=1)).status_code == 500
            progress = client.get("/sim/progress?request_id=" + "x").status_code
            assert progress == 404
        assert client.get(spaceshot(seed=1)).status_code == 200
        assert client.get("/sim/status").json["active_requests"] == 0  # type: ignore[index]

    def test_an_ensemble_that_fails_shows_it_in_its_progress(
        self, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Orchestrator, "_fly_members", None)
        assert client.get(spaceshot(seed=2, request_id="fails")).status_code == 500
        state = client.get("/sim/progress?request_id=fails").json
        assert state is not None
        assert state["status"] == "failed"
        assert state["error"]
        assert "NoneType" not in state["error"]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """The service on a bucket that is not there yet."""
    folder = tmp_path_factory.mktemp("empty")
    return create_app(make_settings(folder, bucket_folder=folder / "bucket"), page_folder=folder / "page").test_client()


class TestEmptyBucket:
    @pytest.mark.parametrize("path", list(NEEDS_CYCLE))
    def test_what_needs_a_cycle_is_503_and_says_what_to_do(self, empty: FlaskClient, path: str) -> None:
        response = empty.get(NEEDS_CYCLE[path])
        text = message(response, 503, path)
        assert "make demo" in text
        assert int(response.headers["Retry-After"]) > 0

    def test_health_stays_and_the_page_says_so(self, empty: FlaskClient) -> None:
        assert empty.get("/health").json == {"status": "ok"}
        page = empty.get("/")
        assert page.status_code == 200
        assert "make demo" in page.text
        assert empty.get("/metrics").status_code == 200
        assert "habsim_cycle_start_seconds 0" in empty.get("/metrics").text
        assert empty.get("/sim/cache-status").json["gefs_cache"] == {"files": 0, "total_size_mb": 0.0}  # type: ignore[index]
        assert empty.get("/sim/elev?lat=1&lon=2").json == {"elevation": 0.0}

    def test_a_wrong_value_is_still_400(self, empty: FlaskClient) -> None:
        assert "lat" in message(empty.get(single(lat=91)), 400)

    def test_a_named_cycle_is_404(self, empty: FlaskClient) -> None:
        assert "2026111900" in message(empty.get(single(cycle="2026111900")), 404)

    def test_a_cycle_that_comes_is_flown_without_a_restart(self, another_app: Callable[..., Flask]) -> None:
        client = another_app(members=0).test_client()
        assert client.get("/ready").status_code == 503
        another_app(members=1)
        assert client.post("/sim/refresh").status_code == 200
        assert client.get("/ready").status_code == 200
        assert client.get(single()).status_code == 200


def test_a_damaged_cycle_name_does_not_leave_the_bucket(another_app: Callable[..., Flask], tmp_path: Path) -> None:
    """`whichgefs` with a path in it is refused, and nothing outside is read."""
    (tmp_path / "bucket").mkdir()
    (tmp_path / "bucket" / "whichgefs").write_text("../../etc/passwd\n")
    response = another_app(members=0).test_client().get(url("/sim/singlezpb", {**launch(), "model": "0"}))
    assert "make demo" in message(response, 503)
