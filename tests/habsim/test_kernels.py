"""The compiled inner loops against the same thing written plainly, and the promises that a batch keeps."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numba import njit

from habsim import atmosphere, balloons, halffloat, kernels, sizing
from habsim.atmosphere import EARTH_RADIUS
from habsim.classes import ElevationFile, Flights, Launches, Location, Simulator, WindField, air
from habsim.envelopes import ENVELOPES, GASES
from habsim.errors import FlightError
from habsim.profiles import PROFILES
from tests.worlds import START, distance, launches, sample, uniform

Array = npt.NDArray[np.float64]

NATIVE = [
    pytest.param(False, id="by integers"),
    pytest.param(
        True,
        id="native",
        marks=pytest.mark.skipif(
            not halffloat._processor_widens_halves(), reason="this processor has no instruction for it"
        ),
    ),
]

# --- Half precision


@functools.cache
def widener(lanes: int, native: bool) -> Callable[[int, npt.NDArray[np.float32]], None]:
    """A compiled function that writes the halves at an address as single-precision numbers."""
    blend = halffloat.weighted_sum(lanes, 1, native=native)
    one = np.float32(1.0)

    @njit
    def widen(address: Any, out: Any) -> None:
        for first in range(0, out.size, lanes):
            values = blend(address, (2 * first,), (one,))
            for lane in range(lanes):
                out[first + lane] = values[lane]

    return widen  # type: ignore[no-any-return]


@pytest.mark.parametrize("native", NATIVE)
@pytest.mark.parametrize("lanes", [2, 4])
def test_every_half_is_widened_exactly(lanes: int, native: bool) -> None:
    codes = np.arange(65536, dtype=np.uint16)
    found = np.empty(65536, np.float32)
    widener(lanes, native)(codes.ctypes.data, found)
    np.testing.assert_array_equal(found, codes.view(np.float16).astype(np.float32))


@functools.cache
def summer(native: bool) -> Callable[..., tuple[float, ...]]:
    blend = halffloat.weighted_sum(4, 8, native=native)

    @njit
    def total(address: Any, offsets: Any, weights: Any) -> Any:
        return blend(address, offsets, weights)

    return total  # type: ignore[no-any-return]


@pytest.mark.parametrize("native", NATIVE)
@given(seed=st.integers(0, 2**32 - 1))
def test_weighted_sum_is_the_sum_at_any_byte(native: bool, seed: int) -> None:
    random = np.random.default_rng(seed)
    memory = np.zeros(4096, np.uint8)
    offsets = tuple(int(x) for x in random.integers(0, 4088, 8))  # bytes, odd ones too
    runs = random.normal(0.0, 30.0, (8, 4)).astype(np.float16)
    weights = random.dirichlet(np.ones(8)).astype(np.float32)
    for offset, run in zip(offsets, runs, strict=True):
        memory[offset : offset + 8] = run.view(np.uint8)
    stored = np.stack([memory[o : o + 8].view(np.float16) for o in offsets])  # runs may overlap
    found = summer(native)(memory.ctypes.data, offsets, tuple(weights))
    with np.errstate(all="ignore"):
        expected = weights.astype(np.float64) @ stored.astype(np.float64)
        scale = np.abs(weights.astype(np.float64)) @ np.abs(stored.astype(np.float64))
    np.testing.assert_allclose(found, expected, atol=float(np.nan_to_num(scale, nan=0.0, posinf=0.0).max()) * 1e-6)


# --- Winds between nodes


def rough(*, heights: bool) -> WindField:
    """A field without any smoothness: every node its own wind, and its own height."""
    random = np.random.default_rng(11)
    levels = np.array([5.0, 50.0, 200.0, 500.0, 1000.0])
    data = random.normal(0.0, 20.0, (7, 10, 5, 4, 2)).astype(np.float16)
    height = random.normal(0.0, 400.0, (7, 10, 5, 4)).astype(np.float16) if heights else None
    for array in (data,) if height is None else (data, height):
        array[:, -1] = array[:, 0]
    return WindField("rough", data, height, levels, START, 10800.0)


ROUGH = {heights: Simulator(rough(heights=heights), ElevationFile.flat()) for heights in (False, True)}


def plainly(field: WindField, lat: float, lon: float, alt: float, time: float) -> tuple[Array, Array]:
    """Wind (2,) and the altitudes of the levels at a point, by numpy's own interpolation, one axis after another."""

    def along(axis: int, values: Array, position: float) -> Array:
        low = min(int(position), values.shape[axis] - 2)
        share = position - low
        first, second = (np.take(values, low + n, axis) for n in (0, 1))
        return np.asarray(first * (1.0 - share) + second * share)

    def at_point(values: npt.NDArray[np.float16]) -> Array:
        wide = values.astype(np.float64)
        wide = along(0, wide, (90.0 - lat) / 180.0 * (values.shape[0] - 1))
        wide = along(0, wide, lon / 360.0 * (values.shape[1] - 1))
        return along(1, wide, (time - field.start) / field.interval_seconds)

    standard = atmosphere.altitude(field.levels)
    if field.height is None:
        coordinate, levels, altitudes = atmosphere.log_pressure(alt), np.log(field.levels), standard
    else:
        altitudes = standard + at_point(field.height)
        coordinate, levels = np.asarray(-alt), -altitudes
    wind = at_point(field.data)
    return np.array([np.interp(coordinate, levels, wind[:, n]) for n in (0, 1)]), altitudes


POINTS = {
    "lat": st.floats(-90.0, 90.0),
    "lon": st.floats(0.0, 360.0),
    "alt": st.floats(-400.0, 48000.0),
    "seconds": st.floats(0.0, 32400.0),
}


@pytest.mark.parametrize("heights", [False, True], ids=["log pressure", "heights"])
@given(**POINTS)
@example(lat=90.0, lon=360.0, alt=0.0, seconds=32400.0)
@example(lat=-90.0, lon=0.0, alt=48000.0, seconds=0.0)
def test_wind_is_linear_along_each_axis(heights: bool, lat: float, lon: float, alt: float, seconds: float) -> None:
    simulator = ROUGH[heights]
    expected, _ = plainly(simulator.field, lat, lon, alt, START + seconds)
    # The logarithm of the pressure comes from a table of 25 m, which is 2e-6 off.
    assert simulator.wind(START + seconds, Location(lat, lon, alt)) == pytest.approx(expected, abs=3e-4)


@pytest.mark.parametrize("heights", [False, True], ids=["log pressure", "heights"])
@given(row=st.integers(0, 6), column=st.integers(0, 9), level=st.integers(0, 4), step=st.integers(0, 3))
def test_wind_at_a_node_is_that_of_the_file(heights: bool, row: int, column: int, level: int, step: int) -> None:
    simulator = ROUGH[heights]
    field = simulator.field
    lat, lon = 90.0 - 30.0 * row, 40.0 * column
    alt = float(atmosphere.altitude(field.levels[level]))
    if field.height is not None:
        alt += float(field.height[row, column, level, step])
    found = simulator.wind(START + step * 10800.0, Location(lat, lon, alt))
    assert found == pytest.approx(field.data[row, column, level, step].astype(np.float64), abs=3e-4)


@given(**POINTS)
def test_wind_lies_between_those_of_the_nodes_around(lat: float, lon: float, alt: float, seconds: float) -> None:
    simulator = ROUGH[False]
    row, column, step = min(int((90 - lat) / 30), 5), min(int(lon / 40), 8), min(int(seconds / 10800), 2)
    around = simulator.field.data[row : row + 2, column : column + 2, :, step : step + 2].astype(np.float64)
    found = np.array(simulator.wind(START + seconds, Location(lat, lon, alt)))
    assert (found >= around.min(axis=(0, 1, 2, 3)) - 1e-4).all()
    assert (found <= around.max(axis=(0, 1, 2, 3)) + 1e-4).all()


@pytest.mark.parametrize("heights", [False, True], ids=["log pressure", "heights"])
@given(**POINTS)
def test_search_finds_the_levels_around_from_any_start(
    heights: bool, lat: float, lon: float, alt: float, seconds: float
) -> None:
    simulator = ROUGH[heights]
    winds = simulator._winds
    c = kernels.vertical_coordinate(winds, air(), alt)
    found = {kernels.wind_at(winds, lat, lon, seconds, c, c, start) for start in range(4)}
    assert len(found) == 1
    _, _, level, above, below = found.pop()
    _, altitudes = plainly(simulator.field, lat, lon, alt, START + seconds)
    assert (above, below) == pytest.approx((altitudes[level], altitudes[level + 1]), abs=0.05)
    assert level == 0 or alt <= above + 0.05
    assert level == 3 or alt >= below - 0.05


@pytest.mark.parametrize("start", range(4))
@pytest.mark.parametrize(("ahead", "level"), [(-0.01, 1), (0.01, 2)], ids=["upwards", "downwards"])
def test_point_on_a_level_belongs_to_the_layer_ahead(ahead: float, level: int, start: int) -> None:
    """`c` falls with altitude, so a smaller one is ahead of a climb."""
    winds = ROUGH[False]._winds
    on_level = math.log(200.0)
    assert kernels.wind_at(winds, 10.0, 10.0, 0.0, on_level, on_level + ahead, start)[2] == level


# --- Ground


@given(st.floats(-90.0, 90.0), st.floats(0.0, 360.0), st.integers(0, 2**32 - 1))
def test_ground_is_bilinear_between_cell_centres(lat: float, lon: float, seed: int) -> None:
    elevation = np.random.default_rng(seed).integers(-400, 8000, (12, 20)).astype(np.int16)
    ground = ElevationFile(elevation, 82.5, -171.0, 15.0, 18.0)
    y = min(max((82.5 - lat) / 15.0, 0.0), 11.0)
    x = (lon + 171.0) % 360.0 / 18.0
    row, column = min(int(y), 10), int(x) % 20
    down, right = y - row, x - int(x)
    (a, b), (c, d) = elevation[row : row + 2][:, [column, (column + 1) % 20]].astype(float)
    expected = (a * (1 - right) + b * right) * (1 - down) + (c * (1 - right) + d * right) * down
    assert kernels.ground_at(ground.grid, lat, lon) == pytest.approx(expected, abs=1e-6)


# --- Steps


@given(st.floats(1e-3, 1e5), st.one_of(st.floats(1e-3, 1e5), st.just(math.inf)), st.floats(0.25, 600.0))
def test_steps_divide_the_way_to_the_next_level_evenly(remaining: float, to_level: float, longest: float) -> None:
    length = kernels.step_length(remaining, to_level, longest)
    steps = min(remaining, to_level) / length
    assert length <= longest * (1.0 + 1e-6)
    assert steps == pytest.approx(round(steps), rel=1e-9)
    assert round(steps) <= math.ceil(min(remaining, to_level) / longest)  # and no more steps than needed


def test_flight_has_a_point_on_every_level() -> None:
    levels = [10, 50, 200, 500, 900]
    simulator = Simulator(sample(uniform(12.0, 3.0), levels=levels), ElevationFile.flat())
    (trajectory,) = simulator.fly(launches(equil=33000.0), PROFILES["standard"], step=600.0, paths=1).trajectories
    assert trajectory is not None
    for phase in trajectory.phases:
        for level in atmosphere.altitude(np.array(levels)):
            assert np.abs(phase.points[:, 3] - level).min() < kernels.LEVEL_TOLERANCE


@given(
    st.floats(-89.99, 89.99), st.floats(0.0, 359.99), st.floats(-1.0, 1.0), st.floats(-1.0, 1.0), st.floats(1.0, 5000.0)
)
def test_a_short_move_goes_where_it_should(lat: float, lon: float, east: float, north: float, metres: float) -> None:
    """Against the tangent plane in space, on which the sphere falls away by metres^2 / 2 R.

    A move along parallels and meridians bends with them: by tan(lat) metres^2 / R at most.
    """
    radius = EARTH_RADIUS
    to_lat, to_lon = kernels.move(lat, lon, east * metres, north * metres, radius, lat, lon)
    phi, lam = math.radians(lat), math.radians(lon)
    up = np.array([math.cos(phi) * math.cos(lam), math.cos(phi) * math.sin(lam), math.sin(phi)])
    to_east = np.array([-math.sin(lam), math.cos(lam), 0.0])
    to_north = np.cross(up, to_east)
    x, y, z = radius * up + metres * (east * to_east + north * to_north)
    expected = math.degrees(math.atan2(z, math.hypot(x, y))), math.degrees(math.atan2(y, x))
    assert 0.0 <= to_lon < 360.0
    assert -90.0 <= to_lat <= 90.0
    assert distance(to_lat, to_lon, *expected) < 0.01 + 3.0 * metres**2 / radius


def test_move_has_no_step_where_its_method_changes() -> None:
    """On both sides of the polar cap's edge a move of 3 km ends at nearly the same place."""
    edge = kernels.POLAR_CAP
    below, above = (kernels.move(lat, 20.0, 3000.0, 100.0, 6.4e6, lat, 20.0) for lat in (edge - 1e-9, edge + 1e-9))
    assert distance(*below, *above) < 3.0


# --- Batches


def world(seed: int = 5) -> tuple[Simulator, Launches]:
    """A rough field over rough ground, and 64 launches of all kinds."""
    random = np.random.default_rng(seed)
    ground = ElevationFile(random.integers(0, 900, (36, 72)).astype(np.int16), 87.5, -177.5, 5.0, 5.0)
    n = 64
    batch = launches(
        START + random.uniform(0.0, 30000.0, n),
        random.uniform(-90.0, 90.0, n),
        random.uniform(0.0, 360.0, n),
        1000.0,
        asc=random.uniform(2.0, 9.0, n),
        desc=random.uniform(2.0, 9.0, n),
        equil=random.uniform(8000.0, 30000.0, n),
        coast=random.uniform(0.0, 3000.0, n),
        drift=random.uniform(0.9, 1.0, n),
    )
    return Simulator(rough(heights=True), ground), batch


def with_climbs(batch: Launches) -> Launches:
    """The batch with a balloon of its own for each launch, filled for 2 to 7 m/s."""
    envelope, helium = ENVELOPES["kaymont-1000"], GASES["helium"]
    rates = np.linspace(2.0, 7.0, len(batch))
    rows = [sizing.filled(envelope, helium, 1.0, sizing.Wish(ascent_rate=float(rate))).row() for rate in rates]
    return balloons.launches_of(batch, np.array(rows))


def assert_same(a: Flights, b: Flights) -> None:
    assert a.landing.tobytes() == b.landing.tobytes()
    assert a.failures.keys() == b.failures.keys()


@pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))
def test_batch_is_its_flights_one_by_one(profile: Any) -> None:
    simulator, batch = world()
    if profile.climbs:
        batch = with_climbs(batch)
    together = simulator.fly(batch, profile, paths=len(batch))
    for n in range(len(batch)):
        climbs = batch.climbs and replace(batch.climbs, of=batch.climbs.of[n : n + 1])
        alone = simulator.fly(Launches(batch.table[n : n + 1], climbs), profile, paths=1)
        assert alone.landing.tobytes() == together.landing[n : n + 1].tobytes()
        one, other = alone.trajectories[0], together.trajectories[n]
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert one.warnings == other.warnings
            assert [p.points.tobytes() for p in one.phases] == [p.points.tobytes() for p in other.phases]


def test_same_batch_gives_the_same_bytes_again_and_from_many_threads() -> None:
    simulator, batch = world()
    first = simulator.fly(batch, PROFILES["zpb"])
    assert 0 < len(first.failures) < len(batch)  # both kinds
    with ThreadPoolExecutor(8) as pool:
        for again in pool.map(lambda _: simulator.fly(batch, PROFILES["zpb"]), range(32)):
            assert_same(first, again)


def test_recording_paths_does_not_change_landings() -> None:
    simulator, batch = world()
    assert_same(simulator.fly(batch, PROFILES["zpb"]), simulator.fly(batch, PROFILES["zpb"], paths=20))


def test_launch_table_is_left_as_it_was() -> None:
    simulator, batch = world()
    before = batch.table.copy()
    simulator.fly(batch, PROFILES["zpb"], paths=3)
    np.testing.assert_array_equal(batch.table, before)


def test_empty_batch_has_no_flights() -> None:
    simulator, batch = world()
    flights = simulator.fly(Launches(batch.table[:0]), PROFILES["zpb"])
    assert flights.landing.shape == (0, 4)
    assert (flights.failures, flights.trajectories, flights.warnings) == ({}, (), ())


@pytest.mark.parametrize("step", [60.0, 10.0, 5.0])
def test_paths_are_whole_however_many_points_they_have(step: float) -> None:
    """A path has room for 512 points at first; these have 200, 1200 and 2400."""
    simulator = Simulator(sample(uniform(15.0, 5.0)), ElevationFile.flat())
    batch = launches(lat=[10.0, 20.0, 30.0], equil=[30000.0, 12000.0, 30000.0])
    flights = simulator.fly(batch, PROFILES["zpb"], step=step, paths=2)
    assert len(flights.trajectories) == 2
    for n, trajectory in enumerate(flights.trajectories):
        assert trajectory is not None
        points = np.concatenate([phase.points for phase in trajectory.phases])
        assert len(points) > 2 * batch.table[n, kernels.EQUILIBRIUM_ALTITUDE] / 5.0 / step
        assert np.diff(points[:, 0]).min() >= 0.0
        assert np.diff(points[:, 0]).max() <= step + 1e-6
        assert np.isfinite(points).all()
        np.testing.assert_array_equal(points[0, :4], batch.table[n, [0, 1, 2, 3]])
        np.testing.assert_array_equal(trajectory.landing[:4], flights.landing[n])


def test_points_carry_the_wind_of_their_place() -> None:
    simulator, batch = world()
    trajectories = simulator.fly(batch, PROFILES["zpb"], paths=len(batch)).trajectories
    flown = [trajectory for trajectory in trajectories if trajectory is not None]
    assert flown
    # Within 5 m of a level the wind is that of the level.
    for trajectory in flown[:8]:
        for time, lat, lon, alt, u, v in np.concatenate([phase.points for phase in trajectory.phases]):
            assert (u, v) == pytest.approx(simulator.wind(time, Location(lat, lon, alt)), abs=0.1)


def test_failed_flight_keeps_its_last_good_position() -> None:
    """Over a layer without numbers, and beside columns without: the middle of a step lies among them."""
    field = sample(uniform(16.0, 0.0))
    field.data[:, :, 10:20] = np.nan
    field.data[:, 13:20] = np.nan
    batch = launches(lat=45.0, lon=[10.0, 59.999], alt=[0.0, 21000.0])
    flights = Simulator(field, ElevationFile.flat()).fly(batch, PROFILES["zpb"])
    assert list(flights.failures) == [0, 1]
    assert np.isfinite(flights.landing).all()
    assert 500.0 < flights.landing[0, 3] < 5600.0
    assert flights.landing[1] == pytest.approx([START, 45.0, 59.999, 21000.0])


def test_endless_flight_is_ended() -> None:
    launch = launches(alt=20000.0, equil=20000.0, coast=6000.0)
    flights = Simulator(sample(uniform(10.0, 0.0)), ElevationFile.flat()).fly(launch, PROFILES["float"], step=0.001)
    error = flights.failures[0]
    assert isinstance(error, FlightError)
    assert error.message == "the flight took more than 5000000 steps"
    assert error.details is not None
    assert error.details["altitude"] == pytest.approx(20000.0)
    assert error.details["time"] == pytest.approx(START + 5000.0, abs=1.0)
