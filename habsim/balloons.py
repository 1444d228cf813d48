"""Gas balloons: lift, speed, burst or float, and their climbs as flights need them.

Altitudes are geopotential metres, lift is in newtons. The gas has the pressure and temperature of the air around it
(`habsim.climb` has the formulas and integrates them), so a balloon that is neither full nor burst keeps its lift.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from habsim import atmosphere, climb, kernels
from habsim.atmosphere import STANDARD_GRAVITY
from habsim.classes import Balloon, Climbs, Launches, Location
from habsim.climb import Column
from habsim.envelopes import Cylinder, Envelope, Gas
from habsim.errors import BadRequestError

Floats = npt.NDArray[np.float64]

TOLERANCE = 1e-4  # m, of a step of a climb
CEILING = 60_000.0  # m: far above every balloon that has flown
FLIGHT_CEILING = 49_999.0  # m: flights are planned below 50 km
SLOWEST, FASTEST = 0.1, 20.0  # m/s: the bounds of ascent and descent rates in every other profile
CHUTE_DRAG = 0.75  # flat circular canopies have 0.75 to 0.80: Knacke 1992, table 5-1
SEA_LEVEL_DENSITY = float(atmosphere.density(0.0))  # kg/m^3
_KINDS = {"latex": climb.LATEX, "zero-pressure": climb.ZERO_PRESSURE, "super-pressure": climb.SUPER_PRESSURE}
_BOTTOM, _TOP, _SPACING = -1000.0, 62_000.0, 25.0  # m, of a column
_EARTH = 6_356_766.0  # m, effective radius of the U.S. Standard Atmosphere 1976
_DENSITY_FACTOR = 2.5  # of the standard's; in the polar winter it is about 0.6 at 60 km
# Of the fall of ln p between two levels: moist air weighs up to 3 % less than its temperature says, and temperatures
# are not straight between levels that are far apart. Pressures may be in whole hPa.
_WEIGHT_SHARE, _ROUNDING_HPA = 0.1, 0.5


@functools.cache
def standard_column() -> Column:
    """The U.S. Standard Atmosphere 1976."""
    heights = np.arange(_BOTTOM, _TOP + _SPACING, _SPACING)
    return Column(_BOTTOM, 1.0 / _SPACING, np.log(atmosphere.density(heights)))


def model_column(heights: npt.ArrayLike, pressures: npt.ArrayLike, temperatures: npt.ArrayLike) -> Column:
    """A column of a model or a sounding: n ascending heights (m), pressures (hPa), temperatures (K); n >= 2.

    The logarithm of the density is linear between them; beyond them it is the standard atmosphere's, shifted to fit.
    Raises BadRequestError, with the first bad level, for what is not the air of the Earth at rest.
    """
    z, p, t = (np.asarray(values, np.float64) for values in (heights, pressures, temperatures))
    if not z.shape == p.shape == t.shape or z.ndim != 1 or z.size < 2:
        raise BadRequestError(f"a column needs lists of one length, 2 at least, not {z.size}, {p.size} and {t.size}")
    _refuse_no_air(z, p, t)
    given = np.log(_air_density(p, t))
    grid = np.arange(_BOTTOM, _TOP + _SPACING, _SPACING)
    standard = np.log(atmosphere.density(grid))
    ends = np.log(atmosphere.density(np.array([z[0], z[-1]])))
    table = np.interp(grid, z, given)
    below, above = grid < z[0], grid > z[-1]
    table[below] = standard[below] + (given[0] - ends[0])
    table[above] = standard[above] + (given[-1] - ends[1])
    return Column(_BOTTOM, 1.0 / _SPACING, table)


def _air_density(pressure_hpa: Floats, temperature: Floats) -> Floats:
    return 100.0 * pressure_hpa / (atmosphere.GAS_CONSTANT_AIR * temperature)


def _refuse_no_air(z: Floats, p: Floats, t: Floats) -> None:
    """Name the first level (m, hPa, K) that is none, or the first two that do not go together."""
    bad = ~(np.isfinite([z, p, t]).all(axis=0) & (p > 0.0) & (t > 0.0))
    if bad.any():
        i = int(np.argmax(bad))
        raise BadRequestError(
            "a column needs finite heights, and pressures and temperatures above 0, not "
            f"{z[i]:g} m, {p[i]:g} hPa and {t[i]:g} K at level {i + 1} of {z.size}"
        )
    bad = np.diff(z) <= 0.0
    if bad.any():
        i = int(np.argmax(bad))
        raise BadRequestError(f"a column needs ascending heights, not {z[i + 1]:g} m after {z[i]:g} m")
    rho = _air_density(p, t)
    bad = np.diff(rho) >= 0.0
    if bad.any():
        i = int(np.argmax(bad))
        raise BadRequestError(
            f"a column needs a density that falls with height, not {rho[i]:.6g} kg/m3 at {z[i]:g} m and "
            f"{rho[i + 1]:.6g} kg/m3 at {z[i + 1]:g} m"
        )
    standard = atmosphere.density(z)
    bad = (rho < standard / _DENSITY_FACTOR) | (rho > standard * _DENSITY_FACTOR)
    if bad.any():
        i = int(np.argmax(bad))
        raise BadRequestError(
            f"a column needs the air of the Earth, not {p[i]:g} hPa and {t[i]:g} K at {z[i]:g} m: that is {rho[i]:.3g} "
            f"kg/m3, the standard atmosphere has {standard[i]:.3g} kg/m3, up to {_DENSITY_FACTOR:g} times more or less "
            "is taken"
        )
    weight = STANDARD_GRAVITY * np.diff(z) / (atmosphere.GAS_CONSTANT_AIR * 0.5 * (t[:-1] + t[1:]))
    rounding = _ROUNDING_HPA / p[:-1] + _ROUNDING_HPA / p[1:]
    bad = np.abs(-np.diff(np.log(p)) - weight) > _WEIGHT_SHARE * weight + rounding
    if bad.any():
        i = int(np.argmax(bad))
        raise BadRequestError(
            f"a column needs pressures that fall by the weight of its air: from {p[i]:g} hPa at {z[i]:g} m to "
            f"{p[i] * math.exp(-weight[i]):.4g} hPa at {z[i + 1]:g} m, not {p[i + 1]:g} hPa"
        )


def hydrostatic_column(heights: npt.ArrayLike, pressures: npt.ArrayLike) -> Column:
    """A column from the geopotential heights (m, ascending) of n pressure levels (hPa); n >= 3.

    Between two levels the air weighs what their pressures differ by: rho = -dp / (g dz), which holds in moist air too,
    at the mean of their logarithmic pressures. Raises BadRequestError as `model_column`.
    """
    z, log_p = np.asarray(heights, np.float64), np.log(np.asarray(pressures, np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        temperature = -STANDARD_GRAVITY / atmosphere.GAS_CONSTANT_AIR * np.diff(z) / np.diff(log_p)
    middle = 0.5 * (log_p[:-1] + log_p[1:])
    return model_column(0.5 * (z[:-1] + z[1:]), np.exp(middle), temperature)


def density(column: Column, altitude: float) -> float:
    """Of the air, kg/m^3, at `altitude` m."""
    position = (altitude - column.bottom) * column.per_metre
    return math.exp(float(np.interp(position, np.arange(column.log_density.size), column.log_density)))


def pressure(column: Column, altitude: float) -> float:
    """Of the air, Pa, at `altitude` m within the column: what the air above weighs."""
    heights = column.bottom + np.arange(column.log_density.size) / column.per_metre
    above = heights > altitude
    z = np.concatenate([[altitude], heights[above]])
    rho = np.concatenate([[density(column, altitude)], np.exp(column.log_density[above])])
    beyond = 100.0 * float(atmosphere.pressure(z[-1])) * rho[-1] / float(atmosphere.density(z[-1]))
    return float(STANDARD_GRAVITY * np.trapezoid(rho, z) + beyond)


@dataclass(frozen=True)
class BalloonSpec:
    """A balloon as it is launched: masses of payload (with parachute and strings) and gas in kg."""

    envelope: Envelope
    gas: Gas
    payload_mass: float
    gas_mass: float

    @property
    def dead_mass(self) -> float:
        """Envelope and payload, kg."""
        return self.envelope.mass + self.payload_mass

    @property
    def gross_lift(self) -> float:
        """Buoyancy (Archimedes) less the weight of the gas, N; the same at all altitudes until the envelope is full."""
        return STANDARD_GRAVITY * self.gas_mass * (self.gas.lightness - 1.0)

    @property
    def free_lift(self) -> float:
        """What is left of the gross lift when all is hung on, N; negative where it cannot lift."""
        return self.gross_lift - STANDARD_GRAVITY * self.dead_mass

    @property
    def neck_lift(self) -> float:
        """What the neck pulls before the payload is hung on, N."""
        return self.gross_lift - STANDARD_GRAVITY * self.envelope.mass

    def volume(self, air_density: float) -> float:
        """Of the gas, m^3, where it fills as much as it wants."""
        return self.gas_mass * self.gas.lightness / air_density

    def ascent_rate(self, air_density: float) -> float:
        """Speed (m/s) at which drag balances the free lift of a balloon that is not full: `habsim.climb`."""
        section = math.pi * (0.75 / math.pi * self.volume(air_density)) ** (2.0 / 3.0)
        return math.sqrt(2.0 * max(self.free_lift, 0.0) / (air_density * self.envelope.drag * section))

    def row(self) -> list[float]:
        """As `climb.climb` reads it."""
        kind = _KINDS[self.envelope.kind]
        return [self.gas_mass, self.dead_mass, self.envelope.volume, self.envelope.drag, self.gas.lightness, kind]


@dataclass(frozen=True)
class Ascents:
    """What came of n climbs: `altitudes`, `per_second` as in `Climbs`; `results` (n, 5), columns named in `climb`."""

    altitudes: Floats
    per_second: Floats
    results: Floats


def ascents(rows: Floats, start: float, ceiling: float = CEILING, column: Column | None = None) -> Ascents:
    """Climb n balloons, (n, 6) with columns named in `climb`, from `start` m to burst, float or `ceiling` m."""
    count = len(rows)
    found = Ascents(np.empty((count, kernels.CLIMB_ENTRIES)), np.empty(count), np.empty((count, 5)))
    climb.climb(
        column or standard_column(), rows, float(start), float(ceiling), TOLERANCE,
        found.altitudes, found.per_second, found.results,
    )  # fmt: skip
    return found


def warm_up() -> None:
    """Have the kernel compiled, or loaded from its cache."""
    ascents(np.array([[1.0, 1.0, 100.0, 0.3, 7.0, climb.LATEX]]), 0.0)


def parachute_rate(mass: float, area: float, drag: float) -> float:
    """Speed of fall at sea level, m/s, of `mass` kg under a parachute of `area` m^2.

    Weight in balance with drag on the nominal area: Knacke 1992, "Parachute Recovery Systems Design Manual", chapter 5.
    """
    return math.sqrt(2.0 * mass * STANDARD_GRAVITY / (SEA_LEVEL_DENSITY * drag * area))


def chute_rate(payload_mass: float, diameter: float, drag: float = CHUTE_DRAG) -> float:
    """Speed of fall at sea level, m/s, of kg under a canopy that is `diameter` m across when laid flat.

    Raises BadRequestError for one that nobody flies.
    """
    rate = parachute_rate(payload_mass, math.pi / 4.0 * diameter**2, drag)
    if not SLOWEST <= rate <= FASTEST:
        raise BadRequestError(
            f"chute_diameter is {diameter:g} m: {payload_mass:g} kg fall at {rate:.3g} m/s, it must be {SLOWEST:g} to "
            f"{FASTEST:g} m/s"
        )
    return rate


def cylinders(volume: float, gas: Gas, size: Cylinder) -> int:
    """How many cylinders hold `volume` m^3 of gas at sea level."""
    return math.ceil(volume / (size.contents * gas.cylinder_share) - 1e-9)


def geometric(altitude: float) -> float:
    """Height above sea level (m) as GPS and makers have it, of a geopotential altitude (m).

    U.S. Standard Atmosphere 1976, equation 19.
    """
    return altitude * _EARTH / (_EARTH - altitude)


def overpressure(row: Floats, column: Column, top: float) -> float:
    """Pa above the air that a full balloon, a row as `climb.climb` reads it, has at `top` m; by the ideal gas law.

    0 where the envelope is no super-pressure one. The gas is as warm as the air.
    """
    if row[climb.KIND] != climb.SUPER_PRESSURE:
        return 0.0
    holds = row[climb.VOLUME] * density(column, top) / row[climb.LIGHTNESS]  # kg at the air's pressure
    return float((row[climb.GAS_MASS] / holds - 1.0) * pressure(column, top))


def overpressure_text(envelope: str, excess: float, limit: float, top: float) -> str:
    """What is said of a balloon that would burst at float, `top` m; pressures in Pa."""
    pressures = f"{excess:.4g} Pa more than the air, {envelope} stands {limit:.4g} Pa"
    return f"at {top:.0f} m the gas presses {pressures}; take less gas"


def launches_of(
    launches: Launches,
    rows: Floats,
    of: npt.ArrayLike | None = None,
    column: Column | None = None,
    pressure_limit: float | None = None,
) -> Launches:
    """The same n launches flown by gas balloons: rows (m, 6) with columns named in `climb`.

    `of` (n,) is the balloon of each launch; by default each has its own, or all have the only one.
    Their ascent rate becomes that at the lowest ground and their equilibrium altitude that of burst or float, at most
    50 km. Balloons that cannot lift what they carry, that get nowhere, or that burst or float no higher than they are
    launched are `grounded`, as are those that would float with more than `pressure_limit` Pa above the air. Raises
    BadRequestError where the first is launched above its burst or float, or would float with more than that.
    """
    table = launches.table.copy()
    # From one altitude for all, so that a flight does not depend on the others of its batch.
    found = ascents(rows, kernels.LOWEST_GROUND, FLIGHT_CEILING, column)
    if of is None:
        of = np.arange(len(table)) if len(rows) == len(table) else np.zeros(len(table), np.int64)
    balloon_of = np.ascontiguousarray(of, np.int64)
    results = found.results[balloon_of]
    altitude = table[:, kernels.ALTITUDE]
    if results[0, climb.TOP] < altitude[0]:
        raise BadRequestError(
            f"the balloon bursts or floats at {results[0, climb.TOP]:.0f} m, below the launch at {altitude[0]:.0f} m"
        )
    over = np.zeros(len(rows), np.bool_)
    if pressure_limit is not None:
        air = column or standard_column()
        excess = [overpressure(row, air, float(found.results[i, climb.TOP])) for i, row in enumerate(rows)]
        over = np.array(excess) > pressure_limit
        if over[balloon_of[0]]:
            told = overpressure_text("the envelope", excess[balloon_of[0]], pressure_limit, results[0, climb.TOP])
            raise BadRequestError(told)
    stays = (
        over[balloon_of]
        | np.isin(results[:, climb.OUTCOME], (climb.NO_LIFT, climb.TOO_SLOW))
        | (results[:, climb.TOP] <= altitude)
    )
    table[:, kernels.ASCENT_RATE] = np.maximum(results[:, climb.START_SPEED], 1e-3)
    table[:, kernels.EQUILIBRIUM_ALTITUDE] = np.maximum(results[:, climb.TOP], altitude)
    # They fly no further than where they are, so that they need no winds of elsewhere.
    table[stays, kernels.EQUILIBRIUM_ALTITUDE] = altitude[stays]
    table[stays, kernels.COAST_SECONDS] = 0.0
    grounded = frozenset(np.flatnonzero(stays).tolist())
    return Launches(table, Climbs(found.altitudes, found.per_second, balloon_of), grounded)


def launch(time: float, place: Location, spec: BalloonSpec, balloon: Balloon) -> Launches:
    """A single launch of a gas balloon for the profile `physical`, at Unix seconds.

    Of `balloon` what comes after burst or float counts, and its drift.
    """
    return launches_of(Launches.single(time, place, balloon), np.array([spec.row()]))
