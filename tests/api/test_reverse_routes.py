"""Reverse planning over HTTP: what a search is asked, refused and answered, and who may."""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from api import mission_answers
from habsim.errors import ConflictError
from habsim.reverse import MAX_FLIGHTS
from habsim.reverse import plan as plans
from missions.jobtypes import JOB_TYPES
from missions.reverseresult import Result
from store.manifest import wind_file_name
from store.publish import publish
from tests.api.test_answers import assert_is
from tests.asking import error_text, zpb_landing
from tests.people import PREFIX, World
from tests.worlds import CYCLE, distance, sample, uniform, write_field

UP_AND_DOWN = {"name": "20 km", "asc": 5, "desc": 8, "equil": 20000, "eqtime": 0}
GAS = {"name": "gas", "profile": "physical", "envelope": "kaymont-1200", "payload_mass": 1.0, "asc": 5, "desc": 6}
SEARCH: dict[str, Any] = {
    "target": {"lat": 45.0, "lon": 1.0, "radius": 15000},
    "area": {"lat": 45.0, "lon": 0.5, "radius": 60000, "spacing": 10000},
    "mission": "launch_window",
    "hit": "land",
    "window": {"from": "2026-11-19T00:00:00Z", "to": "2026-11-19T18:00:00Z"},
    "balloons": [UP_AND_DOWN],
}
ARRIVAL: dict[str, Any] = {
    **{name: value for name, value in SEARCH.items() if name not in {"hit", "window"}},
    "mission": "target_window",
    "arrival": {"time": "2026-11-19T12:00:00Z", "days": 0.25, "tolerance_minutes": 10, "step_hours": 1},
}


def changed(base: dict[str, Any], path: str, *value: Any) -> dict[str, Any]:
    """The body with the field at a path of dots set to a value, or left out."""
    body = copy.deepcopy(base)
    *parents, last = path.split(".")
    place: Any = body
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place[name]
    key: Any = int(last) if isinstance(place, list) else last
    if value:
        place[key] = value[0]
    else:
        del place[key]
    return body


class Searching(World):
    def planned(self, body: dict[str, Any]) -> str:
        return str(self.ok("user", "POST", "/reverse/plan", body)["id"])

    def found(self, body: dict[str, Any], query: str = "") -> Any:
        """Plan a search, compute it, and take its results."""
        simulation_id = self.planned(body)
        self.work()
        return self.ok("user", "GET", f"/reverse/plan/{simulation_id}/results{query}")

    def refused(self, body: Any, status: int = 400) -> str:
        """The words in which both routes refuse a body."""
        texts = {
            error_text(self.ask("user", "POST", f"/reverse/{route}", body), status, f"/reverse/{route}")
            for route in ("plan", "estimate")
        }
        (told,) = texts
        assert len(told) < 1000
        assert "pydantic" not in told.lower()
        return told

    def searches(self) -> int:
        return int(self.ok("user", "GET", "/simulations/?type=reverse")["total"])


@pytest.fixture(scope="module")
def world(app: Flask) -> Searching:
    return Searching.of(app)


@pytest.fixture(scope="module")
def done(world: Searching) -> str:
    """A search that the user shares, and that is completed."""
    simulation_id = world.planned({**SEARCH, "name": "Back", "description": "to the field", "shared": True})
    world.work()
    return simulation_id


# --- The contract


def test_an_estimate_is_the_size_and_nothing_is_stored(world: Searching) -> None:
    before = world.searches()
    response = world.ask("user", "POST", "/reverse/estimate", SEARCH)
    assert response.status_code == 200, response.text
    assert_is(mission_answers.SearchEstimate, response.data)
    size = response.json
    assert size is not None
    assert size.pop("seconds") >= 0.0
    assert size == {
        "places": 113, "times": 3, "configurations": 1, "members": 3, "flights": 113 * 3 * 3, "chunks": 1,
        "cycle": CYCLE, "warnings": [],
    }  # fmt: skip
    assert world.searches() == before


def test_a_plan_waits_with_its_estimate_and_the_config_as_it_was_given(world: Searching) -> None:
    body = {**SEARCH, "name": "A name", "description": "Two\nlines", "balloons": [UP_AND_DOWN, GAS]}
    response = world.ask("user", "POST", "/reverse/plan", body)
    assert response.status_code == 202, response.text
    assert_is(mission_answers.SearchSubmitted, response.data)
    answer = response.json
    assert answer is not None
    assert answer["estimate"]["flights"] == 113 * 3 * 2 * 3
    row = world.ok("user", "GET", f"/simulations/{answer['id']}")
    assert (row["type"], row["status"], row["name"], row["description"]) == (
        "reverse", "pending", "A name", "Two\nlines",
    )  # fmt: skip
    assert row["config"]["window"] == {**SEARCH["window"], "step_hours": 6.0}
    assert row["config"]["target"] == SEARCH["target"]
    assert (row["config"]["members"], row["config"]["refine"]) == ("all", True)
    assert "name" not in row["config"]
    # What is kept can be asked again.
    assert world.ok("user", "POST", "/reverse/estimate", row["config"]) == answer["estimate"]
    results = f"/reverse/plan/{answer['id']}/results"
    assert "is pending" in error_text(world.ask("user", "GET", results), 409, results)
    world.ok("user", "POST", f"/simulations/{answer['id']}/cancel")
    assert "is cancelled" in error_text(world.ask("user", "GET", results), 409, results)


@pytest.mark.parametrize("query", ["", "?limit=3&offset=2", "?time=2026-11-19T06:00:00Z", "?limit=1"])
def test_results_are_as_described(world: Searching, done: str, query: str) -> None:
    response = world.ask("user", "GET", f"/reverse/plan/{done}/results{query}")
    assert response.status_code == 200, response.text
    assert_is(mission_answers.SearchResults, response.data)
    assert "NaN" not in response.text


def test_the_simulation_of_a_search_tells_what_it_was_made_from(world: Searching, done: str) -> None:
    row = world.ok("user", "GET", f"/simulations/{done}")
    assert (row["status"], row["progress"], row["shared"], row["name"]) == ("completed", 100.0, True, "Back")
    results = world.ok("user", "GET", f"/reverse/plan/{done}/results")
    assert results["provenance"] == row["provenance"]
    assert (row["provenance"]["cycle"], row["provenance"]["members"]) == (CYCLE, [0, 1, 2])
    assert row["provenance"]["step_seconds"] == 60.0
    whole = world.ask("user", "GET", f"/simulations/{done}/results")
    assert json.loads(whole.data)["launch_times"] == results["launch_times"]


def test_submitting_a_search_as_a_simulation_is_the_same(world: Searching, done: str) -> None:
    given = {"type": "reverse", "config": SEARCH}
    response = world.ask("user", "POST", "/simulations/submit", given)
    assert response.status_code == 202, response.text
    assert response.json is not None
    simulation_id = response.json["id"]
    world.work()
    one, other = (world.ok("user", "GET", f"/reverse/plan/{each}/results") for each in (simulation_id, done))
    assert {**one, "id": done} == other
    for wrong, told in (
        (changed(SEARCH, "target.radius", -1), "config.target.radius is -1, it must be at least 1"),
        (changed(SEARCH, "colour", "red"), "config.colour is unknown"),
        (changed(SEARCH, "window.from"), "config.window.from is missing"),
        (changed(SEARCH, "area.spacing", 10) | {"area": {**SEARCH["area"], "radius": 2e6, "spacing": 10}}, "limit is"),
        (changed(SEARCH, "window", {"from": "2020-01-01T00:00:00Z", "to": "2020-01-02T00:00:00Z"}), "covers 2026-11"),
    ):
        refusal = world.ask("user", "POST", "/simulations/submit", {"type": "reverse", "config": wrong})
        assert told in error_text(refusal, 400, "/simulations/submit")


def test_the_description_of_the_api_has_the_answers_typed(client: FlaskClient) -> None:
    document: Any = client.get("/openapi.json").json
    for path, method, status, name in (
        ("plan", "post", "202", "SearchSubmitted"),
        ("estimate", "post", "200", "SearchEstimate"),
        ("plan/{id}/results", "get", "200", "SearchResults"),
    ):
        operation = document["paths"][f"{PREFIX}/reverse/{path}"][method]
        content = operation["responses"][status]["content"]["application/json"]
        assert content["schema"]["$ref"] == f"#/components/schemas/{name}"
        if method == "post":
            reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            body = document["components"]["schemas"][reference.rpartition("/")[2]]
            assert set(body["required"]) == {"target", "area", "mission", "balloons"}
    assert set(document["components"]["schemas"]["SearchWindow"]["properties"]) == {"from", "to", "step_hours"}


# --- What is found


def test_candidates_are_where_the_wind_carries_into_the_zone(world: Searching, done: str) -> None:
    """Uniform winds: each flight lands where the closed form says, so hits, probabilities and distances are known."""
    found = world.ok("user", "GET", f"/reverse/plan/{done}/results?limit=1000")
    target = SEARCH["target"]
    assert found["flights"]["asked"] == found["flights"]["judged"] == 113 * 3 * 3
    hits = 0
    for candidate in found["candidates"]:
        expected = []
        for member in range(3):
            launched = {**UP_AND_DOWN, "alt": 0, "lat": candidate["lat"], "lon": candidate["lon"]}
            lat, lon = zpb_landing({name: str(value) for name, value in launched.items()}, 10.0 + member, 5.0)
            expected.append(float(distance(lat, lon, target["lat"], target["lon"])))
        count = sum(each <= target["radius"] for each in expected)
        hits += count
        assert candidate["hits"] == count, candidate
        assert candidate["probability"] == pytest.approx(count / 3, abs=1e-6)
        assert candidate["distance"] == pytest.approx(min(expected), abs=30.0)
        assert candidate["member"] == int(min(range(3), key=expected.__getitem__))
    assert hits == found["flights"]["hits"] > 50
    probabilities = {candidate["probability"] for candidate in found["candidates"]}
    assert {0.0, 1.0} < probabilities
    order = [(-candidate["score"], candidate["distance"]) for candidate in found["candidates"]]
    assert order == sorted(order)
    assert [candidate["rank"] for candidate in found["candidates"]] == list(range(1, found["total"] + 1))


def test_pages_are_parts_of_the_whole(world: Searching, done: str) -> None:
    path = f"/reverse/plan/{done}/results"
    whole = world.ok("user", "GET", f"{path}?limit=1000")
    part = world.ok("user", "GET", f"{path}?limit=4&offset=3")
    assert part["candidates"] == whole["candidates"][3:7]
    assert (part["limit"], part["offset"], part["total"]) == (4, 3, whole["total"])
    assert world.ok("user", "GET", f"{path}?offset=1000000")["candidates"] == []


def test_results_of_one_launch_time(world: Searching, done: str) -> None:
    path = f"/reverse/plan/{done}/results"
    whole = world.ok("user", "GET", f"{path}?limit=1000")
    for time in ("2026-11-19T06:00:00Z", "2026-11-19T07:00:00%2B01:00"):
        found = world.ok("user", "GET", f"{path}?limit=1000&time={time}")
        assert found["time"] == "2026-11-19T06:00:00Z"
        of_time = [candidate for candidate in whole["candidates"] if candidate["time"] == found["time"]]
        assert [{**candidate, "rank": 0} for candidate in found["candidates"]] == [
            {**candidate, "rank": 0} for candidate in of_time
        ]
        assert found["total"] == len(of_time) < found["places"] == len(found["map"]["features"])
        assert {feature["properties"]["time"] for feature in found["map"]["features"]} == {found["time"]}
    told = error_text(world.ask("user", "GET", f"{path}?time=2026-11-19T07:00:00Z"), 400, path)
    assert told.startswith("time is 2026-11-19T07:00:00Z, which is none of the launch times")


def test_the_map_has_the_best_of_each_place(world: Searching) -> None:
    """Two balloons that are carried 16 and 33 km: from most places one of them is better."""
    low = {**UP_AND_DOWN, "name": "10 km", "equil": 10000}
    found = world.found({**SEARCH, "balloons": [UP_AND_DOWN, low]}, "?limit=1000")
    features = found["map"]["features"]
    assert len(features) == found["places"] == 113
    best: dict[tuple[float, float], dict[str, Any]] = {}
    for candidate in found["candidates"]:
        best.setdefault((candidate["lon"], candidate["lat"]), candidate)
    assert len(best) > 50
    assert {candidate["configuration"] for candidate in best.values()} == {"20 km", "10 km"}
    for feature in features:
        lon, lat = feature["geometry"]["coordinates"]
        expected = best.get((lon, lat), {"probability": 0.0, "score": 0.0})
        for name in expected.keys() & feature["properties"].keys():
            assert feature["properties"][name] == expected[name], name


def test_launch_times_are_ranked_by_their_best(world: Searching) -> None:
    found = world.found({**SEARCH, "members": [1]})
    times = found["launch_times"]
    assert [each["time"][11:13] for each in times] == ["00", "06", "12"]
    assert sorted(each["rank"] for each in times) == [1, 2, 3]
    assert {each["best"]["time"] for each in times} == {each["time"] for each in times}
    (best,) = [each["best"] for each in times if each["rank"] == 1]
    assert {"rank": 1, "over_water": True, **best} == found["candidates"][0]
    assert all(each["places"] > 0 for each in times)
    assert found["members"] == [1]


def test_probability_is_the_share_of_the_members_that_hit(world: Searching) -> None:
    """One place; the zone lies where member 2 lands, 2.4 km from where the others do."""
    launched = {**UP_AND_DOWN, "alt": 0, "lat": 45.0, "lon": 0.5}
    lat, lon = zpb_landing({name: str(value) for name, value in launched.items()}, 12.0, 5.0)
    body = changed(SEARCH, "area.radius", 0)
    for radius, probability in ((3000, 1 / 3), (8000, 2 / 3), (20000, 1.0)):
        body["target"] = {"lat": lat, "lon": lon, "radius": radius}
        (best, *_) = world.found(body)["candidates"]
        assert best["probability"] == pytest.approx(probability, abs=1e-6), radius
        assert best["member"] == 2
        assert best["distance"] < 30.0


def test_a_flight_passes_through_the_zone_at_an_altitude(world: Searching) -> None:
    body = changed({**SEARCH, "hit": "pass"}, "area.radius", 0)
    body["target"] = {"lat": 45.0, "lon": 0.5, "radius": 5000, "lowest": 15000, "highest": 25000}
    assert world.found(body)["flights"]["hits"] == 0  # by then the wind has carried it away
    body["target"] = {"lat": 45.0, "lon": 0.5, "radius": 5000, "highest": 1000}
    assert world.found(body)["flights"]["hits"] == 9


def test_a_launch_area_that_reaches_into_the_zone_is_told(world: Searching) -> None:
    """Else the best pass is a launch from the middle of the zone, at any time and through any winds."""
    body = {**SEARCH, "hit": "pass"}
    (told,) = world.ok("user", "POST", "/reverse/estimate", body)["warnings"]
    assert told.startswith("launches from within the zone pass through it at their start and rank first")
    assert world.found(body)["warnings"] == [told]
    for other in (SEARCH, ARRIVAL, changed(body, "target.lowest", 1), changed(body, "target.lat", 46)):
        assert world.ok("user", "POST", "/reverse/estimate", other)["warnings"] == []


def test_all_places_of_a_launch_time_are_on_its_map(world: Searching, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few candidates are kept; what is not kept or not shown is counted."""
    body = changed(SEARCH, "area.spacing", 2000)
    body["target"]["radius"] = 100_000
    body["window"]["step_hours"] = 0.2
    simulation_id = world.planned(body)
    world.work()
    path = f"/reverse/plan/{simulation_id}/results?limit=1000"
    places, times = 2821, 90
    found = world.ok("user", "GET", f"{path}&time=2026-11-19T06:12:00Z")
    assert (found["places"], found["times"]) == (places, times)
    reaching = [each["reaching"] for each in found["launch_times"]]
    assert reaching == [each["places"] for each in found["launch_times"]]
    assert (found["reaching"], found["cut"]) == (reaching[31], True)
    assert found["total"] < 0.5 * found["reaching"]
    layer = found["map"]
    assert (len(layer["features"]), layer["total"], layer["cut"]) == (places, places, False)
    assert sum(feature["properties"]["hits"] > 0 for feature in layer["features"]) == reaching[31]
    assert {feature["properties"]["time"] for feature in layer["features"]} == {"2026-11-19T06:12:00Z"}
    scores = [feature["properties"]["score"] for feature in layer["features"]]
    assert scores == sorted(scores, reverse=True)
    whole = world.ok("user", "GET", path)
    assert (whole["reaching"], whole["total"], whole["cut"]) == (sum(reaching), 1000, True)
    monkeypatch.setattr("missions.reverseresult.MAPPED", 100)
    layer = world.ok("user", "GET", path)["map"]
    assert (len(layer["features"]), layer["total"], layer["cut"]) == (100, places, True)
    assert [feature["properties"]["score"] for feature in layer["features"]] == [
        feature["properties"]["score"] for feature in whole["map"]["features"][:100]
    ]


def test_what_an_earlier_version_kept_is_refused_with_the_way_out() -> None:
    with pytest.raises(ConflictError, match=r"earlier version of HABSIM .* search again"):
        Result(json.dumps({"mission": "launch_window", "table": {"columns": {}}}).encode())


def test_who_is_in_the_zone_at_a_time(world: Searching) -> None:
    """In the air for 6500 s: of the launches every hour those of the last two hours are still there to be judged."""
    found = world.found(ARRIVAL)
    assert found["mission"] == "target_window"
    assert found["candidates"]
    for candidate in found["candidates"]:
        assert "2026-11-19T11:50:00Z" <= candidate["hit_time"] <= "2026-11-19T12:10:00Z"
        assert candidate["time"] >= "2026-11-19T10:00:00Z"


@pytest.mark.parametrize("lon", [180.0, -179.95, 179.99])
def test_a_zone_at_the_antimeridian_is_found(world: Searching, lon: float) -> None:
    body = {**SEARCH, "target": {"lat": 10.0, "lon": lon, "radius": 15000}}
    body["area"] = {**SEARCH["area"], "lat": 10.0, "lon": lon - 0.5 if lon > 0 else lon + 359.5, "shape": "square"}
    found = world.found(body)
    assert found["candidates"][0]["probability"] == 1.0
    for candidate in found["candidates"]:
        assert -180.0 <= candidate["lon"] <= 180.0
        assert -180.0 <= candidate["hit_lon"] <= 180.0
    longitudes = [feature["geometry"]["coordinates"][0] for feature in found["map"]["features"]]
    assert min(longitudes) < -179.0
    assert max(longitudes) > 179.0


def test_gas_balloons_are_flown_as_sim_flies_them(world: Searching) -> None:
    """The closest approach of a search is the landing of the same balloon at `/sim/singlezpb`."""
    body = changed({**SEARCH, "balloons": [GAS], "members": [1]}, "area.radius", 0)
    body["target"]["radius"] = 500000
    (best, *_) = world.found(body)["candidates"]
    flight = world.app.test_client().get(
        "/sim/singlezpb?timestamp=1795046400&lat=45&lon=0.5&alt=0&profile=physical&envelope=kaymont-1200"
        "&payload_mass=1&asc=5&desc=6&model=1"
    )
    landing: Any = json.loads(flight.data)[2][-1]
    off = float(distance(best["hit_lat"], best["hit_lon"], landing[1], landing[2]))
    assert off < 30.0
    assert best["time"] == "2026-11-19T00:00:00Z"
    assert best["hit_altitude"] == pytest.approx(0.0, abs=1.0)


def test_a_simulation_that_is_no_search_has_no_such_results(world: Searching) -> None:
    config = {
        "timestamp": 1795050000, "lat": 37.0, "lon": -121.0, "alt": 24, "equil": 30000, "eqtime": 1, "asc": 4,
        "desc": 8,
    }  # fmt: skip
    simulation_id = world.ok("user", "POST", "/simulations/submit", {"type": "forward", "config": config})["id"]
    path = f"/reverse/plan/{simulation_id}/results"
    assert "is of type forward" in error_text(world.ask("user", "GET", path), 404, path)


# --- Who may


def test_every_role_on_every_route(world: Searching, done: str, app: Flask) -> None:
    signed_in = {"nobody": 401, "user": 200, "other": 200, "member": 200, "admin": 200}
    seen = {"nobody": 401, "user": 200, "other": 404, "member": 200, "admin": 200}
    table: dict[tuple[str, str], tuple[dict[str, int], str, Any]] = {
        ("POST", "/reverse/plan"): (
            {role: 202 if status == 200 else status for role, status in signed_in.items()}, "/reverse/plan", SEARCH,
        ),
        ("POST", "/reverse/estimate"): (signed_in, "/reverse/estimate", SEARCH),
        ("GET", "/reverse/plan/<uuid:id>/results"): (seen, f"/reverse/plan/{done}/results", None),
    }  # fmt: skip
    routes = {
        (method, rule.rule.removeprefix(PREFIX))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith(f"{PREFIX}/reverse")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert routes == set(table)
    for (method, _), (statuses, path, body) in table.items():
        for role, status in statuses.items():
            response = world.ask(role, method, path, body)
            assert response.status_code == status, f"{role} {method} {path}: {response.text[:200]}"
            if role == "nobody":  # who may not ask is not told what would be wrong
                assert world.ask(role, method, path, {"wrong": 1}).status_code == 401


def test_a_search_that_is_not_shared_is_for_its_user_alone(world: Searching) -> None:
    simulation_id = world.planned(SEARCH)
    world.work()
    path = f"/reverse/plan/{simulation_id}/results"
    for role, status in (("user", 200), ("admin", 200), ("member", 404), ("other", 404)):
        assert world.ask(role, "GET", path).status_code == status, role
    missing = f"/reverse/plan/{uuid.uuid4()}/results"
    assert world.ask("user", "GET", missing).status_code == 404


# --- What is refused

MISSING = (
    "target", "target.lat", "target.lon", "target.radius", "area", "area.lat", "area.lon", "area.radius",
    "area.spacing", "mission", "window.from", "window.to", "balloons", "balloons.0.name", "balloons.0.asc",
    "balloons.0.desc", "balloons.0.equil", "balloons.0.eqtime",
)  # fmt: skip


@pytest.mark.parametrize("path", MISSING)
def test_what_is_missing_is_named(world: Searching, path: str) -> None:
    assert f"{path} is missing" in world.refused(changed(SEARCH, path))


@pytest.mark.parametrize("path", ["arrival.time", "arrival.days"])
def test_what_is_missing_of_an_arrival_is_named(world: Searching, path: str) -> None:
    assert world.refused(changed(ARRIVAL, path)) == f"{path} is missing"


@pytest.mark.parametrize("path", ["", "target.", "area.", "window.", "balloons.0."])
@pytest.mark.parametrize("name", ["colour", "Radius", "__proto__", "'; DROP TABLE simulations; --"])
def test_unknown_fields_are_refused_at_every_depth(world: Searching, path: str, name: str) -> None:
    assert world.refused(changed(SEARCH, path + name, 1)) == f"{path}{name} is unknown"


OUT_OF_RANGE = [
    ("target.lat", 90.1, "at most 90"), ("target.lat", -90.1, "at least -90"), ("target.lon", 360.5, "at most 360"),
    ("target.lon", -181, "at least -180"), ("target.radius", 0, "at least 1"),
    ("target.radius", 3000000, "at most 2000000"),
    ("target.lowest", -600, "at least -500"), ("target.highest", 60000, "at most 50000"),
    ("area.lat", 91, "at most 90"), ("area.lon", 400, "at most 360"), ("area.radius", -1, "at least 0"),
    ("area.radius", 1e9, "at most 2000000"), ("area.spacing", 9, "at least 10"),
    ("area.spacing", 100000000, "at most 2000000"),
    ("window.step_hours", 0.01, "at least 0.05"), ("window.step_hours", 200, "at most 168"),
    ("balloons.0.asc", 0, "at least 0.1"), ("balloons.0.desc", 21, "at most 20"),
    ("balloons.0.equil", 50000, "less than 50000"), ("balloons.0.eqtime", 49, "at most 48"),
    ("balloons.0.coeff", 2, "at most 1.5"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "limit"), OUT_OF_RANGE)
def test_out_of_range_says_value_and_limit(world: Searching, path: str, value: float, limit: str) -> None:
    told = world.refused(changed(SEARCH, path, value))
    assert told.startswith(f"{path} is {value}, ")
    assert told.endswith(f"it must be {limit}")


@pytest.mark.parametrize(
    ("path", "value", "limit"),
    [("days", 0, "more than 0"), ("days", 31, "at most 30"), ("tolerance_minutes", -1, "at least 0"),
     ("tolerance_minutes", 1441, "at most 1440"), ("step_hours", 0, "at least 0.05")],
)  # fmt: skip
def test_out_of_range_of_an_arrival(world: Searching, path: str, value: float, limit: str) -> None:
    assert world.refused(changed(ARRIVAL, f"arrival.{path}", value)).endswith(f"it must be {limit}")


NUMBERS = [path for path, _, _ in OUT_OF_RANGE]
OTHERS = (
    "target", "area", "area.shape", "mission", "hit", "window", "window.from", "window.to", "balloons",
    "balloons.0.name", "balloons.0.profile", "members", "refine", "cycle", "name", "description", "shared",
)  # fmt: skip


@pytest.mark.parametrize("path", sorted({*NUMBERS, *OTHERS}))
def test_wrong_types_are_refused_by_name(world: Searching, path: str) -> None:
    wrong: list[Any] = ["x" * 60, [-1], {"a": 1}, ["all"], 1e400 if path in NUMBERS else -7.5]
    if path in NUMBERS:
        wrong += ["1", True] if path in {"target.lowest", "target.highest"} else ["1", "NaN", True, None]
    if path in {"name", "description"}:
        wrong.remove("x" * 60)
    for value in wrong:
        content = json.dumps(changed(SEARCH, path, value))
        told = error_text(
            world.ask("user", "POST", "/reverse/plan", data=content, content_type="application/json"), 400, path
        )
        if "Infinity" not in content:
            assert path.split(".", maxsplit=1)[0] in told, (value, told)


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("window.from", "yesterday", "is not an RFC 3339 time with its zone"),
        ("window.from", "2026-11-19", "is not an RFC 3339 time with its zone"),
        ("window.from", "2026-11-19T00:00:00", "is not an RFC 3339 time with its zone"),
        ("window.from", "2026-02-30T00:00:00Z", "day is out of range"),
        ("window.from", "1950-01-01T00:00:00Z", "not within the years 1970 to 2999"),
        ("window.to", "2026-11-19T00:00:00Z", "must be after from"),
        ("window.to", "2026-11-18T00:00:00Z", "must be after from"),
        ("mission", "sideways", "mission is sideways, it must be 'launch_window' or 'target_window'"),
        ("hit", "miss", "hit is miss, it must be 'pass' or 'land'"),
        ("area.shape", "star", "area.shape is star, it must be 'circle' or 'square'"),
        ("balloons", [], "balloons"),
        ("balloons", [{**UP_AND_DOWN, "name": f"b{n}"} for n in range(21)], "at most 20"),
        ("balloons", [UP_AND_DOWN, UP_AND_DOWN], "balloons has '20 km' 2 times; names must differ"),
        ("balloons.0.profile", "reverse", "balloons.0.profile is reverse"),
        ("balloons.0.name", "", "balloons.0.name has 0 characters, it must have at least 1"),
        ("balloons.0.envelope", "kaymont-1200", "envelope is for profile=physical"),
        ("balloons.0", {**GAS, "payload_mass": 100, "asc": None, "volume": 1}, "net lift -"),
        ("balloons.0", {**GAS, "equil": 30000}, "profile=physical needs one of"),
        ("balloons.0", {**GAS, "envelope": "kaymont-1201"}, "there is no envelope 'kaymont-1201'"),
        ("balloons.0", {**UP_AND_DOWN, "profile": "standard", "eqtime": 1}, "bursts at once"),
        ("members", [], 'is neither "all" nor a list of different members, 0..99'),
        ("members", [0, 0], "different members"),
        ("members", [0, True], "different members"),
        ("members", [100], "different members"),
        ("members", "some", "different members"),
        ("members", [0, 7, 9], "members has 7, 9, which cycle 2026111900 has not; it has 0..2"),
        ("target", {**SEARCH["target"], "lowest": 2000, "highest": 1000}, "lowest is 2000 m, it must be at most"),
        ("target.lowest", 2000, "target.lowest is 2000 m, but hit is land, and a landing is on the ground"),
        ("target.highest", 0, "target.highest is 0 m, but hit is land, and a landing is on the ground"),
        ("balloons.0.profile", "float", "hit is land, but the profile float of balloon '20 km' ends in the air"),
        ("cycle", "../../etc", "cycle is ../../etc, it must match"),
        ("arrival", ARRIVAL["arrival"], "arrival is not for mission launch_window; take window"),
        ("window", None, "window is missing; mission launch_window needs it"),
        ("name", "x" * 201, "name has 201 characters, it must have at most 200"),
        ("description", "x" * 2001, "description has 2001 characters"),
        ("name", "a\x00b", "name is"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(world: Searching, path: str, value: Any, told: str) -> None:
    assert told in world.refused(changed(SEARCH, path, value))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"hit": "land"}, "hit is land, but mission target_window"),
        ({"window": SEARCH["window"]}, "window is not for mission target_window; take arrival"),
        ({"arrival": None}, "arrival is missing; mission target_window needs it"),
    ],
)
def test_what_does_not_go_with_an_arrival(world: Searching, change: dict[str, Any], told: str) -> None:
    assert told in world.refused({**ARRIVAL, **change})


@pytest.mark.parametrize("base", [{**SEARCH, "hit": "pass"}, ARRIVAL])
def test_a_pass_may_float_and_has_altitudes(world: Searching, base: dict[str, Any]) -> None:
    floating = changed(base, "balloons.0.profile", "float")
    world.ok("user", "POST", "/reverse/estimate", changed(floating, "target.lowest", 1000))


def test_a_search_of_a_million_millions_is_refused_with_the_count_and_the_limit(world: Searching) -> None:
    body = {**SEARCH, "area": {**SEARCH["area"], "radius": 2_000_000, "spacing": 10, "shape": "square"}}
    body["window"] = {"from": "2026-11-19T00:00:00Z", "to": "2026-11-19T12:00:00Z", "step_hours": 1}
    flights = 400_001**2 * 12 * 3
    assert flights > 10**12
    told = world.refused(body)
    assert f"the search has {flights:,} flights" in told
    assert f"the limit is {MAX_FLIGHTS:,}" in told
    response = world.ask("user", "POST", "/reverse/plan", body)
    assert response.json is not None
    assert response.json["details"] == {"flights": flights, "limit": MAX_FLIGHTS}


def test_too_many_launch_times_are_refused(world: Searching) -> None:
    body = changed(SEARCH, "area.radius", 0)
    body["window"] = {"from": "1970-01-01T00:00:00Z", "to": "2999-01-01T00:00:00Z", "step_hours": 1}
    told = world.refused(body)
    assert "launch times, the limit is 5,000" in told
    assert "9,0" in told


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            changed(SEARCH, "window", {"from": "2026-12-01T00:00:00Z", "to": "2026-12-08T00:00:00+02:00"}),
            "the launch times 2026-12-01T00:00:00Z to 2026-12-07T18:00:00Z are outside cycle 2026111900",
        ),
        (
            changed(ARRIVAL, "arrival.time", "2026-11-18T12:00:00Z"),
            "arrival.time is 2026-11-18T12:00:00Z, outside cycle 2026111900",
        ),
    ],
)
def test_times_outside_the_cycle_are_refused_with_what_it_covers(
    world: Searching, body: dict[str, Any], told: str
) -> None:
    refusal = world.refused(body)
    assert refusal.startswith(told)
    assert refusal.endswith("which covers 2026-11-19T00:00:00Z to 2026-11-20T00:00:00Z")


def test_times_that_are_outside_in_part_are_told(world: Searching) -> None:
    body = changed(SEARCH, "window.to", "2026-11-20T18:00:00Z")
    warning = (
        "2 of 7 launch times are outside cycle 2026111900, which covers 2026-11-19T00:00:00Z to 2026-11-20T00:00:00Z"
    )
    assert world.ok("user", "POST", "/reverse/estimate", body)["warnings"] == [warning]
    found = world.found(body)
    assert found["warnings"] == [warning]
    reasons = {lost["reason"]: lost for lost in found["flights"]["lost"]}
    outside = reasons["are launched outside the times of the cycle"]
    assert (outside["flights"], outside["first"], outside["last"]) == (
        2 * 113 * 3, "2026-11-20T06:00:00Z", "2026-11-20T12:00:00Z",
    )  # fmt: skip
    assert "are still in the air when the winds of the cycle end" in reasons
    assert len(found["launch_times"]) == 4


def test_a_cycle_that_is_not_there(world: Searching) -> None:
    assert "2020010100" in world.refused({**SEARCH, "cycle": "2020010100"}, 404)
    assert world.ok("user", "POST", "/reverse/estimate", {**SEARCH, "cycle": CYCLE})["cycle"] == CYCLE


@pytest.mark.parametrize("content", ["", "[]", "null", '"x"', "3", "{", '{"target": NaN}', "[" * 100_000, "\xff"])
def test_what_is_no_json_object_is_refused(world: Searching, content: str) -> None:
    for route in ("plan", "estimate"):
        more = {"data": content.encode("latin-1"), "content_type": "application/json"}
        assert world.ask("user", "POST", f"/reverse/{route}", **more).status_code == 400


def test_a_body_of_a_megabyte_is_refused(world: Searching) -> None:
    for body in ({**SEARCH, "name": "x" * 1_100_000}, {**SEARCH, "members": [1] * 600_000}):
        path = "/reverse/plan"
        assert "too large" in error_text(world.ask("user", "POST", path, body), 413, path)


@pytest.mark.parametrize("text", ["'; DROP TABLE simulations; --", "<script>alert(1)</script>", '"><img src=x>'])
def test_text_is_kept_as_text(world: Searching, text: str) -> None:
    body = {**SEARCH, "name": text, "description": text, "balloons": [{**UP_AND_DOWN, "name": text}]}
    found = world.found(body)
    assert found["candidates"][0]["configuration"] == text
    row = world.ok("user", "GET", f"/simulations/{found['id']}")
    assert (row["name"], row["description"]) == (text, text)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("limit=0", "limit is 0, it must be at least 1"), ("limit=1001", "limit is 1001, it must be at most 1000"),
        ("limit=x", "is not a whole number"), ("offset=-1", "offset is -1, it must be at least 0"),
        ("limit=1&limit=2", "given 2 times"), ("time=now", "RFC 3339"), ("time=", "RFC 3339"), ("limt=5", "limit"),
    ],
)  # fmt: skip
def test_parts_that_cannot_be_asked_for(world: Searching, done: str, query: str, told: str) -> None:
    path = f"/reverse/plan/{done}/results"
    assert told in error_text(world.ask("user", "GET", f"{path}?{query}"), 400, path)


# --- While it runs


def test_without_a_cycle_nothing_is_planned(another_app: Callable[..., Flask]) -> None:
    empty = Searching.of(another_app(members=0))
    assert "cycle" in empty.refused(SEARCH, 503)
    assert empty.searches() == 0


def test_launches_over_water_are_told(another_app: Callable[..., Flask], tmp_path: Path) -> None:
    """Land lies east of 0.5 degrees, in cells of half a degree."""
    height = np.where(np.arange(-180.0, 180.0, 0.5) + 0.25 > 0.5, 20, 0).astype(np.int16)
    bounds = np.array([89.75, -89.75, -179.75, 179.75])
    np.savez(tmp_path / "coast.npz", elevation=np.tile(height, (360, 1)), bounds=bounds)
    found = Searching.of(another_app(elevation=tmp_path / "coast.npz")).found(SEARCH)
    off_shore = [candidate for candidate in found["candidates"] if candidate["lon"] != 0.5]
    told = {(candidate["lon"] < 0.5, candidate["over_water"]) for candidate in off_shore}
    assert told == {(True, True), (False, False)}


def test_a_member_that_cannot_be_read_is_left_out_and_named(another_app: Callable[..., Flask], tmp_path: Path) -> None:
    world = Searching.of(another_app(members=3))
    file = tmp_path / "bucket" / wind_file_name(CYCLE, 1)
    file.write_bytes(bytes(file.stat().st_size))
    found = world.found(SEARCH)
    assert found["members"] == [0, 2]
    assert [failed["model_id"] for failed in found["failed_members"]] == [1]
    assert found["warnings"] == ["1 of 3 members cannot be flown and are left out"]
    assert found["candidates"][0]["members"] == 2
    assert found["provenance"]["members"] == [0, 2]


def test_a_search_whose_cycle_has_gone_on_fails_with_what_it_covers(
    another_app: Callable[..., Flask], tmp_path: Path
) -> None:
    """It waits while a cycle comes that begins after its window."""
    world = Searching.of(another_app(members=1))
    bucket = world.services.orchestrator.cycles.bucket
    simulation_id = world.planned(SEARCH)
    later = write_field(tmp_path / wind_file_name("2026112000", 0), sample(uniform(1.0, 1.0), start=1795132800.0))
    publish(bucket, "2026112000", {0: later}, "test")
    world.services.orchestrator.cycles.refresh()
    world.work()
    row = world.ok("user", "GET", f"/simulations/{simulation_id}")
    assert row["status"] == "failed"
    assert row["error"].endswith(
        "are outside cycle 2026112000, which covers 2026-11-20T00:00:00Z to 2026-11-21T00:00:00Z"
    )
    path = f"/reverse/plan/{simulation_id}/results"
    assert "is failed, it has no result" in error_text(world.ask("user", "GET", path), 409, path)


def test_a_search_is_cancelled_under_way(world: Searching, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelled between chunks: nothing of it is kept, and it ends as cancelled."""
    monkeypatch.setattr(plans, "_CHUNK_FLIGHTS", 50)
    world.work()  # what other tests left
    reverse, flown = JOB_TYPES["reverse"], []
    run_chunk = reverse.run_chunk
    simulation_id = world.planned(SEARCH)

    def cancelling(spec: Any, orchestrator: Any) -> bytes:
        flown.append(spec.chunk.index)
        if len(flown) == 4:
            world.ok("user", "POST", f"/simulations/{simulation_id}/cancel")
        return run_chunk(spec, orchestrator)

    monkeypatch.setattr(reverse, "run_chunk", cancelling)
    chunks = world.ok("user", "POST", "/reverse/estimate", SEARCH)["chunks"]
    world.work()
    assert 4 <= len(flown) < chunks
    row = world.ok("user", "GET", f"/simulations/{simulation_id}")
    assert (row["status"], row["result_bytes"], row["provenance"]) == ("cancelled", 0, None)
    with world.services.missions.database.reading() as session:
        kept = session.execute(text("SELECT count(*) FROM chunks")).scalar_one()
    assert kept == 0


def test_progress_grows_chunk_by_chunk(world: Searching, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "_CHUNK_FLIGHTS", 100)
    world.work()  # what other tests left
    reverse, told = JOB_TYPES["reverse"], []
    run_chunk = reverse.run_chunk
    simulation_id = world.planned(SEARCH)

    def watched(spec: Any, orchestrator: Any) -> bytes:
        told.append(world.ok("user", "GET", f"/simulations/{simulation_id}")["progress"])
        return run_chunk(spec, orchestrator)

    monkeypatch.setattr(reverse, "run_chunk", watched)
    world.work()
    assert told[0] == 0.0
    assert 30.0 < max(told) < 100.0
    assert world.ok("user", "GET", f"/simulations/{simulation_id}")["progress"] == 100.0
