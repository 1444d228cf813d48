"""The Tawhiri-compatible route `/api/v1/`, so that every Tawhiri client can be pointed here."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

import numpy as np
from flask import Response
from flask_openapi3 import APIBlueprint, Tag
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, ConfigDict, Field, model_validator

from api import errors, formats
from api.json import described, json_response
from api.params import Integer, Number, Query
from api.services import services
from api.sim import with_provenance
from api.tawhiri_shape import TawhiriErrorShape
from gefs import Cycle
from habsim.classes import Balloon, FlightPhase, Location
from habsim.errors import BadRequestError, NotFoundError
from simulate import FlightRequest, Prediction
from store.manifest import cycle_at, cycle_start

TAG = Tag(name="Tawhiri", description="Compatible with the Tawhiri predictor")
api = APIBlueprint(
    "tawhiri",
    __name__,
    url_prefix="/api/v1",
    abp_tags=[TAG],
    abp_responses=dict.fromkeys(errors.RESPONSES, TawhiriErrorShape),
)

_RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_HIGHEST = 54000.0  # m: the winds of the top level hold above it, and the tables of the atmosphere end at 55 km


def as_rfc3339(value: object) -> object:
    if isinstance(value, str) and not _RFC3339.fullmatch(value):
        # A plus sign that was not escaped arrives as a space.
        repaired = re.sub(r" (\d{2}:\d{2})$", r"+\1", value)
        if not _RFC3339.fullmatch(repaired):
            raise ValueError(f"{value[:40]!r} is not an RFC 3339 time with its zone, for example 2026-11-20T12:00:00Z")
        return repaired
    return value


def within_calendar(value: datetime) -> datetime:
    """Refuse the ends of the calendar, where another zone has no date."""
    if not 1970 <= value.year < 3000:
        raise ValueError(f"{value.isoformat()} is not within the years 1970 to 2999")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(as_rfc3339), AfterValidator(within_calendar)]

# What each profile needs besides the launch.
_NEEDED = {
    "standard_profile": ("ascent_rate", "burst_altitude", "descent_rate"),
    "float_profile": ("ascent_rate", "float_altitude", "stop_datetime"),
    "reverse_profile": ("ascent_rate",),
}


class TawhiriQuery(Query):
    """The parameters of Tawhiri's version 1, and `member`."""

    model_config = ConfigDict(frozen=True)

    profile: Literal["standard_profile", "float_profile", "reverse_profile"] = "standard_profile"
    launch_latitude: Number = Field(ge=-90, le=90, description="degrees", json_schema_extra={"example": 52.2135})
    launch_longitude: Number = Field(ge=-180, le=360, description="degrees", json_schema_extra={"example": 0.0964})
    launch_datetime: Moment = Field(
        description="RFC 3339 with zone", json_schema_extra={"example": "2026-11-20T12:00:00Z"}
    )
    launch_altitude: Number | None = Field(None, ge=-500, le=50000, description="m; by default the ground")
    dataset: Moment | None = Field(None, description="time of a cycle; by default the current one")
    ascent_rate: Number | None = Field(None, ge=0.1, le=20, description="m/s", json_schema_extra={"example": 5})
    burst_altitude: Number | None = Field(
        None, ge=0, le=_HIGHEST, description="m", json_schema_extra={"example": 30000}
    )
    descent_rate: Number | None = Field(
        None, ge=0.1, le=20, description="m/s at sea level", json_schema_extra={"example": 5}
    )
    float_altitude: Number | None = Field(None, ge=0, le=_HIGHEST, description="m, for float_profile")
    stop_datetime: Moment | None = Field(None, description="end of the float, for float_profile")
    format: Literal["json", "csv", "kml"] = "json"
    version: Literal["1"] = "1"
    member: Integer = Field(0, ge=0, le=99, description="member of the ensemble; 0 is the control")

    @model_validator(mode="after")
    def _profile_has_what_it_needs(self) -> TawhiriQuery:
        missing = [name for name in _NEEDED[self.profile] if getattr(self, name) is None]
        if missing:
            raise ValueError(f"{self.profile} needs {', '.join(missing)}")
        return self


@api.get(
    "/",
    summary="One flight, as Tawhiri answers it",
    responses=described("The flight", *(formats.FORMATS[name].media_type for name in ("json", "csv", "kml"))),
)
def predict(query: TawhiriQuery) -> Response:
    """`standard_profile`, `float_profile` or `reverse_profile` with one member; JSON, CSV or KML."""
    service = services()
    orchestrator = service.orchestrator
    flight = _flight(query, orchestrator.ground.at)
    dataset = None if query.dataset is None else _cycle_name(query.dataset)

    def run(cycle: Cycle) -> tuple[Prediction, Cycle]:
        return orchestrator.predict(flight, query.member, cycle), cycle

    prediction, cycle = orchestrator.on_cycle(dataset, run)
    service.metrics.flights.inc()
    trajectory = prediction.trajectory
    if query.format == "json":
        response = json_response(_answer(query, flight, prediction, cycle))
    else:
        write = _csv if query.format == "csv" else _kml
        response = Response(write(prediction, query), mimetype=formats.FORMATS[query.format].media_type)
        response.headers["Content-Disposition"] = f'attachment; filename="prediction.{query.format}"'
    return with_provenance(response, prediction.provenance, trajectory.warnings)


def _cycle_name(moment: datetime) -> str:
    name = cycle_at(moment.timestamp())
    if cycle_start(name) != moment.timestamp():
        raise NotFoundError(f"there is no cycle at {moment.isoformat()}; cycles start at 00, 06, 12 and 18 UTC")
    return name


def _flight(query: TawhiriQuery, ground: Any) -> FlightRequest:
    launch = query.launch_datetime.timestamp()
    altitude = query.launch_altitude
    if altitude is None:
        altitude = float(ground(query.launch_latitude, query.launch_longitude % 360.0))
    ascent_rate = query.ascent_rate or 0.0
    profile = query.profile.removesuffix("_profile")
    top, coast = altitude, 0.0
    if profile == "standard":
        top = _above(query.burst_altitude or 0.0, altitude, "burst_altitude")
    elif profile == "float":
        # Tawhiri stops the float at a time; the balloon gets to its altitude first.
        start = max(altitude, float(ground(query.launch_latitude, query.launch_longitude % 360.0)))
        top = _above(query.float_altitude or 0.0, start, "float_altitude")
        assert query.stop_datetime is not None
        coast = query.stop_datetime.timestamp() - launch - (top - start) / ascent_rate
        if coast < 0:
            raise BadRequestError(f"stop_datetime is {-coast:.0f} s before the balloon is at {top:g} m")
    place = Location(query.launch_latitude, query.launch_longitude, altitude)
    balloon = Balloon(ascent_rate, query.descent_rate or 0.0, top, coast)
    return FlightRequest(launch, place, balloon, profile)


def _above(value: float, launch: float, name: str) -> float:
    if value < launch:
        raise BadRequestError(f"{name} is {value:g} m, below the launch altitude {launch:g} m")
    return value


def _answer(query: TawhiriQuery, flight: FlightRequest, prediction: Prediction, cycle: Cycle) -> dict[str, Any]:
    trajectory = prediction.trajectory
    first, last = trajectory.phases[0].points[0, 0], trajectory.landing[0]
    request = {
        "version": 1,
        "profile": query.profile,
        "dataset": formats.rfc3339(cycle.start),
        "launch_latitude": query.launch_latitude,
        "launch_longitude": query.launch_longitude % 360.0,
        "launch_datetime": formats.rfc3339(flight.time),
        "launch_altitude": flight.place.altitude,
        "format": query.format,
        "member": query.member,
    }
    for name in _NEEDED[query.profile]:
        value = getattr(query, name)
        request[name] = formats.rfc3339(value.timestamp()) if isinstance(value, datetime) else value
    demo = ("demo winds, not a forecast",) if prediction.provenance.demo else ()
    warnings = demo + trajectory.warnings
    return {
        "metadata": {
            "start_datetime": formats.rfc3339(float(first)),
            "complete_datetime": formats.rfc3339(float(last)),
        },
        "prediction": [
            {"stage": "float" if phase.name == "coast" else phase.name, "trajectory": _points(phase)}
            for phase in trajectory.phases
        ],
        "request": request,
        "warnings": {f"warning_{n}": {"description": text} for n, text in enumerate(warnings, start=1)},
    }


def _points(phase: FlightPhase) -> list[dict[str, Any]]:
    times, columns = _times(phase), np.round(phase.points[:, 1:4], 7).T.tolist()
    return [
        {"altitude": alt, "datetime": time, "latitude": lat, "longitude": lon}
        for time, lat, lon, alt in zip(times, *columns, strict=True)
    ]


def _times(phase: FlightPhase) -> list[str]:
    """RFC 3339 times of the points, to the millisecond."""
    milliseconds = np.rint(phase.points[:, 0] * 1000.0).astype("datetime64[ms]")
    times: list[str] = np.datetime_as_string(milliseconds, timezone="UTC").tolist()
    return times


def _csv(prediction: Prediction, _query: TawhiriQuery) -> bytes:
    lines = ["datetime,latitude,longitude,altitude"]
    for phase in prediction.trajectory.phases:
        for time, lat, lon, alt in zip(_times(phase), *phase.points[:, 1:4].T.tolist(), strict=True):
            lines.append(f"{time},{lat:.7f},{(lon + 180.0) % 360.0 - 180.0:.7f},{alt:.2f}")
    return ("\r\n".join(lines) + "\r\n").encode()


def _kml(prediction: Prediction, query: TawhiriQuery) -> bytes:
    trajectory, provenance = prediction.trajectory, prediction.provenance
    title = f"{query.profile} from {query.launch_latitude:g}, {query.launch_longitude:g}"
    origin = formats.Provenance(title, provenance.cycle, query.member, provenance.product, provenance.demo)
    return formats.kml(trajectory, origin)
