"""Flying one chunk of a search."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from habsim import climb, kernels
from habsim.atmosphere import EARTH_RADIUS
from habsim.classes import Climbs, Launches, Location, Simulator
from habsim.landing import to_vectors
from habsim.reverse import refinement
from habsim.reverse.plan import Chunk, Configuration, Plan, SearchArea, Target

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# What is known of one place, launch time and configuration. `flown` members could be judged, `hits` of them reach the
# zone; `score` is the sum of theirs, in millionths: whole numbers, so that the order of adding does not matter. The
# rest is the closest approach of all members, by `member`: distance from the centre (m, infinite where no flight was
# made or none was within the zone's altitudes and times), Unix seconds, degrees, m.
CELL = np.dtype(
    [
        ("flown", "u2"), ("hits", "u2"), ("member", "i2"), ("score", "u4"), ("distance", "f8"), ("time", "f8"),
        ("latitude", "f8"), ("longitude", "f8"), ("altitude", "f4"),
    ]
)  # fmt: skip
SCORE_UNIT = 1e-6
NO_MEMBER = -1

# Why flights cannot be judged, by the kernel's status; the last is ours.
GROUNDED = 6
REASONS = {
    kernels.LAUNCH_OUT_OF_TIME: "are launched outside the times of the cycle",
    kernels.OUT_OF_TIME: "are still in the air when the winds of the cycle end",
    kernels.BAD_WIND: "met winds that hold no number",
    kernels.TOO_LONG: "took too many steps",
    kernels.NOT_RESIDENT: "need winds that are not on this machine",
    GROUNDED: "would start on ground above the altitude of their burst or float",
}

_UNFINISHED = (kernels.OUT_OF_TIME, kernels.BAD_WIND, kernels.TOO_LONG)


@dataclass(frozen=True)
class ChunkResult:
    """What came of a chunk: `cells` of type `CELL` (times, places); `flights` that were made.

    `lost` (7, 3): for each status that kept flights from being judged their number, and their first and last launch in
    Unix seconds, of all flights of the chunk, also of those that were left out because a neighbour told.
    """

    index: int
    cells: npt.NDArray[np.void]
    flights: int
    lost: Floats


def fly_chunk(simulators: Mapping[int, Simulator], chunk: Chunk) -> ChunkResult:
    """Fly a chunk with the simulators of its members. The same chunk on the same winds gives the same result.

    Raises what the simulators raise, never for a single flight.
    """
    batch = _Batch.of(chunk, simulators[chunk.members[0]])
    cells = np.zeros(batch.shape, CELL)
    cells["distance"], cells["member"] = np.inf, NO_MEMBER
    flights, lost = 0, no_losses()
    for member in chunk.members:
        flown = _Flown(batch.shape)
        fly = functools.partial(batch.fly, simulators[member], flown)
        if chunk.plan.refine:
            levels = _levels(chunk.plan.area, chunk.places)
            seconds = batch.configuration.seconds
            teller = refinement.fly_refined(levels, batch.shape[0], chunk.plan.target.radius, seconds, fly)
            flown.status = np.take_along_axis(flown.status, teller, axis=1)
        else:
            fly(np.ones(batch.shape, np.bool_))
        _add(cells, flown, member, chunk.plan.target.radius)
        _add_losses(lost, flown.status, batch.times)
        flights += flown.count
    return ChunkResult(chunk.index, cells, flights, lost)


class _Flown:
    """The flights of one member in a chunk, each array (times, places).

    `closest` and `status` as in `Approaches`, `bound` as `refinement.Fly` returns it.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.closest = np.full((*shape, 5), np.nan)
        self.closest[..., 4] = np.inf
        self.bound = np.full(shape, np.nan)
        self.status = np.zeros(shape, np.int64)
        self.count = 0


@dataclass(frozen=True)
class _Batch:
    """The launches of a chunk: `times` (t,), `places` (p, 2) longitude and latitude, `ground` (p,) m."""

    plan: Plan
    configuration: Configuration
    times: Floats
    places: Floats
    ground: Floats

    @classmethod
    def of(cls, chunk: Chunk, simulator: Simulator) -> _Batch:
        plan = chunk.plan
        times = plan.mission.window.times[slice(*chunk.times)]
        places = plan.area.places[slice(*chunk.places)]
        ground = simulator.ground.at(places[:, 1], places[:, 0] % 360.0)
        return cls(plan, plan.configurations[chunk.configuration], times, places, ground)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.times), len(self.places)

    def launches(self, chosen: Bools) -> Launches:
        """The chosen launches (times, places), in the order of the mask."""
        time, place = np.nonzero(chosen)
        one = Launches.single(0.0, Location(0.0, 0.0, 0.0), self.configuration.balloon).table
        table = np.repeat(one, len(time), axis=0)
        table[:, kernels.TIME] = self.times[time]
        table[:, kernels.LONGITUDE], table[:, kernels.LATITUDE] = self.places[place].T
        table[:, kernels.ALTITUDE] = self.ground[place]
        ascents = self.configuration.ascents
        if ascents is None:
            return Launches(table)
        table[:, kernels.ASCENT_RATE] = ascents.results[0, climb.START_SPEED]
        table[:, kernels.EQUILIBRIUM_ALTITUDE] = self.configuration.top
        of = np.zeros(len(table), np.int64)
        return Launches(table, Climbs(ascents.altitudes, ascents.per_second, of))

    def fly(self, simulator: Simulator, flown: _Flown, chosen: Bools) -> Floats:
        """Fly the chosen launches into `flown`; returns what `refinement.Fly` asks for."""
        launches = self.launches(chosen)
        if len(launches):
            found = simulator.approach(launches, self.configuration.profile, self.plan.zone, step=self.plan.step)
            closest, bound, status = found.closest, found.at_any_altitude, found.status
            if self.plan.lands:
                closest = np.column_stack([found.landing, _distance(self.plan.target, found.landing)])
                bound = closest[:, 4].copy()
            else:
                # However a flight goes on: a hit is one, and what is no hit when the zone's times are over is a miss.
                known = (closest[:, 4] <= self.plan.target.radius) | (found.landing[:, 0] >= self.plan.zone.latest)
                status[known & np.isin(status, _UNFINISHED)] = kernels.LANDED
            equilibrium = launches.table[:, kernels.EQUILIBRIUM_ALTITUDE]
            status[launches.table[:, kernels.ALTITUDE] >= equilibrium] = GROUNDED
            bound[~self._tells(launches, bound, status)] = np.nan
            flown.closest[chosen], flown.status[chosen], flown.bound[chosen] = closest, status, bound
            flown.count += len(launches)
        return flown.bound

    def _tells(self, launches: Launches, bound: Floats, status: npt.NDArray[np.int64]) -> Bools:
        """Whether a flight's `bound` says something about those from near its launch.

        To the end of the winds all fly for the same time, so what comes close by then can be compared, but not where
        some have landed by then. A flight that ended before the zone's times says nothing about one that lasts longer;
        nothing does where no flight can.
        """
        tells: Bools = (status == kernels.LANDED) | (status == kernels.LAUNCH_OUT_OF_TIME)
        if not self.plan.lands:
            tells |= status == kernels.OUT_OF_TIME
        can_last = launches.table[:, kernels.TIME] + self.configuration.seconds >= self.plan.zone.earliest
        tells &= np.isfinite(bound) | ~can_last | (status == kernels.LAUNCH_OUT_OF_TIME)
        return tells


@functools.lru_cache(maxsize=8)
def _levels(area: SearchArea, places: tuple[int, int]) -> list[refinement.Level]:
    return refinement.levels(area.points[slice(*places)], area.spacing)


def _distance(target: Target, landing: Floats) -> Floats:
    """Great-circle distance (m) of landings (n, 4) from the centre, by the chord between unit vectors."""
    centre = to_vectors(np.array([[target.longitude, target.latitude]]))
    chord = np.linalg.norm(to_vectors(landing[:, [2, 1]]) - centre, axis=1)
    result: Floats = 2.0 * EARTH_RADIUS * np.arcsin(np.minimum(0.5 * chord, 1.0))
    return result


def score(distance: npt.ArrayLike, radius: float) -> Floats:
    """What one flight is worth: 1 through the centre, 1/2 at the edge, falling with the square; 0 for a miss."""
    share = np.asarray(distance, np.float64) / radius
    return np.where(share <= 1.0, 1.0 - 0.5 * np.minimum(share, 1.0) ** 2, 0.0)


def _add(cells: npt.NDArray[np.void], flown: _Flown, member: int, radius: float) -> None:
    """Add the flights of a member to the cells."""
    judged = flown.status == kernels.LANDED
    distance = np.where(judged, flown.closest[..., 4], np.inf)
    cells["flown"] += judged
    cells["hits"] += distance <= radius
    cells["score"] += np.rint(score(distance, radius) / SCORE_UNIT).astype(np.uint32)
    closer = distance < cells["distance"]
    cells["distance"][closer], cells["member"][closer] = distance[closer], member
    for column, name in enumerate(("time", "latitude", "longitude", "altitude")):
        cells[name][closer] = flown.closest[..., column][closer]


def no_losses() -> Floats:
    """A table as `ChunkResult.lost`, empty."""
    return np.array([[0.0, np.inf, -np.inf]] * (GROUNDED + 1))


def _add_losses(lost: Floats, status: npt.NDArray[np.int64], times: Floats) -> None:
    for reason in REASONS:
        count = (status == reason).sum(axis=1)
        if count.any():
            when = times[count > 0]
            lost[reason] = lost[reason, 0] + count.sum(), min(lost[reason, 1], when[0]), max(lost[reason, 2], when[-1])
