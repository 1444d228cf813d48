"""The Tawhiri-compatible route: what its clients send, and what they read."""

from __future__ import annotations

import csv
import io
import math
import xml.etree.ElementTree as ET
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.asking import EARTH_RADIUS, tawhiri, url
from tests.worlds import CYCLE, distance, make_bucket, make_elevation

PATH = "/api/v1/"
FLOAT = {
    "profile": "float_profile",
    "burst_altitude": None,
    "descent_rate": None,
    "float_altitude": 20000,
    "stop_datetime": "2026-11-19T09:00:00Z",
}
REVERSE = {
    "profile": "reverse_profile",
    "burst_altitude": None,
    "descent_rate": None,
    "launch_altitude": 25000,
    "launch_datetime": "2026-11-19T12:00:00Z",
}


def answer(client: FlaskClient, **changes: object) -> Any:
    response = client.get(url(PATH, tawhiri(**changes)))
    assert response.status_code == 200, response.text
    return response.json


def refusal(client: FlaskClient, status: int, kind: str, **changes: object) -> str:
    response = client.get(url(PATH, tawhiri(**changes)))
    assert response.status_code == status, response.text
    body = response.json
    assert body is not None
    assert set(body) == {"error", "metadata"}
    assert body["error"]["type"] == kind
    return str(body["error"]["description"])


def unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def ascent_end(height: float, rate: float, u: float) -> tuple[float, float]:
    """Where an ascent from the sea through a wind of (u, 5) m/s ends; backwards with a negative rate."""
    per_speed = math.log((EARTH_RADIUS + height) / EARTH_RADIUS) / rate
    start = math.radians(52.2135)
    end = start + 5 * per_speed
    moved = u / 5 * (math.asinh(math.tan(end)) - math.asinh(math.tan(start)))
    return math.degrees(end), 0.0964 + math.degrees(moved)


class TestStandard:
    def test_the_shape_is_tawhiris(self, client: FlaskClient) -> None:
        body = answer(client)
        assert set(body) == {"metadata", "prediction", "request", "warnings"}
        assert set(body["metadata"]) == {"start_datetime", "complete_datetime"}
        assert [stage["stage"] for stage in body["prediction"]] == ["ascent", "descent"]
        for stage in body["prediction"]:
            assert set(stage) == {"stage", "trajectory"}
            for point in stage["trajectory"]:
                assert set(point) == {"altitude", "datetime", "latitude", "longitude"}
                assert 0 <= point["longitude"] < 360
        assert isinstance(body["warnings"], dict)

    def test_times_and_altitudes_are_those_of_the_flight(self, client: FlaskClient) -> None:
        body = answer(client)
        ascent, descent = (stage["trajectory"] for stage in body["prediction"])
        assert ascent[0]["datetime"] == "2026-11-19T03:00:00.000Z"
        assert ascent[0]["altitude"] == 0.0
        assert unix(ascent[-1]["datetime"]) - unix(ascent[0]["datetime"]) == pytest.approx(6000, abs=0.1)
        assert ascent[-1] == descent[0]
        assert abs(ascent[-1]["altitude"] - 30000) < 0.1
        assert abs(descent[-1]["altitude"]) < 0.1
        assert body["metadata"]["start_datetime"] == "2026-11-19T03:00:00Z"
        assert unix(body["metadata"]["complete_datetime"]) == pytest.approx(unix(descent[-1]["datetime"]), abs=0.002)

    def test_the_ascent_ends_where_the_closed_form_says(self, client: FlaskClient) -> None:
        for member in (0, 2):
            top = answer(client, member=member)["prediction"][0]["trajectory"][-1]
            expected = ascent_end(30000, 5, 10 + member)
            assert distance(top["latitude"], top["longitude"], *expected) < 2.0

    def test_the_request_is_told_with_its_defaults(self, client: FlaskClient) -> None:
        assert answer(client, launch_longitude=-0.5)["request"] == {
            "version": 1,
            "profile": "standard_profile",
            "dataset": "2026-11-19T00:00:00Z",
            "launch_latitude": 52.2135,
            "launch_longitude": 359.5,
            "launch_datetime": "2026-11-19T03:00:00Z",
            "launch_altitude": 0.0,
            "format": "json",
            "member": 0,
            "ascent_rate": 5.0,
            "burst_altitude": 30000.0,
            "descent_rate": 5.0,
        }

    def test_the_launch_altitude_is_the_ground_by_default(
        self, another_app: Callable[..., Flask], tmp_path: Path
    ) -> None:
        client = another_app(elevation=make_elevation(tmp_path / "hill.npz", 321.0)).test_client()
        body = answer(client)
        assert body["request"]["launch_altitude"] == 321.0
        assert body["prediction"][0]["trajectory"][0]["altitude"] == 321.0
        assert body["prediction"][1]["trajectory"][-1]["altitude"] == pytest.approx(321.0, abs=0.1)
        higher = answer(client, launch_altitude=1000)
        assert higher["prediction"][0]["trajectory"][0]["altitude"] == 1000.0
        lifted = answer(client, launch_altitude=-100)
        assert lifted["prediction"][0]["trajectory"][0]["altitude"] == 321.0

    def test_both_longitude_conventions_are_one_flight(self, client: FlaskClient) -> None:
        west, east = answer(client, launch_longitude=-5.5), answer(client, launch_longitude=354.5)
        assert west["prediction"] == east["prediction"]
        assert west["request"] == east["request"]

    def test_longitudes_wrap_at_greenwich(self, client: FlaskClient) -> None:
        (ascent, _) = (s["trajectory"] for s in answer(client, launch_longitude=359.9)["prediction"])
        assert ascent[0]["longitude"] == 359.9
        assert 0 < ascent[-1]["longitude"] < 5

    def test_the_headers_name_the_source(self, client: FlaskClient) -> None:
        response = client.get(url(PATH, tawhiri()))
        assert response.headers["X-HABSIM-Cycle"] == CYCLE
        assert '"demo":false' in response.headers["X-HABSIM-Provenance"]


class TestOtherProfiles:
    def test_float_stops_at_the_time_asked(self, client: FlaskClient) -> None:
        body = answer(client, **FLOAT)
        assert [stage["stage"] for stage in body["prediction"]] == ["ascent", "float"]
        ascent, drift = (stage["trajectory"] for stage in body["prediction"])
        assert unix(drift[0]["datetime"]) - unix(ascent[0]["datetime"]) == pytest.approx(4000, abs=0.1)
        assert unix(drift[-1]["datetime"]) == pytest.approx(unix("2026-11-19T09:00:00Z"), abs=0.1)
        assert all(abs(point["altitude"] - 20000) < 0.1 for point in drift)
        assert body["request"]["float_altitude"] == 20000.0
        assert body["request"]["stop_datetime"] == "2026-11-19T09:00:00Z"

    def test_float_from_a_hill_stops_at_the_time_asked_too(
        self, another_app: Callable[..., Flask], tmp_path: Path
    ) -> None:
        client = another_app(elevation=make_elevation(tmp_path / "hill.npz", 2000.0)).test_client()
        for altitude in (None, 0, 5000):
            drift = answer(client, **FLOAT, launch_altitude=altitude)["prediction"][1]["trajectory"]
            assert unix(drift[-1]["datetime"]) == pytest.approx(unix("2026-11-19T09:00:00Z"), abs=0.1)

    def test_reverse_goes_back_to_where_the_ascent_began(self, client: FlaskClient) -> None:
        body = answer(client, **REVERSE)
        (ascent,) = (stage["trajectory"] for stage in body["prediction"])
        assert body["prediction"][0]["stage"] == "ascent"
        times = [unix(point["datetime"]) for point in ascent]
        first, last = (ascent[0], ascent[-1]) if times[0] < times[-1] else (ascent[-1], ascent[0])
        assert max(times) - min(times) == pytest.approx(5000, abs=0.1)
        assert abs(first["altitude"]) < 0.1
        assert (last["altitude"], last["latitude"], last["longitude"]) == (25000.0, 52.2135, 0.0964)
        expected = ascent_end(25000, -5, 10)
        assert distance(first["latitude"], first["longitude"], *expected) < 2.0

    def test_reverse_and_forward_meet(self, client: FlaskClient) -> None:
        top = answer(client)["prediction"][0]["trajectory"][-1]
        back = answer(
            client,
            **{
                **REVERSE,
                "launch_altitude": top["altitude"],
                "launch_latitude": top["latitude"],
                "launch_longitude": top["longitude"],
                "launch_datetime": top["datetime"],
            },
        )["prediction"][0]["trajectory"]
        start = min(back, key=lambda point: point["altitude"])
        assert distance(start["latitude"], start["longitude"], 52.2135, 0.0964) < 2.0
        assert unix(start["datetime"]) == pytest.approx(unix("2026-11-19T03:00:00Z"), abs=0.1)


class TestFormats:
    def points(self, client: FlaskClient, **changes: object) -> list[Any]:
        return [point for stage in answer(client, **changes)["prediction"] for point in stage["trajectory"]]

    def test_csv(self, client: FlaskClient) -> None:
        response = client.get(url(PATH, tawhiri(format="csv", launch_longitude=359.9)))
        assert response.mimetype == "text/csv"
        rows = list(csv.DictReader(io.StringIO(response.text)))
        assert list(rows[0]) == ["datetime", "latitude", "longitude", "altitude"]
        points = self.points(client, launch_longitude=359.9)
        assert len(rows) == len(points)
        for row, point in zip(rows, points, strict=True):
            assert row["datetime"] == point["datetime"]
            assert float(row["latitude"]) == pytest.approx(point["latitude"], abs=1e-7)
            assert -180 <= float(row["longitude"]) <= 180
            assert (float(row["longitude"]) - point["longitude"]) % 360 == pytest.approx(0, abs=1e-6) or (
                float(row["longitude"]) - point["longitude"]
            ) % 360 == pytest.approx(360, abs=1e-6)
            assert float(row["altitude"]) == pytest.approx(point["altitude"], abs=0.01)

    def test_kml(self, client: FlaskClient) -> None:
        response = client.get(url(PATH, tawhiri(format="kml", launch_longitude=200)))
        assert response.mimetype == "application/vnd.google-earth.kml+xml"
        lines = ET.fromstring(response.text).findall(".//{*}LineString/{*}coordinates")
        assert len(lines) == 2
        numbers = [[float(x) for x in place.split(",")] for line in lines for place in (line.text or "").split()]
        assert all(-180 <= lon <= 180 for lon, _, _ in numbers)
        assert numbers[0] == [-160.0, 52.2135, 0.0]

    @pytest.mark.parametrize("name", ["csv", "kml"])
    def test_files_have_a_name(self, client: FlaskClient, name: str) -> None:
        disposition = client.get(url(PATH, tawhiri(format=name))).headers["Content-Disposition"]
        assert disposition == f'attachment; filename="prediction.{name}"'


class TestTimes:
    @pytest.mark.parametrize(
        "text",
        [
            "2026-11-19T03:00:00Z",
            "2026-11-19t03:00:00z",
            "2026-11-19 03:00:00Z",
            "2026-11-19T03:00:00.000Z",
            "2026-11-19T03:00:00.000000000Z",
            "2026-11-19T03:00:00+00:00",
            "2026-11-19T03:00:00-00:00",
            "2026-11-19T08:30:00+05:30",
            "2026-11-18T19:00:00-08:00",
            "2026-11-19T17:00:00+14:00",
        ],
    )
    def test_every_way_to_write_a_moment_is_that_moment(self, client: FlaskClient, text: str) -> None:
        assert answer(client, launch_datetime=text) == answer(client)

    def test_a_plus_that_was_not_escaped_is_understood(self, client: FlaskClient) -> None:
        query = urlencode(tawhiri(launch_datetime="2026-11-19T08:30:00+05:30"), quote_via=quote, safe=":+")
        assert "+05:30" in query
        response = client.get(f"{PATH}?{query}")
        assert response.json == answer(client)

    def test_fractions_of_a_second_count(self, client: FlaskClient) -> None:
        first = answer(client, launch_datetime="2026-11-19T03:00:00.250Z")["prediction"][0]["trajectory"][0]
        assert first["datetime"] == "2026-11-19T03:00:00.250Z"


class TestDataset:
    def test_the_current_one_by_default(self, client: FlaskClient) -> None:
        assert answer(client, dataset="2026-11-19T00:00:00Z") == answer(client)
        assert answer(client, dataset="2026-11-19T01:00:00+01:00") == answer(client)

    def test_another_one_can_be_named(self, another_app: Callable[..., Flask], tmp_path: Path) -> None:
        client = another_app(members=1).test_client()
        make_bucket(tmp_path / "bucket", members=1, cycle="2026111906")
        client.post("/sim/refresh")
        launch_datetime = "2026-11-19T07:00:00Z"
        assert answer(client, launch_datetime=launch_datetime)["request"]["dataset"] == "2026-11-19T06:00:00Z"
        older = answer(client, launch_datetime=launch_datetime, dataset="2026-11-19T00:00:00Z")
        assert older["request"]["dataset"] == "2026-11-19T00:00:00Z"

    @pytest.mark.parametrize("dataset", ["2026-11-19T06:00:00Z", "1970-01-01T00:00:00Z", "2999-12-31T18:00:00Z"])
    def test_one_that_is_not_there_is_404(self, client: FlaskClient, dataset: str) -> None:
        text = refusal(client, 404, "InvalidDatasetException", dataset=dataset)
        assert "is not in the bucket" in text

    @pytest.mark.parametrize("dataset", ["2026-11-19T03:00:00Z", "2026-11-19T00:00:01Z", "2026-11-19T00:00:00.5Z"])
    def test_a_time_between_cycles_is_404_and_says_when_they_start(self, client: FlaskClient, dataset: str) -> None:
        text = refusal(client, 404, "InvalidDatasetException", dataset=dataset)
        assert "cycles start at 00, 06, 12 and 18 UTC" in text

    def test_an_unknown_member_is_404(self, client: FlaskClient) -> None:
        assert "it has 0..2" in refusal(client, 404, "InvalidDatasetException", member=9)


class TestRefusals:
    """What Tawhiri answers with 500 for a user's mistake is 400 here."""

    @pytest.mark.parametrize(
        ("changes", "text"),
        [
            ({"launch_datetime": "2026-11-18T23:59:59Z"}, "is outside the cycle, which covers 2026-11-19T00:00:00Z to"),
            ({"launch_datetime": "2026-11-21T00:00:00Z"}, "is outside the cycle"),
            ({"launch_datetime": "2026-11-19T23:00:00Z"}, "when the winds of the cycle end"),
            ({"format": "pdf"}, "format is pdf, it must be 'json', 'csv' or 'kml'"),
            ({"launch_latitude": 90.001}, "launch_latitude is 90.001, it must be at most 90"),
            ({"launch_longitude": 360.5}, "launch_longitude is 360.5, it must be at most 360"),
            ({"launch_longitude": -180.5}, "launch_longitude is -180.5, it must be at least -180"),
            ({"ascent_rate": 0}, "ascent_rate is 0, it must be at least 0.1"),
            ({"descent_rate": -5}, "descent_rate is -5, it must be at least 0.1"),
            ({"burst_altitude": 10, "launch_altitude": 20}, "burst_altitude is 10 m, below the launch altitude 20 m"),
            ({"burst_altitude": 60000}, "burst_altitude is 60000, it must be at most 54000"),
            ({"burst_altitude": None}, "standard_profile needs burst_altitude"),
            ({"ascent_rate": None, "descent_rate": None}, "standard_profile needs ascent_rate, descent_rate"),
            ({"profile": "float_profile"}, "float_profile needs float_altitude, stop_datetime"),
            ({"profile": "hover_profile"}, "profile is hover_profile, it must be 'standard_profile', 'float_profile'"),
            ({**FLOAT, "stop_datetime": "2026-11-19T03:30:00Z"}, "2200 s before the balloon is at 20000 m"),
            ({**FLOAT, "stop_datetime": "2026-11-21T03:30:00Z"}, "when the winds of the cycle end"),
            (
                {**FLOAT, "float_altitude": 10, "launch_altitude": 20},
                "float_altitude is 10 m, below the launch altitude",
            ),
            ({**REVERSE, "launch_datetime": "2026-11-19T00:30:00Z"}, "of the cycle"),
            ({"version": 2}, "version is 2, it must be '1'"),
        ],
        ids=str,
    )
    def test_the_callers_mistakes_are_400(self, client: FlaskClient, changes: dict[str, object], text: str) -> None:
        assert text in refusal(client, 400, "RequestException", **changes)

    def test_the_poles_are_no_mistake(self, client: FlaskClient) -> None:
        for latitude in (90, -90):
            for stage in answer(client, launch_latitude=latitude)["prediction"]:
                assert all(math.isfinite(point["longitude"]) for point in stage["trajectory"])

    def test_warnings_are_named(self, client: FlaskClient) -> None:
        warnings = answer(client, burst_altitude=52000)["warnings"]
        assert any("above the top level (1 hPa)" in warning["description"] for warning in warnings.values())
