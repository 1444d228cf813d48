"""Flight profiles: chains of (vertical model, terminator), as data.

zpb       ascent at constant speed, coast for a time, descent at constant speed to the ground
standard  ascent at constant speed to burst, descent under a parachute to the ground
float     ascent at constant speed, coast until a time
reverse   backwards in time along an ascent, down to the ground where it began
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from habsim import kernels

if TYPE_CHECKING:
    from habsim.classes import Launches

PerFlight = Callable[["Launches"], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Phase:
    """One link of a chain.

    `kind` is the vertical model (`kernels.CONSTANT_RATE` or `DRAG`) with `rate` giving its speed (n,), m/s, positive
    upwards along the direction of flight; `end` the terminator (`kernels.END_*`) with `limit` giving its altitude (m)
    or duration (s), (n,).
    """

    name: str
    kind: int
    rate: PerFlight
    end: int
    limit: PerFlight


@dataclass(frozen=True)
class Profile:
    """A chain of phases; `direction` is -1.0 where it is flown backwards in time."""

    name: str
    phases: tuple[Phase, ...]
    direction: float = 1.0

    @cached_property
    def kinds(self) -> npt.NDArray[np.int64]:
        return np.array([phase.kind for phase in self.phases], np.int64)

    @cached_property
    def ends(self) -> npt.NDArray[np.int64]:
        return np.array([phase.end for phase in self.phases], np.int64)


def _zero(launches: Launches) -> npt.NDArray[np.float64]:
    return np.zeros(len(launches))


def _ascent_rate(launches: Launches) -> npt.NDArray[np.float64]:
    return launches.ascent_rate


def _descent_rate(launches: Launches) -> npt.NDArray[np.float64]:
    return -launches.descent_rate


def _backwards_ascent_rate(launches: Launches) -> npt.NDArray[np.float64]:
    return -launches.ascent_rate


def _equilibrium_altitude(launches: Launches) -> npt.NDArray[np.float64]:
    return launches.equilibrium_altitude


def _coast_seconds(launches: Launches) -> npt.NDArray[np.float64]:
    return launches.coast_seconds


ASCENT = Phase("ascent", kernels.CONSTANT_RATE, _ascent_rate, kernels.END_ALTITUDE, _equilibrium_altitude)
COAST = Phase("coast", kernels.CONSTANT_RATE, _zero, kernels.END_DURATION, _coast_seconds)
DESCENT = Phase("descent", kernels.CONSTANT_RATE, _descent_rate, kernels.END_GROUND, _zero)
PARACHUTE = Phase("descent", kernels.DRAG, _descent_rate, kernels.END_GROUND, _zero)
ASCENT_BACKWARDS = Phase("ascent", kernels.CONSTANT_RATE, _backwards_ascent_rate, kernels.END_GROUND, _zero)

PROFILES = {
    profile.name: profile
    for profile in (
        Profile("zpb", (ASCENT, COAST, DESCENT)),
        Profile("standard", (ASCENT, PARACHUTE)),
        Profile("float", (ASCENT, COAST)),
        Profile("reverse", (ASCENT_BACKWARDS,), direction=-1.0),
    )
}
