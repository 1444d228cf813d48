"""Monte Carlo: perturbed copies of a launch, each parameter from its own reproducible stream.

A stream is the counter-based generator Philox4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2,
3") with the key (seed, number of the parameter); perturbation n takes its n-th value. So a seed gives the same draws on
every machine, more perturbations keep the first ones, and a new parameter does not move the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from habsim import kernels
from habsim.classes import Launches

MAX_ALTITUDE = 50000.0  # m
MIN_SPEED = 0.1  # m/s

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Distribution:
    """How one parameter of a launch varies.

    `pieces` are (probability, low, high): with that probability the draw is uniform between low and high. The draw is
    added to the launch's `column`, or multiplies it where `factor`. `widest` is the largest half-width a request may
    ask for. The `stream` number is the parameter's for ever.
    """

    stream: int
    column: int
    pieces: tuple[tuple[float, float, float], ...]
    widest: float
    factor: bool = False

    def with_half_width(self, half_width: float) -> Distribution:
        """The same parameter drawn uniformly within `half_width` of its value (of 1 for a factor)."""
        centre = 1.0 if self.factor else 0.0
        return replace(self, pieces=((1.0, centre - half_width, centre + half_width),))

    def draw(self, seed: int, count: int) -> Floats:
        """Draws of perturbations 0..count-1, (count,)."""
        key = np.array([seed, self.stream], np.uint64)
        uniform = np.random.Generator(np.random.Philox(key=key)).random(count)
        return self.quantile(uniform)

    def quantile(self, probability: Floats) -> Floats:
        """The value below which a draw lies with `probability` of the pieces laid end to end."""
        edges = np.cumsum([0.0, *(piece[0] for piece in self.pieces)])
        values = np.empty_like(probability)
        for (share, low, high), start in zip(self.pieces, edges[:-1], strict=True):
            inside = probability >= start
            values[inside] = low + (high - low) * (probability[inside] - start) / share
        return values


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


def table(half_widths: Mapping[str, float]) -> dict[str, Distribution]:
    """The distributions, some replaced by uniform ones of the given half-widths (by parameter name)."""
    replaced = {name: DISTRIBUTIONS[name].with_half_width(width) for name, width in half_widths.items()}
    return {**DISTRIBUTIONS, **replaced}


def perturbed(launch: Launches, seed: int, count: int, distributions: Mapping[str, Distribution]) -> Launches:
    """The single `launch` as it is, followed by `count` perturbed copies: count + 1 launches.

    Altitudes stay within 0..50000 m and the equilibrium altitude at or above the launch, speeds at or above 0.1 m/s.
    """
    table = np.repeat(launch.table, count + 1, axis=0)
    copies = table[1:]
    for distribution in distributions.values():
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
