"""Reference flights and analytic atmospheres of the shared data folder, for tests and benchmarks."""

from __future__ import annotations

import csv
import json
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from habsim import atmosphere, kernels
from habsim.classes import ElevationFile, Launches, Simulator, WindField
from habsim.profiles import PROFILES, Profile
from tests.worlds import START, distance, launches, shared_data

Array = npt.NDArray[np.floating[Any]]

# Latitudes and longitudes (n, 1), a pressure, times (1, t) -> wind components (m/s) and height (m), broadcast (n, t).
Column = Callable[[Array, Array, float, Array], tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike]]

LEVELS_19 = [1, 2, 3, 5, 7, 20, 30, 70, 150, 350, 450, 550, 600, 650, 750, 800, 900, 950, 975]
HOUR = 3600.0


@dataclass(frozen=True)
class Axes:
    """A global grid: spacing in degrees, levels in hPa, times in seconds after `start` (Unix seconds)."""

    degrees: float
    levels: list[float]
    start: float
    interval: float
    times: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return round(180 / self.degrees) + 1, round(360 / self.degrees) + 1, len(self.levels), self.times


def sample_around(
    flow: Column, axes: Axes, latitudes: npt.ArrayLike, longitudes: npt.ArrayLike, *, heights: bool, name: str
) -> WindField:
    """A wind field that holds `flow` at the nodes within three cells of the given points.

    Around those lies a ring without numbers, so a flight that reads beyond is noticed; the rest is never touched and
    costs no memory.
    """
    shape = axes.shape
    data = np.zeros((*shape, 2), np.float16)
    height = np.zeros(shape, np.float16) if heights else None
    near = _nodes_near(axes, latitudes, longitudes)
    rows, columns = np.nonzero(near)
    for field in (data,) if height is None else (data, height):
        field[np.nonzero(_grown(near, 2))] = np.nan
    lat, lon = 90.0 - axes.degrees * rows.reshape(-1, 1), axes.degrees * columns.reshape(-1, 1)
    time = (axes.start + axes.interval * np.arange(axes.times)).reshape(1, -1)
    for level, pressure in enumerate(axes.levels):
        u, v, z = flow(lat, lon, pressure, time)
        data[rows, columns, level, :, 0], data[rows, columns, level, :, 1] = u, v
        if height is not None:
            height[rows, columns, level] = np.asarray(z) - atmosphere.altitude(pressure)
    for field in (data,) if height is None else (data, height):
        field[:, -1] = field[:, 0]
    return WindField(name, data, height, np.asarray(axes.levels, np.float64), axes.start, axes.interval)


def _nodes_near(axes: Axes, latitudes: npt.ArrayLike, longitudes: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    near = np.zeros((axes.shape[0], axes.shape[1] - 1), np.bool_)
    row = np.floor((90.0 - np.asarray(latitudes, np.float64)) / axes.degrees).astype(np.intp)
    column = np.floor(np.asarray(longitudes, np.float64) % 360.0 / axes.degrees).astype(np.intp)
    near[row, column] = True
    return _grown(near, 3)


def _grown(mask: npt.NDArray[np.bool_], cells: int) -> npt.NDArray[np.bool_]:
    """`mask` (latitude, longitude) widened by `cells` nodes on all sides, around the circle of longitude."""
    tall = mask.copy()
    for shift in range(1, cells + 1):
        tall[shift:] |= mask[:-shift]
        tall[:-shift] |= mask[shift:]
    wide = tall.copy()
    for shift in range(1, cells + 1):
        wide |= np.roll(tall, shift, axis=1) | np.roll(tall, -shift, axis=1)
    return wide


def _module(name: str) -> types.ModuleType:
    """A module of the shared data. Where it asks for `math` and `max` it gets numpy's, which take arrays."""
    module = types.ModuleType(name.replace("/", "_").removesuffix(".py"))
    exec(compile(shared_data(name).read_text(), name, "exec"), module.__dict__)  # noqa: S102
    module.__dict__.update(math=np, max=np.maximum)
    return module


def _terrain(module: types.ModuleType, degrees: float) -> ElevationFile:
    """The terrain of a shared module as an elevation grid, rounded to whole metres, the sea at 0."""
    rows, columns = round(180 / degrees), round(360 / degrees)
    lat = 90.0 - degrees * (np.arange(rows) + 0.5)
    lon = degrees * (np.arange(columns) + 0.5)
    elevation = np.rint(np.maximum(module.terrain(lat[:, None], lon[None, :]), 0.0)).astype(np.int16)
    return ElevationFile(elevation, lat[0], lon[0], degrees, degrees)


# --- Tawhiri


@dataclass(frozen=True)
class Case:
    """A flight of the Tawhiri predictor, ready to be flown here.

    `end` is where Tawhiri ended with its own step of 60 s, `fine_end` with one of 1 s: latitude, longitude.
    """

    id: str
    simulator: Simulator
    launch: Launches
    profile: Profile
    end: tuple[float, float]
    fine_end: tuple[float, float]


class Tawhiri:
    """The flights of the Tawhiri predictor over the analytic field of `field.py`, altitude being its height."""

    def __init__(self) -> None:
        self._field = _module("tawhiri/field.py")
        cases = json.loads(shared_data("tawhiri/cases.json").read_text())["cases"]
        self._cases: dict[str, dict[str, Any]] = {case["id"]: case for case in cases}
        self._sea = ElevationFile.flat()
        self._ground: ElevationFile | None = None

    def __iter__(self) -> Any:
        return (self.case(name) for name in self._cases)

    def case(self, name: str) -> Case:
        case = self._cases[name]
        path = np.array([point for stage in case["stages"] for point in stage["path"]])
        field = sample_around(
            self._flow, self._axes(case, path[:, 0]), path[:, 1], path[:, 2], heights=True, name=f"tawhiri {name}"
        )
        end, fine = (case.get("landing") or case["end"]), case["fine_dt"]
        return Case(
            name,
            Simulator(field, self._terrain() if case["elevation"] == "terrain" else self._sea),
            self._launch(case),
            PROFILES[case["profile"].removesuffix("_profile")],
            (end["latitude"], end["longitude"]),
            (fine["latitude"], fine["longitude"]),
        )

    def _flow(self, lat: Array, lon: Array, pressure: float, time: Array) -> Any:
        return self._field.field(lat, lon, pressure, (time - self._field.EPOCH_UNIX) / HOUR)

    def _axes(self, case: dict[str, Any], seconds: Array) -> Axes:
        """The 3-hourly times that the flight needs, with an hour to spare."""
        hours = case["request"]["launch_hours"] + seconds / HOUR
        first, last = np.floor((hours.min() - 1.0) / 3.0), np.ceil((hours.max() + 1.0) / 3.0)
        first = max(first, 0.0)
        start = self._field.EPOCH_UNIX + first * 3.0 * HOUR
        levels = [float(p) for p in reversed(self._field.PRESSURES)]
        return Axes(0.5, levels, float(start), 3.0 * HOUR, int(last - first) + 1)

    def _launch(self, case: dict[str, Any]) -> Launches:
        request = case["request"]
        rate, alt = request["ascent_rate"], request["launch_altitude"]
        top = request.get("burst_altitude") or request.get("float_altitude") or alt
        coast = (request.get("stop_hours", 0.0) - request["launch_hours"]) * HOUR - (top - alt) / rate
        return launches(
            self._field.EPOCH_UNIX + request["launch_hours"] * HOUR,
            request["launch_latitude"],
            request["launch_longitude"],
            alt,
            asc=rate,
            desc=request.get("descent_rate", 1.0),
            equil=top,
            coast=max(coast, 0.0),
        )

    def _terrain(self) -> ElevationFile:
        if self._ground is None:
            self._ground = _terrain(self._field, 0.25)
        return self._ground


# --- The analytic field of the seed


class Synthetic:
    """The analytic wind of `synth_field.py`, flights through it, and wind files sampled from it."""

    def __init__(self) -> None:
        self.module = _module("seed/synth_field.py")

    def terrain(self) -> ElevationFile:
        return _terrain(self.module, 0.25)

    def flow(self, member: int) -> Column:
        def column(lat: Array, lon: Array, pressure: float, time: Array) -> Any:
            return *self.module.wind(member, lat, lon, pressure, time - START), 0.0

        return column

    def classic(self, member: int, latitudes: npt.ArrayLike, longitudes: npt.ArrayLike) -> WindField:
        """The classic wind file: 1 degree, 19 levels, 6-hourly to 384 h."""
        return self.sampled(LEVELS_19, member, latitudes, longitudes)

    def sampled(self, levels: list[int], member: int, latitudes: npt.ArrayLike, longitudes: npt.ArrayLike) -> WindField:
        axes = Axes(1.0, [float(p) for p in levels], START, 6.0 * HOUR, 65)
        return sample_around(
            self.flow(member), axes, latitudes, longitudes, heights=False, name=f"{len(levels)} levels"
        )

    def random_launches(self, count: int) -> Launches:
        """Launches between 25 and 60 N over a whole cycle, of many speeds and burst altitudes: about 110 km each."""
        random = np.random.default_rng(1)
        return launches(
            START + random.uniform(0.0, 15.0 * 86400.0, count),
            random.uniform(25.0, 60.0, count),
            random.uniform(0.0, 360.0, count),
            0.0,
            asc=random.uniform(4.0, 6.0, count),
            desc=random.uniform(6.0, 10.0, count),
            equil=random.uniform(25000.0, 33000.0, count),
        )

    def true_tracks(self, batch: Launches, steps: int = 300) -> tuple[Array, Array]:
        """Latitudes and longitudes, each (points, n), of flights of constant speed from and to sea level.

        Classical fourth-order Runge-Kutta with `steps` steps up and as many down, through the analytic wind itself.
        """
        table = batch.table
        point = table[:, [kernels.LATITUDE, kernels.LONGITUDE]].T
        time, top = table[:, kernels.TIME] - START, table[:, kernels.EQUILIBRIUM_ALTITUDE]
        up, down = table[:, kernels.ASCENT_RATE], -table[:, kernels.DESCENT_RATE]
        track = [point]
        for rate, begin, duration, alt in ((up, time, top / up, 0.0 * top), (down, time + top / up, -top / down, top)):
            step = duration / steps
            for n in range(steps):
                moment, here = begin + n * step, alt + rate * n * step
                k1 = self._velocity(point, here, moment)
                k2 = self._velocity(point + 0.5 * step * k1, here + 0.5 * step * rate, moment + 0.5 * step)
                k3 = self._velocity(point + 0.5 * step * k2, here + 0.5 * step * rate, moment + 0.5 * step)
                k4 = self._velocity(point + step * k3, here + step * rate, moment + step)
                point = point + step / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
                track.append(point)
        tracks = np.stack(track)
        return tracks[:, 0], tracks[:, 1] % 360.0

    def _velocity(self, point: Array, alt: Array, time: Array) -> Array:
        """Degrees a second, northwards and eastwards."""
        u, v = self.module.wind(0, point[0], point[1], _standard_pressure(alt), time)
        radius = 6371009.0 + alt
        velocity: Array = np.degrees(np.stack([v / radius, u / (radius * np.cos(np.radians(point[0])))]))
        return velocity

    def errors(self, levels: list[int], batch: Launches, step: float) -> Array:
        """Distances (m) between landings of flights through a file of those levels and through the wind itself."""
        lat, lon = self.true_tracks(batch)
        simulator = Simulator(self.sampled(levels, 0, lat, lon), ElevationFile.flat())
        landing = simulator.fly(batch, PROFILES["zpb"], step=step).landing
        return distance(landing[:, 1], landing[:, 2], lat[-1], lon[-1])


def _standard_pressure(altitude: Array) -> Array:
    """US Standard Atmosphere 1976 in hPa, 0..47 km, written apart from `habsim.atmosphere` so that errors show."""
    scale = 9.80665 / 287.05287
    z = np.maximum(altitude, 0.0)
    p11 = 1013.25 * (216.65 / 288.15) ** (scale / 0.0065)
    p20 = p11 * np.exp(-scale * 9000.0 / 216.65)
    p32 = p20 * (228.65 / 216.65) ** (-scale / 0.001)
    with np.errstate(invalid="ignore"):
        layers = (
            1013.25 * (1.0 - 0.0065 * np.minimum(z, 11000.0) / 288.15) ** (scale / 0.0065),
            p11 * np.exp(-scale * (z - 11000.0) / 216.65),
            p20 * (1.0 + 0.001 * (z - 20000.0) / 216.65) ** (-scale / 0.001),
            p32 * (1.0 + 0.0028 * (z - 32000.0) / 228.65) ** (-scale / 0.0028),
        )
    return np.select([z < 11000.0, z < 20000.0, z < 32000.0], layers[:3], layers[3])


# --- Answers of the seed system


@dataclass(frozen=True)
class SeedAnswer:
    """A flight of the seed system: the launch, the member, and its path (n, 8) as it was answered."""

    launch: Launches
    member: int
    path: Array


def seed_answer(name: str) -> SeedAnswer:
    content = json.loads(shared_data(f"seed/{name}.json").read_text())
    query = content["query"]
    launch = launches(
        query["timestamp"],
        query["lat"],
        query["lon"],
        query["alt"],
        asc=query["asc"],
        desc=query["desc"],
        equil=query["equil"],
        coast=query["eqtime"] * HOUR,
    )
    path = np.array([point for phase in content["response"] for point in phase])
    return SeedAnswer(launch, int(query["model"]), path)


def seed_altitude(pressure: npt.ArrayLike) -> Array:
    """Altitude (m) of a pressure (hPa) by the seed's own formulas."""
    p = np.asarray(pressure, np.float64)
    low = 44330.7 * (1.0 - (p / 1013.25) ** (1.0 / 5.2558))
    return np.where(low < 11000.0, low, 6341.73 * np.log(1282.41 / p))


def linear_in_pressure(field: WindField, count: int) -> WindField:
    """`field` as the seed reads it: linear in pressure between levels, altitudes by its own formulas.

    The kernel is linear in height, so `count` levels (hPa) are put between those of the file: what lies between two of
    them is then the same either way.
    """
    levels = np.unique(np.concatenate([np.geomspace(field.levels[0], field.levels[-1], count), field.levels]))
    upper = np.clip(np.searchsorted(field.levels, levels, side="right") - 1, 0, len(field.levels) - 2)
    share = ((levels - field.levels[upper]) / (field.levels[upper + 1] - field.levels[upper])).reshape(-1, 1, 1)
    rows, columns = np.nonzero(np.isfinite(field.data[:, :, 0, 0, 0]) & (field.data[:, :, 0, 0, 0] != 0))
    shape = (*field.data.shape[:2], len(levels), field.data.shape[3])
    data, height = np.zeros((*shape, 2), np.float16), np.zeros(shape, np.float16)
    for row, column in zip(rows, columns, strict=True):
        coarse = field.data[row, column].astype(np.float64)
        data[row, column] = coarse[upper] * (1.0 - share) + coarse[upper + 1] * share
        height[row, column] = (seed_altitude(levels) - atmosphere.altitude(levels))[:, None]
    return WindField(f"{field.name}, linear in pressure", data, height, levels, field.start, field.interval_seconds)


# --- A radiosonde


@dataclass(frozen=True)
class Sounding:
    """A measured ascent: seconds, height (m), pressure (hPa), wind (m/s) and position (degrees) of each row."""

    seconds: Array
    height: Array
    pressure: Array
    eastward: Array
    northward: Array
    latitude: Array
    longitude: Array

    def thinned(self, seconds: int) -> Sounding:
        """One row in `seconds`, its wind the mean of the measured ones around it; for rows a second apart."""
        kernel = np.ones(seconds) / seconds
        keep = np.unique(np.append(np.arange(0, len(self.height), seconds), len(self.height) - 1))
        count = np.convolve(np.ones_like(self.height), kernel, "same")
        smooth = [np.convolve(wind, kernel, "same") / count for wind in (self.eastward, self.northward)]
        rows = (self.seconds, self.height, self.pressure, *smooth, self.latitude, self.longitude)
        return Sounding(*(row[keep] for row in rows))

    def field(self) -> WindField:
        """The measured wind as a steady, horizontally uniform wind field."""
        top_down = slice(None, None, -1)
        levels = self.pressure[top_down]
        data = np.empty((3, 5, len(levels), 2, 2), np.float16)
        data[..., 0] = self.eastward[top_down, None]
        data[..., 1] = self.northward[top_down, None]
        height = np.empty(data.shape[:4], np.float16)
        height[...] = (self.height[top_down] - atmosphere.altitude(levels))[:, None]
        return WindField("sounding", data, height, levels.astype(np.float64), 0.0, 86400.0)


def sounding() -> Sounding:
    with shared_data("soundings/mhx_20200531_23z_radiosonde_1s.csv").open() as file:
        rows = list(csv.DictReader(file))

    def column(name: str) -> Array:
        return np.array([float(row[name]) for row in rows])

    speed, toward = column("windSpeed"), np.radians(column("windDirection") + 180.0)
    return Sounding(
        np.arange(len(rows), dtype=np.float64),
        column("geopotentialHeight"),
        column("pressure") / 100.0,
        speed * np.sin(toward),
        speed * np.cos(toward),
        column("lat") + column("latitudeDisplacement"),
        column("lon") + column("longitudeDisplacement"),
    )
