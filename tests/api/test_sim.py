"""The routes under `/sim`: shapes, units, numbers against closed forms, formats, headers, reproducibility."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import math
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

import brotli  # type: ignore[import-untyped]
import numpy as np
import pytest
import shapely
from flask import Flask
from flask.testing import FlaskClient

from api.formats import FORMATS
from api.services import GEFS_PRODUCTS
from forecasts import noaa
from habsim import atmosphere
from habsim.classes import Flights, Simulator
from store.bucket import CURRENT, LocalBucket
from store.manifest import cycle_at, cycle_start, wind_file_name
from tests.asking import launch, single, spaceshot, url, zpb_landing, zpb_seconds
from tests.elsewhere import publish_waves
from tests.worlds import CYCLE, START, distance, make_bucket, make_elevation, sample, uniform, write_field

NOT_JSON = [name for name in FORMATS if name != "json"]


def answer(client: FlaskClient, address: str, **headers: str) -> Any:
    """The JSON of a good answer."""
    response = client.get(address, headers=headers)
    assert response.status_code == 200, response.text
    assert response.mimetype == "application/json"
    return response.json


def landing(flight: list[list[list[float]]]) -> list[float]:
    return next(phase for phase in reversed(flight) if phase)[-1]


class TestSingle:
    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"asc": 10, "desc": 3, "eqtime": 0, "alt": 0},
            {"eqtime": 3.5, "equil": 15000.5},
            {"coeff": 0.5},
            {"coeff": 1.5, "lat": -60.25},
            {"step": 5},
            {"step": 600},
            {"alt": 30000, "equil": 30000},
            {"timestamp": START + 3600.25},
            {"lon": 179.5},
            {"lon": 238.1237},
            {"lon": 0},
            {"lon": 359.9},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("model", [0, 2])
    def test_lands_where_the_closed_form_says(
        self, client: FlaskClient, model: int, changes: dict[str, object]
    ) -> None:
        parameters = launch(**changes)
        time, lat, lon, alt, *_ = landing(answer(client, single(model, **changes)))
        expected = zpb_landing(parameters, 10.0 + model, 5.0)
        assert distance(lat, lon, *expected) < 2.0
        assert abs(alt) < 0.1
        assert abs(time - float(parameters["timestamp"]) - zpb_seconds(parameters)) < 0.1

    def test_points_have_time_place_altitude_wind_and_two_zeros(self, client: FlaskClient) -> None:
        flight = answer(client, single(2))
        assert [len(phase) > 1 for phase in flight] == [True, True, True]
        assert all(len(point) == 8 and point[4:] == [12.0, 5.0, 0, 0] for phase in flight for point in phase)
        assert all(isinstance(zero, int) for phase in flight for point in phase for zero in point[6:])
        assert flight[0][0][:4] == [START + 3600, 37.3553, -121.8763, 24.0]

    def test_phases_join_and_time_never_goes_back(self, client: FlaskClient) -> None:
        ascent, coast, descent = answer(client, single())
        assert ascent[-1] == coast[0]
        assert coast[-1] == descent[0]
        times = np.array([point[0] for phase in (ascent, coast, descent) for point in phase])
        assert (np.diff(times) >= 0).all()
        assert abs(ascent[-1][3] - 30000) < 0.1
        assert abs(coast[-1][0] - coast[0][0] - 3600) < 0.1
        assert all(abs(point[3] - 30000) < 0.1 for point in coast)

    def test_steps_are_at_most_as_long_as_asked(self, client: FlaskClient) -> None:
        for step in (5, 30):
            times = [point[0] for phase in answer(client, single(step=step)) for point in phase]
            assert np.diff(times).max() <= step + 0.002

    def test_a_flight_without_a_coast_time_has_at_most_a_moment_of_coast(self, client: FlaskClient) -> None:
        ascent, coast, descent = answer(client, single(eqtime=0))
        assert ascent and descent
        assert all(point[0] == ascent[-1][0] for point in coast)

    def test_profile_standard_falls_under_a_parachute(self, client: FlaskClient) -> None:
        ascent, coast, descent = answer(client, single(profile="standard", eqtime=0, desc=5, step=5))
        assert ascent
        assert coast == []
        times, altitudes = np.array(descent)[:, 0], np.array(descent)[:, 3]
        speed = -np.diff(altitudes) / np.diff(times)
        # The standard atmosphere at 30 km is 0.0184 / 1.225 as dense as at the sea: sqrt of it is 0.1226.
        assert speed[0] == pytest.approx(5 / 0.1226, rel=0.02)
        assert speed[-1] == pytest.approx(5, rel=0.05)
        assert abs(altitudes[-1]) < 0.1

    def test_profile_float_stays_up(self, client: FlaskClient) -> None:
        ascent, coast, descent = answer(client, single(profile="float", eqtime=2))
        assert ascent
        assert descent == []
        assert abs(coast[-1][0] - coast[0][0] - 7200) < 0.1
        assert abs(coast[-1][3] - 30000) < 0.1

    def test_longitudes_follow_the_convention_of_the_request(self, client: FlaskClient) -> None:
        west, east = (answer(client, single(lon=lon)) for lon in ("-121.8763", "238.1237"))
        for a, b in zip(np.concatenate(west), np.concatenate(east), strict=True):
            assert b[2] - a[2] == pytest.approx(360, abs=2e-7)
            assert np.array_equal(np.delete(a, 2), np.delete(b, 2))

    @pytest.mark.parametrize(("lon", "low", "high"), [("179.9", -180, 180), ("359.9", 0, 360), ("180.5", 0, 360)])
    def test_longitudes_wrap_within_the_convention(
        self, client: FlaskClient, lon: str, low: float, high: float
    ) -> None:
        longitudes = np.concatenate(answer(client, single(lon=lon)))[:, 2]
        assert (longitudes >= low).all()
        assert (longitudes <= high).all()
        crosses = lon != "180.5"
        assert (np.abs(np.diff(longitudes)) > 180).any() == crosses

    def test_a_launch_below_the_ground_starts_on_it(self, another_app: Callable[..., Flask], tmp_path: Path) -> None:
        app = another_app(elevation=make_elevation(tmp_path / "hill.npz", 500.0))
        client = app.test_client()
        flight = answer(client, single())
        assert flight[0][0][3] == 500.0
        time, lat, lon, alt, *_ = landing(flight)
        assert alt == pytest.approx(500.0, abs=0.1)
        assert time - START - 3600 == pytest.approx(zpb_seconds(launch(), ground=500.0), abs=0.1)
        assert distance(lat, lon, *zpb_landing(launch(), 10.0, 5.0, ground=500.0)) < 2.0
        refused = client.get(single(equil=300))
        assert refused.status_code == 400
        assert refused.json == {
            "error": "equil is 300 m, below the ground at the launch, 500 m",
            "details": None,
        }

    def test_above_the_top_level_there_is_a_warning(self, client: FlaskClient) -> None:
        notes = {
            top: json.loads(client.get(single(equil=top)).headers["X-HABSIM-Provenance"])["warnings"]
            for top in (20000, 49999)
        }
        assert not any("top level" in note for note in notes[20000])
        assert any("above the top level (1 hPa)" in note for note in notes[49999])

    def test_another_cycle_can_be_named(self, client: FlaskClient) -> None:
        assert client.get(single(cycle=CYCLE)).data == client.get(single()).data


class TestFormats:
    @pytest.mark.parametrize("name", NOT_JSON)
    def test_by_parameter_and_by_accept_header_are_the_same(self, client: FlaskClient, name: str) -> None:
        media_type = FORMATS[name].media_type
        by_parameter = client.get(single(format=name))
        by_header = client.get(single(), headers={"Accept": media_type})
        assert by_parameter.status_code == by_header.status_code == 200
        assert by_parameter.mimetype == by_header.mimetype == media_type
        assert by_parameter.data == by_header.data
        assert by_parameter.headers["Content-Disposition"] == f'attachment; filename="habsim-{CYCLE}-00.{name}"'
        assert "Accept" in by_parameter.headers["Vary"]

    def test_all_hold_the_same_landing(self, client: FlaskClient) -> None:
        _, lat, lon, alt, *_ = landing(answer(client, single()))
        body = {name: client.get(single(format=name)).text for name in NOT_JSON}
        (mark,) = [f for f in json.loads(body["geojson"])["features"] if f["properties"].get("name") == "landing"]
        assert mark["geometry"]["coordinates"] == [lon, lat, alt]
        row = list(csv.DictReader(io.StringIO(body["csv"])))[-1]
        assert (float(row["latitude"]), float(row["longitude"]), float(row["altitude"])) == (lat, lon, alt)
        point = ET.fromstring(body["gpx"]).findall(".//{*}trkpt")[-1]
        assert (float(point.attrib["lat"]), float(point.attrib["lon"])) == (lat, lon)
        lines = ET.fromstring(body["kml"]).findall(".//{*}LineString/{*}coordinates")
        assert [float(x) for x in (lines[-1].text or "").split()[-1].split(",")] == [lon, lat, alt]

    def test_geojson_is_valid(self, client: FlaskClient) -> None:
        collection = json.loads(client.get(single(format="geojson", lon="179.9")).text)
        assert_feature_collection(collection)
        assert any(f["geometry"]["type"] == "MultiLineString" for f in collection["features"])

    @pytest.mark.parametrize(
        ("accept", "expected"),
        [
            (None, "application/json"),
            ("*/*", "application/json"),
            ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
            ("application/octet-stream", "application/json"),
            ("text/csv;q=0.5, application/gpx+xml", "application/gpx+xml"),
            ("nonsense;;;q=x", "application/json"),
        ],
    )
    def test_the_header_is_negotiated(self, client: FlaskClient, accept: str | None, expected: str) -> None:
        assert client.get(single(), headers={"Accept": accept} if accept else {}).mimetype == expected

    def test_the_parameter_wins_over_the_header(self, client: FlaskClient) -> None:
        assert client.get(single(format="json"), headers={"Accept": "text/csv"}).mimetype == "application/json"
        assert client.get(single(format="csv"), headers={"Accept": "application/json"}).mimetype == "text/csv"


def assert_feature_collection(collection: Any) -> None:
    """RFC 7946: types, closed anticlockwise rings, longitude before latitude and both in range."""
    assert collection["type"] == "FeatureCollection"
    for feature in collection["features"]:
        assert feature["type"] == "Feature"
        assert isinstance(feature["properties"], dict)
        geometry = shapely.from_geojson(json.dumps(feature["geometry"]))
        assert geometry.is_valid
        west, south, east, north = geometry.bounds
        assert -180 <= west <= east <= 180
        assert -90 <= south <= north <= 90
        if feature["geometry"]["type"].endswith("Polygon"):
            for polygon in getattr(geometry, "geoms", [geometry]):
                assert polygon.exterior.is_ccw
                assert not any(ring.is_ccw for ring in polygon.interiors)


class TestHeaders:
    def test_provenance_says_what_a_flight_was_made_from(self, client: FlaskClient) -> None:
        headers = client.get(single(1, step=30)).headers
        assert headers["X-HABSIM-Cycle"] == CYCLE
        provenance = json.loads(headers["X-HABSIM-Provenance"])
        assert provenance.pop("warnings") == ["below the lowest level (1000 hPa) the wind of that level was used"]
        assert provenance.pop("code_version")
        assert provenance == {
            "cycle": CYCLE,
            "product": "test",
            "demo": False,
            "members": [1],
            "vertical_scheme": "US Standard Atmosphere 1976, linear in log pressure",
            "step_seconds": 30.0,
            "seed": None,
        }

    @pytest.mark.parametrize(("product", "demo"), [("demo", True), ("Größe \N{BALLOON}\r\nX-Evil: 1", False)])
    def test_provenance_is_json_in_one_line_whatever_the_product(
        self, another_app: Callable[..., Flask], tmp_path: Path, product: str, demo: bool
    ) -> None:
        make_bucket(tmp_path / "bucket", members=1, product=product)
        client = another_app(members=0).test_client()
        headers = client.get(single()).headers
        provenance = json.loads(headers["X-HABSIM-Provenance"])
        assert (provenance["product"], provenance["demo"]) == (product, demo)
        assert "X-Evil" not in headers
        status = answer(client, "/sim/status")
        assert (status["product"], status["demo"]) == (product, demo)
        assert answer(client, spaceshot())["provenance"]["demo"] == demo
        for name in ("kml", "geojson"):
            assert ("Demonstration winds" in client.get(single(format=name)).text) == (demo and name == "kml")

    @pytest.mark.parametrize(
        "address",
        [
            spaceshot(num_perturbations=1),
            url("/sim/wind", {"lat": "1", "lon": "2", "alt": "3", "timestamp": str(START), "model": "0"}),
            url("/sim/windensemble", {"lat": "1", "lon": "2", "alt": "3", "timestamp": str(START)}),
            url("/sim/windprofile", {"lat": "1", "lon": "2", "timestamp": str(START)}),
        ],
    )
    def test_the_cycle_is_named(self, client: FlaskClient, address: str) -> None:
        assert client.get(address).headers["X-HABSIM-Cycle"] == CYCLE

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_head_answers_as_get_without_the_body(self, client: FlaskClient, method: str) -> None:
        response = client.open(single(), method=method)
        assert response.status_code == 200
        assert int(response.headers["Content-Length"]) > 1000
        assert bool(response.data) == (method == "GET")


class TestCompression:
    def decoded(self, body: bytes, encoding: str) -> bytes:
        return gzip.decompress(body) if encoding == "gzip" else bytes(brotli.decompress(body))

    @pytest.mark.parametrize("encoding", ["gzip", "br"])
    @pytest.mark.parametrize(
        "address", [single(), single(format="kml"), single(format="csv"), spaceshot(num_perturbations=2)]
    )
    def test_answers_are_compressed_when_asked(self, client: FlaskClient, address: str, encoding: str) -> None:
        plain = client.get(address)
        response = client.get(address, headers={"Accept-Encoding": encoding})
        assert response.headers["Content-Encoding"] == encoding
        assert "Accept-Encoding" in response.headers["Vary"]
        assert "Content-Encoding" not in plain.headers
        assert len(response.data) < 0.6 * len(plain.data)
        assert self.decoded(response.data, encoding) == plain.data

    def test_streams_are_not(self, client: FlaskClient) -> None:
        client.get(spaceshot(num_perturbations=1, request_id="compressed"))
        response = client.get("/sim/progress-stream?request_id=compressed", headers={"Accept-Encoding": "gzip, br"})
        assert "Content-Encoding" not in response.headers
        assert b'"status": "complete"' in response.data


class TestCors:
    def test_any_page_may_read_answers(self, client: FlaskClient) -> None:
        headers = client.get(single(), headers={"Origin": "https://map.example"}).headers
        assert headers["Access-Control-Allow-Origin"] in {"*", "https://map.example"}
        assert "Access-Control-Allow-Credentials" not in headers
        exposed = headers["Access-Control-Expose-Headers"]
        assert {"X-HABSIM-Cycle", "X-HABSIM-Provenance", "X-Request-Id", "Retry-After"} <= set(exposed.split(", "))

    def test_errors_may_be_read_too(self, client: FlaskClient) -> None:
        for address in ("/sim/singlezpb", "/nowhere"):
            response = client.get(address, headers={"Origin": "https://map.example"})
            assert response.headers["Access-Control-Allow-Origin"] in {"*", "https://map.example"}

    def test_preflight_allows_what_it_asks(self, client: FlaskClient) -> None:
        asked = {
            "Origin": "https://map.example",
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "Authorization",
        }
        response = client.options("/sim/spaceshot", headers=asked)
        assert response.status_code == 200
        assert response.headers["Access-Control-Allow-Origin"] in {"*", "https://map.example"}
        assert "GET" in response.headers["Access-Control-Allow-Methods"]
        assert response.headers["Access-Control-Allow-Headers"] == "Authorization"

    def test_origins_can_be_restricted(self, another_app: Callable[..., Flask]) -> None:
        client = another_app(cors_origins="https://a.example, https://b.example").test_client()
        allowed = {
            origin: client.get("/health", headers={"Origin": origin}).headers.get("Access-Control-Allow-Origin")
            for origin in ("https://a.example", "https://b.example", "https://c.example")
        }
        assert allowed == {
            "https://a.example": "https://a.example",
            "https://b.example": "https://b.example",
            "https://c.example": None,
        }


class TestEnsemble:
    def test_the_shape_is_the_contract(self, client: FlaskClient) -> None:
        body = answer(client, spaceshot(num_perturbations=4))
        assert set(body) == {
            "paths", "heatmap_data", "request_id", "cycle", "members", "failed_members", "seed", "landing",
            "warnings", "provenance",
        }  # fmt: skip
        assert body["cycle"] == CYCLE
        assert body["members"] == [0, 1, 2]
        assert body["failed_members"] == []
        assert isinstance(body["seed"], int)
        assert all(isinstance(warning, str) for warning in body["warnings"])
        assert [[len(phase) > 1 for phase in path] for path in body["paths"]] == [[True, True, True]] * 3
        assert set(body["landing"]) == {"mean", "ellipse", "contours", "over_water"}
        assert set(body["landing"]["ellipse"]) == {"50", "90"}
        for ellipse in body["landing"]["ellipse"].values():
            assert ellipse["semi_major_m"] >= ellipse["semi_minor_m"] > 0
            assert 0 <= ellipse["bearing_deg"] < 180

    def test_members_land_where_the_closed_form_says(self, client: FlaskClient) -> None:
        body = answer(client, spaceshot(num_perturbations=1))
        for member, path in enumerate(body["paths"]):
            _, lat, lon, alt, *_ = landing(path)
            assert distance(lat, lon, *zpb_landing(launch(), 10.0 + member, 5.0)) < 2.0
            assert abs(alt) < 0.1
            hot = body["heatmap_data"][member]
            assert (hot["lat"], hot["lon"]) == (lat, lon)

    def test_a_members_path_is_its_single_flight(self, client: FlaskClient) -> None:
        body = answer(client, spaceshot(num_perturbations=1))
        assert body["paths"] == [answer(client, single(member)) for member in (0, 1, 2)]

    def test_heatmap_has_members_first_and_then_perturbations(self, client: FlaskClient) -> None:
        rows = answer(client, spaceshot(num_perturbations=4))["heatmap_data"]
        expected = [(perturbation, model) for perturbation in (-1, 0, 1, 2, 3) for model in (0, 1, 2)]
        assert [(row["perturbation_id"], row["model_id"]) for row in rows] == expected
        assert [row["weight"] for row in rows] == [2.0] * 3 + [1.0] * 12
        assert all(set(row) == {"lat", "lon", "perturbation_id", "model_id", "weight"} for row in rows)

    @pytest.mark.parametrize(("count", "points"), [(None, 63), (1, 6), (100, 303)])
    def test_number_of_perturbations(self, client: FlaskClient, count: int | None, points: int) -> None:
        assert len(answer(client, spaceshot(num_perturbations=count))["heatmap_data"]) == points

    def test_perturbations_stay_close(self, client: FlaskClient) -> None:
        """Half-widths of the contract: the slowest and the fastest balloon of it bound the way flown."""
        rows = answer(client, spaceshot(num_perturbations=100, eqtime=0))["heatmap_data"]
        start, u = (37.3553, -121.8763), 10.0
        near = distance(*start, *zpb_landing(launch(eqtime=0, asc=4.5, desc=8.5, equil=29800, alt=74, coeff=0.9), u, 5))
        far = distance(*start, *zpb_landing(launch(eqtime=0, asc=3.5, desc=7.5, equil=30200, alt=0), u, 5))
        flown = [distance(*start, row["lat"], row["lon"]) for row in rows if row["model_id"] == 0][1:]
        assert len(set(flown)) == 100
        assert near - 200 < min(flown) < max(flown) < far + 200  # the launch itself moves by 0.001 degrees

    @pytest.mark.parametrize("lon", ["-121.8763", "238.1237"])
    def test_longitudes_follow_the_convention_of_the_request(self, client: FlaskClient, lon: str) -> None:
        body = answer(client, spaceshot(num_perturbations=2, lon=lon))
        longitudes = [
            *(row["lon"] for row in body["heatmap_data"]),
            *(point[2] for path in body["paths"] for phase in path for point in phase),
            body["landing"]["mean"]["lon"],
        ]
        assert all(abs(longitude - float(lon)) < 10 for longitude in longitudes)

    def test_statistics_describe_the_landings(self, client: FlaskClient) -> None:
        body = answer(client, spaceshot(num_perturbations=50))
        rows = body["heatmap_data"]
        weights = [row["weight"] for row in rows]
        mean = body["landing"]["mean"]
        expected = [np.average([row[axis] for row in rows], weights=weights) for axis in ("lat", "lon")]
        assert distance(mean["lat"], mean["lon"], *expected) < 50
        contours = body["landing"]["contours"]
        assert_feature_collection(contours)
        assert [f["properties"]["probability"] for f in contours["features"]] == [0.3, 0.5, 0.7, 0.9]
        regions = [shapely.from_geojson(json.dumps(f["geometry"])) for f in contours["features"]]
        inside = sum(row["weight"] for row in rows if regions[-1].covers(shapely.Point(row["lon"], row["lat"])))
        assert inside / sum(weights) > 0.8
        assert all(a.area < b.area for a, b in pairwise(regions))

    def test_contours_are_cut_at_the_antimeridian(self, client: FlaskClient) -> None:
        lon = 180.0 - (zpb_landing(launch(lon=0), 11.0, 5.0)[1])
        contours = answer(client, spaceshot(lon=f"{lon:.4f}", num_perturbations=50))["landing"]["contours"]
        assert_feature_collection(contours)
        assert contours["features"][-1]["geometry"]["type"] == "MultiPolygon"

    def test_over_water_is_the_share_of_landings_on_ground_at_0_m(
        self, client: FlaskClient, another_app: Callable[..., Flask], tmp_path: Path
    ) -> None:
        assert answer(client, spaceshot())["landing"]["over_water"] == 1.0
        elevation = np.full((180, 360), 10, np.int16)
        west, east = (zpb_landing(launch(lon=0), 10.0 + member, 5.0)[1] for member in (0, 1))
        elevation[:, 180:] = 0  # sea east of Greenwich; its shore lies between the landings of members 0 and 1
        ground = tmp_path / "shore.npz"
        np.savez(ground, elevation=elevation, bounds=np.array([89.5, -89.5, -179.5, 179.5]))
        app = another_app(members=2, elevation=ground)
        body = answer(app.test_client(), spaceshot(lon=f"{-(west + east) / 2:.5f}", num_perturbations=30))
        wet = sum(row["weight"] for row in body["heatmap_data"] if row["lon"] > 0)
        total = sum(row["weight"] for row in body["heatmap_data"])
        assert 0 < wet < total
        assert body["landing"]["over_water"] == pytest.approx(wet / total, abs=1e-4)

    def test_a_damaged_member_is_named_and_the_others_fly(
        self, another_app: Callable[..., Flask], tmp_path: Path
    ) -> None:
        client = another_app(members=3).test_client()
        file = tmp_path / "bucket" / wind_file_name(CYCLE, 1)
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 0xFF
        file.write_bytes(content)
        body = answer(client, spaceshot(num_perturbations=2))
        assert body["members"] == [0, 1, 2]
        assert [path is None for path in body["paths"]] == [False, True, False]
        (failed,) = body["failed_members"]
        assert failed["model_id"] == 1
        assert "SHA-256" in failed["reason"]
        assert {row["model_id"] for row in body["heatmap_data"]} == {0, 2}
        alone = client.get(single(1))
        assert alone.status_code == 503
        assert "SHA-256" in alone.json["error"]  # type: ignore[index]
        winds = answer(client, url("/sim/windensemble", {"lat": "1", "lon": "2", "alt": "3", "timestamp": str(START)}))
        assert [row["model"] for row in winds["members"]] == [0, 2]
        assert [row["model_id"] for row in winds["failed_members"]] == [1]

    def test_the_service_is_ready_while_any_member_flies(
        self, another_app: Callable[..., Flask], tmp_path: Path
    ) -> None:
        client = another_app(members=2).test_client()
        files = [tmp_path / "bucket" / wind_file_name(CYCLE, member) for member in (0, 1)]
        for file, ready in zip(files, (200, 503), strict=True):
            file.write_bytes(bytes(file.stat().st_size))
            assert client.get("/ready").status_code == ready
            assert client.get("/sim/status").status_code == ready
            assert client.get(spaceshot(seed=ready)).status_code == ready
        assert "no member of cycle" in client.get("/ready").json["error"]  # type: ignore[index]


class TestReproducibility:
    def test_the_same_request_gives_the_same_bytes_on_another_machine(
        self, client: FlaskClient, another_app: Callable[..., Flask]
    ) -> None:
        there = another_app(members=3).test_client()
        assert there.get(spaceshot()).data == client.get(spaceshot()).data

    def test_the_seed_decides_the_perturbations(self, client: FlaskClient) -> None:
        first, second, again = (
            answer(client, spaceshot(seed=seed, request_id=f"s{n}")) for n, seed in enumerate((7, 8, 7))
        )
        assert (first["seed"], second["seed"]) == (7, 8)
        assert first["heatmap_data"] == again["heatmap_data"]
        assert first["heatmap_data"][3:] != second["heatmap_data"][3:]
        assert first["paths"] == second["paths"]

    def test_the_default_seed_comes_from_the_request(self, client: FlaskClient) -> None:
        seeds = {answer(client, spaceshot(lat=lat, num_perturbations=1))["seed"] for lat in ("37", "37", "38")}
        assert len(seeds) == 2

    def test_more_perturbations_keep_the_first_ones(self, client: FlaskClient) -> None:
        few, many = (answer(client, spaceshot(num_perturbations=n))["heatmap_data"] for n in (5, 20))
        assert few == many[: len(few)]


STILL = {f"perturb__{name}": 0 for name in ("lat", "lon", "alt", "equil", "eqtime", "asc", "desc", "coeff")}


class TestPerturbations:
    def spread(self, client: FlaskClient, **changes: object) -> float:
        """Largest distance of a perturbed landing from its member's, m."""
        rows = answer(client, spaceshot(eqtime=0, **changes))["heatmap_data"]
        own = {row["model_id"]: row for row in rows if row["perturbation_id"] == -1}
        return max(
            float(distance(r["lat"], r["lon"], own[r["model_id"]]["lat"], own[r["model_id"]]["lon"])) for r in rows
        )

    def test_all_at_zero_leave_one_landing_for_each_member(self, client: FlaskClient) -> None:
        assert self.spread(client, **STILL) < 0.05

    @pytest.mark.parametrize(
        ("name", "width", "expected"),
        [
            # metres on the ground: a degree of latitude is 111195 m; a metre of climb is the wind for 1/4 + 1/8 s
            ("lat", 0.5, 0.5 * 111195),
            ("lon", 0.5, 0.5 * 111195 * math.cos(math.radians(37.3553))),
            ("equil", 1000, 1000 * 13 * (1 / 4 + 1 / 8)),
            ("coeff", 0.2, 0.2 * 13 * 30000 * (1 / 4 + 1 / 8)),
        ],
    )
    def test_an_entry_can_be_replaced(self, client: FlaskClient, name: str, width: float, expected: float) -> None:
        changes: dict[str, object] = {**STILL, f"perturb__{name}": width}
        assert 0.85 * expected < self.spread(client, num_perturbations=60, **changes) < 1.02 * expected

    def test_parameters_that_are_no_perturbations_are_ignored(self, client: FlaskClient) -> None:
        assert answer(client, spaceshot(utm_source="x", model=0)) == answer(client, spaceshot())


class TestRequestId:
    def test_it_is_half_the_md5_of_the_query_as_given(self, client: FlaskClient) -> None:
        """The example is the one that the clients' own code gives."""
        asked = launch(timestamp="1795050000", lat="37.50", lon="-121.8763", eqtime="0.0", coeff="0.95", asc="4.0")
        text = "1795050000_37.50_-121.8763_24_30000_0.0_4.0_8_0.9"
        expected = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:16]
        assert f"{0.95:.1f}" == "0.9"  # as binary numbers are rounded, in the browser's toFixed too
        assert answer(client, url("/sim/spaceshot", asked))["request_id"] == expected == "cf61783127ea077b"

    def test_coeff_is_1_0_when_it_is_not_given(self, client: FlaskClient) -> None:
        given = answer(client, spaceshot(coeff="1"))["request_id"]
        assert given == answer(client, spaceshot())["request_id"]
        values = [launch()[name] for name in ("timestamp", "lat", "lon", "alt", "equil", "eqtime", "asc", "desc")]
        text = "_".join([*values, "1.0"])
        assert given == hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:16]

    def test_clients_may_send_their_own(self, client: FlaskClient) -> None:
        assert answer(client, spaceshot(request_id="My_own-1"))["request_id"] == "My_own-1"
        progress = answer(client, "/sim/progress?request_id=My_own-1")
        assert progress["status"] == "complete"

    @pytest.mark.parametrize(
        "changes",
        [
            {"num_perturbations": 3},
            {"seed": 5},
            {"profile": "float"},
            {"step": 60},
            {"perturb__asc": 0.1},
            {"lon": "238.1237"},
            {"coeff": "1.04"},
            {"lat": "37.36"},
        ],
        ids=str,
    )
    def test_other_content_under_the_same_id_gets_its_own_answer(
        self, client: FlaskClient, changes: dict[str, object]
    ) -> None:
        one = client.get(spaceshot(request_id="same", num_perturbations=2)).data
        other = client.get(spaceshot(**{"request_id": "same", "num_perturbations": 2, **changes})).data
        alone = client.get(spaceshot(**{"request_id": "alone", "num_perturbations": 2, **changes})).data
        assert other != one
        assert other == alone.replace(b'"request_id":"alone"', b'"request_id":"same"')

    def test_two_at_once_under_the_same_id_get_their_own_answers(self, app: Flask) -> None:
        seeds = list(range(1000, 1004))
        with ThreadPoolExecutor(len(seeds)) as pool:
            asked = [pool.submit(app.test_client().get, spaceshot(request_id="at-once", seed=seed)) for seed in seeds]
        bodies = [json.loads(future.result().data) for future in asked]
        assert [body["seed"] for body in bodies] == seeds
        assert len({json.dumps(body["heatmap_data"]) for body in bodies}) == len(seeds)


class TestAtOnce:
    def test_identical_requests_are_computed_once(self, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
        """All are under way before the first flight may end, and each member is flown once."""
        flown: list[Simulator] = []
        go = Event()
        fly = Simulator.fly

        def counted(simulator: Simulator, *args: Any, **options: Any) -> Flights:
            flown.append(simulator)
            assert go.wait(60)
            return fly(simulator, *args, **options)

        monkeypatch.setattr(Simulator, "fly", counted)
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(app.test_client().get, spaceshot(seed=4242)) for _ in range(4)]
            try:
                while not flown:
                    assert not any(future.done() for future in asked)
            finally:
                go.set()
        bodies = {future.result().data for future in asked}
        assert len(bodies) == 1
        assert len(flown) == 3
        assert all(future.result().status_code == 200 for future in asked)

    def test_a_kept_result_is_not_computed_again(self, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
        first = app.test_client().get(spaceshot(seed=4243)).data
        monkeypatch.setattr(Simulator, "fly", None)
        assert app.test_client().get(spaceshot(seed=4243)).data == first

    def test_when_all_slots_are_taken_the_answer_is_429(
        self, another_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        app = another_app(max_ensembles=1, ensemble_wait_seconds=0.2)
        go, started = Event(), Event()
        fly = Simulator.fly

        def held(simulator: Simulator, *args: Any, **options: Any) -> Flights:
            started.set()
            assert go.wait(60)
            return fly(simulator, *args, **options)

        monkeypatch.setattr(Simulator, "fly", held)
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(app.test_client().get, spaceshot(seed=1))
            assert started.wait(60)
            try:
                assert answer(app.test_client(), "/sim/status")["active_requests"] == 1
                refused = app.test_client().get(spaceshot(seed=2))
            finally:
                go.set()
            assert running.result().status_code == 200
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 0
        assert "1" in refused.json["error"]  # type: ignore[index]
        assert app.test_client().get(spaceshot(seed=2)).status_code == 200
        assert answer(app.test_client(), "/sim/status")["active_requests"] == 0


POINT = {"lat": "12.5", "lon": "-77.25", "alt": "9000", "timestamp": str(START + 5000.5)}


class TestWinds:
    @pytest.mark.parametrize(
        ("u", "v", "direction"),
        [(0, -7, 0.0), (-7, 0, 90.0), (0, 7, 180.0), (7, 0, 270.0), (3, 4, 216.9), (-3, -4, 36.9)],
    )
    def test_direction_is_where_the_wind_comes_from(
        self, another_app: Callable[..., Flask], tmp_path: Path, u: float, v: float, direction: float
    ) -> None:
        make_bucket(tmp_path / "bucket", members=1, field=sample(uniform(u, v), degrees=30.0))
        client = another_app(members=0).test_client()
        wind = answer(client, url("/sim/wind", {**POINT, "model": "0"}))
        assert wind == {"u": u, "v": v, "speed": round(math.hypot(u, v), 3), "direction": direction}

    def test_wind_is_that_of_the_member(self, client: FlaskClient) -> None:
        for model in (0, 1, 2):
            wind = answer(client, url("/sim/wind", {**POINT, "model": str(model)}))
            assert (wind["u"], wind["v"]) == (10.0 + model, 5.0)

    def test_ensemble_has_all_members_mean_and_spread(self, client: FlaskClient) -> None:
        body = answer(client, url("/sim/windensemble", POINT))
        assert set(body) == {"cycle", "members", "failed_members", "mean", "spread"}
        assert [(row["model"], row["u"], row["v"]) for row in body["members"]] == [(0, 10, 5), (1, 11, 5), (2, 12, 5)]
        assert (body["mean"]["u"], body["mean"]["v"]) == (11.0, 5.0)
        assert body["mean"]["speed"] == round(math.hypot(11, 5), 3)
        assert body["spread"] == {"u": round(math.sqrt(2 / 3), 3), "v": 0.0}
        assert all(set(row) == {"model", "u", "v", "speed", "direction"} for row in body["members"])

    def test_another_cycle_can_be_named(self, another_app: Callable[..., Flask], tmp_path: Path) -> None:
        client = another_app(members=1).test_client()
        make_bucket(tmp_path / "bucket", cycle="2026111906", field=sample(uniform(40, 5), start=START + 6 * 3600))
        answer(client, "/sim/refresh")
        point = {**POINT, "timestamp": str(START + 8 * 3600)}
        for cycle, u in ((CYCLE, 10.0), ("2026111906", 40.0)):
            named = {**point, "cycle": cycle}
            assert answer(client, url("/sim/wind", {**named, "model": "0"}))["u"] == u
            for path in ("/sim/windensemble", "/sim/windprofile"):
                body = answer(client, url(path, named))
                assert body["cycle"] == cycle
                assert np.all(body["mean"]["u"] == np.array(u))

    @pytest.mark.parametrize("lon", ["-77.25", "282.75", "-180", "180", "360", "0"])
    def test_every_longitude_convention_is_taken(self, client: FlaskClient, lon: str) -> None:
        assert answer(client, url("/sim/wind", {**POINT, "model": "0", "lon": lon}))["u"] == 10.0
        assert answer(client, url("/sim/elev", {"lat": "12.5", "lon": lon})) == {"elevation": 0.0}

    @pytest.mark.parametrize("lat", ["90", "-90"])
    def test_poles_are_places_too(self, client: FlaskClient, lat: str) -> None:
        assert math.isfinite(answer(client, url("/sim/wind", {**POINT, "model": "0", "lat": lat}))["speed"])
        assert client.get(single(lat=lat)).status_code == 200


OVER = {"lat": "12.5", "lon": "-77.25", "timestamp": str(START + 5000.5)}


class TestWindProfile:
    def test_winds_are_those_of_the_flow_at_each_altitude(
        self, another_app: Callable[..., Flask], tmp_path: Path
    ) -> None:
        """Linear in the logarithm of the pressure, which is what the winds are between their levels."""
        make_bucket(
            tmp_path / "bucket",
            members=1,
            field=sample(lambda lat, lon, p, t: (30 - 8 * np.log(p / 1000), lat + 0 * p - t / 21600), degrees=2.5),
        )
        app = another_app(members=0, elevation=make_elevation(tmp_path / "hill.npz", 1210.0))
        body = answer(app.test_client(), url("/sim/windprofile", OVER))
        assert (body["cycle"], body["timestamp"], body["ground"]) == (CYCLE, START + 5000.5, 1210.0)
        altitudes = np.array(body["altitudes"])
        assert altitudes.tolist() == [1210.0, *np.arange(1500.0, 40001.0, 500.0).tolist()]
        (member,) = body["members"]
        assert member["model"] == 0
        assert member["u"] == pytest.approx(30 - 8 * (atmosphere.log_pressure(altitudes) - np.log(1000)), abs=0.05)
        assert member["v"] == pytest.approx(np.full(len(altitudes), 12.5 - 5000.5 / 21600), abs=0.02)

    def test_member_mean_and_spread_are_those_of_the_ensemble_at_each_altitude(
        self, another_app: Callable[..., Flask], tmp_path: Path
    ) -> None:
        publish_waves(LocalBucket(tmp_path / "bucket"), CYCLE, 3)
        client = another_app(members=0).test_client()
        for place in ({"lat": "12.5", "lon": "-77.25"}, {"lat": "-89.9", "lon": "359.9"}):
            body = answer(client, url("/sim/windprofile", {**OVER, **place}))
            assert set(body["mean"]) == {"u", "v", "speed", "direction"}
            for n, altitude in enumerate(body["altitudes"]):
                there = answer(client, url("/sim/windensemble", {**OVER, **place, "alt": str(altitude)}))
                rows = [
                    {"model": row["model"], **{name: row[name][n] for name in body["mean"]}} for row in body["members"]
                ]
                assert rows == there["members"]
                assert {name: column[n] for name, column in body["mean"].items()} == there["mean"]
                assert {name: column[n] for name, column in body["spread"].items()} == there["spread"]
            assert len({tuple(row["u"]) for row in body["members"]}) == 3

    def test_it_is_the_wind_that_a_flight_meets(self, client: FlaskClient) -> None:
        body = answer(client, url("/sim/windprofile", OVER))
        (ascent, *_) = answer(client, single(2, lat=12.5, lon=-77.25, timestamp=START + 5000.5))
        assert [row["model"] for row in body["members"]] == [0, 1, 2]
        assert body["altitudes"][:3] == [0.0, 500.0, 1000.0]
        assert (body["members"][2]["u"][0], body["members"][2]["v"][0]) == (ascent[0][4], ascent[0][5]) == (12.0, 5.0)
        assert body["spread"]["u"] == [round(math.sqrt(2 / 3), 3)] * len(body["altitudes"])
        assert body["mean"]["direction"] == [round(math.degrees(math.atan2(-11, -5)) % 360, 1)] * len(body["altitudes"])

    @pytest.mark.parametrize(
        ("levels", "ground", "expected"),
        [
            ([30, 500, 1000], 0.0, [0.0, 23500.0]),  # the standard atmosphere has 30 hPa at 23 849 m
            ([1, 500, 1000], 0.0, [0.0, 40000.0]),
            ([500, 1000], 6000.0, [6000.0, 6000.0]),  # the ground is above the top level
            ([200, 1000], 500.0, [500.0, 11500.0]),
            ([200, 1000], -400.0, [-400.0, 11500.0]),
        ],
    )
    def test_it_reaches_from_the_ground_to_the_top_level(
        self,
        another_app: Callable[..., Flask],
        tmp_path: Path,
        levels: list[int],
        ground: float,
        expected: list[float],
    ) -> None:
        make_bucket(tmp_path / "bucket", members=1, field=sample(uniform(1, 2), degrees=30.0, levels=levels))
        app = another_app(members=0, elevation=make_elevation(tmp_path / "g.npz", ground))
        body = answer(app.test_client(), url("/sim/windprofile", OVER))
        altitudes = body["altitudes"]
        assert [altitudes[0], altitudes[-1]] == expected
        assert all(0 < b - a <= 500 for a, b in pairwise(altitudes))
        assert {len(column) for column in body["mean"].values()} == {len(altitudes)}

    def test_a_member_without_winds_is_named(self, another_app: Callable[..., Flask], tmp_path: Path) -> None:
        client = another_app(members=3).test_client()
        (tmp_path / "bucket" / wind_file_name(CYCLE, 0)).unlink()
        body = answer(client, url("/sim/windprofile", OVER))
        assert [row["model"] for row in body["members"]] == [1, 2]
        (failed,) = body["failed_members"]
        assert failed["model_id"] == 0
        assert wind_file_name(CYCLE, 0) in failed["reason"]
        assert set(body["mean"]["u"]) == {11.5}


class TestState:
    def test_elevation(self, another_app: Callable[..., Flask], tmp_path: Path) -> None:
        app = another_app(elevation=make_elevation(tmp_path / "hill.npz", 512.0))
        assert answer(app.test_client(), url("/sim/elev", {"lat": "1", "lon": "2"})) == {"elevation": 512.0}

    def test_models_and_which(self, client: FlaskClient) -> None:
        assert answer(client, "/sim/models") == {"models": [0, 1, 2]}
        assert answer(client, "/sim/which") == {"gefs": CYCLE}

    def test_status(self, client: FlaskClient) -> None:
        client.get(single())
        before = time.time()
        body = answer(client, "/sim/status")
        now = datetime.fromisoformat(body.pop("time")).timestamp()
        assert before - 0.001 <= now <= time.time()
        assert abs(body.pop("cycle_age_seconds") - (now - START)) <= 0.51
        memory, results = body.pop("memory_mb"), body.pop("prediction_cache_size")
        assert 10 < memory < 2000
        assert results >= 0
        assert 1 <= body.pop("simulator_cache_size") <= 3
        assert body == {
            "status": "online",
            "active_requests": 0,
            "gefs_cycle": CYCLE,
            "product": "test",
            "demo": False,
            "stale": False,
            "members": [0, 1, 2],
            "expected_members": 3,
            "covers": {"from": "2026-11-19T00:00:00Z", "to": "2026-11-20T00:00:00Z"},
            "ground": "ground.npz",
            "store": "folder",
            "warnings": [],
        }

    @pytest.mark.parametrize(
        ("product", "hours", "said"),
        [
            ("classic", 11, (21, False)),
            ("classic", 24, (21, True)),
            ("full", 24, (21, True)),
            ("full", -24, (21, False)),
            ("demo", 240, (2, False)),
            ("gfs", 240, (2, False)),
            (None, 11, (2, False)),  # files of older tools have no manifest
            (None, 24, (2, True)),
        ],
    )
    def test_status_says_when_a_newer_cycle_should_be_here(
        self,
        another_app: Callable[..., Flask],
        tmp_path: Path,
        product: str | None,
        hours: float,
        said: tuple[int, bool],
    ) -> None:
        cycle = cycle_at(time.time() - hours * 3600)
        bucket = make_bucket(tmp_path / "bucket", members=2, cycle=cycle, product=product or "")
        if product is None:
            bucket.delete(f"{cycle}.json")
        body = answer(another_app(members=0).test_client(), "/sim/status")
        assert (body["expected_members"], body["stale"]) == said
        assert 0 <= body["cycle_age_seconds"] - hours * 3600 < 6 * 3600 + 60

    def test_winds_that_are_held_are_not_stale(self, another_app: Callable[..., Flask], tmp_path: Path) -> None:
        cycle = cycle_at(time.time() - 48 * 3600)
        bucket = LocalBucket(tmp_path / "bucket")
        bucket.root.mkdir()
        winds = sample(uniform(10.0, 5.0), degrees=30.0, start=cycle_start(cycle))
        write_field(bucket.root / wind_file_name(cycle, 0), winds, source={"steady_hours": 24})
        bucket.write(CURRENT, cycle.encode())
        body = answer(another_app(members=0).test_client(), "/sim/status")
        assert (body["stale"], len(body["warnings"])) == (False, 1)

    def test_products_of_the_downloader_are_those_that_are_renewed(self) -> None:
        assert set(noaa.PRODUCTS) == GEFS_PRODUCTS

    def test_a_cycle_with_more_members_than_usual_expects_them(
        self, another_app: Callable[..., Flask], tmp_path: Path
    ) -> None:
        make_bucket(tmp_path / "bucket", members=23, field=sample(uniform(1, 2), degrees=60.0), product="classic")
        assert answer(another_app(members=0).test_client(), "/sim/status")["expected_members"] == 23

    @pytest.mark.parametrize("own", [True, False])
    def test_status_names_the_ground(self, another_app: Callable[..., Flask], tmp_path: Path, own: bool) -> None:
        (tmp_path / "data").mkdir()
        embedded = make_elevation(tmp_path / "data" / "elevation.npz")
        app = another_app(elevation=make_elevation(tmp_path / "hill.npz") if own else None)
        assert embedded.exists()
        assert answer(app.test_client(), "/sim/status")["ground"] == ("hill.npz" if own else "embedded")

    def test_cache_status(self, another_app: Callable[..., Flask]) -> None:
        client = another_app(members=2, cached_predictions=7).test_client()
        client.get(single(1))
        client.get(spaceshot())
        body = answer(client, "/sim/cache-status")
        files = [wind_file_name(CYCLE, member) for member in (0, 1)]
        assert sorted(body["simulator_cache"].pop("entries")) == files
        assert body["simulator_cache"] == {"size": 2, "max_size": 62}
        assert body["gefs_cache"]["files"] == 2
        assert body["gefs_cache"]["total_size_mb"] > 0
        assert body["prediction_cache"] == {"size": 1, "max_size": 7}

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_refresh_finds_a_new_cycle_now(
        self, another_app: Callable[..., Flask], tmp_path: Path, method: str
    ) -> None:
        client = another_app(members=1).test_client()
        newer = "2026111906"
        make_bucket(tmp_path / "bucket", members=2, cycle=newer)
        assert answer(client, "/sim/which") == {"gefs": CYCLE}
        found = client.open("/sim/refresh", method=method)
        assert found.json == {"gefs": newer, "members": 2, "product": "test"}
        assert answer(client, "/sim/which") == {"gefs": newer}
        assert answer(client, "/sim/models") == {"models": [0, 1]}
        later = START + 8 * 3600
        assert client.get(single(timestamp=later)).headers["X-HABSIM-Cycle"] == newer
        assert client.get(single(timestamp=later, cycle=CYCLE)).headers["X-HABSIM-Cycle"] == CYCLE

    def test_a_broken_new_cycle_is_refused_and_the_old_one_stays(
        self, another_app: Callable[..., Flask], tmp_path: Path
    ) -> None:
        client = another_app(members=1).test_client()
        bucket = make_bucket(tmp_path / "bucket", members=2, cycle="2026111906")
        bucket.delete(wind_file_name("2026111906", 1))
        assert answer(client, "/sim/refresh")["gefs"] == CYCLE
        assert client.get(single()).status_code == 200

    def test_files_of_older_tools_without_a_manifest_fly(
        self, another_app: Callable[..., Flask], tmp_path: Path
    ) -> None:
        bucket = LocalBucket(tmp_path / "bucket")
        bucket.root.mkdir()
        write_field(bucket.root / wind_file_name(CYCLE, 0), sample(uniform(10.0, 5.0), degrees=10.0))
        bucket.write(CURRENT, f"{CYCLE}\n".encode())
        client = another_app(members=0).test_client()
        _, lat, lon, *_ = landing(answer(client, single()))
        assert distance(lat, lon, *zpb_landing(launch(), 10.0, 5.0)) < 2.0
