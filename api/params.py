"""Request parameters: typed classes, from which validation and the OpenAPI description both come."""

from __future__ import annotations

import difflib
import functools
import re
from hashlib import md5
from typing import Annotated, Any, Literal

from flask import request
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from habsim.balloons import BalloonSpec
from habsim.classes import DEFAULT_STEP_SECONDS, Balloon, Location
from habsim.envelopes import ENVELOPES
from habsim.errors import BadRequestError
from habsim.montecarlo import MAX_ALTITUDE, table
from habsim.sizing import Site, performance
from missions.configs import balloon_of
from simulate import EnsembleRequest, FlightRequest

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
MAX_VALUE_LENGTH = 64
MAX_POINTS = 60_000  # of one path: all members of an ensemble are then 80 MB
REQUEST_ID = r"^[A-Za-z0-9_-]{1,64}$"
CYCLE = r"^[0-9]{10}$"
PERTURB = "perturb."
HEAVIEST, LARGEST = 20_000.0, 2_000_000.0  # kg and m3 of balloons: somewhat more than has flown
_OF_BALLOONS = ("envelope", "lift_gas_type", "payload_mass", "volume", "free_lift", "chute_diameter")
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


class Parameters(BaseModel):
    """Base of what is asked."""

    model_config = ConfigDict(frozen=True, populate_by_name=False)

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The schema, made once: the web framework asks for it at every request."""
        if not (args or kwargs):
            return _schema(cls)
        schema = super().model_json_schema(*args, **kwargs)
        _leave_out_null(schema["properties"])
        _name_limits(schema)
        return schema


class Query(Parameters):
    """Base of all query strings."""

    @model_validator(mode="before")
    @classmethod
    def _no_name_is_misspelt(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Refuse what looks like one of the parameters; what else a client may send is left alone."""
        names = [field.alias or name for name, field in cls.model_fields.items()]
        for name in given.keys() - set(names):
            if not name.startswith(PERTURB) and (close := difflib.get_close_matches(name, names, 1, cutoff=0.75)):
                raise ValueError(f"{_quoted(name)} is unknown; did you mean {close[0]}?")
        return given


@functools.cache
def _schema(model: type[Parameters]) -> dict[str, Any]:
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


class PlaceParameters(Parameters):
    lat: Number = Field(ge=-90, le=90, description="latitude, degrees", json_schema_extra={"example": 37.3553})
    lon: Number = Field(ge=-180, le=360, description="longitude, degrees", json_schema_extra={"example": -121.8763})


class PlaceQuery(PlaceParameters, Query):
    pass


class WindProfileQuery(PlaceQuery):
    timestamp: Number = Field(ge=0, le=1e11, description="Unix seconds, within the cycle")
    cycle: str | None = Field(None, pattern=CYCLE, description="cycle, by default the current one")


class WindQuery(WindProfileQuery):
    alt: Number = Field(ge=0, le=MAX_ALTITUDE, description="altitude, m", json_schema_extra={"example": 12000})


class MemberWindQuery(WindQuery):
    model: Integer = Field(ge=0, le=99, description="member; 0 is the control", json_schema_extra={"example": 0})


def _known_envelope(name: str) -> str:
    if name not in ENVELOPES:
        close = difflib.get_close_matches(name, ENVELOPES, 3, cutoff=0.3)
        near = f"; near are {', '.join(close)}" if close else ""
        if name in {envelope.kind for envelope in ENVELOPES.values()}:
            near = ", it is a material"
        raise ValueError(f"there is no envelope {name!a}{near}; GET /api/v1/balloon-specs lists all")
    return name


EnvelopeName = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,32}$"), AfterValidator(_known_envelope)]
GasName = Literal["helium", "hydrogen", "methane"]


class BalloonParameters(Parameters):
    """What flies, and by which profile."""

    profile: Literal["zpb", "standard", "float", "physical"] = Field("zpb", description="what the flight does")
    equil: Number | None = Field(
        None,
        ge=0,
        lt=MAX_ALTITUDE,
        validate_default=True,
        description="burst or float altitude, geopotential m (GPS says 142 m more at 30 km, 253 m at 40 km); for "
        "`physical` a wanted burst altitude",
        json_schema_extra={"example": 30000},
    )
    eqtime: Number | None = Field(
        None, ge=0, le=48, validate_default=True, description="hours at `equil`", json_schema_extra={"example": 0}
    )
    asc: Number | None = Field(
        None,
        ge=0.1,
        le=20,
        validate_default=True,
        description="ascent rate, m/s; for `physical` a wanted one at the launch",
        json_schema_extra={"example": 4},
    )
    desc: Number | None = Field(
        None,
        ge=0.1,
        le=20,
        validate_default=True,
        description="descent rate, m/s; at sea level for `standard` and `physical`",
        json_schema_extra={"example": 8},
    )
    coeff: Number = Field(1.0, ge=0.5, le=1.5, description="share of the wind the balloon follows")
    envelope: EnvelopeName | None = Field(None, description="for `physical`: name from /api/v1/balloon-specs")
    lift_gas_type: GasName | None = Field(None, description="for `physical`; helium by default")
    payload_mass: Number | None = Field(
        None, ge=0, le=HEAVIEST, description="for `physical`: kg, with parachute and strings"
    )
    volume: Number | None = Field(None, ge=0.001, le=LARGEST, description="for `physical`: gas, m3 at sea level")
    free_lift: Number | None = Field(None, ge=0.001, le=1e6, description="for `physical`: wanted free lift, N")
    chute_diameter: Number | None = Field(
        None, ge=0.01, le=100, description="for `physical`: of the canopy laid flat, m; in the place of `desc`"
    )

    @field_validator("equil", "eqtime", "asc", "desc")
    @classmethod
    def _is_given_where_no_balloon_says_it(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is None and info.data.get("profile") != "physical":
            raise PydanticCustomError("missing", "Field required")
        return value

    @property
    def launch_altitude(self) -> float:
        """Where it is filled, m."""
        return 0.0

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> BalloonParameters:
        if self.profile == "physical":
            self._has_a_balloon()
        else:
            self._has_no_balloon()
        return self

    def _has_no_balloon(self) -> None:
        balloon, _ = self.balloon
        if balloon.equilibrium_altitude < self.launch_altitude:
            raise ValueError(f"equil is {self.equil:g} m, below the launch altitude {self.launch_altitude:g} m")
        if self.profile == "standard" and balloon.coast_seconds > 0:
            raise ValueError(
                f"eqtime is {self.eqtime:g} h, but the standard profile bursts at once; take profile=zpb or eqtime=0"
            )
        for name in _OF_BALLOONS:
            if getattr(self, name) is not None:
                raise ValueError(f"{name} is for profile=physical, profile is {self.profile}")

    def _has_a_balloon(self) -> None:
        for name in ("envelope", "payload_mass"):
            if getattr(self, name) is None:
                raise ValueError(f"{name} is missing; profile=physical needs it")
        fills = {name: getattr(self, name) for name in ("volume", "free_lift", "asc", "equil")}
        given = [name for name, value in fills.items() if value is not None]
        if len(given) != 1:
            told = " and ".join(given) if given else "none of them"
            raise ValueError(f"profile=physical needs one of {', '.join(fills)}, not {told}")
        if (self.desc is None) == (self.chute_diameter is None):
            told = "none of them" if self.desc is None else "both"
            raise ValueError(f"profile=physical needs one of desc, chute_diameter, not {told}")
        envelope = ENVELOPES[str(self.envelope)]
        if envelope.kind == "latex" and self.eqtime:
            raise ValueError(f"eqtime is {self.eqtime:g} h, but {envelope.name} bursts at once; take eqtime=0")

    def seconds(self) -> float:
        """How long the flight may take, about. Raises what is wrong with a gas balloon."""
        balloon, spec = self.balloon
        if spec is None:
            top, ascent = balloon.equilibrium_altitude, balloon.ascent_rate
            return (top - self.launch_altitude) / ascent + balloon.coast_seconds + top / balloon.descent_rate
        does = performance(spec, Site(self.launch_altitude))
        if does.top >= MAX_ALTITUDE:
            verb = "bursts" if does.bursts else "floats"
            raise ValueError(f"the balloon {verb} at {does.top:.0f} m, it must stay below {MAX_ALTITUDE:g} m")
        return does.seconds + balloon.coast_seconds + does.top / balloon.descent_rate

    @functools.cached_property
    def balloon(self) -> tuple[Balloon, BalloonSpec | None]:
        """How it moves and, of the profile `physical`, what it is. Raises BadRequestError where that cannot fly."""
        return balloon_of(self.model_dump(), self.launch_altitude)


class LaunchParameters(BalloonParameters, PlaceParameters):
    """What every flight needs."""

    timestamp: Number = Field(ge=0, le=1e11, description="launch, Unix seconds within the cycle")
    alt: Number = Field(ge=0, le=MAX_ALTITUDE, description="launch altitude, m; below the ground starts on it")
    step: Number | None = Field(None, ge=5, le=600, description="longest step, s; by default chosen by the service")
    cycle: str | None = Field(None, pattern=CYCLE, description="cycle, by default the current one")
    atmosphere: Literal["standard", "model"] | None = Field(
        None,
        description="for `physical`: the air it climbs through, the U.S. Standard Atmosphere 1976 (by default) or that "
        "of the forecast over the launch",
    )

    @property
    def launch_altitude(self) -> float:
        return self.alt

    @model_validator(mode="after")
    def _has_air_for_a_balloon(self) -> LaunchParameters:
        if self.atmosphere is not None and self.profile != "physical":
            raise ValueError(f"atmosphere is for profile=physical, profile is {self.profile}")
        return self

    @model_validator(mode="after")
    def _is_not_too_long(self) -> LaunchParameters:
        seconds = self.seconds()
        points = seconds / (self.step or DEFAULT_STEP_SECONDS)
        if points > MAX_POINTS:
            raise ValueError(
                f"a flight of {seconds / 3600:.0f} h in steps of {self.step:g} s has {points:.0f} points, "
                f"the limit is {MAX_POINTS}; take a longer step"
            )
        return self

    def flight(self) -> FlightRequest:
        balloon, spec = self.balloon
        return FlightRequest(
            time=self.timestamp,
            place=Location(self.lat, self.lon, self.alt),
            balloon=balloon,
            profile=self.profile,
            step=self.step or DEFAULT_STEP_SECONDS,
            spec=spec,
            model_air=self.atmosphere == "model",
            under_chute=self.chute_diameter is not None,
        )


class LaunchQuery(LaunchParameters, Query):
    pass


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
            known = table({}, balloon=self.profile == "physical")
            distribution = known.get(parameter)
            if distribution is None:
                raise ValueError(f"{_quoted(name)} is unknown; parameters are {', '.join(known)}")
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
        names = ["timestamp", "lat", "lon", "alt", "equil", "eqtime", "asc", "desc"]
        if self.profile == "physical":
            names += [*_OF_BALLOONS, "atmosphere"]
        text = "_".join([*(given.get(name, "") for name in names), f"{self.coeff:.1f}"])
        return md5(text.encode(), usedforsecurity=False).hexdigest()[:16]


class ProgressQuery(Query):
    request_id: str = Field(pattern=REQUEST_ID, description="id of the ensemble request")
