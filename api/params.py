"""Request parameters: typed classes, from which validation and the OpenAPI description both come."""

from __future__ import annotations

import difflib
import functools
import re
from hashlib import md5
from typing import Annotated, Any, Literal

from flask import request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from habsim.classes import DEFAULT_STEP_SECONDS, Balloon, Location
from habsim.errors import BadRequestError
from habsim.montecarlo import DISTRIBUTIONS, MAX_ALTITUDE
from simulate import EnsembleRequest, FlightRequest

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
MAX_VALUE_LENGTH = 64
MAX_POINTS = 60_000  # of one path: all members of an ensemble are then 80 MB
REQUEST_ID = r"^[A-Za-z0-9_-]{1,64}$"
CYCLE = r"^[0-9]{10}$"
PERTURB = "perturb."
_LIMITS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


def _plain_number(value: object) -> object:
    """Only ordinary decimal notation is a number: no words, no NaN, no underscores."""
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise ValueError(f"{_quoted(value)} is not a number")
    return value


def _plain_integer(value: object) -> object:
    if isinstance(value, str) and not _INTEGER.fullmatch(value):
        raise ValueError(f"{_quoted(value)} is not a whole number")
    return value


def _quoted(value: str) -> str:
    return ascii(value if len(value) <= 40 else value[:37] + "...") if value else "an empty value"


Number = Annotated[float, BeforeValidator(_plain_number), Field(allow_inf_nan=False)]
Integer = Annotated[int, BeforeValidator(_plain_integer)]


class Query(BaseModel):
    """Base of all query strings."""

    model_config = ConfigDict(frozen=True, populate_by_name=False)

    @model_validator(mode="before")
    @classmethod
    def _no_name_is_misspelt(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Refuse what looks like one of the parameters; what else a client may send is left alone."""
        names = [field.alias or name for name, field in cls.model_fields.items()]
        for name in given.keys() - set(names):
            if not name.startswith(PERTURB) and (close := difflib.get_close_matches(name, names, 1, cutoff=0.75)):
                raise ValueError(f"{_quoted(name)} is unknown; did you mean {close[0]}?")
        return given

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The schema, made once: the web framework asks for it at every request."""
        if not (args or kwargs):
            return _schema(cls)
        schema = super().model_json_schema(*args, **kwargs)
        _leave_out_null(schema["properties"])
        _name_limits(schema)
        return schema


@functools.cache
def _schema(model: type[Query]) -> dict[str, Any]:
    return BaseModel.model_json_schema.__func__(model)  # type: ignore[attr-defined, no-any-return]


def _leave_out_null(properties: dict[str, dict[str, Any]]) -> None:
    """In a query string a parameter is given or absent, never null."""
    for schema in properties.values():
        given = [part for part in schema.get("anyOf", []) if part != {"type": "null"}]
        if len(given) == 1:
            del schema["anyOf"]
            schema.update(given[0])
        if "default" in schema and schema["default"] is None:
            del schema["default"]


def _name_limits(node: Any) -> None:
    """Limits under JSON Schema's names: pydantic leaves its own behind where a number may also be null."""
    for child in node.values() if isinstance(node, dict) else node:
        if isinstance(child, dict | list):
            _name_limits(child)
    if isinstance(node, dict):
        for name in _LIMITS.keys() & node.keys():
            node[_LIMITS[name]] = node.pop(name)


def refuse_repeated_and_long_values() -> None:
    """Called before each request: a parameter given twice, or over-long, has no right meaning."""
    for name, values in request.args.lists():
        if len(values) > 1:
            raise BadRequestError(f"{_quoted(name)} is given {len(values)} times, it must be given once")
        if len(values[0]) > MAX_VALUE_LENGTH and name != "next":
            raise BadRequestError(f"{_quoted(name)} has {len(values[0])} characters, the limit is {MAX_VALUE_LENGTH}")


class PlaceQuery(Query):
    lat: Number = Field(ge=-90, le=90, description="latitude, degrees", json_schema_extra={"example": 37.3553})
    lon: Number = Field(ge=-180, le=360, description="longitude, degrees", json_schema_extra={"example": -121.8763})


class WindProfileQuery(PlaceQuery):
    timestamp: Number = Field(ge=0, le=1e11, description="Unix seconds, within the cycle")
    cycle: str | None = Field(None, pattern=CYCLE, description="cycle, by default the current one")


class WindQuery(WindProfileQuery):
    alt: Number = Field(ge=0, le=MAX_ALTITUDE, description="altitude, m", json_schema_extra={"example": 12000})


class MemberWindQuery(WindQuery):
    model: Integer = Field(ge=0, le=99, description="member; 0 is the control", json_schema_extra={"example": 0})


class LaunchQuery(PlaceQuery):
    """What every flight needs."""

    timestamp: Number = Field(ge=0, le=1e11, description="launch, Unix seconds within the cycle")
    alt: Number = Field(ge=0, le=MAX_ALTITUDE, description="launch altitude, m; below the ground starts on it")
    equil: Number = Field(
        ge=0, lt=MAX_ALTITUDE, description="burst or float altitude, m", json_schema_extra={"example": 30000}
    )
    eqtime: Number = Field(ge=0, le=48, description="hours at `equil`", json_schema_extra={"example": 0})
    asc: Number = Field(ge=0.1, le=20, description="ascent rate, m/s", json_schema_extra={"example": 4})
    desc: Number = Field(
        ge=0.1, le=20, description="descent rate, m/s; at sea level for `standard`", json_schema_extra={"example": 8}
    )
    coeff: Number = Field(1.0, ge=0.5, le=1.5, description="share of the wind the balloon follows")
    profile: Literal["zpb", "standard", "float"] = Field("zpb", description="what the flight does")
    step: Number | None = Field(None, ge=5, le=600, description="longest step, s; by default chosen by the service")
    cycle: str | None = Field(None, pattern=CYCLE, description="cycle, by default the current one")

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> LaunchQuery:
        if self.equil < self.alt:
            raise ValueError(f"equil is {self.equil:g} m, below the launch altitude {self.alt:g} m")
        if self.profile == "standard" and self.eqtime > 0:
            raise ValueError(
                f"eqtime is {self.eqtime:g} h, but the standard profile bursts at once; take profile=zpb or eqtime=0"
            )
        points = self._seconds() / (self.step or DEFAULT_STEP_SECONDS)
        if points > MAX_POINTS:
            raise ValueError(
                f"a flight of {self._seconds() / 3600:.0f} h in steps of {self.step:g} s has {points:.0f} points, "
                f"the limit is {MAX_POINTS}; take a longer step"
            )
        return self

    def _seconds(self) -> float:
        """How long the flight may take, about."""
        return (self.equil - self.alt) / self.asc + self.eqtime * 3600.0 + self.equil / self.desc

    def flight(self) -> FlightRequest:
        return FlightRequest(
            time=self.timestamp,
            place=Location(self.lat, self.lon, self.alt),
            balloon=Balloon(self.asc, self.desc, self.equil, self.eqtime * 3600.0, self.coeff),
            profile=self.profile,
            step=self.step or DEFAULT_STEP_SECONDS,
        )


class SingleQuery(LaunchQuery):
    model: Integer = Field(ge=0, le=99, description="member; 0 is the control", json_schema_extra={"example": 0})
    format: Literal["json", "geojson", "kml", "csv", "gpx"] | None = Field(
        None, description="format of the answer; by default from the Accept header"
    )


class EnsembleQuery(LaunchQuery):
    """A launch for all members. `perturb.<parameter>` replaces a distribution by a uniform one of that half-width."""

    model_config = ConfigDict(frozen=True, extra="allow")

    num_perturbations: Integer = Field(20, ge=1, le=100, description="Monte Carlo copies of each member's flight")
    seed: Integer | None = Field(None, ge=0, lt=2**53, description="of the Monte Carlo; by default from the request")
    request_id: str | None = Field(None, pattern=REQUEST_ID, description="names the progress stream")

    @model_validator(mode="after")
    def _half_widths_are_known(self) -> EnsembleQuery:
        self.half_widths()
        return self

    def half_widths(self) -> dict[str, float]:
        """Half-widths by parameter. Raises ValueError for one that is unknown or out of range."""
        found = {}
        for name, text in (self.model_extra or {}).items():
            if not name.startswith(PERTURB):
                continue
            parameter = name.removeprefix(PERTURB)
            distribution = DISTRIBUTIONS.get(parameter)
            if distribution is None:
                raise ValueError(f"{_quoted(name)} is unknown; parameters are {', '.join(DISTRIBUTIONS)}")
            if not _NUMBER.fullmatch(text):
                raise ValueError(f"{name} is {_quoted(text)}, which is not a number")
            width = float(text)
            if not 0.0 <= width <= distribution.widest:
                raise ValueError(f"{name} is {_quoted(text)}, it must be 0..{distribution.widest:g}")
            found[parameter] = width
        return found

    def ensemble(self) -> EnsembleRequest:
        seed = self.seed if self.seed is not None else int(self._digest(), 16) >> 11
        return EnsembleRequest(self.flight(), self.num_perturbations, seed, self.half_widths())

    def id(self) -> str:
        """The request's own id, or the one that clients compute before they call."""
        return self.request_id or self._digest()

    def _digest(self) -> str:
        given = request.args
        names = ("timestamp", "lat", "lon", "alt", "equil", "eqtime", "asc", "desc")
        text = "_".join([*(given[name] for name in names), f"{self.coeff:.1f}"])
        return md5(text.encode(), usedforsecurity=False).hexdigest()[:16]


class ProgressQuery(Query):
    request_id: str = Field(pattern=REQUEST_ID, description="id of the ensemble request")
