"""Requests for tests of the HTTP layer, and what a uniform wind makes of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from werkzeug.test import TestResponse

from tests.worlds import START

EARTH_RADIUS = 6371009.0  # m
TAWHIRI_PATH = "/api/v1/"

# A launch that every route understands: five hours in the middle of the test cycle.
LAUNCH = {
    "timestamp": f"{START + 3600:.0f}",
    "lat": "37.3553",
    "lon": "-121.8763",
    "alt": "24",
    "equil": "30000",
    "eqtime": "1",
    "asc": "4",
    "desc": "8",
}
TAWHIRI = {
    "launch_latitude": "52.2135",
    "launch_longitude": "0.0964",
    "launch_datetime": "2026-11-19T03:00:00Z",
    "ascent_rate": "5",
    "burst_altitude": "30000",
    "descent_rate": "5",
}


def launch(**changes: object) -> dict[str, str]:
    """The launch as parameters; dots in names are written as `__`, None leaves a parameter out."""
    return _changed(LAUNCH, changes)


def tawhiri(**changes: object) -> dict[str, str]:
    """A flight as parameters of the Tawhiri route; None leaves a parameter out."""
    return _changed(TAWHIRI, changes)


def _changed(base: Mapping[str, str], changes: Mapping[str, object]) -> dict[str, str]:
    named = {name.replace("__", "."): value for name, value in changes.items()}
    return {name: str(value) for name, value in {**base, **named}.items() if value is not None}


def url(path: str, parameters: Mapping[str, str] | None = None) -> str:
    """Path and query, every space as %20 and every sign escaped."""
    return f"{path}?{urlencode(parameters, quote_via=quote)}" if parameters else path


def single(model: int = 0, **changes: object) -> str:
    return url("/sim/singlezpb", {**launch(**changes), "model": str(model)})


def spaceshot(**changes: object) -> str:
    return url("/sim/spaceshot", launch(**changes))


def zpb_seconds(parameters: Mapping[str, str], ground: float = 0.0) -> float:
    """How long a flight of the profile `zpb` takes."""
    alt, equil = max(float(parameters["alt"]), ground), float(parameters["equil"])
    up, down = (equil - alt) / float(parameters["asc"]), (equil - ground) / float(parameters["desc"])
    return up + float(parameters["eqtime"]) * 3600.0 + down


def zpb_landing(parameters: Mapping[str, str], u: float, v: float, ground: float = 0.0) -> tuple[float, float]:
    """Latitude and longitude where a flight of the profile `zpb` lands in a wind that is (u, v) m/s everywhere.

    With dlat/dt = v/(R+h) and dlon/dt = u/((R+h) cos lat), the angle flown is the integral of dt/(R+h), and the
    longitude follows from dlon/dlat = u/(v cos lat), whose integral is the isometric latitude.
    """
    alt, equil = max(float(parameters["alt"]), ground), float(parameters["equil"])
    r = EARTH_RADIUS
    share = float(parameters.get("coeff", 1.0))
    per_speed = (
        math.log((r + equil) / (r + alt)) / float(parameters["asc"])
        + float(parameters["eqtime"]) * 3600.0 / (r + equil)
        + math.log((r + equil) / (r + ground)) / float(parameters["desc"])
    )
    lat = math.radians(float(parameters["lat"]))
    end = lat + share * v * per_speed
    if v == 0:
        moved = share * u * per_speed / math.cos(lat)
    else:
        moved = u / v * (math.asinh(math.tan(end)) - math.asinh(math.tan(lat)))
    return math.degrees(end), float(parameters["lon"]) + math.degrees(moved)


def error_text(response: TestResponse, status: int, path: str) -> str:
    """The text of an error, which has the shape of its route and no trace of where it was raised."""
    assert response.status_code == status, response.text[:300]
    assert response.mimetype == "application/json"
    body = response.json
    assert body is not None
    text: Any
    if path == TAWHIRI_PATH:
        assert set(body) == {"error", "metadata"}
        assert set(body["error"]) == {"type", "description"}
        text = body["error"]["description"]
    else:
        assert set(body) == {"error", "details"}
        assert body["details"] is None or isinstance(body["details"], dict)
        text = body["error"]
    assert isinstance(text, str)
    assert text
    assert "Traceback" not in response.text
    assert 'File "' not in response.text
    return text
