"""Sizing a gas balloon: from what is wanted to the fill, and from the fill to what the balloon will do.

Volumes of gas are as at sea level in the standard atmosphere (15 C, 1013.25 hPa), the way it is sold. What cannot fly
is refused with the numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from habsim import balloons, climb
from habsim.atmosphere import STANDARD_GRAVITY
from habsim.balloons import CEILING, FASTEST, SEA_LEVEL_DENSITY, SLOWEST, BalloonSpec, ascents, density
from habsim.climb import Column
from habsim.envelopes import ENVELOPES, Envelope, Gas, Kind, sphere_diameter
from habsim.errors import BadRequestError

_SLOW = 4.8  # m/s: below it the CUSF burst calculator warns of large balloons that float instead of bursting
_NEWTON_STEPS = 60
_ROUNDING = 1e-9  # of a rate, from there and back


@dataclass(frozen=True)
class Wish:
    """What is wanted of a balloon, one of them: gas volume (m^3 at sea level), free lift (N), ascent rate at the launch
    (m/s), burst altitude (m)."""

    volume: float | None = None
    free_lift: float | None = None
    ascent_rate: float | None = None
    burst_altitude: float | None = None

    def __post_init__(self) -> None:
        given = [name for name, value in vars(self).items() if value is not None]
        if len(given) != 1:
            told = " and ".join(given) if given else "none of them"
            raise BadRequestError(f"one of {', '.join(vars(self))} must be given, not {told}")


@dataclass(frozen=True)
class Site:
    """Where a balloon is launched: altitude in m, and the air above."""

    altitude: float = 0.0
    column: Column = field(default_factory=balloons.standard_column)

    @property
    def density(self) -> float:
        """Of the air at the launch, kg/m^3."""
        return density(self.column, self.altitude)


@dataclass(frozen=True)
class Performance:
    """What a balloon does, in N, m, m/s, s, kg and m^3.

    `ascent_rate` is that at the launch, `top` the altitude of burst or float. At float `superpressure` is what the gas
    has above the air's pressure, as a share of that, `overpressure` the same in Pa, and `vented` the gas that was let
    out on the way, kg. The gas is as warm as the air: what the sun adds is not in it.
    """

    spec: BalloonSpec
    bursts: bool
    ascent_rate: float
    mean_ascent_rate: float
    top: float
    seconds: float
    volume: float
    launch_volume: float
    launch_diameter: float
    superpressure: float
    overpressure: float
    vented: float


def filled(envelope: Envelope, gas: Gas, payload_mass: float, wish: Wish, site: Site | None = None) -> BalloonSpec:
    """The balloon with the gas that fulfils `wish`, at sea level by default. BadRequestError where none can fly."""
    site = site or Site()
    dead = envelope.mass + payload_mass
    if wish.volume is not None:
        mass = wish.volume * SEA_LEVEL_DENSITY / gas.lightness
    elif wish.free_lift is not None:
        mass = (wish.free_lift / STANDARD_GRAVITY + dead) / (gas.lightness - 1.0)
    elif wish.ascent_rate is not None:
        mass = gas_for_rate(wish.ascent_rate, dead, gas, envelope.drag, site.density)
    else:
        assert wish.burst_altitude is not None
        mass = _gas_for_burst(envelope, gas, wish.burst_altitude, site)
    spec = BalloonSpec(envelope, gas, payload_mass, mass)
    _refuse_what_cannot_rise(spec, site)
    return spec


def gas_for_rate(rate: float, dead_mass: float, gas: Gas, drag: float, air_density: float) -> float:
    """Gas (kg) with which free lift balances drag at `rate` m/s in air of `air_density` kg/m^3.

    With x the cube root of the gas mass the balance of `habsim.climb` is a x^3 - b x^2 - c = 0, which has one positive
    root: to the right of it the cubic is convex, so that Newton's method comes down to it from any point there.
    """
    a = 2.0 * STANDARD_GRAVITY * (gas.lightness - 1.0)
    b = rate**2 * air_density * drag * math.pi * (0.75 / math.pi * gas.lightness / air_density) ** (2.0 / 3.0)
    c = 2.0 * STANDARD_GRAVITY * dead_mass
    x: float = math.cbrt(c / a) + b / a
    for _ in range(_NEWTON_STEPS):
        change = (a * x**3 - b * x**2 - c) / (3.0 * a * x**2 - 2.0 * b * x)
        x -= change
        if abs(change) <= 1e-15 * x:
            break
    return x**3


def _gas_for_burst(envelope: Envelope, gas: Gas, altitude: float, site: Site) -> float:
    if envelope.kind != "latex":
        raise BadRequestError(
            f"burst_altitude is {altitude:g} m, but {envelope.name} is {envelope.kind} and floats where its masses "
            "say; take volume, free_lift or ascent_rate"
        )
    if not site.altitude < altitude <= CEILING:
        raise BadRequestError(
            f"burst_altitude is {altitude:g} m, it must be above the launch at {site.altitude:g} m and at most "
            f"{CEILING:g} m"
        )
    return envelope.volume * density(site.column, altitude) / gas.lightness


def _refuse_what_cannot_rise(spec: BalloonSpec, site: Site) -> None:
    weight = STANDARD_GRAVITY * spec.dead_mass
    numbers = {"net_lift": spec.free_lift, "gross_lift": spec.gross_lift, "weight": weight}
    if not spec.free_lift > 0.0:
        raise BadRequestError(
            f"net lift {spec.free_lift:.4g} N: {spec.volume(SEA_LEVEL_DENSITY):.4g} m3 of {spec.gas.name} lift "
            f"{spec.gross_lift:.4g} N, envelope and payload weigh {weight:.4g} N",
            {name: round(value, 4) for name, value in numbers.items()},
        )
    volume, limit = spec.volume(site.density), spec.envelope.volume
    if volume >= limit:
        raise BadRequestError(
            f"the gas takes {volume:.4g} m3 at the launch at {site.altitude:g} m, {spec.envelope.name} "
            f"{'bursts' if spec.envelope.kind == 'latex' else 'is full'} at {limit:.4g} m3",
            {"volume": round(volume, 4), "limit": round(limit, 4)},
        )
    rate = spec.ascent_rate(site.density)
    if not SLOWEST * (1.0 - _ROUNDING) <= rate <= FASTEST * (1.0 + _ROUNDING):
        raise BadRequestError(
            f"ascent rate {rate:.4g} m/s with a free lift of {spec.free_lift:.4g} N, it must be "
            f"{SLOWEST:g} to {FASTEST:g} m/s",
            {**{name: round(value, 4) for name, value in numbers.items()}, "ascent_rate": round(rate, 4)},
        )


def performance(spec: BalloonSpec, site: Site | None = None) -> Performance:
    """What a balloon does from `site` on.

    Raises BadRequestError where it neither bursts nor floats below 60 km, or floats with more pressure than it stands.
    """
    site = site or Site()
    found = ascents(np.array([spec.row()]), site.altitude, CEILING, site.column).results[0]
    seconds, top, rate, outcome = (float(value) for value in found[:4])
    if outcome == climb.CEILING:
        verb = "burst" if spec.envelope.kind == "latex" else "float"
        raise BadRequestError(
            f"{spec.envelope.name} does not {verb} below {CEILING:g} m: it holds {spec.envelope.volume:.4g} m3, "
            f"and there its gas takes {spec.volume(density(site.column, top)):.4g} m3",
            {"limit": CEILING},
        )
    volume = spec.volume(site.density)
    overpressure = balloons.overpressure(np.array(spec.row()), site.column, top)
    _refuse_what_bursts_at_float(spec.envelope, overpressure, top)
    return Performance(
        spec=spec,
        bursts=outcome == climb.BURST,
        ascent_rate=rate,
        mean_ascent_rate=(top - site.altitude) / seconds if seconds > 0.0 else rate,
        top=top,
        seconds=seconds,
        volume=spec.volume(SEA_LEVEL_DENSITY),
        launch_volume=volume,
        launch_diameter=sphere_diameter(volume),
        superpressure=overpressure / balloons.pressure(site.column, top) if overpressure else 0.0,
        overpressure=overpressure,
        vented=_vented(spec, density(site.column, top)),
    )


def _refuse_what_bursts_at_float(envelope: Envelope, overpressure: float, altitude: float) -> None:
    limit = envelope.pressure_limit
    if limit is not None and overpressure > limit:
        raise BadRequestError(
            balloons.overpressure_text(envelope.name, overpressure, limit, altitude),
            {"overpressure": round(overpressure, 2), "limit": limit},
        )


def _vented(spec: BalloonSpec, air_density: float) -> float:
    """Gas that is let out on the way to float, kg."""
    if spec.envelope.kind != "zero-pressure":
        return 0.0
    return spec.gas_mass - spec.envelope.volume * air_density / spec.gas.lightness


def highest(kind: Kind, gas: Gas, payload_mass: float, wish: Wish, site: Site | None = None) -> BalloonSpec:
    """The balloon, of the envelopes of a kind that are still made, that goes highest.

    Latex ones that rise at 4.8 m/s come first, and of those that burst alike the one that needs least gas.

    Where none can fly, raises what the lightest lacks in lift, or why the heaviest does not do.
    """
    refusals: list[BadRequestError] = []
    found: list[tuple[bool, float, float, BalloonSpec]] = []
    for envelope in sorted(ENVELOPES.values(), key=lambda one: one.mass):
        if envelope.kind != kind or envelope.discontinued:
            continue
        try:
            spec = filled(envelope, gas, payload_mass, wish, site)
            does = performance(spec, site)
        except BadRequestError as error:
            refusals.append(error)
            continue
        found.append((kind != "latex" or does.ascent_rate >= _SLOW, round(does.top), -spec.gas_mass, spec))
    if not found:
        lightest = refusals[0]
        raise lightest if "net_lift" in (lightest.details or {}) else refusals[-1]
    return max(found, key=lambda one: one[:3])[3]
