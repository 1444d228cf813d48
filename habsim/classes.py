"""The nouns of a flight: where, with what, through which winds, over which ground, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class WindField:
    """Winds of one member on a latitude-longitude-level-time grid.

    `data` float16 (lat, lon, level, time, 2): eastward and northward wind, m/s; latitude from 90 down to -90,
    longitude from 0 up to 360 with the first column repeated, level ascending in hPa, time ascending.
    `height` float16 (lat, lon, level, time) or None: geopotential height minus the standard-atmosphere height of
    the level, m. `levels` (level,) hPa. `start` Unix seconds of the first time. `interval_seconds` between times.
    """

    name: str
    data: npt.NDArray[np.float16]
    height: npt.NDArray[np.float16] | None
    levels: npt.NDArray[np.float64]
    start: float
    interval_seconds: float

    @property
    def end(self) -> float:
        """Unix seconds of the last time."""
        return self.start + (self.data.shape[3] - 1) * self.interval_seconds


@dataclass(frozen=True)
class FlightPhase:
    """One phase of a flight. `name` is `ascent`, `coast` or `descent`.

    `points` float64 (n, 6): Unix seconds, latitude, longitude (degrees), altitude (m), eastward and northward
    wind (m/s). The last point of a phase is the first of the next.
    """

    name: str
    points: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trajectory:
    """One integrated flight. `warnings` are sentences for the user, for example winds taken above the top level."""

    phases: tuple[FlightPhase, ...]
    warnings: tuple[str, ...] = ()

    @property
    def landing(self) -> npt.NDArray[np.float64]:
        """The last point, (6,) as in `FlightPhase.points`."""
        last: npt.NDArray[np.float64] = self.phases[-1].points[-1]
        return last
