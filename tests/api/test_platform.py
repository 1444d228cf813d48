"""Accounts, simulations and history over HTTP: who may do what on every route, and what a bad request is told."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from api import mission_answers
from api.services import EXTENSION
from api.signing import COOKIE, CSRF_HEADER
from tests.api.test_answers import assert_is
from tests.asking import error_text
from tests.people import PASSWORD, PREFIX, ROLES, World
from tests.worlds import START

CONFIG: dict[str, Any] = {
    "timestamp": START + 3600, "lat": 37.3553, "lon": -121.8763, "alt": 24, "equil": 30000, "eqtime": 1, "asc": 4,
    "desc": 8,
}  # fmt: skip
MEGABYTE = "x" * 1_000_000


class Submitting(World):
    def submit(self, role: str = "user", **more: Any) -> str:
        return str(self.ok(role, "POST", "/simulations/submit", {"type": "forward", "config": CONFIG, **more})["id"])


@pytest.fixture(scope="module")
def world(app: Flask) -> Submitting:
    return Submitting.of(app)


OWN = {"nobody": 401, "user": 200, "other": 404, "member": 403, "admin": 200}  # of a row that `user` shares
SIGNED_IN = {"nobody": 401, "user": 200, "other": 200, "member": 200, "admin": 200}
ADMIN = {"nobody": 401, "user": 403, "other": 403, "member": 403, "admin": 200}
SEEN = {**OWN, "member": 200}


@dataclass(frozen=True)
class Route:
    """What each role gets from a route; `path` is made anew for each, since some routes take things away."""

    status: dict[str, int]
    path: Callable[[Submitting], str]
    body: Any = None
    answer: type | None = None


def fixed(path: str) -> Callable[[Submitting], str]:
    return lambda world: path


def of_user(world: Submitting) -> str:
    """A user who may go."""
    name = f"u{uuid.uuid4().hex[:8]}"
    body = {"username": name, "email": f"{name}@example.org", "password": PASSWORD}
    made = world.ok("nobody", "POST", "/auth/register", body)["id"]
    world.allow_logins()
    return f"/auth/admin/users/{made}"


def of_organization(world: Submitting) -> str:
    made = world.ok("admin", "POST", "/auth/admin/organizations", {"name": uuid.uuid4().hex})["id"]
    return f"/auth/admin/organizations/{made}"


def of_simulation(tail: str = "") -> Callable[[Submitting], str]:
    return lambda world: f"/simulations/{world.submit(shared=True)}{tail}"


def of_result(world: Submitting) -> str:
    simulation_id = world.submit(shared=True)
    world.work()
    return f"/simulations/{simulation_id}/results"


def unique() -> dict[str, str]:
    name = f"n{uuid.uuid4().hex[:8]}"
    return {"username": name, "email": f"{name}@example.org", "password": PASSWORD}


A, S, H = "/auth", "/simulations", "/history"
ROUTES: dict[tuple[str, str], Route] = {
    ("POST", f"{A}/register"): Route(
        dict.fromkeys(ROLES, 201), fixed(f"{A}/register"), unique, mission_answers.User
    ),
    ("POST", f"{A}/login"): Route(
        dict.fromkeys(ROLES, 200), fixed(f"{A}/login"), {"username": "user", "password": PASSWORD},
        mission_answers.SignedIn,
    ),
    ("GET", f"{A}/me"): Route(SIGNED_IN, fixed(f"{A}/me"), None, mission_answers.Me),
    ("PUT", f"{A}/me"): Route(SIGNED_IN, fixed(f"{A}/me"), {"name": "A"}, mission_answers.SignedIn),
    ("GET", f"{A}/admin/users"): Route(ADMIN, fixed(f"{A}/admin/users"), None, mission_answers.Users),
    ("PUT", f"{A}/admin/users/<uuid:id>"): Route(ADMIN, of_user, {"is_active": False}, mission_answers.User),
    ("DELETE", f"{A}/admin/users/<uuid:id>"): Route(ADMIN, of_user, None, mission_answers.Deleted),
    ("GET", f"{A}/admin/organizations"): Route(
        ADMIN, fixed(f"{A}/admin/organizations"), None, mission_answers.Organizations
    ),
    ("POST", f"{A}/admin/organizations"): Route(
        {**ADMIN, "admin": 201}, fixed(f"{A}/admin/organizations"), lambda: {"name": uuid.uuid4().hex},
        mission_answers.Organization,
    ),
    ("PUT", f"{A}/admin/organizations/<uuid:id>"): Route(
        ADMIN, of_organization, {"description": "d"}, mission_answers.Organization
    ),
    ("DELETE", f"{A}/admin/organizations/<uuid:id>"): Route(ADMIN, of_organization, None, mission_answers.Deleted),
    ("POST", f"{S}/submit"): Route(
        {role: 202 if status == 200 else status for role, status in SIGNED_IN.items()},
        fixed(f"{S}/submit"), {"type": "forward", "config": CONFIG}, mission_answers.Simulation,
    ),
    ("GET", f"{S}/"): Route(SIGNED_IN, fixed(f"{S}/"), None, mission_answers.Simulations),
    ("GET", f"{S}/queue/stats"): Route(SIGNED_IN, fixed(f"{S}/queue/stats"), None, mission_answers.QueueStats),
    ("GET", f"{S}/<uuid:id>"): Route(SEEN, of_simulation(), None, mission_answers.Simulation),
    ("PUT", f"{S}/<uuid:id>"): Route(OWN, of_simulation(), {"name": "b"}, mission_answers.Simulation),
    ("DELETE", f"{S}/<uuid:id>"): Route(OWN, of_simulation(), None, mission_answers.Deleted),
    ("POST", f"{S}/<uuid:id>/cancel"): Route(OWN, of_simulation("/cancel"), None, mission_answers.Simulation),
    ("GET", f"{S}/<uuid:id>/results"): Route(SEEN, of_result, None, mission_answers.ForwardResult),
    ("GET", f"{H}/user"): Route(SIGNED_IN, fixed(f"{H}/user"), None, mission_answers.Simulations),
    ("GET", f"{H}/organization"): Route(SIGNED_IN, fixed(f"{H}/organization"), None, mission_answers.Simulations),
    ("GET", f"{H}/stats"): Route(SIGNED_IN, fixed(f"{H}/stats"), None, mission_answers.HistoryStats),
    ("GET", f"{H}/export"): Route(SIGNED_IN, fixed(f"{H}/export?format=json")),
    ("POST", f"{A}/logout"): Route(SIGNED_IN, fixed(f"{A}/logout"), None, mission_answers.SignedOut),
}  # fmt: skip


# Without an account; those of searches have a walk of their own.
OPEN = {("GET", "/"), ("GET", "/balloon-specs"), ("POST", "/balloon-specs")}


class TestEveryRouteAndRole:
    def test_no_route_is_left_out(self, app: Flask) -> None:
        served = {
            (method, rule.rule.removeprefix(PREFIX))
            for rule in app.url_map.iter_rules()
            if rule.rule.startswith(f"{PREFIX}/") and not rule.rule.startswith(f"{PREFIX}/reverse/")
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        }
        assert served == set(ROUTES) | OPEN

    @pytest.mark.parametrize("role", ROLES)
    @pytest.mark.parametrize(("method", "rule"), ROUTES)
    def test_each_gets_what_is_theirs(self, world: Submitting, method: str, rule: str, role: str) -> None:
        route = ROUTES[method, rule]
        body = route.body() if callable(route.body) else route.body
        if rule == f"{A}/logout" and role in world.tokens:  # with a token that nobody needs afterwards
            signed_in = world.ok("nobody", "POST", "/auth/login", {"username": role, "password": PASSWORD})
            world = Submitting(world.app, {role: signed_in["token"]})
        response = world.ask(role, method, route.path(world), body)
        assert response.status_code == route.status[role], response.text
        if response.status_code >= 400:
            error_text(response, route.status[role], PREFIX)
            assert ("WWW-Authenticate" in response.headers) == (response.status_code == 401)
        elif route.answer is not None:
            content = gzip.decompress(response.data) if response.headers.get("Content-Encoding") else response.data
            assert_is(route.answer, content)

    def test_private_rows_are_not_there_for_the_organisation(self, world: Submitting) -> None:
        private = world.submit()
        for method, tail in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/results")):
            body: dict[str, Any] | None = {} if method == "PUT" else None
            for role in ("other", "member"):
                assert world.ask(role, method, f"{S}/{private}{tail}", body).status_code == 404
        world.ok("user", "GET", f"{S}/{private}")

    def test_what_is_not_there_is_404_for_all(self, world: Submitting) -> None:
        for role in ("user", "admin"):
            assert world.ask(role, "GET", f"{S}/{uuid.uuid4()}").status_code == 404
            assert world.ask(role, "GET", f"{S}/not-an-id").status_code == 404
        assert world.ask("admin", "DELETE", f"/auth/admin/users/{uuid.uuid4()}").status_code == 404

    def test_other_pages_may_ask_whether_they_may(self, another_app: Callable[..., Flask]) -> None:
        client = another_app(cors_origins="https://example.org").test_client()
        headers = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST",
                   "Access-Control-Request-Headers": "authorization,content-type"}  # fmt: skip
        for _, rule in ROUTES:
            response = client.options(f"{PREFIX}{re.sub('<[^>]+>', str(uuid.uuid4()), rule)}", headers=headers)
            assert response.status_code == 200, rule
            assert response.headers["Access-Control-Allow-Origin"] == "https://example.org"
            assert "authorization" in response.headers["Access-Control-Allow-Headers"].lower()

    def test_who_may_not_ask_is_not_told_what_is_wrong_with_the_body(self, world: Submitting) -> None:
        for method, rule in ROUTES:
            if rule in {f"{A}/register", f"{A}/login"}:
                continue
            path = re.sub("<[^>]+>", str(uuid.uuid4()), rule)
            assert world.ask("nobody", method, path, {"unknown": 1}).status_code == 401


class TestACourse:
    def test_submitted_flown_read_shared_and_exported(self, world: Submitting) -> None:
        text_ = "'; DROP TABLE users; -- <script>alert(1)</script>"
        body = {"type": "forward", "name": f"={text_}", "description": text_, "config": {**CONFIG, "model": 1}}
        made = world.ok("other", "POST", f"{S}/submit", body)
        assert (made["status"], made["progress"], made["name"]) == ("pending", 0.0, f"={text_}")
        assert world.ask("other", "GET", f"{S}/{made['id']}/results").status_code == 409
        world.work()
        done = world.ok("other", "GET", f"{S}/{made['id']}")
        assert (done["status"], done["provenance"]["members"], done["error"]) == ("completed", [1], None)
        flown = world.app.test_client().get(
            "/sim/singlezpb", query_string={**{k: str(v) for k, v in CONFIG.items()}, "model": "1"}
        )
        for encoding in ("gzip", "identity"):
            headers = {"Authorization": f"Bearer {world.tokens['other']}", "Accept-Encoding": encoding}
            result = world.app.test_client().get(f"{PREFIX}{S}/{made['id']}/results", headers=headers)
            content = gzip.decompress(result.data) if encoding == "gzip" else result.data
            assert json.loads(content)["path"] == flown.json
        rows = list(csv.DictReader(io.StringIO(world.ask("other", "GET", f"{H}/export").text)))
        assert rows[0]["id"] in {row["id"] for row in world.ok("other", "GET", f"{H}/user")["simulations"]}
        (row,) = [row for row in rows if row["id"] == made["id"]]
        assert row["name"] == f"'={text_}"  # no formula for a spreadsheet
        assert json.loads(row["config"])["model"] == 1
        stats = world.ok("other", "GET", f"{H}/stats")
        assert stats["own"]["by_status"]["completed"] >= 1
        assert stats["organization"] is None

    def test_an_ensemble_is_that_of_the_route(self, world: Submitting) -> None:
        config = {**CONFIG, "num_perturbations": 3, "seed": 7, "perturb": {"asc": 0.3}}
        made = world.ok("other", "POST", f"{S}/submit", {"type": "ensemble", "config": config})
        world.work()
        result = world.ask("other", "GET", f"{S}/{made['id']}/results")
        content = gzip.decompress(result.data) if result.headers.get("Content-Encoding") else result.data
        asked = {**{k: str(v) for k, v in CONFIG.items()}, "num_perturbations": "3", "seed": "7", "perturb.asc": "0.3"}
        flown = world.app.test_client().get("/sim/spaceshot", query_string=asked).json
        assert flown is not None
        kept = json.loads(content)
        assert {**kept, "request_id": ""} == {**flown, "request_id": ""}

    def test_pages(self, world: Submitting) -> None:
        for _ in range(3):
            world.submit("other")
        page = world.ok("other", "GET", f"{S}/?per_page=2&page=2&status=pending")
        assert (page["page"], page["per_page"]) == (2, 2)
        assert page["total"] >= 3
        found = world.ok("admin", "GET", "/auth/admin/users?search=MEMB")
        assert [user["username"] for user in found["users"]] == ["member"]
        assert world.ok("other", "GET", f"{H}/user?since=2999-01-01T00:00:00Z")["total"] == 0
        assert world.ok("admin", "GET", f"{S}/?user_id={world.ids['other']}")["total"] >= 3


BAD: list[tuple[str, str, str, dict[str, Any]]] = [
    ("nobody", "POST", f"{A}/register", {"username": "someone", "email": "s@example.org", "password": PASSWORD}),
    ("nobody", "POST", f"{A}/login", {"username": "user", "password": "wrong one"}),
    ("user", "PUT", f"{A}/me", {"name": "A"}),
    ("admin", "PUT", f"{A}/admin/users/{uuid.UUID(int=1)}", {}),
    ("admin", "POST", f"{A}/admin/organizations", {"name": "x"}),
    ("admin", "PUT", f"{A}/admin/organizations/{uuid.UUID(int=1)}", {}),
    ("user", "POST", f"{S}/submit", {"type": "forward", "config": CONFIG}),
    ("user", "PUT", f"{S}/{uuid.UUID(int=1)}", {}),
]
WRONG: dict[str, list[tuple[str, list[Any]]]] = {
    f"{A}/register": [
        ("username", [None, 1, "", "x", "a b", "-a", "x" * 51, MEGABYTE, "<b>", "a\x00", "é", ["x"], True]),
        ("email", [None, 1, "", "x", "x@y", "@y.z", "a b@c.d", "x@y.z\n", f"{'x' * 250}@y.org", MEGABYTE]),
        ("password", [None, 1, "", "short", "x" * 201, MEGABYTE, ["x"]]),
        ("name", [None, 1, "x" * 101, "a\x00", "a\nb", MEGABYTE]),
    ],
    f"{A}/login": [("username", [None, 1, "", "x" * 51, "a\x00", MEGABYTE]),
                   ("password", [None, 1, "", "x" * 201, MEGABYTE])],
    f"{A}/me": [("name", [None, 1, MEGABYTE]), ("email", [None, "x"]), ("password", [None, "short"]),
                ("current_password", [None, 1, MEGABYTE])],
    f"{A}/admin/users": [("is_admin", [None, 1, "true"]), ("is_active", [None, 0]), ("email", [None, "x"]),
                         ("name", [None, 1]), ("password", [None, "x"]), ("organization_id", [1, "x", MEGABYTE])],
    f"{A}/admin/organizations": [("name", [None, 1, "", " ", "x" * 101, MEGABYTE, "a\x00"]),
                                 ("description", [None, 1, "x" * 501, MEGABYTE, "\x00"])],
    f"{S}/submit": [("type", [None, 1, "", "backward", MEGABYTE]), ("config", [None, 1, "x", [], MEGABYTE]),
                    ("name", [None, 1, "x" * 201, MEGABYTE, "\x00"]),
                    ("description", [None, 1, "x" * 2001, MEGABYTE, "\x00"]), ("shared", [None, 1, "yes"])],
    f"{S}/": [("name", [None, 1, MEGABYTE]), ("description", [None, 1, MEGABYTE]), ("shared", [None, 1])],
}  # fmt: skip
REQUIRED = {
    f"{A}/register": ("username", "email", "password"), f"{A}/login": ("username", "password"),
    f"{A}/admin/organizations": ("name",), f"{S}/submit": ("type", "config"),
}  # fmt: skip


class TestBadInput:
    @pytest.fixture(autouse=True)
    def no_waits(self, world: Submitting) -> Iterator[None]:
        yield
        world.allow_logins()

    def refused(self, world: Submitting, role: str, method: str, path: str, body: Any) -> str:
        text_ = error_text(world.ask(role, method, path, body), 400, PREFIX)
        assert len(text_) < 2000
        return text_

    @pytest.mark.parametrize(("role", "method", "path", "good"), BAD)
    def test_each_field_is_checked(
        self, world: Submitting, role: str, method: str, path: str, good: dict[str, Any]
    ) -> None:
        rows = next(rows for prefix, rows in sorted(WRONG.items(), reverse=True) if path.startswith(prefix))
        for name, values in rows:
            for value in values:
                said = self.refused(world, role, method, path, {**good, name: value})
                assert name in said, (value, said)
                if name.endswith("password") and isinstance(value, str) and len(value) > 3:
                    assert value not in said
        assert "surprise is unknown" in self.refused(world, role, method, path, {**good, "surprise": 1})
        for name in REQUIRED.get(path, ()):
            without = {key: value for key, value in good.items() if key != name}
            assert f"{name} is missing" in self.refused(world, role, method, path, without)

    @pytest.mark.parametrize(("role", "method", "path", "good"), BAD)
    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b"[]", b"null", b'"x"', b"1", b'{"name": NaN}', b'{"name": "\\ud800"}', b"\xff", b"[" * 100_000,
         b'{"a":' * 5000],
    )  # fmt: skip
    def test_what_is_no_object_is_refused(
        self, world: Submitting, role: str, method: str, path: str, good: dict[str, Any], body: bytes
    ) -> None:
        response = world.ask(role, method, path, data=body, content_type="application/json")
        assert "JSON object" in error_text(response, 400, PREFIX)
        form = world.ask(role, method, path, data=json.dumps(good), content_type="text/plain")
        assert form.status_code == 400  # a form of another site can send that much

    @pytest.mark.parametrize("path", [f"{A}/register", f"{A}/login", f"{S}/submit", "/balloon-specs", "/reverse/plan"])
    def test_depth_and_number_are_told_in_a_few_words(self, world: Submitting, path: str) -> None:
        for opening, closing in (("[", "]"), ('{"a":', "}")):
            deep = opening * 1000 + "1" + closing * 1000
            body = f'{{"username": {deep}, "lift_gas_type": {deep}, "members": {deep}}}'.encode()
            response = world.ask("user", "POST", path, data=body, content_type="application/json")
            assert len(error_text(response, 400, PREFIX)) < 2000
        many = {f"surprise{number}": number for number in range(20_000)}
        response = world.ask("user", "POST", path, many)
        text_ = error_text(response, 400, PREFIX)
        assert re.search(r"; and \d+ more$", text_)
        assert len(response.data) < 5000

    @pytest.mark.parametrize(
        ("name", "values"),
        [("lat", [-90.1, 90.1, "1", None, True, [], {}]), ("lon", [-180.1, 360.1]), ("alt", [-1, 50001]),
         ("equil", [-1, 50000, 10]), ("eqtime", [-1, 49]), ("asc", [0, 20.1]), ("desc", [0, 20.1]),
         ("timestamp", [-1, 1e12, "now"]), ("coeff", [0.4, 1.6]), ("profile", ["x", 1]), ("step", [4, 601]),
         ("cycle", ["x", 2026111900, MEGABYTE]), ("model", [-1, 100, 1.5, "1"]), ("num_perturbations", [1]),
         ("request_id", ["x"])],
    )  # fmt: skip
    def test_each_field_of_a_launch_is_checked(self, world: Submitting, name: str, values: list[Any]) -> None:
        for value in values:
            body = {"type": "forward", "config": {**CONFIG, name: value}}
            assert name in self.refused(world, "user", "POST", f"{S}/submit", body), value

    @pytest.mark.parametrize(
        "changes",
        [{"num_perturbations": 0}, {"num_perturbations": 101}, {"seed": -1}, {"seed": 2**53}, {"perturb": {"x": 1}},
         {"perturb": {"asc": -1}}, {"perturb": {"asc": 1e9}}, {"perturb": {"asc": "1"}}, {"perturb": []},
         {"perturb": {MEGABYTE: 1}}, {"model": 1}],
    )  # fmt: skip
    def test_each_field_of_an_ensemble_is_checked(self, world: Submitting, changes: dict[str, Any]) -> None:
        body = {"type": "ensemble", "config": {**CONFIG, **changes}}
        assert next(iter(changes)) in self.refused(world, "user", "POST", f"{S}/submit", body)

    @pytest.mark.parametrize(
        "query",
        ["page=0", "page=x", "per_page=0", "per_page=101", "status=x", "type=x", "user_id=x", "page=1&page=2",
         "statu=x"],
    )  # fmt: skip
    def test_each_parameter_of_a_list_is_checked(self, world: Submitting, query: str) -> None:
        self.refused(world, "user", "GET", f"{S}/?{query}", None)

    @pytest.mark.parametrize("query", ["since=x", "until=2026-01-01", "format=xls", "of=all"])
    def test_each_parameter_of_an_export_is_checked(self, world: Submitting, query: str) -> None:
        self.refused(world, "user", "GET", f"{H}/export?{query}", None)

    def test_a_search_without_its_parts(self, world: Submitting) -> None:
        said = self.refused(world, "user", "POST", f"{S}/submit", {"type": "reverse", "config": {}})
        assert "config.target is missing" in said


class TestCookie:
    def sign_in(self, world: Submitting, **headers: str) -> tuple[FlaskClient, str, str]:
        client = world.app.test_client()
        body = {"username": "user", "password": PASSWORD}
        response = client.post(f"{PREFIX}/auth/login", json=body, headers=headers)
        assert response.json is not None
        (cookie,) = (value for value in response.headers.getlist("Set-Cookie") if value.startswith(COOKIE))
        return client, cookie, str(response.json["csrf_token"])

    def test_it_is_kept_from_scripts_other_sites_and_open_connections(self, world: Submitting) -> None:
        attributes = {part.strip() for part in self.sign_in(world)[1].split(";")[1:]}
        assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= attributes
        assert "Secure" not in attributes
        secure = self.sign_in(world, **{"X-Forwarded-Proto": "https"})[1]
        assert "Secure" in {part.strip() for part in secure.split(";")}

    def test_a_change_needs_the_token_that_other_sites_do_not_have(self, world: Submitting) -> None:
        client, _, csrf = self.sign_in(world)
        me = client.get(f"{PREFIX}/auth/me").json
        assert me is not None
        assert me["csrf_token"] == csrf
        for headers in ({}, {CSRF_HEADER: ""}, {CSRF_HEADER: "x"}, {CSRF_HEADER: csrf[:-1]}, {CSRF_HEADER: "\xff"}):
            response = client.put(f"{PREFIX}/auth/me", json={"name": "x"}, headers=headers)
            assert CSRF_HEADER in error_text(response, 403, PREFIX)
        other = self.sign_in(world)[2]
        assert client.put(f"{PREFIX}/auth/me", json={"name": "x"}, headers={CSRF_HEADER: other}).status_code == 403
        good = client.put(f"{PREFIX}/auth/me", json={"name": "x"}, headers={CSRF_HEADER: csrf})
        assert good.status_code == 200

    def test_signing_out_ends_it(self, world: Submitting) -> None:
        client, cookie, csrf = self.sign_in(world)
        token = cookie.split(";")[0].split("=", 1)[1]
        assert client.post(f"{PREFIX}/auth/logout", headers={CSRF_HEADER: csrf}).status_code == 200
        assert client.get_cookie(COOKIE) is None
        stranger = world.app.test_client()
        stranger.set_cookie(COOKIE, token)
        assert stranger.get(f"{PREFIX}/auth/me").status_code == 401


class TestLockout:
    def test_it_says_when_to_come_again(self, world: Submitting, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("missions.lockout.FIRST_WAIT_SECONDS", 100.0)
        body = {"username": "user", "password": "wrong"}
        statuses = [world.ask("nobody", "POST", "/auth/login", body).status_code for _ in range(5)]
        assert statuses == [401] * 5
        response = world.ask("nobody", "POST", "/auth/login", {**body, "password": PASSWORD})
        assert "try again in" in error_text(response, 429, PREFIX)
        assert 1 <= int(response.headers["Retry-After"]) <= 100
        world.allow_logins()

    def test_many_accounts_from_one_address_have_to_wait(
        self, world: Submitting, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("api.accounts._REGISTRATIONS", 2)
        world.allow_logins()
        statuses = [world.ask("nobody", "POST", "/auth/register", unique()).status_code for _ in range(3)]
        assert statuses == [201, 201, 429]
        world.allow_logins()

    def test_the_page_of_the_one_password_too(
        self, another_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("missions.lockout.FIRST_WAIT_SECONDS", 100.0)
        app = another_app(password="balloon", secret_key="0" * 32)  # noqa: S106
        statuses = [app.test_client().post("/login", json={"password": "x"}).status_code for _ in range(20)]
        assert statuses == [401] * 20
        response = app.test_client().post("/login", json={"password": "balloon"})
        assert response.status_code == 429
        assert int(response.headers["Retry-After"]) > 1

    def test_a_proxy_is_believed_where_the_settings_say_so(self, another_app: Callable[..., Flask]) -> None:
        for hops, keys in ((0, {"login from 127.0.0.1"}), (1, {"login from 203.0.113.7"})):
            app = another_app(members=1 - hops, trusted_proxies=hops)
            headers = {"X-Forwarded-For": "198.51.100.1, 203.0.113.7"}
            body = {"username": "nobody", "password": "wrong"}
            app.test_client().post(f"{PREFIX}/auth/login", json=body, headers=headers)
            with app.extensions[EXTENSION].missions.database.writing() as session:
                found = set(session.execute(text("SELECT key FROM login_attempts WHERE key LIKE 'login%'")).scalars())
                session.execute(text("DELETE FROM login_attempts"))
            assert found == keys


def test_where_registration_is_closed_administrators_make_accounts(another_app: Callable[..., Flask]) -> None:
    app = another_app(registration="closed", admin_username="root", admin_password=PASSWORD)
    world = World(app)
    world.tokens["root"] = world.ok("nobody", "POST", "/auth/login", {"username": "root", "password": PASSWORD})[
        "token"
    ]
    made = unique()
    world.ok("root", "POST", "/auth/register", made)
    given = {"username": made["username"], "password": made["password"]}
    world.tokens["user"] = world.ok("nobody", "POST", "/auth/login", given)["token"]
    for role in ("nobody", "user"):
        refused = world.ask(role, "POST", "/auth/register", unique())
        assert "registration is closed here" in error_text(refused, 403, PREFIX)


class TestWithAPassword:
    @pytest.fixture
    def locked(self, another_app: Callable[..., Flask]) -> Submitting:
        app = another_app(password="balloon", secret_key="0" * 32)  # noqa: S106
        return Submitting(app)

    def test_an_account_passes_the_gate_and_nobody_makes_one_outside(self, locked: Submitting) -> None:
        assert locked.ask("nobody", "POST", "/auth/register", unique()).status_code == 401
        inside = locked.app.test_client()
        token = inside.post("/login", json={"password": "balloon"}).json["token"]  # type: ignore[index]
        body = unique()
        made = inside.post(f"{PREFIX}/auth/register", json=body, headers={"Authorization": f"Bearer {token}"})
        assert made.status_code == 201
        stranger = locked.app.test_client()
        assert stranger.get("/sim/which").status_code == 401
        given = {"username": body["username"], "password": body["password"]}
        answer = stranger.post(f"{PREFIX}/auth/login", json=given)
        assert answer.status_code == 200
        assert stranger.get("/sim/which").status_code == 200  # by the cookie
        bearer = {"Authorization": f"Bearer {answer.json['token']}"}  # type: ignore[index]
        assert locked.app.test_client().get("/sim/which", headers=bearer).status_code == 200
        csrf = {CSRF_HEADER: answer.json["csrf_token"]}  # type: ignore[index]
        assert stranger.post(f"{PREFIX}/auth/logout", headers=csrf).status_code == 200
        assert locked.app.test_client().get("/sim/which", headers=bearer).status_code == 401

    def test_the_first_administrator_of_the_environment_signs_in(self, another_app: Callable[..., Flask]) -> None:
        app = another_app(password="balloon", admin_username="root", admin_password=PASSWORD)  # noqa: S106
        answer = World(app).ok("nobody", "POST", "/auth/login", {"username": "root", "password": PASSWORD})
        assert answer["user"]["is_admin"]

    def test_signing_out_at_the_gate_ends_the_account_too(self, locked: Submitting) -> None:
        inside = locked.app.test_client()
        gate = {"Authorization": f"Bearer {inside.post('/login', json={'password': 'balloon'}).json['token']}"}  # type: ignore[index]
        body = unique()
        assert inside.post(f"{PREFIX}/auth/register", json=body, headers=gate).status_code == 201
        browser = locked.app.test_client()
        given = {"username": body["username"], "password": body["password"]}
        assert browser.post(f"{PREFIX}/auth/login", json=given).status_code == 200
        assert browser.get("/sim/which").status_code == 200
        assert browser.get("/logout").status_code == 302
        assert browser.get_cookie(COOKIE) is None
        assert browser.get("/sim/which").status_code == 401


def test_flights_need_no_database(
    world: Submitting, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where it does not answer, accounts are 503 with when to come again, and winds and flights go on."""

    def gone(*_: Any) -> None:
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr("missions.database.Database._ready", gone)
    assert world.app.test_client().get("/sim/which").status_code == 200
    response = world.ask("user", "GET", f"{S}/")
    assert error_text(response, 503, PREFIX) == "the database does not answer; try again soon"
    assert int(response.headers["Retry-After"]) > 0
    assert "unable to open" in caplog.text  # for who runs it, not for who asks
