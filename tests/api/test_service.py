"""Pages, probes, metrics and the description of the API."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient

import habsim
from app import create_app
from tests.asking import single, spaceshot
from tests.worlds import CYCLE, START, make_bucket, make_settings

DESCRIBED = ("/sim", "/api", "/health", "/ready", "/metrics")
PAGES = ("/", "/docs", "/login")
JSON_SCHEMA_TYPES = {"string", "number", "integer", "boolean", "array", "object", "null"}


def body_of(client: FlaskClient, path: str) -> bytes:
    with client.get(path) as response:
        assert response.status_code == 200, path
        body: bytes = response.data
    return body


class Page(HTMLParser):
    """What a page loads, where it leads, what stands in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.leads: list[str] = []
        self.inline: list[str] = []
        self.ids: list[str] = []
        self.labelled: set[str] = set()
        self.lang: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "html":
            self.lang = given.get("lang")
        if tag == "script" and not given.get("src"):
            self.inline.append("script")
        self.inline += [name for name in given if name.startswith("on") or name == "style"]
        self.loads += [
            value for name, value in attrs if value and (name == "src" or (tag == "link" and name == "href"))
        ]
        self.leads += [value for name, value in attrs if value and tag in {"a", "form"} and name in {"href", "action"}]
        self.ids += [value for name, value in attrs if value and name == "id"]
        if tag == "label":
            self.labelled.add(given.get("for") or "")


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """The service with a password, for its login page."""
    folder = tmp_path_factory.mktemp("locked")
    make_bucket(folder / "bucket", members=1)
    return create_app(make_settings(folder, bucket_folder=folder / "bucket", password="x")).test_client()  # noqa: S106


class TestPages:
    @pytest.fixture(params=PAGES)
    def page(self, request: pytest.FixtureRequest, client: FlaskClient, locked: FlaskClient) -> Page:
        source = locked if request.param == "/login" else client
        return Page(body_of(source, request.param).decode())

    def test_they_load_everything_from_here(self, page: Page, client: FlaskClient) -> None:
        assert page.loads
        for address in page.loads:
            parts = urlsplit(address)
            assert (parts.scheme, parts.netloc) == ("", "")
            assert body_of(client, address)

    def test_they_hold_nothing_that_their_own_policy_forbids(self, page: Page) -> None:
        assert page.inline == []

    def test_their_links_lead_somewhere(self, page: Page, client: FlaskClient) -> None:
        for address in page.leads:
            assert body_of(client, address), address

    def test_they_have_a_language_and_no_id_twice(self, page: Page) -> None:
        assert page.lang == "en"
        assert len(page.ids) == len(set(page.ids))

    def test_no_page_script_or_style_names_another_host(self, client: FlaskClient, locked: FlaskClient) -> None:
        ours = [body_of(client, "/"), body_of(client, "/docs"), body_of(locked, "/login")]
        ours += [body_of(client, f"/static/{name}") for name in ("style.css", "docs.js", "login.js", "balloon.svg")]
        for text in ours:
            addresses = set(re.findall(rb"(?:https?:)?//[\w.-]+\.\w+", text))
            assert addresses <= {b"http://www.w3.org"}  # the name of SVG, not an address

    def test_the_documentation_asks_this_host_for_its_description(self, client: FlaskClient) -> None:
        script = body_of(client, "/static/docs.js").decode()
        assert 'url: "/openapi.json"' in script
        assert "validatorUrl: null" in script  # else the page asks validator.swagger.io

    def test_the_home_page_says_what_it_flies_on(self, client: FlaskClient) -> None:
        text = body_of(client, "/").decode()
        assert CYCLE in text
        assert "2026-11-19T00:00:00Z" in text
        assert "2026-11-20T00:00:00Z" in text
        assert "Demo winds" not in text

    def test_the_home_page_warns_of_demo_winds(self, another_app: Callable[..., Flask], tmp_path: Any) -> None:
        make_bucket(tmp_path / "bucket", members=1, product="demo")
        text = body_of(another_app(members=0).test_client(), "/").decode()
        assert "Demo winds" in text
        assert "not a forecast" in text

    def test_names_from_outside_are_escaped(self, another_app: Callable[..., Flask], tmp_path: Any) -> None:
        make_bucket(tmp_path / "bucket", members=1, product="<script>alert(1)</script>")
        text = body_of(another_app(members=0).test_client(), "/").decode()
        assert "<script>" not in text
        assert "&lt;script&gt;" in text


class TestProbes:
    def test_health(self, client: FlaskClient) -> None:
        assert client.get("/health").json == {"status": "ok"}

    def test_ready(self, client: FlaskClient) -> None:
        assert client.get("/ready").json == {"status": "ready", "cycle": CYCLE}


def metrics(client: FlaskClient) -> dict[str, float]:
    """Value by series, as Prometheus reads the text format."""
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    found = {}
    for line in response.text.splitlines():
        if line and not line.startswith("#"):
            series, _, value = line.rpartition(" ")
            assert re.fullmatch(r'[a-z_]+(\{([a-z]+="[^"\n]*",?)*\})?', series), series
            found[series] = float(value)
    return found


class TestMetrics:
    def test_requests_are_counted_by_route_method_and_status(self, another_app: Callable[..., Flask]) -> None:
        client = another_app().test_client()
        for path in ("/sim/which", "/sim/which", "/sim/wind", "/nowhere", "/nowhere/else"):
            client.get(path)
        client.post("/sim/which")
        found = metrics(client)
        assert found['habsim_requests_total{method="GET",route="/sim/which",status="200"}'] == 2
        assert found['habsim_requests_total{method="GET",route="/sim/wind",status="400"}'] == 1
        assert found['habsim_requests_total{method="GET",route="none",status="404"}'] == 2
        assert found['habsim_requests_total{method="POST",route="none",status="405"}'] == 1
        assert found['habsim_request_seconds_count{route="/sim/which"}'] == 2
        assert found['habsim_request_seconds_bucket{le="+Inf",route="/sim/which"}'] == 2

    def test_flights_ensembles_and_the_cycle(self, another_app: Callable[..., Flask]) -> None:
        client = another_app().test_client()
        client.get(single())
        client.get(single(lat=91))
        client.get(spaceshot())
        found = metrics(client)
        assert found["habsim_flights_total"] == 1
        assert found["habsim_ensembles_total"] == 1
        assert found["habsim_cycle_start_seconds"] == START

    def test_a_path_never_becomes_a_series(self, client: FlaskClient) -> None:
        client.get("/nowhere/secret-token")
        assert not any("secret-token" in series for series in metrics(client))


# --- The description


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def schemas(node: Any) -> Iterator[dict[str, Any]]:
    """Every schema of the document and those within it."""
    if isinstance(node, dict):
        if isinstance(node.get("schema"), dict):
            yield from whole(node["schema"])
        for name, child in node.items():
            if name != "schema":
                yield from schemas(child)
    elif isinstance(node, list):
        for child in node:
            yield from schemas(child)


def whole(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    for key in ("anyOf", "allOf", "oneOf"):
        for part in schema.get(key, []):
            yield from whole(part)
    for part in schema.get("properties", {}).values():
        yield from whole(part)


class TestDescription:
    @pytest.fixture
    def document(self, client: FlaskClient) -> dict[str, Any]:
        document = client.get("/openapi.json").json
        assert isinstance(document, dict)
        return document

    def test_it_is_openapi_3_1(self, document: dict[str, Any]) -> None:
        """Required fields of the specification's section 4.8, checked one by one."""
        assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
        assert document["info"]["title"] == "HABSIM"
        assert document["info"]["version"] == habsim.__version__
        known = {
            "openapi",
            "info",
            "jsonSchemaDialect",
            "servers",
            "paths",
            "webhooks",
            "components",
            "security",
            "tags",
        }
        assert set(document) <= known | {"externalDocs"}
        names = []
        for path, operations in document["paths"].items():
            assert path.startswith("/")
            for method, operation in operations.items():
                assert method in {"get", "post", "put", "patch", "delete", "head", "options", "trace"}
                names.append(operation["operationId"])
                assert operation["summary"]
                assert set(operation["tags"]) <= {tag["name"] for tag in document["tags"]}
                self.assert_parameters(path, operation)
                self.assert_responses(operation)
        assert len(names) == len(set(names))

    def assert_parameters(self, path: str, operation: dict[str, Any]) -> None:
        given = operation.get("parameters", [])
        assert len({(p["in"], p["name"]) for p in given}) == len(given)
        in_path = {p["name"] for p in given if p["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", path))
        for parameter in given:
            assert parameter["in"] in {"query", "path", "header", "cookie"}
            assert isinstance(parameter["required"], bool)
            assert ("schema" in parameter) != ("content" in parameter)

    def assert_responses(self, operation: dict[str, Any]) -> None:
        assert {"200", "201", "202"} & operation["responses"].keys()
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[1-5]\d\d|default", status)
            assert response["description"]
            assert response["content"]
            for media_type in response["content"]:
                assert re.fullmatch(r"[a-z]+/[a-z0-9.+-]+", media_type)

    def test_its_schemas_use_the_words_of_json_schema(self, document: dict[str, Any]) -> None:
        found = [*schemas(document["paths"]), *document["components"]["schemas"].values()]
        assert len(found) > 50
        for schema in found:
            assert not {"ge", "gt", "le", "lt"} & schema.keys()
            assert "nullable" not in schema  # a word of OpenAPI 3.0
            assert schema.get("type", "string") in JSON_SCHEMA_TYPES
            for limit in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
                assert isinstance(schema.get(limit, 0), int | float)
                assert not isinstance(schema.get(limit), bool)  # as OpenAPI 3.0 had it

    def test_its_references_lead_somewhere(self, document: dict[str, Any]) -> None:
        found = set(references(document))
        assert found
        for reference in found:
            node: Any = document
            for part in reference.removeprefix("#/").split("/"):
                node = node[part]
            assert isinstance(node, dict)

    def test_every_route_is_in_it(self, app: Flask, document: dict[str, Any]) -> None:
        described = {(path, method.upper()) for path, operations in document["paths"].items() for method in operations}
        served = {
            (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method)
            for rule in app.url_map.iter_rules()
            if rule.rule.startswith(DESCRIBED)
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        }
        assert described == served
        assert len(served) > 15

    def test_errors_are_described_as_they_are(self, document: dict[str, Any], client: FlaskClient) -> None:
        for path, name in (("/sim/singlezpb", "ErrorShape"), ("/api/v1/", "TawhiriErrorShape")):
            responses = document["paths"][path]["get"]["responses"]
            body = client.get(path).json
            assert body is not None
            for status in ("400", "404", "429", "500", "503"):
                (content,) = responses[status]["content"].values()
                assert content["schema"] == {"$ref": f"#/components/schemas/{name}"}
            assert set(document["components"]["schemas"][name]["properties"]) == set(body)

    def test_parameters_have_the_type_that_is_sent(self, document: dict[str, Any]) -> None:
        found = {p["name"]: p["schema"] for p in document["paths"]["/sim/spaceshot"]["get"]["parameters"]}
        types = {name: schema["type"] for name, schema in found.items()}
        texts = {"profile", "cycle", "request_id", "envelope", "lift_gas_type", "atmosphere"}
        assert {name for name in types if types[name] == "string"} == texts
        assert {name for name in types if types[name] == "integer"} == {"num_perturbations", "seed"}
        assert {types[name] for name in types if name not in texts} == {"number", "integer"}
        assert found["profile"]["enum"] == ["zpb", "standard", "float", "physical"]
        assert (found["step"]["minimum"], found["step"]["maximum"]) == (5, 600)
        assert found["cycle"]["pattern"] == "^[0-9]{10}$"
        assert "default" not in found["step"]
        assert found["coeff"]["default"] == 1.0

    def test_every_parameter_says_what_it_is(self, document: dict[str, Any]) -> None:
        for path, operations in document["paths"].items():
            for parameter in operations.get("get", {}).get("parameters", []):
                schema = parameter["schema"]
                known = parameter["name"] in {"profile", "format", "version"}
                assert known or parameter.get("description") or schema.get("description"), (path, parameter["name"])

    def test_the_ways_to_vary_a_launch_are_in_it(self, document: dict[str, Any]) -> None:
        text = document["paths"]["/sim/spaceshot"]["get"]["description"]
        for name in (
            "perturb.",
            "lat",
            "lon",
            "alt",
            "equil",
            "eqtime",
            "asc",
            "desc",
            "coeff",
            "fill",
            "mass",
            "burst",
        ):
            assert name in text
