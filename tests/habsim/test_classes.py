"""Ground and its highest places, and what a simulator answers besides flights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from habsim import atmosphere, kernels
from habsim.classes import Balloon, ElevationFile, Launches, Location, Simulator
from habsim.errors import ElevationError, OutsideCycleError, WindFileError
from habsim.profiles import PROFILES
from tests.worlds import LEVELS_31, START, Floats, launches, sample, uniform

Elevation = npt.NDArray[np.int16]

# --- Ground between cell centres


def numbered(rows: int = 180, columns: int = 360) -> Elevation:
    """Every cell its own height, none twice in a row or a column."""
    row, column = np.arange(rows)[:, None], np.arange(columns)[None, :]
    return np.asarray(7 * row + 13 * column, np.int16)


WHOLE = ElevationFile(numbered(), 89.5, -179.5, 1.0, 1.0)


@pytest.mark.parametrize(
    ("lat", "lon", "row", "column"),
    [(89.5, -179.5, 0, 0), (89.5, 180.5, 0, 0), (-89.5, 179.5, 179, 359), (0.5, 0.5, 89, 180), (-44.5, 270.5, 134, 90)],
)
def test_ground_at_a_centre_is_that_of_the_cell(lat: float, lon: float, row: int, column: int) -> None:
    assert WHOLE.at(lat, lon) == numbered()[row, column]
    assert WHOLE.nearest(lat, lon) == numbered()[row, column]


def test_ground_joins_across_the_antimeridian() -> None:
    """At 180 degrees, half way between the last column and the first, from either side and by either name."""
    expected = (numbered()[89, 359] + numbered()[89, 0]) / 2.0
    found = WHOLE.at(np.full(4, 0.5), [180.0, -180.0, 179.9999999, -179.9999999])
    assert found == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("west", [-179.5, 0.5, -0.25, 359.75])
def test_ground_joins_wherever_the_grid_begins(west: float) -> None:
    ground = ElevationFile(numbered(), 89.5, west, 1.0, 1.0)
    expected = (numbered()[89, 359] + numbered()[89, 0]) / 2.0
    assert ground.at(0.5, west - 0.5) == pytest.approx(expected)
    assert ground.at(0.5, (west - 0.5) % 360.0) == pytest.approx(expected)


@pytest.mark.parametrize(("lat", "row"), [(90.0, 0), (89.7, 0), (-90.0, 179), (-89.8, 179)])
def test_ground_between_the_last_centre_and_the_pole_is_that_of_the_last_row(lat: float, row: int) -> None:
    assert WHOLE.at(lat, 0.5) == numbered()[row, 180]


def test_sea_lies_north_of_a_grid_that_ends_before_the_pole() -> None:
    ground = ElevationFile(np.full((174, 360), 500, np.int16), 83.5, -179.5, 1.0, 1.0)
    np.testing.assert_array_equal(ground.at([90.0, 85.0, 83.0, -90.0], 10.0 * np.ones(4)), [0.0, 0.0, 500.0, 500.0])
    np.testing.assert_array_equal(ground.nearest([90.0, 85.0, 83.0, -90.0], 10.0), [0.0, 0.0, 500.0, 500.0])


def test_ground_may_lie_below_the_sea() -> None:
    ground = ElevationFile.flat(-430)
    assert ground.at(31.5, 35.5) == -430.0
    landing = Simulator(sample(uniform(5.0, 0.0)), ground).fly(launches(lat=31.5, lon=35.5), PROFILES["zpb"]).landing
    assert landing[0, 3] == -430.0


def test_ground_takes_any_shape() -> None:
    lat, lon = np.full((2, 3), 0.5), np.full((2, 3), 0.5)
    assert WHOLE.at(lat, lon).shape == (2, 3)
    assert WHOLE.at(0.5, 0.5).shape == ()
    assert WHOLE.nearest(lat, lon).shape == (2, 3)


@pytest.mark.parametrize(
    ("shape", "north", "row_step", "column_step", "sentence"),
    [
        ((180, 350), 89.5, 1.0, 1.0, "the elevation grid of 180 x 350 cells spans 350 degrees of longitude"),
        ((180, 360), 89.5, 1.0, 0.5, "spans 180 degrees of longitude, it must span 360"),
        ((180, 360), 89.5, -1.0, 1.0, "must span 360"),
        ((1, 360), 89.5, 180.0, 1.0, "must span 360"),
        ((160, 360), 89.5, 1.0, 1.0, "reaches from 89.5 to -69.5 degrees, it must reach -90..83"),
        ((160, 360), 69.5, 1.0, 1.0, "reaches from 69.5 to -89.5 degrees"),
        ((180, 360), 95.0, 1.0, 1.0, "reaches from 95 to -84 degrees"),
        ((200, 360), 89.5, 1.0, 1.0, "reaches from 89.5 to -109.5 degrees"),
    ],
)
def test_grid_that_does_not_cover_the_earth_is_refused(
    shape: tuple[int, int], north: float, row_step: float, column_step: float, sentence: str
) -> None:
    with pytest.raises(ElevationError, match=sentence.replace(".", r"\.")):
        ElevationFile(np.zeros(shape, np.int16), north, -179.5, row_step, column_step)


# --- Highest ground


def random_ground(random: np.random.Generator) -> ElevationFile:
    """A grid of any fineness, with a few peaks one cell wide; some end before the north pole, begin anywhere."""
    rows, columns = int(random.integers(6, 300)), int(random.integers(4, 300))
    step = float(random.choice([90.0 + 83.0, 180.0])) / rows
    north = -90.0 + step * (rows - 0.5)
    elevation = np.zeros((rows, columns), np.int16)
    for _ in range(20):
        elevation[random.integers(rows), random.integers(columns)] = random.integers(1, 8800)
    return ElevationFile(elevation, north, float(random.uniform(-180.0, 180.0)), step, 360.0 / columns)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_no_ground_within_a_degree_is_higher_than_the_highest(seed: int) -> None:
    random = np.random.default_rng(seed)
    ground = random_ground(random)
    for row, column in np.argwhere(ground.elevation > 0):
        lat = min(90.0, ground.grid.north - row * ground.grid.row_step)
        lon = (ground.grid.west + column * ground.grid.column_step) % 360.0
        # Points in all directions, up to a degree away; the poles and a hair within the degree among them.
        bearing, reach = random.uniform(0.0, 2.0 * math.pi, 40), random.choice([1.0 - 1e-9, 0.9, 0.5, 0.0], 40)
        there = destinations(lat, lon, bearing, reach)
        assert highest_near_each(ground.grid, there).min() >= ground.elevation[row, column]


@njit
def highest_near_each(grid: Any, points: Any) -> Any:
    """`kernels.highest_near` for points (2, n), latitudes and longitudes."""
    found = np.empty(points.shape[1])
    for n in range(found.size):
        found[n] = kernels.highest_near(grid, points[0, n], points[1, n])
    return found


def destinations(lat: float, lon: float, bearing: Floats, degrees: Floats) -> Floats:
    """Points (2, n) so many degrees of arc away from one."""
    phi, arc = math.radians(lat), np.radians(degrees)
    sine = math.sin(phi) * np.cos(arc) + math.cos(phi) * np.sin(arc) * np.cos(bearing)
    to_lat = np.arcsin(np.clip(sine, -1.0, 1.0))
    turned = np.arctan2(np.sin(bearing) * np.sin(arc) * math.cos(phi), np.cos(arc) - math.sin(phi) * sine)
    return np.stack([np.degrees(to_lat), (lon + np.degrees(turned)) % 360.0])


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_interpolated_ground_is_not_higher_than_the_highest(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows, columns = int(random.integers(10, 300)), int(random.integers(10, 300))
    elevation = random.integers(-400, 8800, (rows, columns)).astype(np.int16)
    ground = ElevationFile(elevation, 90.0 - 90.0 / rows, -180.0, 180.0 / rows, 360.0 / columns)
    points = np.stack([random.uniform(-90.0, 90.0, 500), random.uniform(0.0, 360.0, 500)])
    assert (highest_near_each(ground.grid, points) >= ground.at(*points)).all()


def test_highest_ground_is_not_looked_for_farther_than_needed() -> None:
    """Otherwise flights far from mountains would take the short steps of flights among them."""
    elevation = np.zeros((1080, 2160), np.int16)
    elevation[480, 1080] = 8000  # 9.9 N, 0.1 E
    ground = ElevationFile(elevation, 89.91666, -179.91666, 1.0 / 6.0, 1.0 / 6.0)
    assert ground.grid.highest.max() == 8000
    assert (ground.grid.highest > 0).sum() <= 25


# --- Simulators


def test_wind_is_asked_by_time_and_place() -> None:
    simulator = Simulator(sample(lambda lat, lon, p, t: (lat, t / 21600.0)), ElevationFile.flat())
    u, v = simulator.wind(START + 32400.0, Location(12.5, -100.0, 3000.0))
    assert (u, v) == pytest.approx((12.5, 1.5), abs=1e-3)


def test_wind_outside_the_cycle_is_refused() -> None:
    simulator = Simulator(sample(uniform(1.0, 1.0)), ElevationFile.flat())
    assert simulator.field.end == START + 86400.0
    for time in (START, START + 86400.0):
        simulator.wind(time, Location(0.0, 0.0, 0.0))
    for time in (START - 1.0, START + 86401.0):
        with pytest.raises(OutsideCycleError, match=r"covers 2026-11-19T00:00:00Z to 2026-11-20T00:00:00Z"):
            simulator.wind(time, Location(0.0, 0.0, 0.0))


def test_wind_without_a_number_names_file_level_and_time() -> None:
    field = sample(uniform(1.0, 1.0), name="2026111900_03.npz")
    field.data[:, :, 5, 1] = np.nan
    with pytest.raises(WindFileError, match=r"2026111900_03.npz holds no number .* 10 hPa at 2026-11-19T06:00:00Z"):
        Simulator(field, ElevationFile.flat()).wind(START + 21600.0, Location(40.0, 300.0, 31000.0))


def sloping(lat: Floats, lon: Floats, pressure: Floats, time: Floats) -> Floats:
    """Heights that are linear in everything that heights are read between."""
    found: Floats = atmosphere.altitude(pressure) + 2.0 * lat - np.where(lon < 180, lon, 360 - lon) + time / 3600.0
    return found


@pytest.mark.parametrize(
    ("latitude", "longitude", "hours"),
    [(52.5, 13.25, 1.5), (-41.0, 359.0, 0.0), (0.0, -2.5, 24.0), (90.0, 0.0, 3.0), (-90.0, 177.0, 23.9)],
)
def test_heights_over_a_point_are_read_between_those_around_it(latitude: float, longitude: float, hours: float) -> None:
    simulator = Simulator(sample(uniform(1.0, 0.0), height=sloping), ElevationFile.flat())
    found = simulator.heights_over(START + 3600.0 * hours, latitude, longitude)
    levels = np.asarray(LEVELS_31, np.float64)
    wanted = sloping(*map(np.asarray, (latitude, longitude % 360.0, levels, 3600.0 * hours)))
    assert found == pytest.approx(wanted, abs=0.15)  # half floats


def test_heights_are_those_of_the_cycle_or_none() -> None:
    simulator = Simulator(sample(uniform(1.0, 0.0), height=sloping), ElevationFile.flat())
    with pytest.raises(OutsideCycleError, match="is outside the cycle"):
        simulator.heights_over(START - 1.0, 0.0, 0.0)
    assert Simulator(sample(uniform(1.0, 0.0)), ElevationFile.flat()).heights_over(START, 0.0, 0.0) is None


def test_vertical_scheme_tells_with_or_without_heights() -> None:
    def standard(lat: Floats, lon: Floats, pressure: Floats, time: Floats) -> Floats:
        heights: Floats = 7000.0 * np.log(1000.0 / pressure)
        return heights

    plain, high = sample(uniform(1.0, 1.0)), sample(uniform(1.0, 1.0), height=standard)
    assert "log pressure" in Simulator(plain, ElevationFile.flat()).vertical_scheme
    assert "geopotential heights" in Simulator(high, ElevationFile.flat()).vertical_scheme


def test_single_launch_is_a_row_in_the_order_of_the_kernel() -> None:
    launch = Launches.single(1.5, Location(2.0, 3.0, 4.0), Balloon(5.0, 6.0, 7.0, 8.0, 9.0))
    assert len(launch) == 1
    order = (
        kernels.TIME, kernels.LATITUDE, kernels.LONGITUDE, kernels.ALTITUDE, kernels.ASCENT_RATE,
        kernels.DESCENT_RATE, kernels.EQUILIBRIUM_ALTITUDE, kernels.COAST_SECONDS, kernels.DRIFT,
    )  # fmt: skip
    assert launch.table[0, order].tolist() == [1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]


@pytest.mark.parametrize("longitude", [-180.0, -0.0, 0.0, 180.0, 360.0])
def test_longitudes_of_flights_are_0_to_360(longitude: float) -> None:
    simulator = Simulator(sample(uniform(-20.0, 0.0)), ElevationFile.flat())
    flights = simulator.fly(launches(lat=30.0, lon=longitude), PROFILES["zpb"], paths=1)
    assert flights.trajectories[0] is not None
    for phase in flights.trajectories[0].phases:
        assert phase.points[:, 2].min() >= 0.0
        assert phase.points[:, 2].max() < 360.0
    start = flights.trajectories[0].phases[0].points[0, 2]
    assert math.isclose(math.cos(math.radians(start - longitude)), 1.0)


def test_warm_up_flies_over_the_given_ground() -> None:
    Simulator.warm_up(ElevationFile.flat(300))


def test_ground_below_all_ground_is_refused() -> None:
    with pytest.raises(ElevationError, match="has -4000 m, below all ground; the sea must be 0"):
        ElevationFile.flat(-4000)
    assert ElevationFile.flat(-430).at(31.5, 35.5) == -430.0
