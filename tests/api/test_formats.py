"""Every format is read back by a reader that knows nothing of ours, and compared with the points of the flight."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from api.formats import FORMATS, Provenance, cut_at_antimeridian, negotiate, points_json, rfc3339
from habsim.classes import FlightPhase, Trajectory
from habsim.errors import BadRequestError

Points = npt.NDArray[np.float64]

KML = {"k": "http://www.opengis.net/kml/2.2"}
GPX = {"g": "http://www.topografix.com/GPX/1/1"}
START = 1763035200.0  # 2025-11-13T12:00:00Z
PROVENANCE = Provenance("Launch 7", "2025111312", 3, "GEFS 0.5 degree", warnings=("served from a copy",))
# time, latitude, longitude, altitude, u, v: half a unit of the last decimal, and float noise
TOLERANCE = np.array([5e-4, 5e-8, 5e-8, 5e-3, 5e-4, 5e-4]) * 1.001


def flight(names: str = "ascent coast descent", longitude: float = -121.8763) -> Trajectory:
    """A flight with odd numbers: 9 points a phase, the last of a phase first in the next."""
    phases = []
    corner = np.array([START + 0.1234, 37.35531234567, longitude, 24.0, 5.0, -0.02])
    step = np.array([117.77777, 0.0123456789, 0.0234567891, 1234.5678, 0.3456789, 1.2345678])
    for name in names.split():
        upward = {"ascent": 1.0, "coast": 0.0, "descent": -1.0}[name]
        points = corner + np.arange(9.0)[:, np.newaxis] * step * [1, 1, 1, upward, 1, 1]
        phases.append(FlightPhase(name, points))
        corner = points[-1]
    return Trajectory(tuple(phases), ("winds above 10 hPa are those of 10 hPa",))


def crossing(*longitudes: float) -> Trajectory:
    """An ascent over the given longitudes, one point a minute, a degree and a kilometre."""
    count = np.arange(float(len(longitudes)))
    points = np.stack([START + 60 * count, count, longitudes, 1000 * count, count, -count], axis=1)
    return Trajectory((FlightPhase("ascent", points),))


def write(name: str, trajectory: Trajectory, provenance: Provenance = PROVENANCE) -> bytes:
    return FORMATS[name].write(trajectory, provenance)


def unix(text: str) -> float:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z", text)
    return datetime.fromisoformat(text).timestamp()


def texts(element: ET.Element, path: str, names: dict[str, str]) -> list[str]:
    return [found.text or "" for found in element.findall(path, names)]


def assert_same(read: list[list[float]] | Points, points: Points, columns: list[int]) -> None:
    assert np.shape(read) == (len(points), len(columns))
    assert np.all(np.abs(np.asarray(read) - points[:, columns]) <= TOLERANCE[columns])


class TestJson:
    def test_phases_are_ascent_coast_descent(self) -> None:
        whole = flight()
        backwards = Trajectory(whole.phases[::-1])
        for trajectory in (whole, backwards):
            phases = json.loads(points_json(trajectory))
            for read, phase in zip(phases, whole.phases, strict=True):
                assert_same([point[:6] for point in read], phase.points, [0, 1, 2, 3, 4, 5])

    def test_points_end_with_two_integer_zeros(self) -> None:
        points = np.array([[START, 1.0, 2.0, 3.0, 0.0, 0.0], [START, 1.0, 2.0, 0.0, -1e-9, 0.0]])
        text = points_json(Trajectory((FlightPhase("coast", points),)))
        assert text == (b"[[],[[1763035200.0,1.0,2.0,3.0,0.0,0.0,0,0],[1763035200.0,1.0,2.0,0.0,0.0,0.0,0,0]],[]]")

    @pytest.mark.parametrize("missing", ["ascent", "coast", "descent"])
    def test_missing_phase_is_an_empty_list(self, missing: str) -> None:
        names = ["ascent", "coast", "descent"]
        trajectory = flight(" ".join(name for name in names if name != missing))
        phases = json.loads(points_json(trajectory))
        assert [len(phase) for phase in phases] == [0 if name == missing else 9 for name in names]

    @pytest.mark.parametrize("longitude", [-121.8763, 238.1237, 359.9])
    def test_longitude_convention_is_kept(self, longitude: float) -> None:
        assert json.loads(points_json(flight(longitude=longitude)))[0][0][2] == longitude

    def test_points_of_any_memory_layout(self) -> None:
        points = np.asfortranarray(flight().phases[0].points)[::2]
        phases = json.loads(points_json(Trajectory((FlightPhase("ascent", points),))))
        assert_same([point[:6] for point in phases[0]], points, [0, 1, 2, 3, 4, 5])


class TestGeoJson:
    def test_lines_carry_the_points(self) -> None:
        trajectory = flight()
        lines = [f for f in self.features(trajectory) if f["geometry"]["type"] == "LineString"]
        for line, phase in zip(lines, trajectory.phases, strict=True):
            properties = line["properties"]
            assert properties["phase"] == phase.name
            assert_same(line["geometry"]["coordinates"], phase.points, [2, 1, 3])
            assert_same([[unix(time)] for time in properties["times"]], phase.points, [0])
            winds = np.transpose([properties["u_wind"], properties["v_wind"]])
            assert_same(winds, phase.points, [4, 5])

    def test_marks_are_launch_burst_and_landing(self) -> None:
        trajectory = flight("ascent descent")
        marks = [f for f in self.features(trajectory) if f["geometry"]["type"] == "Point"]
        ascent, descent = (phase.points for phase in trajectory.phases)
        assert [mark["properties"]["name"] for mark in marks] == ["launch", "burst", "landing"]
        for mark, point in zip(marks, [ascent[0], ascent[-1], descent[-1]], strict=True):
            assert_same([mark["geometry"]["coordinates"]], point[np.newaxis], [2, 1, 3])
            read = [[unix(mark["properties"]["time"]), mark["properties"]["altitude"]]]
            assert_same(read, point[np.newaxis], [0, 3])

    def test_flight_without_descent_does_not_burst_or_land(self) -> None:
        marks = [f["properties"].get("name") for f in self.features(flight("ascent coast"))]
        assert marks[2:] == ["launch", "float", "end"]

    def test_phase_of_one_point_has_no_line(self) -> None:
        types = [f["geometry"]["type"] for f in self.features(crossing(10.0))]
        assert types == ["Point", "Point"]

    def test_collection_has_provenance_and_no_forbidden_member(self) -> None:
        collection = json.loads(write("geojson", flight()))
        # RFC 7946 section 7.1
        assert not {"coordinates", "geometries", "geometry", "properties"} & set(collection)
        assert collection["provenance"] == {
            "title": "Launch 7",
            "cycle": "2025111312",
            "member": 3,
            "product": "GEFS 0.5 degree",
            "demo": False,
            "warnings": ["winds above 10 hPa are those of 10 hPa", "served from a copy"],
        }

    @staticmethod
    def features(trajectory: Trajectory) -> list[dict[str, Any]]:
        collection = json.loads(write("geojson", trajectory))
        assert collection["type"] == "FeatureCollection"
        assert all(feature["type"] == "Feature" for feature in collection["features"])
        features: list[dict[str, Any]] = collection["features"]
        return features


class TestKml:
    def test_lines_carry_the_points_at_absolute_altitude(self) -> None:
        trajectory = flight()
        placemarks = self.document(trajectory).findall("k:Placemark", KML)[:3]
        for placemark, phase in zip(placemarks, trajectory.phases, strict=True):
            assert placemark.findtext("k:name", None, KML) == phase.name
            assert placemark.findtext("k:LineString/k:altitudeMode", None, KML) == "absolute"
            assert_same(coordinates(placemark)[0], phase.points, [2, 1, 3])
            span = [[unix(t)] for path in ("begin", "end") for t in texts(placemark, f"*/k:{path}", KML)]
            assert_same(span, phase.points[[0, -1]], [0])

    def test_marks_are_launch_burst_and_landing(self) -> None:
        trajectory = flight("ascent descent")
        ascent, descent = (phase.points for phase in trajectory.phases)
        placemarks = self.document(trajectory).findall("k:Placemark", KML)[2:]
        names = [placemark.findtext("k:name", None, KML) for placemark in placemarks]
        assert names == ["launch", "burst", "landing"]
        for placemark, point in zip(placemarks, [ascent[0], ascent[-1], descent[-1]], strict=True):
            assert placemark.findtext("k:Point/k:altitudeMode", None, KML) == "absolute"
            assert_same(coordinates(placemark)[0], point[np.newaxis], [2, 1, 3])
            begin = placemark.findtext("k:TimeSpan/k:begin", "", KML)
            assert_same([[unix(begin)]], point[np.newaxis], [0])

    def test_elements_stand_in_the_order_of_the_schema(self) -> None:
        order = [
            "name",
            "open",
            "description",
            "TimeSpan",
            "LineString",
            "MultiGeometry",
            "Point",
            "Placemark",
        ]
        document = self.document(crossing(179.5, -179.5))
        for element in (document, *document.findall("k:Placemark", KML)):
            ranks = [order.index(child.tag.split("}")[1]) for child in element]
            assert ranks == sorted(ranks)

    def test_description_names_cycle_member_and_warnings(self) -> None:
        provenance = Provenance("t", "2025111312", 3, "made up", demo=True, warnings=("a < b",))
        document = ET.fromstring(write("kml", flight(), provenance)).find("k:Document", KML)
        assert document is not None
        assert (document.findtext("k:description", "", KML)).split("\n") == [
            "made up, cycle 2025111312, member 3",
            "Demonstration winds: not a forecast",
            "winds above 10 hPa are those of 10 hPa",
            "a &lt; b",
        ]

    @staticmethod
    def document(trajectory: Trajectory) -> ET.Element:
        document = ET.fromstring(write("kml", trajectory)).find("k:Document", KML)
        assert document is not None
        assert document.findtext("k:name", None, KML) == "Launch 7"
        return document


class TestCsv:
    def test_rows_carry_the_points(self) -> None:
        trajectory = flight()
        rows = list(csv.DictReader(io.StringIO(write("csv", trajectory).decode("ascii"), newline="")))
        header = ["datetime", "latitude", "longitude", "altitude", "phase", "u_wind", "v_wind"]
        assert list(rows[0]) == header
        for phase in trajectory.phases:
            own = [row for row in rows if row["phase"] == phase.name]
            numbers = ["latitude", "longitude", "altitude", "u_wind", "v_wind"]
            read = [[unix(row["datetime"]), *(float(row[name]) for name in numbers)] for row in own]
            assert_same(read, phase.points, [0, 1, 2, 3, 4, 5])
        assert [row["phase"] for row in rows] == [p.name for p in trajectory.phases for _ in range(9)]

    def test_lines_end_as_in_rfc_4180(self) -> None:
        text = write("csv", flight())
        assert text.count(b"\r\n") == text.count(b"\n") == 28
        assert text.endswith(b"\r\n")


class TestGpx:
    def test_segments_carry_the_points(self) -> None:
        trajectory = flight()
        root = self.root(trajectory)
        segments = root.findall("g:trk/g:trkseg", GPX)
        for segment, phase in zip(segments, trajectory.phases, strict=True):
            read = [self.read(point) for point in segment.findall("g:trkpt", GPX)]
            assert_same(read, phase.points, [0, 1, 2, 3])

    def test_waypoints_are_launch_burst_and_landing(self) -> None:
        trajectory = flight("ascent descent")
        ascent, descent = (phase.points for phase in trajectory.phases)
        root = self.root(trajectory)
        assert texts(root, "g:wpt/g:name", GPX) == ["launch", "burst", "landing"]
        read = [self.read(point) for point in root.findall("g:wpt", GPX)]
        assert_same(read, np.array([ascent[0], ascent[-1], descent[-1]]), [0, 1, 2, 3])

    def test_elements_stand_in_the_order_of_the_schema(self) -> None:
        root = self.root(flight())
        assert [child.tag.split("}")[1] for child in root] == ["metadata", "wpt", "wpt", "wpt", "wpt", "trk"]
        assert [child.tag.split("}")[1] for child in root[1]] == ["ele", "time", "name"]

    def test_description_says_that_a_demonstration_is_no_forecast(self) -> None:
        provenance = Provenance("t", "2025111312", 3, "made up", demo=True)
        root = ET.fromstring(write("gpx", flight(), provenance))
        assert "Demonstration winds: not a forecast" in root.findtext("g:metadata/g:desc", "", GPX)

    @staticmethod
    def read(point: ET.Element) -> list[float]:
        time, elevation = (point.findtext(f"g:{tag}", "", GPX) for tag in ("time", "ele"))
        return [unix(time), float(point.attrib["lat"]), float(point.attrib["lon"]), float(elevation)]

    @staticmethod
    def root(trajectory: Trajectory) -> ET.Element:
        root = ET.fromstring(write("gpx", trajectory))
        assert (root.tag, root.get("version")) == ("{http://www.topografix.com/GPX/1/1}gpx", "1.1")
        assert texts(root, "*/g:name", GPX)[0] == texts(root, "g:trk/g:name", GPX)[0] == "Launch 7"
        return root


@pytest.mark.parametrize("missing", ["ascent", "coast", "descent"])
def test_formats_leave_out_a_missing_phase(missing: str) -> None:
    names = [name for name in ("ascent", "coast", "descent") if name != missing]
    trajectory = flight(" ".join(names))
    with_empty = Trajectory((*trajectory.phases, FlightPhase(missing, np.empty((0, 6)))), trajectory.warnings)
    for form in ("geojson", "kml", "csv", "gpx"):
        body = write(form, trajectory)
        assert write(form, with_empty) == body
        assert missing.encode() not in body
        assert form == "gpx" or all(name.encode() in body for name in names)


SPECIAL = "<b>&\"'=1+1 ]]> 気球 \N{BALLOON}"


def test_special_characters_in_the_title_survive() -> None:
    provenance = Provenance(SPECIAL, "2025111312", 0, "GEFS")
    assert json.loads(write("geojson", flight(), provenance))["provenance"]["title"] == SPECIAL
    kml = ET.fromstring(write("kml", flight(), provenance))
    assert kml.findtext("k:Document/k:name", None, KML) == SPECIAL
    gpx = ET.fromstring(write("gpx", flight(), provenance))
    assert gpx.findtext("g:trk/g:name", None, GPX) == SPECIAL
    assert gpx.findtext("g:metadata/g:name", None, GPX) == SPECIAL


@pytest.mark.parametrize("bad", ["\x00", "\x0b", "\x1f", "\ufffe", "\ud800"])
def test_characters_that_xml_or_utf8_cannot_hold_are_replaced(bad: str) -> None:
    provenance = Provenance(f"a{bad}b", "2025111312", 0, f"G{bad}", warnings=(bad,))
    kml = ET.fromstring(write("kml", flight(), provenance))
    assert kml.findtext("k:Document/k:name", None, KML) == "a\ufffdb"
    gpx = ET.fromstring(write("gpx", flight(), provenance))
    assert gpx.findtext("g:trk/g:name", None, GPX) == "a\ufffdb"
    assert json.loads(write("geojson", flight(), provenance))["provenance"]["product"] == "G\ufffd"


def coordinates(placemark: ET.Element) -> list[list[list[float]]]:
    lines = texts(placemark, ".//k:coordinates", KML)
    return [[[float(number) for number in place.split(",")] for place in line.split()] for line in lines]


# eastward and westward, in each convention, and across a jump between the two
CROSSINGS = [
    (178.0, 181.0),
    (178.0, -179.0),
    (-179.0, 178.0),
    (181.0, 178.0),
    (-182.0, -179.0),
    (-179.0, -182.0),
]


@pytest.mark.parametrize("longitudes", CROSSINGS)
def test_line_is_cut_at_the_antimeridian(longitudes: tuple[float, float]) -> None:
    share = 2 / 3 if longitudes[0] in (178.0, -182.0) else 1 / 3
    side = 180.0 if longitudes[0] in (178.0, -182.0) else -180.0
    begin, end = (178.0, -179.0) if side > 0 else (-179.0, 178.0)
    cut = [round(share, 7), round(1000 * share, 2)]
    expected = [[[begin, 0, 0], [side, *cut]], [[-side, *cut], [end, 1, 1000]]]

    line = json.loads(write("geojson", crossing(*longitudes)))["features"][0]
    assert line["geometry"] == {"type": "MultiLineString", "coordinates": expected}
    moment = unix("2025-11-13T12:00:00Z") + 60 * share
    assert [[unix(time) for time in part] for part in line["properties"]["times"]] == [
        [START, pytest.approx(moment)],
        [pytest.approx(moment), START + 60],
    ]
    assert line["properties"]["u_wind"] == [[0, round(share, 3)], [round(share, 3), 1]]

    placemark = ET.fromstring(write("kml", crossing(*longitudes))).find("k:Document/k:Placemark", KML)
    assert placemark is not None
    assert placemark.find("k:MultiGeometry", KML) is not None
    assert coordinates(placemark) == expected


def test_line_with_a_point_on_the_antimeridian_is_cut_there() -> None:
    pieces = cut_at_antimeridian(crossing(179.0, 180.0, 181.0).phases[0].points)
    assert [piece[:, 2].tolist() for piece in pieces] == [[179.0, 180.0], [-180.0, -179.0]]


def test_line_that_only_touches_the_antimeridian_is_whole() -> None:
    pieces = cut_at_antimeridian(crossing(179.0, -180.0, 179.0).phases[0].points)
    assert [piece[:, 2].tolist() for piece in pieces] == [[179.0, 180.0, 179.0]]


@pytest.mark.parametrize("longitude", [180.0, 179.99999999, -180.00000001, 540.0])
def test_positions_lie_from_minus_180_up_to_but_not_180(longitude: float) -> None:
    trajectory = crossing(longitude, longitude)
    rows = csv.DictReader(io.StringIO(write("csv", trajectory).decode("ascii"), newline=""))
    assert [float(row["longitude"]) for row in rows] == [-180.0, -180.0]
    points = ET.fromstring(write("gpx", trajectory)).findall(".//*[@lon]")
    assert [float(point.attrib["lon"]) for point in points] == [-180.0] * 4
    placemarks = ET.fromstring(write("kml", trajectory)).findall(".//k:Point/k:coordinates", KML)
    assert {(mark.text or "").split(",")[0] for mark in placemarks} == {"-180.0000000"}


@settings(deadline=None)
@given(
    # An edge reaches less than half round the world, as in any flight away from the poles; a start may be anywhere.
    start=st.floats(-180, 360),
    steps=st.lists(st.tuples(st.floats(-179, 179), st.floats(-1, 1)), min_size=1, max_size=30),
    turns=st.lists(st.integers(-1, 1), min_size=31, max_size=31),
)
def test_cutting_preserves_the_line(start: float, steps: list[tuple[float, float]], turns: list[int]) -> None:
    longitude = start + np.cumsum([0.0, *(east for east, _ in steps)])
    latitude = np.cumsum([0.0, *(north for _, north in steps)])
    count = np.arange(float(len(longitude)))
    zero = np.zeros_like(count)
    # The same places in a mixture of conventions
    given_longitude = (longitude + 180) % 360 - 180 + 360 * np.array(turns[: len(count)])
    points = np.stack([count, latitude, given_longitude, zero, zero, zero], axis=1)

    pieces = cut_at_antimeridian(points)

    along = [np.hypot(np.diff(piece[:, 2]), np.diff(piece[:, 1])).sum() for piece in pieces]
    assert sum(along) == pytest.approx(sum(np.hypot(*step) for step in steps), abs=1e-5)
    for piece in pieces:
        assert len(piece) >= 2
        assert np.all(np.abs(piece[:, 2]) <= 180)
        assert np.all(np.abs(np.diff(piece[:, 2])) <= 180)
    for piece, following in pairwise(pieces):
        assert piece[-1, 2] == -following[0, 2]
        assert abs(piece[-1, 2]) == 180
        assert np.array_equal(np.delete(piece[-1], 2), np.delete(following[0], 2))
    kept = {round(time) for piece in pieces for time in piece[:, 0] if time == round(time)}
    assert kept == set(range(len(count)))


def test_numbers_in_xml_and_csv_have_no_exponent_and_no_negative_zero() -> None:
    points = np.array([[START, -1e-7, 1e-7, 1e-2, 1e-3, -1e-3], [START, -1e-9, -1e-9, -1e-9, -1e-9, -1e-9]])
    trajectory = Trajectory((FlightPhase("ascent", points),))
    for form in ("kml", "csv", "gpx"):
        body = write(form, trajectory)
        assert b"0.0000001" in body
        assert not re.search(rb"\d[eE][-+]?\d|-0\.0+(?![0-9])", body)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1970-01-01T00:00:00Z"),
        (START, "2025-11-13T12:00:00Z"),
        (START + 0.25, "2025-11-13T12:00:00.250Z"),
        (START - 0.001, "2025-11-13T11:59:59.999Z"),
        (START - 0.0004, "2025-11-13T12:00:00Z"),
        (-0.5, "1969-12-31T23:59:59.500Z"),
        (1709251199.9996, "2024-03-01T00:00:00Z"),
    ],
)
def test_rfc3339(seconds: float, text: str) -> None:
    assert rfc3339(seconds) == text


CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("parameter", "header", "name"),
    [
        (None, "", "json"),
        (None, "*/*", "json"),
        (None, CHROME, "json"),
        (None, "text/html", "json"),
        (None, "application/json", "json"),
        (None, "application/geo+json", "geojson"),
        (None, "application/vnd.google-earth.kml+xml", "kml"),
        (None, "text/csv", "csv"),
        (None, "application/gpx+xml", "gpx"),
        (None, "application/gpx+xml;q=0.5, text/csv;q=0.9, */*;q=0.1", "csv"),
        (None, "text/*", "csv"),
        ("kml", "text/csv", "kml"),
        ("json", "text/csv", "json"),
        ("gpx", CHROME, "gpx"),
    ],
)
def test_format_comes_from_parameter_then_header(parameter: str | None, header: str, name: str) -> None:
    assert negotiate(parameter, parse_accept_header(header, MIMEAccept)) == name


@pytest.mark.parametrize("parameter", ["", "xml", "KML", "x" * 5000])
def test_unknown_format_is_refused_with_the_allowed_ones(parameter: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        negotiate(parameter, parse_accept_header("text/csv", MIMEAccept))
    assert f"format is {parameter[:40]!r}" in caught.value.message
    assert "allowed are json, geojson, kml, csv, gpx" in caught.value.message
    assert len(caught.value.message) < 200
