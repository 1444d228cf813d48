"""Small worlds for tests: wind files of known flows, buckets, apps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import windfile
from habsim import atmosphere, demo_winds
from habsim.classes import Launches, WindField
from settings import Settings
from store.bucket import Bucket, LocalBucket
from store.manifest import cycle_start, wind_file_name
from store.publish import publish

Floats = npt.NDArray[np.floating[Any]]

# Latitude and longitude (degrees), pressure (hPa) and time since the start (s), broadcast, to a wind component (m/s).
Flow = Callable[[Floats, Floats, Floats, Floats], tuple[npt.ArrayLike, npt.ArrayLike]]

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
START = 1795046400.0  # 2026-11-19T00:00:00Z, the cycle 2026111900
CYCLE = "2026111900"
LEVELS_31 = [
    1, 2, 3, 5, 7, 10, 20, 30, 50, 70, 100, 150, 200, 250, 300, 350, 400, 450, 500, 550, 600, 650, 700, 750, 800, 850,
    900, 925, 950, 975, 1000,
]  # fmt: skip


def shared_data(name: str) -> Path:
    """A real file for tests; the test is skipped where the folder is absent."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the file {name} of the shared test data is not on this machine")
    return path


def sample(
    flow: Flow,
    *,
    levels: list[float] | list[int] = LEVELS_31,
    degrees: float = 5.0,
    times: int = 5,
    interval: float = 21600.0,
    height: Callable[[Floats, Floats, Floats, Floats], Floats] | None = None,
    start: float = START,
    name: str = "test",
) -> WindField:
    """A wind field that holds `flow` at its nodes. `height` gives geopotential heights, m."""
    lat = np.linspace(90.0, -90.0, round(180 / degrees) + 1).reshape(-1, 1, 1, 1)
    lon = np.linspace(0.0, 360.0, round(360 / degrees) + 1).reshape(1, -1, 1, 1)
    pressure = np.asarray(levels, np.float64).reshape(1, 1, -1, 1)
    time = (np.arange(times) * interval).reshape(1, 1, 1, -1)
    shape = np.broadcast_shapes(lat.shape, lon.shape, pressure.shape, time.shape)
    data = np.empty((*shape, 2), np.float16)
    data[..., 0], data[..., 1] = flow(lat, lon, pressure, time)
    data[:, -1] = data[:, 0]
    heights = None
    if height is not None:
        heights = np.empty(shape, np.float16)
        heights[...] = height(lat, lon, pressure, time) - atmosphere.altitude(pressure)
        heights[:, -1] = heights[:, 0]
    return WindField(name, data, heights, np.asarray(levels, np.float64), start, interval)


def uniform(u: float, v: float) -> Flow:
    return lambda lat, lon, pressure, time: (u, v)


def demo(member: int, *, days: float = 2.0) -> WindField:
    """The demo atmosphere at 5 degrees."""
    latitudes, longitudes = np.linspace(90.0, -90.0, 37), np.linspace(0.0, 360.0, 73)
    times = np.arange(START, START + 86400.0 * days + 1.0, 21600.0)
    axes = demo_winds.Axes(latitudes, longitudes, demo_winds.LEVELS, times)
    weather = demo_winds.sample_control(axes, START)
    if member:
        weather += demo_winds.sample_perturbation(axes, START, member)
    data = np.empty((*weather.height.shape, 2), np.float16)
    data[..., 0], data[..., 1] = weather.eastward, weather.northward
    height = np.empty(weather.height.shape, np.float16)
    height[...] = weather.height
    return WindField(f"demo {member}", data, height, demo_winds.LEVELS, START, 21600.0)


def write_field(path: Path, field: WindField, **more: Any) -> Path:
    windfile.write(
        path,
        data=field.data,
        timestamp=field.start,
        interval_seconds=field.interval_seconds,
        levels=field.levels,
        height=field.height,
        **more,
    )
    return path


def make_bucket(
    folder: Path,
    *,
    members: int = 3,
    cycle: str = CYCLE,
    product: str = "test",
    wind: float = 10.0,
    field: WindField | None = None,
) -> LocalBucket:
    """A bucket with one published cycle; member m has an eastward wind of `wind` + m m/s, or all have `field`."""
    bucket = LocalBucket(folder)
    work = folder / "making"
    work.mkdir(parents=True, exist_ok=True)
    files = {}
    for member in range(members):
        name = wind_file_name(cycle, member)
        winds = field or sample(uniform(wind + member, 5.0), start=cycle_start(cycle), degrees=10.0)
        files[member] = write_field(work / name, winds)
    publish(bucket, cycle, files, product)
    work.rmdir()
    return bucket


def file_in(bucket: Bucket, name: str) -> Path:
    """The file of an object in a bucket that is a folder."""
    path = bucket.local_path(name)
    assert path is not None
    return path


def make_elevation(path: Path, metres: float = 0.0) -> Path:
    """Flat ground as an elevation file of 1 degree."""
    elevation = np.full((180, 360), metres, np.int16)
    np.savez(path, elevation=elevation, bounds=np.array([89.5, -89.5, -179.5, 179.5]))
    return path


def make_settings(folder: Path, **more: Any) -> Settings:
    """Settings of a service of its own in `folder`, with flat ground at sea level. Keywords are field names."""
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    values = {"data_dir": data, "elevation": make_elevation(folder / "ground.npz"), **more}
    # Settings are read by their environment names; a test gives fields.
    aliases = {name: str(info.validation_alias) for name, info in Settings.model_fields.items()}
    return Settings(**{aliases[name]: value for name, value in values.items()})


def launches(
    time: npt.ArrayLike = START,
    lat: npt.ArrayLike = 0.0,
    lon: npt.ArrayLike = 0.0,
    alt: npt.ArrayLike = 0.0,
    *,
    asc: npt.ArrayLike = 5.0,
    desc: npt.ArrayLike = 5.0,
    equil: npt.ArrayLike = 30000.0,
    coast: npt.ArrayLike = 0.0,
    drift: npt.ArrayLike = 1.0,
) -> Launches:
    """A batch of launches; arguments broadcast. Speeds m/s, coast in seconds."""
    columns = np.broadcast_arrays(
        *(np.asarray(x, np.float64) for x in (time, lat, lon, alt, asc, desc, equil, coast, drift))
    )
    return Launches(np.stack([np.atleast_1d(column) for column in columns], axis=1).copy())


def distance(lat1: npt.ArrayLike, lon1: npt.ArrayLike, lat2: npt.ArrayLike, lon2: npt.ArrayLike) -> Floats:
    """Great-circle distance in m on a sphere of 6 371 009 m (haversine)."""
    a, b, c, d = (np.radians(np.asarray(x, np.float64)) for x in (lat1, lon1, lat2, lon2))
    h = np.sin((c - a) / 2) ** 2 + np.cos(a) * np.cos(c) * np.sin((d - b) / 2) ** 2
    result: Floats = 2 * 6371009.0 * np.arcsin(np.sqrt(np.clip(h, 0.0, 1.0)))
    return result
