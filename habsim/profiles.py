"""Flight profiles: chains of (vertical model, terminator), as data.

zpb       ascent at constant speed, coast for a time, descent at constant speed to the ground
standard  ascent at constant speed to burst, descent under a parachute to the ground
float     ascent at constant speed, coast until a time
physical  ascent as free lift and drag make it, to burst or float; coast for a time; descent under a parachute
reverse   backwards in time along an ascent, down to the ground where it began
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from habsim import kernels


@dataclass(frozen=True)
class Phase:
    """One link of a chain.

    `vertical` is the vertical model (`kernels.CONSTANT_RATE`, `DRAG_BALANCE` or `CLIMB`), its speed `factor` times the
    launch's column `rate`, m/s upwards along the direction of flight. `end` is the terminator (`kernels.END_*`), which
    looks at the launch's column `limit`: an altitude in m or a duration in s.
    """

    name: str
    vertical: int
    rate: int
    factor: int
    end: int
    limit: int


@dataclass(frozen=True)
class Profile:
    """A chain of phases; `direction` is -1.0 where it is flown backwards in time."""

    name: str
    phases: tuple[Phase, ...]
    direction: float = 1.0

    @cached_property
    def climbs(self) -> bool:
        """Whether its launches must bring climbs."""
        return any(phase.vertical == kernels.CLIMB for phase in self.phases)

    @property
    def lands(self) -> bool:
        """Whether its flights end on the ground."""
        return self.phases[-1].end == kernels.END_GROUND

    @cached_property
    def chain(self) -> npt.NDArray[np.int64]:
        """The phases as `kernels.fly` reads them, (phases, 5)."""
        return np.array([(p.vertical, p.rate, p.factor, p.end, p.limit) for p in self.phases], np.int64)


_STEADY, _DRAG = kernels.CONSTANT_RATE, kernels.DRAG_BALANCE
_UP, _DOWN, _TOP = kernels.ASCENT_RATE, kernels.DESCENT_RATE, kernels.EQUILIBRIUM_ALTITUDE

ASCENT = Phase("ascent", _STEADY, _UP, 1, kernels.END_ALTITUDE, _TOP)
CLIMB = Phase("ascent", kernels.CLIMB, _UP, 1, kernels.END_ALTITUDE, _TOP)
COAST = Phase("coast", _STEADY, _UP, 0, kernels.END_DURATION, kernels.COAST_SECONDS)
DESCENT = Phase("descent", _STEADY, _DOWN, -1, kernels.END_GROUND, _TOP)
PARACHUTE = Phase("descent", _DRAG, _DOWN, -1, kernels.END_GROUND, _TOP)
ASCENT_BACKWARDS = Phase("ascent", _STEADY, _UP, -1, kernels.END_GROUND, _TOP)

PROFILES = {
    profile.name: profile
    for profile in (
        Profile("zpb", (ASCENT, COAST, DESCENT)),
        Profile("standard", (ASCENT, PARACHUTE)),
        Profile("float", (ASCENT, COAST)),
        Profile("physical", (CLIMB, COAST, PARACHUTE)),
        Profile("reverse", (ASCENT_BACKWARDS,), direction=-1.0),
    )
}
