"""The nouns of a flight: where, with what, through which winds, over which ground, and what came of it."""

from __future__ import annotations

import datetime
import functools
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from habsim import atmosphere, kernels
from habsim.atmosphere import EARTH_RADIUS
from habsim.errors import (
    BadRequestError,
    ElevationError,
    FlightError,
    GroundedError,
    NotResidentError,
    OutsideCycleError,
    WindFileError,
)
from habsim.profiles import PROFILES, Profile

Floats = npt.NDArray[np.float64]

# Steps end at every level and are at most this long. Measured in bench/accuracy.py.
DEFAULT_STEP_SECONDS = 150.0
_ALTITUDES = (-1000.0, 60000.0)  # m, lower and higher than any flight
_PATH_CAPACITY = 512  # points; a longer path is flown again with room for all of it


@dataclass(frozen=True)
class Tiles:
    """Which parts of a wind field are there: runs of `columns` columns (a power of two) in one row.

    `present` uint8 (row * in_row + tile) is not 0 where a tile is; it may change at any time, but never back.
    """

    columns: int
    in_row: int
    present: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class WindField:
    """Winds of one member on a latitude-longitude-level-time grid.

    `data` float16 (lat, lon, level, time, 2): eastward and northward wind, m/s; latitude from 90 down to -90,
    longitude from 0 up to 360 with the first column repeated, level ascending in hPa, time ascending.
    `height` float16 (lat, lon, level, time) or None: geopotential height minus the standard-atmosphere height of
    the level, m. `levels` (level,) hPa. `start` Unix seconds of the first time. `interval_seconds` between times.
    `tiles` where only parts of the arrays hold winds.
    """

    name: str
    data: npt.NDArray[np.float16]
    height: npt.NDArray[np.float16] | None
    levels: Floats
    start: float
    interval_seconds: float
    tiles: Tiles | None = None

    @property
    def end(self) -> float:
        """Unix seconds of the last time."""
        return self.start + (int(self.data.shape[3]) - 1) * self.interval_seconds


@dataclass(frozen=True)
class Location:
    """A point: degrees and geopotential metres above mean sea level. Longitude -180..360."""

    latitude: float
    longitude: float
    altitude: float


@dataclass(frozen=True)
class Balloon:
    """How a balloon moves: speeds in m/s, `equilibrium_altitude` (burst or float) in m, `coast_seconds` there.

    `descent_rate` is the speed at sea level where the profile descends under a parachute. `drift` is the share of
    the wind it follows.
    """

    ascent_rate: float
    descent_rate: float
    equilibrium_altitude: float
    coast_seconds: float = 0.0
    drift: float = 1.0


@dataclass(frozen=True)
class Climbs:
    """Altitudes of gas balloons against time, for the flights of a batch.

    `altitudes` (climbs, kernels.CLIMB_ENTRIES) m, evenly spaced with `per_second` (climbs,) in a second; `of` (n,) the
    climb of each flight. The kernel reads them by their addresses: they must be contiguous.
    """

    altitudes: Floats
    per_second: Floats
    of: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        climbs = len(self.altitudes)
        assert self.altitudes.shape == (climbs, kernels.CLIMB_ENTRIES)
        assert self.per_second.shape == (climbs,)
        assert self.of.dtype == np.int64
        assert ((self.of >= 0) & (self.of < climbs)).all()
        assert all(array.flags.c_contiguous for array in (self.altitudes, self.per_second, self.of))


class Launches:
    """A batch of n launches.

    `table` float64 (n, 9), its columns named in `kernels`: Unix seconds, latitude, longitude, altitude, ascent rate,
    descent rate, equilibrium altitude, coast seconds, drift, in the units of `Location` and `Balloon`. `climbs` are
    those of its gas balloons, where the profile asks for them; `grounded` are the launches, by their numbers, whose
    balloons do not leave the ground.
    """

    def __init__(self, table: Floats, climbs: Climbs | None = None, grounded: frozenset[int] = frozenset()) -> None:
        self.table = table
        self.climbs = climbs
        self.grounded = grounded

    @classmethod
    def single(cls, time: float, place: Location, balloon: Balloon) -> Launches:
        return cls(
            np.array(
                [
                    (
                        time,
                        place.latitude,
                        place.longitude,
                        place.altitude,
                        balloon.ascent_rate,
                        balloon.descent_rate,
                        balloon.equilibrium_altitude,
                        balloon.coast_seconds,
                        balloon.drift,
                    )
                ]
            )
        )

    def __len__(self) -> int:
        return len(self.table)


@dataclass(frozen=True)
class FlightPhase:
    """One phase of a flight. `name` is `ascent`, `coast` or `descent`.

    `points` float64 (n, 6): Unix seconds, latitude, longitude (degrees), altitude (m), eastward and northward
    wind (m/s). The last point of a phase is the first of the next.
    """

    name: str
    points: Floats


@dataclass(frozen=True)
class Trajectory:
    """One integrated flight. `warnings` are sentences for the user, for example winds taken above the top level."""

    phases: tuple[FlightPhase, ...]
    warnings: tuple[str, ...] = ()

    @property
    def landing(self) -> Floats:
        """The last point, (6,) as in `FlightPhase.points`."""
        last: Floats = self.phases[-1].points[-1]
        return last


@dataclass(frozen=True)
class Flights:
    """What came of a batch of n launches.

    `landing` (n, 4): Unix seconds, latitude, longitude 0..360, altitude of the last point. `failures` holds the error
    of each flight that could not be completed, by its index. `trajectories` are those of the first flights, as
    many as were asked for, None where the flight failed. `missing` are the tiles, as indices of `Tiles.present`, that
    flights needed and that were not there: their flights are among the failures,
    and `lacks_winds` is true.
    """

    landing: Floats
    failures: dict[int, FlightError | OutsideCycleError | WindFileError]
    trajectories: tuple[Trajectory | None, ...]
    warnings: tuple[str, ...]
    missing: npt.NDArray[np.intp]
    lacks_winds: bool


@dataclass(frozen=True)
class Zone:
    """A place to come close to: degrees, and the altitudes (m) and Unix seconds between which it counts."""

    latitude: float
    longitude: float
    lowest: float = -math.inf
    highest: float = math.inf
    earliest: float = -math.inf
    latest: float = math.inf

    @cached_property
    def table(self) -> Floats:
        """The zone as `kernels.note_approach` reads it, (7,)."""
        lat, lon = math.radians(self.latitude), math.radians(self.longitude)
        ring = math.cos(lat)
        # Tables of the atmosphere are not read at infinity.
        altitudes = np.clip((self.lowest, self.highest), *_ALTITUDES)
        centre = ring * math.cos(lon), ring * math.sin(lon), math.sin(lat)
        return np.array([*centre, *altitudes, self.earliest, self.latest])


@dataclass(frozen=True)
class Approaches:
    """How close n flights came to the centre of a zone.

    `closest` (n, 5): Unix seconds, latitude, longitude 0..360, altitude, great-circle distance (m) on the ground; the
    distance is infinite, and the rest not a number, where a flight was never within the zone's altitudes and times.
    `at_any_altitude` (n,): that distance if all altitudes counted, infinite only where a flight was never within the
    times. It is never larger, and goes evenly with the launch place also where only some flights are at the altitudes.
    `landing` (n, 4) as in `Flights`. `status` (n,): how each flight ended, `kernels.LANDED` or what kept it from that;
    what was noted before is there all the same. `missing`, `lacks_winds` as in `Flights`.
    """

    closest: Floats
    at_any_altitude: Floats
    landing: Floats
    status: npt.NDArray[np.int64]
    missing: npt.NDArray[np.intp]
    lacks_winds: bool


class ElevationFile:
    """Ground elevation on a grid of cell centres.

    `elevation` int16 (row, column), m; `north`, `west`: the first centre, degrees; steps in degrees, southwards and
    eastwards. Columns span the whole circle. North of the first row lies sea.
    Raises ElevationError when the grid does not cover the Earth.
    """

    def __init__(
        self, elevation: npt.NDArray[np.int16], north: float, west: float, row_step: float, column_step: float
    ) -> None:
        rows, columns = elevation.shape
        south = north - (rows - 1) * row_step
        if (
            rows < 2
            or columns < 2
            or row_step <= 0
            or abs(columns * column_step - 360.0) > 1e-3 * column_step * columns
        ):
            raise ElevationError(
                f"the elevation grid of {rows} x {columns} cells spans {columns * column_step:g} degrees of longitude, "
                "it must span 360"
            )
        half = 0.5 * row_step  # the outer cells reach beyond their centres
        if not 82.0 - half <= north <= 90.0 + row_step or not -90.0 - row_step <= south <= -89.0 + half:
            raise ElevationError(
                f"the elevation grid reaches from {north:g} to {south:g} degrees, it must reach -90..83"
            )
        lowest = int(elevation.min())
        if lowest < kernels.LOWEST_GROUND:
            raise ElevationError(f"the elevation grid has {lowest} m, below all ground; the sea must be 0")
        self.elevation = np.ascontiguousarray(elevation)
        self.elevation.setflags(write=False)
        self.grid = kernels.Ground(
            self.elevation,
            float(north),
            float(west),
            float(row_step),
            float(column_step),
            _highest_within_a_degree(self.elevation, north, west, row_step, column_step),
        )

    @classmethod
    def flat(cls, altitude: int = 0) -> ElevationFile:
        """Ground at one altitude (m) everywhere."""
        return cls(np.full((180, 360), altitude, np.int16), 89.5, -179.5, 1.0, 1.0)

    def at(self, latitude: npt.ArrayLike, longitude: npt.ArrayLike) -> Floats:
        """Elevation in m at degrees, bilinear between cell centres; any one shape."""
        points = np.array((latitude, longitude), np.float64)
        values = np.empty(points.shape[1:])
        kernels.ground_at_each(self.grid, points.reshape(2, -1), values.reshape(-1))
        return values

    def nearest(self, latitude: npt.ArrayLike, longitude: npt.ArrayLike) -> Floats:
        """Elevation in m of the cell that holds each point; any shape."""
        grid = self.grid
        rows, columns = self.elevation.shape
        row = np.rint((grid.north - np.asarray(latitude, np.float64)) / grid.row_step).astype(np.intp)
        column = np.rint((np.asarray(longitude, np.float64) - grid.west) / grid.column_step).astype(np.intp) % columns
        found = self.elevation[np.clip(row, 0, rows - 1), column].astype(np.float64)
        return np.where(row < -1, 0.0, found)


def _highest_within_a_degree(
    elevation: npt.NDArray[np.int16], north: float, west: float, row_step: float, column_step: float
) -> npt.NDArray[np.int16]:
    """The table of `kernels.Ground.highest`."""
    rows, columns = elevation.shape
    # Blocks of about half a degree, each then counted for every whole degree that it could touch.
    tall, wide = max(1, int(0.5 / row_step)), max(1, int(0.5 / column_step))
    block_rows, first_columns = range(0, rows, tall), np.arange(0, columns, wide)
    by_row = np.stack([elevation[r : r + tall].max(axis=0) for r in block_rows])
    blocks = np.maximum.reduceat(by_row, first_columns, axis=1)
    highest = np.zeros((180, 360), np.int16)
    reach = 1.0 + row_step
    for index, first in enumerate(block_rows):
        top = north - first * row_step + reach
        bottom = north - (first + tall - 1) * row_step - reach
        degree_rows = slice(max(0, math.floor(90.0 - top)), min(180, math.floor(90.0 - bottom) + 1))
        if degree_rows.start >= 180 or degree_rows.stop <= 0:
            continue
        # A degree of distance is more degrees of longitude towards the poles, at last all of them.
        narrowest = math.cos(math.radians(min(90.0, max(abs(top), abs(bottom)))))
        spread = 360.0 if narrowest < 0.01 else (1.0 + column_step) / narrowest
        row = np.zeros(360, np.int16)
        if spread >= 180.0:
            row[:] = blocks[index].max()
        else:
            left = np.floor(west + first_columns * column_step - spread).astype(np.intp)
            right = np.floor(west + (first_columns + wide - 1) * column_step + spread).astype(np.intp)
            for offset in range(int((right - left).max()) + 1):
                reached = left + offset <= right
                np.maximum.at(row, (left[reached] + offset) % 360, blocks[index, reached])
        highest[degree_rows] = np.maximum(highest[degree_rows], row)
    highest.setflags(write=False)
    return highest


@functools.cache
def air() -> kernels.Air:
    """The tables of the standard atmosphere that the kernels read."""
    bottom, top, spacing, fall_spacing = -1000.0, 55000.0, 25.0, 2.0
    heights = np.arange(bottom, top + spacing, spacing)
    fall = atmosphere.fall_altitude(heights)
    even_fall = np.arange(fall[0], fall[-1], fall_spacing)
    return kernels.Air(
        bottom,
        1.0 / spacing,
        atmosphere.log_pressure(heights),
        fall,
        1.0 / fall_spacing,
        np.interp(even_fall, fall, heights),
        0,
        0,
        0,
    )


def _tables(launches: Launches, profile: Profile) -> kernels.Air:
    """What the kernel reads besides winds and ground. Climbs that the profile needs and the batch lacks are a bug."""
    climbs = launches.climbs
    if not profile.climbs:
        return air()
    assert climbs is not None, f"profile {profile.name} needs climbs"
    return air()._replace(
        climb=climbs.altitudes.ctypes.data,
        climb_per_second=climbs.per_second.ctypes.data,
        climb_of=climbs.of.ctypes.data,
    )


class _Scout:
    """The winds for one call of a kernel, with what it notes about tiles that are missing: see `kernels.Winds`."""

    def __init__(self, winds: kernels.Winds, tiles: Tiles | None) -> None:
        self.wanted = np.zeros(0 if tiles is None else len(tiles.present), np.uint8)
        self.held = np.array([-1, 0, 0])
        self.winds = winds
        if tiles is not None:
            self.winds = winds._replace(wanted=self.wanted.ctypes.data, held=self.held.ctypes.data)


class Simulator:
    """Flies balloons through the winds of one member over one ground.

    Safe to use from many threads at once: `fly` holds no state and gives the interpreter lock back.
    """

    def __init__(self, field: WindField, ground: ElevationFile, notes: tuple[str, ...] = ()) -> None:
        """`notes` are sentences about the winds that become warnings of every flight."""
        self.field = field
        self.notes = notes
        self.ground = ground
        rows, columns, levels, times, _ = field.data.shape
        level_alt = atmosphere.altitude(field.levels)
        self._winds = kernels.Winds(
            field.data.ctypes.data,
            0 if field.height is None else field.height.ctypes.data,
            float(field.start),
            rows,
            columns,
            levels,
            times,
            float(field.interval_seconds),
            np.log(field.levels) if field.height is None else -level_alt,
            level_alt,
            -1 if field.tiles is None else field.tiles.columns.bit_length() - 1,
            0 if field.tiles is None else field.tiles.in_row,
            0 if field.tiles is None else field.tiles.present.ctypes.data,
            0,
            0,
        )

    @classmethod
    def warm_up(cls, ground: ElevationFile, *, approaches: bool = False) -> None:
        """Have every kernel compiled, or loaded from its cache, by a flight through calm air.

        Those of `approach` on demand only.
        """
        calm = WindField("calm", np.zeros((3, 3, 2, 2, 2), np.float16), None, np.array([500.0, 1000.0]), 0.0, 86400.0)
        simulator = cls(calm, ground)
        place = Location(0.0, 0.0, 0.0)
        launch = Launches.single(0.0, place, Balloon(5.0, 5.0, 10000.0))
        simulator.fly(launch, PROFILES["zpb"], paths=1)
        if approaches:
            simulator.approach(launch, PROFILES["zpb"], Zone(0.0, 0.0))
        simulator.wind(0.0, place)
        ground.at(0.0, 0.0)

    @property
    def vertical_scheme(self) -> str:
        """How altitudes become levels, for the provenance of a prediction."""
        if self.field.height is None:
            return "US Standard Atmosphere 1976, linear in log pressure"
        return "geopotential heights of the forecast, linear in height"

    def fly(
        self, launches: Launches, profile: Profile, *, step: float = DEFAULT_STEP_SECONDS, paths: int = 0
    ) -> Flights:
        """Fly n launches; the first `paths` of them with all their points. `step` is the longest step, s.

        Longitudes of trajectories are 0..360. A launch or flight outside the field's times is among the failures.
        """
        count, phases = len(launches), len(profile.phases)
        tables = _tables(launches, profile)
        scout = _Scout(self._winds, self.field.tiles)
        landing, outcome = np.empty((count, 4)), np.empty((count, 2), np.int64)
        path, marks = np.empty((paths, _PATH_CAPACITY, 6)), np.zeros((paths, phases + 1), np.int64)
        while True:
            kernels.fly(
                scout.winds, tables, self.ground.grid, profile.chain, launches.table, profile.direction,
                float(step), landing, outcome, path, marks, None, None,
            )  # fmt: skip
            longest_path = int(marks[:, -1].max(initial=0))
            if longest_path <= path.shape[1]:
                break
            path = np.empty((paths, longest_path, 6))
        failures: dict[int, FlightError | OutsideCycleError | WindFileError] = {}
        if outcome[:, 0].any():
            failures = {int(i): self._failure(outcome[i, 0], landing[i]) for i in np.flatnonzero(outcome[:, 0])}
        failures.update({i: _grounded(launches.table[i]) for i in launches.grounded})
        trajectories = tuple(
            None if i in failures else self._trajectory(profile, path[i], marks[i], outcome[i, 1]) for i in range(paths)
        )
        lacks_winds = bool((outcome[:, 0] == kernels.NOT_RESIDENT).any())
        met = int(np.bitwise_or.reduce(outcome[:, 1])) if count else 0
        return Flights(landing, failures, trajectories, self._warnings(met), np.flatnonzero(scout.wanted), lacks_winds)

    def approach(
        self, launches: Launches, profile: Profile, zone: Zone, *, step: float = DEFAULT_STEP_SECONDS
    ) -> Approaches:
        """Fly n launches and find how close each comes to `zone`, anywhere on its way. `step` is the longest step, s.

        Between the ends of a step the path is the arc of a great circle, run through evenly. Nothing is raised for a
        flight that fails: its `status` tells.
        """
        count = len(launches)
        scout = _Scout(self._winds, self.field.tiles)
        landing, outcome = np.empty((count, 4)), np.empty((count, 2), np.int64)
        closest = np.full((count, 6), np.nan)
        closest[:, 4:] = np.inf
        no_path, no_marks = np.empty((0, 1, 6)), np.zeros((0, len(profile.phases) + 1), np.int64)
        kernels.fly(
            scout.winds, _tables(launches, profile), self.ground.grid, profile.chain, launches.table,
            profile.direction, float(step), landing, outcome, no_path, no_marks, zone.table, closest,
        )  # fmt: skip
        chords = closest[:, 4:]
        reached = np.isfinite(chords)
        chords[reached] = 2.0 * EARTH_RADIUS * np.arcsin(np.minimum(0.5 * np.sqrt(chords[reached]), 1.0))
        lacks_winds = bool((outcome[:, 0] == kernels.NOT_RESIDENT).any())
        missing = np.flatnonzero(scout.wanted)
        return Approaches(closest[:, :5], closest[:, 5], landing, outcome[:, 0].copy(), missing, lacks_winds)

    @property
    def top(self) -> float:
        """Altitude of the top level in the standard atmosphere, m."""
        return float(self._winds.level_alt[0])

    def wind(self, time: float, place: Location) -> tuple[float, float]:
        """Eastward and northward wind in m/s. Raises what `winds_over` raises."""
        u, v = self.winds_over(time, place.latitude, place.longitude, [place.altitude])[0]
        return float(u), float(v)

    def winds_over(self, time: float, latitude: float, longitude: float, altitudes: npt.ArrayLike) -> Floats:
        """Eastward and northward wind in m/s, (n, 2), over one point (degrees) at n altitudes (m).

        Raises OutsideCycleError, NotResidentError, or WindFileError where there is no number.
        """
        if not self.field.start <= time <= self.field.end:
            raise OutsideCycleError(f"time {_utc(time)} is outside the cycle, which covers {self._covered()}")
        scout = _Scout(self._winds, self.field.tiles)
        longitude %= 360.0
        heights = np.asarray(altitudes, np.float64)
        found = np.empty((len(heights), 2))
        kernels.winds_over(scout.winds, air(), float(latitude), longitude, time - self.field.start, heights, found)
        if scout.held[1] > 0:
            raise NotResidentError(self._not_resident(latitude, longitude), scout.wanted)
        if not np.isfinite(found).all():
            raise self._bad_wind(time, latitude, longitude)
        return found

    def heights_over(self, time: float, latitude: float, longitude: float) -> Floats | None:
        """Geopotential height (m) of each level over a point (degrees), (level,), linear between the grid's points.

        None where the field has no heights. Raises what `winds_over` raises.
        """
        height = self.field.height
        if height is None:
            return None
        self.winds_over(time, latitude, longitude, [0.0])  # the field covers it, with numbers that are there
        y = (90.0 - latitude) * (height.shape[0] - 1) / 180.0
        x = longitude % 360.0 * (height.shape[1] - 1) / 360.0
        t = (time - self.field.start) / self.field.interval_seconds
        row, column, step = (
            min(int(place), size - 2)
            for place, size in zip((y, x, t), (*height.shape[:2], height.shape[3]), strict=True)
        )
        cell = height[row : row + 2, column : column + 2, :, step : step + 2].astype(np.float64)
        down, right, later = ((1.0 - share, share) for share in (y - row, x - column, t - step))
        above: Floats = np.einsum("i,j,k,ijlk->l", down, right, later, cell)
        if not np.isfinite(above).all():
            raise self._bad_wind(time, latitude, longitude % 360.0)
        return self._winds.level_alt + above

    def _covered(self) -> str:
        return f"{_utc(self.field.start)} to {_utc(self.field.end)}"

    def _failure(self, status: int, last: Floats) -> FlightError | OutsideCycleError | WindFileError:
        time, lat, lon, alt = (float(x) for x in last)
        if status == kernels.LAUNCH_OUT_OF_TIME:
            return OutsideCycleError(f"launch at {_utc(time)} is outside the cycle, which covers {self._covered()}")
        if status == kernels.OUT_OF_TIME:
            where = f"is still at {alt:.0f} m at {lat:.4f}, {_signed(lon):.4f}"
            return OutsideCycleError(f"the flight {where} when the winds of the cycle end; it covers {self._covered()}")
        if status == kernels.NOT_RESIDENT:
            return WindFileError(self._not_resident(lat, lon))
        if status == kernels.BAD_WIND:
            return self._bad_wind(time, lat, lon)
        return FlightError(f"the flight took more than {kernels.MAX_STEPS} steps", time, lat, lon, alt)

    def _not_resident(self, lat: float, lon: float) -> str:
        return f"the winds of {self.field.name} near {lat:.2f}, {_signed(lon):.2f} are not on this machine"

    def _bad_wind(self, time: float, lat: float, lon: float) -> WindFileError:
        """Name the level and the time of the numbers that are none around a position."""
        data, height = self.field.data, self.field.height
        row = min(int((90.0 - lat) * (data.shape[0] - 1) / 180.0), data.shape[0] - 2)
        column = min(int(lon * (data.shape[1] - 1) / 360.0), data.shape[1] - 2)
        cell = (slice(max(row - 1, 0), row + 3), np.arange(column - 1, column + 3) % (data.shape[1] - 1))
        bad = ~np.isfinite(data[cell]).all(axis=(0, 1, 4))
        if height is not None:
            bad |= ~np.isfinite(height[cell]).all(axis=(0, 1))
        found = [
            f"{self.field.levels[level]:g} hPa at {_utc(self.field.start + step * self.field.interval_seconds)}"
            for level, step in np.argwhere(bad)[:3]
        ]
        where = ", ".join(found) or f"an unknown level at {_utc(time)}"
        return WindFileError(f"{self.field.name} holds no number near {lat:.2f}, {_signed(lon):.2f}: {where}")

    def _trajectory(self, profile: Profile, path: Floats, marks: npt.NDArray[np.int64], met: int) -> Trajectory:
        phases = tuple(
            FlightPhase(phase.name, path[marks[i] : marks[i + 1]].copy())
            for i, phase in enumerate(profile.phases)
            if marks[i + 1] > marks[i]
        )
        return Trajectory(phases, self._warnings(int(met)))

    def _warnings(self, met: int) -> tuple[str, ...]:
        if not met:
            return self.notes
        levels = self.field.levels
        sentences = {
            kernels.ABOVE_TOP_LEVEL: f"above the top level ({levels[0]:g} hPa) the wind of that level was used",
            kernels.BELOW_BOTTOM_LEVEL: f"below the lowest level ({levels[-1]:g} hPa) the wind of that level was used",
            kernels.EARLY_GROUND: "the flight met rising ground before its descent",
        }
        return self.notes + tuple(sentence for bit, sentence in sentences.items() if met & bit)


def on_the_ground(launches: Launches, ground: ElevationFile) -> Launches:
    """The same launches, those below the ground lifted onto it.

    Raises BadRequestError when the first would then be above its `equil`; the others' is lifted with them.
    """
    table = launches.table.copy()
    elevation = ground.at(table[:, kernels.LATITUDE], table[:, kernels.LONGITUDE])
    altitude, top = table[:, kernels.ALTITUDE], table[:, kernels.EQUILIBRIUM_ALTITUDE]
    np.maximum(altitude, elevation, out=altitude)
    if altitude[0] > top[0]:
        raise BadRequestError(f"equil is {top[0]:g} m, below the ground at the launch, {elevation[0]:.0f} m")
    np.maximum(top, altitude, out=top)
    return Launches(table, launches.climbs, launches.grounded)


def _grounded(launch: Floats) -> GroundedError:
    place = (float(launch[column]) for column in (kernels.TIME, kernels.LATITUDE, kernels.LONGITUDE, kernels.ALTITUDE))
    return GroundedError("the balloon cannot lift what it carries, or bursts at float or where it is launched", *place)


def _signed(longitude: float) -> float:
    """A longitude 0..360 as people write it, -180..180."""
    return longitude - 360.0 if longitude > 180.0 else longitude


def _utc(timestamp: float) -> str:
    moment = datetime.datetime.fromtimestamp(timestamp, datetime.UTC)
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds").replace("+00:00", "Z")
