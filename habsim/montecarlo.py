"""Monte Carlo: perturbed copies of a launch, each parameter from its own reproducible stream.

A stream is the counter-based generator Philox4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2,
3") with the key (seed, number of the parameter); perturbation n takes its n-th value. So a seed gives the same draws on
every machine, more perturbations keep the first ones, and a new parameter does not move the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from habsim import climb, kernels
from habsim.classes import Launches

MAX_ALTITUDE = 50000.0  # m
MIN_SPEED = 0.1  # m/s
_RAREST = 1e-6  # the tails of a law end here

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Distribution:
    """How one parameter of a launch, or of a gas balloon, varies.

    `pieces` are (probability, low, high): with that probability the draw is uniform between low and high. Where there
    is a `law`, it is the inverse of the cumulative distribution instead. The draw is added to the launch's (balloon's)
    `column`, or multiplies it where `factor`. `widest` is the largest half-width a request may ask for. The `stream`
    number is the parameter's for ever.
    """

    stream: int
    column: int
    pieces: tuple[tuple[float, float, float], ...]
    widest: float
    factor: bool = False
    law: Callable[[Floats], Floats] | None = None

    def with_half_width(self, half_width: float) -> Distribution:
        """The same parameter drawn uniformly within `half_width` of its value (of 1 for a factor)."""
        centre = 1.0 if self.factor else 0.0
        return replace(self, pieces=((1.0, centre - half_width, centre + half_width),), law=None)

    def draw(self, seed: int, count: int) -> Floats:
        """Draws of perturbations 0..count-1, (count,)."""
        key = np.array([seed, self.stream], np.uint64)
        uniform = np.random.Generator(np.random.Philox(key=key)).random(count)
        return self.quantile(uniform)

    def quantile(self, probability: Floats) -> Floats:
        """The value below which a draw lies with `probability`."""
        if self.law is not None:
            return self.law(np.clip(probability, _RAREST, 1.0 - _RAREST))
        edges = np.cumsum([0.0, *(piece[0] for piece in self.pieces)])
        values = np.empty_like(probability)
        for (share, low, high), start in zip(self.pieces, edges[:-1], strict=True):
            inside = probability >= start
            values[inside] = low + (high - low) * (probability[inside] - start) / share
        return values


def _normal(deviation: float) -> Callable[[Floats], Floats]:
    """Normal about 1 with a standard `deviation`."""
    inverse = NormalDist(1.0, deviation).inv_cdf
    return lambda probability: np.array([inverse(p) for p in probability])


def _weibull(shape: float) -> Callable[[Floats], Floats]:
    """Weibull's law with the median 1."""
    return lambda probability: (-np.log1p(-probability) / math.log(2.0)) ** (1.0 / shape)


def _within(half_width: float) -> tuple[tuple[float, float, float], ...]:
    return ((1.0, -half_width, half_width),)


# By the name of the request's parameter.
DISTRIBUTIONS: Mapping[str, Distribution] = {
    "lat": Distribution(0, kernels.LATITUDE, _within(0.001), widest=1.0),
    "lon": Distribution(1, kernels.LONGITUDE, _within(0.001), widest=1.0),
    "alt": Distribution(2, kernels.ALTITUDE, _within(50.0), widest=5000.0),
    "equil": Distribution(3, kernels.EQUILIBRIUM_ALTITUDE, _within(200.0), widest=10000.0),
    "eqtime": Distribution(4, kernels.COAST_SECONDS, ((1.0, 0.9, 1.1),), widest=1.0, factor=True),
    "asc": Distribution(5, kernels.ASCENT_RATE, _within(0.5), widest=10.0),
    "desc": Distribution(6, kernels.DESCENT_RATE, _within(0.5), widest=10.0),
    "coeff": Distribution(7, kernels.DRIFT, ((0.9, 0.95, 1.0), (0.1, 0.9, 0.95)), widest=0.5, factor=True),
}

# Of gas balloons, in the columns of `habsim.climb`; they vary in the place of ascent rate and burst altitude. Fill and
# mass: what a spring balance and a kitchen scale leave open, an assumption.
# Burst diameter: the scatter is that of Totex's balloons in Sobester et al. 2013, "Notes on Meteorological Balloon
# Mission Planning", AIAA 2013-1295, as its simulator ASTRA has it: Weibull of shape 14.3577, taken there for Hwoyee's
# too. For all other latex it is an assumption. So is the centre for all: half of the balloons burst below the diameter
# that sizing tells, members' own flights fly and makers' tables of burst altitudes are made with. Sobester et al. found
# Totex's to burst at 1.081 of it on average, which no other maker's flights are known to confirm.
BALLOON_DISTRIBUTIONS: Mapping[str, Distribution] = {
    "fill": Distribution(8, climb.GAS_MASS, (), widest=0.2, factor=True, law=_normal(0.02)),
    "mass": Distribution(9, climb.DEAD_MASS, (), widest=0.2, factor=True, law=_normal(0.01)),
    "burst": Distribution(10, climb.VOLUME, (), widest=0.5, factor=True, law=_weibull(14.3577)),
}
_REPLACED_BY_BALLOON = ("asc", "equil")


def table(half_widths: Mapping[str, float], *, balloon: bool = False) -> dict[str, Distribution]:
    """The distributions, some replaced by uniform ones of the given half-widths (by parameter name).

    With a gas `balloon` its own are among them, and what it decides is not.
    """
    known = dict(DISTRIBUTIONS)
    if balloon:
        known = {name: one for name, one in known.items() if name not in _REPLACED_BY_BALLOON}
        known.update(BALLOON_DISTRIBUTIONS)
    return {**known, **{name: known[name].with_half_width(width) for name, width in half_widths.items()}}


def perturbed(launch: Launches, seed: int, count: int, distributions: Mapping[str, Distribution]) -> Launches:
    """The single `launch` as it is, followed by `count` perturbed copies: count + 1 launches.

    Altitudes stay within 0..50000 m and the equilibrium altitude at or above the launch, speeds at or above 0.1 m/s.
    Distributions of gas balloons are left to `perturbed_balloons`.
    """
    table = np.repeat(launch.table, count + 1, axis=0)
    copies = table[1:]
    for name, distribution in distributions.items():
        if name in BALLOON_DISTRIBUTIONS:
            continue
        draws, value = distribution.draw(seed, count), copies[:, distribution.column]
        if distribution.factor:
            value *= draws
        else:
            value += draws
    latitude, altitude = copies[:, kernels.LATITUDE], copies[:, kernels.ALTITUDE]
    np.clip(latitude, -90.0, 90.0, out=latitude)
    np.clip(altitude, 0.0, MAX_ALTITUDE, out=altitude)
    top = copies[:, kernels.EQUILIBRIUM_ALTITUDE]
    np.clip(top, altitude, MAX_ALTITUDE, out=top)
    for column in (kernels.ASCENT_RATE, kernels.DESCENT_RATE):
        np.maximum(copies[:, column], MIN_SPEED, out=copies[:, column])
    return Launches(table)


def perturbed_balloons(balloon: Floats, seed: int, count: int, distributions: Mapping[str, Distribution]) -> Floats:
    """The gas balloon as it is, followed by `count` perturbed copies: (count + 1, 6), columns named in `habsim.climb`.

    The diameter of a latex envelope at its burst varies, and its volume with it; other envelopes keep theirs.
    """
    table = np.repeat(balloon[np.newaxis], count + 1, axis=0)
    for name, distribution in distributions.items():
        if name not in BALLOON_DISTRIBUTIONS or (name == "burst" and balloon[climb.KIND] != climb.LATEX):
            continue
        draws = distribution.draw(seed, count)
        table[1:, distribution.column] *= draws**3 if name == "burst" else draws
    return table
