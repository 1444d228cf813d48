"""Sizing balloons: `/api/v1/balloon-specs`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from flask import Response
from flask_openapi3 import APIBlueprint, Tag
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from api import answers, errors
from api.json import described, json_response
from api.params import HEAVIEST, LARGEST, EnvelopeName, GasName
from habsim import balloons, sizing
from habsim.atmosphere import STANDARD_GRAVITY
from habsim.balloons import BalloonSpec
from habsim.climb import Column
from habsim.envelopes import CYLINDERS, ENVELOPES, GASES, POLYETHYLENE_DRAG, Envelope, Gas, Kind, sphere_volume
from habsim.errors import BadRequestError
from habsim.sizing import Performance, Site, Wish

TAG = Tag(name="Balloons", description="What a balloon lifts, how fast and how high it goes")
api = APIBlueprint("balloons", __name__, url_prefix="/api/v1", abp_tags=[TAG], abp_responses=errors.RESPONSES)

LATEX_DRAG = 0.25
MAX_COLUMN = 1000  # heights
NEAR = 1000.0  # m: how far the standard atmosphere may stand for what lies below a sounding


def _known_cylinder(name: str) -> str:
    if name not in CYLINDERS:
        raise ValueError(f"there is no cylinder {name!a}; there are {', '.join(CYLINDERS)}")
    return name


CylinderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9.]{1,16}$"), AfterValidator(_known_cylinder)]
Real = Annotated[float, Field(allow_inf_nan=False)]


class Body(BaseModel):
    """Base of bodies: no field that is not described, no number in a text."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Atmosphere(Body):
    """A column of a model or a sounding; lists of one length, heights ascending."""

    heights: list[Annotated[Real, Field(ge=-1000, le=100_000)]] = Field(
        min_length=2, max_length=MAX_COLUMN, description="geopotential m"
    )
    pressures: list[Annotated[Real, Field(ge=0.001, le=2000)]] = Field(
        min_length=2, max_length=MAX_COLUMN, description="hPa"
    )
    temperatures: list[Annotated[Real, Field(ge=100, le=400)]] = Field(
        min_length=2, max_length=MAX_COLUMN, description="K"
    )

    def column(self, launch_altitude: float) -> Column:
        """Raises BadRequestError for what is no air, or is not over the launch (m)."""
        column = balloons.model_column(self.heights, self.pressures, self.temperatures)
        if not self.heights[0] - NEAR <= launch_altitude <= self.heights[-1]:
            raise BadRequestError(
                f"launch_altitude is {launch_altitude:g} m, the atmosphere is from {self.heights[0]:g} to "
                f"{self.heights[-1]:g} m; it must begin at most {NEAR:g} m above the launch and end above it"
            )
        return column


class BalloonBody(Body):
    """A balloon: its envelope, its gas, its payload, and one of `volume`, `free_lift`, `ascent_rate`, `burst_altitude`.

    The envelope is one of the list by its name; or one of a `material` with a mass and a size of its own; or, with the
    `material` alone, the one of the list that goes highest. What is given besides a name replaces what the list says.
    """

    material: Literal["latex", "zero-pressure", "super-pressure", "polyethylene"] | None = Field(
        None, description="kind of the envelope; `polyethylene` is `zero-pressure`"
    )
    envelope: EnvelopeName | None = Field(None, description="name of an envelope", examples=["kaymont-1200"])
    envelope_mass: Real | None = Field(None, ge=0.001, le=HEAVIEST, description="kg")
    envelope_volume: Real | None = Field(None, ge=0.001, le=LARGEST, description="full, m3; not of latex")
    burst_diameter: Real | None = Field(None, ge=0.01, le=100, description="m; of latex")
    pressure_limit: Real | None = Field(
        None, ge=1, le=100_000, description="Pa above the air that the envelope stands; of super-pressure"
    )
    drag_coefficient: Real | None = Field(None, ge=0.01, le=2, description="on the section of a sphere")
    lift_gas_type: GasName = Field(description="lifting gas")
    payload_mass: Real = Field(ge=0, le=HEAVIEST, description="kg, with parachute and strings")
    volume: Real | None = Field(None, ge=0.001, le=LARGEST, description="gas, m3 at sea level (15 C, 1013.25 hPa)")
    free_lift: Real | None = Field(None, ge=0.001, le=1e6, description="N")
    ascent_rate: Real | None = Field(None, ge=balloons.SLOWEST, le=balloons.FASTEST, description="at the launch, m/s")
    burst_altitude: Real | None = Field(None, ge=1, le=balloons.CEILING, description="geopotential m; of latex")
    launch_altitude: Real = Field(0.0, ge=-500, le=balloons.FLIGHT_CEILING, description="geopotential m")
    chute_diameter: Real | None = Field(None, ge=0.01, le=100, description="of the canopy laid flat, m")
    chute_drag_coefficient: Real = Field(balloons.CHUTE_DRAG, ge=0.1, le=3, description="on the canopy laid flat")
    cylinder: CylinderName = Field("50l", description="gas cylinder to count in")
    atmosphere: Atmosphere | None = Field(None, description="by default the U.S. Standard Atmosphere 1976")

    @model_validator(mode="after")
    def _has_an_envelope_of_one_kind(self) -> BalloonBody:
        if self.material is None and self.envelope is None:
            raise ValueError("material is missing, and so is envelope; one of them must be given")
        if self.envelope is not None and self.material is not None and self.kind != ENVELOPES[self.envelope].kind:
            raise ValueError(f"material is {self.material}, but {self.envelope} is {ENVELOPES[self.envelope].kind}")
        name, other = (
            ("burst_diameter", "envelope_volume") if self.kind == "latex" else ("envelope_volume", "burst_diameter")
        )
        if getattr(self, other) is not None:
            raise ValueError(f"{other} is given, but the size of a {self.kind} envelope is its {name}")
        if self.envelope is None and (self.envelope_mass is None) != (getattr(self, name) is None):
            raise ValueError(f"an envelope of its own needs both envelope_mass and {name}")
        if self.envelope is None and self.envelope_mass is None and self.drag_coefficient is not None:
            raise ValueError(f"drag_coefficient needs an envelope, or envelope_mass and {name}")
        self._says_what_pressure_it_stands()
        return self

    def _says_what_pressure_it_stands(self) -> None:
        is_own = self.envelope_mass is not None and self.envelope is None
        if self.pressure_limit is None:
            if is_own and self.kind == "super-pressure":
                raise ValueError("pressure_limit is missing; a super-pressure envelope of its own needs it")
        elif self.kind != "super-pressure":
            raise ValueError(f"pressure_limit is given, but the envelope is {self.kind}")
        elif self.envelope is None and not is_own:
            raise ValueError("pressure_limit needs an envelope, or envelope_mass and envelope_volume")

    @property
    def kind(self) -> Kind:
        if self.envelope is not None and self.material is None:
            return ENVELOPES[self.envelope].kind
        assert self.material is not None
        return "zero-pressure" if self.material == "polyethylene" else self.material

    def balloon(self, site: Site) -> BalloonSpec:
        """The balloon with its gas. Raises BadRequestError where it cannot fly."""
        gas = GASES[self.lift_gas_type]
        wish = Wish(self.volume, self.free_lift, self.ascent_rate, self.burst_altitude)
        if self.envelope is None and self.envelope_mass is None:
            return sizing.highest(self.kind, gas, self.payload_mass, wish, site)
        return sizing.filled(self._envelope(), gas, self.payload_mass, wish, site)

    def site(self) -> Site:
        if self.atmosphere is None:
            return Site(self.launch_altitude)
        return Site(self.launch_altitude, self.atmosphere.column(self.launch_altitude))

    def _envelope(self) -> Envelope:
        size = sphere_volume(self.burst_diameter) if self.burst_diameter is not None else self.envelope_volume
        own = {
            "mass": self.envelope_mass,
            "volume": size,
            "drag": self.drag_coefficient,
            "pressure_limit": self.pressure_limit,
        }
        changes: dict[str, Any] = {name: value for name, value in own.items() if value is not None}
        if self.envelope is not None:
            envelope = ENVELOPES[self.envelope]
            return (
                replace(envelope, source=f"{envelope.source}; changed by the request", **changes)
                if changes
                else envelope
            )
        drag = LATEX_DRAG if self.kind == "latex" else POLYETHYLENE_DRAG
        return Envelope("own", self.kind, "", **{"drag": drag, **changes}, source="the request")


@api.get(
    "/balloon-specs",
    summary="Gases, envelopes and cylinders",
    operation_id="balloon_parts",
    responses=described("What balloons can be made of", json=answers.BalloonParts),
)
def parts() -> Response:
    """Each with the source of its numbers."""
    return json_response(
        {
            "gases": [_gas(gas) for gas in GASES.values()],
            "envelopes": [_envelope(envelope) for envelope in ENVELOPES.values()],
            "cylinders": [vars(cylinder) for cylinder in CYLINDERS.values()],
        }
    )


@api.post(
    "/balloon-specs",
    summary="Size a balloon",
    operation_id="balloon_specs",
    responses=described("What it does", json=answers.BalloonSpecs),
)
def specs(body: BalloonBody) -> Response:
    """Lift, fill, ascent rate, burst or float.

    From the gas that is filled in, or the other way round: the gas for a wanted free lift, ascent rate or burst
    altitude. A balloon that cannot lift, or passes a limit, is refused with the numbers.
    """
    site = body.site()
    does = sizing.performance(body.balloon(site), site)
    return json_response({**_described(does), **_gear(body, does)})


def _described(does: Performance) -> dict[str, Any]:
    balloon = does.spec
    numbers = {
        "volume": does.volume,
        "gas_mass": balloon.gas_mass,
        "gross_lift": balloon.gross_lift,
        "neck_lift": balloon.neck_lift,
        "free_lift": balloon.free_lift,
        "gross_lift_g": _grams(balloon.gross_lift),
        "neck_lift_g": _grams(balloon.neck_lift),
        "free_lift_g": _grams(balloon.free_lift),
        "launch_volume": does.launch_volume,
        "launch_diameter": does.launch_diameter,
        "ascent_rate": does.ascent_rate,
        "mean_ascent_rate": does.mean_ascent_rate,
        "ascent_seconds": does.seconds,
        "burst_altitude": does.top if does.bursts else None,
        "float_altitude": None if does.bursts else does.top,
        "geometric_altitude": balloons.geometric(does.top),
        "superpressure": does.superpressure,
        "overpressure": does.overpressure,
        "vented_gas_mass": does.vented,
    }
    return {
        "envelope": _envelope(balloon.envelope),
        "lift_gas": _gas(balloon.gas),
        "payload_mass": balloon.payload_mass,
        **{name: None if value is None else _rounded(value) for name, value in numbers.items()},
    }


def _gear(body: BalloonBody, does: Performance) -> dict[str, Any]:
    size = CYLINDERS[body.cylinder]
    gas = does.spec.gas
    count = balloons.cylinders(does.volume, gas, size)
    contents = _rounded(size.contents * gas.cylinder_share)
    return {"cylinders": {"name": size.name, "contents": contents, "count": count}, "descent_rate": _descent_rate(body)}


def _descent_rate(body: BalloonBody) -> float | None:
    if body.chute_diameter is None:
        return None
    try:
        return _rounded(balloons.chute_rate(body.payload_mass, body.chute_diameter, body.chute_drag_coefficient))
    except BadRequestError as error:
        raise BadRequestError(error.message, {"parameters": {"chute_diameter": error.message}}) from error


def _gas(gas: Gas) -> dict[str, Any]:
    return vars(gas)


def _envelope(envelope: Envelope) -> dict[str, Any]:
    return {
        "name": envelope.name,
        "kind": envelope.kind,
        "maker": envelope.maker,
        "mass": _rounded(envelope.mass),
        "volume": _rounded(envelope.volume),
        "diameter": _rounded(envelope.diameter),
        "drag_coefficient": envelope.drag,
        "pressure_limit": envelope.pressure_limit,
        "source": envelope.source,
        "discontinued": envelope.discontinued,
    }


def _grams(force: float) -> float:
    """What a spring balance shows for a force in N."""
    return 1000.0 * force / STANDARD_GRAVITY


def _rounded(value: float) -> float:
    """To six significant digits: more than anything here is known to."""
    return float(f"{value:.6g}")
