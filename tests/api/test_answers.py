"""Every answer has the shape that the description of the API says: its class in `api.answers`, to the letter."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import BaseModel

import app as app_module
from api import answers
from app import create_app
from store.manifest import wind_file_name
from tests.asking import single, spaceshot, url
from tests.elsewhere import Elsewhere
from tests.worlds import CYCLE, START, make_settings

POINT = {"lat": "12.5", "lon": "-77.25", "alt": "9000", "timestamp": f"{START + 5000:.0f}"}
PLACE = {name: value for name, value in POINT.items() if name != "alt"}
# Flights with every phase, with some of them only, and cut at the antimeridian.
FLIGHTS: list[dict[str, Any]] = [
    {},
    {"profile": "standard", "eqtime": 0},
    {"profile": "float"},
    {"eqtime": 0},
    {"lon": 179.9},
    {"lon": 238.1237, "step": 600},
]
ADDRESSES = {
    answers.Elevation: [url("/sim/elev", {"lat": "10", "lon": "20"})],
    answers.Wind: [url("/sim/wind", {**POINT, "model": "1"})],
    answers.WindEnsemble: [url("/sim/windensemble", POINT)],
    answers.WindProfile: [url("/sim/windprofile", PLACE)],
    answers.Models: ["/sim/models"],
    answers.Which: ["/sim/which"],
    answers.Status: ["/sim/status"],
    answers.CacheStatus: ["/sim/cache-status"],
    answers.Refreshed: ["/sim/refresh"],
    answers.Health: ["/health"],
    answers.Ready: ["/ready"],
    answers.Flight: [single(**flight) for flight in FLIGHTS],
    answers.FlightGeoJSON: [single(format="geojson", **flight) for flight in FLIGHTS],
    answers.Spaceshot: [spaceshot(num_perturbations=3, **flight) for flight in FLIGHTS],
}


def assert_is(model: type[BaseModel], body: bytes) -> None:
    """`body` has the fields of `model`, of the very types, and no other; what is there is in the schema too."""
    read = model.model_validate_json(body, strict=True, extra="forbid")
    again = json.loads(read.model_dump_json(by_alias=True))
    assert again == json.loads(body)


def asked(client: FlaskClient, address: str) -> bytes:
    response = client.get(address)
    assert response.status_code == 200, response.text
    body: bytes = response.data
    return body


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    document = client.get("/openapi.json").json
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize(("model", "address"), [(model, a) for model, some in ADDRESSES.items() for a in some])
def test_answer_is_as_described(client: FlaskClient, model: type[BaseModel], address: str) -> None:
    assert_is(model, asked(client, address))


def test_refresh_by_post_is_as_described(client: FlaskClient) -> None:
    assert_is(answers.Refreshed, client.post("/sim/refresh").data)


def test_provenance_header_is_as_described_and_has_warnings(client: FlaskClient) -> None:
    headers = client.get(single()).headers
    content = json.loads(headers["X-HABSIM-Provenance"])
    assert all(isinstance(warning, str) for warning in content.pop("warnings"))
    assert_is(answers.Provenance, json.dumps(content).encode())


def test_answers_with_a_failed_member_are_as_described(another_app: Callable[..., Flask], tmp_path: Path) -> None:
    client = another_app(members=3).test_client()
    file = tmp_path / "bucket" / wind_file_name(CYCLE, 1)
    file.write_bytes(bytes(file.stat().st_size))
    for model, address in (
        (answers.Spaceshot, spaceshot(num_perturbations=2)),
        (answers.WindEnsemble, url("/sim/windensemble", POINT)),
        (answers.WindProfile, url("/sim/windprofile", PLACE)),
    ):
        body = asked(client, address)
        assert [failed["model_id"] for failed in json.loads(body)["failed_members"]] == [1]
        assert_is(model, body)


def test_regions_in_one_piece_and_in_many_are_as_described(client: FlaskClient) -> None:
    kinds = set()
    for lon in (-121.8763, *(178.0 + 0.1 * n for n in range(10))):
        body = asked(client, spaceshot(num_perturbations=20, lon=f"{lon:.1f}"))
        assert_is(answers.Spaceshot, body)
        kinds |= {feature["geometry"]["type"] for feature in json.loads(body)["landing"]["contours"]["features"]}
    assert kinds == {"Polygon", "MultiPolygon"}


def test_progress_of_every_kind_is_as_described(app: Flask, client: FlaskClient) -> None:
    client.get(spaceshot(request_id="answers", num_perturbations=1))
    assert_is(answers.Progress, asked(client, "/sim/progress?request_id=answers"))
    client.get(spaceshot(request_id="late", timestamp=START + 24 * 3600))
    body = asked(client, "/sim/progress?request_id=late")
    assert json.loads(body)["error"]
    assert_is(answers.Progress, body)
    for request_id in ("answers", "late"):
        events = re.findall(rb"^data: (.*)$", asked(client, f"/sim/progress-stream?request_id={request_id}"), re.M)
        assert events
        for event in events:
            assert_is(answers.Progress, event)


def test_progress_with_bytes_is_as_described(
    another_app: Callable[..., Flask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    another_app()
    monkeypatch.setattr(app_module, "open_bucket", lambda settings: Elsewhere(tmp_path / "bucket"))
    far = create_app(make_settings(tmp_path)).test_client()
    far.get(spaceshot(request_id="bytes", num_perturbations=1))
    body = asked(far, "/sim/progress?request_id=bytes")
    assert json.loads(body)["bytes_loaded"] > 0
    assert_is(answers.Progress, body)


def test_every_json_answer_of_ours_has_the_schema_of_its_class(document: dict[str, Any]) -> None:
    names = {path: model.__name__ for model, some in ADDRESSES.items() for path in {a.split("?")[0] for a in some}}
    names |= {"/sim/singlezpb": "Flight", "/sim/progress": "Progress"}
    seen = {}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path.startswith("/api/"):
                continue
            content = operation["responses"]["200"]["content"]
            if "application/json" in content:
                seen[path] = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
    assert seen == names
    geojson = document["paths"]["/sim/singlezpb"]["get"]["responses"]["200"]["content"]["application/geo+json"]
    assert geojson["schema"]["$ref"].endswith("/FlightGeoJSON")


def test_schemas_leave_nothing_open(document: dict[str, Any]) -> None:
    """A field is required, or absent for a reason; its type is said."""
    schemas = {name: schema for name, schema in document["components"]["schemas"].items() if hasattr(answers, name)}
    assert len(schemas) > 30
    optional = {
        (name, field)
        for name, schema in schemas.items()
        for field in schema.get("properties", {})
        if field not in schema["required"]
    }
    assert optional == {("Progress", field) for field in ("bytes_loaded", "bytes_total", "error")}
    for schema in schemas.values():
        assert schema["description"]
        for field in schema.get("properties", {}).values():
            assert {"type", "$ref", "anyOf", "const"} & field.keys()
            assert "default" not in field  # a reader would take it for a value that is filled in
