"""What a search is: the zone, the places, the times, the balloons; how large it is, and how it is cut into chunks.

Values are taken as checked, but for the size of the search, which `estimate` refuses.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from habsim import balloons, climb, kernels
from habsim.balloons import Ascents, BalloonSpec
from habsim.classes import Balloon, ElevationFile, Zone
from habsim.errors import BadRequestError
from habsim.landing import Plane, to_vectors
from habsim.profiles import Profile

Floats = npt.NDArray[np.float64]

# Closest approaches are then right to 30 m, against flights at a 2 s step over real ground: see bench/reverse.py.
STEP_SECONDS = 60.0
MAX_FLIGHTS = 10_000_000  # of one search: about 5 minutes on 2 cores, and 1 GB of results
STEPS_PER_SECOND = 6e6  # of one core, measured by bench/reverse.py
_STEPS_AT_LEVELS = 40  # of a flight up and down, beyond those of its length
_CHUNK_FLIGHTS = 20_000  # about half a second of one core
_CHUNK_MEMBERS = 7  # at most, so that a machine that flies some of the chunks needs some of the wind files only


@dataclass(frozen=True)
class Target:
    """The zone: all within `radius` m (great circle, on the ground) of a centre (degrees), between two altitudes, m."""

    latitude: float
    longitude: float
    radius: float
    lowest: float = -math.inf
    highest: float = math.inf


@dataclass(frozen=True)
class SearchArea:
    """Launch places: a grid `spacing` m apart about a centre (degrees), which is one of them.

    `radius` m is that of the circle, or half the side of the square.
    """

    latitude: float
    longitude: float
    radius: float
    spacing: float
    shape: Literal["circle", "square"] = "circle"

    @property
    def _reach(self) -> float:
        return self.radius / self.spacing * (1.0 + 1e-9)

    @property
    def count(self) -> int:
        """How many places there are."""
        reach = self._reach
        across = 2 * math.floor(reach) + 1
        if self.shape == "square":
            return across**2
        columns = np.arange(-(across // 2), across // 2 + 1)
        return int((2 * np.floor(np.sqrt(reach**2 - columns**2)).astype(np.int64) + 1).sum())

    @cached_property
    def points(self) -> npt.NDArray[np.int64]:
        """The places as multiples of `spacing` eastward and northward of the centre, (count, 2), row by row."""
        half = math.floor(self._reach)
        north, east = np.meshgrid(np.arange(-half, half + 1), np.arange(-half, half + 1), indexing="ij")
        points = np.stack([east.ravel(), north.ravel()], axis=1)
        if self.shape == "circle":
            points = points[np.hypot(points[:, 0], points[:, 1]) <= self._reach]
        return points

    @cached_property
    def places(self) -> Floats:
        """Longitude -180..180 and latitude (count, 2), degrees: distance and bearing from the centre are exact."""
        return self.located(self.points)

    def located(self, points: npt.NDArray[np.int64]) -> Floats:
        """Some of the `points` as `places`."""
        return self.plane.unproject(np.asarray(points * self.spacing, np.float64))

    @property
    def plane(self) -> Plane:
        """That of the grid, in metres."""
        return Plane.at(to_vectors(np.array([[self.longitude, self.latitude]]))[0])


@dataclass(frozen=True)
class TimeWindow:
    """Launch times: `start`, and every `step` s after it before `end`. Unix seconds."""

    start: float
    end: float
    step: float = 6 * 3600.0

    @property
    def count(self) -> int:
        return max(math.ceil((self.end - self.start) / self.step - 1e-9), 1)

    @property
    def times(self) -> Floats:
        return self.start + self.step * np.arange(self.count, dtype=np.float64)


@dataclass(frozen=True)
class LaunchWindow:
    """Which launches of a window pass through the zone at any time, or land in it?

    A landing counts at any altitude: it is where the ground is.
    """

    window: TimeWindow
    hit: Literal["pass", "land"] = "pass"
    name: ClassVar[str] = "launch_window"


@dataclass(frozen=True)
class TargetWindow:
    """Which launches of the `days` before are in the zone at `arrival`, Unix seconds, give or take `tolerance` s?"""

    arrival: float
    days: float
    tolerance: float = 0.0
    step: float = 6 * 3600.0
    name: ClassVar[str] = "target_window"

    @property
    def window(self) -> TimeWindow:
        return TimeWindow(self.arrival - 86400.0 * self.days, self.arrival, self.step)


@dataclass(frozen=True)
class Configuration:
    """A balloon that could be launched. Profiles that fly backwards in time do not belong here.

    The profile `physical` climbs by `spec`, not by what `balloon` says of the ascent.
    """

    name: str
    balloon: Balloon
    profile: Profile
    spec: BalloonSpec | None = None

    @cached_property
    def ascents(self) -> Ascents | None:
        """The climb of the gas balloon from below all ground; None where the ascent is steady."""
        if self.spec is None:
            return None
        return balloons.ascents(np.array([self.spec.row()]), kernels.LOWEST_GROUND, balloons.FLIGHT_CEILING)

    @property
    def top(self) -> float:
        """Altitude of burst or float, m."""
        return self.balloon.equilibrium_altitude if self.ascents is None else float(self.ascents.results[0, climb.TOP])

    @property
    def seconds(self) -> float:
        """How long a flight lasts at most: from and to the lowest ground, down as slowly as there."""
        balloon, ascents = self.balloon, self.ascents
        way = self.top - kernels.LOWEST_GROUND
        rise = way / balloon.ascent_rate if ascents is None else float(ascents.results[0, climb.SECONDS])
        return rise + balloon.coast_seconds + way / balloon.descent_rate


@dataclass(frozen=True)
class Plan:
    """What is searched. With `refine` only places that may hit are flown, see `refinement`; `step` s is the longest."""

    target: Target
    area: SearchArea
    mission: LaunchWindow | TargetWindow
    configurations: tuple[Configuration, ...]
    refine: bool = True
    step: float = STEP_SECONDS

    @property
    def zone(self) -> Zone:
        target, mission = self.target, self.mission
        when = (-math.inf, math.inf)
        if isinstance(mission, TargetWindow):
            when = (mission.arrival - mission.tolerance, mission.arrival + mission.tolerance)
        return Zone(target.latitude, target.longitude, target.lowest, target.highest, *when)

    @property
    def lands(self) -> bool:
        """Whether landings are what counts."""
        return isinstance(self.mission, LaunchWindow) and self.mission.hit == "land"


def starts_inside(plan: Plan, ground: ElevationFile) -> bool:
    """Whether a launch from the area is in the zone at its start, at any time.

    Looked for at a grid of points of each, so an overlap of less than a twentieth of both may not be seen.
    """
    target, area = plan.target, plan.area
    zone = SearchArea(target.latitude, target.longitude, target.radius, target.radius / 20.0)
    coarse = dataclasses.replace(area, spacing=max(area.spacing, area.radius / 20.0))
    points = np.concatenate([zone.places, coarse.places])
    vectors = to_vectors(points)
    from_area = np.abs(area.plane.project(vectors))
    off = from_area.max(axis=1) if area.shape == "square" else np.hypot(*from_area.T)
    in_both = (np.hypot(*zone.plane.project(vectors).T) <= target.radius) & (off <= area.radius + 1.0)
    lon, lat = points[in_both].T
    heights = ground.at(lat, lon % 360.0)
    return bool(((heights >= target.lowest) & (heights <= target.highest)).any())


@dataclass(frozen=True)
class Estimate:
    """The size of a search: `flights` = places x times x configurations x members; `seconds` without refinement."""

    places: int
    times: int
    configurations: int
    members: int
    flights: int
    chunks: int
    seconds: float


def estimate(plan: Plan, members: int, *, cores: int = 1, steps_per_second: float = STEPS_PER_SECOND) -> Estimate:
    """How many flights and chunks a search has, and how long it takes on `cores` that do `steps_per_second` each.

    Raises BadRequestError for more than `MAX_FLIGHTS`.
    """
    places, times, configurations = plan.area.count, plan.mission.window.count, len(plan.configurations)
    flights = places * times * configurations * members
    if flights > MAX_FLIGHTS:
        balloons = "1 balloon" if configurations == 1 else f"{configurations} balloons"
        raise BadRequestError(
            f"the search has {flights:,} flights ({places:,} places x {times:,} launch times x {balloons} "
            f"x {members} members), the limit is {MAX_FLIGHTS:,}: take a wider spacing or step",
            {"flights": flights, "limit": MAX_FLIGHTS},
        )
    steps = sum(c.seconds / plan.step + _STEPS_AT_LEVELS for c in plan.configurations) * places * times * members
    block = _Blocks.of(plan, members)
    chunks = configurations * math.prod(
        math.ceil(n / size) for n, size in ((places, block.places), (times, block.times), (members, block.members))
    )
    seconds = steps / (steps_per_second * cores)
    return Estimate(places, times, configurations, members, flights, chunks, seconds)


@dataclass(frozen=True)
class _Blocks:
    """How many places, launch times and members a chunk has at most."""

    places: int
    times: int
    members: int

    @classmethod
    def of(cls, plan: Plan, members: int) -> _Blocks:
        places = min(plan.area.count, _CHUNK_FLIGHTS)
        at_once = min(max(_CHUNK_FLIGHTS // places, 1), _CHUNK_MEMBERS, members)
        return cls(places, min(max(_CHUNK_FLIGHTS // (places * at_once), 1), plan.mission.window.count), at_once)


@dataclass(frozen=True)
class Chunk:
    """A part of a search: one configuration, a range of launch times and of places (first, past the last), members.

    The same plan and members give the same chunks, `index` counting from 0.
    """

    index: int
    plan: Plan
    configuration: int
    times: tuple[int, int]
    places: tuple[int, int]
    members: tuple[int, ...]


def chunks(plan: Plan, members: Sequence[int]) -> Iterator[Chunk]:
    """All chunks of a search through `members`. Raises what `estimate` raises."""
    size = estimate(plan, len(members))
    block = _Blocks.of(plan, len(members))
    index = 0
    for configuration in range(size.configurations):
        for time in range(0, size.times, block.times):
            for member in range(0, size.members, block.members):
                for place in range(0, size.places, block.places):
                    yield Chunk(
                        index,
                        plan,
                        configuration,
                        (time, min(time + block.times, size.times)),
                        (place, min(place + block.places, size.places)),
                        tuple(members[member : member + block.members]),
                    )
                    index += 1
