"""One flight as HABSIM JSON, GeoJSON, KML, CSV or GPX.

The JSON keeps the longitudes of the flight as they are; the other formats give them within -180..180. Every
format rounds alike: time to 1 ms, place to 1e-7 degrees (1 cm), altitude to 1 cm, wind to 1 mm/s.
"""

from __future__ import annotations

import html
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from werkzeug.datastructures import MIMEAccept

from flightjson import PHASES as PHASES
from flightjson import SCALE, round_in_place
from flightjson import points_json as points_json
from habsim.classes import FlightPhase, Trajectory
from habsim.errors import BadRequestError

Points = npt.NDArray[np.float64]

CSV_HEADER = "datetime,latitude,longitude,altitude,phase,u_wind,v_wind"

_LONGITUDE = 2
# XML 1.0 section 2.2: no escape exists for these characters. JSON cannot hold the lone surrogates among them.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Provenance:
    """What a flight was computed from.

    `title` names the flight for people. `cycle` is `YYYYMMDDHH`, `member` its number, `product` names the winds, for
    example `GEFS 0.5 degree`. `demo` is true where the winds are made up. `warnings` come in addition to those of
    the trajectory.
    """

    title: str
    cycle: str
    member: int
    product: str
    demo: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Format:
    """One way to write a flight: `write(trajectory, provenance)` returns the whole body."""

    media_type: str
    write: Callable[[Trajectory, Provenance], bytes]
    extension: str


def geojson(trajectory: Trajectory, provenance: Provenance) -> bytes:
    """Return an RFC 7946 FeatureCollection: one line per phase, then the marked points.

    Coordinates are (longitude, latitude, altitude m). A line has `phase`, `times`, `u_wind` and `v_wind` (m/s), one
    value per position; where the line is cut at the antimeridian, it is a MultiLineString and these are nested like
    it. A point has `name`, `time` and `altitude`. The provenance is a foreign member: the RFC forbids `properties`
    on a collection.
    """
    phases = _flown(trajectory)
    title, notes = _texts(trajectory, provenance)
    features = [_line_feature(phase) for phase in phases if len(phase.points) > 1]
    features += [_mark_feature(name, point) for name, point in _marks(phases)]
    return orjson.dumps(
        {
            "type": "FeatureCollection",
            "features": features,
            "provenance": {
                "title": title,
                "cycle": provenance.cycle,
                "member": provenance.member,
                "product": _readable(provenance.product),
                "demo": provenance.demo,
                "warnings": notes,
            },
        }
    )


def kml(trajectory: Trajectory, provenance: Provenance) -> bytes:
    """Return an OGC KML 2.2 document: one line per phase at absolute altitude, then the marked points.

    A line spans the times of its phase; a mark begins at its moment.
    """
    phases = _flown(trajectory)
    title, _ = _texts(trajectory, provenance)
    root = ET.Element("kml", {"xmlns": "http://www.opengis.net/kml/2.2"})
    document = _add(root, "Document")
    _add(document, "name", title)
    _add(document, "open", "1")
    # A KML description is HTML once the XML is read, so it is escaped for both.
    _add(document, "description", html.escape(_description(trajectory, provenance), quote=False))
    for phase in phases:
        if len(phase.points) > 1:
            _add_kml_line(document, phase)
    for name, point in _marks(phases):
        _add_kml_mark(document, name, point)
    return _xml(root)


def csv(trajectory: Trajectory, provenance: Provenance) -> bytes:
    """Return RFC 4180 text with the columns of `CSV_HEADER`, one row per point, phases in flight order.

    The last point of a phase is the first of the next and stands under both. No free text goes in, so a spreadsheet
    finds no formula in it; the provenance is not written.
    """
    lines = [CSV_HEADER]
    for phase in _flown(trajectory):
        for time, latitude, longitude, altitude, u, v in _positions(phase.points):
            lines.append(f"{rfc3339(time)},{latitude:.7f},{longitude:.7f},{altitude:.2f},{phase.name},{u:.3f},{v:.3f}")
    return ("\r\n".join(lines) + "\r\n").encode("ascii")


def gpx(trajectory: Trajectory, provenance: Provenance) -> bytes:
    """Return GPX 1.1: the marked points as waypoints and one track with a segment per phase."""
    phases = _flown(trajectory)
    title, _ = _texts(trajectory, provenance)
    root = ET.Element("gpx", {"xmlns": "http://www.topografix.com/GPX/1/1", "version": "1.1", "creator": "HABSIM"})
    metadata = _add(root, "metadata")
    _add(metadata, "name", title)
    _add(metadata, "desc", _description(trajectory, provenance))
    for name, point in _marks(phases):
        _add(_add_gpx_point(root, "wpt", next(_positions(point[np.newaxis]))), "name", name)
    track = _add(root, "trk")
    _add(track, "name", title)
    for phase in phases:
        segment = _add(track, "trkseg")
        for position in _positions(phase.points):
            _add_gpx_point(segment, "trkpt", position)
    return _xml(root)


FORMATS: Mapping[str, Format] = {
    "json": Format("application/json", lambda trajectory, _: points_json(trajectory), "json"),
    "geojson": Format("application/geo+json", geojson, "geojson"),
    "kml": Format("application/vnd.google-earth.kml+xml", kml, "kml"),
    "csv": Format("text/csv", csv, "csv"),
    "gpx": Format("application/gpx+xml", gpx, "gpx"),
}


def negotiate(format_parameter: str | None, accept_header: MIMEAccept) -> str:
    """Return the name in `FORMATS` that a request asks for.

    The parameter wins over the header. A header that names none of ours, or prefers none, means `json`.
    Raises `BadRequestError` for a parameter that is no format.
    """
    if format_parameter is not None:
        if format_parameter not in FORMATS:
            message = f"format is {format_parameter[:40]!r}, allowed are {', '.join(FORMATS)}"
            raise BadRequestError(message, {"allowed": list(FORMATS)})
        return format_parameter
    names = {form.media_type: name for name, form in FORMATS.items()}
    return names[accept_header.best_match(names, default=FORMATS["json"].media_type)]


def rfc3339(unix_seconds: float) -> str:
    """Return the moment as RFC 3339 in UTC, with milliseconds only when there are any."""
    seconds, milliseconds = divmod(round(unix_seconds * 1000), 1000)
    text = datetime.fromtimestamp(seconds, UTC).isoformat()[:19]
    return f"{text}.{milliseconds:03d}Z" if milliseconds else f"{text}Z"


def cut_at_antimeridian(points: Points) -> list[Points]:
    """Cut a line where it crosses the antimeridian, as RFC 7946 section 3.1.9 asks.

    `points` (n, 6) as in `FlightPhase.points`, n >= 2, in any convention of longitude. Returns rounded pieces (m, 6)
    with longitudes within -180..180; at a cut, one piece ends and the next begins at the same interpolated point,
    with longitude 180 on one side and -180 on the other. Two points are joined the short way round.
    """
    track = points.copy()
    step = np.diff(points[:, _LONGITUDE], prepend=points[0, _LONGITUDE])
    track[:, _LONGITUDE] -= 360.0 * np.cumsum(np.rint(step / 360.0))

    longitude = track[:, _LONGITUDE]
    meridian = 360.0 * _turn(longitude) + 180.0
    crossed = np.flatnonzero(meridian < np.maximum(longitude[:-1], longitude[1:]))
    before, after = track[crossed], track[crossed + 1]
    share = (meridian[crossed] - before[:, _LONGITUDE]) / (after[:, _LONGITUDE] - before[:, _LONGITUDE])
    cuts = before + share[:, np.newaxis] * (after - before)
    cuts[:, _LONGITUDE] = meridian[crossed]
    track = np.insert(track, crossed + 1, cuts, axis=0)

    turn = _turn(track[:, _LONGITUDE])
    ends = [0, *(np.flatnonzero(np.diff(turn)) + 1).tolist(), len(turn)]
    pieces = []
    for first, last in pairwise(ends):
        piece = track[first : last + 1].copy()
        piece[:, _LONGITUDE] -= 360.0 * turn[first]
        pieces.append(_rounded(piece))
    return pieces


def _turn(longitude: Points) -> Points:
    """Return for each edge of a line how many whole turns its western end is away from -180..180."""
    western = np.minimum(longitude[:-1], longitude[1:])
    turn: Points = np.floor((western + 180.0) / 360.0)
    return turn


def _rounded(points: Points) -> Points:
    copy = points.copy()
    round_in_place(copy, SCALE[:6])
    return copy


def _positions(points: Points) -> Iterator[list[float]]:
    """Yield rounded points with longitudes from -180 up to, but not, 180: GPX 1.1 excludes 180 itself."""
    rounded = _rounded(points)
    longitude = rounded[:, _LONGITUDE]
    longitude -= 360.0 * np.floor((longitude + 180.0) / 360.0)
    yield from _rounded(rounded).tolist()


def _flown(trajectory: Trajectory) -> list[FlightPhase]:
    return [phase for phase in trajectory.phases if len(phase.points)]


def _marks(phases: list[FlightPhase]) -> list[tuple[str, Points]]:
    """Return the named moments of a flight: launch, burst and landing.

    One that stays at its altitude for a while has `float` and `descent` instead of `burst`; one that never comes down
    has `float` and `end`.
    """
    lands = phases[-1].name == "descent"
    floats = any(phase.name == "coast" and phase.points[-1, 0] > phase.points[0, 0] for phase in phases)
    marks = [("launch", phases[0].points[0])]
    if phases[0].name == "ascent" and len(phases) > 1:
        marks.append(("burst" if lands and not floats else "float", phases[0].points[-1]))
    if lands and floats:
        marks.append(("descent", phases[-1].points[0]))
    marks.append(("landing" if lands else "end", phases[-1].points[-1]))
    return marks


def _readable(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def _texts(trajectory: Trajectory, provenance: Provenance) -> tuple[str, list[str]]:
    """Return the title and all warnings, fit for JSON and XML."""
    warnings = [*trajectory.warnings, *provenance.warnings]
    return _readable(provenance.title), [_readable(warning) for warning in warnings]


def _description(trajectory: Trajectory, provenance: Provenance) -> str:
    lines = [f"{_readable(provenance.product)}, cycle {provenance.cycle}, member {provenance.member}"]
    if provenance.demo:
        lines.append("Demonstration winds: not a forecast")
    return "\n".join(lines + _texts(trajectory, provenance)[1])


def _line_feature(phase: FlightPhase) -> dict[str, Any]:
    coordinates, times, u_wind, v_wind = [], [], [], []
    for piece in cut_at_antimeridian(phase.points):
        coordinates.append(piece[:, [2, 1, 3]].tolist())
        times.append([rfc3339(time) for time in piece[:, 0].tolist()])
        u_wind.append(piece[:, 4].tolist())
        v_wind.append(piece[:, 5].tolist())
    whole = len(coordinates) == 1
    return {
        "type": "Feature",
        "geometry": {
            "type": "LineString" if whole else "MultiLineString",
            "coordinates": coordinates[0] if whole else coordinates,
        },
        "properties": {
            "phase": phase.name,
            "times": times[0] if whole else times,
            "u_wind": u_wind[0] if whole else u_wind,
            "v_wind": v_wind[0] if whole else v_wind,
        },
    }


def _mark_feature(name: str, point: Points) -> dict[str, Any]:
    time, latitude, longitude, altitude, _, _ = next(_positions(point[np.newaxis]))
    return {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [longitude, latitude, altitude]},
        "properties": {"name": name, "time": rfc3339(time), "altitude": altitude},
    }


def _add(parent: ET.Element, tag: str, text: str | None = None) -> ET.Element:
    child = ET.SubElement(parent, tag)
    child.text = text
    return child


def _add_kml_line(document: ET.Element, phase: FlightPhase) -> None:
    placemark = _add(document, "Placemark")
    _add(placemark, "name", phase.name)
    span = _add(placemark, "TimeSpan")
    _add(span, "begin", rfc3339(phase.points[0, 0]))
    _add(span, "end", rfc3339(phase.points[-1, 0]))
    pieces = cut_at_antimeridian(phase.points)
    parent = placemark if len(pieces) == 1 else _add(placemark, "MultiGeometry")
    for piece in pieces:
        _add_kml_geometry(parent, "LineString", piece[:, [2, 1, 3]].tolist())


def _add_kml_mark(document: ET.Element, name: str, point: Points) -> None:
    time, latitude, longitude, altitude, _, _ = next(_positions(point[np.newaxis]))
    placemark = _add(document, "Placemark")
    _add(placemark, "name", name)
    _add(placemark, "description", f"{rfc3339(time)}, {altitude:.0f} m")
    _add(_add(placemark, "TimeSpan"), "begin", rfc3339(time))
    _add_kml_geometry(placemark, "Point", [[longitude, latitude, altitude]])


def _add_kml_geometry(parent: ET.Element, tag: str, coordinates: list[list[float]]) -> None:
    geometry = _add(parent, tag)
    _add(geometry, "altitudeMode", "absolute")
    _add(geometry, "coordinates", " ".join(f"{x:.7f},{y:.7f},{z:.2f}" for x, y, z in coordinates))


def _add_gpx_point(parent: ET.Element, tag: str, position: list[float]) -> ET.Element:
    time, latitude, longitude, altitude, _, _ = position
    point = ET.SubElement(parent, tag, {"lat": f"{latitude:.7f}", "lon": f"{longitude:.7f}"})
    _add(point, "ele", f"{altitude:.2f}")
    _add(point, "time", rfc3339(time))
    return point


def _xml(root: ET.Element) -> bytes:
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text
